//! Session descriptions: the RFCs' examples, what programs and cameras print, round trips, and nonsense.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Description {
    Description::parse(text.as_bytes()).unwrap()
}

fn only(text: &str) -> Medium {
    let mut media = read(text).media;
    assert_eq!(media.len(), 1);
    media.remove(0)
}

fn error(text: &str) -> String {
    Description::parse(text.as_bytes()).unwrap_err().to_string()
}

fn clock(hz: u32) -> NonZeroU32 {
    NonZeroU32::new(hz).unwrap()
}

fn to_address(text: &str) -> Connection {
    Connection { host: Host::Address(text.parse().unwrap()), ttl: None }
}

mod examples_of_rfcs {
    use super::*;

    /// RFC 8866 5.
    #[test]
    fn a_session_of_three_media() {
        let description = read(
            "v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\ni=SDP Offer #1\r\n\
             u=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\np=+1 617 555-6011\r\n\
             c=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\nm=audio 49180 RTP/AVP 0\r\n\
             m=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\n",
        );
        let address = "198.51.100.1".parse().unwrap();
        assert_eq!(description.origin, Origin { session: 3_724_394_400, version: 3_724_394_405, address });
        assert_eq!(description.name, "Call to John Smith");
        let [first, second, third] = &description.media[..] else { panic!("three media") };
        assert_eq!((first.kind, first.port, first.rtcp_port()), (Kind::Audio, 49170, Some(49171)));
        assert_eq!(first.connection, Some(to_address("198.51.100.1")));
        let law = Codec::G711 { law: Law::Mu, clock_hz: clock(8000), channels: 1 };
        assert_eq!(second.codec(), Ok((0, law)));
        assert_eq!(third.connection, Some(to_address("2001:db8::2")));
        assert_eq!(
            third.codec().unwrap_err().to_string(),
            "`a=rtpmap:99 h263-1998`: not spoken; spoken are JPEG, H264, H265, opus, PCMA, PCMU and mpeg4-generic"
        );
    }

    /// RFC 8866 5.7.
    #[test]
    fn groups_with_and_without_a_number_of_addresses() {
        let connection = |line: &str| only(&format!("v=0\n{line}\nm=video 5004 RTP/AVP 26\n")).connection;
        let group =
            |text: &str, ttl| Some(Connection { host: Host::Address(text.parse::<IpAddr>().unwrap()), ttl });
        assert_eq!(connection("c=IN IP4 233.252.0.1/127"), group("233.252.0.1", Some(127)));
        assert_eq!(connection("c=IN IP4 233.252.0.1/127/3"), group("233.252.0.1", Some(127)));
        assert_eq!(connection("c=IN IP6 ff00::db8:0:101/3"), group("ff00::db8:0:101", None));
    }

    /// RFC 3640 4.1 and 3.3.6.
    #[test]
    fn aac() {
        let medium = only(
            "v=0\nm=audio 49230 RTP/AVP 96\na=rtpmap:96 mpeg4-generic/48000/6\n\
             a=fmtp:96 streamtype=5; profile-level-id=16; mode=AAC-hbr; config=11B0; sizeLength=13; indexLength=3; \
             indexDeltaLength=3; constantDuration=1024\n",
        );
        let config = Bytes::from_static(&[0x11, 0xB0]);
        assert_eq!(medium.codec(), Ok((96, Codec::Aac { clock_hz: clock(48_000), channels: 6, config })));
        assert_eq!(medium.formats[0].parameter("constantduration"), Some("1024"));
    }

    /// RFC 7587 7.
    #[test]
    fn opus() {
        let medium = only(
            "v=0\nm=audio 54312 RTP/AVP 101\na=rtpmap:101 opus/48000/2\n\
             a=fmtp:101 maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; stereo=1; \
             useinbandfec=1; usedtx=0\na=ptime:40\na=maxptime:40\n",
        );
        assert_eq!(medium.codec(), Ok((101, Codec::Opus { stereo: false })));
    }

