//! H.264 from pictures: whichever encoder works, asked for the least delay. One picture in, its NAL units out, at once.
//!
//! What is made: constrained baseline, which every browser and every WebRTC takes; no B-frames, no look ahead; each
//! keyframe is an IDR with the parameter sets before it; NAL units each behind its length in four bytes; BT.601's
//! colours, as JPEG has them, or BT.709's, in television's range ([`Source`]), both named in the parameter sets.
//!
//! Encoders are tried in the order of a list, and the next one takes over when one cannot be opened or fails later: with
//! the very picture at which that happened, as a keyframe. One that has failed is not tried again by this [`Encoder`], so
//! that a device that comes and goes does not make a stream stutter.
//!
//! Bit rate and quality are changed while an encoder runs, where it can (x264, nvenc). Any other change, and any change
//! of another encoder, opens it anew, at the cost of a keyframe. No picture is lost by it, but
//! those that are still on their way through FFmpeg's program.
//!
//! Memory: one picture, and what the library keeps (x264 about 20 MB at 1280x720); the coded picture lies in a buffer
//! that is kept.

#![cfg_attr(not(any(feature = "libav", feature = "openh264")), allow(dead_code, unused_variables))]

mod kind;
#[cfg(feature = "libav")]
mod libav;
#[cfg(feature = "openh264")]
mod openh264;
pub(crate) mod options;
mod pace;
mod settings;
mod source;
mod units;

use std::collections::VecDeque;
use std::mem;

use ocelli_codec::Range;
use ocelli_media::Size;

pub use self::kind::{Kind, UnknownEncoder};
use self::pace::Pace;
pub use self::settings::Settings;
use self::settings::{Plan, Spending};
pub use self::source::Source;
use self::units::Units;
use crate::picture::Matrix;
use crate::program;

/// Pictures that a device may hold back. One that holds more gives none any more.
pub(crate) const MOST_PENDING: usize = 16;

/// Which picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The number that came with it.
    pub number: u32,
    /// When it is shown, in µs from any beginning.
    pub time_us: i64,
}

/// A coded picture.
#[derive(Clone, Copy, Debug)]
pub struct Coded<'a> {
    /// Which one.
    pub stamp: Stamp,
    /// A decoder can begin with it.
    pub key: bool,
    /// Its size in pixels.
    pub size: Size,
    /// NAL units, each behind its length in four bytes.
    pub data: &'a [u8],
}

/// What comes of a picture.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// A coded picture: mostly this one, with some devices one before it.
    Picture(Coded<'a>),
    /// Words about which encoder it is now, and why no other.
    Encoder(&'a str),
}

/// Why nothing is coded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A plane is shorter than its size says, or there is no picture at all. The next one may be coded.
    #[error("a picture of {0} whose planes do not have that size")]
    Planes(Size),
    /// No encoder is left, and none will be.
    #[error("no encoder for H.264: {0}")]
    NoEncoder(String),
}

