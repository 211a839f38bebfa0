//! A camera's pictures as RTP packets: made once for all targets with the same length of packets.
//!
//! A JPEG is turned into what RTP carries without loss, or encoded anew by the camera's worker, or refused; H.264 and H.265
//! are packetised as they are. Sound is not pushed. What cannot be sent is passed on as well, so that each target counts it and says why.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ocelli_hub::{Derivation, Item, Piece, RingSender, Subscriber, Want};
use ocelli_media::jpeg::rewrite::{RewriteError, Rewriter, RtpJpeg, Work};
use ocelli_media::{Codec, Frame, Tracks, video_track};
use ocelli_proto::rtp::{Stamp, jpeg, nal};

use super::reencode::Reencoding;
use super::timeline::Timeline;
use crate::variants::Pixels;

/// Whether pictures that RTP cannot carry are encoded anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reencode {
    /// Where it is possible.
    #[default]
    Auto,
    /// Never: they are refused.
    Never,
}

/// Makes packets of a camera's pictures. Two that are equal share them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpBursts {
    /// How long packets may be, RTP header included.
    pub packet_bytes: usize,
    /// Where JPEGs that RTP cannot carry are encoded anew; without it they are refused.
    pub recoder: Option<Pixels>,
    /// Quality, 1 to 100, at which JPEGs of a higher one are encoded anew; without it those that RTP can carry are left
    /// alone, and the others keep about their own. Needs a recoder.
    pub quality: Option<u8>,
}

/// What was done to a picture before it was packetised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    AsIs,
    /// A JPEG's Huffman codes were exchanged, without loss.
    Recoded,
    /// A JPEG's blocks were put into another order, without loss.
    Reordered,
    /// A JPEG was decoded and encoded anew.
    Reencoded,
}

impl Done {
    /// Everything.
    pub const ALL: [Self; 4] = [Self::AsIs, Self::Recoded, Self::Reordered, Self::Reencoded];

    /// One word for it, as `/stats` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AsIs => "as_is",
            Self::Recoded => "recoded",
            Self::Reordered => "reordered",
            Self::Reencoded => "reencoded",
        }
    }
}

impl From<Work> for Done {
    fn from(work: Work) -> Self {
        match work {
            Work::AsIs => Self::AsIs,
            Work::Recoded => Self::Recoded,
            Work::Reordered => Self::Reordered,
        }
    }
}

/// A picture's packets, without the numbers that are each target's own.
#[derive(Clone, Debug)]
pub enum Burst {
    /// JPEG (RFC 2435).
    Jpeg(jpeg::Burst),
    /// H.264 or H.265 (RFC 6184, RFC 7798).
    Nal(nal::Burst),
}

impl Burst {
    /// How many packets there are: 1 or more.
    pub fn packet_count(&self) -> usize {
        match self {
            Self::Jpeg(burst) => burst.packet_count(),
            Self::Nal(burst) => burst.packet_count(),
        }
    }

    /// How long all packets are together.
    pub fn total_bytes(&self) -> usize {
        match self {
            Self::Jpeg(burst) => burst.total_bytes(),
            Self::Nal(burst) => burst.total_bytes(),
        }
    }

    /// Fills `headers` with a target's own.
    pub fn stamp(&self, stamp: Stamp, headers: &mut Vec<u8>) {
        match self {
            Self::Jpeg(burst) => burst.stamp(stamp, headers),
            Self::Nal(burst) => burst.stamp(stamp, headers),
        }
    }

    /// Calls `each` with the headers and payload of the packets from index `from` on.
    pub fn with_packets<'a, R>(
        &'a self,
        headers: &'a [u8],
        from: usize,
        each: impl FnOnce(&mut dyn Iterator<Item = (&'a [u8], &'a [u8])>) -> R,
    ) -> R {
        match self {
            Self::Jpeg(burst) => each(&mut burst.packets(headers).skip(from)),
            Self::Nal(burst) => each(&mut burst.packets(headers).skip(from)),
        }
    }

    /// The payload type where the address gives none.
    pub fn usual_payload_type(&self) -> u8 {
        match self {
            Self::Jpeg(_) => usual_payload_type(Codec::Jpeg),
            Self::Nal(_) => usual_payload_type(Codec::H264),
        }
    }
}

/// The payload type of pictures coded as `codec` where the address gives none: the number that RFC 3551 gives JPEG, or the
/// first of those that a session's description explains.
pub fn usual_payload_type(codec: Codec) -> u8 {
    if codec == Codec::Jpeg { jpeg::PAYLOAD_TYPE } else { 96 }
}

/// What came of a picture.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It can be sent.
    Burst(Burst, Done),
    /// RTP cannot carry this camera's pictures as they are: why, in words.
    Refused(Arc<str>),
    /// It is damaged.
    Damaged,
    /// It is longer than RTP can say, or packets are too short for it.
    Oversized,
}

/// A picture on its way to the targets.
#[derive(Clone, Debug)]
pub struct RtpPicture {
    /// When it was taken, in ticks of 90 kHz from 1970 on the camera's one time line.
    pub ticks: i64,
    /// Wall clock at which it was taken, where that is known.
    pub captured: Option<SystemTime>,
    /// A receiver can begin with it.
    pub key: bool,
    /// It says that the camera is lost: not the camera's picture.
    pub notice: bool,
    /// Each picture stands for itself, so that only the newest need be sent.
    pub alone: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was encoded anew, if it was.
    pub reencoded: Option<Arc<str>>,
    /// How many pictures were passed over before this one since the first, because newer ones came while one was worked on.
    pub passed_over: u64,
}

impl Piece for RtpPicture {
    fn key(&self) -> bool {
        self.key
    }
    fn size(&self) -> usize {
        match &self.outcome {
            Outcome::Burst(burst, _) => burst.total_bytes(),
            _ => 0,
        }
    }
}

