//! The variants at work: which begin and end, how the pictures of each come to be, and what becomes of one that has no place or
//! cannot be made.

use std::sync::{Arc, PoisonError};

use ocelli_codec::worker::protocol::OutputId;
use ocelli_media::Track;
use tokio::time::Instant;

use super::super::super::Unshaped;
use super::super::super::orders::no_encoder;
use super::super::super::output::{Output, Way};
use super::super::super::variant::{Standing, Variant};
use super::Feed;

impl Feed {
    /// Variants that somebody wants from here on.
    pub(in super::super) fn begin(&mut self, begun: Vec<Arc<Variant>>) {
        for variant in begun {
            let Some(output) = Output::new(variant) else { continue };
            self.outputs.push(output);
            if self.input.is_none() {
                self.subscribe();
            }
            let was_decoding = self.is_decoding();
            self.decide(self.outputs.len() - 1);
            if self.is_decoding() && !was_decoding {
                self.restart();
            }
        }
    }

    /// A variant that nobody wants any more. Whether the worker knows of it.
    pub(in super::super) fn end(&mut self, id: OutputId) -> bool {
        let Some(at) = self.outputs.iter().position(|output| output.variant.id == id) else { return false };
        let output = self.outputs.swap_remove(at);
        self.unknown.retain(|unknown| *unknown != id);
        if self.outputs.is_empty() {
            self.input = None;
            self.tracks = Arc::default();
        }
        if !self.is_decoding() {
            self.intake.leave_out();
        }
        output.coding().is_some()
    }

    /// Lowers variants that are too much for more than half of their viewers, and raises them again.
    pub(in super::super) fn adapt(&mut self) {
        let (Some(bounds), Some(size)) = (self.shared.rules.lowest, self.camera_size()) else { return };
        let fps = self.shared.camera.stats().rate.frames_per_second;
        let now = Instant::now();
        for output in &mut self.outputs {
            if output.adapt(bounds, size, fps, now) {
                self.unknown.push(output.variant.id);
            }
        }
    }

    /// Says of all that the worker makes why it makes nothing, or that it may.
    pub(in super::super) fn ail(&mut self, trouble: Option<&Arc<str>>) {
        for output in self.outputs.iter_mut().filter(|output| output.coding().is_some()) {
            output.ail(trouble);
        }
    }

    /// Settles how the pictures of an output come to be, as far as that is known.
    pub(super) fn decide(&mut self, at: usize) {
        let Some(track) = self.track().cloned() else { return };
        let output = &mut self.outputs[at];
        let before = output.way;
        output.way = output.way_from(&track);
        let variant = output.variant.clone();
        match output.way {
            Way::Own => {
                output.revive();
                variant.numbers.path("the camera's own pictures".to_owned());
            }
            Way::Made(_) => {
                if let Err(why) = self.take_place(&variant, &track) {
                    self.refuse(at, &why.to_string());
                    return;
                }
                self.outputs[at].revive();
                self.unknown.push(variant.id);
            }
            Way::Nothing => {
                let codec = variant.shape.codec.unwrap_or(track.codec);
                self.refuse(at, &no_encoder(codec));
            }
            Way::Unknown => {}
        }
        if matches!(before, Way::Made(_)) && self.outputs[at].coding().is_none() {
            // The worker is to end it.
            self.unknown.push(variant.id);
            self.leave_place(&variant);
            if !self.is_decoding() {
                self.intake.leave_out();
            }
        }
    }

    /// Takes a place for a variant that turns out to need one.
    fn take_place(&self, variant: &Variant, track: &Track) -> Result<(), Unshaped> {
        let mut place = variant.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orders = self.shared.orders();
        // Whom nobody holds any more has given his back, and is about to end.
        if place.is_none() && orders.is_living(variant.id) {
            *place = Some(self.shared.place_for(&orders, variant.id, &variant.shape.of(track), track)?);
            orders.lives(variant.id, true);
        }
        Ok(())
    }

    /// Gives the place of a variant back that needs none any more.
    fn leave_place(&self, variant: &Variant) {
        let mut place = variant.place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut orders = self.shared.orders();
        if place.take().is_some() && orders.is_living(variant.id) {
            orders.lives(variant.id, false);
        }
    }

    /// An output that cannot be made: its viewers are sent away, and the next who asks is told why.
    pub(in super::super) fn refuse(&mut self, at: usize, why: &str) {
        self.leave_place(&self.outputs[at].variant);
        let output = &mut self.outputs[at];
        output.way = Way::Nothing;
        if output.stand(Standing::Ended(why.into())) {
            let (camera, shape) = (self.shared.camera.name(), &output.variant.shape);
            tracing::warn!(%camera, "there is no variant `{shape}`: {why}");
        }
        output.publisher.send_away();
    }

    /// Refuses all that the worker would make.
    pub(super) fn refuse_made(&mut self, why: &str) {
        for at in 0..self.outputs.len() {
            if self.outputs[at].coding().is_some() {
                self.refuse(at, why);
            }
        }
        self.intake.leave_out();
    }
}
