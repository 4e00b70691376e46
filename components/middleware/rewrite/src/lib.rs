//! Changes the path of requests for the stages behind it. What it is configured with stands at [`Keys`].
//!
//! The steps are taken in the order of the keys. A path stays what it was: it begins with one `/`, and no step makes a `.` or
//! `..` of it. The query goes on as it came.

use linkspan_sdk::{
    Config, Error, FromConfig, HeaderName, Next, Request, Response, Value, configuration, middleware, schema,
    template,
};

configuration! {
    /// Changes the path of requests for the stages behind it. Routes were chosen before.
    struct Keys {
        /// Taken from the front of the path, where the path has it: `"/api"` makes `/users` of `/api/users`, and leaves `/apis`.
        optional strip_prefix: Prefix,
        /// Other paths, whole or (with `/*` at the end of both) from the front: `{ "/old/*" = "/new/*", "/" = "/index.html" }`. The longest that fits counts.
        table replace: Path,
        /// Put in front of the path: `"/v2"`.
        optional add_prefix: Prefix,
        /// The field that tells later stages the path as it came; empty for none.
        default("") original: Option<HeaderName>,
    }
}

/// A path without the `/` at its end.
#[derive(Debug, PartialEq)]
struct Prefix(String);

impl Value for Prefix {
    const FORM: &'static str =
        ",\"title\":\"the front of a path\",\"pattern\":\"^/.*[^/]$\",\"examples\":[\"/api\"]";

    fn parse(text: &str) -> Result<Self, String> {
        let Path(text) = Path::parse(text)?;
        if text.ends_with('/') || text.ends_with('*') {
            return Err("is not the front of a path, like \"/api\"".into());
        }
        Ok(Self(text))
    }
}

/// A path in its normal form, perhaps with `/*` at its end.
#[derive(Debug, PartialEq)]
struct Path(String);

impl Value for Path {
    const FORM: &'static str = ",\"title\":\"a path\",\"pattern\":\"^/\",\"examples\":[\"/new/*\"]";

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || text.starts_with("//") {
            return Err("is not a path that begins with one `/`".into());
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte)) {
            return Err("holds a character that a path can't (percent-encode it)".into());
        }
        let is_dots =
            |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if text.split('/').any(is_dots) {
            return Err("has a segment `.` or `..`".into());
        }
        if text.strip_suffix("/*").unwrap_or(text).contains('*') {
            return Err("has a `*` elsewhere than in `/*` at its end".into());
        }
        Ok(Self(text.into()))
    }
}

struct Options {
    strip: Option<String>,
    /// The longest first.
    replace: Vec<Rule>,
    add: Option<String>,
    original: Option<HeaderName>,
}

/// A path and what is put in its place; where it stands for all that begin so, both are without their `/*`.
struct Rule {
    from: String,
    to: String,
    front: bool,
}

impl FromConfig for Options {
    const SCHEMA: &'static [schema::Part] = Keys::SCHEMA;

    fn from_config(config: &mut Config) -> Option<Self> {
        let Keys { strip_prefix, replace, add_prefix, original } = Keys::from_config(config)?;
        if strip_prefix.is_none() && replace.is_empty() && add_prefix.is_none() {
            config.reject(
                "replace",
                "is missing, and so are `strip-prefix` and `add-prefix`: nothing would change",
            );
        }
        let mut rules: Vec<Rule> = Vec::new();
        for (from, Path(to)) in replace {
            let key = format!("replace.{from}");
            let front = from.ends_with("/*");
            if let Err(reason) = Path::parse(&from) {
                config.reject(&key, &format!("stands for what {reason}"));
            } else if front != to.ends_with("/*") {
                config.reject(&key, "has `/*` at the end of one path alone");
            } else {
                let bare = |path: &str| path.strip_suffix("/*").unwrap_or(path).to_owned();
                rules.push(Rule { from: bare(&from), to: bare(&to), front });
            }
        }
        rules.sort_by_key(|rule| (std::cmp::Reverse(rule.from.len()), rule.front));
        let prefix = |prefix: Option<Prefix>| prefix.map(|Prefix(text)| text);
        Some(Self { strip: prefix(strip_prefix), replace: rules, add: prefix(add_prefix), original })
    }
}

