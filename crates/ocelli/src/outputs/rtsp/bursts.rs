//! A camera's pictures and sound as they stand in RTSP connections: laid once for all readers with the same length of packets.
//!
//! All readers share senders' names, numbers and timestamps, which begin at random with the derived stream. So the packets of a
//! picture are one buffer that is final: a reader within the connection writes it as it is, one by UDP sends what stands between
//! the prefixes.
//!
//! ```text
//! +-----+-----------+-----------------+------------+---------+-----
//! | '$' | 2 x track | length (16 bit) | RTP header | payload | '$' ...
//! +-----+-----------+-----------------+------------+---------+-----
//! 0                                                          ends[0]
//! ```
//!
//! JPEGs go the way of RTP push ([`Maker`]): what RTP cannot carry is encoded anew by the camera's worker, or left out with the
//! cause in words. H.264 and H.265 whose predecessor was left out are left out up to the next key. A camera that comes to be coded
//! otherwise ends the stream: its readers have to describe it again.

use std::num::NonZeroU32;
use std::ops::{Deref, Range};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ocelli_hub::{Derivation, Item, RingSender, Subscriber, Want};
use ocelli_media::{Codec, Frame, MediaTime, Track, TrackId, Tracks};
use ocelli_proto::rtp::interleaved::{PREFIX_BYTES, prefix};
use ocelli_proto::rtp::{Stamp, audio};

use super::moments::Moments;
use crate::outputs::rtp::{Maker, Outcome, RtpBursts, Timeline, usual_payload_type};
use crate::variants::Pixels;

#[cfg(test)]
mod tests;

/// Lays a camera's pictures and sound. Two that are equal share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtspBursts {
    /// How long packets may be, RTP header included.
    pub packet_bytes: usize,
    /// Where JPEGs that RTP cannot carry are encoded anew; without it they are refused.
    pub recoder: Option<Pixels>,
}

/// A picture or a frame of sound on its way to the readers. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Piece(Arc<Laid>);

/// What a [`Piece`] is.
#[derive(Debug)]
pub struct Laid {
    /// The number of its track, as [`TrackId`] has it.
    pub track: u8,
    /// Its packets as they stand in a connection, on channel `2 * track`. Empty if it was left out.
    pub packets: Bytes,
    /// Where in `packets` each packet ends.
    pub ends: Box<[u32]>,
    /// Its sender.
    pub ssrc: u32,
    /// The number of its first packet.
    pub first_sequence: u16,
    /// Its RTP timestamp, in ticks of its track's clock.
    pub timestamp: u32,
    /// Ticks a second of its track's clock.
    pub rate: NonZeroU32,
    /// Wall clock at which it was taken, where that is known.
    pub captured: Option<SystemTime>,
    /// A reader can begin with it.
    pub key: bool,
    /// It says that the camera is lost: not the camera's picture.
    pub notice: bool,
    /// Each stands for itself, so that only the newest need be sent.
    pub alone: bool,
    /// How many pictures were left out before this one since the first, because of newer ones, or of those that they need.
    pub passed_over: u64,
    /// How many frames of sound there were before this since the first, those among them that RTP cannot carry, and those that
    /// went by before they could be laid.
    pub sounds: u64,
    /// Why there are no packets, where there are none.
    pub left_out: Option<LeftOut>,
    /// Where the other tracks go on behind it, at its own time as far as it was known; of pictures that a reader can begin with only.
    pub others: Box<[TrackNumbers]>,
    /// When what has which timestamp was taken.
    pub(super) moments: Arc<Moments>,
}

/// Why a picture has no packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// RTP cannot carry this camera's pictures as they are: why, in words.
    Refused(Arc<str>),
    /// It is damaged.
    Damaged,
    /// It is longer than RTP can say.
    Oversized,
}

/// Where a track is at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackNumbers {
    /// Its number.
    pub track: u8,
    /// Its sender.
    pub ssrc: u32,
    /// Ticks a second of its clock.
    pub rate: NonZeroU32,
    /// The number of its next packet.
    pub sequence: u16,
    /// The RTP timestamp of that time.
    pub timestamp: u32,
}

impl Deref for Piece {
    type Target = Laid;
    fn deref(&self) -> &Laid {
        &self.0
    }
}

