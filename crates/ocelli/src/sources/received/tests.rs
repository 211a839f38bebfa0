//! Cameras in simulated time: pictures and sound, parameter sets where cameras put them, clocks that lie, numbers that jump, loss.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ocelli_hub::{Bounds, DropReason, Item, Stream, Subscriber, Want};
use ocelli_media::{Codec, Frame, TrackId, Tracks};
use ocelli_proto::rtcp::{NtpTime, SenderInfo, write};
use ocelli_proto::rtp::Stamp;
use ocelli_proto::rtp::audio;
use ocelli_proto::rtp::nal::{Burst, Format};
use ocelli_proto::rtp::receive::IN_ORDER;

use super::*;
use crate::sources::pictures::tests::dropped;

const SPS: &[u8] = &[
    0x67, 0x42, 0xC0, 0x1F, 0xD9, 0x00, 0x50, 0x05, 0xBB, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0xC0, 0xF1, 0x83, 0x24, 0x80,
];
const PPS: &[u8] = &[0x68, 0xCB, 0x8C, 0xB2];
const OTHER_PPS: &[u8] = &[0x68, 0xCB, 0x8C, 0xB3];
const VIDEO: &str = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1";
const SETS: &str = ";sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuMsg==";
const SOUND: &str = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000/2\r\n\
                     a=fmtp:97 mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1190\r\n";
/// The first slice of a keyframe, which takes four packets.
const IDR: [u8; 300] = {
    let mut slice = [0x88; 300];
    slice[0] = 0x65;
    slice
};
const WALL: SystemTime = UNIX_EPOCH;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 554))
}

fn chosen(lines: &str) -> Vec<Chosen> {
    choose(&Description::parse(format!("v=0\r\n{lines}\r\n").as_bytes()).unwrap()).unwrap()
}

/// What receives, and what it gives out.
struct Test {
    intake: Intake,
    stream: Arc<Stream>,
    out: Publisher,
    reader: Subscriber,
    now: Duration,
    reports: Vec<(usize, Vec<u8>)>,
}

impl Test {
    fn new(lines: &str) -> Self {
        Self::with(lines, IN_ORDER)
    }

    fn with(lines: &str, limits: Limits) -> Self {
        let setup = IntakeSetup { limits, max_frame_bytes: 1 << 20, cname: "test".to_owned(), unicast: true };
        let stream = Stream::new("test".parse().unwrap(), Bounds { pieces: 1000, bytes: 64 << 20 });
        let reader = stream.subscribe(Want::All);
        let out = stream.publish().unwrap();
        let intake = Intake::new(Duration::ZERO, &chosen(lines), &setup);
        Self { intake, stream, out, reader, now: Duration::ZERO, reports: Vec::new() }
    }

    /// Gives it packets `after` the start, then whatever is due up to there.
    fn take(&mut self, after: Duration, track: usize, packets: &[Vec<u8>]) {
        self.now = after;
        for packet in packets {
            self.intake.packet(after, track, address(), packet, |_, _| {});
        }
        self.intake.publish(self.moment(), &mut self.out);
        let reports = &mut self.reports;
        self.intake.poll(after, |track, report| reports.push((track, report.to_vec())));
    }

    fn moment(&self) -> Moment {
        Moment { since: self.now, wall: WALL + Duration::from_secs(1_700_000_000) + self.now }
    }

    /// What came out since the last time.
    fn frames(&mut self) -> (Vec<Arc<Tracks>>, Vec<Frame>) {
        let (mut tracks, mut frames) = (Vec::new(), Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            while let Ok(Ok(item)) = tokio::time::timeout(Duration::ZERO, self.reader.next()).await {
                match item {
                    Item::Tracks(announced) => tracks.push(announced),
                    Item::Frame(frame) => frames.push(frame),
                    other => panic!("{other:?}"),
                }
            }
        });
        (tracks, frames)
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        dropped(&self.stream, reason)
    }
}

/// Sends pictures or sound.
struct Sender(Stamp);

