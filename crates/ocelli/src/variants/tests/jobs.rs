//! Pictures that are wanted once.

use std::time::Duration;

use ocelli_codec::worker::protocol::{Able, Hello};

use super::*;

const WISH: Wish = Wish { quality: None, sampling: None, most: Size { width: 2040, height: 2040 } };

/// A way to a script that begins with `hello`.
fn script(hello: &[u8], rest: &str) -> (Pixels, TempDir) {
    let (path, directory) = program(hello, &format!("#!/bin/sh\n/bin/cat \"${{0%/*}}/hello\"\n{rest}\n"));
    (pixels(path), directory)
}

async fn failure(recoder: &Pixels) -> Failure {
    let asked = recoder.recode(JPEG, WISH);
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_and_looked_for_again_later() {
    let path = PathBuf::from("/no/such/ocelli-codec");
    let recoder = pixels(path);
    let words = "the program /no/such/ocelli-codec is missing: install it beside `ocelli`, with which it is built and released";
    for _ in 0..3 {
        assert_eq!(failure(&recoder).await, Failure::Unavailable(words.into()));
    }
    let stats = recoder.stats();
    assert_eq!((stats.failed, stats.starts, stats.cause.as_deref()), (3, 0, Some(words)));
}

#[tokio::test]
async fn another_version_and_another_program_are_refused_in_words() {
    let own = env!("CARGO_PKG_VERSION");
    let other = Hello { version: "0.0.9".into(), ..Hello::new(Able::default(), "") };
    let (recoder, _directory) = script(&other.write(), "exec /bin/cat");
    let words =
        format!("`ocelli-codec` is version 0.0.9 and this program {own}: install both from the same release");
    assert_eq!(failure(&recoder).await, Failure::Unavailable(words.into()));

    let other = Hello { protocol: 99, ..Hello::new(Able::default(), "") };
    let (recoder, _directory) = script(&other.write(), "exec /bin/cat");
    let Failure::Unavailable(words) = failure(&recoder).await else { panic!("expected a refusal") };
    assert!(words.contains("speaks protocol 99"), "{words}");

    for hello in [&b"Usage: ocelli-codec FILE"[..], b"\0\0\0\x04\x80xyz"] {
        let (recoder, _directory) = script(hello, "exec /bin/cat");
        let words = "the program `ocelli-codec` is another one of this name";
        assert_eq!(failure(&recoder).await, Failure::Unavailable(words.into()));
        assert_eq!(recoder.stats().starts, 1);
    }
}

#[tokio::test]
async fn the_end_names_status_and_last_words() {
    let (recoder, _directory) = script(&good_hello(), "echo 'out of luck' >&2; exit 3");
    let words = "`ocelli-codec` ended with status 3: out of luck";
    // Twice: after the first loss it is started again at once, after the second it is waited.
    for starts in [1, 2, 2] {
        assert_eq!(failure(&recoder).await, Failure::Lost(words.into()));
        assert_eq!(recoder.stats().starts, starts);
    }
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_killed() {
    let (recoder, _directory) = script(&good_hello(), "exec /bin/sleep 1000");
    let words = "`ocelli-codec` did not answer within 3 s and was killed";
    assert_eq!(failure(&recoder).await, Failure::Lost(words.into()));
    recoder.stop();
}

#[tokio::test]
async fn a_worker_that_answers_nonsense_is_not_believed() {
    for answer in [
        "printf '\\000\\000\\000\\001\\143'",
        "printf '\\377\\377\\377\\377'",
        "printf '\\000\\000\\000\\002\\202\\000'",
    ] {
        let (recoder, _directory) = script(&good_hello(), &format!("{answer}; exec /bin/sleep 1000"));
        let Failure::Lost(words) = failure(&recoder).await else { panic!("{answer}") };
        assert!(words.starts_with("`ocelli-codec` answered what it should not: a message"), "{words}");
    }
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_oldest_goes() {
    let (recoder, _directory) = script(&good_hello(), "exec /bin/sleep 1000");
    let asked: Vec<_> = (0..MOST_WAITING as u8 + 3)
        .map(|number| {
            let recoder = recoder.clone();
            tokio::spawn(
                async move { recoder.recode(JPEG, Wish { quality: Some(number + 1), ..WISH }).await },
            )
        })
        .collect();
    while recoder.stats().overtaken < 2 {
        tokio::task::yield_now().await;
    }
    recoder.stop();
    let mut overtaken = Vec::new();
    for (number, asked) in asked.into_iter().enumerate() {
        match asked.await.unwrap().unwrap_err() {
            Failure::Overtaken => overtaken.push(number),
            failure => assert_eq!(failure, Failure::Stopped),
        }
    }
    assert!(overtaken.len() >= 2 && overtaken.iter().all(|number| *number < 4), "{overtaken:?}");
    assert_eq!(recoder.recode(JPEG, WISH).await, Err(Failure::Stopped));
    while !recoder.has_stopped() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_picture_that_is_none_is_not_passed_on() {
    let answer =
        "head -c 5 >/dev/null; printf '\\000\\000\\000\\013\\201\\000\\000\\000\\001\\000\\010\\000\\010xx'";
    let (recoder, _directory) =
        script(&good_hello(), &format!("PATH=/usr/bin:/bin; {answer}; exec sleep 1000"));
    let words = "`ocelli-codec` answered what it should not: a picture that is no JPEG";
    assert_eq!(failure(&recoder).await, Failure::Lost(words.into()));
}

#[tokio::test]
async fn words_are_no_answer() {
    let note = "printf '\\000\\000\\000\\006\\205\\000\\001\\001ha'";
    let (recoder, _directory) = script(&good_hello(), &format!("while {note}; do /bin/sleep 0.2; done"));
    let words = "`ocelli-codec` did not answer within 3 s and was killed";
    assert_eq!(failure(&recoder).await, Failure::Lost(words.into()));
    recoder.stop();
}

#[tokio::test]
async fn stills_do_not_overtake_what_is_re_encoded() {
    let (recoder, _directory) = script(&good_hello(), "exec /bin/sleep 1000");
    let ask = |what| {
        let pixels = recoder.0.clone();
        tokio::spawn(async move { pixels.make(JPEG, what).await })
    };
    let re_encoded = ask(What::Recode(WISH));
    tokio::task::yield_now().await;
    let stills: Vec<_> = (0..MOST_WAITING as u8 + 3)
        .map(|number| {
            let wish = Wish { quality: Some(number + 1), ..WISH };
            ask(What::Still(Still { input: Input::H264, wish, turn: ocelli_media::Turn::None }))
        })
        .collect();
    while recoder.stats().overtaken < 2 {
        tokio::task::yield_now().await;
    }
    recoder.stop();
    assert_eq!(re_encoded.await.unwrap(), Err(Failure::Stopped));
    for still in stills {
        assert!(still.await.unwrap().is_err());
    }
}
