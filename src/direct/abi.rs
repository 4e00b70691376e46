//! Values in and out of a guest's memory.
//!
//! Every place is checked for its bounds and its alignment, every text for UTF-8, every discriminant for its cases.
//! Offsets are computed in `usize`, which does not overflow for sums of numbers of 32 bits.

use super::disagreement::Disagreement;
use crate::host::kept::cut;
use wasmtime::{Result, bail};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p3::bindings::http::types::{
    DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload,
};

/// Bytes of a guest's memory.
pub struct Bytes<'m>(pub &'m mut [u8]);

impl Bytes<'_> {
    /// `length` bytes at `at`.
    pub fn get(&self, at: usize, length: usize) -> Result<&[u8]> {
        let end = at.checked_add(length);
        match end.and_then(|end| self.0.get(at..end)) {
            Some(bytes) => Ok(bytes),
            None => bail!("pointer out of bounds of memory"),
        }
    }

    /// Checks that a value of `size` bytes may stand at `at`.
    pub fn place(&self, at: u32, size: usize, align: u32) -> Result<usize> {
        if !at.is_multiple_of(align) {
            bail!("pointer not aligned");
        }
        self.get(at as usize, size)?;
        Ok(at as usize)
    }

    pub fn byte(&self, at: usize) -> Result<u8> {
        Ok(self.number(at, 1)? as u8)
    }

    pub fn word(&self, at: usize) -> Result<u32> {
        Ok(self.number(at, 4)? as u32)
    }

    /// A number of `width` bytes.
    pub fn number(&self, at: usize, width: usize) -> Result<u64> {
        let bytes = self.get(at, width)?;
        Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Whether there is an option's value at `at`.
    pub fn some(&self, at: usize) -> Result<bool> {
        match self.byte(at)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => bail!("unexpected discriminant"),
        }
    }

    /// The list of bytes whose pointer and length are at `at`.
    pub fn list(&self, at: usize) -> Result<&[u8]> {
        self.get(self.word(at)? as usize, self.word(at + 4)? as usize)
    }

    pub fn text(&self, at: u32, length: u32) -> Result<&str> {
        Ok(std::str::from_utf8(self.get(at as usize, length as usize)?)?)
    }

    /// A text that the host is to keep, of at most `most` bytes.
    pub fn string(&self, (at, length): (i32, i32), most: usize) -> Result<String> {
        if length.cast_unsigned() as usize > most {
            // As wasmtime says it.
            bail!("fuel allocated for hostcalls has been exhausted");
        }
        Ok(self.text(at.cast_unsigned(), length.cast_unsigned())?.to_owned())
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let end = at.checked_add(bytes.len());
        match end.and_then(|end| self.0.get_mut(at..end)) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            None => bail!("pointer out of bounds of memory"),
        }
    }

    pub fn put_word(&mut self, at: usize, word: u32) -> Result<()> {
        self.put(at, &word.to_le_bytes())
    }
}

/// What is still to be written, piece by piece: each needs an allocation in the guest first.
#[derive(Default)]
pub struct Pending {
    pieces: Vec<Piece>,
    at: usize,
    /// Where the array of the pieces is.
    array: usize,
    /// Where a list's pointer and length go once all of it is there, and the length.
    whole: Option<(usize, u32)>,
}

struct Piece {
    align: u32,
    size: usize,
    bytes: Vec<u8>,
    /// Where its pointer and length go: in the guest's memory, or in the array.
    pointer: Pointer,
}

enum Pointer {
    At(usize),
    InArray(usize),
    Array,
}

impl Pending {
    /// A text, whose pointer and length go to `at`.
    pub fn text(&mut self, text: String, at: usize) {
        let bytes = text.into_bytes();
        self.pieces.push(Piece { align: 1, size: bytes.len(), bytes, pointer: Pointer::At(at) });
    }

    /// An option of a text: its discriminant goes to `at`, the text's pointer and length behind it.
    pub fn option(&mut self, text: Option<String>, memory: &mut Bytes<'_>, at: usize) -> Result<()> {
        memory.put(at, &[u8::from(text.is_some())])?;
        if let Some(text) = text {
            self.text(text, at + 4);
        }
        Ok(())
    }

