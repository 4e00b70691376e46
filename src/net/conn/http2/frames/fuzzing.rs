//! Frames, however they are cut, and what is counted of them.

use super::{Budget, GOAWAY, GONE, HEADER, Ledger, PREFACE, RESET, RST_STREAM, Walk};
use std::time::Instant;

/// The first byte says how the others are cut into reads; both directions have them.
pub fn run(data: &[u8]) {
    let Some((&size, bytes)) = data.split_first() else { return };
    let expected = by_length(bytes);
    let now = Instant::now();
    let (control, resets) = (Budget::new(u32::from(size)), Budget::new(u32::from(size)));
    let mut ledger = Ledger { control, resets, last_stream: 0, flood: None };
    let mut walk = Walk::after(PREFACE);
    let mut found = Vec::new();
    for piece in bytes.chunks(usize::from(size).max(1)) {
        walk.feed(piece, |frame| {
            found.push((frame.kind, frame.flags, frame.length, frame.stream));
            ledger.received(frame, now);
            ledger.sent(frame);
        });
    }
    assert_eq!(found, expected);
    let goaway = ledger.goaway();
    assert_eq!(by_length(&[&[0; PREFACE], &goaway[..]].concat()).len(), 1, "it is one frame: {goaway:?}");
}

/// The frames of which all is there that is looked at: the header, and an error code.
fn by_length(bytes: &[u8]) -> Vec<(u8, u8, usize, u32)> {
    let mut frames = Vec::new();
    let mut rest = bytes.get(PREFACE..).unwrap_or_default();
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & (u32::MAX >> 1);
        let code_end = match (header[3], length) {
            (RST_STREAM, RESET) => RESET,
            (GOAWAY, GONE..) => GONE,
            _ => 0,
        };
        if behind.len() < code_end {
            break;
        }
        frames.push((header[3], header[4], length, stream));
        rest = behind.get(length..).unwrap_or_default();
    }
    frames
}