impl ocelli_hub::Piece for Piece {
    fn key(&self) -> bool {
        self.key
    }
    fn counts(&self) -> bool {
        self.track == TrackId::VIDEO.0
    }
    fn size(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
impl Piece {
    /// One of these packets, for tests of what becomes of it.
    pub(crate) fn of_packets(track: u8, packets: Bytes, ends: Box<[u32]>) -> Self {
        let lane = Lane::new(&Track { id: TrackId(track), ..Track::jpeg(None) });
        let stamp = Stamp { payload_type: 96, sequence: 0, timestamp: 0, ssrc: lane.ssrc };
        let moments = Arc::new(Moments::new(Instant::now()));
        Self(Arc::new(lane.laid(stamp, None, packets, ends, &moments)))
    }
}

impl Laid {
    /// How many packets there are.
    pub fn packet_count(&self) -> usize {
        self.ends.len()
    }

    /// How long they are together, without what stands between them in a connection.
    pub fn rtp_bytes(&self) -> usize {
        self.packets.len() - self.packet_count() * PREFIX_BYTES
    }

    /// Where in `packets` each packet stands, without what stands before it.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let packet = start + PREFIX_BYTES..*end as usize;
            start = packet.end;
            packet
        })
    }

    /// When it was taken, by a clock that nobody sets, where that is known.
    pub(super) fn taken(&self) -> Option<Instant> {
        self.moments.taken(self.track, self.timestamp)
    }

    /// Where all tracks are when a reader begins with it: at one time, by all that is known of them.
    pub fn numbers(&self) -> impl Iterator<Item = TrackNumbers> {
        let own = TrackNumbers {
            track: self.track,
            ssrc: self.ssrc,
            rate: self.rate,
            sequence: self.first_sequence,
            timestamp: self.timestamp,
        };
        let taken = self.taken();
        let others = self.others.iter().map(move |other| {
            let known = taken.and_then(|taken| self.moments.timestamp(other.track, taken));
            TrackNumbers { timestamp: known.unwrap_or(other.timestamp), ..*other }
        });
        std::iter::once(own).chain(others)
    }
}

/// The payload type of a track in descriptions: the number that RFC 3551 gives it, or one that the description explains.
pub fn payload_type(track: &Track) -> u8 {
    let is_usual_g711 = track.clock_rate.get() == 8000 && track.channels.is_none_or(|count| count.get() == 1);
    match track.codec {
        Codec::Pcmu if is_usual_g711 => 0,
        Codec::Pcma if is_usual_g711 => 8,
        codec if codec.is_video() => usual_payload_type(codec),
        _ => 97,
    }
}

/// Ticks a second of a track's RTP timestamps.
pub fn clock_rate(track: &Track) -> NonZeroU32 {
    match track.codec {
        Codec::Opus => OPUS_RATE,
        codec if codec.is_video() => MediaTime::VIDEO_RATE,
        _ => track.clock_rate,
    }
}

/// RFC 7587 section 4.1.
const OPUS_RATE: NonZeroU32 = NonZeroU32::new(48_000).expect("not zero");
/// Of AAC, whose RTP packets hold one frame each.
const AAC_FRAME_TICKS: u32 = 1024;

impl Derivation for RtspBursts {
    type Piece = Piece;

    fn want(&self) -> Want {
        Want::Live
    }

    async fn run(self, mut input: Subscriber, mut output: RingSender<Piece>) {
        let mut layer = Layer::new(self);
        while let Ok(item) = input.next().await {
            let piece = match item {
                Item::Tracks(tracks) => {
                    match layer.set_tracks(&tracks) {
                        Some(want) => input.set_want(want),
                        None => return,
                    }
                    continue;
                }
                Item::Frame(frame) => layer.lay(&frame, false, input.skipped()).await,
                Item::Notice(frame) => layer.lay(&frame, true, input.skipped()).await,
                // The next frame that comes is a key.
                Item::Lost { frames } => {
                    layer.lost += frames;
                    layer.lost_sound(input.skipped_sound());
                    input.ask_keyframe();
                    continue;
                }
            };
            match piece {
                Some(piece) => drop(output.push(Piece(Arc::new(piece)))),
                None if layer.needs_key => input.ask_keyframe(),
                None => {}
            }
        }
    }
}

/// Lays one frame after another.
struct Layer {
    packet_bytes: usize,
    pictures: Maker,
    lanes: Vec<Lane>,
    /// Only the newest picture is wanted.
    alone: bool,
    /// One was left out without which those up to the next key cannot be shown.
    needs_key: bool,
    lost: u64,
    /// Frames of sound that came, and those that went by.
    sounds: u64,
    sound_lost: u64,
    headers: Vec<u8>,
    moments: Arc<Moments>,
}

/// A track with what RFC 3550 section 5.1 wants it to have of its own, begun at random.
struct Lane {
    track: Track,
    ssrc: u32,
    next_sequence: u16,
    timestamp_offset: u32,
    rate: NonZeroU32,
    /// Of sound; pictures come with their place on the line.
    timeline: Timeline,
}