    /// A list of lists of bytes, of which each element has `parts`; its pointer and length go to `at` in the end.
    pub fn lists(&mut self, parts: usize, items: Vec<Vec<u8>>, at: usize) -> Result<()> {
        let Some(size) = items.len().checked_mul(8).filter(|size| *size < 1 << 28) else {
            bail!("list is too long");
        };
        self.pieces.push(Piece { align: 4, size, bytes: Vec::new(), pointer: Pointer::Array });
        let length = u32::try_from(items.len() / parts).unwrap_or(u32::MAX);
        let pieces = items.into_iter().enumerate().map(|(place, bytes)| Piece {
            align: 1,
            size: bytes.len(),
            bytes,
            pointer: Pointer::InArray(place * 8),
        });
        self.pieces.extend(pieces);
        self.whole = Some((at, length));
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Alignment and size of the next piece.
    pub fn need(&self) -> Option<(u32, u32)> {
        self.pieces.get(self.at).map(|piece| (piece.align, u32::try_from(piece.size).unwrap_or(u32::MAX)))
    }

    /// Writes the piece that was asked for to `pointer`, which the guest's allocator gave.
    pub fn give(&mut self, memory: &mut Bytes<'_>, pointer: u32) -> Result<()> {
        let Some(piece) = self.pieces.get(self.at) else {
            return Err(Disagreement("an allocation that was not asked for").into());
        };
        if !pointer.is_multiple_of(piece.align) {
            bail!("realloc return: result not aligned");
        }
        if memory.get(pointer as usize, piece.size).is_err() {
            bail!("realloc return: beyond end of memory");
        }
        memory.put(pointer as usize, &piece.bytes)?;
        let length = u32::try_from(piece.size).unwrap_or(u32::MAX);
        let pair = match piece.pointer {
            Pointer::At(at) => Some(at),
            Pointer::InArray(offset) => Some(self.array + offset),
            Pointer::Array => {
                self.array = pointer as usize;
                None
            }
        };
        if let Some(at) = pair {
            memory.put_word(at, pointer)?;
            memory.put_word(at + 4, length)?;
        }
        self.at += 1;
        if let (true, Some((at, length))) = (self.at == self.pieces.len(), self.whole) {
            memory.put_word(at, u32::try_from(self.array).unwrap_or(u32::MAX))?;
            memory.put_word(at + 4, length)?;
        }
        Ok(())
    }
}

/// `wasi:http/types#error-code`: its case, and what that carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Code {
    case: u8,
    /// Whether an option around all of the payload has something.
    some: bool,
    text: Option<String>,
    number: Option<u64>,
}

/// Where the parts of a payload are: an option around it; an option of a text; an option of a number, with the place
/// and the width of its value.
struct Layout {
    around: Option<usize>,
    text: Option<usize>,
    number: Option<(usize, usize, usize)>,
}

const FIELD: Layout = Layout { around: None, text: Some(0), number: Some((12, 16, 4)) };

fn layout(case: u8) -> Result<Layout> {
    let plain = |text, number| Layout { around: None, text, number };
    Ok(match case {
        1 => plain(Some(0), Some((12, 14, 2))),
        14 => plain(Some(4), Some((0, 1, 1))),
        17 | 28 => plain(None, Some((0, 8, 8))),
        21 | 23 | 26 | 29 => plain(None, Some((0, 4, 4))),
        22 => Layout { around: Some(0), text: Some(4), number: Some((16, 20, 4)) },
        24 | 27 | 30 => FIELD,
        31 | 32 | 38 => plain(Some(0), None),
        0..=38 => plain(None, None),
        _ => bail!("unexpected discriminant"),
    })
}

impl Code {
    /// Reads the code at `at`, whose place is in bounds.
    pub fn lift(memory: &Bytes<'_>, at: usize) -> Result<Self> {
        let case = memory.byte(at)?;
        let layout = layout(case)?;
        let payload = at + 8;
        let mut code = Self { case, some: true, ..Self::default() };
        if let Some(around) = layout.around {
            code.some = memory.some(payload + around)?;
        }
        if !code.some {
            return Ok(code);
        }
        let text = |at: usize| -> Result<Option<String>> {
            if !memory.some(payload + at)? {
                return Ok(None);
            }
            let at = payload + at + 4;
            Ok(Some(memory.text(memory.word(at)?, memory.word(at + 4)?)?.to_owned()))
        };
        let number = |(at, value, width): (usize, usize, usize)| -> Result<Option<u64>> {
            Ok(if memory.some(payload + at)? { Some(memory.number(payload + value, width)?) } else { None })
        };
        code.text = layout.text.map(text).transpose()?.flatten();
        code.number = layout.number.map(number).transpose()?.flatten();
        Ok(code)
    }

