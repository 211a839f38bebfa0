//! Recordings of clients (`testdata/rtsp`) as seeds: their requests without what stands around them.

/// What stands between `<<<` and `>>>`, wherever they are; all of it where they are not.
pub fn requests(input: &[u8]) -> Vec<u8> {
    let mut requests = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(begin) = find(rest, b"<<<\n") {
        rest = &rest[begin + 4..];
        let end = find(rest, b">>>").unwrap_or(rest.len());
        requests.extend_from_slice(&rest[..end]);
        rest = &rest[end..];
    }
    if requests.is_empty() { input.to_vec() } else { requests }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
