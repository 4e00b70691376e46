//! What one head has that another one has not.

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Added(&'a str, &'a str),
    Removed(&'a str, &'a str),
    /// It is there once in both, with another value: the name, the value before, and after.
    Changed(&'a str, &'a str, &'a str),
}

/// A field.
pub(super) type Field<'a> = (&'a str, &'a str);

/// What has to be done with the fields `before` so that they are `after`. Order between different names says nothing
/// (RFC 9110 §5.3).
pub(super) fn changes<'a>(before: &[Field<'a>], after: &[Field<'a>]) -> Vec<Change<'a>> {
    let mut names: Vec<&str> = before.iter().chain(after).map(|(name, _)| *name).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let of = |fields: &[Field<'a>], name: &str| -> Vec<&'a str> {
        fields.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect()
    };
    let mut found = Vec::new();
    for name in names {
        match (&of(before, name)[..], &of(after, name)[..]) {
            (one, other) if one == other => {}
            ([one], [other]) => found.push(Change::Changed(name, one, other)),
            (one, other) => {
                let removed = one.iter().filter(|value| !other.contains(value));
                found.extend(removed.map(|value| Change::Removed(name, value)));
                let added = other.iter().filter(|value| !one.contains(value));
                found.extend(added.map(|value| Change::Added(name, value)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_removed_and_changed() {
        let before = [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("d", "5")];
        let after = [("c", "3"), ("a", "9"), ("d", "5"), ("d", "6"), ("e", "7")];
        assert_eq!(
            changes(&before, &after),
            [
                Change::Changed("a", "1", "9"),
                Change::Removed("b", "2"),
                Change::Removed("d", "4"),
                Change::Added("d", "6"),
                Change::Added("e", "7"),
            ]
        );
        assert!(changes(&before, &before).is_empty());
    }
}