impl Sender {
    fn video() -> Self {
        Self(Stamp { payload_type: 96, sequence: 65_530, timestamp: u32::MAX - 5000, ssrc: 7 })
    }

    fn sound() -> Self {
        Self(Stamp { payload_type: 97, sequence: 3, timestamp: 77, ssrc: 8 })
    }

    /// The packets of an access unit; the next one's time is `ticks` later.
    fn picture(&mut self, units: &[&[u8]], ticks: i32) -> Vec<Vec<u8>> {
        let burst = Burst::new(Format::H264, &access_unit(units), 100).unwrap();
        let mut headers = Vec::new();
        burst.stamp(self.0, &mut headers);
        self.0.sequence = self.0.sequence.wrapping_add(burst.packet_count() as u16);
        self.0.timestamp = self.0.timestamp.wrapping_add_signed(ticks);
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
    }

    fn key(&mut self) -> Vec<Vec<u8>> {
        self.picture(&[SPS, PPS, &IDR], 3000)
    }

    fn delta(&mut self) -> Vec<Vec<u8>> {
        self.picture(&[&[0x41; 250]], 3000)
    }

    fn frame_of_sound(&mut self) -> Vec<Vec<u8>> {
        let format = audio::Format::Aac { frame_ticks: 1024 };
        let burst = audio::Burst::new(format, &Bytes::from_static(&[0x21; 40]), 200).unwrap();
        let mut headers = Vec::new();
        burst.stamp(self.0, &mut headers);
        self.0.sequence = self.0.sequence.wrapping_add(1);
        self.0.timestamp = self.0.timestamp.wrapping_add(1024);
        burst.packets(&headers).map(|(header, payload)| [header, payload].concat()).collect()
    }

    /// Its report: what has this timestamp was taken then.
    fn report(&self, taken: SystemTime) -> Vec<u8> {
        let info =
            SenderInfo { ntp: NtpTime::from(taken), timestamp: self.0.timestamp, packets: 0, bytes: 0 };
        let mut out = Vec::new();
        write::sender_report(self.0.ssrc, &info, &[], &mut out);
        out
    }
}

fn access_unit(units: &[&[u8]]) -> Bytes {
    let with_length = |unit: &&[u8]| [&(unit.len() as u32).to_be_bytes()[..], unit].concat();
    units.iter().flat_map(with_length).collect::<Vec<_>>().into()
}

fn seconds(frames: &[Frame]) -> Vec<f64> {
    frames.iter().map(|frame| frame.time.ticks() as f64 / f64::from(frame.time.rate().get())).collect()
}

#[test]
fn pictures_and_sound_come_out_with_their_tracks_announced_together() {
    let mut test = Test::new(&format!("{VIDEO}\r\n{SOUND}"));
    let (mut video, mut sound) = (Sender::video(), Sender::sound());
    test.take(ms(0), 1, &sound.frame_of_sound());
    test.take(ms(10), 1, &sound.frame_of_sound());
    assert_eq!(test.frames().1.len(), 0, "sound waits for the first picture");
    test.take(ms(33), 0, &video.key());
    test.take(ms(40), 1, &sound.frame_of_sound());
    test.take(ms(66), 0, &video.delta());
    let (tracks, frames) = test.frames();
    let [tracks] = &tracks[..] else { panic!("{tracks:?}") };
    assert_eq!(tracks.iter().map(|track| track.codec).collect::<Vec<_>>(), [Codec::H264, Codec::Aac]);
    assert_eq!(tracks[0].size.map(|size| size.to_string()).as_deref(), Some("1280x720"));
    assert_eq!(tracks[0].parameter_sets, [SPS, PPS]);
    let order: Vec<_> = frames.iter().map(|frame| (frame.track, frame.key)).collect();
    assert_eq!(order, [(TrackId::VIDEO, true), (TrackId::AUDIO, false), (TrackId::VIDEO, false)]);
    assert_eq!(frames[0].data, access_unit(&[SPS, PPS, &IDR]));
    assert_eq!(&frames[1].data[..], [0x21; 40]);
}