    /// RFC 3605 2.1.
    #[test]
    fn rtcp_elsewhere() {
        let rtcp = |line: &str| {
            let medium = only(&format!("v=0\nm=audio 49170 RTP/AVP 0\n{line}\n"));
            (medium.rtcp_port(), medium.rtcp)
        };
        let at = |host: Option<&str>| {
            let host = host.map(|host| Host::Address(host.parse().unwrap()));
            (Some(53020), Rtcp::At { port: 53020, host })
        };
        assert_eq!(rtcp("a=rtcp:53020"), at(None));
        assert_eq!(rtcp("a=rtcp:53020 IN IP4 126.16.64.4"), at(Some("126.16.64.4")));
        let six = "2001:2345:6789:abcd:ef01:2345:6789:abcd";
        assert_eq!(rtcp(&format!("a=rtcp:53020 IN IP6 {six}")), at(Some(six)));
        assert_eq!(rtcp("a=rtcp:9 IN IP4 0.0.0.0\na=rtcp-mux"), (Some(49170), Rtcp::SamePort));
        assert_eq!(rtcp("a=rtcp-mux\na=rtcp:9"), (Some(49170), Rtcp::SamePort));
    }

    /// RFC 4570 3.2 and RFC 5576 9.
    #[test]
    fn senders() {
        let medium = only(
            "v=0\nc=IN IP4 232.3.4.5/127\na=source-filter: incl IN IP4 232.3.4.5 192.0.2.10\n\
             m=video 51372 RTP/AVP 31\na=ssrc:12345 cname:another-user@example.com\na=ssrc:67890 cname:other\n",
        );
        let sources = vec![Host::Address("192.0.2.10".parse().unwrap())];
        assert_eq!(medium.source_filter, Some(SourceFilter { include: true, sources }));
        let cname = "another-user@example.com".to_owned();
        assert_eq!(medium.source, Some(Source { ssrc: 12345, cname }));
        assert!(matches!(medium.codec(), Err(CodecError::NoEncoding { payload_type: 31 })));
    }
}

mod programs_and_cameras {
    use super::*;

    /// As `ffmpeg -f rtp -sdp_file` wrote them.
    #[test]
    fn ffmpeg() {
        let head = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                    a=tool:libavformat LIBAVFORMAT_VERSION\r\n";
        let jpeg = only(&format!("{head}m=video 5004 RTP/AVP 26\r\nb=AS:200\r\n"));
        assert_eq!(jpeg.codec(), Ok((26, Codec::Jpeg)));
        assert_eq!((jpeg.port, jpeg.connection.clone()), (5004, Some(to_address("127.0.0.1"))));

        let h264 = only(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\nc=IN IP4 239.1.2.3/3\nt=0 0\nm=video 5004 RTP/AVP 96\n\
             a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1; \
             sprop-parameter-sets=Z/QADJGbKCg/YCIAAAMAAgAAAwAoHihTLA==,aOvjxEhE; profile-level-id=F4000C\n",
        );
        assert_eq!(h264.connection.as_ref().unwrap().ttl, Some(3));
        let Ok((96, Codec::H264 { mode, profile_level_id, parameter_sets })) = h264.codec() else { panic!() };
        assert_eq!((mode, profile_level_id), (PacketizationMode::NonInterleaved, Some([0xF4, 0, 0x0C])));
        assert_eq!(parameter_sets[0][..4], [0x67, 0xF4, 0, 0x0C]);
        assert_eq!(parameter_sets[1][..], [0x68, 0xEB, 0xE3, 0xC4, 0x48, 0x44]);

        let h265 = only(
            "v=0\no=- 0 0 IN IP6 ::1\ns=No Name\nc=IN IP6 ::1\nt=0 0\nm=video 5004 RTP/AVP 96\n\
             a=rtpmap:96 H265/90000\na=fmtp:96 sprop-vps=QAEMAf//BAgAAAMAnggAAAMAADyVmAk=; \
             sprop-sps=QgEBBAgAAAMAnggAAAMAADyQAUEB4ssrNJJleAtwICAAQAAAAwBAAAADAoI=; sprop-pps=RAHBcoYMRiQ=\n",
        );
        let Ok((96, Codec::H265 { parameter_sets })) = h265.codec() else { panic!() };
        assert_eq!(parameter_sets.iter().map(|unit| unit[0]).collect::<Vec<_>>(), [0x40, 0x42, 0x44]);

        let sound = [
            (
                "97\nb=AS:96\na=rtpmap:97 opus/48000/2\na=fmtp:97 sprop-stereo=1\n",
                Codec::Opus { stereo: true },
            ),
            ("8\nb=AS:64\n", Codec::G711 { law: Law::A, clock_hz: clock(8000), channels: 1 }),
            (
                "97\nb=AS:256\na=rtpmap:97 PCMU/16000/2\n",
                Codec::G711 { law: Law::Mu, clock_hz: clock(16_000), channels: 2 },
            ),
            (
                "97\na=rtpmap:97 MPEG4-GENERIC/44100/2\na=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;\
                 indexlength=3;indexdeltalength=3; config=121056E500\n",
                Codec::Aac {
                    clock_hz: clock(44_100),
                    channels: 2,
                    config: Bytes::from_static(&[0x12, 0x10, 0x56, 0xE5, 0]),
                },
            ),
        ];
        for (lines, codec) in sound {
            let medium = only(&format!("{head}m=audio 5006 RTP/AVP {lines}"));
            assert_eq!(medium.codec().unwrap().1, codec);
        }
    }

