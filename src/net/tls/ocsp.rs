//! OCSP responses (RFC 6960), as far as one must be understood before it is stapled: that it is about this certificate, that
//! it calls it good, and until when. Its signature is the client's to check.

use std::time::SystemTime;

use super::der::{Der, ENUMERATED, INTEGER, OCTET_STRING, OID, SEQUENCE, explicit};

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
    #[must_use]
    pub fn is_fresh(&self, time: SystemTime) -> bool {
        self.until.is_none_or(|until| time < until)
    }
}

fn validity(der: &[u8], serial: &[u8]) -> Result<Option<SystemTime>, &'static str> {
    const MALFORMED: &str = "it is not an OCSP response in DER";
    let mut response = Der(der).expect(SEQUENCE).ok_or(MALFORMED)?;
    if response.expect(ENUMERATED).ok_or(MALFORMED)?.0 != [0] {
        return Err("it is an OCSP responder's error, not an answer");
    }
    let mut answers = answers(response).ok_or(MALFORMED)?;
    while !answers.is_empty() {
        let mut answer = answers.expect(SEQUENCE).ok_or(MALFORMED)?;
        if certificate(&mut answer).ok_or(MALFORMED)? != serial {
            continue;
        }
        const GOOD: u8 = 0x80;
        const REVOKED: u8 = 0xa1;
        match answer.any().ok_or(MALFORMED)?.0 {
            GOOD => {}
            REVOKED => return Err("it says that the certificate is revoked"),
            _ => return Err("it says that the certificate is unknown"),
        }
        answer.time().ok_or(MALFORMED)?;
        let Some(mut next) = answer.optional(explicit(0)).ok_or(MALFORMED)? else { return Ok(None) };
        return next.time().ok_or(MALFORMED).map(Some);
    }
    Err("it is about another certificate")
}

/// The answers in the rest of a response: `ResponseBytes`, `BasicOCSPResponse`, `ResponseData`.
fn answers(mut response: Der<'_>) -> Option<Der<'_>> {
    let mut bytes = response.expect(explicit(0))?.expect(SEQUENCE)?;
    bytes.expect(OID)?;
    let mut data = bytes.expect(OCTET_STRING)?.expect(SEQUENCE)?.expect(SEQUENCE)?;
    data.optional(explicit(0))?;
    // Who answers, and when.
    data.any()?;
    data.time()?;
    data.expect(SEQUENCE)
}

/// The serial number that an answer is about.
fn certificate<'a>(answer: &mut Der<'a>) -> Option<&'a [u8]> {
    let mut id = answer.expect(SEQUENCE)?;
    id.expect(SEQUENCE)?;
    id.expect(OCTET_STRING)?;
    id.expect(OCTET_STRING)?;
    id.expect(INTEGER).map(|serial| serial.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// From OpenSSL, about the certificate 77.
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
            // The end is the signature, in which nothing is looked for, but the outer length is wrong then.
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
        // A responder that is busy.
        assert!(Staple::read(vec![0x30, 3, 0x0a, 1, 3], &[77]).unwrap_err().contains("error"));
    }
}