#[test]
fn sound_whose_pictures_are_refused_waits_for_none() {
    let mut test = Test::new(&format!("{VIDEO}\r\n{SOUND}"));
    let mut sound = Sender::sound();
    test.intake.forget(0);
    test.take(ms(0), 1, &[sound.frame_of_sound(), sound.frame_of_sound()].concat());
    assert_eq!(test.stream.stats().sound_frames, 2);
}

#[test]
fn sound_that_is_refused_is_not_announced() {
    let mut test = Test::new(&format!("{VIDEO}\r\n{SOUND}"));
    test.intake.forget(1);
    let mut video = Sender::video();
    test.take(ms(0), 0, &video.key());
    assert_eq!(test.frames().0[0].iter().map(|track| track.codec).collect::<Vec<_>>(), [Codec::H264]);
    let mut bye = video.report(WALL);
    write::bye(7, &mut bye);
    test.take(ms(33), 0, &[bye]);
    assert!(test.intake.has_ended(), "nobody waits for the sound's farewell");
}

#[test]
fn parameter_sets_of_the_description_are_put_before_keyframes_that_lack_them() {
    let mut test = Test::new(&format!("{VIDEO}{SETS}"));
    let mut video = Sender::video();
    test.take(ms(0), 0, &video.picture(&[&IDR], 3000));
    let (tracks, frames) = test.frames();
    assert_eq!(tracks[0][0].parameter_sets, [SPS, PPS]);
    assert_eq!(frames[0].data, access_unit(&[SPS, PPS, &IDR]));
    // The stream knows better.
    test.take(ms(33), 0, &video.picture(&[OTHER_PPS, &IDR], 3000));
    let (tracks, frames) = test.frames();
    assert_eq!(tracks[0][0].parameter_sets, [SPS, OTHER_PPS]);
    assert_eq!(frames[0].data, access_unit(&[SPS, OTHER_PPS, &IDR]));
}

#[test]
fn pictures_before_the_first_parameter_sets_are_dropped_and_counted() {
    let mut test = Test::new(VIDEO);
    let mut video = Sender::video();
    test.take(ms(0), 0, &video.picture(&[&IDR], 3000));
    assert_eq!((test.frames().1.len(), test.dropped(DropReason::NeedsKeyframe)), (0, 1));
    assert_eq!(test.intake.fault(), Some("the sender sends no parameter sets"));
    // Sent once, alone, marked as a picture of their own.
    test.take(ms(33), 0, &video.picture(&[SPS, PPS], 0));
    test.take(ms(34), 0, &video.picture(&[&IDR], 3000));
    assert_eq!(test.frames().1.len(), 1);
    assert_eq!(test.intake.fault(), None);
}

#[test]
fn without_markers_the_next_timestamp_ends_a_picture() {
    let mut test = Test::new(VIDEO);
    let mut video = Sender::video();
    for index in 0..4 {
        let mut packets = video.key();
        packets.iter_mut().for_each(|packet| packet[1] &= 0x7F);
        test.take(ms(33 * index), 0, &packets);
    }
    let frames = test.frames().1;
    assert_eq!(frames.len(), 3, "the last one has not ended");
    assert!(frames.iter().all(|frame| frame.data == access_unit(&[SPS, PPS, &IDR])));
}

#[test]
fn timestamps_that_jump_stop_nothing() {
    for jump in [-2_000_000_000, -450_000, 450_000, 100_000_000, 2_000_000_000] {
        let mut test = Test::new(VIDEO);
        let mut video = Sender::video();
        test.take(ms(0), 0, &video.key());
        let right = test.moment().wall - ms(80);
        test.intake.report(ms(20), 0, &video.report(right), |_, _| {});
        test.take(ms(33), 0, &video.delta());
        video.0.timestamp = video.0.timestamp.wrapping_add_signed(jump);
        for index in 2..100 {
            test.take(ms(33 * index), 0, &video.delta());
        }
        let frames = test.frames().1;
        assert_eq!(frames.len(), 100, "{jump}");
        // What the report said is about other timestamps.
        for (index, frame) in frames.iter().enumerate().skip(2) {
            let taken = WALL + Duration::from_secs(1_700_000_000) + ms(33 * index as u64);
            assert_eq!(frame.captured, Some(taken), "{index} after {jump}");
        }
        let steps = seconds(&frames);
        let far = steps.windows(2).filter(|pair| (pair[1] - pair[0] - 1.0 / 30.0).abs() > 0.01).count();
        assert!(far <= 1, "{jump}: {steps:?}");
        // The next report is.
        let taken = test.moment().wall + ms(33) - ms(80);
        test.intake.report(test.now, 0, &video.report(taken), |_, _| {});
        test.take(test.now + ms(33), 0, &video.delta());
        let captured = test.frames().1[0].captured.unwrap();
        assert!(captured.duration_since(taken).unwrap() < ms(1), "{jump}");
    }
}

