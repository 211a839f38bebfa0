//! No value of a header field makes its reader panic; a transport, a range and an RTP-Info that can be read are written and read again
//! as they were; no digest is right by chance.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ocelli_proto::rtsp::auth::Credentials;
use ocelli_proto::rtsp::{Range, RtpInfo, Target, Transport, session_field};

fuzz_target!(|text: &str| {
    for transport in Transport::parse_list(text).flatten() {
        assert_eq!(Transport::parse(&transport.to_string()), Ok(transport));
    }
    if let Ok(range) = Range::parse(text) {
        let written = range.to_string();
        // Written in milliseconds: an end that was later by less is at the beginning now.
        if let Ok(again) = Range::parse(&written) {
            assert_eq!(again.to_string(), written);
        }
    }
    for info in RtpInfo::parse(text) {
        let _ = info.to_string();
    }
    let target = Target::parse(text);
    assert!(!target.path.contains(char::is_control) || text.contains(char::is_control));
    target.find(&["streamid=0".to_owned(), text.to_owned()]);
    session_field(text);
    if let Some(credentials) = Credentials::parse(text, "PLAY") {
        assert!(credentials.password().is_some() || !credentials.matches(credentials.user(), "secret"));
    }
});