impl Derivation for RtpBursts {
    type Piece = RtpPicture;

    fn want(&self) -> Want {
        Want::Latest
    }

    async fn run(self, mut input: Subscriber, mut output: RingSender<RtpPicture>) {
        let mut maker = Maker::new(self);
        while let Ok(item) = input.next().await {
            match item {
                Item::Tracks(tracks) => input.set_want(maker.set_tracks(&tracks)),
                Item::Frame(frame) if !frame.is_picture() => {}
                Item::Frame(frame) => {
                    let picture = maker.picture(&frame, false, input.skipped()).await;
                    output.push(picture);
                }
                Item::Notice(frame) => {
                    let picture = maker.picture(&frame, true, input.skipped()).await;
                    output.push(picture);
                }
                // Behind a gap nothing can be shown up to the next key, which is the next frame that comes.
                Item::Lost { frames } => {
                    maker.lost += frames;
                    input.ask_keyframe();
                }
            }
        }
    }
}

/// What one who sends pictures of `codec` wants when it is behind: the newest, where each stands for itself.
fn want_of(codec: Codec) -> Want {
    if codec == Codec::Jpeg { Want::Latest } else { Want::Live }
}

fn video_codec(tracks: &Tracks) -> Codec {
    video_track(tracks).map_or(Codec::Jpeg, |track| track.codec)
}

/// Makes packets of one picture after another.
pub(crate) struct Maker {
    key: RtpBursts,
    codec: Codec,
    rewriter: Rewriter,
    reencoding: Option<Reencoding>,
    packetiser: nal::Packetiser,
    timeline: Timeline,
    /// The last refusal and its words, so that the words of one that goes on are written once.
    refused: Option<(RewriteError, Arc<str>)>,
    lost: u64,
}

impl Maker {
    pub(crate) fn new(key: RtpBursts) -> Self {
        Self {
            reencoding: key.recoder.clone().map(|recoder| Reencoding::new(recoder, key.quality)),
            key,
            codec: Codec::Jpeg,
            rewriter: Rewriter::new(),
            packetiser: nal::Packetiser::default(),
            timeline: Timeline::default(),
            refused: None,
            lost: 0,
        }
    }

    /// What the pictures that follow are; answers what one who is behind wants of them.
    pub(crate) fn set_tracks(&mut self, tracks: &Tracks) -> Want {
        self.codec = video_codec(tracks);
        want_of(self.codec)
    }

    /// Makes packets of `frame`, behind `skipped` others that were passed over.
    pub(crate) async fn picture(&mut self, frame: &Frame, notice: bool, skipped: u64) -> RtpPicture {
        let ticks = self.timeline.place(frame, self.codec, Instant::now(), SystemTime::now());
        let (outcome, reencoded) = match self.codec {
            Codec::H264 => (self.access_unit(nal::Format::H264, frame), None),
            Codec::H265 => (self.access_unit(nal::Format::H265, frame), None),
            _ => self.jpeg(frame).await,
        };
        RtpPicture {
            ticks,
            captured: frame.captured,
            key: frame.key,
            notice,
            alone: want_of(self.codec) == Want::Latest,
            outcome,
            reencoded,
            passed_over: skipped + self.lost,
        }
    }

    fn access_unit(&mut self, format: nal::Format, frame: &Frame) -> Outcome {
        match self.packetiser.packetise(format, &frame.data, self.key.packet_bytes) {
            Ok(burst) => Outcome::Burst(Burst::Nal(burst), Done::AsIs),
            Err(nal::BurstError::PacketLength(_) | nal::BurstError::TooLong(_)) => Outcome::Oversized,
            Err(_) => Outcome::Damaged,
        }
    }

    async fn jpeg(&mut self, frame: &Frame) -> (Outcome, Option<Arc<str>>) {
        if let Some(reencoding) = &mut self.reencoding
            && let Some(quality) = reencoding.lower_quality(&frame.data)
            // Where that fails, the picture as it is is better than none.
            && let Ok((picture, why)) = reencoding.lower(&frame.data, quality).await
        {
            return (self.burst(&picture, Done::Reencoded), Some(why));
        }
        match self.rewriter.rewrite(&frame.data) {
            Ok((picture, work)) => (self.burst(&picture, work.into()), None),
            Err(refusal @ RewriteError::Refused(_)) => self.reencode(frame, refusal).await,
            Err(_) => (Outcome::Damaged, None),
        }
    }

    /// Encodes anew what RTP cannot carry, where that is wanted.
    async fn reencode(&mut self, frame: &Frame, refusal: RewriteError) -> (Outcome, Option<Arc<str>>) {
        let words = self.words(refusal);
        let Some(reencoding) = &mut self.reencoding else { return (Outcome::Refused(words), None) };
        match reencoding.reencode(&frame.data, &words).await {
            Ok((picture, why)) => (self.burst(&picture, Done::Reencoded), Some(why)),
            Err(failure) => {
                (Outcome::Refused(format!("{words}, and it was not encoded anew: {failure}").into()), None)
            }
        }
    }

    fn burst(&self, picture: &RtpJpeg, done: Done) -> Outcome {
        match jpeg::Burst::new(picture, self.key.packet_bytes) {
            Ok(burst) => Outcome::Burst(Burst::Jpeg(burst), done),
            Err(_) => Outcome::Oversized,
        }
    }

    /// A refusal in words.
    fn words(&mut self, refusal: RewriteError) -> Arc<str> {
        let words = match self.refused.take() {
            Some((last, words)) if last == refusal => words,
            _ => refusal.to_string().into(),
        };
        self.refused = Some((refusal, words.clone()));
        words
    }
}
