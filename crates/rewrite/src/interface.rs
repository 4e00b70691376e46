//! Names of WIT interfaces, compared by semver track instead of letter by letter.

use std::fmt;

/// `namespace:package/interface@version`, taken apart.
///
/// Two interfaces of one [track](Interface::track) can be linked (`0.3.0` and `0.3.2`; `1.2.0` and `1.5.1`), as the
/// component model's canonical interface names have it. A pre-release is a track of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interface {
    /// `wasi:http`
    pub package: String,
    /// `handler`
    pub name: String,
    /// `0.3.0`, if there is one.
    pub version: Option<String>,
}

impl Interface {
    /// Parses an import or export name; `None` for a plain (kebab-case) name.
    pub fn parse(name: &str) -> Option<Self> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (name, None),
        };
        let (package, interface) = path.split_once('/')?;
        package.contains(':').then(|| Self {
            package: package.to_owned(),
            name: interface.to_owned(),
            version,
        })
    }

    /// Whether this is `package/name`, whatever the version.
    pub fn is(&self, package: &str, name: &str) -> bool {
        self.package == package && self.name == name
    }

    /// The part of the version that must be equal for two interfaces to link.
    ///
    /// `0.3.1` is on track `0.3`, `1.4.0` on `1`, a pre-release on its own.
    pub fn track(&self) -> &str {
        let Some(version) = self.version.as_deref() else { return "" };
        if version.contains('-') {
            return version;
        }
        let numbers = version.split('+').next().unwrap_or(version);
        let mut dots = numbers.match_indices('.').map(|(at, _)| at);
        match (dots.next(), dots.next()) {
            (Some(first), _) if &numbers[..first] != "0" => &numbers[..first],
            (Some(first), Some(second)) if &numbers[first + 1..second] != "0" => &numbers[..second],
            _ => numbers,
        }
    }

    /// Whether an export called `other` satisfies an import called `self`.
    pub fn links_to(&self, other: &Self) -> bool {
        self.package == other.package && self.name == other.name && self.track() == other.track()
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package, self.name)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Interface;

    #[test]
    fn tracks_follow_semver() {
        for (version, track) in [
            ("0.3.0", "0.3"),
            ("0.3.17", "0.3"),
            ("0.0.4", "0.0.4"),
            ("1.2.3", "1"),
            ("2.0.0+build.5", "2"),
            ("0.3.0-rc-2026-03-15", "0.3.0-rc-2026-03-15"),
            ("0.2.0-rc.1", "0.2.0-rc.1"),
        ] {
            let interface = Interface::parse(&format!("a:b/c@{version}")).expect(version);
            assert_eq!(interface.track(), track, "{version}");
        }
    }

    #[test]
    fn versions_of_one_track_link() {
        let parse = |name: &str| Interface::parse(name).expect("an interface");
        let handler = parse("wasi:http/handler@0.3.0");
        assert!(handler.links_to(&parse("wasi:http/handler@0.3.2")));
        assert!(!handler.links_to(&parse("wasi:http/handler@0.3.0-rc-2026-03-15")));
        assert!(!handler.links_to(&parse("wasi:http/handler@0.4.0")));
        assert!(!handler.links_to(&parse("wasi:http/types@0.3.0")));
    }

    #[test]
    fn plain_names_are_no_interfaces() {
        assert_eq!(Interface::parse("run"), None);
        assert_eq!(Interface::parse("stage-1"), None);
    }
}
