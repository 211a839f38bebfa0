//! Which of an owner's words belong to what FFmpeg reads and which to what it writes, and which of those may stand in a script.
//!
//! FFmpeg refuses to start where an option stands on the wrong side of its input.

/// Options of what is read only. Given for what is written, FFmpeg refuses to start.
const OF_INPUTS: [&str; 24] = [
    "-rtsp_transport",
    "-rtsp_flags",
    "-fflags",
    "-flags",
    "-probesize",
    "-analyzeduration",
    "-fpsprobesize",
    "-timeout",
    "-stimeout",
    "-rw_timeout",
    "-user_agent",
    "-headers",
    "-hwaccel",
    "-hwaccel_device",
    "-hwaccel_output_format",
    "-max_delay",
    "-reorder_queue_size",
    "-buffer_size",
    "-thread_queue_size",
    "-use_wallclock_as_timestamps",
    "-stream_loop",
    "-readrate",
    "-re",
    "-rtmp_live",
];

/// Options that the program itself takes for an input, or its decoders do; all others are the reader's.
const OF_PROGRAM: [&str; 33] = [
    "f",
    "c",
    "codec",
    "vcodec",
    "acodec",
    "ss",
    "sseof",
    "t",
    "to",
    "itsoffset",
    "itsscale",
    "stream_loop",
    "readrate",
    "readrate_initial_burst",
    "r",
    "ar",
    "ac",
    "s",
    "pix_fmt",
    "hwaccel",
    "hwaccel_device",
    "hwaccel_output_format",
    "init_hw_device",
    "thread_queue_size",
    "threads",
    "discard",
    "flags",
    "flags2",
    "skip_frame",
    "err_detect",
    "ec",
    "loglevel",
    "v",
];

/// Those of the program's options that stand alone.
const ALONE: [&str; 12] = [
    "re",
    "an",
    "vn",
    "sn",
    "dn",
    "copyts",
    "start_at_zero",
    "accurate_seek",
    "noaccurate_seek",
    "autorotate",
    "noautorotate",
    "stats",
];

/// An owner's words, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Before the input, on the command line.
    pub(crate) before: Vec<String>,
    /// What the reader of the input is told: option and value.
    pub(crate) reader: Vec<(String, String)>,
    /// Behind the input.
    pub(crate) after: Vec<String>,
}

impl Words {
    /// Sorts words that may be of either side: an option that is not known to be of inputs is of outputs.
    pub(crate) fn sorted(words: &[String]) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut for_input = false;
        for word in words {
            if word.starts_with('-') {
                for_input = OF_INPUTS.contains(&word.as_str());
            }
            if for_input { &mut before } else { &mut after }.push(word.clone());
        }
        let mut sorted = Self::of_input(&before);
        sorted.after = after;
        sorted
    }

    /// Words for the input: the program's own stay on its command line.
    pub(crate) fn of_input(words: &[String]) -> Self {
        let mut sorted = Self::default();
        let mut words = words.iter().cloned().peekable();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix('-') else {
                sorted.before.push(word);
                continue;
            };
            // "-c:v" is of the video streams.
            let name = option.split(':').next().unwrap_or_default();
            if ALONE.contains(&name) {
                sorted.before.push(word);
            } else if let Some(value) = words.next() {
                if OF_PROGRAM.contains(&name) {
                    sorted.before.extend([word, value]);
                } else {
                    sorted.reader.push((option.to_owned(), value));
                }
            } else {
                sorted.before.push(word);
            }
        }
        sorted
    }

    /// Puts the words of `other` behind these, which they override.
    pub(crate) fn add(&mut self, other: Self) {
        self.before.extend(other.before);
        self.reader.extend(other.reader);
        self.after.extend(other.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_belongs_where_is_told_by_the_option() {
        let sorted =
            Words::sorted(&words("-rtsp_transport udp -an -hwaccel vaapi -vf scale=640:-2 -re -g 50"));
        assert_eq!(sorted.before, words("-hwaccel vaapi -re"));
        assert_eq!(sorted.reader, [("rtsp_transport".to_owned(), "udp".to_owned())]);
        assert_eq!(sorted.after, words("-an -vf scale=640:-2 -g 50"));
    }

    #[test]
    fn an_inputs_words_are_the_programs_or_the_readers() {
        let sorted = Words::of_input(&words(
            "-framerate 30 -c:v h264_cuvid -video_size 640x480 -an -itsoffset -0.5 -latency",
        ));
        assert_eq!(sorted.before, words("-c:v h264_cuvid -an -itsoffset -0.5 -latency"));
        let options: Vec<_> = sorted.reader.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(options, ["framerate=30", "video_size=640x480"]);
    }
}
