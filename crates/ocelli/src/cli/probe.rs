//! `ocelli probe SOURCE`: runs a source for a moment and says what it sends.

use std::io::{self, Write};
use std::num::NonZeroU8;
use std::time::Duration;

use ocelli_hub::{Bounds, DropReason, Item, Publisher, Stream, Subscriber, Want};
use ocelli_media::{Frame, Track};
use tokio::time::{Instant, timeout};

use super::{BAD_CONFIGURATION, ProbeArgs};
use crate::children;
use crate::sources::{self, SourceOptions, hide_user};

/// How long pictures are counted once there is one.
const COUNTED: Duration = Duration::from_secs(2);

/// How long a camera's process may take to end.
const ENDING: Duration = Duration::from_secs(4);

/// What came in the time in which pictures were counted.
#[derive(Debug, Default)]
struct Seen {
    tracks: Vec<Track>,
    /// Between the start and the first picture.
    wait: Duration,
    /// Between the first picture and the last.
    span: Duration,
    pictures: u32,
    bytes: u64,
    largest: usize,
    sounds: u32,
    sound_bytes: u64,
}

/// Runs the source that `args` name and writes what it sends to `out`, or to `errors` why it sends nothing. Gives the
/// exit status.
///
/// # Errors
/// Writing failed.
pub async fn probe(args: &ProbeArgs, out: &mut dyn Write, errors: &mut dyn Write) -> io::Result<u8> {
    let text = source_text(&args.source);
    let options = SourceOptions::default();
    let patience = options.policy(text.split(':').next().unwrap_or_default()).silence;
    let mut source = match sources::build(&text, &options) {
        Ok(source) => source,
        Err(error) => {
            writeln!(errors, "{}", hide_user(&error.to_string()))?;
            return Ok(BAD_CONFIGURATION);
        }
    };
    writeln!(out, "{}", hide_user(&text))?;
    let stream = Stream::new(
        "probe".parse().expect("the constant is a valid name"),
        // Room for the burst with which some cameras start.
        Bounds { pieces: 64, bytes: 64 << 20 },
    );
    let mut publisher: Publisher = stream.publish().expect("a new stream has no publisher");
    let mut subscriber = stream.subscribe(Want::All);
    let mut seen = Seen::default();
    let ended = tokio::select! {
        ended = source.run(&mut publisher) => Some(ended),
        () = watch(&mut subscriber, &mut seen, patience) => None,
    };
    if ended.is_some() {
        // A film may be over before it was looked at.
        let _ = timeout(Duration::ZERO, watch(&mut subscriber, &mut seen, patience)).await;
    }
    drop(source);
    let _ = timeout(ENDING, children::all_ended()).await;
    let dropped: u64 = stream.stats().dropped.iter().map(|(_, count)| count).sum();
    if seen.pictures == 0 {
        let cause = match ended {
            Some(Err(error)) => error.cause().to_owned(),
            Some(Ok(())) => "it ended without a picture".to_owned(),
            None => format!("no picture came in {} s", patience.as_secs()),
        };
        let sound_alone = if stream.stats().sound_frames > 0 { ", only sound" } else { "" };
        writeln!(errors, "{cause}{sound_alone}")?;
        if dropped > 0 {
            writeln!(errors, "{dropped} pictures were dropped: {}", reasons(&stream.stats().dropped))?;
        }
        return Ok(1);
    }
    report(&seen, out)?;
    if let Some(transport) = stream.stats().network.and_then(|network| network.transport) {
        writeln!(out, "  packets come by {transport}")?;
    }
    if dropped > 0 {
        writeln!(out, "  dropped: {}", reasons(&stream.stats().dropped))?;
    }
    if let Some(Err(error)) = ended {
        writeln!(out, "  then it stopped: {}", error.cause())?;
    }
    Ok(0)
}

/// The words of the command line as one source. The first may be a whole source; further ones are the words of a
/// command.
fn source_text(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [source] => source.clone(),
        [first, rest @ ..] => format!("{first} {}", shell_words::join(rest)),
    }
}

