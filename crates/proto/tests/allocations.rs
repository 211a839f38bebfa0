//! What a picture costs in allocations once a camera runs: none for a packet, sent or received; one for a picture (its headers),
//! one more where the scan is written anew, two for an access unit; for a packet out of an RTSP connection a part of what its read takes.
#![allow(unsafe_code)] // an allocator that counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use ocelli_media::jpeg::rewrite::{Rewriter, Work};
use ocelli_proto::rtp::jpeg::{Burst, PAYLOAD_TYPE, Stamp};
use ocelli_proto::rtp::receive::{Event, Payload, Receiver, Setup};
use ocelli_proto::rtp::reorder::Limits;
use ocelli_proto::rtp::{Interleaved, nal};
use ocelli_proto::rtsp::client::{Address, Client, Event as RtspEvent, Input, Settings};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as this function's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as this function's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as this function's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_picture_takes_one_allocation_or_two_if_rewritten_and_a_packet_none() {
    for (file, expected, most) in [
        (&include_bytes!("../../media/testdata/baseline.jpg")[..], Work::AsIs, 1),
        (include_bytes!("../../media/testdata/optimised.jpg"), Work::Recoded, 2),
        (include_bytes!("../../media/testdata/ffmpeg-yuv422.jpg"), Work::Reordered, 2),
    ] {
        let picture = Bytes::copy_from_slice(file);
        let mut rewriter = Rewriter::new();
        let mut headers = Vec::new();
        let mut sequence = 0;
        for round in 0..8 {
            let before = COUNT.get();
            let (rewritten, work) = rewriter.rewrite(&picture).expect("it can be carried");
            let burst = Burst::new(&rewritten, 576).expect("it fits");
            let for_picture = COUNT.get() - before;
            for ssrc in 0..8 {
                burst.stamp(Stamp { payload_type: PAYLOAD_TYPE, sequence, timestamp: 0, ssrc }, &mut headers);
                assert!(burst.packets(&headers).all(|(header, payload)| header.len() + payload.len() <= 576));
            }
            sequence += burst.packet_count() as u16;
            let for_all = COUNT.get() - before;
            assert_eq!(work, expected);
            // The first pictures' memory is what later ones are written into.
            if round > 3 {
                assert!(for_picture <= most, "{work:?}: {for_picture} allocations for a picture");
                assert_eq!(for_all, for_picture, "{work:?}: packets allocate");
            }
        }
    }
}

#[test]
fn an_access_unit_takes_two_allocations_and_a_packet_none() {
    let unit = |kind: u8, length: usize| [&(length as u32).to_be_bytes()[..], &vec![kind; length]].concat();
    let units = [unit(0x67, 20), unit(0x68, 4), unit(0x65, 90_000), unit(0x65, 500), unit(0x65, 40_000)];
    let access_unit = Bytes::from(units.concat());
    let mut headers = Vec::new();
    let mut packetiser = nal::Packetiser::default();
    for round in 0..2 {
        let before = COUNT.get();
        let burst = packetiser.packetise(nal::Format::H264, &access_unit, 1200).expect("it is sound");
        let for_unit = COUNT.get() - before;
        for ssrc in 0..8 {
            burst.stamp(Stamp { payload_type: 96, sequence: 0, timestamp: 0, ssrc }, &mut headers);
            assert!(burst.packets(&headers).all(|(header, payload)| header.len() + payload.len() <= 1200));
        }
        if round > 0 {
            // Headers, and the list of packets.
            assert!(for_unit <= 2, "{for_unit} allocations for an access unit");
            assert_eq!(COUNT.get() - before, for_unit, "packets allocate");
        }
    }
}

