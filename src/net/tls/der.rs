//! As much of DER (X.690) as names, times and OCSP responses need. Whatever is not well formed is `None`.

use std::time::{Duration, SystemTime};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// `[number]` around another value.
pub(super) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// Values one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value.
    pub(super) fn tag(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value: its tag and content. Tags beyond one byte are none that is known here.
    pub(super) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let length = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x84 => {
                let (length, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = after;
                length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        (tag & 0x1f != 0x1f).then_some((tag, content))
    }

    /// The content of the next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Der<'a>> {
        (self.tag()? == tag).then(|| self.any()).flatten().map(|(_, content)| Der(content))
    }

    /// The same, if the next value has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<Der<'a>>> {
        if self.tag() == Some(tag) { self.expect(tag).map(Some) } else { Some(None) }
    }

    /// A time of one of the forms that RFC 5280 §4.1.2.5 demands: whole seconds, UTC.
    pub(super) fn time(&mut self) -> Option<SystemTime> {
        let (tag, content) = self.any()?;
        let century: &[u8] = match (tag, content) {
            (GENERALIZED_TIME, _) => b"",
            (UTC_TIME, [b'0'..=b'4', ..]) => b"20",
            (UTC_TIME, _) => b"19",
            _ => return None,
        };
        let text = [century, content].concat();
        let digits =
            text.strip_suffix(b"Z").filter(|it| it.len() == 14 && it.iter().all(u8::is_ascii_digit))?;
        let number = |at: std::ops::Range<usize>| {
            digits[at].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
        };
        let (year, month, day) = (number(0..4), number(4..6), number(6..8));
        let (hour, minute, second) = (number(8..10), number(10..12), number(12..14));
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Days in years that begin in March, so that a leap day is the last one.
        let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 1;
        let seconds = ((days - 719_468) * 24 + hour) * 3600 + minute * 60 + second;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert_eq!(Der(&[4, 2, 1, 2, 9]).any(), Some((4, &[1, 2][..])));
        assert_eq!(Der(&[4, 0x81, 1, 7]).any(), Some((4, &[7][..])));
        for bad in
            [&[4][..], &[4, 2, 1], &[4, 0x80, 0, 0], &[4, 0x82, 1], &[0x1f, 1, 0], &[4, 0x85, 0, 0, 0, 0, 0]]
        {
            assert_eq!(Der(bad).any(), None, "{bad:?}");
        }
    }

    #[test]
    fn times() {
        let time = |text: &str| {
            let mut der = vec![GENERALIZED_TIME, u8::try_from(text.len()).unwrap()];
            der.extend_from_slice(text.as_bytes());
            let time = Der(&der).time()?;
            Some(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(time("19700101000000Z"), Some(0));
        assert_eq!(time("20000229123456Z"), Some(951_827_696));
        assert_eq!(time("20261120164233Z"), Some(1_795_192_953));
        let short = |text: &str| Der(&[&[UTC_TIME, 13], text.as_bytes()].concat()).time();
        let since = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(short("261120164233Z"), since(1_795_192_953));
        assert_eq!(short("991231235959Z"), since(946_684_799));
        for bad in
            ["19691231235959Z", "20261320000000Z", "20260100000000Z", "202611201642Z", "20261120164233.5Z"]
        {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
