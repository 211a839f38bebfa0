//! Ten minutes of pictures across the wraps of sequence numbers and timestamps, over a network that loses, delays and
//! repeats packets: simulated, in a moment. The same with the real program and real time is an ignored test of `ocelli`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ocelli_media::jpeg::rewrite::{Rewriter, RtpJpeg};
use ocelli_proto::rtp::jpeg::{Burst, Depacketiser, LEAST_PACKET_BYTES, PAYLOAD_TYPE, Stamp};
use ocelli_proto::rtp::reorder::{Item, Limits, Reorder};
use ocelli_proto::rtp::{Packet, reorder};

const PICTURES: u32 = 600 * 25;
const TICKS: u32 = 3600;
/// Five minutes before the wrap.
const FIRST_TIMESTAMP: u32 = u32::MAX - 300 * 90_000;
/// A few packets before it.
const FIRST_SEQUENCE: u16 = 65_500;

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    /// Whether something happens that does `per_mille` times of 1000.
    fn falls(&mut self, per_mille: u64) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 1000 < per_mille
    }
}

/// What has come out at the receiver's end.
struct Receiver {
    reorder: Reorder<Vec<u8>>,
    depacketiser: Depacketiser,
    items: Vec<Item<Vec<u8>>>,
    highest: u64,
    shown: Vec<(u32, Bytes)>,
}

impl Receiver {
    fn take(&mut self, now: Duration, bytes: &[u8]) {
        let packet = Packet::parse(bytes).expect("our own packet");
        self.reorder.push(now, packet.ssrc(), packet.sequence(), bytes.to_vec(), &mut self.items);
        for item in self.items.drain(..) {
            let Item::Packet { extended, packet } = item else { continue };
            assert!(extended > self.highest, "{extended} behind {}", self.highest);
            self.highest = extended;
            let packet = Packet::parse(&packet).expect("our own packet");
            if let Ok(Some(file)) = self.depacketiser.push(&packet) {
                self.shown.push((file.timestamp, file.data));
            }
        }
    }
}

#[test]
fn ten_minutes_across_both_wraps_show_whole_pictures_only() {
    let jpeg = include_bytes!("../../media/testdata/restart.jpg");
    let (picture, _) = Rewriter::new().rewrite(&Bytes::from_static(jpeg)).expect("it can be carried");
    // Three pictures of one length that differ in each packet, so that parts of two would not pass for one.
    let pictures: Vec<_> = (1..4_u8)
        .map(|fill| RtpJpeg { scan: vec![fill; 6000].into(), restart_interval: None, ..picture.clone() })
        .collect();
    let files: Vec<_> = pictures.iter().map(RtpJpeg::rebuild).collect();
    let bursts: Vec<_> = pictures
        .iter()
        .map(|picture| Burst::new(picture, LEAST_PACKET_BYTES).expect("a possible length"))
        .collect();
    let count = bursts[0].packet_count();
    assert!(PICTURES as usize * count > 2 * 65_536, "{count} packets a picture wrap too seldom");

    let mut receiver = Receiver {
        reorder: Reorder::new(Limits { wait: Duration::from_millis(60), packets: 200 }),
        depacketiser: Depacketiser::new(1 << 20),
        items: Vec::new(),
        highest: 0,
        shown: Vec::new(),
    };
    let (mut dice, mut lost) = (Dice(1), 0_u64);
    let mut whole = Vec::new();
    // By the time at which they come.
    let mut under_way: BTreeMap<(Duration, u64), Vec<u8>> = BTreeMap::new();
    let (mut headers, mut sent) = (Vec::new(), 0_u64);
    for index in 0..PICTURES {
        let now = Duration::from_millis(40) * index;
        let stamp = Stamp {
            payload_type: PAYLOAD_TYPE,
            sequence: FIRST_SEQUENCE.wrapping_add((index as usize * count) as u16),
            timestamp: FIRST_TIMESTAMP.wrapping_add(index * TICKS),
            ssrc: 7,
        };
        let burst = &bursts[index as usize % 3];
        burst.stamp(stamp, &mut headers);
        let mut is_whole = true;
        for (header, payload) in burst.packets(&headers) {
            sent += 1;
            // All of the first picture comes, as it is sent, so that there is a beginning.
            let (gone, late, twice) = (dice.falls(3), dice.falls(50), dice.falls(20));
            if index > 0 && gone {
                lost += 1;
                is_whole = false;
                continue;
            }
            let delay = Duration::from_millis(if index > 0 && late { 25 } else { 1 });
            let bytes = [header, payload].concat();
            if twice {
                under_way.insert((now + delay + Duration::from_millis(3), sent << 1 | 1), bytes.clone());
            }
            under_way.insert((now + delay, sent << 1), bytes);
        }
        whole.extend(is_whole.then(|| (stamp.timestamp, files[index as usize % 3].clone())));
        while let Some(entry) = under_way.first_entry()
            && entry.key().0 < now + Duration::from_millis(40)
        {
            let ((time, _), bytes) = entry.remove_entry();
            receiver.take(time, &bytes);
        }
    }

    // The last ones may still wait for packets that do not come any more.
    let end = whole.len() - 5;
    assert!(receiver.shown[..end] == whole[..end], "other pictures than those that came whole");
    let reorder::Counts { lost: told, strange, started, duplicate, late, .. } = receiver.reorder.counts();
    assert!(lost > 500 && lost - told < 5, "{told} of {lost} lost packets were told");
    assert_eq!((strange, started, late), (0, 1, 0));
    assert!(duplicate > 1000, "{duplicate}");
    assert!(receiver.highest - u64::from(FIRST_SEQUENCE) > 2 * 65_536);
}
