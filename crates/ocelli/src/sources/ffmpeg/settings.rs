//! What the text of an `ffmpeg:` source says: `ffmpeg:INPUT#video=h264&audio=off`.

use crate::ffmpeg::{Input, Version, Words, jpeg_scale};
use crate::sources::{SourceOptions, SourceUrl, SpecError};

/// How pictures come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Video {
    Copy,
    Jpeg,
    H264,
}

/// How sound comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audio {
    Off,
    Copy,
    Aac,
    Opus,
    Pcmu,
    Pcma,
}

/// One source's settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) input: Input,
    format: Option<String>,
    video: Video,
    audio: Audio,
    paced: bool,
    again: bool,
    words: Words,
    jpeg_scale: u8,
}

/// A command line, and what is written to the standard input.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) arguments: Vec<String>,
    pub(super) script: Option<String>,
}

impl Settings {
    /// Reads a source's text.
    ///
    /// # Errors
    /// It names nothing, or a parameter is none or has a value that is none.
    pub(super) fn parse(url: &SourceUrl, options: &SourceOptions) -> Result<Self, SpecError> {
        url.only(&["video", "audio", "format", "realtime", "loop", "input", "output"])?;
        let text = url.rest();
        if text == "-" || text.starts_with("pipe:") {
            return Err(SpecError::new(
                "`ffmpeg:` cannot read a pipe: what a program writes is read by `exec:`",
            ));
        }
        let input = Input::parse(text).ok_or_else(|| {
            SpecError::new("`ffmpeg:` needs something to read, as in `ffmpeg:rtmp://host/live/cam` or `ffmpeg:x11grab::0`")
        })?;
        let format = url.text("format").map(str::to_owned);
        if format.is_some() && input.holds_password() {
            return Err(SpecError::new(
                "format: with it FFmpeg's command line shows the address, password and all, to every user of this machine: \
                 leave it out, FFmpeg tells most formats by itself",
            ));
        }
        // What devices give is not coded.
        let default = if matches!(input, Input::Device { .. }) { Video::Jpeg } else { Video::Copy };
        let video = match url.text("video") {
            None => default,
            Some("copy") => Video::Copy,
            Some("mjpeg" | "jpeg") => Video::Jpeg,
            Some("h264") => Video::H264,
            Some(other) => return Err(unknown("video", other, "copy, mjpeg or h264")),
        };
        let audio = match url.text("audio") {
            None | Some("copy") => Audio::Copy,
            Some("off" | "no" | "0") => Audio::Off,
            Some("aac") => Audio::Aac,
            Some("opus") => Audio::Opus,
            Some("pcmu") => Audio::Pcmu,
            Some("pcma") => Audio::Pcma,
            Some(other) => return Err(unknown("audio", other, "copy, off, aac, opus, pcmu or pcma")),
        };
        let mut words = Words::sorted(options.ffmpeg.extra_args());
        words.add(Words::of_input(&split(url, "input")?));
        words.after.extend(split(url, "output")?);
        Ok(Self {
            paced: url.flag("realtime")?.unwrap_or(input.is_film()),
            again: url.flag("loop")?.unwrap_or(false),
            input,
            format,
            video,
            audio,
            words,
            jpeg_scale: jpeg_scale(options.quality),
        })
    }

    /// Whether FFmpeg's command line shows the address to every user of this machine, and there is a password in it.
    pub(super) fn shows_password(&self, version: &Version) -> bool {
        self.input.holds_password() && !version.takes_options_from_script()
    }

    /// How FFmpeg of this version is told.
    pub(super) fn invocation(&self, version: &Version) -> Invocation {
        let mut line: Vec<String> =
            ["-nostdin", "-hide_banner", "-loglevel", "error"].map(str::to_owned).into();
        if self.paced {
            line.push("-re".to_owned());
        }
        if self.again {
            line.extend(["-stream_loop", "-1"].map(str::to_owned));
        }
        let mut words = self.words.clone();
        let after = std::mem::take(&mut words.after);
        let told = self.input.told(version, self.format.as_deref(), words);
        line.extend(told.words);
        // Pictures that are covers of sound are none of a camera's.
        line.extend(["-map", "0:V:0"].map(str::to_owned));
        line.extend(self.video_words());
        line.extend(self.audio_words());
        line.extend(after);
        // Each packet as soon as it is there, and none waits for another stream's.
        line.extend(
            ["-flush_packets", "1", "-max_interleave_delta", "1", "-f", "nut", "pipe:1"].map(str::to_owned),
        );
        Invocation { arguments: line, script: told.script }
    }

