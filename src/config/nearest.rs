//! "Did you mean …?"

/// The candidate that `word` is most likely a misspelling of, if one is near enough.
///
/// Case and `_` for `-` cost nothing; otherwise up to a third of the letters may be wrong. Words of more than 128 bytes
/// are never near, because comparing costs the product of the lengths.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MAX_COMPARED: usize = 128;
    let fold = |text: &str| text.to_lowercase().replace('_', "-");
    if word.len() > MAX_COMPARED {
        return None;
    }
    let word = fold(word);
    let distances =
        candidates.into_iter().filter(|candidate| candidate.len() <= MAX_COMPARED).filter_map(|candidate| {
            let folded = fold(candidate);
            let distance = strsim::damerau_levenshtein(&word, &folded);
            let allowed = (word.chars().count().max(folded.chars().count()) / 3).max(1);
            (distance <= allowed).then_some((distance, candidate))
        });
    distances.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The help for an unknown name: the nearest one, else all of them, else `none`.
pub(crate) fn suggest(word: &str, candidates: &[&str], noun: &str, none: &str) -> String {
    const MAX_LISTED: usize = 12;
    if let Some(name) = nearest(word, candidates.iter().copied()) {
        return format!("did you mean `{name}`?");
    }
    if candidates.is_empty() {
        return none.to_owned();
    }
    let listed: Vec<String> = candidates.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
    let more = if candidates.len() > MAX_LISTED { ", …" } else { "" };
    format!("{noun}: {}{more}", listed.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_and_far() {
        let names = ["hello", "key-auth", "rate-limit"];
        for (word, expected) in [
            ("helo", Some("hello")),
            ("Hello", Some("hello")),
            ("key_auth", Some("key-auth")),
            ("ratelimit", Some("rate-limit")),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
