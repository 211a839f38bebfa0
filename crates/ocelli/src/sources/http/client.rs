//! Asks a camera for a page: connects, answers its question for a password, follows where it sends us.
//!
//! One connection at a time, kept for the next request. Everything has a time limit, and the answer's head a limit of
//! size. The password goes to no other host or port than the configured one.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ocelli_hub::SourceError;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, Credentials};
use super::auth::Challenge;

/// How often a camera may send us on for one request.
const MOST_REDIRECTS: usize = 5;

/// How often a camera may ask for the password for one request.
const MOST_QUESTIONS: usize = 3;

/// The longest head of an answer.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How much the connection reads at once.
const READ_BYTES: usize = 128 << 10;

/// The longest text beside an error or redirect that is read to keep the connection.
const MAX_SMALL_TALK_BYTES: usize = 64 << 10;

/// Asks one camera, over and over.
pub(super) struct Client {
    /// Where the credentials may go.
    home: Address,
    credentials: Option<Credentials>,
    /// Where the last answer came from.
    target: Address,
    time_limit: Duration,
    challenge: Option<Challenge>,
    connection: Option<Connection>,
}

/// A connection, driven by a task that ends when this is dropped.
struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// A client that gives each answer's head `time_limit` to arrive, connecting and redirects included.
    pub(super) fn new(home: Address, credentials: Option<Credentials>, time_limit: Duration) -> Self {
        let target = home.clone();
        Self { home, credentials, target, time_limit, challenge: None, connection: None }
    }

    /// The answer to a GET, if it is a success.
    ///
    /// # Errors
    /// In words, without user, password or query: what the camera answered instead, or why it did not.
    pub(super) async fn get(&mut self) -> Result<Response<Incoming>, SourceError> {
        let deadline = Instant::now() + self.time_limit;
        let mut redirects = 0;
        let mut questions = 0;
        loop {
            let response = self.ask(deadline).await?;
            let status = response.status();
            match status {
                StatusCode::UNAUTHORIZED => {
                    self.challenge = Some(self.take_challenge(&response, questions)?);
                    questions += 1;
                    self.finish(response, deadline).await;
                }
                status if status.is_redirection() && status != StatusCode::NOT_MODIFIED => {
                    redirects += 1;
                    if redirects > MOST_REDIRECTS {
                        return Err(SourceError::refused(format!(
                            "the camera sent us on more than {MOST_REDIRECTS} times"
                        )));
                    }
                    self.redirect(response, deadline).await?;
                }
                status if status.is_success() => return Ok(response),
                _ => return Err(self.unhappy(status)),
            }
        }
    }

    /// Sends one request and waits for the head of its answer.
    async fn ask(&mut self, deadline: Instant) -> Result<Response<Incoming>, SourceError> {
        if let Some(response) = self.ask_again(deadline).await? {
            return Ok(response);
        }
        let mut connection = timeout_at(deadline, connect(&self.target))
            .await
            .map_err(|_| SourceError::lost(format!("{} does not answer", self.target)))??;
        let request = self.request()?;
        let answer = timeout_at(deadline, connection.sender.send_request(request)).await;
        self.connection = Some(connection);
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.no_answer(&error)),
            Err(_) => Err(SourceError::lost(format!(
                "{} took the request and did not answer within {} s",
                self.target,
                self.time_limit.as_secs_f64()
            ))),
        }
    }

    /// The same over the connection that is still there. `None` if there is none, or the camera has closed it.
    async fn ask_again(&mut self, deadline: Instant) -> Result<Option<Response<Incoming>>, SourceError> {
        let Some(mut connection) = self.connection.take() else { return Ok(None) };
        // Until the last answer is read to its end, the connection is not free: then a new one is quicker.
        if !connection.sender.is_ready() {
            return Ok(None);
        }
        let request = self.request()?;
        match timeout_at(deadline, connection.sender.send_request(request)).await {
            Ok(Ok(response)) => {
                self.connection = Some(connection);
                Ok(Some(response))
            }
            // What goes wrong now is most often a camera that closed while we were silent.
            Ok(Err(_)) => Ok(None),
            Err(_) => Err(SourceError::lost(format!("{} does not answer any more", self.target))),
        }
    }

    fn request(&mut self) -> Result<Request<Empty<Bytes>>, SourceError> {
        let mut request = Request::get(self.target.path.as_str())
            .header(HOST, self.target.host_header())
            .header(USER_AGENT, concat!("ocelli/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "multipart/x-mixed-replace, image/jpeg, */*;q=0.5");
        if let (Some(challenge), Some(credentials), true) =
            (&mut self.challenge, &self.credentials, self.target.same_place(&self.home))
        {
            let answer = challenge.answer(credentials, self.target.path.as_str());
            let answer = answer.ok_or_else(|| SourceError::refused("the user or password cannot be sent"))?;
            request = request.header(AUTHORIZATION, answer);
        }
        request.body(Empty::new()).map_err(|_| SourceError::refused("the address cannot be asked for"))
    }

    fn take_challenge(
        &self,
        response: &Response<Incoming>,
        questions: usize,
    ) -> Result<Challenge, SourceError> {
        let refused = |why: &str| Err(SourceError::refused(format!("the camera answered 401: {why}")));
        if self.credentials.is_none() {
            return refused("it wants a user and password, as in http://user:password@host/");
        }
        if !self.target.same_place(&self.home) {
            return refused("it sent us on to another host, which wants a password of its own");
        }
        let Some(challenge) = Challenge::choose(response.headers()) else {
            return refused("it wants neither Basic nor Digest authentication, and we know no other");
        };
        // A first answer may have been to an outdated question. A second one is wrong, unless the camera says that only
        // its question was outdated again.
        let outdated = challenge.is_stale() && questions < MOST_QUESTIONS;
        if questions > 0 && !outdated {
            return refused("it refused the password");
        }
        Ok(challenge)
    }

    async fn redirect(&mut self, response: Response<Incoming>, deadline: Instant) -> Result<(), SourceError> {
        let status = response.status().as_u16();
        let refused =
            |why: &str| SourceError::refused(format!("the camera answered {status} and sent us on: {why}"));
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| refused("nowhere"))?;
        let there = self.target.follow(location).map_err(|error| refused(&error.to_string()))?;
        if there.same_place(&self.target) {
            self.finish(response, deadline).await;
        } else {
            self.connection = None;
        }
        self.target = there;
        Ok(())
    }

    /// Reads an answer that nobody wants to its end, so that the connection can be used again; or gives it up.
    async fn finish(&mut self, response: Response<Incoming>, deadline: Instant) {
        let body = Limited::new(response.into_body(), MAX_SMALL_TALK_BYTES).collect();
        let Some(connection) = &mut self.connection else { return };
        let read =
            timeout_at(deadline, async { body.await.is_ok() && connection.sender.ready().await.is_ok() });
        if read.await != Ok(true) {
            self.connection = None;
        }
    }

    /// Waits until the answer that has just been read to its end has set the connection free.
    pub(super) async fn settle(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if !matches!(tokio::time::timeout(self.time_limit, connection.sender.ready()).await, Ok(Ok(()))) {
            self.connection = None;
        }
    }

    fn unhappy(&self, status: StatusCode) -> SourceError {
        let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
        let text = match status {
            StatusCode::NOT_FOUND => {
                format!("the camera answered 404: it has nothing at {}", self.target.path.path())
            }
            _ => format!("the camera answered {}{reason}", status.as_u16()),
        };
        if status.is_client_error() { SourceError::refused(text) } else { SourceError::lost(text) }
    }

    fn no_answer(&self, error: &hyper::Error) -> SourceError {
        if error.is_parse() {
            return SourceError::refused(format!("what {} answers is not HTTP: {error}", self.target));
        }
        SourceError::lost(format!("{} closed the connection without an answer", self.target))
    }
}

async fn connect(to: &Address) -> Result<Connection, SourceError> {
    let addresses = lookup_host((&to.host[..], to.port)).await;
    let addresses =
        addresses.map_err(|_| SourceError::lost(format!("no address is known for the name {}", to.host)))?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => return handshake(to, socket).await,
            Err(error) => failure = Some(error),
        }
    }
    Err(SourceError::lost(match failure {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {to}")
        }
        Some(error)
            if matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) =>
        {
            format!("there is no way to {}", to.host)
        }
        Some(error) => format!("no connection to {to}: {error}"),
        None => format!("no address is known for the name {}", to.host),
    }))
}

async fn handshake(to: &Address, socket: TcpStream) -> Result<Connection, SourceError> {
    let failed = |error: &dyn std::fmt::Display| SourceError::lost(format!("no connection to {to}: {error}"));
    socket.set_nodelay(true).map_err(|error| failed(&error))?;
    // Cameras' HTTP is loose; what can be understood is.
    let (sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(READ_BYTES)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(|error| failed(&error))?;
    let driver = tokio::spawn(async move {
        // What ends the connection is said by the answer that it cuts off.
        let _ = connection.await;
    });
    Ok(Connection { sender, driver })
}