#[test]
fn a_received_picture_takes_two_allocations_and_a_packet_none() {
    let picture = Bytes::from_static(include_bytes!("../../media/testdata/baseline.jpg"));
    let (mut rewritten, _) = Rewriter::new().rewrite(&picture).expect("it can be carried");
    rewritten.scan = vec![7; 20_000].into();
    let burst = Burst::new(&rewritten, 576).expect("it fits");
    let mut receiver = Receiver::new(Setup {
        payload: Payload::Jpeg,
        payload_type: PAYLOAD_TYPE,
        from: None,
        limits: Limits { wait: Duration::from_millis(50), packets: 100 },
        most_bytes: 1 << 20,
    });
    let from = ([127, 0, 0, 1], 5000).into();
    let (mut headers, mut out, mut packets) = (Vec::new(), Vec::new(), Vec::<Vec<u8>>::new());
    for round in 0..5_u32 {
        let sequence = round as u16 * burst.packet_count() as u16;
        burst.stamp(Stamp { payload_type: PAYLOAD_TYPE, sequence, timestamp: round, ssrc: 7 }, &mut headers);
        packets.clear();
        packets.extend(burst.packets(&headers).map(|(header, payload)| [header, payload].concat()));
        out.clear();
        let before = COUNT.get();
        for packet in &packets {
            receiver.datagram(Duration::from_millis(round.into()), from, packet, &mut out);
        }
        let count = COUNT.get() - before;
        assert!(matches!(out.last(), Some(Event::Picture(_))), "{out:?}");
        // The picture, and what counts those who share it.
        assert!(round < 2 || count <= 2, "{count} allocations");
    }
}

#[test]
fn a_picture_for_connections_takes_four_allocations_and_a_reader_none() {
    let access_unit = Bytes::from([&90_000_u32.to_be_bytes()[..], &[0x65; 90_000]].concat());
    let burst = nal::Burst::new(nal::Format::H264, &access_unit, 1400).expect("it is sound");
    let mut headers = Vec::new();
    for round in 0..2 {
        let before = COUNT.get();
        let interleaved = Interleaved::from(&burst);
        let for_picture = COUNT.get() - before;
        let mut bytes = 0;
        for reader in 0..8 {
            let stamp = Stamp { payload_type: 96, sequence: 0, timestamp: 0, ssrc: reader.into() };
            interleaved.stamp(reader, stamp, &mut headers);
            bytes += interleaved.slices(&headers, 1000).map(<[u8]>::len).sum::<usize>();
        }
        assert_eq!(bytes, 8 * (interleaved.total_bytes() - 1000));
        if round > 0 {
            // Headers as in datagrams, headers with what stands before them, the list of packets, and what counts their readers.
            assert!(for_picture <= 4, "{for_picture} allocations for a picture");
            assert_eq!(COUNT.get() - before, for_picture, "readers allocate");
        }
    }
}

#[test]
fn a_packet_out_of_a_connection_takes_a_part_of_the_read_it_came_in() {
    let answers = ["", "Content-Length: 32\r\n\r\nv=0\r\nm=video 0 RTP/AVP 26\r\na=b\r\n", "", ""];
    let mut client = Client::new(
        Address::parse("rtsp://h/front").expect("an address"),
        Settings::default(),
        0,
        Duration::ZERO,
    );
    assert!(matches!(client.next_event(Duration::ZERO), Some(RtspEvent::Connect(_))));
    client.input(Duration::ZERO, Input::Connected);
    for answer in answers {
        let end = if answer.is_empty() { "\r\n" } else { "" };
        client.room().extend_from_slice(format!("RTSP/1.0 200 OK\r\n{answer}{end}").as_bytes());
        while client.next_event(Duration::ZERO).is_some() {}
    }
    assert!(client.is_playing());
    let packet = [&[b'$', 0, 5, 0xB4, 0x80][..], &[7; 1459]].concat();
    let mut left = &packet.repeat(4000)[..];
    let (mut packets, mut reads, before) = (0, 0, COUNT.get());
    while !left.is_empty() {
        let room = client.room();
        let (now, later) = left.split_at(left.len().min(room.capacity() - room.len()));
        room.extend_from_slice(now);
        left = later;
        reads += 1;
        while let Some(RtspEvent::Data { packet, .. }) = client.next_event(Duration::ZERO) {
            packets += usize::from(packet.len() == 1460);
        }
    }
    let allocations = COUNT.get() - before;
    assert_eq!(packets, 4000);
    assert!(allocations <= 2 * reads && reads < 400, "{allocations} allocations for {reads} reads");
}