#[test]
fn sound_and_pictures_are_on_one_line_also_where_the_cameras_clock_is_wrong() {
    for wrong_hours in [0, 5] {
        let mut test = Test::new(&format!("{VIDEO}\r\n{SOUND}"));
        let (mut video, mut sound) = (Sender::video(), Sender::sound());
        test.take(ms(0), 0, &video.key());
        test.take(ms(0), 1, &[sound.frame_of_sound(), sound.frame_of_sound()].concat());
        // Pictures are on the way for 200 ms, sound for 50 ms.
        let camera = |taken: Duration| {
            WALL + Duration::from_secs(1_700_000_000) + taken - Duration::from_secs(3600 * wrong_hours)
        };
        test.intake.report(ms(1000), 0, &video.report(camera(ms(800))), |_, _| {});
        test.intake.report(ms(1000), 1, &sound.report(camera(ms(950))), |_, _| {});
        test.frames();
        test.take(ms(1000), 1, &sound.frame_of_sound());
        test.take(ms(1000), 0, &video.delta());
        let frames = test.frames().1;
        let [sound, picture] = &frames[..] else { panic!("{frames:?}") };
        let apart = sound.captured.unwrap().duration_since(picture.captured.unwrap()).unwrap();
        assert!(apart.abs_diff(ms(150)) < ms(1), "{apart:?}");
    }
}

#[test]
fn a_keyframe_is_asked_for_at_once_where_that_is_expected_and_after_a_while_elsewhere() {
    let asks = |test: &Test| test.intake.path(&NetworkPath::default()).keyframes_asked;
    let expected = VIDEO.replace("RTP/AVP ", "RTP/AVPF ");
    for (lines, first, most) in [(&expected[..], ms(100), 22), (VIDEO, ms(2100), 3)] {
        let mut test = Test::new(lines);
        let mut video = Sender::video();
        let mut asked = None;
        for index in 0..100 {
            test.take(ms(100 * index), 0, &video.delta());
            let deadline = test.intake.deadline();
            assert!(deadline > test.now, "{deadline:?} at {:?}", test.now);
            asked = asked.or((asks(&test) > 0).then_some(test.now));
        }
        assert_eq!(asked, Some(first).map(|first| first - ms(100)), "{lines}");
        assert!((2..=most).contains(&asks(&test)), "{}", asks(&test));
        let before = asks(&test);
        test.take(test.now + ms(33), 0, &video.key());
        for _ in 0..200 {
            test.take(test.now + ms(100), 0, &video.delta());
        }
        assert_eq!(asks(&test), before, "it has come");
        test.intake.want_keyframe();
        test.take(test.now + ms(100), 0, &video.delta());
        test.take(test.now + ms(2500), 0, &video.delta());
        assert!(asks(&test) > before, "who watches wants one");
    }
}

