//! Reading of a file into a framer's buffer: what the system has in memory at once, the rest where waiting is allowed.
//!
//! One of the few files that call the system directly: the buffer's room need not be filled with zeroes first, and
//! preadv2(2) with `RWF_NOWAIT` is the one call that never waits for a disk.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use bytes::{BufMut, BytesMut};
// Places beyond 2 GB have calls of their own where `off_t` has 32 bits.
#[cfg(not(target_os = "linux"))]
use libc::pread as pread_far;
#[cfg(target_os = "linux")]
use libc::pread64 as pread_far;
#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
use libc::preadv2 as preadv_far;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use libc::preadv64v2 as preadv_far;

/// Where the reading of a file goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    /// Where it ended.
    Here,
    /// At this byte.
    At(u64),
}

/// Fills what is left of `room`'s capacity, waiting for the disk if need be. Returns how many bytes came: 0 at the end of
/// the file, or when there is no capacity left.
pub(super) fn read(file: &File, from: From, room: &mut BytesMut) -> io::Result<usize> {
    append(room, |start, length| match from {
        // SAFETY: `append` gives memory of that length that nothing else refers to.
        From::Here => unsafe { libc::read(file.as_raw_fd(), start.cast(), length) },
        From::At(at) => {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            // SAFETY: as above.
            unsafe { pread_far(file.as_raw_fd(), start.cast(), length, at) }
        }
    })
}

/// As [`read`], but `None` where that would have to wait, or where the system cannot tell.
#[cfg(target_os = "linux")]
pub(super) fn read_at_hand(file: &File, from: From, room: &mut BytesMut) -> io::Result<Option<usize>> {
    // An offset of -1 is the file's own.
    let at = match from {
        From::Here => -1,
        From::At(at) => i64::try_from(at).unwrap_or(i64::MAX),
    };
    let outcome = append(room, |start, length| {
        let part = libc::iovec { iov_base: start.cast(), iov_len: length };
        // SAFETY: `append` gives memory of that length that nothing else refers to; the one iovec outlives the call.
        unsafe { preadv_far(file.as_raw_fd(), &raw const part, 1, at, libc::RWF_NOWAIT) }
    });
    match outcome {
        Ok(count) => Ok(Some(count)),
        // Not in memory; a file system that does not tell; a kernel that has not got the call.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_at_hand(_: &File, _: From, _: &mut BytesMut) -> io::Result<Option<usize>> {
    Ok(None)
}

/// Gives `call` the memory behind the buffer's end, and takes as many bytes as it says it has written there.
fn append(room: &mut BytesMut, call: impl Fn(*mut u8, usize) -> libc::ssize_t) -> io::Result<usize> {
    let spare = room.spare_capacity_mut();
    let (start, most) = (spare.as_mut_ptr().cast::<u8>(), spare.len());
    loop {
        match usize::try_from(call(start, most)) {
            Ok(count) => {
                let count = count.min(most);
                // SAFETY: the system has written that many bytes there, which are within the capacity.
                unsafe { room.advance_mut(count) };
                return Ok(count);
            }
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_at_hand() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(b"pictures").expect("written");
        let file = File::open(file.path()).expect("it is there");
        let mut room = BytesMut::with_capacity(5);
        let at_hand = read_at_hand(&file, From::Here, &mut room).expect("it can be read");
        let count = match at_hand {
            Some(count) => count,
            None => read(&file, From::Here, &mut room).expect("it can be read"),
        };
        assert_eq!((count, &room[..]), (5, b"pictu".as_slice()));
        room.reserve(10);
        assert_eq!(read(&file, From::Here, &mut room).expect("it can be read"), 3);
        assert_eq!(&room[..], b"pictures");
        assert_eq!(read(&file, From::Here, &mut room).expect("it can be read"), 0);
        room.clear();
        assert_eq!(read(&file, From::At(3), &mut room).expect("it can be read"), 5);
        assert_eq!(&room[..], b"tures");
        room.clear();
        assert_eq!(
            read(&file, From::At(u64::MAX), &mut room).map_err(|error| error.raw_os_error()).ok(),
            None
        );
    }

    #[test]
    fn errors_are_the_systems() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = File::open(folder.path()).expect("folders can be opened");
        let mut room = BytesMut::with_capacity(5);
        let error = read(&folder, From::Here, &mut room).expect_err("a folder is no file");
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
    }
}
