//! The ring's rules, one by one and then on random histories.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Picture {
    number: u64,
    key: bool,
    counts: bool,
    size: usize,
}

impl Piece for Picture {
    fn key(&self) -> bool {
        self.key
    }
    fn counts(&self) -> bool {
        self.counts
    }
    fn size(&self) -> usize {
        self.size
    }
}

const ROOMY: Bounds = Bounds { pieces: 1000, bytes: usize::MAX };

fn key(number: u64) -> Picture {
    Picture { number, key: true, counts: true, size: 1 }
}

fn delta(number: u64) -> Picture {
    Picture { key: false, ..key(number) }
}

fn sound(number: u64) -> Picture {
    Picture { counts: false, ..delta(number) }
}

/// Everything that is there for `reader` now: numbers of pieces, and `Err(n)` for a loss of n.
fn drain(reader: &mut Reader<Picture>) -> Vec<Result<u64, u64>> {
    let mut out = Vec::new();
    while let Ok(Some(next)) = reader.try_next() {
        out.push(match next {
            Next::Piece(picture) => Ok(picture.number),
            Next::Lost { pieces } => Err(pieces),
        });
    }
    out
}

fn kept(ring: &Ring<Picture>) -> usize {
    ring.shared.lock().pieces.len()
}

fn taken(ring: &Ring<Picture>) -> usize {
    let state = ring.shared.lock();
    state.slots.len() - state.free.len()
}

#[test]
fn a_reader_that_wants_something_else_gets_it_from_there_on() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Latest);
    for picture in [key(0), key(1), delta(2)] {
        sender.push(picture);
    }
    let first = reader.try_next();
    assert_eq!(first, Ok(Some(Next::Piece(key(1)))));
    reader.set_want(Want::Live);
    sender.push(key(3));
    assert_eq!(drain(&mut reader), [Ok(2), Ok(3)]);
    reader.set_want(Want::Latest);
    sender.push(key(4));
    sender.push(key(5));
    assert_eq!(drain(&mut reader), [Ok(5)]);
    assert_eq!(reader.skipped(), 2, "one before the first piece, one before the last");
}

#[test]
fn a_new_reader_starts_at_the_newest_key_at_once() {
    let (mut sender, ring) = ring(ROOMY);
    let mut early = ring.subscribe(Want::Live);
    assert_eq!(drain(&mut early), []);
    for picture in [delta(0), key(1), delta(2), key(3), delta(4)] {
        sender.push(picture);
    }
    assert_eq!(drain(&mut ring.subscribe(Want::Live)), [Ok(3), Ok(4)]);
    assert_eq!(drain(&mut ring.subscribe(Want::All)), [Ok(3), Ok(4)]);
    assert_eq!(drain(&mut ring.subscribe(Want::Latest)), [Ok(3)]);
    assert_eq!(drain(&mut early), [Ok(1), Ok(2), Ok(3), Ok(4)], "what came before the first key is no loss");
}

#[test]
fn latest_skips_to_the_newest_and_counts_what_it_skipped() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Latest);
    for n in 0..10 {
        sender.push(key(n));
    }
    assert_eq!(drain(&mut reader), [Ok(9)]);
    assert_eq!(reader.skipped(), 9);
}

#[test]
fn a_stream_of_keys_keeps_one_piece_for_latest_readers() {
    let (mut sender, ring) = ring(ROOMY);
    let _reader = ring.subscribe(Want::Latest);
    for n in 0..100 {
        sender.push(key(n));
    }
    assert_eq!(kept(&ring), 1);
}

#[test]
fn live_goes_on_to_the_newest_key_only_when_it_is_far_behind() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Live);
    sender.push(key(0));
    assert_eq!(drain(&mut reader), [Ok(0)]);
    for n in 1..4 {
        sender.push(delta(n));
    }
    sender.push(key(4));
    assert_eq!(drain(&mut reader), [Ok(1), Ok(2), Ok(3), Ok(4)], "a little behind: no loss");
    for n in 5..20 {
        sender.push(delta(n));
    }
    sender.push(key(20));
    sender.push(delta(21));
    assert_eq!(drain(&mut reader), [Err(15), Ok(20), Ok(21)]);
}

