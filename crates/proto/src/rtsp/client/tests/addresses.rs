//! URLs: what cameras make of Content-Base and `a=control`, and where they send their clients.

use super::*;

/// The URLs of SETUP of both tracks and of PLAY.
fn asked(url: &str, fields: &[&str], sdp: &str) -> Vec<String> {
    let mut camera = Camera::new(url);
    camera.answer("200 OK", &[]);
    camera.describe(fields, sdp);
    camera.agree()
}

fn setup(url: &str, fields: &[&str], sdp: &str) -> String {
    asked(url, fields, sdp).remove(0)
}

fn with_control(control: &str) -> String {
    SDP.replace("trackID=0", control)
}

#[test]
fn relative_controls_are_put_behind_the_base_with_one_slash() {
    for (url, fields) in [
        ("rtsp://h/front", &[][..]),
        ("rtsp://h/front/", &[]),
        ("rtsp://h/front//", &[]),
        ("rtsp://h/x", &["Content-Base: rtsp://h/front/"]),
        ("rtsp://h/x", &["Content-Base: rtsp://h/front"]),
        ("rtsp://h/x", &["content-base:rtsp://h/front//"]),
        ("rtsp://h/x", &["Content-Location: rtsp://h/front"]),
        ("rtsp://h/x", &["Content-Location: rtsp://h/other", "Content-Base: \"rtsp://h/front\""]),
    ] {
        assert_eq!(setup(url, fields, SDP), "SETUP rtsp://h/front/trackID=0", "{url} {fields:?}");
        assert_eq!(
            setup(url, fields, &with_control("/trackID=0")),
            "SETUP rtsp://h/front/trackID=0",
            "go2rtc 1236"
        );
    }
}

#[test]
fn a_whole_session_is_called_as_its_base() {
    let all = asked("rtsp://h/front", &["Content-Base: rtsp://h/front/"], SDP);
    assert_eq!(
        all,
        ["SETUP rtsp://h/front/trackID=0", "SETUP rtsp://h/front/trackID=1", "PLAY rtsp://h/front/"]
    );
    let absolute = SDP.replace("a=control:*", "a=control:rtsp://h/all");
    assert_eq!(asked("rtsp://h/front", &[], &absolute)[2], "PLAY rtsp://h/all");
    let none = SDP.replace("a=control:*\r\n", "");
    assert_eq!(asked("rtsp://h/front", &[], &none)[2], "PLAY rtsp://h/front", "VStarcam");
}

#[test]
fn absolute_controls_are_taken_as_they_are() {
    let control = |control: &str| {
        setup("rtsp://u:p@h/front", &["Content-Base: rtsp://h/front/"], &with_control(control))
    };
    assert_eq!(control("rtsp://10.0.0.9:8554/a/b?c=d"), "SETUP rtsp://10.0.0.9:8554/a/b?c=d");
    assert_eq!(control("rtsp://u:p@h/a"), "SETUP rtsp://h/a", "without a password in it");
    assert_eq!(control("RTSP://h/a"), "SETUP rtsp://h/a");
    assert_eq!(control("rtsp://rtsp://h:554/a"), "SETUP rtsp://h:554/a", "go2rtc 830");
    assert_eq!(control("rtsp:///a"), "SETUP rtsp://h/a", "a host that is none");
    assert_eq!(control("rtsp://0.0.0.0/a"), "SETUP rtsp://h/a");
}

#[test]
fn controls_stand_behind_queries() {
    let url = "rtsp://h/cam/realmonitor?channel=1&subtype=0";
    let wanted = "SETUP rtsp://h/cam/realmonitor?channel=1&subtype=0/trackID=0";
    assert_eq!(setup(url, &[], SDP), wanted, "Dahua without Content-Base");
    assert_eq!(setup(url, &[&format!("Content-Base: {url}/")], SDP), wanted, "Dahua");
    let query = with_control("?ctype=video");
    assert_eq!(setup("rtsp://h/front", &[], &query), "SETUP rtsp://h/front?ctype=video");
    let spaces = with_control("my track");
    assert_eq!(setup("rtsp://h/front", &[], &spaces), "SETUP rtsp://h/front/my%20track");
}

#[test]
fn a_medium_without_a_control_is_called_as_the_stream() {
    for control in ["a=control:trackID=0\r\n", "a=control:trackID=1\r\n"] {
        let sdp = SDP.replace(control, "");
        let all = asked("rtsp://h/front", &[], &sdp);
        assert_eq!(all.iter().filter(|asked| *asked == "SETUP rtsp://h/front").count(), 1, "{all:?}");
    }
    assert_eq!(setup("rtsp://h/front", &[], &with_control("*")), "SETUP rtsp://h/front");
    assert_eq!(setup("rtsp://h/front", &[], &with_control("")), "SETUP rtsp://h/front");
}

#[test]
fn a_wrong_content_base_is_repaired_or_left_out() {
    for (base, wanted) in [
        ("rtsp://rtsp://h:554/stream1/", "rtsp://h:554/stream1/trackID=0"), // go2rtc 208
        ("192.168.1.10:554/stream0/", "rtsp://192.168.1.10:554/stream0/trackID=0"), // Anjvision
        ("h/stream0/", "rtsp://h/stream0/trackID=0"),
        ("rtsp://::ffff:192.168.1.63/onvif/profile.0/", "rtsp://h/onvif/profile.0/trackID=0"), // D-Link DCS-8302LH
        ("rtsp://0.0.0.0:8554/front/", "rtsp://h/front/trackID=0"),
        ("rtsp://h:70000/front/", "rtsp://h/front/trackID=0"),
        ("http://h/front/", "rtsp://h/asked/trackID=0"),
        ("front/", "rtsp://h/asked/trackID=0"),
        ("", "rtsp://h/asked/trackID=0"),
        ("rtsp://", "rtsp://h/trackID=0"),
        ("rtsp://u:p@h/front/", "rtsp://h/front/trackID=0"),
    ] {
        let field = format!("Content-Base: {base}");
        assert_eq!(setup("rtsp://h/asked", &[&field], SDP), format!("SETUP {wanted}"), "{base}");
    }
}

