//! Plays an RTSP stream by the crate retina, and writes its pictures to a file that FFmpeg decodes: H.264 and H.265 behind
//! start codes, JPEGs one after the other.
//!
//!   retina-player ADDRESS tcp|udp PICTURES FILE
//!
//! Fails if a packet is lost, if the first picture needs others, or if a track that is described sends nothing.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use futures::StreamExt;
use retina::client::{PlayOptions, Session, SessionOptions, SetupOptions, Transport};
use retina::codec::{CodecItem, FrameFormat};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, transport, pictures, file] = &arguments[..] else {
        return Err("usage: retina-player ADDRESS tcp|udp PICTURES FILE".into());
    };
    let play = play(address, transport.parse()?, pictures.parse()?, File::create(file)?);
    tokio::time::timeout(Duration::from_secs(15), play).await?
}

async fn play(
    address: &str,
    transport: Transport,
    pictures: u32,
    mut file: File,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let mut session = Session::describe(address.parse()?, SessionOptions::default()).await?;
    for index in 0..session.streams().len() {
        let options = SetupOptions::default().transport(transport.clone()).frame_format(FrameFormat::SIMPLE);
        session.setup(index, options).await?;
    }
    let mut silent: BTreeSet<_> = (0..session.streams().len()).collect();
    let mut frames = session.play(PlayOptions::default()).await?.demuxed()?;
    let mut count = 0;
    while count < pictures || !silent.is_empty() {
        let (stream, loss) = match frames.next().await.ok_or("the stream ended")?? {
            CodecItem::VideoFrame(frame) => {
                if count == 0 {
                    if !frame.is_random_access_point() {
                        return Err("the first picture needs others".into());
                    }
                    println!("first {} ms", started.elapsed().as_millis());
                }
                count += 1;
                if count <= pictures {
                    file.write_all(frame.data())?;
                }
                (frame.stream_id(), frame.loss())
            }
            CodecItem::AudioFrame(frame) => (frame.stream_id(), frame.loss()),
            _ => continue,
        };
        if loss > 0 {
            return Err(format!("{loss} packets of stream {stream} are missing").into());
        }
        silent.remove(&stream);
    }
    Ok(())
}
