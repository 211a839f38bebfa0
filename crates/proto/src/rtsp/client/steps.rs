//! What is asked next, and what an answer means, up to the description.

use std::time::Duration;

use super::connection::{Client, LoginState, State};
use super::request::{Asked, Step};
use super::setup::TrackSetup;
use super::{Address, Cause, Described, Event, MOST_RECONNECTS, MOST_REDIRECTS, Track, control};
use crate::rtsp::auth::Challenge;
use crate::rtsp::{Method, Response};
use crate::sdp::{Description, Direction, Kind, Medium};

/// How often one request is sent again because of a password.
const MOST_LOGINS: u32 = 3;

impl Client {
    /// Begins on a new connection.
    pub(super) fn begin(&mut self, now: Duration) {
        self.reset_reader();
        self.state = State::Preparing;
        self.ask(now, if self.wants_options() { Step::Options } else { Step::Describe });
    }

    /// Takes the answer to a request.
    pub(super) fn answered(&mut self, now: Duration, asked: &Asked, response: &Response) {
        if response.status == 401 {
            return self.unauthorised(now, asked, response);
        }
        if self.login.count > 0 {
            self.login.was_right = true;
        }
        let is_good = (200..300).contains(&response.status);
        match asked.step {
            Step::Options | Step::Describe if (300..400).contains(&response.status) => {
                self.redirect(response.status, response.fields.first("Location"));
            }
            Step::Options => {
                if is_good {
                    self.learn_methods(response);
                }
                self.ask(now, Step::Describe);
            }
            Step::Describe if is_good => self.described(now, response),
            Step::Setup(track) if is_good => self.set_up(now, track, response),
            Step::Setup(track) => self.set_up_refused(now, track, response),
            Step::Play if is_good => self.playing(now, response),
            Step::Play => self.play_refused(now, response),
            Step::KeepAlive(keepalive) => self.kept_alive(keepalive, response.status),
            Step::Teardown => self.close(Cause::Asked),
            Step::StartOver => self.start_over(now),
            Step::Describe => self.close(refusal(asked.step, response)),
        }
    }

    /// What follows when no answer came in time.
    pub(super) fn unanswered(&mut self, now: Duration, asked: &Asked) {
        match asked.step {
            Step::Options => self.go_on_without_options(Cause::NoAnswer {
                method: "OPTIONS",
                after: now.saturating_sub(asked.at),
            }),
            // As long as packets come there is no reason to stop.
            Step::KeepAlive(keepalive) => {
                self.asked = Some(*asked);
                self.abandon();
                self.kept_alive(keepalive, 0);
            }
            Step::Teardown => self.close(Cause::Asked),
            Step::StartOver => {
                self.asked = Some(*asked);
                self.abandon();
                self.start_over(now);
            }
            step => {
                let after = now.saturating_sub(asked.at);
                self.close(Cause::NoAnswer { method: step.method(), after });
            }
        }
    }

    /// The other side has closed the connection.
    pub(super) fn disconnected(&mut self) {
        let asked = self.asked.take();
        let during = asked.map(|asked| asked.step.method());
        match asked {
            Some(Asked { step: Step::Teardown, .. }) => self.close(Cause::Asked),
            Some(Asked { step: Step::Options, .. }) => {
                self.go_on_without_options(Cause::Disconnected { during });
            }
            Some(Asked { step: Step::KeepAlive(keepalive), .. }) => {
                self.settings.lessons.keepalive = Some(keepalive.next());
                self.close(Cause::Disconnected { during });
            }
            // Some close behind each TEARDOWN.
            Some(Asked { step: Step::StartOver, .. }) if self.reconnects < MOST_RECONNECTS => {
                self.reconnects += 1;
                self.connect();
            }
            // Some close behind each 401; the answer to it goes with the first request of the next connection.
            Some(Asked { logins: 1.., .. }) if self.reconnects < MOST_RECONNECTS => {
                self.reconnects += 1;
                self.connect();
            }
            _ => self.close(Cause::Disconnected { during }),
        }
    }

    fn wants_options(&self) -> bool {
        self.settings.options && !self.settings.lessons.without_options
    }

    fn go_on_without_options(&mut self, cause: Cause) {
        if !self.wants_options() || self.reconnects >= MOST_RECONNECTS {
            return self.close(cause);
        }
        self.settings.lessons.without_options = true;
        self.reconnects += 1;
        self.connect();
    }

    fn learn_methods(&mut self, response: &Response) {
        let names = response.fields.all("Public").flat_map(|value| value.split(','));
        let methods: Vec<_> = names.map(|name| Method::new(&name.trim().to_ascii_uppercase())).collect();
        self.methods = (!methods.is_empty()).then_some(methods);
    }