impl Layer {
    fn new(key: RtspBursts) -> Self {
        let RtspBursts { packet_bytes, recoder } = key;
        Self {
            packet_bytes,
            pictures: Maker::new(RtpBursts { packet_bytes, recoder, quality: None }),
            lanes: Vec::new(),
            alone: false,
            needs_key: false,
            lost: 0,
            sounds: 0,
            sound_lost: 0,
            headers: Vec::new(),
            moments: Arc::new(Moments::new(Instant::now())),
        }
    }

    /// What the frames that follow are; answers what is wanted of them. `None` if readers cannot go on with them.
    fn set_tracks(&mut self, tracks: &Tracks) -> Option<Want> {
        let known = self.lanes.iter().map(|lane| &lane.track);
        let goes_on = tracks.len() == self.lanes.len()
            && tracks.iter().zip(known).all(|(track, known)| is_described_alike(track, known));
        if !self.lanes.is_empty() && !goes_on {
            return None;
        }
        if self.lanes.is_empty() {
            self.lanes = tracks.iter().map(Lane::new).collect();
        }
        let want = self.pictures.set_tracks(tracks);
        self.alone = want == Want::Latest && tracks.len() == 1;
        Some(if self.alone { Want::Latest } else { Want::Live })
    }

    /// So many frames of sound went by since the beginning.
    fn lost_sound(&mut self, frames: u64) {
        self.sounds += frames - std::mem::replace(&mut self.sound_lost, frames);
    }

    async fn lay(&mut self, frame: &Frame, notice: bool, skipped: u64) -> Option<Laid> {
        let lane = self.lanes.iter().position(|lane| lane.track.id == frame.track)?;
        if frame.track == TrackId::VIDEO {
            self.picture(lane, frame, notice, skipped).await
        } else {
            self.sound(lane, frame)
        }
    }

    async fn picture(&mut self, lane: usize, frame: &Frame, notice: bool, skipped: u64) -> Option<Laid> {
        if frame.key {
            self.needs_key = false;
        } else if self.needs_key {
            self.lost += 1;
            return None;
        }
        let picture = self.pictures.picture(frame, notice, skipped).await;
        let (burst, left_out) = match picture.outcome {
            Outcome::Burst(burst, _) => (Some(burst), None),
            Outcome::Refused(why) => (None, Some(LeftOut::Refused(why))),
            Outcome::Damaged => (None, Some(LeftOut::Damaged)),
            Outcome::Oversized => (None, Some(LeftOut::Oversized)),
        };
        self.needs_key = left_out.is_some() && !picture.alone;
        let others = if frame.key { self.others(lane, frame.captured) } else { Box::default() };
        let lane = &mut self.lanes[lane];
        let count = burst.as_ref().map_or(0, |burst| burst.packet_count());
        let stamp = lane.stamp(picture.ticks, count);
        lane.note(&self.moments, picture.ticks, stamp, frame.captured);
        let (packets, ends) = match &burst {
            Some(burst) => {
                burst.stamp(stamp, &mut self.headers);
                burst.with_packets(&self.headers, 0, |packets| {
                    put_together(lane.channel(), packets, count, burst.total_bytes())
                })
            }
            None => Default::default(),
        };
        Some(Laid {
            passed_over: picture.passed_over + self.lost,
            sounds: self.sounds,
            key: frame.key,
            notice,
            alone: self.alone,
            left_out,
            others,
            ..lane.laid(stamp, frame.captured, packets, ends, &self.moments)
        })
    }

    fn sound(&mut self, lane: usize, frame: &Frame) -> Option<Laid> {
        let lane = &mut self.lanes[lane];
        let ticks = lane.timeline.place(frame, lane.track.codec, Instant::now(), SystemTime::now());
        let sounds = self.sounds;
        self.sounds += 1;
        // What RTP cannot carry is missed by whoever counts them.
        let burst = audio::Burst::new(lane.sound_format()?, &frame.data, self.packet_bytes).ok()?;
        let count = burst.packet_count();
        let stamp = lane.stamp(ticks, count);
        lane.note(&self.moments, ticks, stamp, frame.captured);
        burst.stamp(stamp, &mut self.headers);
        let bytes = self.headers.len() + frame.data.len();
        let (packets, ends) = put_together(lane.channel(), &mut burst.packets(&self.headers), count, bytes);
        Some(Laid {
            passed_over: self.lost,
            sounds,
            alone: self.alone,
            ..lane.laid(stamp, frame.captured, packets, ends, &self.moments)
        })
    }