    /// Reads the code that is passed as numbers: its case, and the parts of its payload.
    pub fn lift_flat(memory: &Bytes<'_>, case: u32, payload: [u64; 6]) -> Result<Self> {
        let Ok(case) = u8::try_from(case) else { bail!("unexpected discriminant") };
        let layout = layout(case)?;
        let mut parts = payload.into_iter();
        let mut next = || parts.next().ok_or(Disagreement("a code has too many parts"));
        // Of each part, as many bits count as it has.
        let some = |case: u64| match case as u32 {
            0 => Ok(false),
            1 => Ok(true),
            _ => bail!("unexpected discriminant"),
        };
        let mut code = Self { case, some: true, ..Self::default() };
        if layout.around.is_some() {
            code.some = some(next()?)?;
        }
        if !code.some {
            return Ok(code);
        }
        let mut places = [layout.text, layout.number.map(|(at, ..)| at)];
        places.sort_unstable();
        for at in places.into_iter().flatten() {
            let is_there = some(next()?)?;
            if layout.text == Some(at) {
                let (at, length) = (next()?, next()?);
                let text = || memory.text(at as u32, length as u32).map(str::to_owned);
                code.text = is_there.then(text).transpose()?;
            } else if let Some((_, _, width)) = layout.number {
                let bits = u64::MAX >> (64 - 8 * width);
                let number = next()? & bits;
                code.number = is_there.then_some(number);
            }
        }
        Ok(code)
    }

    /// Writes it to `at`; its text is what is pending then.
    pub fn lower(self, memory: &mut Bytes<'_>, at: usize, pending: &mut Pending) -> Result<()> {
        let layout = layout(self.case)?;
        memory.put(at, &[self.case])?;
        let payload = at + 8;
        if let Some(around) = layout.around {
            memory.put(payload + around, &[u8::from(self.some)])?;
            if !self.some {
                return Ok(());
            }
        }
        if let Some((at, value, width)) = layout.number {
            memory.put(payload + at, &[u8::from(self.number.is_some())])?;
            if let Some(number) = self.number {
                memory.put(payload + value, &number.to_le_bytes()[..width])?;
            }
        }
        if let Some(at) = layout.text {
            pending.option(self.text, memory, payload + at)?;
        }
        Ok(())
    }

    /// Bytes that it has beside itself.
    pub fn size(&self) -> usize {
        self.text.as_ref().map_or(0, String::len)
    }

    /// Leaves as much of its text as is kept for a reader.
    pub fn cut(&mut self) {
        if let Some(text) = &mut self.text {
            cut(text);
        }
    }
}

