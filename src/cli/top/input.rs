//! The bytes that a terminal sends for keys.

use super::keys::Key;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, stdin};

/// How long the rest of a sequence may take: Escape alone is the beginning of one.
const REST: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The next keys that are pressed; `None` if there will be no more. Waits for them.
///
/// # Errors
/// If the terminal is gone.
pub(super) fn next() -> io::Result<Option<Vec<Key>>> {
    let mut bytes = [0; 256];
    let mut count = read(&mut bytes)?;
    // A sequence or a character that came in parts.
    while count > 0 && count < bytes.len() && !is_whole(&bytes[..count]) {
        let terminal = stdin();
        if poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&REST))? == 0 {
            break;
        }
        let more = read(&mut bytes[count..])?;
        if more == 0 {
            break;
        }
        count += more;
    }
    Ok((count > 0).then(|| keys(&bytes[..count])))
}

fn read(bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match rustix::io::read(stdin(), &mut *bytes) {
            Err(rustix::io::Errno::INTR) => {}
            read => return Ok(read?),
        }
    }
}

/// Whether nothing is begun at the end.
fn is_whole(bytes: &[u8]) -> bool {
    let begun = bytes.iter().rposition(|byte| *byte == 0x1b);
    let sequence = begun.is_some_and(|at| sequence(&bytes[at..]).is_none());
    let utf8 = std::str::from_utf8(bytes).err().is_none_or(|error| error.error_len().is_some());
    !sequence && utf8
}

/// The length of the sequence that begins with Escape; `None` if it has not ended.
fn sequence(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'[' => bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte)).map(|at| at + 3),
        b'O' => bytes.get(2).map(|_| 3),
        // Escape, and then something else.
        _ => Some(1),
    }
}

/// The keys for which `bytes` stand. What has no meaning is left out.
fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let mut length = 1;
        let key = match first {
            0x1b => {
                length = sequence(rest).unwrap_or(rest.len());
                meaning(&rest[1..length])
            }
            0x03 => Some(Key::Interrupt),
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x08 | 0x7f => Some(Key::Backspace),
            0x00..0x20 => None,
            _ => {
                let text = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
                let char = text.chars().next();
                length = char.map_or(1, char::len_utf8);
                char.map(Key::Char)
            }
        };
        keys.extend(key);
        rest = &rest[length..];
    }
    keys
}

/// A sequence behind its Escape.
fn meaning(sequence: &[u8]) -> Option<Key> {
    Some(match sequence {
        b"" => Key::Escape,
        b"[A" | b"OA" => Key::Up,
        b"[B" | b"OB" => Key::Down,
        b"[H" | b"OH" | b"[1~" | b"[7~" => Key::Home,
        b"[F" | b"OF" | b"[4~" | b"[8~" => Key::End,
        b"[5~" => Key::PageUp,
        b"[6~" => Key::PageDown,
        b"[Z" => Key::BackTab,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_their_bytes() {
        for (bytes, expected) in [
            (&b"q"[..], &[Key::Char('q')][..]),
            (b"\x1b", &[Key::Escape]),
            (b"\x1b[A\x1bOBj", &[Key::Up, Key::Down, Key::Char('j')]),
            (
                b"\x1b[5~\x1b[6~\x1b[1~\x1b[F\x1b[Z",
                &[Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::BackTab],
            ),
            (b"\r\t\x7f\x03\n", &[Key::Enter, Key::Tab, Key::Backspace, Key::Interrupt, Key::Enter]),
            ("é漢".as_bytes(), &[Key::Char('é'), Key::Char('漢')]),
            // Keys without a meaning, a mouse, and what is no text.
            (b"\x1b[15~\x1b[1;5A\x1b[<0;1;1Mx", &[Key::Char('x')]),
            (b"\xff\xc3x\x01", &[Key::Char('x')]),
            (b"\x1b\x1b[A", &[Key::Escape, Key::Up]),
            (b"\x1bx", &[Key::Escape, Key::Char('x')]),
            (b"\x1b[", &[]),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
        for (bytes, expected) in [
            (&b"\x1b"[..], false),
            (b"a\x1b[", false),
            (b"\x1b[A", true),
            (b"\xc3", false),
            (b"\xff", true),
            (b"ab", true),
        ] {
            assert_eq!(is_whole(bytes), expected, "{bytes:?}");
        }
    }

    /// Whatever a terminal sends.
    #[test]
    fn any_bytes_are_read() {
        let mut state = 7_u64;
        for _ in 0..2000 {
            let bytes: Vec<_> = (0..20)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    [0x1b, b'[', b'O', b'~', b'A', 0xc3, 0xa9, (state >> 40) as u8]
                        [(state >> 33) as usize % 8]
                })
                .collect();
            assert!(keys(&bytes).len() <= bytes.len());
            is_whole(&bytes);
        }
    }
}