/// A library that codes.
pub(crate) trait Backend {
    /// Codes one picture of the plan's size, as a keyframe if `key` says so. `take` is given what has come out, in the
    /// byte stream format, with the ticks of its pictures: they count up, in intervals of the plan's rate.
    fn encode(&mut self, source: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String>;

    /// Spends so many bits from the next picture on. `false` if it must be opened anew for that.
    fn spend(&mut self, spending: Spending) -> bool;

    /// Gives out what is held back.
    fn finish(&mut self, take: Take<'_>) -> Result<(), String>;
}

pub(crate) type Take<'a> = &'a mut dyn FnMut(i64, &[u8]);

type Opener = fn(Kind, &Plan) -> Result<Box<dyn Backend>, String>;

/// Codes one stream. Keeps its buffers.
pub struct Encoder {
    opener: Opener,
    /// What is left to try, the one in use first.
    kinds: VecDeque<Kind>,
    settings: Settings,
    /// Pictures in 1000 s, where others came than the settings expected.
    found_rate: Option<u32>,
    open: Option<Open>,
    /// Why each encoder that is not left did not work.
    failures: Vec<String>,
    output: Output,
}

struct Open {
    backend: Box<dyn Backend>,
    /// What it was opened with.
    plan: Plan,
    pace: Pace,
    /// Of the next picture.
    tick: i64,
    /// Time of the last keyframe that was asked for, in µs.
    key_us: Option<i64>,
}

/// Where coded pictures are put together.
struct Output {
    units: Units,
    data: Vec<u8>,
    /// Pictures that are with the encoder, the oldest first.
    pending: VecDeque<(i64, Stamp)>,
    size: Size,
}

impl Encoder {
    /// One that tries `kinds` in this order once there is a picture.
    pub fn new(kinds: &[Kind], settings: Settings) -> Self {
        Self::with_opener(open, kinds, settings)
    }

    fn with_opener(opener: Opener, kinds: &[Kind], settings: Settings) -> Self {
        let kinds = kinds.iter().copied().collect();
        let output = Output {
            units: Units::default(),
            data: Vec::new(),
            pending: VecDeque::with_capacity(MOST_PENDING),
            size: Size { width: 0, height: 0 },
        };
        Self { opener, kinds, settings, found_rate: None, open: None, failures: Vec::new(), output }
    }

    /// Changes what is asked, from the next picture on, which becomes a keyframe where the encoder must be opened anew.
    pub fn change(&mut self, settings: Settings) {
        if settings.rate != self.settings.rate {
            self.found_rate = None;
        }
        self.settings = settings;
    }

    /// Codes a picture; as a keyframe if `key` says so, and wherever one is due.
    ///
    /// # Errors
    /// The picture is none, or no encoder works.
    pub fn encode(
        &mut self,
        source: &Source<'_>,
        stamp: Stamp,
        key: bool,
        take: &mut dyn FnMut(Made<'_>),
    ) -> Result<(), EncodeError> {
        if !source.is_whole() {
            return Err(EncodeError::Planes(source.size));
        }
        self.change_or_close(source, stamp, take);
        loop {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.open_next(source, take)?,
            };
            let key = key || open.key_is_due(stamp, &self.settings);
            match self.output.through(&mut open, source, stamp, key, take) {
                Ok(()) => {
                    self.open = Some(open);
                    return Ok(());
                }
                Err(words) => self.give_up(&words),
            }
        }
    }

    /// Gives out what a device holds back.
    pub fn finish(&mut self, take: &mut dyn FnMut(Made<'_>)) {
        if let Some(mut open) = self.open.take() {
            // What it does not give is lost: there is nothing that could be tried with it.
            let _ = open.backend.finish(&mut |tick, data| self.output.put(tick, data, take));
        }
        self.output.pending.clear();
    }

    /// Changes the encoder that was opened for something else than what is asked, or ends it.
    fn change_or_close(&mut self, source: &Source<'_>, stamp: Stamp, take: &mut dyn FnMut(Made<'_>)) {
        if let Some(open) = &mut self.open
            && open.key_is_due(stamp, &self.settings)
        {
            self.found_rate = open.pace.surprise().or(self.found_rate);
        }
        let plan = self.plan(source);
        let Some(open) = self.open.as_mut().filter(|open| open.plan != plan) else { return };
        let of_one_kind = mem::discriminant(&open.plan.spending) == mem::discriminant(&plan.spending);
        let same_pictures = Plan { spending: plan.spending, ..open.plan } == plan;
        if same_pictures && of_one_kind && open.backend.spend(plan.spending) {
            open.plan = plan;
        } else {
            self.finish(take);
        }
    }

    fn plan(&self, source: &Source<'_>) -> Plan {
        let rate = self.found_rate.unwrap_or_else(|| pace::usual(self.settings.rate));
        self.settings.plan(source.coded_size(), source.matrix, rate)
    }

    fn open_next(
        &mut self,
        source: &Source<'_>,
        take: &mut dyn FnMut(Made<'_>),
    ) -> Result<Open, EncodeError> {
        let plan = self.plan(source);
        while let Some(kind) = self.kinds.front() {
            match (self.opener)(*kind, &plan) {
                Ok(backend) => {
                    take(Made::Encoder(&self.describe(*kind)));
                    self.output.size = plan.size;
                    return Ok(Open { backend, plan, pace: Pace::new(plan.rate), tick: 0, key_us: None });
                }
                Err(words) => self.give_up(&words),
            }
        }
        Err(EncodeError::NoEncoder(self.failures.join("; ")))
    }

    fn describe(&self, kind: Kind) -> String {
        match self.failures.as_slice() {
            [] => kind.to_string(),
            failures => format!("{kind} ({})", failures.join("; ")),
        }
    }

    /// The encoder in use does not work.
    fn give_up(&mut self, words: &str) {
        if let Some(kind) = self.kinds.pop_front() {
            self.failures.push(format!("{kind}: {words}"));
        }
        self.output.pending.clear();
    }
}

impl Open {
    /// Half an interval early rather than half a one late.
    fn key_is_due(&self, stamp: Stamp, settings: &Settings) -> bool {
        let half_interval_us = 500_000_000 / i64::from(self.plan.rate);
        self.key_us.is_none_or(|last| {
            let since = stamp.time_us.saturating_sub(last);
            since < 0 || since >= settings.key_every_us() - half_interval_us
        })
    }
}

impl Output {
    fn through(
        &mut self,
        open: &mut Open,
        source: &Source<'_>,
        stamp: Stamp,
        key: bool,
        take: &mut dyn FnMut(Made<'_>),
    ) -> Result<(), String> {
        if self.pending.len() == MOST_PENDING {
            return Err(format!("gives nothing back of {MOST_PENDING} pictures"));
        }
        open.pace.count(stamp.time_us);
        let tick = open.tick;
        open.tick += 1;
        self.pending.push_back((tick, stamp));
        if key {
            open.key_us = Some(stamp.time_us);
        }
        open.backend.encode(source, tick, key, &mut |tick, data| self.put(tick, data, take))
    }

    fn put(&mut self, tick: i64, data: &[u8], take: &mut dyn FnMut(Made<'_>)) {
        // An encoder that loses the times of pictures gives them in their order still.
        let before = self.pending.iter().position(|(pending, _)| *pending == tick).unwrap_or(0);
        self.pending.drain(..before);
        let Some((_, stamp)) = self.pending.pop_front() else { return };
        self.data.clear();
        let key = self.units.pack(data, &mut self.data);
        take(Made::Picture(Coded { stamp, key, size: self.size, data: &self.data }));
    }
}

/// Codes one small picture by the first of `kinds` that works, and says whether one did; a device, and what FFmpeg's program
/// lists, is believed. Libraries look at the processor when they are first used, by files on some systems.
pub fn works(kinds: &[Kind]) -> bool {
    let samples = [128; 64 * 48];
    let source = Source {
        planes: [&samples, &samples, &samples],
        strides: [64, 32, 32],
        size: Size { width: 64, height: 48 },
        sampling: (2, 2),
        range: Range::Limited,
        matrix: Matrix::Bt601,
    };
    let software: Vec<_> = kinds.iter().copied().filter(|kind| !kind.is_believed()).collect();
    let settings = Settings { bit_rate_kbps: 0, quality: 0, rate: 0, key_every_ms: 0 };
    let stamp = Stamp { number: 0, time_us: 0 };
    let coded = Encoder::new(&software, settings).encode(&source, stamp, true, &mut |_| ());
    coded.is_ok() || software.len() < kinds.len()
}

fn open(kind: Kind, plan: &Plan) -> Result<Box<dyn Backend>, String> {
    match kind {
        Kind::Program(named) => Ok(Box::new(program::Encoder::open(named, plan)?)),
        #[cfg(feature = "openh264")]
        Kind::Openh264 => Ok(Box::new(openh264::Openh264::open(plan)?)),
        #[cfg(feature = "libav")]
        kind => Ok(Box::new(libav::Libav::open(kind, plan)?)),
        #[allow(unreachable_patterns)]
        _ => Err("not part of this program".to_owned()),
    }
}

#[cfg(test)]
#[cfg(any(feature = "libav", feature = "openh264"))]
mod tests;