macro_rules! units {
    ($($case:literal: $name:ident),+ $(,)?) => {
        fn unit(case: u8) -> Option<ErrorCode> {
            Some(match case { $($case => ErrorCode::$name,)+ _ => return None })
        }

        fn unit_case(code: &ErrorCode) -> Option<u8> {
            Some(match code { $(ErrorCode::$name => $case,)+ _ => return None })
        }

        fn unit_error(error: &Error) -> Option<u8> {
            Some(match error { $(Error::$name => $case,)+ _ => return None })
        }
    };
}
units!(
    0: DnsTimeout, 2: DestinationNotFound, 3: DestinationUnavailable, 4: DestinationIpProhibited,
    5: DestinationIpUnroutable, 6: ConnectionRefused, 7: ConnectionTerminated, 8: ConnectionTimeout,
    9: ConnectionReadTimeout, 10: ConnectionWriteTimeout, 11: ConnectionLimitReached, 12: TlsProtocolError,
    13: TlsCertificateError, 15: HttpRequestDenied, 16: HttpRequestLengthRequired, 18: HttpRequestMethodInvalid,
    19: HttpRequestUriInvalid, 20: HttpRequestUriTooLong, 25: HttpResponseIncomplete, 33: HttpResponseTimeout,
    34: HttpUpgradeFailed, 35: HttpProtocolError, 36: LoopDetected, 37: ConfigurationError,
);

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        let Code { case, some, text, number } = code;
        if let Some(unit) = unit(case) {
            return unit;
        }
        let small = number.map(|number| number as u32);
        let field = |text, field_size| FieldSizePayload { field_name: text, field_size };
        match case {
            1 => Self::DnsError(DnsErrorPayload { rcode: text, info_code: number.map(|it| it as u16) }),
            14 => Self::TlsAlertReceived(TlsAlertReceivedPayload {
                alert_id: number.map(|it| it as u8),
                alert_message: text,
            }),
            17 => Self::HttpRequestBodySize(number),
            21 => Self::HttpRequestHeaderSectionSize(small),
            22 => Self::HttpRequestHeaderSize(some.then(|| field(text, small))),
            23 => Self::HttpRequestTrailerSectionSize(small),
            24 => Self::HttpRequestTrailerSize(field(text, small)),
            26 => Self::HttpResponseHeaderSectionSize(small),
            27 => Self::HttpResponseHeaderSize(field(text, small)),
            28 => Self::HttpResponseBodySize(number),
            29 => Self::HttpResponseTrailerSectionSize(small),
            30 => Self::HttpResponseTrailerSize(field(text, small)),
            31 => Self::HttpResponseTransferCoding(text),
            32 => Self::HttpResponseContentCoding(text),
            _ => Self::InternalError(text),
        }
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        let of = |case, text, number| Self { case, some: true, text, number };
        let wide = |number: Option<u32>| number.map(u64::from);
        if let Some(case) = unit_case(&code) {
            return of(case, None, None);
        }
        match code {
            ErrorCode::DnsError(it) => of(1, it.rcode, it.info_code.map(u64::from)),
            ErrorCode::TlsAlertReceived(it) => of(14, it.alert_message, it.alert_id.map(u64::from)),
            ErrorCode::HttpRequestBodySize(number) => of(17, None, number),
            ErrorCode::HttpRequestHeaderSectionSize(number) => of(21, None, wide(number)),
            ErrorCode::HttpRequestHeaderSize(None) => Self { case: 22, ..Self::default() },
            ErrorCode::HttpRequestHeaderSize(Some(it)) => of(22, it.field_name, wide(it.field_size)),
            ErrorCode::HttpRequestTrailerSectionSize(number) => of(23, None, wide(number)),
            ErrorCode::HttpRequestTrailerSize(it) => of(24, it.field_name, wide(it.field_size)),
            ErrorCode::HttpResponseHeaderSectionSize(number) => of(26, None, wide(number)),
            ErrorCode::HttpResponseHeaderSize(it) => of(27, it.field_name, wide(it.field_size)),
            ErrorCode::HttpResponseBodySize(number) => of(28, None, number),
            ErrorCode::HttpResponseTrailerSectionSize(number) => of(29, None, wide(number)),
            ErrorCode::HttpResponseTrailerSize(it) => of(30, it.field_name, wide(it.field_size)),
            ErrorCode::HttpResponseTransferCoding(text) => of(31, text, None),
            ErrorCode::HttpResponseContentCoding(text) => of(32, text, None),
            ErrorCode::InternalError(text) => of(38, text, None),
            _ => of(38, None, None),
        }
    }
}

/// As wasmtime-wasi-http has it, with linkspan's hooks.
impl From<Error> for Code {
    fn from(error: Error) -> Self {
        let of = |case, text, number| Self { case, some: true, text, number };
        let wide = |number: Option<u32>| number.map(u64::from);
        if let Some(case) = unit_error(&error) {
            return of(case, None, None);
        }
        match error {
            Error::DnsError { rcode, info_code } => of(1, rcode, info_code.map(u64::from)),
            Error::TlsAlertReceived { alert_id, alert_message } => {
                of(14, alert_message, alert_id.map(u64::from))
            }
            Error::HttpRequestBodySize(number) => of(17, None, number),
            Error::HttpRequestHeaderSectionSize(number) => of(21, None, wide(number)),
            Error::HttpRequestHeaderSize { field_name, field_size } => of(22, field_name, wide(field_size)),
            Error::HttpRequestTrailerSectionSize(number) => of(23, None, wide(number)),
            Error::HttpRequestTrailerSize { field_name, field_size } => of(24, field_name, wide(field_size)),
            Error::HttpResponseHeaderSectionSize(number) => of(26, None, wide(number)),
            Error::HttpResponseHeaderSize { field_name, field_size } => of(27, field_name, wide(field_size)),
            Error::HttpResponseBodySize(number) => of(28, None, number),
            Error::HttpResponseTrailerSectionSize(number) => of(29, None, wide(number)),
            Error::HttpResponseTrailerSize { field_name, field_size } => of(30, field_name, wide(field_size)),
            Error::HttpResponseTransferCoding(text) => of(31, text, None),
            Error::HttpResponseContentCoding(text) => of(32, text, None),
            Error::InternalError(text) => of(38, text, None),
            // What broke HTTP's rules, and what else is a transport's.
            _ => of(35, None, None),
        }
    }
}
