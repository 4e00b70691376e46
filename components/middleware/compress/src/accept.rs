//! What a client accepts (RFC 9110 §12.5.3).

use crate::encoder::Coding;

/// The weight of 1, in thousandths (RFC 9110 §12.4.2).
const ONE: u16 = 1000;

/// The coding that the client likes best of `encodings`, of which the first is preferred where it likes several equally.
///
/// `None` if it accepts none of them, or likes the body as it is better. What is malformed counts as not accepted: a client
/// never gets what it may not understand. A client that says nothing at all gets the body as it is: it accepts any coding by
/// the standard, and those that say nothing are the ones that know none.
pub fn choose(values: &[Vec<u8>], encodings: &[Coding]) -> Option<Coding> {
    let mut said = Said::default();
    for member in values.iter().flat_map(|value| value.split(|byte| *byte == b',')) {
        said.hear(member.trim_ascii());
    }
    let least = said.identity.unwrap_or(0).max(1);
    let mut best = None;
    for coding in encodings {
        let weight = said.weight(*coding);
        if weight >= least && best.is_none_or(|(_, most)| weight > most) {
            best = Some((*coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// Weights, of what was named. The least one counts of a name that stands there twice.
#[derive(Default)]
struct Said {
    gzip: Option<u16>,
    brotli: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Said {
    fn hear(&mut self, member: &[u8]) {
        let (name, weight) = match member.iter().position(|byte| *byte == b';') {
            Some(end) => (member[..end].trim_ascii_end(), weight(member[end + 1..].trim_ascii())),
            None => (member, Some(ONE)),
        };
        let place = match name.to_ascii_lowercase().as_slice() {
            // The other name is an old one, and means the same (RFC 9110 §8.4.1.3).
            b"gzip" | b"x-gzip" => &mut self.gzip,
            b"br" => &mut self.brotli,
            b"identity" => &mut self.identity,
            b"*" => &mut self.any,
            _ => return,
        };
        let weight = weight.unwrap_or(0);
        *place = Some(place.map_or(weight, |known| known.min(weight)));
    }

    fn weight(&self, coding: Coding) -> u16 {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
        };
        named.or(self.any).unwrap_or(0)
    }
}

/// `q=0.5`, in thousandths; `None` if it is no weight.
fn weight(text: &[u8]) -> Option<u16> {
    let (name, value) = text.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, fraction) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => ONE,
        _ => return None,
    };
    for (place, digit) in [100, 10, 1].into_iter().zip(fraction) {
        weight += place * u16::from(digit.is_ascii_digit().then_some(digit - b'0')?);
    }
    (weight <= ONE).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Brotli, Gzip};

    const BOTH: [Coding; 2] = [Brotli, Gzip];

    fn chosen(text: &str) -> Option<Coding> {
        choose(&[text.into()], &BOTH)
    }

    #[test]
    fn the_client_s_weights_decide_and_then_the_order() {
        for (text, coding) in [
            ("gzip", Some(Gzip)),
            ("GZip", Some(Gzip)),
            ("x-gzip", Some(Gzip)),
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("br;q=0.5, gzip;q=0.8", Some(Gzip)),
            ("br ; q=0.5 ,gzip;Q=0.50", Some(Brotli)),
            ("gzip;q=0.001", Some(Gzip)),
            ("gzip;q=1.000", Some(Gzip)),
            ("gzip;q=1.", Some(Gzip)),
            ("*", Some(Brotli)),
            ("*;q=0.1, br;q=0", Some(Gzip)),
            ("gzip, *;q=0", Some(Gzip)),
            ("identity;q=0, *", Some(Brotli)),
            ("identity;q=0, gzip;q=0.1", Some(Gzip)),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            // The body as it is, if the client says that it likes that better.
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.6, *;q=0.5", None),
            ("", None),
            ("identity", None),
            ("deflate, zstd, compress", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000, br;q=0.0", None),
            ("*;q=0", None),
            ("identity;q=0", None),
        ] {
            assert_eq!(chosen(text), coding, "{text}");
        }
        assert_eq!(choose(&[], &BOTH), None);
        assert_eq!(choose(&[b"br".to_vec(), b"gzip".to_vec()], &[Gzip, Brotli]), Some(Gzip));
        assert_eq!(choose(&[b"br".to_vec()], &[Gzip]), None);
    }

    #[test]
    fn what_is_malformed_is_not_accepted() {
        for text in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0000",
            "gzip;q=1.0000",
            "gzip;q=-1",
            "gzip;q=+1",
            "gzip;q=1e3",
            "gzip;q=.5",
            "gzip;q=nan",
            "gzip;q=65537",
            "gzip;q=99999999999999999999999",
            "gzip;q=0.\u{661}",
            "gzip;q",
            "gzip;",
            "gzip;level=9",
            "gzip;q=0.5;q=1",
            "gzip q=1",
            "gzip\0",
            "g zip",
            "gzip/br",
            ";q=1",
            ",,,",
            // Of two, the one that the client would not be hurt by.
            "gzip;q=0, gzip",
            "gzip, gzip;q=0",
            "gzip, x-gzip;q=0",
            "*, gzip;q=x, br;q=x",
        ] {
            assert_eq!(chosen(text), None, "{text}");
        }
        // A list of any length is read once, and nothing is kept of it.
        let long = "a,".repeat(100_000) + "gzip";
        assert_eq!(chosen(&long), Some(Gzip));
        assert_eq!(choose(&[vec![0xff, b',', 0x80]], &BOTH), None);
    }
}