#[test]
fn a_track_that_is_not_found_is_looked_for_under_other_urls() {
    let mut camera = Camera::new("rtsp://h/cam/live?a=b");
    camera.answer("200 OK", &[]);
    camera.describe(&["Content-Base: rtsp://10.0.0.9/wrong"], SDP);
    for wanted in [
        "rtsp://10.0.0.9/wrong/trackID=0",
        "rtsp://h/cam/live?a=b/trackID=0",
        "rtsp://10.0.0.9/trackID=0",
        "rtsp://h/cam/trackID=0",
    ] {
        assert_eq!(camera.answer("404 Not Found", &[]), format!("SETUP {wanted}"));
    }
    // The other track may be found where the first was not.
    assert_eq!(camera.asked().1, "rtsp://10.0.0.9/wrong/trackID=1");
    let refused = camera.happened().pop();
    assert!(matches!(refused, Some(Event::Refused { track: 0, .. })), "{refused:?}");
}

#[test]
fn play_is_asked_for_without_slash_and_range_where_it_is_refused() {
    let mut camera = Camera::new("rtsp://h/front");
    camera.answer("200 OK", &[]);
    camera.describe(&["Content-Base: rtsp://h/front/"], SDP);
    camera.answer("200 OK", &[]);
    camera.answer("200 OK", &[]);
    assert_eq!(camera.answer("400 Bad Request", &[]), "PLAY rtsp://h/front/");
    assert_eq!(camera.answer("405 Method Not Allowed", &[]), "PLAY rtsp://h/front");
    let again = camera.sent();
    assert!(again.starts_with("PLAY rtsp://h/front/ ") && !again.contains("Range"), "{again}");
    camera.give("RTSP/1.0 400 Bad Request\r\n\r\n");
    camera.give("RTSP/1.0 400 Bad Request\r\n\r\n");
    assert_eq!(camera.closed().unwrap(), "400: the camera does not understand the request (PLAY)");
}

#[test]
fn a_client_goes_where_it_is_sent() {
    let mut camera = Camera::new("rtsp://u:p@h/front");
    camera.answer("301 Moved", &["Location: rtsp://h:8554/other"]);
    assert_eq!(camera.connect(), Place { host: "h".to_owned(), port: 8554, tls: false });
    assert_eq!(camera.answer("200 OK", &[]), "OPTIONS rtsp://h:8554/other");
    camera.answer("302 Found", &["location: /third"]);
    camera.connect();
    assert_eq!(camera.answer("200 OK", &[]), "OPTIONS rtsp://h:8554/third");
    assert_eq!(camera.agree()[0], "DESCRIBE rtsp://h:8554/third");
    camera.give("REDIRECT rtsp://h:8554/third RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsps://h/fourth\r\n\r\n");
    assert!(camera.connect().tls);
}

#[test]
fn who_wants_encryption_is_sent_nowhere_without_it() {
    let mut camera = Camera::new("rtsps://u:p@h/front");
    camera.answer("302 Found", &["Location: rtsps://elsewhere/front"]);
    assert!(camera.connect().tls, "to another encrypted address");
    camera.answer("302 Found", &["Location: rtsp://elsewhere/front"]);
    let closed = camera.closed().unwrap();
    assert!(closed.starts_with("the camera sends from its encrypted address to one without"), "{closed}");
}

#[test]
fn a_client_is_not_sent_around_for_ever() {
    let mut camera = Camera::new("rtsp://h/front");
    for _ in 0..MOST_REDIRECTS {
        camera.answer("302 Found", &["Location: rtsp://h/front"]);
        camera.connect();
    }
    camera.answer("302 Found", &["Location: rtsp://h/front"]);
    assert_eq!(camera.closed().unwrap(), "the camera sends from one address to the next: 5 times");
    for location in ["", "Location: ", "Location: http://h/"] {
        let mut camera = Camera::new("rtsp://h/front");
        camera.answer("302 Found", &[location]);
        let closed = camera.closed().unwrap_or_default();
        assert!(closed.starts_with("302: the camera sends to another address"), "{location}: {closed}");
    }
}

#[test]
fn passwords_do_not_follow_to_other_hosts() {
    for (location, follows) in [
        ("rtsp://h:8554/other", true),
        ("rtsp://H/other", true),
        ("rtsp://elsewhere/other", false),
        ("rtsp://u:p@elsewhere/other", true),
    ] {
        let mut camera = Camera::new("rtsp://u:p@h/front");
        camera.answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"x\""]);
        camera.answer("302 Found", &[&format!("Location: {location}")]);
        camera.connect();
        let mut sent = camera.sent();
        camera.give("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"y\"\r\n\r\n");
        sent += &camera.sent();
        assert_eq!(sent.contains("Authorization: Basic dTpw"), follows, "{location}");
    }
}

#[test]
fn addresses_in_ipv6_are_asked_for_in_brackets() {
    let mut camera = Camera::new("rtsp://[::1]:8554/front");
    assert_eq!(camera.agree()[2], "SETUP rtsp://[::1]:8554/front/trackID=0");
    let client = Client::new(Address::parse("rtsp://[fe80::1]/").unwrap(), Settings::default(), 0, s(0));
    let mut client = client;
    let Some(Event::Connect(place)) = client.next_event(s(0)) else { panic!() };
    assert_eq!((&place.host[..], place.port), ("fe80::1", 554));
}