    /// GStreamer's RTSP server.
    #[test]
    fn gstreamer() {
        let medium = only(
            "v=0\r\no=- 1188340656180883 1 IN IP4 127.0.0.1\r\ns=Session streamed with GStreamer\r\ni=rtsp-server\r\n\
             t=0 0\r\na=tool:GStreamer\r\na=type:broadcast\r\na=control:*\r\na=range:npt=now-\r\n\
             m=video 0 RTP/AVP 26\r\nc=IN IP4 0.0.0.0\r\nb=AS:2097\r\na=rtpmap:26 JPEG/90000\r\n\
             a=framerate:30.000000\r\na=control:stream=0\r\na=ts-refclk:local\r\na=mediaclk:sender\r\n",
        );
        assert_eq!((medium.framerate, medium.control.as_deref()), (Some(30.0), Some("stream=0")));
        assert_eq!((medium.codec(), medium.rtcp_port()), (Ok((26, Codec::Jpeg)), None));
    }

    /// MediaMTX.
    #[test]
    fn mediamtx() {
        let description = read(
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=Session\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
             a=control:rtsp://localhost:8554/cam/trackID=0\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1; profile-level-id=42C01F; \
             sprop-parameter-sets=Z0LAH9kAUAW7ARAAAAMAEAAAAwPA8YMkgA==,aMuMsg==\r\nm=audio 0 RTP/AVP 111\r\n\
             a=control:rtsp://localhost:8554/cam/trackID=1\r\na=rtpmap:111 opus/48000/2\r\n\
             a=fmtp:111 sprop-stereo=0\r\n",
        );
        let control = description.media[0].control.as_deref();
        assert_eq!(control, Some("rtsp://localhost:8554/cam/trackID=0"));
        assert_eq!(description.media[1].codec(), Ok((111, Codec::Opus { stereo: false })));
    }

    /// Hikvision: `a=x-dimensions`, a header of its own, absolute controls, `m=application` of metadata.
    #[test]
    fn hikvision() {
        let description = read(
            "v=0\no=- 1586360918952238 1586360918952238 IN IP4 192.168.12.15\ns=Media Presentation\ne=NONE\n\
             b=AS:5050\nt=0 0\na=control:rtsp://192.168.12.15:554/\nm=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\n\
             b=AS:5000\na=recvonly\na=x-dimensions:1920,1080\na=control:rtsp://192.168.12.15:554/trackID=1\n\
             a=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=420029; packetization-mode=1; \
             sprop-parameter-sets=Z00AKp2oHgCJ+WbgICAoAAADAAgAAAMBlCA=,aO48gA==\na=Media_header:MEDIAINFO=494D4B48;\n\
             a=appversion:1.0\nm=application 0 RTP/AVP 107\nc=IN IP4 0.0.0.0\n\
             a=rtpmap:107 vnd.onvif.metadata/90000\na=recvonly\n",
        );
        let video = &description.media[0];
        assert_eq!(video.size, Some(Size { width: 1920, height: 1080 }));
        assert_eq!(video.direction, Direction::ReceiveOnly);
        assert!(
            matches!(video.codec(), Ok((96, Codec::H264 { parameter_sets, .. })) if parameter_sets.len() == 2)
        );
        assert_eq!(description.media[1].kind, Kind::Other);
    }

