//! The codings and their encoders.

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use linkspan_sdk::Value;
use std::io::Write as _;

/// The logarithm of Brotli's window: 128 KiB. With 256 KiB, an encoder of level 4 needs 3.6 MiB in place of 2.3, and saves
/// nothing of JSON; with 64 KiB, levels from 5 on choose another way of searching that needs 34 MiB.
const WINDOW: u32 = 17;

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Brotli,
}

impl Coding {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

impl Value for Coding {
    const FORM: &'static str = ",\"enum\":[\"gzip\",\"br\"]";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "gzip" => Ok(Self::Gzip),
            "br" => Ok(Self::Brotli),
            _ => Err("is not `gzip` or `br`".into()),
        }
    }
}

/// Compresses one body into memory.
pub struct Encoder {
    kind: Kind,
    /// Whether it holds back bytes that it was given.
    dirty: bool,
}

enum Kind {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

impl Encoder {
    pub fn new(coding: Coding, level: u32) -> Self {
        let kind = match coding {
            Coding::Gzip => Kind::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(level)))),
            Coding::Brotli => Kind::Brotli(Box::new(CompressorWriter::new(Vec::new(), 4096, level, WINDOW))),
        };
        Self { kind, dirty: false }
    }

    /// Takes bytes of the body, and returns what is ready.
    pub fn write(&mut self, bytes: &[u8]) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        self.dirty = true;
        // Writing into memory does not fail.
        let _ = match &mut self.kind {
            Kind::Gzip(encoder) => encoder.write_all(bytes),
            Kind::Brotli(encoder) => encoder.write_all(bytes),
        };
        self.take()
    }

    /// All that is needed to decompress what was written so far.
    pub fn flush(&mut self) -> Vec<u8> {
        if !self.dirty {
            return Vec::new();
        }
        self.dirty = false;
        let _ = match &mut self.kind {
            Kind::Gzip(encoder) => encoder.flush(),
            Kind::Brotli(encoder) => encoder.flush(),
        };
        self.take()
    }

    /// The rest, with what tells that the body is complete. An encoder that is dropped instead never says so.
    pub fn finish(self) -> Vec<u8> {
        match self.kind {
            Kind::Gzip(encoder) => encoder.finish().unwrap_or_default(),
            Kind::Brotli(encoder) => encoder.into_inner(),
        }
    }

    fn take(&mut self) -> Vec<u8> {
        match &mut self.kind {
            Kind::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Kind::Brotli(encoder) => std::mem::take(encoder.get_mut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;
    use std::io::Read as _;

    thread_local! {
        static HELD: Cell<isize> = const { Cell::new(0) };
        static MOST: Cell<isize> = const { Cell::new(0) };
    }

    /// Counts what this thread has allocated.
    struct Counting;

    // SAFETY: it is the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            HELD.set(HELD.get() + layout.size() as isize);
            MOST.set(MOST.get().max(HELD.get()));
            // SAFETY: the caller's.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            HELD.set(HELD.get() - layout.size() as isize);
            // SAFETY: the caller's.
            unsafe { System.dealloc(at, layout) }
        }
    }

    #[global_allocator]
    static COUNTING: Counting = Counting;

    const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Brotli];

    /// Those that a configuration may have.
    fn levels() -> impl Iterator<Item = (Coding, u32)> {
        let gzip = (1..=9).map(|level| (Coding::Gzip, level));
        gzip.chain((0..=5).map(|level| (Coding::Brotli, level)))
    }

    fn decoded(coding: Coding, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut decoded = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded)?,
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut decoded)?,
        };
        Ok(decoded)
    }

    /// What can be decoded of the beginning of a body.
    fn decoded_so_far(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut read = |decoder: &mut dyn std::io::Read| {
            let mut byte = [0];
            while let Ok(1) = decoder.read(&mut byte) {
                decoded.push(byte[0]);
            }
        };
        match coding {
            Coding::Gzip => read(&mut flate2::read::GzDecoder::new(bytes)),
            Coding::Brotli => read(&mut brotli::Decompressor::new(bytes, 1)),
        }
        decoded
    }

    fn text(size: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut text = Vec::new();
        while text.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let record = format!("{{\"id\":{},\"name\":\"n{}\"}},", state & 0xffff, state >> 40 & 63);
            text.extend_from_slice(record.as_bytes());
        }
        text.truncate(size);
        text
    }

    #[test]
    fn what_goes_in_comes_out_at_every_level() {
        let text = text(100_000);
        for (coding, level) in levels() {
            for piece in [100_000, 16_384, 777] {
                let mut encoder = Encoder::new(coding, level);
                let mut bytes = Vec::new();
                for (place, piece) in text.chunks(piece).enumerate() {
                    bytes.extend(encoder.write(piece));
                    if place % 3 == 0 {
                        bytes.extend(encoder.flush());
                    }
                }
                bytes.extend(encoder.finish());
                assert!(bytes.len() < text.len() / 2, "{coding:?} {level}: {}", bytes.len());
                assert!(decoded(coding, &bytes).expect("whole") == text, "{coding:?} {level} {piece}");
            }
        }
        for coding in CODINGS {
            assert_eq!(decoded(coding, &Encoder::new(coding, 4).finish()).expect("whole"), b"");
        }
    }

    #[test]
    fn what_was_flushed_is_all_there() {
        for coding in CODINGS {
            let mut encoder = Encoder::new(coding, 5);
            let mut bytes = Vec::new();
            for event in 1..=20 {
                bytes.extend(encoder.write(format!("data: {event}\n\n").as_bytes()));
                bytes.extend(encoder.flush());
                assert!(encoder.flush().is_empty(), "nothing is there twice");
                let so_far = decoded_so_far(coding, &bytes);
                assert!(so_far.ends_with(format!("data: {event}\n\n").as_bytes()), "{coding:?} {event}");
            }
        }
    }

    /// A body that breaks off must not look like a whole one.
    #[test]
    fn what_was_not_finished_is_not_whole() {
        for coding in CODINGS {
            let mut encoder = Encoder::new(coding, 5);
            let mut bytes = encoder.write(b"not all of it");
            bytes.extend(encoder.flush());
            drop(encoder);
            assert!(decoded(coding, &bytes).is_err(), "{coding:?}");
        }
    }

    /// The bounds on memory that the documentation of the crate and its keys tell of.
    #[test]
    fn an_encoder_is_small() {
        let text = text(1_000_000);
        for (coding, level) in levels() {
            let before = HELD.get();
            MOST.set(before);
            let mut encoder = Encoder::new(coding, level);
            for piece in text.chunks(16 * 1024) {
                drop(encoder.write(piece));
            }
            drop(encoder.finish());
            let most = MOST.get() - before;
            let bound = if coding == Coding::Gzip { 512 << 10 } else { 3 << 20 };
            assert!(most < bound, "{coding:?} {level}: {most}");
        }
    }
}