#[test]
fn how_far_a_reader_is_behind_is_told_without_the_sound() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Live);
    sender.push(key(0));
    assert_eq!(drain(&mut reader), [Ok(0)]);
    // 100 ms of sound in packets of 5 ms, and three pictures.
    for n in 1..21 {
        sender.push(if n % 10 == 0 { delta(n) } else { sound(n) });
    }
    sender.push(key(21));
    assert_eq!(drain(&mut reader), (1..22).map(Ok).collect::<Vec<_>>(), "a little behind: no loss");
    for n in 22..40 {
        sender.push(if n % 2 == 0 { delta(n) } else { sound(n) });
    }
    sender.push(key(40));
    sender.push(sound(41));
    assert_eq!(
        drain(&mut reader),
        [Err(9), Ok(40), Ok(41)],
        "sound that is lost with pictures does not count"
    );
    assert_eq!(reader.skipped_between(), 9, "and is known of all the same");
}

#[test]
fn latest_counts_no_sound_and_is_not_kept_from_its_picture_by_any() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Latest);
    for piece in [sound(0), key(1), sound(2), key(3), sound(4)] {
        sender.push(piece);
    }
    assert_eq!(drain(&mut reader), [Ok(3)]);
    assert_eq!(reader.skipped(), 1);
    assert_eq!(kept(&ring), 2, "the newest picture, and the sound since");
}

#[test]
fn a_group_of_pictures_is_kept_whole_whatever_the_bound_for_those_that_stand_alone() {
    let (mut sender, ring) = ring(Bounds { pieces: 2, bytes: usize::MAX });
    for n in 0..1000 {
        sender.push(if n == 0 { key(n) } else { delta(n) });
    }
    assert_eq!(drain(&mut ring.subscribe(Want::Live)).len(), 1000);
    let slow = ring.subscribe(Want::All);
    for n in 1000..1004 {
        sender.push(key(n));
        sender.push(delta(n));
    }
    assert_eq!(kept(&ring), 5, "two keys, what stands behind them, and the rest of the group before");
    drop(slow);
    for _ in 0..2 * MOST_PIECES {
        sender.push(delta(0));
    }
    assert!(kept(&ring) <= MOST_PIECES);
}

#[test]
fn what_the_bounds_force_out_is_a_marked_gap_and_the_next_piece_is_a_key() {
    let (mut sender, ring) = ring(Bounds { pieces: 100, bytes: 4 });
    let mut reader = ring.subscribe(Want::All);
    sender.push(key(0));
    assert_eq!(drain(&mut reader), [Ok(0)]);
    let forced_out: u64 =
        [delta(1), delta(2), delta(3), key(4), delta(5), delta(6)].map(|p| sender.push(p)).iter().sum();
    assert_eq!(forced_out, 2);
    assert_eq!(drain(&mut reader), [Err(3), Ok(4), Ok(5), Ok(6)]);
}

#[test]
fn bytes_are_a_bound_too_but_the_newest_piece_always_stays() {
    let (mut sender, ring) = ring(Bounds { pieces: 100, bytes: 10 });
    let _slow = ring.subscribe(Want::All);
    for n in 0..5 {
        sender.push(Picture { size: 4, ..key(n) });
    }
    assert_eq!(kept(&ring), 2);
    sender.push(Picture { size: 1000, ..key(5) });
    assert_eq!(kept(&ring), 1);
    assert_eq!(drain(&mut ring.subscribe(Want::Latest)), [Ok(5)]);
}

