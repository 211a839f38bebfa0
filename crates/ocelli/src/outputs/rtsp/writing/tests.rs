//! Pieces and answers through a real socket that takes little at a time.

use std::sync::Arc;

use ocelli_proto::rtsp::auth::{Access, Gate, Verdict};
use ocelli_proto::rtsp::server::Settings;
use ocelli_proto::rtsp::{Item, Limits, Reader};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};

use super::*;

struct Open;

impl Gate for Open {
    fn check(&self, _: &Access<'_>) -> Verdict {
        Verdict::Allowed
    }
}

fn machine() -> Connection {
    Connection::new(Arc::new(Settings::default()), Arc::new(Open), 1, std::time::Duration::ZERO)
}

/// Asks something that is answered at once.
fn ask(machine: &mut Connection, cseq: u32) {
    let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: {cseq}\r\n\r\n");
    machine.room().extend_from_slice(request.as_bytes());
    assert_eq!(machine.next_event(std::time::Duration::from_millis(1)), None);
}

/// A piece of track 1 with packets of these lengths, each filled with its number.
fn piece(lengths: &[usize]) -> Piece {
    let (mut packets, mut ends) = (Vec::new(), Vec::new());
    for (index, length) in lengths.iter().enumerate() {
        packets.extend(prefix(2, *length as u16));
        packets.extend(std::iter::repeat_n(index as u8, *length));
        ends.push(packets.len() as u32);
    }
    Piece::of_packets(1, packets.into(), ends.into())
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpSocket::new_v4().unwrap();
    near.set_send_buffer_size(4096).unwrap();
    let near = near.connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// What comes out of `far`, until as many bytes have come.
async fn items(mut far: TcpStream, bytes: usize) -> Vec<Item> {
    let mut reader = Reader::new(Limits::default());
    let mut read = 0;
    let mut items = Vec::new();
    while read < bytes {
        read += far.read_buf(reader.room()).await.unwrap();
        while let Some(item) = reader.next_item().unwrap() {
            items.push(item);
        }
    }
    assert!(reader.is_between_items() && read == bytes);
    items
}

/// What is asked is answered between two pieces, however often the socket took no more in the middle of one.
async fn tears_nothing(channel: u8) {
    let (near, far) = pair().await;
    let lengths: Vec<usize> = (0..300).map(|index| 1 + index * 37 % 1400).collect();
    let pieces: Vec<_> = (0..20).map(|_| piece(&lengths)).collect();
    let mut machine = machine();
    let answer_bytes = {
        let mut machine = self::machine();
        ask(&mut machine, 0);
        machine.output().len()
    };
    let total = pieces.iter().map(|piece| piece.packets.len()).sum::<usize>() + pieces.len() * answer_bytes;
    let reading = tokio::spawn(items(far, total));
    let (mut outlet, mut blocked) = (Outlet::default(), 0);
    for piece in pieces {
        outlet.begin(piece, channel);
        let mut asked = false;
        loop {
            match outlet.write(&near, &mut machine) {
                Ok(None) if asked => break,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    blocked += 1;
                    near.writable().await.unwrap();
                }
            }
            if !std::mem::replace(&mut asked, true) {
                ask(&mut machine, 7);
            }
        }
    }
    assert!(blocked > 20, "{blocked}");
    let items = reading.await.unwrap();
    for items in items.chunks(lengths.len() + 1) {
        let (mut packets, mut answers) = (Vec::new(), 0);
        for item in items {
            match item {
                Item::Data(data) => {
                    assert_eq!(data.channel, channel);
                    assert!(data.packet.iter().all(|byte| *byte == packets.len() as u8));
                    packets.push(data.packet.len());
                }
                Item::Response(response) => {
                    assert_eq!(response.status, 200);
                    answers += 1;
                }
                Item::Request(request) => panic!("{request:?}"),
            }
        }
        assert_eq!((packets, answers), (lengths.clone(), 1));
    }
}

#[tokio::test]
async fn answers_come_between_pieces_that_are_written_as_they_are() {
    tears_nothing(2).await;
}

#[tokio::test]
async fn answers_come_between_pieces_on_another_channel() {
    tears_nothing(97).await;
}

#[tokio::test]
async fn an_answer_comes_before_a_piece_that_was_not_begun() {
    let (near, far) = pair().await;
    let (mut machine, mut outlet) = (machine(), Outlet::default());
    ask(&mut machine, 1);
    outlet.begin(piece(&[5]), 2);
    assert!(outlet.is_untouched());
    let bytes = machine.output().len() + 9;
    assert!(outlet.write(&near, &mut machine).unwrap().is_some());
    assert!(outlet.write(&near, &mut machine).unwrap().is_none());
    let items = items(far, bytes).await;
    assert!(matches!(&items[..], [Item::Response(_), Item::Data(_)]), "{items:?}");
}