    /// Where the other tracks are at the time `captured`, if nothing is known of them yet: their lines begin at the wall clock's ticks.
    fn others(&self, except: usize, captured: Option<SystemTime>) -> Box<[TrackNumbers]> {
        let captured = SystemTime::now().checked_sub(age(captured)).unwrap_or(SystemTime::UNIX_EPOCH);
        let since_1970 = captured.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let others = self.lanes.iter().enumerate().filter(|(index, _)| *index != except);
        others
            .map(|(_, lane)| {
                let ticks = MediaTime::from_duration(since_1970, lane.rate).ticks();
                let timestamp = lane.timestamp_offset.wrapping_add(ticks as u32);
                TrackNumbers {
                    track: lane.track.id.0,
                    ssrc: lane.ssrc,
                    rate: lane.rate,
                    sequence: lane.next_sequence,
                    timestamp,
                }
            })
            .collect()
    }
}

/// Whether a reader that knows `known` can be given `track`. Parameter sets and sizes travel with the pictures.
pub(super) fn is_described_alike(track: &Track, known: &Track) -> bool {
    let same_config = track.codec.is_video() || track.parameter_sets == known.parameter_sets;
    (track.id, track.codec, track.clock_rate, track.channels)
        == (known.id, known.codec, known.clock_rate, known.channels)
        && same_config
}

impl Lane {
    fn new(track: &Track) -> Self {
        let rate = clock_rate(track);
        Self {
            track: track.clone(),
            ssrc: fastrand::u32(..),
            next_sequence: fastrand::u16(..),
            timestamp_offset: fastrand::u32(..),
            rate,
            timeline: Timeline::new(rate),
        }
    }

    fn channel(&self) -> u8 {
        self.track.id.0 * 2
    }

    /// The numbers of what is at `ticks` on the line and has `count` packets.
    fn stamp(&mut self, ticks: i64, count: usize) -> Stamp {
        let next = self.next_sequence.wrapping_add(count as u16);
        Stamp {
            payload_type: payload_type(&self.track),
            sequence: std::mem::replace(&mut self.next_sequence, next),
            timestamp: self.timestamp_offset.wrapping_add(ticks as u32),
            ssrc: self.ssrc,
        }
    }

    /// Remembers when a frame was taken.
    fn note(&self, moments: &Moments, ticks: i64, stamp: Stamp, captured: Option<SystemTime>) {
        let at = (ticks, stamp.timestamp);
        moments.note(self.track.id.0, self.rate, at, age(captured), Instant::now());
    }

    fn laid(
        &self,
        stamp: Stamp,
        captured: Option<SystemTime>,
        packets: Bytes,
        ends: Box<[u32]>,
        moments: &Arc<Moments>,
    ) -> Laid {
        Laid {
            track: self.track.id.0,
            packets,
            ends,
            ssrc: stamp.ssrc,
            first_sequence: stamp.sequence,
            timestamp: stamp.timestamp,
            rate: self.rate,
            captured,
            key: false,
            notice: false,
            alone: false,
            passed_over: 0,
            sounds: 0,
            left_out: None,
            others: Box::default(),
            moments: moments.clone(),
        }
    }

    fn sound_format(&self) -> Option<audio::Format> {
        let channels = self.track.channels.map_or(1, |count| count.get());
        match self.track.codec {
            Codec::Opus => Some(audio::Format::Opus),
            Codec::Pcmu | Codec::Pcma => Some(audio::Format::G711 { channels }),
            Codec::Aac => Some(audio::Format::Aac { frame_ticks: AAC_FRAME_TICKS }),
            _ => None,
        }
    }
}

/// How long ago what was `captured` then was taken; what was at an unknown time, or one that is not over, was just taken.
fn age(captured: Option<SystemTime>) -> Duration {
    captured.and_then(|captured| captured.elapsed().ok()).unwrap_or_default()
}

/// `packets`, `count` of them with `bytes` together, as they stand on `channel`; and where each ends.
fn put_together(
    channel: u8,
    packets: &mut dyn Iterator<Item = (&[u8], &[u8])>,
    count: usize,
    bytes: usize,
) -> (Bytes, Box<[u32]>) {
    let mut laid = Vec::with_capacity(bytes + count * PREFIX_BYTES);
    let mut ends = Vec::with_capacity(count);
    for (header, payload) in packets {
        // Bursts have packets of at most 65507 bytes, and less than 4 GiB together.
        laid.extend(prefix(channel, (header.len() + payload.len()) as u16));
        laid.extend_from_slice(header);
        laid.extend_from_slice(payload);
        ends.push(laid.len() as u32);
    }
    (laid.into(), ends.into())
}
