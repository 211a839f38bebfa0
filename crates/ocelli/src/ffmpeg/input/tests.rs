//! What names what, and what does not get onto a command line.

use super::*;

fn version(library: &str) -> Version {
    let answer = format!("ffmpeg version x Copyright\nlibavformat {library}.100 / {library}.100\n");
    Version::parse(&answer).expect("an answer")
}

#[test]
fn addresses_files_and_devices_are_told_apart() {
    let device = |kind: &str, name: &str| Input::Device { kind: kind.into(), name: name.into() };
    for (text, input) in [
        ("rtmp://h/a/b", Input::Address("rtmp://h/a/b".into())),
        ("srt://h:9000?mode=caller", Input::Address("srt://h:9000?mode=caller".into())),
        ("/a/b.mkv", Input::File("/a/b.mkv".into())),
        ("file:///a/b:c.mkv", Input::File("/a/b:c.mkv".into())),
        ("b:c.mkv", Input::File("b:c.mkv".into())),
        ("x11grab::0.0+10,20", device("x11grab", ":0.0+10,20")),
        ("lavfi:testsrc2=size=64x48", device("lavfi", "testsrc2=size=64x48")),
    ] {
        assert_eq!(Input::parse(text), Some(input));
    }
    assert_eq!(Input::parse(""), None);
}

#[test]
fn an_address_and_its_options_are_in_the_script_alone() {
    let input = Input::parse("rtsp://me:it's#1@h/x?y=1").expect("an address");
    let words = Words::of_input(&["-headers", "Authorization: a'b\n", "-re"].map(str::to_owned));
    let told = input.told(&version("59.27"), None, words.clone());
    assert!(!told.words.iter().any(|word| word.contains("it's") || word.contains("Auth")), "{told:?}");
    assert_eq!(told.words[0], "-re");
    assert_eq!(
        told.script.as_deref(),
        Some(
            "ffconcat version 1.0\nfile 'rtsp://me:it'\\''s#1@h/x?y=1'\noption fpsprobesize '0'\noption rtsp_transport 'tcp'\n\
             option headers 'Authorization: a'\\''b'\n"
        )
    );
    let told = input.told(&version("58.76"), None, words);
    assert!(told.script.is_none() && told.words.ends_with(&["-i".into(), "rtsp://me:it's#1@h/x?y=1".into()]));
}

#[test]
fn files_and_devices_are_on_the_command_line() {
    let told = |text: &str, format, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let input = Input::parse(text).expect("an input");
        input.told(&version("59.27"), format, Words::of_input(&words)).words.join(" ")
    };
    assert_eq!(told("x11grab::0", None, &["-framerate", "30"]), "-f x11grab -framerate 30 -i :0");
    assert_eq!(told("a:b.ts", Some("mpegts"), &[]), "-f mpegts -i file:a:b.ts");
}

#[test]
fn films_are_told_from_cameras() {
    for (text, film) in [
        ("clip.mkv", true),
        ("https://h/live/index.m3u8?token=1", true),
        ("http://h/live.ts", false),
        ("rtmp://h/a/b.flv", false),
        ("x11grab::0", false),
    ] {
        assert_eq!(Input::parse(text).expect("an input").is_film(), film, "{text}");
    }
}

#[test]
fn secrets_are_the_address_and_its_parts() {
    let input = Input::parse("rtmp://me:word@h/live/abcdefghijkl?token=0123456789&x=1").expect("an address");
    assert!(input.holds_password());
    let secrets = input.secrets();
    for secret in ["me:word", "word", "abcdefghijkl", "0123456789", "token=0123456789&x=1"] {
        assert!(secrets.iter().any(|known| known == secret), "{secret}");
    }
    assert!(secrets[0].starts_with("rtmp://") && !secrets.contains(&"1".to_owned()));
}