/// Counts pictures until enough time has passed; the first may take as long as `patience`.
async fn watch(subscriber: &mut Subscriber, seen: &mut Seen, patience: Duration) {
    let start = Instant::now();
    let mut first = None;
    loop {
        let until = first.map_or(start + patience, |first: Instant| first + COUNTED);
        match tokio::time::timeout_at(until, subscriber.next()).await {
            Ok(Ok(Item::Tracks(tracks))) => seen.tracks.clone_from(&tracks),
            Ok(Ok(Item::Frame(frame))) => {
                let first = *first.get_or_insert_with(Instant::now);
                seen.wait = first - start;
                seen.count(&frame, first.elapsed());
            }
            Ok(Ok(Item::Notice(_) | Item::Lost { .. })) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

impl Seen {
    /// `since`: since the first picture.
    fn count(&mut self, frame: &Frame, since: Duration) {
        if !frame.is_picture() {
            self.sounds += 1;
            self.sound_bytes += frame.data.len() as u64;
            return;
        }
        self.span = since;
        self.pictures += 1;
        self.bytes += frame.data.len() as u64;
        self.largest = self.largest.max(frame.data.len());
    }
}

fn report(seen: &Seen, out: &mut dyn Write) -> io::Result<()> {
    for track in &seen.tracks {
        let size = track.size.map(|size| format!(" {size}")).unwrap_or_default();
        let sound = track.channels.map(|channels| format!(" {} Hz, {}", track.clock_rate, words(channels)));
        writeln!(out, "  {}{size}{}", track.codec, sound.unwrap_or_default())?;
    }
    let average = seen.bytes / u64::from(seen.pictures.max(1));
    writeln!(
        out,
        "  {} KB a picture, the largest {} KB",
        kilobytes(average),
        kilobytes(seen.largest as u64)
    )?;
    let seconds = seen.span.as_secs_f64();
    if seen.pictures > 1 && seconds > 0.0 {
        let rate = f64::from(seen.pictures - 1) / seconds;
        let bits = rate * average as f64 * 8.0;
        writeln!(out, "  {rate:.1} pictures a second, {:.1} Mbit/s", bits / 1e6)?;
    } else {
        writeln!(out, "  one picture in {} s", COUNTED.as_secs())?;
    }
    if seen.sounds > 0 && seconds > 0.0 {
        let (rate, bits) = (f64::from(seen.sounds) / seconds, seen.sound_bytes as f64 * 8.0 / seconds);
        writeln!(out, "  {rate:.0} packets of sound a second, {:.0} kbit/s", bits / 1e3)?;
    }
    writeln!(out, "  the first picture after {} ms", seen.wait.as_millis())
}

fn words(channels: NonZeroU8) -> String {
    match channels.get() {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        more => format!("{more} channels"),
    }
}

/// With one digit behind the point.
fn kilobytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1000.0)
}

fn reasons(dropped: &[(DropReason, u64)]) -> String {
    let counts: Vec<String> = dropped
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {}", reason.as_str().replace('_', " ")))
        .collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn probed(words: &[&str]) -> (u8, String, String) {
        let args = ProbeArgs { source: words.iter().map(|word| (*word).to_owned()).collect() };
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let status = probe(&args, &mut out, &mut errors).await.unwrap();
        (status, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[tokio::test]
    async fn a_source_that_works_is_described() {
        let (status, out, errors) = probed(&["pattern:?width=320&height=240&fps=50"]).await;
        assert_eq!((status, errors.as_str()), (0, ""), "{out}");
        assert!(out.contains("  mjpeg 320x240\n"), "{out}");
        assert!(out.contains(" pictures a second, "), "{out}");
        assert!(out.contains("  the first picture after "), "{out}");
    }

    #[tokio::test]
    async fn a_source_that_does_not_says_why() {
        let (status, _, errors) = probed(&["pattern:?widht=320"]).await;
        assert_eq!(status, BAD_CONFIGURATION);
        assert!(errors.contains("did you mean `width`"), "{errors}");
        let (status, out, errors) =
            probed(&["exec:sh", "-c", "echo broken lens >&2; exit 3", "http://u:p@h/"]).await;
        assert_eq!(status, 1);
        assert!(errors.contains("broken lens"), "{errors}");
        assert!(out.contains("exec:sh -c 'echo broken lens >&2; exit 3' ") && !out.contains("u:p"), "{out}");
    }
}
