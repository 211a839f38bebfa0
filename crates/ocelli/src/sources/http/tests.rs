//! Cameras with a web server, played by sockets of this machine.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use digest_auth::{AuthContext, AuthorizationHeader};
use ocelli_hub::{DropReason as Dropped, Item, Stream, Want};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;
use crate::sources::build;
use crate::sources::pictures::tests::{BASELINE, PROGRESSIVE, dropped, stream};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a camera does after an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Keep,
    Close,
    Hang,
}

type Answer = dyn Fn(&str) -> (Vec<u8>, Then) + Send + Sync;

/// A camera on loopback whose answers are made from the request's head. Ends with the test's runtime.
struct Camera {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Camera {
    async fn start(answer: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let camera = Self {
            port: listener.local_addr().expect("bound").port(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (camera.connections.clone(), camera.requests.clone());
        let answer: Arc<Answer> = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, answer.clone(), requests.clone()));
            }
        });
        camera
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn serve(mut socket: TcpStream, answer: Arc<Answer>, requests: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while let Ok(1) = socket.read(&mut byte).await {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head)).expect("a text");
        requests.lock().expect("not poisoned").push(text.clone());
        let (bytes, then) = answer(&text);
        if socket.write_all(&bytes).await.is_err() || then == Then::Close {
            return;
        }
        if then == Then::Hang {
            std::future::pending::<()>().await;
        }
    }
}

fn head(status: &str, headers: &str, length: usize) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n").into_bytes()
}

fn snapshot(jpeg: &[u8]) -> Vec<u8> {
    [&head("200 OK", "Content-Type: image/jpeg\r\n", jpeg.len())[..], jpeg].concat()
}

