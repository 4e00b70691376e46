//! Media types (RFC 9110 §8.3.1), and ranges of them.

use crate::header::is_token;
use crate::value::Value;

/// Media types that a configuration names: `"application/json"`, `"text/*"`, `"application/*+json"`, `"*/*"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    /// `None` for any.
    kind: Option<String>,
    subtype: Subtype,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtype {
    Any,
    /// With its `+`.
    Suffix(String),
    One(String),
}

impl MediaRange {
    /// Whether the value of a `content-type` is one of them. Parameters do not matter, nor does the case of letters.
    pub fn matches(&self, content_type: &str) -> bool {
        let (essence, _parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let Some((kind, subtype)) = essence.trim_matches([' ', '\t']).split_once('/') else { return false };
        if !is_name(kind) || !is_name(subtype) {
            return false;
        }
        let ends_with = |suffix: &str| {
            let start = subtype.len().checked_sub(suffix.len());
            start.and_then(|start| subtype.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        };
        self.kind.as_ref().is_none_or(|own| own.eq_ignore_ascii_case(kind))
            && match &self.subtype {
                Subtype::Any => true,
                Subtype::Suffix(suffix) => ends_with(suffix),
                Subtype::One(one) => one.eq_ignore_ascii_case(subtype),
            }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}

impl Value for MediaRange {
    const FORM: &'static str = concat!(
        ",\"title\":\"a media type\",\"pattern\":\"^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+$\"",
        ",\"examples\":[\"application/json\",\"text/*\",\"application/*+json\"]"
    );

    fn parse(text: &str) -> Result<Self, String> {
        const WRONG: &str =
            "is not a media type, like \"application/json\", \"text/*\" or \"application/*+json\"";
        let (kind, subtype) = text.split_once('/').ok_or(WRONG)?;
        if !is_name(kind) || !is_name(subtype) {
            return Err(WRONG.into());
        }
        let kind = (kind != "*").then(|| kind.to_owned());
        let subtype = match subtype.strip_prefix('*') {
            Some("") => Subtype::Any,
            Some(suffix) if suffix.starts_with('+') && !suffix.contains('*') => {
                Subtype::Suffix(suffix.into())
            }
            None if !subtype.contains('*') => Subtype::One(subtype.into()),
            _ => return Err(WRONG.into()),
        };
        if kind.as_ref().is_some_and(|kind| kind.contains('*'))
            || (kind.is_none() && matches!(subtype, Subtype::One(_)))
        {
            return Err(WRONG.into());
        }
        Ok(Self { kind, subtype })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_match_types() {
        for (range, content_type, matches) in [
            ("text/*", "text/html; charset=utf-8", true),
            ("text/*", "TEXT/Event-Stream", true),
            ("text/*", "application/text", false),
            ("text/*", "text", false),
            ("text/*", "text/", false),
            ("text/*", "text/html, application/json", false),
            ("application/json", "application/json ;charset=x", true),
            ("application/json", "application/jsonp", false),
            ("application/json", "", false),
            ("application/*+json", "application/problem+JSON", true),
            ("application/*+json", "application/json", false),
            ("application/*+json", "application/\u{fffd}+json", false),
            ("image/svg+xml", "image/svg+xml", true),
            ("*/*", "image/png", true),
            ("*/*", "image", false),
            ("*/*+xml", "image/svg+xml", true),
        ] {
            let parsed = MediaRange::parse(range).expect("a range");
            assert_eq!(parsed.matches(content_type), matches, "{range} {content_type}");
        }
        for text in [
            "",
            "text",
            "text/",
            "/html",
            "*/html",
            "te*t/html",
            "text/ht*",
            "text/*x",
            "text/*+*",
            "a b/c",
            "text/html;q=1",
        ] {
            assert!(MediaRange::parse(text).is_err(), "{text}");
        }
    }
}
