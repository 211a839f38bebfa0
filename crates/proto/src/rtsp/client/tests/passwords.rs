//! Users and passwords: what cameras ask for, and when one is wrong.

use super::*;
use crate::rtsp::auth::Credentials;

const URL: &str = "rtsp://admin:s%40cret@h/front";

/// The field that was sent last, and with which method.
fn shown(camera: &mut Camera) -> (String, String) {
    let sent = String::from_utf8_lossy(camera.client.output()).into_owned();
    let request =
        sent.split("\r\n\r\n").filter(|request| !request.is_empty()).last().unwrap_or("").to_owned();
    let field = request.lines().find_map(|line| line.strip_prefix("Authorization: ")).unwrap_or("");
    (request.split(' ').next().unwrap_or("").to_owned(), field.to_owned())
}

fn is_right(camera: &mut Camera) -> bool {
    let (method, field) = shown(camera);
    Credentials::parse(&field, &method).is_some_and(|shown| shown.matches("admin", "s@cret"))
}

#[test]
fn each_way_of_asking_is_answered_and_kept_for_the_session() {
    for challenge in [
        &["WWW-Authenticate: Basic realm=\"cam\""][..],
        &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\""],
        &["www-authenticate:Digest realm=\"cam\",nonce=\"n\",algorithm=\"md5\",stale=\"FALSE\""],
        &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", opaque=\"o\""],
        &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", algorithm=SHA-256, qop=\"auth,auth-int\""],
        &["WWW-Authenticate: Basic realm=\"cam\"", "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\""],
        &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", Basic realm=\"cam\""],
    ] {
        let mut camera = Camera::new(URL);
        camera.answer("200 OK", &[]);
        camera.answer("401 Unauthorized", challenge);
        assert!(is_right(&mut camera), "{challenge:?}");
        let digests = challenge.iter().any(|field| field.contains("Digest"));
        assert_eq!(shown(&mut camera).1.starts_with("Digest"), digests, "{challenge:?}");
        camera.describe(&[], SDP);
        assert!(is_right(&mut camera), "SETUP without being asked: {challenge:?}");
        camera.agree();
        assert!(camera.client.is_playing());
    }
}

#[test]
fn a_wrong_password_is_tried_once() {
    // Hikvision gives another nonce each time.
    for second in ["n", "m"] {
        let mut camera = Camera::new(URL);
        camera.answer("200 OK", &[]);
        camera.answer(
            "401 Unauthorized",
            &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", stale=\"FALSE\""],
        );
        let field = format!("WWW-Authenticate: Digest realm=\"cam\", nonce=\"{second}\", stale=\"FALSE\"");
        camera.answer("401 Unauthorized", &[&field]);
        assert_eq!(camera.closed().unwrap(), "401: the camera refused the password");
    }
}

#[test]
fn a_password_that_is_missing_or_of_no_use_is_said() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"cam\""]);
    assert_eq!(camera.closed().unwrap(), "401: the camera asks for a user and a password");
    for (field, words) in [
        ("WWW-Authenticate: Bearer realm=\"cam\"", " (Bearer)"),
        ("WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", algorithm=SHA-512-256", " (Digest)"),
        ("X: y", ""),
    ] {
        let mut camera = Camera::new(URL);
        camera.answer("200 OK", &[]);
        camera.answer("401 Unauthorized", &[field]);
        let closed = camera.closed().unwrap();
        assert_eq!(closed, format!("401: the camera asks for a password in a way that is not spoken{words}"));
    }
}

#[test]
fn a_nonce_that_is_too_old_is_replaced() {
    let mut camera = Camera::new(URL);
    camera.answer("200 OK", &[]);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\""]);
    camera.describe(&[], SDP);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"m\", stale=true"]);
    assert!(shown(&mut camera).1.contains("nonce=\"m\"") && is_right(&mut camera));
    camera.answer("200 OK", &[]);
    // Others forget to say that it is old.
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"o\""]);
    assert!(shown(&mut camera).1.contains("nonce=\"o\"") && is_right(&mut camera));
    for nonce in ["p", "q", "r"] {
        camera.answer(
            "401 Unauthorized",
            &[&format!("WWW-Authenticate: Digest realm=\"cam\", nonce=\"{nonce}\"")],
        );
    }
    assert_eq!(camera.closed().unwrap(), "401: the camera refused the password", "not for ever");
}

#[test]
fn a_nonce_may_grow_old_while_it_plays() {
    let mut camera = Camera::new(URL);
    camera.answer("200 OK", &[]);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\""]);
    assert!(shown(&mut camera).1.contains("nc=00000001"));
    camera.agree();
    for _ in 0..15 {
        camera.give("$\0\0\x01a");
        camera.pass(s(2));
    }
    camera.give("$\0\0\x01a");
    assert!(shown(&mut camera).1.contains("nc=00000005"), "{:?}", shown(&mut camera));
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"m\", stale=true"]);
    assert!(shown(&mut camera).1.contains("nonce=\"m\"") && is_right(&mut camera));
    // Nor is a keepalive that is refused for good a reason to stop.
    for nonce in ["p", "q", "r", "s"] {
        camera.answer(
            "401 Unauthorized",
            &[&format!("WWW-Authenticate: Digest realm=\"cam\", nonce=\"{nonce}\"")],
        );
    }
    assert!(camera.client.is_playing());
}

#[test]
fn cameras_that_close_behind_each_401_are_answered_on_the_next_connection() {
    let mut camera = Camera::new(URL);
    camera.answer("200 OK", &[]);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\""]);
    camera.input(Input::Disconnected);
    camera.connect();
    assert!(is_right(&mut camera));
    camera.agree();
    assert!(camera.client.is_playing());
}

#[test]
fn passwords_are_in_nothing_that_is_printed() {
    let mut camera = Camera::new(URL);
    camera.answer("200 OK", &[]);
    camera.answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"cam\""]);
    let printed = format!("{:?}", camera.client);
    assert!(!printed.contains("cret") && !printed.contains("YWRtaW4"), "{printed}");
    assert_eq!(printed, "Client { url: \"rtsp://h/front\", state: Preparing, .. }");
    camera.give("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n\r\n");
    let printed = format!("{:?} {:?}", camera.happened(), camera.client.settings);
    assert!(!printed.contains("cret"), "{printed}");
}