    /// Dahua: an origin whose numbers are too large, a name that is no UTF-8, sprop in another order, AAC without channels.
    #[test]
    fn dahua() {
        let text =
            b"v=0\r\no=- 22519381912251938191225193819 1 IN IP4 0.0.0.0\r\ns=\xC9\xE3\xCF\xF1\xCD\xB7\r\n\
            t=0 0\r\na=control:*\r\na=packetization-supported:DH\r\na=recvonly\r\nm=video 0 RTP/AVP 98\r\n\
            a=control:trackID=0\r\na=framerate:25.000000\r\na=rtpmap:98 H265/90000\r\n\
            a=fmtp:98 profile-id=1;sprop-sps=QgEBBAgAAAMAnggAAAMAADyQAUEB4ssrNJJleAtwICAAQAAAAwBAAAADAoI=;\
            sprop-pps=RAHBcoYMRiQ=;sprop-vps=QAEMAf//BAgAAAMAnggAAAMAADyVmAk=\r\nm=audio 0 RTP/AVP 97\r\n\
            a=rtpmap:97 MPEG4-GENERIC/48000\r\na=fmtp:97 streamtype=5;profile-level-id=1;mode=AAC-hbr;\
            sizelength=13;indexlength=3;indexdeltalength=3;config=1188\r\n";
        let description = Description::parse(text).unwrap();
        assert_eq!(description.origin, Origin::default());
        let Ok((98, Codec::H265 { parameter_sets })) = description.media[0].codec() else { panic!() };
        assert_eq!(parameter_sets.iter().map(|unit| unit[0]).collect::<Vec<_>>(), [0x40, 0x42, 0x44]);
        assert!(matches!(description.media[1].codec(), Ok((97, Codec::Aac { channels: 1, .. }))));
        assert_eq!(description.media[1].direction, Direction::ReceiveOnly);
    }

