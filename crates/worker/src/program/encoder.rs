//! H.264 by one FFmpeg process: pictures in 4:2:0 in, each coded and back before the next is given, but for devices that hold some back.
//!
//! Keyframes are asked for by the pictures' times: FFmpeg is told to make one of each whose time is odd, in ticks of 90 kHz.
//!
//! One that ends or hangs is followed by another, which begins with a keyframe, until too many have ended.

use std::time::{Duration, Instant};

use ocelli_media::{Codec, MediaTime, Track};

use super::run::Run;
use super::{BEFORE, BEHIND, Named, words};
use crate::decode::to_annex_b;
use crate::h264::options::{self, Plan, Rates, Spending};
use crate::h264::{Backend, Kind, MOST_PENDING, Source, Take};
use crate::picture::Matrix;

/// So many in a row may end without a picture.
const MOST_FAILED: u32 = 5;
/// So many that have made pictures may end within [`RECENT`].
const MOST_ENDED: usize = 3;
const RECENT: Duration = Duration::from_secs(60);
/// So many pictures in a row may be waited for in vain: fewer than [`MOST_PENDING`], so that another process is tried before the encoder is
/// given up, and has some left in which to begin.
const MOST_IN_VAIN: u32 = 12;
const _: () = assert!((MOST_IN_VAIN as usize) < MOST_PENDING);
/// A picture that has taken so long is left out where another process has to be started: both are waited for, and the worker must not be
/// silent for 3 s.
const SAME_PICTURE: Duration = Duration::from_millis(500);

/// An open encoder and its picture.
pub(crate) struct Encoder {
    named: &'static Named,
    words: Vec<String>,
    track: Track,
    run: Option<Run<i64>>,
    /// How many ended one after the other without a picture.
    failed: u32,
    /// When those ended that had made pictures, within [`RECENT`].
    ended: Vec<Instant>,
    /// Ticks from one picture to the next: even.
    step: i64,
    /// The picture that its process began with.
    first: i64,
    /// The latest that has come out.
    taken: i64,
    /// Planes one behind the other, without gaps.
    picture: Vec<u8>,
    unit: Vec<u8>,
}

impl Encoder {
    pub(crate) fn open(named: &'static Named, plan: &Plan) -> Result<Self, String> {
        let name = options::name(named.kind).ok_or("not an encoder of FFmpeg's")?;
        let track = Track::video(Codec::Yuv420, Some(plan.size), Vec::new());
        let words = command_line(name, named.kind, plan);
        let run = start(named, &words, &track)?;
        let samples = usize::from(plan.size.width) * usize::from(plan.size.height);
        let per_picture = 90_000_000 / i64::from(plan.rate.max(1));
        Ok(Self {
            named,
            words,
            track,
            run: Some(run),
            failed: 0,
            ended: Vec::with_capacity(MOST_ENDED),
            step: (per_picture & !1).max(2),
            first: 0,
            taken: -1,
            picture: vec![0; samples * 3 / 2],
            unit: Vec::new(),
        })
    }

    /// Has the picture coded, by another process if there is none: then it is a keyframe.
    ///
    /// # Errors
    /// The process has ended or hangs: whether it has made pictures, and why.
    fn code(&mut self, tick: i64, key: bool, take: Take<'_>) -> Result<(), (bool, String)> {
        let mut run = match self.run.take() {
            Some(run) => run,
            None => {
                self.first = tick;
                start(self.named, &self.words, &self.track).map_err(|why| (false, why))?
            }
        };
        let coded = self.give(&mut run, tick, key).and_then(|()| self.take_all(&mut run, take));
        coded.map_err(|why| (run.has_made, why))?;
        if run.has_made {
            self.failed = 0;
        }
        self.run = Some(run);
        Ok(())
    }

    /// A process has ended. Another may follow.
    ///
    /// # Errors
    /// Too many have.
    fn ended(&mut self, has_made: bool, why: String) -> Result<(), String> {
        self.failed = if has_made { 0 } else { self.failed + 1 };
        if has_made {
            let now = Instant::now();
            self.ended.retain(|ended| now.duration_since(*ended) < RECENT);
            self.ended.push(now);
        }
        if self.failed >= MOST_FAILED || self.ended.len() >= MOST_ENDED {
            return Err(why);
        }
        eprintln!("{why}; {} is started again", self.named.kind);
        Ok(())
    }

    fn give(&self, run: &mut Run<i64>, tick: i64, key: bool) -> Result<(), String> {
        let number = tick - self.first;
        // The first is one anyway, and all others are counted from it.
        let key = key && number > 0;
        let time = MediaTime::new(number * self.step + i64::from(key), MediaTime::VIDEO_RATE);
        run.give(time, true, &self.picture, tick)
    }

    fn take_all(&mut self, run: &mut Run<i64>, take: Take<'_>) -> Result<(), String> {
        while let Some((tick, picture)) = run.next()? {
            self.taken = tick;
            self.unit.clear();
            self.unit.extend_from_slice(&picture.data);
            to_annex_b(&mut self.unit).map_err(|error| error.to_string())?;
            take(tick, &self.unit);
        }
        Ok(())
    }
}

impl Backend for Encoder {
    fn encode(&mut self, source: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String> {
        let size = source.coded_size();
        let wide = usize::from(size.width);
        let (luma, colours) = self.picture.split_at_mut(wide * usize::from(size.height));
        let (blue, red) = colours.split_at_mut(luma.len() / 4);
        source.write([luma, blue, red], [wide, wide / 2, wide / 2]);
        let begun = Instant::now();
        while let Err((has_made, why)) = self.code(tick, key, take) {
            self.ended(has_made, why)?;
            // One that has worked was killed: another begins with the very picture, unless that has come out, or took long already.
            if !has_made || self.taken >= tick || begun.elapsed() >= SAME_PICTURE {
                break;
            }
        }
        Ok(())
    }

    fn spend(&mut self, _: Spending) -> bool {
        false
    }

    fn finish(&mut self, _: Take<'_>) -> Result<(), String> {
        Ok(())
    }
}

fn start(named: &Named, words: &[String], track: &Track) -> Result<Run<i64>, String> {
    Ok(Run::start(&named.program, words, track)?.with_most_in_vain(MOST_IN_VAIN))
}

fn command_line(name: &str, kind: Kind, plan: &Plan) -> Vec<String> {
    let Rates { bit_rate, most_bit_rate, buffer_bits, rate_factor } = options::rates(kind, plan.spending);
    let matrix = match plan.matrix {
        Matrix::Bt601 => "smpte170m",
        Matrix::Bt709 => "bt709",
    };
    let mut line: Vec<String> = words(BEFORE).collect();
    line.extend(words(&format!("-r {}/1000 -c:v {name} -pix_fmt yuv420p", plan.rate.max(1))));
    for (option, value) in options::options(kind, plan) {
        line.push(if option == "profile" { "-profile:v".to_owned() } else { format!("-{option}") });
        line.push(value);
    }
    let rates = [("-b:v", bit_rate), ("-maxrate", most_bit_rate), ("-bufsize", buffer_bits)];
    let rates = rates.into_iter().filter(|(_, bits)| *bits > 0);
    line.extend(rates.flat_map(|(option, bits)| [option.to_owned(), bits.to_string()]));
    if rate_factor >= 0.0 {
        line.extend(["-crf".to_owned(), rate_factor.to_string()]);
    }
    line.extend(words(&format!(
        "-color_range tv -colorspace {matrix} -color_primaries bt709 -color_trc iec61966-2-1 \
         -force_key_frames expr:mod(round(t*90000),2)"
    )));
    line.extend(words(BEHIND));
    line
}