fn multipart(pictures: &[&[u8]]) -> Vec<u8> {
    let mut body =
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n".to_vec();
    for picture in pictures {
        body.extend_from_slice(b"--cut\r\nContent-Type: image/jpeg\r\n\r\n");
        body.extend_from_slice(picture);
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// Runs what `text` names until it ends or has published `most` pictures: why it ended, the pictures, the stream.
async fn watch(text: &str, most: usize) -> (Option<SourceError>, Vec<ocelli_media::Frame>, Arc<Stream>) {
    let stream = stream();
    let mut subscriber = stream.subscribe(Want::All);
    let mut publisher = stream.publish().expect("nobody else publishes");
    let mut source = build(text, &SourceOptions::default()).expect("a good text");
    let mut running = source.run(&mut publisher);
    let mut frames = Vec::new();
    let mut ended = None;
    let deadline = Instant::now() + PATIENCE;
    while frames.len() < most {
        tokio::select! {
            biased;
            item = subscriber.next() => {
                if let Item::Frame(frame) = item.expect("the stream lives") {
                    frames.push(frame);
                }
            }
            end = &mut running, if ended.is_none() => ended = end.err(),
            () = std::future::ready(()), if ended.is_some() => break,
            () = tokio::time::sleep_until(deadline) => panic!("{text}: {} pictures", frames.len()),
        }
    }
    drop(running);
    (ended, frames, stream)
}

async fn cause(text: &str) -> String {
    let (ended, frames, _) = watch(text, usize::MAX).await;
    assert!(frames.is_empty());
    ended.expect("it ends").cause().to_owned()
}

fn data(frames: &[ocelli_media::Frame]) -> Vec<Bytes> {
    frames.iter().map(|frame| frame.data.clone()).collect()
}

#[tokio::test]
async fn a_multipart_stream_is_read_to_its_end() {
    let camera =
        Camera::start(|_| (multipart(&[BASELINE, &BASELINE[..700], PROGRESSIVE, BASELINE]), Then::Close))
            .await;
    let (ended, frames, stream) = watch(&format!("http://127.0.0.1:{}/v?a=1&b", camera.port), 99).await;
    assert_eq!(data(&frames), [BASELINE, PROGRESSIVE, BASELINE]);
    assert_eq!(ended, Some(SourceError::lost("the camera ended the stream")));
    assert_eq!(dropped(&stream, Dropped::Damaged), 1);
    assert!(camera.requests()[0].starts_with("GET /v?a=1&b HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_picture_is_published_before_anything_follows_it() {
    let camera = Camera::start(|_| (multipart(&[BASELINE]), Then::Hang)).await;
    let (_, frames, _) = watch(&format!("http://127.0.0.1:{}/", camera.port), 1).await;
    assert_eq!(data(&frames), [BASELINE]);
}

#[tokio::test]
async fn a_snapshot_is_polled_over_one_connection() {
    let camera = Camera::start(|_| (snapshot(BASELINE), Then::Keep)).await;
    let start = Instant::now();
    let (_, frames, _) = watch(&format!("http://127.0.0.1:{}/s.jpg#fps=50", camera.port), 6).await;
    assert_eq!(data(&frames), [BASELINE; 6]);
    assert!(start.elapsed() >= Duration::from_millis(90));
    assert_eq!(camera.connections(), 1);
}

#[tokio::test]
async fn a_snapshot_is_polled_from_a_camera_that_closes_each_time() {
    let camera = Camera::start(|_| (snapshot(BASELINE), Then::Close)).await;
    let (_, frames, _) = watch(&format!("http://127.0.0.1:{}/s.jpg#fps=50", camera.port), 4).await;
    assert_eq!(frames.len(), 4);
    assert!(camera.connections() >= 4);
}

#[tokio::test]
async fn the_cameras_time_is_believed_only_if_it_can_be_true() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let part = |timestamp: Duration| {
        let text =
            format!("--cut\r\nX-Timestamp: {}.{:06}\r\n\r\n", timestamp.as_secs(), timestamp.subsec_micros());
        [text.as_bytes(), BASELINE, b"\r\n"].concat()
    };
    let taken = now - Duration::from_secs(1);
    let body = [&multipart(&[])[..], &part(taken), &part(Duration::from_secs(90)), &part(now * 2)].concat();
    let camera = Camera::start(move |_| (body.clone(), Then::Close)).await;
    let (_, frames, _) = watch(&format!("http://127.0.0.1:{}/", camera.port), 99).await;
    let age = |index: usize| {
        frames[index].captured.expect("stamped").duration_since(UNIX_EPOCH).expect("after 1970")
    };
    assert_eq!(age(0).as_micros(), taken.as_micros());
    assert!(age(1) >= now && age(2) >= now && age(2) < now + PATIENCE);
}

#[tokio::test]
async fn basic_and_digest_passwords_are_sent_when_asked_for() {
    const BASIC: &str = "Basic dXNlcjpwQHNz"; // user:p@ss
    let basic = Camera::start(|request| {
        if request.contains(&format!("Authorization: {BASIC}\r\n")) {
            return (snapshot(BASELINE), Then::Keep);
        }
        let refusal = head("401 Unauthorized", "WWW-Authenticate: Basic realm=\"cam\"\r\n", 5);
        ([&refusal[..], b"sorry"].concat(), Then::Keep)
    })
    .await;
    let (_, frames, _) = watch(&format!("http://user:p%40ss@127.0.0.1:{}/#fps=50", basic.port), 3).await;
    assert_eq!(frames.len(), 3);
    assert_eq!((basic.connections(), basic.requests().len()), (1, 4), "asked once, then sent at once");

    let digest = Camera::start(|request| {
        let sent = request.lines().find_map(|line| line.strip_prefix("Authorization: "));
        let good = sent.is_some_and(|sent| {
            let mut sent = AuthorizationHeader::parse(sent).expect("a digest");
            let response = sent.response.clone();
            sent.digest(&AuthContext::new("user", "p@ss", "/s?x=1"));
            sent.nonce == "abc" && sent.uri == "/s?x=1" && sent.response == response
        });
        if good {
            return (snapshot(BASELINE), Then::Keep);
        }
        let question = "WWW-Authenticate: Basic realm=\"cam\"\r\n\
            WWW-Authenticate: Digest realm=\"cam\", nonce=\"abc\", qop=\"auth\", algorithm=MD5\r\n";
        (head("401 Unauthorized", question, 0), Then::Close)
    })
    .await;
    let (_, frames, _) =
        watch(&format!("http://user:p%40ss@127.0.0.1:{}/s?x=1#fps=50", digest.port), 3).await;
    assert_eq!(frames.len(), 3);
}

#[tokio::test]
async fn refusals_are_in_words_and_without_the_password() {
    let camera = Camera::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let question = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", stale=true\r\n";
        let answer = match &path[..] {
            "/basic" => head("401 Unauthorized", "WWW-Authenticate: Basic realm=\"c\"\r\n", 0),
            "/stale" => head("401 Unauthorized", question, 0),
            "/odd" => head("401 Unauthorized", "WWW-Authenticate: Negotiate\r\n", 0),
            "/html" => head("200 OK", "Content-Type: text/html\r\n", 0),
            "/busy" => head("503 Service Unavailable", "", 0),
            "/forbidden" => head("403 Forbidden", "", 0),
            "/round" => head("302 Found", "Location: /round\r\n", 0),
            "/secure" => head("301 Moved Permanently", "Location: https://127.0.0.1/\r\n", 0),
            "/empty" => head("200 OK", "Content-Type: image/jpeg\r\n", 0),
            "/half" => snapshot(&BASELINE[..900]),
            "/rude" => b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            "/mute" => Vec::new(),
            _ => head("404 Not Found", "", 0),
        };
        (answer, if path == "/mute" { Then::Hang } else { Then::Keep })
    })
    .await;
    for (path, expected) in [
        ("/basic", "the camera answered 401: it refused the password"),
        ("/stale", "the camera answered 401: it refused the password"),
        ("/odd", "the camera answered 401: it wants neither Basic nor Digest"),
        ("/html", "the camera answered with text/html, not with pictures"),
        ("/busy", "the camera answered 503 Service Unavailable"),
        ("/forbidden", "the camera answered 403 Forbidden"),
        ("/x?pwd=secret", "the camera answered 404: it has nothing at /x"),
        ("/round", "the camera sent us on more than 5 times"),
        ("/secure", "the camera answered 301 and sent us on: https: cameras are not supported yet"),
        ("/empty", "the camera sent no picture: its answer is empty"),
        ("/half", "the camera sent no picture: a damaged picture: byte 900"),
        ("/rude", "what 127.0.0.1 port "),
        ("/mute#timeout=0.2", "127.0.0.1 port "),
    ] {
        let cause = cause(&format!("http://user:secret@127.0.0.1:{}{path}", camera.port)).await;
        assert!(cause.starts_with(expected), "{path}: {cause}");
        assert!(!cause.contains("secret") && !cause.contains("user:"), "{path}: {cause}");
    }
    let cause = cause(&format!("http://127.0.0.1:{}/basic", camera.port)).await;
    assert!(cause.starts_with("the camera answered 401: it wants a user and password"), "{cause}");
}

#[tokio::test]
async fn who_does_not_listen_or_exist_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    assert_eq!(
        cause(&format!("http://127.0.0.1:{port}/")).await,
        format!("nothing listens at 127.0.0.1 port {port}")
    );
    let unknown = cause("http://no-such-camera.invalid/").await;
    assert!(
        unknown == "no address is known for the name no-such-camera.invalid"
            || unknown.contains("does not answer"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_camera_that_falls_silent_is_lost() {
    let half = multipart(&[BASELINE, &BASELINE[..500]]);
    let camera = Camera::start(move |_| (half.clone(), Then::Hang)).await;
    let (ended, frames, _) = watch(&format!("http://127.0.0.1:{}/#timeout=0.3", camera.port), 99).await;
    assert_eq!(frames.len(), 1);
    assert_eq!(ended, Some(SourceError::lost("the camera sent nothing for 0.3 s")));
}

#[tokio::test]
async fn redirects_are_followed_and_passwords_stay_at_home() {
    let other = Camera::start(|_| (multipart(&[BASELINE]), Then::Close)).await;
    let port = other.port;
    let home = Camera::start(move |request| match request.split(' ').nth(1) {
        Some("/here") if request.contains("Authorization: Basic") => (
            head("307 Temporary Redirect", &format!("Location: http://127.0.0.1:{port}/there\r\n"), 0),
            Then::Keep,
        ),
        Some("/here") => (head("401 Unauthorized", "WWW-Authenticate: Basic realm=\"c\"\r\n", 0), Then::Keep),
        _ => (head("302 Found", "Location: here\r\n", 0), Then::Keep),
    })
    .await;
    let (_, frames, _) = watch(&format!("http://user:secret@127.0.0.1:{}/start", home.port), 1).await;
    assert_eq!(frames.len(), 1);
    assert_eq!(home.connections(), 1);
    let asked = other.requests();
    assert!(asked[0].starts_with("GET /there ") && !asked[0].contains("Authorization"), "{}", asked[0]);
}

#[tokio::test]
async fn an_endless_head_and_an_endless_picture_are_bounded() {
    let mut endless = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    endless.resize(1 << 20, b'x');
    let camera = Camera::start(move |_| (endless.clone(), Then::Hang)).await;
    let text = cause(&format!("http://127.0.0.1:{}/", camera.port)).await;
    assert!(text.contains("is not HTTP"), "{text}");
    let mut long = BASELINE[..1400].to_vec();
    long.resize(20 << 20, 0x55);
    let body = multipart(&[&long, BASELINE]);
    let camera = Camera::start(move |_| (body.clone(), Then::Close)).await;
    let (_, frames, stream) = watch(&format!("http://127.0.0.1:{}/", camera.port), 99).await;
    assert_eq!((data(&frames), dropped(&stream, Dropped::TooLarge)), (vec![Bytes::from_static(BASELINE)], 1));
}

#[tokio::test]
async fn ffmpegs_own_server_is_read_in_both_its_formats() {
    for format in ["mpjpeg", "mjpeg"] {
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            free.local_addr().expect("bound").port()
        };
        let arguments = format!(
            "-v error -re -f lavfi -i testsrc2=size=320x240:rate=25 -c:v mjpeg -f {format} -listen 1 \
             http://127.0.0.1:{port}/"
        );
        let mut ffmpeg = tokio::process::Command::new("ffmpeg")
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ffmpeg is installed");
        let text = format!("http://127.0.0.1:{port}/");
        let deadline = Instant::now() + PATIENCE;
        // FFmpeg takes a while until it listens, and takes one connection only: no probing.
        let (frames, stream) = loop {
            let (ended, frames, stream) = watch(&text, 10).await;
            match ended {
                None => break (frames, stream),
                Some(error) => {
                    assert!(Instant::now() < deadline, "{format}: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        assert_eq!(frames.len(), 10);
        let size = stream.stats().tracks.expect("announced")[0].size.expect("known");
        assert_eq!(size.to_string(), "320x240");
        assert_eq!(dropped(&stream, Dropped::Damaged), 0);
        ffmpeg.kill().await.expect("killed");
    }
}

#[test]
fn parameters_have_names_and_ranges() {
    let error = |text| build(text, &SourceOptions::default()).err().expect("refused").to_string();
    assert!(error("http://h/#fsp=1").contains("did you mean `fps`"));
    assert!(error("http://h/#fps=0").contains("expected 0.01 to 100"));
    assert!(error("http:h").contains("two slashes"));
    assert!(error("https://u:p@h/").contains("https: cameras are not supported yet"));
}
