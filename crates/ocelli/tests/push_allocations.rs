//! What a pushed picture costs in allocations, from its publishing to its last packet: two at most, and none for a packet.
#![allow(unsafe_code)] // an allocator that counts
#![allow(clippy::unwrap_used)] // helpers of tests fail a test by panicking

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::SystemTime;

use bytes::Bytes;
use ocelli::outputs::rtp::{Push, PushAddress, RtpOptions};
use ocelli::variants::{Pixels, Rules, Shape};
use ocelli_hub::{Bounds, Publisher, Stream};
use ocelli_media::{Codec, Frame, MediaTime, Track, TrackId};

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

/// Pictures until all buffers have their size and the stream's rate is measured over as many as it remembers.
const WARM_UP: u64 = 300;
const COUNTED: u64 = 100;

fn publish(publisher: &mut Publisher, data: &Bytes, number: u64) {
    publisher.push(Frame {
        track: TrackId::VIDEO,
        time: MediaTime::new(number as i64 * 3000, MediaTime::VIDEO_RATE),
        captured: Some(SystemTime::now()),
        key: true,
        data: data.clone(),
    });
}

/// Pictures that were sent or, before there was a socket, left out.
fn done(push: &Push) -> u64 {
    let stats = push.stats();
    stats.pictures() + stats.dropped().iter().map(|(_, count)| count).sum::<u64>()
}

/// Allocations for a picture of `data` with this many targets, which all are this thread's.
fn allocations(codec: Codec, data: &Bytes, targets: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = Stream::new("cam".parse().unwrap(), Bounds { pieces: 32, bytes: 64 << 20 });
        let mut publisher = stream.publish().unwrap();
        publisher.set_tracks(vec![Track::video(codec, None, Vec::new())]);
        let sockets: Vec<UdpSocket> = (0..targets).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let recoder = Pixels::with_program(stream.clone(), "/none".into(), Rules::default());
        let start = |socket: &UdpSocket| {
            socket.set_nonblocking(true).unwrap();
            let text = format!("rtp://{}?mtu=1000", socket.local_addr().unwrap());
            {
                let address = PushAddress::parse(&text).unwrap();
                Push::start(&stream, address, &Shape::default(), RtpOptions::default(), &recoder, None)
            }
        };
        let pushes: Vec<Push> = sockets.iter().map(start).collect();
        let mut datagram = [0; 2048];
        let mut before = 0;
        for number in 0..WARM_UP + COUNTED {
            if number == WARM_UP {
                before = COUNT.get();
            }
            publish(&mut publisher, data, number);
            while !pushes.iter().all(|push| done(push) > number) {
                tokio::task::yield_now().await;
            }
            for socket in &sockets {
                while socket.recv(&mut datagram).is_ok() {}
            }
        }
        let count = COUNT.get() - before;
        assert!(pushes.iter().all(|push| push.stats().pictures() >= COUNTED), "pictures were sent");
        count as f64 / COUNTED as f64
    })
}

#[test]
fn two_for_a_picture_however_many_its_packets_and_targets() {
    let jpeg = |file: &'static [u8]| Bytes::from(file.to_vec());
    let unit = |kind: u8, length: usize| [&(length as u32).to_be_bytes()[..], &vec![kind; length]].concat();
    let access_unit: Bytes = [unit(0x67, 20), unit(0x68, 4), unit(0x65, 90_000)].concat().into();
    for (name, codec, data) in [
        ("as it is", Codec::Jpeg, jpeg(include_bytes!("../../media/testdata/baseline.jpg"))),
        ("recoded", Codec::Jpeg, jpeg(include_bytes!("../../media/testdata/optimised.jpg"))),
        ("reordered", Codec::Jpeg, jpeg(include_bytes!("../../media/testdata/ffmpeg-yuv422.jpg"))),
        ("H.264", Codec::H264, access_unit),
    ] {
        for targets in [1, 8] {
            let count = allocations(codec, &data, targets);
            assert!(count <= 2.0, "{name}, {targets} targets: {count} allocations for a picture");
        }
    }
}
