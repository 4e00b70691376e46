//! Conditions of stages: the requests to which they apply.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Pin;
use super::route::is_below;
use super::share::{draw_for_condition, place};
use crate::config::keys::MAX_COMBINATIONS;

/// The requests to which a stage applies: those that match all of its parts. The parts are compared when the request
/// enters the pipeline, before any stage has changed the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// The methods, at least one.
    pub methods: Option<Vec<Method>>,
    /// A path and everything below it, as of a route.
    pub path: Option<String>,
    /// A field that must exist, and the value that one field of this name must have.
    pub header: Option<(HeaderName, Option<HeaderValue>)>,
    /// A share.
    pub share: Option<Percent>,
}

/// A share of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percent {
    /// 0 to 100.
    pub percent: u8,
    /// The value that decides instead of chance.
    pub pin: Option<Pin>,
}

impl When {
    /// Whether the condition holds for a request; `chance` is a number that differs from request to request, and `path`
    /// is normalised and has no query.
    pub fn holds(&self, method: &Method, path: &str, headers: &HeaderMap, chance: u64) -> bool {
        let has = |(name, value): &(HeaderName, Option<HeaderValue>)| match value {
            None => headers.contains_key(name),
            Some(value) => headers.get_all(name).iter().any(|found| found == value),
        };
        let drawn = |share: &Percent| {
            place(draw_for_condition(share.pin.as_ref(), headers, chance), 100) < u64::from(share.percent)
        };
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
            && self.path.as_ref().is_none_or(|prefix| is_below(path, prefix))
            && self.header.as_ref().is_none_or(has)
            && self.share.as_ref().is_none_or(drawn)
    }

    /// Whether `other` holds for every request for which this one holds, as far as known.
    fn implies(&self, other: &Self) -> bool {
        /// A part that is not there holds for every request.
        fn part<T>(one: Option<&T>, other: Option<&T>, implies: impl Fn(&T, &T) -> bool) -> bool {
            other.is_none_or(|other| one.is_some_and(|one| implies(one, other)))
        }
        part(self.methods.as_ref(), other.methods.as_ref(), |one, other| {
            one.iter().all(|method| other.contains(method))
        }) && part(self.path.as_ref(), other.path.as_ref(), |one, other| is_below(one, other))
            && part(self.header.as_ref(), other.header.as_ref(), |one, other| {
                one.0 == other.0 && (other.1.is_none() || one.1 == other.1)
            })
            && (part(self.share.as_ref(), other.share.as_ref(), |one, other| {
                one.pin == other.pin && one.percent <= other.percent
            }) || other.share.as_ref().is_some_and(|share| share.percent == 100))
    }

    /// Whether there is no request for which both hold, as far as known.
    fn excludes(&self, other: &Self) -> bool {
        let apart = |one: &Vec<Method>, other: &Vec<Method>| one.iter().all(|method| !other.contains(method));
        let methods = self.methods.as_ref().zip(other.methods.as_ref());
        let paths = self.path.as_ref().zip(other.path.as_ref());
        let never = |when: &Self| when.share.as_ref().is_some_and(|share| share.percent == 0);
        methods.is_some_and(|(one, other)| apart(one, other))
            || paths.is_some_and(|(one, other)| !is_below(one, other) && !is_below(other, one))
            || never(self)
            || never(other)
    }
}

/// Which stages of a pipeline apply to a request, by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Applied(u32);

