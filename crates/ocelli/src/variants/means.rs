//! By what a camera's worker decodes and encodes: its libraries, and the FFmpeg program where these lack a codec or the camera's owner
//! wants it so.
//!
//! A worker is begun with its libraries alone, so that it is confined. Once something is wanted that they lack, another takes its place
//! that may start FFmpeg, if there is one.

use std::sync::Arc;

use ocelli_codec::worker::protocol::{Able, Coding, Input};
use tokio::time::Instant;

use crate::ffmpeg::Program;
use crate::transcode::{LOOK_AGAIN, PROGRAM};

/// What is used, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Means {
    program: Arc<Program>,
    state: State,
    /// What the last worker could do.
    able: Option<Able>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The libraries; the program has not been wanted.
    Libraries,
    /// The libraries, and the program for what they lack.
    Both,
    /// The program for all that it can.
    ProgramFirst,
    /// The libraries alone, since the program cannot be used, which is looked at again later.
    NoProgram { why: Arc<str>, since: Instant },
}

impl Means {
    /// The libraries, and `program` where it may be used; with `first` for all that it can.
    pub(super) fn new(program: Arc<Program>, first: bool) -> Self {
        let state = if first { State::ProgramFirst } else { State::Libraries };
        Self { program, state, able: None }
    }

    /// A worker has said what it can.
    pub(super) fn set_able(&mut self, able: Able) {
        self.able = Some(able);
    }

    /// The program, where a worker is to be given it.
    pub(super) fn program(&self) -> Option<&Arc<Program>> {
        matches!(self.state, State::Both | State::ProgramFirst).then_some(&self.program)
    }