#[test]
fn how_far_a_live_reader_may_be_behind_is_its_own_to_say() {
    let (mut sender, ring) = ring(ROOMY);
    let (mut patient, mut usual) = (ring.subscribe(Want::Live), ring.subscribe(Want::Live));
    patient.set_slack(20);
    sender.push(key(0));
    assert_eq!((drain(&mut patient), drain(&mut usual)), (vec![Ok(0)], vec![Ok(0)]));
    for n in 1..=LIVE_SLACK {
        sender.push(delta(n));
    }
    sender.push(key(9));
    assert_eq!(drain(&mut usual), [Err(8), Ok(9)]);
    assert_eq!(drain(&mut patient), (1..=9).map(Ok).collect::<Vec<_>>());
}

#[test]
fn clearing_makes_new_readers_wait_for_a_new_key() {
    let (mut sender, ring) = ring(ROOMY);
    sender.push(key(0));
    sender.clear();
    let mut reader = ring.subscribe(Want::Latest);
    assert_eq!(drain(&mut reader), []);
    sender.push(key(1));
    assert_eq!(drain(&mut reader), [Ok(1)]);
}

#[test]
fn disconnecting_ends_todays_readers_and_dropping_the_sender_ends_all() {
    let (mut sender, ring) = ring(ROOMY);
    sender.push(key(0));
    let mut before = ring.subscribe(Want::Latest);
    sender.disconnect();
    assert_eq!(before.try_next(), Err(Closed));
    let mut after = ring.subscribe(Want::Latest);
    drop(sender);
    assert_eq!(after.try_next(), Ok(Some(Next::Piece(key(0)))), "what is there is still read");
    assert_eq!(after.try_next(), Err(Closed));
    assert!(ring.is_closed());
}

#[test]
fn places_are_given_back() {
    let (_sender, ring) = ring::<Picture>(ROOMY);
    let readers: Vec<_> = (0..10).map(|_| ring.subscribe(Want::Live)).collect();
    assert_eq!(taken(&ring), 10);
    drop(readers);
    assert_eq!(taken(&ring), 0);
    drop(ring.subscribe(Want::Live));
    assert_eq!(ring.shared.lock().slots.len(), 10);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_once_a_push() {
    let (mut sender, ring) = ring(ROOMY);
    let mut reader = ring.subscribe(Want::Live);
    let task = tokio::spawn(async move { reader.next().await });
    tokio::task::yield_now().await;
    sender.push(key(7));
    assert_eq!(task.await.unwrap(), Ok(Next::Piece(key(7))));
}

proptest! {
    /// Whatever is pushed and whenever readers read: pieces come in order, a gap is followed by a key, and for a
    /// reader that has started, pieces and gaps together account for every piece that counts.
    #[test]
    fn every_piece_is_read_or_counted(
        steps in prop::collection::vec((0_u8..3, 0_u8..4, 1_usize..50), 1..200),
        pieces in 1_usize..20,
        bytes in 1_usize..200,
        live in any::<bool>(),
    ) {
        let (mut sender, ring) = ring(Bounds { pieces, bytes });
        let mut reader = ring.subscribe(if live { Want::Live } else { Want::All });
        let mut expected = None;
        let mut after_gap = true;
        let mut number = 0;
        for (kind, reads, size) in steps {
            let counts = kind > 0;
            sender.push(Picture { number, key: kind == 1, counts, size });
            number += u64::from(counts);
            {
                let state = ring.shared.lock();
                prop_assert!(state.keys <= pieces && (state.bytes <= bytes || state.pieces.len() == 1));
                prop_assert_eq!(state.keys, state.pieces.iter().filter(|stored| stored.piece.key).count());
            }
            for _ in 0..reads {
                match reader.try_next().unwrap() {
                    Some(Next::Piece(picture)) => {
                        prop_assert!(!after_gap || picture.key);
                        prop_assert_eq!(picture.number, expected.unwrap_or(picture.number));
                        expected = Some(picture.number + u64::from(picture.counts));
                        after_gap = false;
                    }
                    Some(Next::Lost { pieces }) => {
                        expected = expected.map(|number| number + pieces);
                        after_gap = true;
                    }
                    None => break,
                }
            }
        }
    }
}
