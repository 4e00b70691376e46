//! The client's identity from its verified certificate: the values that stages get.
//!
//! All three values are visible ASCII, whatever the certificate contains, and have at most [`MAX`] bytes. A part of a
//! longer value could not be relied on, so the connection of a client with such a certificate ends.

use std::fmt::Write as _;

use der::asn1::{AnyRef, BmpString, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use super::der::inside;

/// The longest subject, and the longest list of names.
pub const MAX: usize = 4096;

/// A client's verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its subject as RFC 4514 writes it: `CN=alice,O=Example`. May be empty.
    pub subject: HeaderValue,
    /// Its alternative names that are DNS names or URIs, each as `DNS:…` or `URI:…`, separated by `, `. May be empty.
    pub names: HeaderValue,
    /// SHA-256 of the whole certificate, in lower-case hexadecimal.
    pub sha256: HeaderValue,
}

impl ClientIdentity {
    /// The identity in a verified certificate. `None` if the certificate is malformed, or a value is too long.
    pub(in crate::net) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
        let subject = distinguished_name(parsed.subject())?;
        let dns = parsed.valid_dns_names().map(|name| ("DNS", name));
        let names = dns.chain(parsed.valid_uri_names().map(|name| ("URI", name)));
        let mut list = String::new();
        for (kind, name) in names {
            // A list must be distinct from one name with a comma in it.
            if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
                return None;
            }
            let comma = if list.is_empty() { "" } else { ", " };
            write!(list, "{comma}{kind}:{name}").ok()?;
        }
        if subject.len() > MAX || list.len() > MAX {
            return None;
        }
        Some(Self {
            subject: HeaderValue::try_from(subject).ok()?,
            names: HeaderValue::try_from(list).ok()?,
            sha256: HeaderValue::try_from(hexadecimal(&Sha256::digest(certificate))).ok()?,
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The content of a `Name` (RFC 5280 §4.1.2.4) as a string (RFC 4514 §2): last part first.
fn distinguished_name(content: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut name = SliceReader::new(content).ok()?;
    while !name.is_finished() {
        let mut part = inside(&mut name, Tag::Set)?;
        let mut values = Vec::new();
        while !part.is_finished() {
            values.push(attribute(inside(&mut part, Tag::Sequence)?)?);
        }
        parts.push(values.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(mut pair: SliceReader<'_>) -> Option<String> {
    let oid = <ObjectIdentifier>::decode(&mut pair).ok()?.to_string();
    let whole = pair.tlv_bytes().ok()?;
    let value = AnyRef::from_der(whole).ok()?;
    Some(match (short_name(&oid), text(value)) {
        (Some(short), Some(text)) => format!("{short}={}", escaped(&text)),
        (short, _) => format!("{}=#{}", short.unwrap_or(&oid), hexadecimal(whole)),
    })
}

/// The table of RFC 4514 §3.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "STREET",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

/// The text of a string of one of the types that occur in names.
fn text(value: AnyRef<'_>) -> Option<String> {
    let bytes = value.value();
    match value.tag() {
        Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::PrintableString | Tag::Ia5String if bytes.is_ascii() => String::from_utf8(bytes.to_vec()).ok(),
        Tag::BmpString => BmpString::from_ucs2(bytes).ok().map(|text| text.to_string()),
        _ => None,
    }
}

/// RFC 4514 §2.4; characters other than visible ASCII are in hexadecimal, byte by byte.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => out.extend(['\\', char::from(byte)]),
            b'#' | b' ' if at == 0 => out.extend(['\\', char::from(byte)]),
            b' ' if at == last => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(byte)),
            // Writing to a string never fails.
            _ => drop(write!(out, "\\{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    fn identity(parts: &[(DnType, DnValue)], names: Vec<SanType>) -> Option<ClientIdentity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        params.subject_alt_names = names;
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientIdentity::of(made.der())
    }

    fn text(value: &str) -> DnValue {
        DnValue::Utf8String(value.to_owned())
    }

    #[test]
    fn subjects_are_written_as_rfc_4514_has_them() {
        let subject = |parts: &[_]| identity(parts, vec![]).unwrap().subject.to_str().unwrap().to_owned();
        let (cn, o) = (DnType::CommonName, DnType::OrganizationName);
        assert_eq!(
            subject(&[(o.clone(), text("Example")), (cn.clone(), text("alice"))]),
            "CN=alice,O=Example"
        );
        assert_eq!(subject(&[]), "");
        let forged = subject(&[(cn.clone(), text("bob,O=Other\r\nx-admin: 1"))]);
        assert_eq!(forged, "CN=bob\\,O\\=Other\\0D\\0Ax-admin: 1");
        assert_eq!(subject(&[(cn.clone(), text(" # Müller "))]), "CN=\\ # M\\C3\\BCller\\ ");
        let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        assert_eq!(subject(&[(email, text("a"))]), "1.2.840.113549.1.9.1=#0c0161");
        assert!(identity(&[(cn, text(&"x".repeat(MAX)))], vec![]).is_none(), "too long");
    }

    #[test]
    fn names_are_a_list_that_none_of_them_can_forge() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let made = identity(&[], vec![dns("a.example"), uri("spiffe://example/b")]).unwrap();
        assert_eq!(made.names, "DNS:a.example, URI:spiffe://example/b");
        assert_eq!(made.sha256.len(), 64);
        assert!(identity(&[], vec![uri("spiffe://a, URI:spiffe://b")]).is_none());
        assert_eq!(identity(&[], vec![]).unwrap().names, "");
    }
}