impl Applied {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether the stage with this place applies.
    pub fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }

    /// The same with, or without, the stage with this place. A pipeline has at most 17 stages.
    #[must_use]
    pub fn with(self, index: usize, applies: bool) -> Self {
        Self(if applies { self.0 | 1 << index } else { self.0 & !(1 << index) })
    }

    /// The stages that are also among `others`.
    #[must_use]
    pub fn among(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

/// The combinations of stages with these conditions, each with its stage's place, that some request needs. The
/// combination of all stages comes first, also if no request needs it.
///
/// `None` if there are more than [`MAX_COMBINATIONS`].
pub fn combinations<'a>(conditions: impl IntoIterator<Item = (usize, &'a When)>) -> Option<Vec<Applied>> {
    let mut before: Vec<(usize, &When)> = Vec::new();
    let mut found = vec![Applied::NONE];
    for (index, when) in conditions {
        let possible = |combination: &Applied, applies: bool| {
            before.iter().all(|(other, condition)| match (combination.has(*other), applies) {
                (true, true) => !when.excludes(condition),
                (true, false) => !condition.implies(when),
                (false, true) => !when.implies(condition),
                (false, false) => true,
            }) && !(applies && when.excludes(when))
                && (applies || !When::default().implies(when))
        };
        found = [true, false]
            .into_iter()
            .flat_map(|applies| {
                let with = found.iter().filter(move |combination| possible(combination, applies));
                with.map(move |combination| combination.with(index, applies))
            })
            .collect();
        before.push((index, when));
        // A prefix of a combination is a combination as well, so the number does not fall.
        if found.len() > MAX_COMBINATIONS {
            return None;
        }
    }
    let all = before.iter().fold(Applied::NONE, |all, (index, _)| all.with(*index, true));
    found.retain(|combination| *combination != all);
    found.insert(0, all);
    (found.len() <= MAX_COMBINATIONS).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Stage;
    use crate::plan::tests::stages_with;

    fn count(conditions: &[&str]) -> Option<usize> {
        combinations(stages_with(conditions).iter().filter_map(Stage::condition)).map(|found| found.len())
    }

    #[test]
    fn only_combinations_that_a_request_can_need_count() {
        assert_eq!(count(&["", ""]), Some(1));
        assert_eq!(count(&["path = \"/a\"", "", "header = { name = \"x\" }"]), Some(4));
        // The same condition.
        assert_eq!(count(&["path = \"/a\"", "path = \"/a\""]), Some(2));
        // One in the other: neither, the outer one, both.
        assert_eq!(count(&["path = \"/a\"", "path = \"/a/b\""]), Some(3));
        assert_eq!(count(&["percent = 10", "percent = 50"]), Some(3));
        assert_eq!(count(&["percent = 10", "percent = 50, pin = { header = \"x\" }"]), Some(4));
        // Never both, but all of them are kept.
        assert_eq!(count(&["path = \"/a\"", "path = \"/ab\""]), Some(4));
        assert_eq!(count(&["methods = [\"GET\"]", "methods = [\"PUT\", \"POST\"]"]), Some(4));
        // Always, and never.
        assert_eq!(count(&["percent = 100"]), Some(1));
        assert_eq!(count(&["percent = 0"]), Some(2));
        let paths: Vec<_> = (0..14).map(|at| format!("path = \"/{at}\"")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        assert_eq!(count(&paths), Some(16));
        let headers: Vec<_> = (0..4).map(|at| format!("header = {{ name = \"x-{at}\" }}")).collect();
        let mut headers: Vec<_> = headers.iter().map(String::as_str).collect();
        assert_eq!(count(&headers), Some(16));
        headers.push("methods = [\"GET\"]");
        assert_eq!(count(&headers), None);
    }

    #[test]
    fn parts_hold_together() {
        let stages = stages_with(&[
            "methods = [\"GET\"], path = \"/a\", header = { name = \"X-Debug\", value = \"1\" }",
            "header = { name = \"x-debug\" }",
            "percent = 30, pin = { header = \"x-user\" }",
            "percent = 30",
        ]);
        let holds = |at: usize, method: Method, path: &str, fields: &[(&'static str, &str)], chance| {
            let fields = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            let mut headers = HeaderMap::new();
            headers.extend(fields);
            stages[at].when.as_ref().unwrap().holds(&method, path, &headers, chance)
        };
        let debug = [("x-debug", "2"), ("x-debug", "1")];
        assert!(holds(0, Method::GET, "/a/b", &debug, 0));
        assert!(!holds(0, Method::POST, "/a/b", &debug, 0));
        assert!(!holds(0, Method::GET, "/ab", &debug, 0));
        assert!(!holds(0, Method::GET, "/a/b", &debug[..1], 0));
        assert!(holds(1, Method::POST, "/", &debug[..1], 0) && !holds(1, Method::POST, "/", &[], 0));
        let share = |at, user: bool| {
            let held = (0..10_000).filter(|number| {
                let user = user.then(|| ("x-user", number.to_string()));
                let fields: Vec<_> = user.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let chance = if fields.is_empty() { *number } else { 7 };
                let first = holds(at, Method::GET, "/", &fields, chance);
                // The same value draws the same number.
                assert_eq!(first, holds(at, Method::GET, "/", &fields, chance));
                first
            });
            held.count()
        };
        for held in [share(2, true), share(2, false), share(3, false)] {
            assert!((2_700..3_300).contains(&held), "{held}");
        }
    }
}
