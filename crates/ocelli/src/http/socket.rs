//! Socket options of viewers' connections.
//!
//! The one file of the HTTP side that calls the kernel directly: no crate in use sets `TCP_NOTSENT_LOWAT`.

#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How much the kernel keeps for a viewer beyond what is on its way. A slow viewer's next picture is chosen when less
/// than this is left of the one before, so this, not the send buffer (which must hold what a long path has in
/// flight), bounds how old pictures grow in the kernel.
const NOT_SENT_LOW_WATER_BYTES: libc::c_int = 32 * 1024;

/// A client that has been silent for this long is asked whether it is there. Who takes nothing is noticed by whoever
/// writes; a viewer of a camera that gives no pictures, whose machine was switched off, by nobody else.
const SILENT: Duration = Duration::from_secs(30);
/// How often it is asked again until it answers, nine times in all on Linux.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Makes a viewer's connection prompt (no delayed segments, and little waiting unsent) and has the kernel end it once
/// its client is gone.
///
/// # Errors
/// The kernel refused an option. The connection works without.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    limit_unsent(stream)?;
    notice_the_gone(stream)
}

fn notice_the_gone(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENT)?;
    Ok(sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn limit_unsent(stream: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let value = NOT_SENT_LOW_WATER_BYTES;
    // SAFETY: the descriptor is open for as long as `stream` is borrowed; the option's value is a `c_int`, which is
    // read before the call returns, and its length is given.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn limit_unsent(_stream: &TcpStream) -> io::Result<()> {
    let _ = NOT_SENT_LOW_WATER_BYTES;
    Ok(())
}
