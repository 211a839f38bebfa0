//! H.264 by one FFmpeg process: pictures in 4:2:0 in, each coded and back before the next is given, but for devices that hold some back.
//!
//! Keyframes are asked for by the pictures' times: FFmpeg is told to make one of each whose time is odd, in ticks of 90 kHz.

use ocelli_media::{Codec, MediaTime, Track};

use super::run::Run;
use super::{BEFORE, BEHIND, Named, words};
use crate::decode::to_annex_b;
use crate::h264::options::{self, Plan, Rates, Spending};
use crate::h264::{Backend, Kind, Source, Take};
use crate::picture::Matrix;

/// An open encoder and its picture.
pub(crate) struct Encoder {
    named: &'static Named,
    words: Vec<String>,
    track: Track,
    run: Run<i64>,
    /// Ticks from one picture to the next: even.
    step: i64,
    /// The picture that its process began with.
    first: i64,
    /// Planes one behind the other, without gaps.
    picture: Vec<u8>,
    unit: Vec<u8>,
}

impl Encoder {
    pub(crate) fn open(named: &'static Named, plan: &Plan) -> Result<Self, String> {
        let name = options::name(named.kind).ok_or("not an encoder of FFmpeg's")?;
        let track = Track::video(Codec::Yuv420, Some(plan.size), Vec::new());
        let words = command_line(name, named.kind, plan);
        let run = Run::start(&named.program, &words, &track)?;
        let samples = usize::from(plan.size.width) * usize::from(plan.size.height);
        let per_picture = 90_000_000 / i64::from(plan.rate.max(1));
        Ok(Self {
            named,
            words,
            track,
            run,
            step: (per_picture & !1).max(2),
            first: 0,
            picture: vec![0; samples * 3 / 2],
            unit: Vec::new(),
        })
    }

    fn give(&mut self, tick: i64, key: bool) -> Result<(), String> {
        let number = tick - self.first;
        // The first is one anyway, and all others are counted from it.
        let key = key && number > 0;
        let time = MediaTime::new(number * self.step + i64::from(key), MediaTime::VIDEO_RATE);
        self.run.give(time, true, &self.picture, tick)
    }

    fn take_all(&mut self, take: Take<'_>) -> Result<(), String> {
        while let Some((tick, picture)) = self.run.next()? {
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
        let given = self.give(tick, key).and_then(|()| self.take_all(take));
        let Err(why) = given else { return Ok(()) };
        if !self.run.has_made {
            return Err(why);
        }
        // It has worked before this one was killed or hung: another begins with the very picture, which is a keyframe then.
        eprintln!("{why}; {} is started again", self.named.kind);
        self.run = Run::start(&self.named.program, &self.words, &self.track)?;
        self.first = tick;
        self.give(tick, key)?;
        self.take_all(take)
    }

    fn spend(&mut self, _: Spending) -> bool {
        false
    }

    fn finish(&mut self, _: Take<'_>) -> Result<(), String> {
        Ok(())
    }
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