/// What is behind `front` in `path`, which begins with a `/` or is empty; `None` if the path does not begin so.
fn behind<'a>(path: &'a str, front: &str) -> Option<&'a str> {
    path.strip_prefix(front).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// With one `/` at its front.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

impl Rule {
    fn of(&self, path: &str) -> Option<String> {
        match self.front {
            true => behind(path, &self.from).map(|rest| absolute(&format!("{}{rest}", self.to))),
            false => (path == self.from).then(|| self.to.clone()),
        }
    }
}

impl Options {
    /// The target of a request for later stages; `None` where it stays as it is.
    fn of(&self, target: &str) -> Option<String> {
        let (path, query) = template::split(target);
        if !path.starts_with('/') {
            // `*`, of OPTIONS.
            return None;
        }
        let mut new = path.to_owned();
        if let Some(rest) = self.strip.as_deref().and_then(|front| behind(path, front)) {
            new = absolute(rest);
        }
        if let Some(replaced) = self.replace.iter().find_map(|rule| rule.of(&new)) {
            new = replaced;
        }
        if let Some(front) = &self.add {
            new.insert_str(0, front);
        }
        if new == path {
            return None;
        }
        if let Some(query) = query {
            new = format!("{new}?{query}");
        }
        Some(new)
    }
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    let target = request.path_with_query().unwrap_or_default();
    let new = options.of(&target);
    if let Some(field) = &options.original {
        request.headers_mut().set(field.as_str(), &target);
    }
    if let Some(new) = new {
        request.set_path_with_query(new)?;
    }
    next.call(request)
}
middleware!(handle, Options);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &str)]) -> Result<Options, String> {
        Config::read(entries.iter().map(|(k, v)| (k.to_string(), v.to_string())))
    }

    #[test]
    fn paths_are_rewritten() {
        let strip = read(&[("strip-prefix", "/api")]).expect("good");
        let replace = read(&[
            ("replace./old/*", "/new/*"),
            ("replace./old/special", "/other"),
            ("replace./", "/index.html"),
            ("replace./all/*", "/*"),
        ])
        .expect("good");
        let all = read(&[("strip-prefix", "/a"), ("replace./b", "/c"), ("add-prefix", "/v2")]).expect("good");
        for (options, target, expected) in [
            (&strip, "/api/users?x=/api", Some("/users?x=/api")),
            (&strip, "/api", Some("/")),
            (&strip, "/api//evil", Some("/evil")),
            (&strip, "/apis", None),
            (&strip, "/", None),
            (&strip, "*", None),
            (&replace, "/old/x/y", Some("/new/x/y")),
            (&replace, "/old", Some("/new")),
            (&replace, "/old/special?q", Some("/other?q")),
            (&replace, "/older", None),
            (&replace, "/", Some("/index.html")),
            (&replace, "/all/x", Some("/x")),
            (&replace, "/all//x", Some("/x")),
            (&replace, "/all", Some("/")),
            (&all, "/a/b", Some("/v2/c")),
            (&all, "/x", Some("/v2/x")),
        ] {
            assert_eq!(options.of(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (entries, start) in [
            (&[][..], "`replace` is missing"),
            (&[("strip-prefix", "api")], "`strip-prefix` is not a path"),
            (&[("strip-prefix", "/api/")], "`strip-prefix` is not the front"),
            (&[("add-prefix", "//evil")], "`add-prefix` is not a path"),
            (&[("add-prefix", "/a/%2E%2e")], "`add-prefix` has a segment"),
            (&[("add-prefix", "/a?b")], "`add-prefix` holds a character"),
            (&[("replace./a/*", "/b")], "`replace./a/*` has `/*` at the end of one"),
            (&[("replace.a", "/b")], "`replace.a` stands for what is not a path"),
            (&[("replace./a*", "/b")], "`replace./a*` stands for what has a `*` elsewhere"),
            (&[("add-prefix", "/a"), ("original", "a b")], "`original` is not the name"),
        ] {
            let error = read(entries).err().unwrap_or_default();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
