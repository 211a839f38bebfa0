//! x264 and devices, through FFmpeg's libavcodec.
//!
//! Refuses what libavcodec refuses, in its own words. Of devices only those are known that take pictures from memory.

mod ffi;

use std::ffi::{CString, c_int};

use self::ffi::Encoder;
use super::settings::{Plan, Spending};
use super::{Backend, Kind, Source, Take, options};

/// An open encoder.
pub(super) struct Libav {
    kind: Kind,
    encoder: Encoder,
}

impl Libav {
    pub(super) fn open(kind: Kind, plan: &Plan) -> Result<Self, String> {
        let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let name = text(options::name(kind).ok_or("not part of a library")?)?;
        let options = options::options(kind, plan).into_iter();
        let options = options.map(|(name, value)| Ok((text(name)?, text(&value)?)));
        let options = options.collect::<Result<Vec<_>, String>>()?;
        let rates = rates(kind, plan.spending);
        let encoder = Encoder::open(&name, plan.size, plan.rate, plan.matrix, &rates, &options)?;
        Ok(Self { kind, encoder })
    }

    /// Takes all that has come out, and says how many pictures that were.
    fn pull(&mut self, take: Take<'_>) -> Result<usize, String> {
        let mut count = 0;
        while let Some((tick, data)) = self.encoder.receive()? {
            take(tick, data);
            count += 1;
        }
        Ok(count)
    }
}

impl Backend for Libav {
    fn encode(&mut self, source: &Source<'_>, tick: i64, key: bool, take: Take<'_>) -> Result<(), String> {
        let (planes, strides) = self.encoder.picture()?;
        source.write(planes, strides);
        let mut taken = self.encoder.send(tick, key)?;
        if !taken && self.pull(take)? > 0 {
            taken = self.encoder.send(tick, key)?;
        }
        if !taken {
            return Err("takes no more pictures".to_owned());
        }
        self.pull(take)?;
        Ok(())
    }

    fn spend(&mut self, spending: Spending) -> bool {
        let can = matches!(self.kind, Kind::X264 | Kind::Nvenc);
        if can {
            self.encoder.spend(&rates(self.kind, spending));
        }
        can
    }

    fn finish(&mut self, take: Take<'_>) -> Result<(), String> {
        self.encoder.drain()?;
        self.pull(take)?;
        Ok(())
    }
}

fn rates(kind: Kind, spending: Spending) -> ffi::Rates {
    let options::Rates { bit_rate, most_bit_rate, buffer_bits, rate_factor } = options::rates(kind, spending);
    let buffer_bits = c_int::try_from(buffer_bits).unwrap_or(c_int::MAX);
    ffi::Rates { bit_rate, most_bit_rate, buffer_bits, rate_factor }
}
