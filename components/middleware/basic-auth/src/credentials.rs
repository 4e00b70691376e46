//! What a client says who it is (RFC 7617 §2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The most bytes of credentials, as they are in the field.
pub(crate) const MOST_BYTES: usize = 2048;

/// A user's name and password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Why there are none to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There are none of this scheme.
    None,
    /// They are not as the RFC has them.
    Malformed,
    /// The field is there more than once. Whoever reads it behind this stage may take another one than it.
    Many,
}

/// The credentials among the values of `authorization`.
pub(crate) fn offered(values: &[Vec<u8>]) -> Result<Credentials, Fault> {
    let value = match values {
        [] => return Err(Fault::None),
        [value] => value,
        _ => return Err(Fault::Many),
    };
    let Some((scheme, token)) = value.split_at_checked(6) else { return Err(Fault::None) };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(Fault::None);
    }
    let token = token.trim_ascii();
    if token.len() > MOST_BYTES {
        return Err(Fault::Malformed);
    }
    let bytes = STANDARD.decode(token).map_err(|_| Fault::Malformed)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::Malformed)?;
    let (name, password) = text.split_once(':').ok_or(Fault::Malformed)?;
    if text.contains(char::is_control) {
        return Err(Fault::Malformed);
    }
    Ok(Credentials { name: name.into(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(values: &[&[u8]]) -> Result<Credentials, Fault> {
        offered(&values.iter().map(|value| value.to_vec()).collect::<Vec<_>>())
    }

    fn basic(bytes: &[u8]) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(bytes)).into_bytes()
    }

    #[test]
    fn credentials_are_read() {
        for (text, name, password) in [
            ("Aladdin:open sesame", "Aladdin", "open sesame"),
            ("test:123£", "test", "123£"),
            // A name ends at the first colon.
            ("a:b:c", "a", "b:c"),
            (":", "", ""),
            ("a:", "a", ""),
        ] {
            let expected = Ok(Credentials { name: name.into(), password: password.into() });
            assert_eq!(offer(&[&basic(text.as_bytes())]), expected, "{text}");
        }
        // Those of the RFC, with the scheme in other letters.
        for value in ["bASIC QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic   QWxhZGRpbjpvcGVuIHNlc2FtZQ== "] {
            assert_eq!(offer(&[value.as_bytes()]).map(|it| it.name), Ok("Aladdin".into()), "{value}");
        }
    }

    #[test]
    fn hostile_ones_are_refused() {
        let good = basic(b"alice:secret");
        let long = basic(format!("alice:{}", "x".repeat(MOST_BYTES)).as_bytes());
        for (what, values, fault) in [
            ("nothing", vec![], Fault::None),
            ("another scheme", vec![&b"Bearer YWxpY2U6c2VjcmV0"[..]], Fault::None),
            ("a scheme alone", vec![b"Basic"], Fault::None),
            ("no space", vec![b"BasicYWxpY2U6c2VjcmV0"], Fault::None),
            ("two fields", vec![&good, &good], Fault::Many),
            ("two in one", vec![b"Basic YWxpY2U6c2VjcmV0, Basic YWxpY2U6c2VjcmV0"], Fault::Malformed),
            ("no credentials", vec![b"Basic "], Fault::Malformed),
            ("no padding", vec![b"Basic YWxpY2U6c2VjcmV0MQ"], Fault::Malformed),
            ("bits to spare", vec![b"Basic YWxpY2U6c2VjcmV0MR=="], Fault::Malformed),
            ("base64url", vec![b"Basic YWxpY2U6_-__"], Fault::Malformed),
            ("a space within", vec![b"Basic YWxp Y2U6c2VjcmV0"], Fault::Malformed),
            ("no base64", vec![b"Basic alice:secret"], Fault::Malformed),
            ("too long", vec![&long], Fault::Malformed),
        ] {
            assert_eq!(offer(&values), Err(fault), "{what}");
        }
        for bytes in [
            &b"alice"[..],
            b"",
            b"alice:\xff",
            b"al\xc0\xafice:secret",
            b"alice:sec\0ret",
            b"alice\r\nx-a: b:secret",
            b"alice:\x7f",
            "alice:\u{85}".as_bytes(),
        ] {
            assert_eq!(offer(&[&basic(bytes)]), Err(Fault::Malformed), "{bytes:?}");
        }
    }
}