    /// What the worker is told of it when it is started.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Some(file) = self.program().and_then(|program| program.file()) else { return Vec::new() };
        let first = (self.state == State::ProgramFirst).then(|| "--ffmpeg-first".to_owned());
        ["--ffmpeg".to_owned(), file.display().to_string()].into_iter().chain(first).collect()
    }

    /// Nothing is known that would decode it.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn decodes(&self, input: Input) -> Result<(), String> {
        self.can(|able| able.decodes(input), &format!("a decoder of {input}"))
    }

    /// The same of encoding.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn encodes(&self, coding: Coding) -> Result<(), String> {
        self.can(|able| able.encodes(coding), &format!("an encoder of {coding}"))
    }

    fn can(&self, can: impl Fn(&Able) -> bool, what: &str) -> Result<(), String> {
        if self.able.as_ref().is_none_or(can) {
            return Ok(());
        }
        let lacks = format!("`{PROGRAM}` was built without {what}");
        match &self.state {
            _ if self.may_be_tried() => Ok(()),
            State::Libraries => Err(format!("{lacks}, and FFmpeg is not used (`enabled` of `[ffmpeg]`)")),
            State::NoProgram { why, .. } => Err(format!("{lacks}, and the program that could help: {why}")),
            State::Both | State::ProgramFirst => {
                Err(format!("{lacks}, and the program {} has none either", self.program.name()))
            }
        }
    }

    /// What the last worker lacks of what is wanted, in words, if it may be had by the program, which has not been tried.
    pub(super) fn lacks(
        &self,
        inputs: impl IntoIterator<Item = Input>,
        codings: impl IntoIterator<Item = Coding>,
    ) -> Option<String> {
        let able = self.able.as_ref().filter(|_| self.may_be_tried())?;
        let input = inputs.into_iter().find(|input| !able.decodes(*input));
        let coding = codings.into_iter().find(|coding| !able.encodes(*coding));
        let lacking = match (input, coding) {
            (Some(input), _) => format!("a decoder of {input}"),
            (None, Some(coding)) => format!("an encoder of {coding}"),
            (None, None) => return None,
        };
        Some(format!("`{PROGRAM}` was built without {lacking}"))
    }

    /// The program has not been wanted, or it is time to look again whether somebody has installed it.
    fn may_be_tried(&self) -> bool {
        match &self.state {
            State::Libraries => self.program.is_enabled(),
            State::NoProgram { since, .. } => since.elapsed() >= LOOK_AGAIN,
            State::Both | State::ProgramFirst => false,
        }
    }

    /// Has the program used for what the libraries lack.
    pub(super) fn take_program(&mut self) {
        self.state = State::Both;
    }

    /// There is no worker any more: the next one begins with the libraries alone, and is confined.
    pub(super) fn rest(&mut self) {
        if self.state == State::Both {
            self.state = State::Libraries;
        }
    }

    /// Whether it is not known yet that the program cannot be used for this reason.
    pub(super) fn is_news(&self, why: &str) -> bool {
        !matches!(&self.state, State::NoProgram { why: known, .. } if **known == *why)
    }

    /// The program cannot be used: the libraries have to be enough. Whether a worker with the program is to make room for one without.
    pub(super) fn without_program(&mut self, why: Arc<str>) -> bool {
        let was_helping = self.state == State::Both;
        if self.state != State::ProgramFirst {
            self.state = State::NoProgram { why, since: Instant::now() };
        }
        was_helping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARIES: [Input; 2] = [Input::Jpeg, Input::H264];
    const ALL: [Coding; 2] = [Coding::Jpeg, Coding::H264];

    fn means(is_enabled: bool, first: bool) -> Means {
        let program = Program::new("/usr/bin/ffmpeg".to_owned(), is_enabled, Vec::new());
        let mut means = Means::new(Arc::new(program), first);
        assert_eq!(means.decodes(Input::H265), Ok(()), "nothing is known");
        means.set_able(Able::new(&LIBRARIES, &ALL));
        means
    }

    #[test]
    fn the_program_is_used_once_something_is_wanted_that_the_libraries_lack() {
        let mut means = means(true, false);
        assert_eq!(means.lacks(LIBRARIES, ALL), None);
        assert_eq!((means.arguments(), means.decodes(Input::H265)), (vec![], Ok(())));
        let why = means.lacks([Input::H265], ALL);
        assert_eq!(why.as_deref(), Some("`ocelli-codec` was built without a decoder of H.265"));
        means.take_program();
        assert_eq!(means.arguments(), ["--ffmpeg", "/usr/bin/ffmpeg"]);
        assert_eq!(means.lacks([Input::H265], ALL), None, "once");
        let lacks = means.decodes(Input::H265).unwrap_err();
        assert!(lacks.ends_with("and the program `ffmpeg` has none either"), "{lacks}");
        means.set_able(Able::new(&Input::ALL, &ALL));
        assert_eq!(means.decodes(Input::H265), Ok(()));
        means.rest();
        assert_eq!((means.arguments(), means.decodes(Input::H265)), (vec![], Ok(())));
        means.set_able(Able::new(&LIBRARIES, &ALL));
        assert!(means.lacks([Input::H265], ALL).is_some(), "again");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_program_the_libraries_have_to_be_enough() {
        let mut unusable = means(true, false);
        unusable.take_program();
        assert!(unusable.without_program("`ffmpeg` is not installed".into()));
        assert!(unusable.arguments().is_empty() && unusable.lacks([Input::H265], ALL).is_none());
        let words = unusable.decodes(Input::H265).unwrap_err();
        assert!(words.ends_with("and the program that could help: `ffmpeg` is not installed"), "{words}");
        tokio::time::advance(LOOK_AGAIN).await;
        assert!(unusable.decodes(Input::H265).is_ok() && unusable.lacks([Input::H265], ALL).is_some());
        let off = means(false, false);
        assert_eq!(off.lacks([Input::H265], ALL), None);
        assert!(off.decodes(Input::H265).unwrap_err().contains("`[ffmpeg]`"));
        assert_eq!(off.encodes(Coding::H264), Ok(()));
    }

    #[test]
    fn who_wants_the_program_for_all_gets_nothing_else() {
        let mut first = means(true, true);
        assert_eq!(first.arguments(), ["--ffmpeg", "/usr/bin/ffmpeg", "--ffmpeg-first"]);
        assert!(!first.without_program("`ffmpeg` is not installed".into()));
        assert!(first.program().is_some());
    }
}
