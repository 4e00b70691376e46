//! W3C Trace Context, level 2: `traceparent` and `tracestate`.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::id::{SpanId, TraceId};

/// The field with the names of a trace and of the span that sends a request.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field with what tracing systems pass on to each other.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The flag of a trace that is recorded (§3.2.2.5.1).
pub(super) const SAMPLED: u8 = 1;
/// The flag of a trace whose name is random (§3.2.2.5.2).
pub(super) const RANDOM: u8 = 2;

/// The most entries of a `tracestate` (§3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// The most bytes of a `tracestate` that are passed on: as many as §3.3.1.5 asks for.
const MOST_STATE: usize = 512;
/// Entries that are longer go first (§3.3.1.5).
const LONG_MEMBER: usize = 128;
/// The most bytes of a key or a value in it (§3.3.1.3).
const MOST_PART: usize = 256;

/// The context that came with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The sender's span.
    pub parent: SpanId,
    /// The flags that are known.
    pub(super) flags: u8,
    /// What tracing systems pass on to each other, if it is valid.
    pub(super) state: Option<HeaderValue>,
}

impl TraceContext {
    /// The context in the fields of a request; `None` without one `traceparent` that is valid.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let state = state(headers.get_all(TRACESTATE).iter());
        Some(Self { state, ..Self::parse(value.as_bytes())? })
    }

    /// §3.2: `version-trace-parent-flags`; a later version may have further parts.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.split_at_checked(55)?;
        let (version, trace, parent, flags) = (&known[..2], &known[3..35], &known[36..52], &known[53..]);
        let ends = if version == b"00" { more.is_empty() } else { more.is_empty() || more[0] == b'-' };
        let joined = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        let version = byte(version).filter(|version| *version != 0xff);
        (joined && ends && version.is_some()).then_some(())?;
        // Flags that are not known must not be passed on (§3.2.2.5.3).
        let flags = byte(flags)? & (SAMPLED | RANDOM);
        Some(Self { trace: TraceId::parse(trace)?, parent: SpanId::parse(parent)?, flags, state: None })
    }

    /// A new trace, which is not sampled.
    pub fn made() -> Self {
        Self { trace: TraceId::random(), parent: SpanId::random(), flags: RANDOM, state: None }
    }

    /// Whether the sender records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `traceparent` that says so.
    pub fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{:02x}", self.trace, self.parent, self.flags);
        // Digits and hyphens are a valid value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// The byte with these two digits.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let [high, low] = digits else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// One `tracestate` of all that there are (§3.3.1); `None` if there is nothing in them, or anything that is not valid.
fn state<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<HeaderValue> {
    let mut members = Vec::new();
    for value in values {
        let list = value.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in list.filter(|member| !member.is_empty()) {
            if !is_member(member) || members.len() == MOST_MEMBERS {
                return None;
            }
            members.push(member);
        }
    }
    let size =
        |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    while size(&members) > MOST_STATE {
        match members.iter().rposition(|member| member.len() > LONG_MEMBER) {
            Some(long) => drop(members.remove(long)),
            None => drop(members.pop()),
        }
    }
    if members.is_empty() { None } else { HeaderValue::try_from(members.join(",")).ok() }
}

/// §3.3.1.3.
fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good_key = key.bytes().next().is_some_and(lower)
        && key.bytes().all(|byte| lower(byte) || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@'));
    let good_value = value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
        && !value.is_empty()
        && !value.ends_with(' ');
    good_key && good_value && key.len() <= MOST_PART && value.len() <= MOST_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_parents_are_read_and_others_are_not() {
        for (value, valid) in [
            (GOOD.to_owned(), true),
            (GOOD.replacen("00", "cc", 1), true),
            (GOOD.replacen("00", "cc", 1) + "-more", true),
            (GOOD.replacen("00", "cc", 1) + "more", false),
            (GOOD.to_owned() + "-more", false),
            (GOOD.replacen("00", "ff", 1), false),
            (GOOD.to_uppercase(), false),
            (GOOD.replace('-', "_"), false),
            (GOOD[..54].to_owned(), false),
            (GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (String::new(), false),
        ] {
            assert_eq!(TraceContext::parse(value.as_bytes()).is_some(), valid, "{value}");
        }
        let read = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(read.is_sampled() && read.traceparent() == GOOD);
        let unknown = TraceContext::parse(GOOD.replace("-01", "-fe").as_bytes()).unwrap();
        assert!(!unknown.is_sampled() && unknown.traceparent() == GOOD.replace("-01", "-02"));
    }

    #[test]
    fn made_ones_are_valid_and_differ() {
        let (one, two) = (TraceContext::made(), TraceContext::made());
        assert_ne!(one.trace, two.trace);
        assert_eq!(TraceContext::parse(one.traceparent().as_bytes()).unwrap(), one);
    }

    fn state_of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
        for value in values {
            headers.append(TRACESTATE, HeaderValue::from_str(value).unwrap());
        }
        let state = TraceContext::of(&headers).unwrap().state;
        state.map(|state| state.to_str().unwrap().to_owned())
    }

    #[test]
    fn states_are_joined_and_a_mistake_discards_all() {
        let long = "z".repeat(256);
        for (values, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["foo=1"], Some("foo=1")),
            (&["foo=1 \t , \t bar=2", "", " baz=3"], Some("foo=1,bar=2,baz=3")),
            (&["foo= a !~"], Some("foo= a !~")),
            (&["0a_-*/@=1"], Some("0a_-*/@=1")),
            (&["foo=1,foo=2"], Some("foo=1,foo=2")),
            (&["foo=1", "@foo=1"], None),
            (&["foo =1"], None),
            (&["FOO=1"], None),
            (&["foo.bar=1"], None),
            (&["foo=bar=baz"], None),
            (&["foo=,bar=3"], None),
            (&["foo"], None),
            (&["foo=1", &format!("{long}z=1")], None),
            (&["foo=1", &format!("a={long}")], Some(&format!("foo=1,a={long}"))),
        ] {
            assert_eq!(state_of(values).as_deref(), expected, "{values:?}");
        }
        let many = |number: usize| (0..number).map(|at| format!("k{at}={at}")).collect::<Vec<_>>().join(",");
        assert_eq!(state_of(&[&many(32)]).as_deref(), Some(&*many(32)));
        assert_eq!(state_of(&[&many(33)]), None);
    }

    #[test]
    fn long_states_lose_long_entries_and_then_the_last_ones() {
        let (long, short) = (format!("long={}", "x".repeat(200)), format!("{}=1", "y".repeat(98)));
        let shorts = [short.as_str(); 4].join(",");
        assert_eq!(state_of(&[&format!("a=1,{long},{shorts}")]).as_deref(), Some(&*format!("a=1,{shorts}")));
        let six = [short.as_str(); 6].join(",");
        assert_eq!(state_of(&[&six]).as_deref(), Some(&*[short.as_str(); 5].join(",")));
    }

    #[test]
    fn two_parents_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceContext::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(TraceContext::of(&headers), None);
    }
}
