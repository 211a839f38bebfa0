//! The ring under loom: the interleavings of a writer and two readers with up to three preemptions each, which is
//! where loom's own experience finds nearly all faults; unbounded, the same model does not end within ten minutes.

use loom::future::block_on;
use loom::thread;

use super::*;

/// Numbers from this one on are no keys and do not count, as sound between pictures.
const SOUND: u32 = 100;

impl Piece for u32 {
    fn key(&self) -> bool {
        *self < SOUND
    }
    fn counts(&self) -> bool {
        *self < SOUND
    }
    fn size(&self) -> usize {
        1
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// No wake is lost: a reader that waits while the writer pushes and leaves always gets the pieces and the end.
#[test]
fn a_reader_sees_the_last_piece_and_the_end() {
    check(|| {
        let (mut sender, ring) = ring(Bounds { pieces: 2, bytes: 100 });
        let readers = [Want::All, Want::Latest].map(|want| {
            let mut reader = ring.subscribe(want);
            thread::spawn(move || {
                block_on(async {
                    let mut read = Vec::new();
                    while let Ok(Next::Piece(number)) = reader.next().await {
                        read.push(number);
                    }
                    read
                })
            })
        });
        sender.push(1);
        sender.push(2);
        drop(sender);
        let [all, latest] = readers.map(|reader| reader.join().expect("the reader ends"));
        assert_eq!(all, [1, 2]);
        assert_eq!(latest.last(), Some(&2));
    });
}

/// Who wants keys only is not woken by other pieces, and misses no key for it.
#[test]
fn sound_between_pictures_hides_none() {
    check(|| {
        let (mut sender, ring) = ring(Bounds { pieces: 1, bytes: 100 });
        let mut reader = ring.subscribe(Want::Latest);
        let reader = thread::spawn(move || {
            block_on(async {
                let mut last = None;
                while let Ok(Next::Piece(number)) = reader.next().await {
                    last = Some(number);
                }
                last
            })
        });
        for piece in [SOUND, 1, SOUND] {
            sender.push(piece);
        }
        drop(sender);
        assert_eq!(reader.join().expect("the reader ends"), Some(1));
    });
}

/// A reader that leaves while the writer pushes neither wedges the writer nor leaves its place taken.
#[test]
fn a_reader_that_leaves_gives_its_place_back() {
    check(|| {
        let (mut sender, ring) = ring(Bounds { pieces: 1, bytes: 100 });
        let mut reader = ring.subscribe(Want::Live);
        let leaver = thread::spawn(move || drop(reader.try_next()));
        sender.push(1);
        leaver.join().expect("the reader ends");
        {
            let state = ring.shared.lock();
            assert_eq!(state.slots.len(), state.free.len());
        }
        assert_eq!(ring.subscribe(Want::Latest).try_next(), Ok(Some(Next::Piece(1))));
    });
}