    fn unauthorised(&mut self, now: Duration, asked: &Asked, response: &Response) {
        let challenge = Challenge::best(response.fields.all("WWW-Authenticate"));
        let step = asked.step;
        let challenge = match (challenge, self.address.login()) {
            (Ok(challenge), Some(_)) => challenge,
            // What it would say of these does not matter.
            _ if step == Step::Options => return self.ask(now, Step::Describe),
            (_, None) => return self.close(Cause::PasswordMissing),
            (Err(error), Some(_)) => return self.close(Cause::Authentication(error.to_string())),
        };
        let LoginState { challenge: before, is_of_connection, was_right, .. } = &self.login;
        let is_new = before.as_ref().is_none_or(|before| !before.asks_the_same(&challenge));
        // An answer to what was asked anew may be right where the one before was; without a reason to think so, another wrong
        // password counts towards a lock.
        let may_be_right = before.is_none() || challenge.is_stale() || *was_right || !is_of_connection;
        if !(is_new || challenge.is_stale()) || !may_be_right || asked.logins >= MOST_LOGINS {
            return match step {
                Step::Teardown => self.close(Cause::Asked),
                Step::KeepAlive(keepalive) => self.kept_alive(keepalive, response.status),
                _ => self.close(Cause::PasswordRefused),
            };
        }
        let was_right = *was_right;
        self.login = LoginState { challenge: Some(challenge), is_of_connection: true, count: 0, was_right };
        self.ask_again(now, step, asked.logins + 1);
    }

    pub(super) fn redirect(&mut self, status: u16, location: Option<&str>) {
        let next = location.map(str::trim).filter(|location| !location.is_empty()).and_then(|location| {
            let is_whole = location.contains("://");
            let relative = || control::resolve_strictly(&self.address, self.address.url(), location);
            Address::parse(&if is_whole { location.to_owned() } else { relative() }).ok()
        });
        let Some(next) = next else { return self.close(Cause::RedirectedNowhere(status)) };
        self.redirects += 1;
        if self.redirects > MOST_REDIRECTS {
            return self.close(Cause::Redirects);
        }
        if self.address.tls() && !next.tls() {
            return self.close(Cause::Downgraded);
        }
        // A password is for the host that it was given for, and for no other one that this host names.
        let is_same = next.host().eq_ignore_ascii_case(self.address.host());
        let login = next.login().or(self.address.login().filter(|_| is_same)).cloned();
        if !is_same {
            self.login = LoginState::default();
        }
        self.address = next.with_login(login);
        self.connect();
    }

    fn described(&mut self, now: Duration, response: &Response) {
        if response.body.trim_ascii().is_empty() {
            return self.close(Cause::NoDescription);
        }
        let description = match Description::parse_of_server(&response.body) {
            Ok(description) => description,
            Err(error) => return self.close(error.into()),
        };
        let tracks = chosen(&description, self.settings.audio);
        if tracks.is_empty() {
            return self.close(Cause::NothingSpoken(description.nothing_understood()));
        }
        let fields = ["Content-Base", "Content-Location"].map(|name| response.fields.first(name));
        let base = control::base(&self.address, fields);
        let whole = control::resolve(&self.address, &base, description.control.as_deref().unwrap_or("*"));
        self.aggregates = vec![whole, base.clone(), self.address.url().to_owned()];
        self.aggregates.dedup();
        self.aggregate = 0;
        let setup = |track: &Track| {
            let medium = &description.media[track.medium];
            TrackSetup::new(&self.address, &base, medium)
        };
        self.tracks = tracks.iter().map(setup).collect();
        self.events.push_back(Event::Described(Box::new(Described { description, tracks })));
        self.set_up_next(now);
    }

    /// Ends the session, if there is one, and then all.
    pub(super) fn end(&mut self, now: Duration) {
        match self.state {
            State::Ending | State::Closed => {}
            _ if self.session.is_some() => {
                self.state = State::Ending;
                self.ask(now, Step::Teardown);
            }
            _ => self.close(Cause::Asked),
        }
    }
}

/// A refusal that is nothing else.
pub(super) fn refusal(step: Step, response: &Response) -> Cause {
    Cause::Refused { method: step.method(), status: response.status, reason: response.reason.clone() }
}

/// The first medium of pictures that can be received, and the first of sound.
fn chosen(description: &Description, audio: bool) -> Vec<Track> {
    let first = |kind: Kind, is_meant: &dyn Fn(&Medium) -> bool| {
        let mut media = description.media.iter().enumerate().filter(|(_, medium)| is_meant(medium));
        media.find_map(|(index, medium)| {
            let (payload_type, codec) = medium.codec().ok()?;
            (codec.kind() == kind).then_some(Track { medium: index, payload_type, codec })
        })
    };
    let video = first(Kind::Video, &|medium| medium.kind == Kind::Video);
    // What the camera would hear is a medium that the client sends. Some call all they send so.
    let all_sent = description.media.iter().all(|medium| medium.direction == Direction::SendOnly);
    let is_heard = |medium: &Medium| all_sent || medium.direction != Direction::SendOnly;
    let audio =
        audio.then(|| first(Kind::Audio, &|medium| medium.kind == Kind::Audio && is_heard(medium))).flatten();
    [video, audio].into_iter().flatten().collect()
}