    #[test]
    fn broken_parameter_sets_are_left_out_and_start_codes_taken_off() {
        let sets = |text: &str| {
            let medium = only(&format!(
                "v=0\nm=video 1 RTP/AVP 96\na=rtpmap:96 H264\na=fmtp:96 sprop-parameter-sets={text}\n"
            ));
            match medium.codec() {
                Ok((96, Codec::H264 { mode: PacketizationMode::SingleUnits, parameter_sets, .. })) => {
                    parameter_sets
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(sets("aO48gA,"), [&[0x68, 0xEE, 0x3C, 0x80][..]]);
        assert_eq!(sets("*,,aO48gA=="), [&[0x68, 0xEE, 0x3C, 0x80][..]]);
        assert_eq!(sets("AAAAAWjuPIA="), [&[0x68, 0xEE, 0x3C, 0x80][..]]);
        assert_eq!(sets("AAAB"), Vec::<Bytes>::new());
        assert_eq!(sets("ZYiE"), Vec::<Bytes>::new(), "a slice of a picture is no parameter set");
    }

    #[test]
    fn the_first_payload_type_that_is_known_is_taken() {
        let medium = only("v=0\nm=audio 9 RTP/AVPF 9 500 x 8 8 0\n");
        assert_eq!(medium.formats.iter().map(|format| format.payload_type).collect::<Vec<_>>(), [9, 8, 0]);
        assert_eq!(medium.codec().unwrap().0, 8);
    }
}

mod refused {
    use super::*;

    #[test]
    fn what_is_no_description_by_its_line() {
        let long = error(&"a=x\n".repeat(20_000));
        assert_eq!(long, "80000 bytes, expected at most 65536");
        assert!(error("<html>\n</html>").starts_with("no session description: neither a line `v=0` nor one"));
        assert!(error("v=0\ns=x\n").starts_with("no `m=` line"));
        assert_eq!(error("v=1\nm=video 1 RTP/AVP 26"), "line 1: `v=1`: expected `v=0` (RFC 8866 5.1)");
        let media = format!("v=0\n{}", "m=video 1 RTP/AVP 26\n".repeat(33));
        assert_eq!(error(&media), "line 34: more than 32 media");
        for line in ["m=video", "m=video 70000 RTP/AVP 26", "m=video x RTP/AVP 26", "m=video 5004"] {
            let error = error(&format!("v=0\r\n\r\n{line}\r\n"));
            assert!(error.starts_with(&format!("line 3: `{line}`: expected `m=KIND PORT")), "{error}");
        }
        for line in ["c=", "c=IN IP4", "c=IN IP4 300.1.1.1", "c=IN IP4 224.1.1.1/x", "c=IN IP4 a!b"] {
            let error = error(&format!("v=0\n{line}\nm=video 1 RTP/AVP 26\n"));
            assert!(error.starts_with(&format!("line 2: `{line}`: expected `c=IN")), "{error}");
        }
        for line in ["a=rtpmap:96", "a=rtpmap:96 /90000", "a=rtpmap:96 H264/0", "a=rtpmap:96 H264/x"] {
            let error = error(&format!("v=0\nm=video 1 RTP/AVP 96\n{line}"));
            assert!(error.starts_with(&format!("line 3: `{line}`: expected `a=rtpmap")), "{error}");
        }
        assert!(
            error("m=video 1 RTP/AVP 96\na=rtcp:x").starts_with("line 2: `a=rtcp:x`: expected `a=rtcp:PORT`")
        );
    }

    #[test]
    fn what_is_wrong_in_one_line_of_a_server_is_left_out() {
        let text = "v=0\nc=IN\nm=audio x\na=control:a\nm=video 0 RTP/AVP 96\na=rtpmap:96\na=rtpmap:96 H264/90000\n\
                    a=rtcp:x\na=control:b\n";
        assert!(Description::parse(text.as_bytes()).is_err());
        let description = Description::parse_of_server(text.as_bytes()).unwrap();
        let controls: Vec<_> = description.media.iter().map(|medium| medium.control.as_deref()).collect();
        assert_eq!(controls, [Some("a"), Some("b")]);
        assert!(description.media[0].codec().is_err() && description.media[1].codec().is_ok());
        assert!(Description::parse_of_server(b"<html>").is_err());
    }

    #[test]
    fn ways_of_packing_by_their_names() {
        let codec = |rtpmap: &str, fmtp: &str| {
            let text = format!("v=0\nm=video 1 RTP/AVP 96\na=rtpmap:96 {rtpmap}\na=fmtp:96 {fmtp}\n");
            only(&text).codec().unwrap_err().to_string()
        };
        assert_eq!(
            codec("H264/90000", "packetization-mode=2;sprop-interleaving-depth=5"),
            "`a=fmtp:96`: `packetization-mode=2`: interleaved packets are not spoken (RFC 6184 5.4)"
        );
        assert!(codec("H264/90000", "packetization-mode=7").contains("expected 0 or 1"));
        assert_eq!(codec("H264/8000", ""), "`a=rtpmap:96 H264/8000`: expected H264/90000");
        assert!(
            codec("H265/90000", "sprop-max-don-diff=2").contains("`sprop-max-don-diff=2`: NAL units out of")
        );
        assert!(codec("mpeg4-generic/8000", "mode=CELP-vbr").contains("`mode=CELP-vbr`: expected AAC-hbr"));
        assert!(codec("mpeg4-generic/8000", "").contains("`mode missing`"));
        assert!(codec("mpeg4-generic/8000", "mode=AAC-hbr;sizelength=6").contains("`sizelength=6`: AAC-hbr"));
        for config in ["", "config=1", "config=zz00", "config=12"] {
            let error = codec("mpeg4-generic/8000", &format!("mode=AAC-hbr;{config}"));
            assert!(error.contains("expected AudioSpecificConfig in hexadecimal"), "{error}");
        }
        let codec = |line: &str| only(line).codec().unwrap_err().to_string();
        assert_eq!(codec("m=video 1 RTP/SAVP 26"), "the protocol is `RTP/SAVP`, expected `RTP/AVP`");
        assert_eq!(codec("m=video 1 RTP/AVP"), "the `m=` line has no payload type (RFC 8866 5.14)");
        assert!(codec("m=video 1 RTP/AVP 96").starts_with("payload type 96 has no `a=rtpmap` line"));
    }
}

mod written {
    use super::*;

    fn h264() -> Codec {
        Codec::h264(vec![
            Bytes::from_static(&[0x67, 0x42, 0xC0, 0x1F, 0xD9]),
            Bytes::from_static(&[0x68, 0xCB, 0x8C, 0xB2]),
        ])
    }

    #[test]
    fn a_stream_of_jpeg_to_one_receiver() {
        let connection = Connection::to("192.0.2.7".parse().unwrap(), 1);
        let medium = Medium {
            framerate: Some(29.97),
            size: Some(Size { width: 1280, height: 720 }),
            source: Some(Source { ssrc: 0x1234_5678, cname: "front@example".to_owned() }),
            ..Medium::sent(&Codec::Jpeg, 26, connection, 5000)
        };
        let origin = Origin { session: 7, version: 8, address: "192.0.2.1".parse().unwrap() };
        let description =
            Description { origin, name: "front".to_owned(), control: None, media: vec![medium] };
        assert_eq!(
            description.to_string(),
            "v=0\r\no=- 7 8 IN IP4 192.0.2.1\r\ns=front\r\nt=0 0\r\nm=video 5000 RTP/AVP 26\r\nc=IN IP4 192.0.2.7\r\n\
             a=rtpmap:26 JPEG/90000\r\na=framerate:29.97\r\na=x-dimensions:1280,720\r\na=recvonly\r\n\
             a=ssrc:305419896 cname:front@example\r\n"
        );
    }

    #[test]
    fn h264_to_a_group() {
        let connection = Connection::to("239.1.2.3".parse().unwrap(), 4);
        let medium = Medium::sent(&h264(), 96, connection, 5004);
        let text = Description { media: vec![medium], ..Description::default() }.to_string();
        assert!(text.contains("s=-\r\n") && text.contains("c=IN IP4 239.1.2.3/4\r\n"), "{text}");
        let fmtp = "a=fmtp:96 packetization-mode=1;profile-level-id=42c01f;sprop-parameter-sets=Z0LAH9k=,aMuMsg==\r\n";
        assert!(text.contains(fmtp), "{text}");
        let group = Connection::to("ff15::1".parse().unwrap(), 4);
        assert_eq!(group, Connection { host: Host::Address("ff15::1".parse().unwrap()), ttl: None });
    }

    #[test]
    fn no_text_begins_a_line_of_its_own() {
        let mut medium = Medium::sent(&Codec::Jpeg, 26, Connection::to("::1".parse().unwrap(), 1), 5000);
        medium.control = Some("x\r\na=inactive".to_owned());
        let name = "front\nm=audio 1 RTP/AVP 0".to_owned();
        let description = Description { name, media: vec![medium], ..Description::default() };
        let read = read(&description.to_string());
        assert_eq!((read.media.len(), read.media[0].direction), (1, Direction::ReceiveOnly));
    }

    /// A reader that is not ours and takes nothing that the RFC does not allow.
    #[test]
    fn another_reader_takes_it() {
        let connection = Connection::to("239.1.2.3".parse().unwrap(), 4);
        let mut medium = Medium::sent(&h264(), 96, connection, 5004);
        medium.rtcp = Rtcp::At { port: 6000, host: None };
        let text = Description { media: vec![medium], ..Description::default() }.to_string();
        let session = sdp_types::Session::parse(text.as_bytes()).unwrap();
        let medium = &session.medias[0];
        assert_eq!(medium.connections[0].connection_address, "239.1.2.3/4");
        let map = medium.get_first_attribute_typed::<sdp_types::RtpMap>().unwrap().unwrap();
        assert_eq!(map.to_string(), "96 H264/90000");
        let fmtp = medium.get_first_attribute_typed::<sdp_types::Fmtp>().unwrap().unwrap();
        assert!(fmtp.to_string().contains("profile-level-id=42c01f"));
        let rtcp = medium.get_first_attribute_typed::<sdp_types::Rtcp>().unwrap().unwrap();
        assert_eq!(rtcp.port, 6000);
    }
}

fn any_unit(first: &'static [u8]) -> impl Strategy<Value = Bytes> {
    let rest = proptest::collection::vec(any::<u8>(), 3..20);
    (proptest::sample::select(first), rest).prop_map(|(first, rest)| [&[first][..], &rest].concat().into())
}

fn any_codec() -> impl Strategy<Value = Codec> {
    let channels = 1_u8..9;
    let rate = (1_u32..200_000).prop_map(clock);
    let h265 = (any_unit(&[0x40]), any_unit(&[0x42]), any_unit(&[0x44, 0x45]));
    prop_oneof![
        Just(Codec::Jpeg),
        (any_unit(&[0x67, 0x27]), any_unit(&[0x68])).prop_map(|(sps, pps)| Codec::h264(vec![sps, pps])),
        Just(Codec::h264(Vec::new())),
        h265.prop_map(|(vps, sps, pps)| Codec::H265 { parameter_sets: vec![vps, sps, pps] }),
        any::<bool>().prop_map(|stereo| Codec::Opus { stereo }),
        (any::<bool>(), rate.clone(), channels.clone()).prop_map(|(a, clock_hz, channels)| {
            Codec::G711 { law: if a { Law::A } else { Law::Mu }, clock_hz, channels }
        }),
        (rate, channels, proptest::collection::vec(any::<u8>(), 2..9)).prop_map(
            |(clock_hz, channels, config)| Codec::Aac { clock_hz, channels, config: config.into() }
        ),
    ]
}

fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<IpAddr>().prop_map(Host::Address),
        "[a-z][a-z0-9-]{0,9}(\\.[a-z]{1,5})?".prop_map(Host::Name),
    ]
}

fn any_medium() -> impl Strategy<Value = Medium> {
    let rtcp = prop_oneof![
        Just(Rtcp::NextPort),
        Just(Rtcp::SamePort),
        (any::<u16>(), proptest::option::of(any_host())).prop_map(|(port, host)| Rtcp::At { port, host }),
    ];
    let connection = prop_oneof![
        (any::<IpAddr>(), any::<u8>()).prop_map(|(address, ttl)| Connection::to(address, ttl)),
        any_host().prop_map(|host| Connection { host, ttl: None }),
    ];
    let direction = proptest::sample::select(&[
        Direction::Both,
        Direction::SendOnly,
        Direction::ReceiveOnly,
        Direction::Inactive,
    ]);
    let size = (1_u16.., 1_u16..).prop_map(|(width, height)| Size { width, height });
    let source = (any::<u32>(), "[a-z0-9]{1,9}@[a-z]{1,9}").prop_map(|(ssrc, cname)| Source { ssrc, cname });
    let sources = proptest::collection::vec(any::<std::net::Ipv4Addr>(), 1..4);
    let filter = (any::<bool>(), sources).prop_map(|(include, sources)| {
        let sources = sources.into_iter().map(|source| Host::Address(IpAddr::V4(source))).collect();
        SourceFilter { include, sources }
    });
    let details = (
        proptest::option::of((1_u32..100_000).prop_map(|rate| f64::from(rate) / 100.0)),
        proptest::option::of(size),
        proptest::option::of(source),
        proptest::option::of(filter),
        proptest::option::of("[a-zA-Z=/:0-9]{1,12}"),
    );
    ((any_codec(), 0_u8..128, connection, any::<u16>()), rtcp, direction, details).prop_map(
        |((codec, payload_type, connection, port), rtcp, direction, details)| {
            let (framerate, size, source, source_filter, control) = details;
            let sent = Medium::sent(&codec, payload_type, connection, port);
            Medium { rtcp, direction, framerate, size, source, source_filter, control, ..sent }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (session, version, address) in any::<(u64, u64, IpAddr)>(),
        name in "([a-zA-Z0-9][a-zA-Z0-9 äß=:]{0,20}[a-z])?",
        control in proptest::option::of("[a-z*]{1,8}"),
        media in proptest::collection::vec(any_medium(), 1..4),
    ) {
        let origin = Origin { session, version, address };
        let description = Description { origin, name, control, media };
        let text = description.to_string();
        let read = Description::parse(text.as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&description), "{}", text);
    }

    #[test]
    fn a_codec_is_read_as_it_is_written(codec in any_codec(), payload_type in 0_u8..128) {
        let format = codec.format(payload_type);
        prop_assert_eq!(format.codec(), Ok(codec));
    }

    #[test]
    fn nothing_panics(
        lines in proptest::collection::vec("([vosciambt]=|a=(rtpmap|fmtp|rtcp|ssrc|framesize|source-filter):)?.{0,40}", 0..30),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Description::parse(&bytes);
        if let Ok(description) = Description::parse(lines.join("\n").as_bytes()) {
            for medium in &description.media {
                let _ = (medium.codec(), medium.rtcp_port());
            }
            prop_assert!(Description::parse(description.to_string().as_bytes()).is_ok());
        }
    }
}