    fn video_words(&self) -> Vec<String> {
        let scale = self.jpeg_scale.to_string();
        let words: &[&str] = match self.video {
            Video::Copy => &["-c:v", "copy"],
            Video::Jpeg => &["-c:v", "mjpeg", "-q:v", &scale, "-pix_fmt", "yuvj420p", "-huffman", "default"],
            Video::H264 => &[
                "-c:v",
                "libx264",
                "-preset",
                "superfast",
                "-tune",
                "zerolatency",
                "-pix_fmt",
                "yuv420p",
                "-force_key_frames",
                "expr:gte(t,n_forced*2)",
            ],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn audio_words(&self) -> Vec<String> {
        let words: &[&str] = match self.audio {
            Audio::Off => &[],
            Audio::Copy => &["-map", "0:a:0?", "-c:a", "copy"],
            Audio::Aac => &["-map", "0:a:0?", "-c:a", "aac"],
            Audio::Opus => &["-map", "0:a:0?", "-c:a", "libopus", "-application", "lowdelay"],
            Audio::Pcmu => &["-map", "0:a:0?", "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"],
            Audio::Pcma => &["-map", "0:a:0?", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

fn unknown(name: &str, found: &str, expected: &str) -> SpecError {
    SpecError::new(format!("{name}={found}: expected {expected}"))
}

/// The words of a parameter, as a shell would split them.
fn split(url: &SourceUrl, name: &str) -> Result<Vec<String>, SpecError> {
    let text = url.text(name).unwrap_or_default();
    shell_words::split(text).map_err(|_| SpecError::new(format!("{name}: a quote is not closed")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ffmpeg::Program;

    fn settings(text: &str) -> Result<Settings, SpecError> {
        let extra = ["-rtsp_flags", "prefer_tcp", "-an"].map(str::to_owned).to_vec();
        let ffmpeg = Arc::new(Program::new("ffmpeg".into(), true, extra));
        let options = SourceOptions { ffmpeg, ..SourceOptions::default() };
        Settings::parse(&SourceUrl::parse(text).expect("a source"), &options)
    }

    fn line(text: &str) -> String {
        let version =
            Version::parse("ffmpeg version x\nlibavformat 59. 27.100 / 59. 27.100\n").expect("a version");
        settings(text).expect("good").invocation(&version).arguments.join(" ")
    }

    #[test]
    fn what_is_copied_and_what_is_encoded_is_stated() {
        let copied = line("ffmpeg:/a.mkv");
        assert!(
            copied.contains(
                " -re -rtsp_flags prefer_tcp -i file:/a.mkv -map 0:V:0 -c:v copy -map 0:a:0? -c:a copy -an "
            ),
            "{copied}"
        );
        let encoded = line("ffmpeg:/a.mkv#video=h264#audio=opus&realtime=0&loop");
        assert!(
            encoded.contains("-c:v libx264") && encoded.contains("-c:a libopus") && !encoded.contains("-re "),
            "{encoded}"
        );
        assert!(encoded.contains("-stream_loop -1"), "{encoded}");
        let screen = line("ffmpeg:x11grab::0#input=-framerate 15&audio=off&output=-vf 'scale=640:-2'");
        assert!(
            screen.contains(
                " -f x11grab -rtsp_flags prefer_tcp -framerate 15 -i :0 -map 0:V:0 -c:v mjpeg -q:v 7 "
            ),
            "{screen}"
        );
        assert!(screen.contains(" -an -vf scale=640:-2 -flush_packets 1"), "{screen}");
    }

    #[test]
    fn an_address_is_not_on_the_command_line() {
        let line = line("ffmpeg:rtmp://me:word@h/live/key");
        assert!(!line.contains("word") && !line.contains("key") && line.contains("-i pipe:0"), "{line}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| settings(text).expect_err("wrong").to_string();
        assert!(error("ffmpeg:").contains("needs something to read"));
        assert!(error("ffmpeg:-").contains("exec:"));
        assert!(error("ffmpeg:a.mkv#video=vp9").contains("expected copy, mjpeg or h264"));
        assert!(error("ffmpeg:a.mkv#vidoe=copy").contains("did you mean `video`"));
        assert!(error("ffmpeg:a.mkv#output='x").contains("a quote is not closed"));
        assert!(error("ffmpeg:rtmp://u:p@h/x#format=flv").contains("every user of this machine"));
    }
}