#[test]
fn reports_go_back_for_each_track_and_name_what_is_lost() {
    let mut test = Test::new(&format!("{VIDEO}\r\n{SOUND}"));
    let (mut video, mut sound) = (Sender::video(), Sender::sound());
    for index in 0..300 {
        let mut packets = if index % 30 == 0 { video.key() } else { video.delta() };
        if index == 100 {
            packets.remove(1);
        }
        test.take(ms(33 * index), 0, &packets);
        test.take(ms(33 * index), 1, &sound.frame_of_sound());
    }
    for track in [0, 1] {
        let count = test.reports.iter().filter(|(of, _)| *of == track).count();
        assert!(count >= 2, "{count} of {track}");
    }
    let path = test.intake.path(&NetworkPath { packets: 1000, ..NetworkPath::default() });
    assert_eq!((path.lost, path.senders, path.sender), (1, 2, Some(address())));
    assert!(path.packets > 1900, "{path:?}");
    // One is lost, and what needs it up to the next keyframe.
    assert_eq!((test.dropped(DropReason::Lost), test.dropped(DropReason::NeedsKeyframe)), (1, 19));
}

#[test]
fn a_bad_network_damages_nothing() {
    for seed in 0..10 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut test = Test::with(VIDEO, Limits { wait: ms(50), packets: 256 });
        let mut video = Sender::video();
        let mut under_way: Vec<(u64, Vec<u8>)> = Vec::new();
        for index in 0..300 {
            let packets = if index % 10 == 0 { video.key() } else { video.delta() };
            for packet in packets {
                if random.f64() < 0.01 {
                    continue;
                }
                let delay = if random.f64() < 0.05 { random.u64(..20) } else { 0 };
                under_way.push((33 * index + delay, packet));
            }
        }
        under_way.sort_by_key(|(arrival, _)| *arrival);
        for (arrival, packet) in under_way {
            test.take(ms(arrival), 0, &[packet]);
        }
        test.take(ms(60_000), 0, &[]);
        let frames = test.frames().1;
        let (key, delta) = (access_unit(&[SPS, PPS, &IDR]), access_unit(&[&[0x41; 250]]));
        assert!(frames.iter().all(|frame| frame.data == if frame.key { &key } else { &delta }));
        assert!(frames.len() > 150, "{}", frames.len());
    }
}

#[test]
fn a_sender_that_begins_anew_is_followed_and_one_that_ends_has_ended() {
    let mut test = Test::new(VIDEO);
    let mut video = Sender::video();
    test.take(ms(0), 0, &video.key());
    let mut again = Sender(Stamp { sequence: 500, timestamp: 9, ssrc: 99, ..video.0 });
    test.take(ms(33), 0, &again.key());
    test.take(ms(66), 0, &again.delta());
    assert_eq!(test.frames().1.len(), 3);
    let mut bye = again.report(WALL + ms(66));
    write::bye(99, &mut bye);
    assert!(!test.intake.has_ended());
    // Some servers send RTCP on RTP's channel.
    test.take(ms(99), 0, &[bye]);
    assert!(test.intake.has_ended());
    test.take(ms(132), 0, &again.delta());
    assert!(!test.intake.has_ended());
}

#[test]
fn what_cannot_be_understood_is_named() {
    let refused =
        |lines: &str| choose(&Description::parse(format!("v=0\r\n{lines}").as_bytes()).unwrap()).unwrap_err();
    let words = refused(
        "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\n",
    );
    assert!(
        words.starts_with("no pictures that Ocelli understands (offers: vnd.onvif.metadata, MP4V-ES): "),
        "{words}"
    );
    assert!(refused("m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n").contains("RTP/SAVP"));
    assert!(refused("m=video 0 RTP/AVP 96\r\n").contains("(offers: video)"));
    assert_eq!(refused("m=audio 0 RTP/AVP 0\r\n"), "no pictures that Ocelli understands (offers: PCMU)");
    let chosen = chosen(&format!("{SOUND}m=video 0 RTP/AVP 98\r\na=rtpmap:98 VP8/90000\r\n{VIDEO}{SETS}"));
    assert_eq!(chosen.iter().map(|chosen| chosen.medium).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn is_rtcp_by_its_type() {
    assert!(is_rtcp(&[0x80, 200, 0, 6]) && is_rtcp(&[0x81, 206, 0, 2]));
    assert!(!is_rtcp(&[0x80, 26]) && !is_rtcp(&[0x80, 0x80 | 96]) && !is_rtcp(&[0, 200]) && !is_rtcp(&[]));
}
