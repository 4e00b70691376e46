//! Gives every request an id, which all logs of the request can share.
//!
//! A well-formed id that came with the request is kept, another is made. It is
//! sent on with the request and back with the response.
//!
//! What it is configured with stands at [`Options`].
//!
//! Well-formed is one value of 1 to 128 letters, digits, and `-_.~+/=:`: it can
//! stand in any log line. Of anything else nothing is kept. A made id has 128
//! bits in hexadecimal, half of them chosen once per instance.

use linkspan_sdk::{Error, HeaderName, Next, Request, Response, configuration, middleware, random};
use std::sync::OnceLock;

const LONGEST: usize = 128;

configuration! {
    /// Gives every request an id, which all logs of the request can share.
    struct Options {
        /// The field that carries the id.
        default("x-request-id") header: HeaderName,
        /// Whether the id that a client sent is kept.
        default(true) trust: bool,
    }
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    let name = options.header.as_str();
    let sent = if options.trust { sent(&request.header_values(name)) } else { None };
    let id = match sent {
        // The request has it already, and goes on untouched.
        Some(id) => id,
        None => {
            let id = make();
            request.headers_mut().set(name, &id);
            id
        }
    };
    let mut response = next.call(request)?;
    response.headers_mut().set(name, &id);
    Ok(response)
}
middleware!(handle, Options);

/// The id among the values that a client sent, if it is well-formed.
fn sent(values: &[Vec<u8>]) -> Option<String> {
    let [value] = values else { return None };
    let well_formed = (1..=LONGEST).contains(&value.len())
        && value.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.~+/=:".contains(b));
    if !well_formed {
        return None;
    }
    String::from_utf8(value.clone()).ok()
}

/// 128 bits in hexadecimal. The first half is drawn once per instance, so that
/// a request costs one call to the host and ids still never meet.
fn make() -> String {
    static INSTANCE: OnceLock<u64> = OnceLock::new();
    let instance = *INSTANCE.get_or_init(random::u64);
    hex(instance) + &hex(random::u64())
}

fn hex(number: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    (0..16).rev().map(|i| char::from(DIGITS[(number >> (4 * i)) as usize & 15])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_well_formed_id_is_kept() {
        let values = |values: &[&str]| values.iter().map(|v| v.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(sent(&values(&["0f-8_a.b"])), Some("0f-8_a.b".into()));
        let long = "a".repeat(LONGEST + 1);
        for bad in [&[][..], &[""], &["a", "b"], &["a b"], &["a\"b"], &["é"], &[long.as_str()]] {
            assert_eq!(sent(&values(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn numbers_keep_their_leading_zeros() {
        assert_eq!(hex(0x0123_4567_89ab_cdef), "0123456789abcdef");
        assert_eq!(hex(0), "0".repeat(16));
    }
}
