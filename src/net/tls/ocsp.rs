//! OCSP responses (RFC 6960), as far as the gateway must understand one before it staples it: that the response is
//! about this certificate and calls it good, and until when. The client checks the signature.

use std::time::SystemTime;

use der::asn1::AnyRef;
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

use super::der::{inside, optional, time};

/// A response that can be stapled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staple {
    /// The response.
    pub der: Vec<u8>,
    /// When it expires. `None`: newer information is always available (RFC 6960 §4.2.2.1), so it never does.
    pub until: Option<SystemTime>,
}

impl Staple {
    /// Reads a response that must be about the certificate with the serial number `serial`.
    pub(super) fn read(der: Vec<u8>, serial: &[u8]) -> Result<Self, &'static str> {
        let until = validity(&der, serial)?;
        Ok(Self { der, until })
    }

    /// Whether it may be shown at `time`.
    pub fn is_fresh(&self, time: SystemTime) -> bool {
        self.until.is_none_or(|until| time < until)
    }
}

fn validity(der: &[u8], serial: &[u8]) -> Result<Option<SystemTime>, &'static str> {
    const MALFORMED: &str = "it is not an OCSP response in DER";
    const GOOD: Tag = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
    const REVOKED: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(1) };
    let whole = SliceReader::new(der).ok();
    let mut response = whole.and_then(|mut it| inside(&mut it, Tag::Sequence)).ok_or(MALFORMED)?;
    let status = AnyRef::decode(&mut response).map_err(|_| MALFORMED)?;
    if status.tag() != Tag::Enumerated {
        return Err(MALFORMED);
    }
    if status.value() != [0] {
        return Err("it is an OCSP responder's error, not an answer");
    }
    let mut answers = answers(response).ok_or(MALFORMED)?;
    while !answers.is_finished() {
        let mut answer = inside(&mut answers, Tag::Sequence).ok_or(MALFORMED)?;
        if certificate(&mut answer).ok_or(MALFORMED)? != serial {
            continue;
        }
        match AnyRef::decode(&mut answer).map_err(|_| MALFORMED)?.tag() {
            GOOD => {}
            REVOKED => return Err("it says that the certificate is revoked"),
            _ => return Err("it says that the certificate is unknown"),
        }
        time(&mut answer).ok_or(MALFORMED)?;
        let Some(mut next) = optional(&mut answer).ok_or(MALFORMED)? else { return Ok(None) };
        return time(&mut next).ok_or(MALFORMED).map(Some);
    }
    Err("it is about another certificate")
}

/// The answers in the rest of a response: `ResponseBytes`, `BasicOCSPResponse`, `ResponseData`.
fn answers(mut response: SliceReader<'_>) -> Option<SliceReader<'_>> {
    let mut bytes = inside(&mut optional(&mut response)??, Tag::Sequence)?;
    inside(&mut bytes, Tag::ObjectIdentifier)?;
    let mut basic = inside(&mut inside(&mut bytes, Tag::OctetString)?, Tag::Sequence)?;
    let mut data = inside(&mut basic, Tag::Sequence)?;
    // The version, if it is not the first.
    optional(&mut data)?;
    // The responder, and the time.
    AnyRef::decode(&mut data).ok()?;
    time(&mut data)?;
    inside(&mut data, Tag::Sequence)
}

/// The serial number of the certificate that an answer is about.
fn certificate<'a>(answer: &mut SliceReader<'a>) -> Option<&'a [u8]> {
    let mut id = inside(answer, Tag::Sequence)?;
    inside(&mut id, Tag::Sequence)?;
    inside(&mut id, Tag::OctetString)?;
    inside(&mut id, Tag::OctetString)?;
    let serial = AnyRef::decode(&mut id).ok()?;
    (serial.tag() == Tag::Integer).then(|| serial.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A response of OpenSSL about the certificate 77.
    const REAL: &[u8] = include_bytes!("../../../tests/ui/files/other-ocsp.der");

    #[test]
    fn a_real_response_is_understood() {
        let staple = Staple::read(REAL.to_vec(), &[77]).unwrap();
        let now = SystemTime::now();
        assert!(staple.is_fresh(now) && staple.until.is_some());
        assert!(!staple.is_fresh(now + Duration::from_hours(200 * 365 * 24)));
        assert_eq!(Staple::read(REAL.to_vec(), &[78]), Err("it is about another certificate"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for length in 0..REAL.len() {
            // The signature at the end is not looked into, but the outer length is wrong without it.
            assert!(Staple::read(REAL[..length].to_vec(), &[77]).is_err(), "{length}");
        }
        let revoked = |status: u8| {
            let at = REAL.windows(3).position(|it| it == [2, 1, 77]).unwrap() + 3;
            let mut der = REAL.to_vec();
            assert_eq!(der[at], 0x80);
            der[at] = status;
            Staple::read(der, &[77])
        };
        assert_eq!(revoked(0xa1), Err("it says that the certificate is revoked"));
        assert_eq!(revoked(0x82), Err("it says that the certificate is unknown"));
        // The answer of a busy responder.
        assert!(Staple::read(vec![0x30, 3, 0x0a, 1, 3], &[77]).unwrap_err().contains("error"));
    }
}
