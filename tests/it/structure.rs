//! What ARCHITECTURE.md promises of the source itself: who uses whom, what is absent, and how large a thing may grow.
//!
//! Comments, strings and characters are blanked out before anything is looked for, so that only code counts.

mod circles;

use crate::harness::repository;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use. A new room needs a row here, and in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "admin",
            "chain",
            "component",
            "config",
            "direct",
            "engine",
            "files",
            "gateway",
            "host",
            "http",
            "measure",
            "net",
            "plan",
            "server",
            "standard",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "measure",
        &["chain", "component", "config", "engine", "gateway", "host", "plan", "stores", "telemetry"],
    ),
    (
        "server",
        &[
            "admin",
            "chain",
            "component",
            "config",
            "engine",
            "files",
            "gateway",
            "host",
            "http",
            "net",
            "plan",
            "telemetry",
            "upstream",
        ],
    ),
    ("embed", &["chain", "config", "gateway", "host", "http", "net", "plan", "server", "telemetry"]),
    ("admin", &["config", "plan", "telemetry"]),
    ("net", &["config", "files"]),
    ("http", &["engine", "gateway", "host", "net", "plan", "telemetry"]),
    (
        "gateway",
        &["chain", "component", "config", "engine", "host", "plan", "standard", "stores", "upstream"],
    ),
    ("engine", &["chain", "component", "direct", "host", "plan", "telemetry", "upstream"]),
    ("upstream", &["files", "net", "plan", "telemetry"]),
    ("chain", &["component", "config", "direct", "files", "host", "plan"]),
    ("direct", &["component", "host"]),
    ("host", &["component", "plan", "stores", "telemetry"]),
    ("stores", &["net", "plan", "telemetry"]),
    ("component", &["files"]),
    ("telemetry", &["config", "plan"]),
    ("plan", &["config", "files", "standard"]),
    ("config", &["files"]),
    ("files", &[]),
    ("standard", &[]),
];

const MOST_LINES: usize = 600;
const MOST_FUNCTION_LINES: usize = 70;

/// A source file of ours.
struct Source {
    /// From the repository's folder on.
    path: String,
    /// As it is, but for comments, strings and characters, which are blank.
    code: String,
    lines: usize,
}

impl Source {
    /// The folder below `src/` that it is in; `None` for the crate's own files.
    fn room(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
    }

    /// The line, from 1, of a place in `code`.
    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Places at which `word` stands as a path or name of its own.
    fn places(&self, word: &str) -> impl Iterator<Item = usize> {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            let whole = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
            let end = word.chars().next_back().is_some_and(char::is_alphanumeric);
            whole(self.code[..*at].chars().next_back())
                && (!end || whole(self.code[at + word.len()..].chars().next()))
        })
    }
}

/// All Rust files below `folders`.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| repository().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "dist") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&path));
            }
        }
    }
    assert!(!found.is_empty());
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn read(path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
    Source { path, code: code(&text), lines: text.lines().count() }
}

/// Everything that is ours.
fn ours() -> Vec<Source> {
    sources(&["src", "crates", "bench", "components", "xtask", "tests"])
}

/// `text` with comments, strings and characters blanked out, line for line.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let named = code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let length = blank(rest, named);
        let length_or_one = length.unwrap_or(first.len_utf8());
        let (taken, left) = rest.split_at(length_or_one);
        match length {
            Some(_) => code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push(first),
        }
        rest = left;
    }
    code
}

/// How many bytes from the start of `rest` are a comment, a string or a character. `named` says that a name ends just
/// before, so that an `r` or `b` here is a part of it.
fn blank(rest: &str, named: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = ["br", "cr", "r", "b", "c", ""].into_iter().find(|prefix| rest.starts_with(prefix))?;
    if named && !prefix.is_empty() {
        return None;
    }
    let after = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = after.bytes().take_while(|byte| *byte == b'#').count();
        let body = after[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).unwrap_or(body.len());
        return Some((rest.len() - body.len() + end + close.len()).min(rest.len()));
    }
    if let Some(body) = after.strip_prefix('"') {
        return Some(rest.len() - body.len() + quoted(body, '"'));
    }
    let body = after.strip_prefix('\'')?;
    // `'a'` and `'\n'` are characters, `'a` a lifetime.
    let is_character = body.starts_with('\\') || body.chars().nth(1) == Some('\'');
    is_character.then(|| rest.len() - body.len() + quoted(body, '\''))
}

/// The bytes of `body` up to and with the `quote` that ends it.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// The bytes of the comment at the start of `rest`; comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            [] => return rest.len(),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            return at;
        }
    }
}

#[track_caller]
fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}; {} are not so:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn only_code_counts() {
    let text =
        "a // crate::x\nb /* c /* d */ e\n */ f \"g\\\"h\" i r#\"j\"k\"# 'l' '\\'' 'm: &'n b\"o\" for\"p\"";
    let words: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
    assert_eq!(words, ["a", "b", "f", "i", "'m:", "&'n", "for"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
    let source =
        Source { path: String::new(), code: "fn a(x: [u8; 2]) {\n{}\n}\nfn b();".to_owned(), lines: 4 };
    assert_eq!(functions(&source), [(1, "a".to_owned(), 3)]);
    assert_eq!(uses("use crate::{a::b, c};\ncrate::d::e(crate :: f)"), ["a", "c", "d"]);
}

/// The rooms that `code` names: `crate::room`, or one of `crate::{room::…, room}`.
fn uses(code: &str) -> Vec<String> {
    let name =
        |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let (mut depth, mut start) = (0, 0);
                for (at, c) in group.char_indices() {
                    match c {
                        ',' | '}' if depth == 0 => {
                            rooms.push(name(&group[start..at]));
                            start = at + 1;
                            if c == '}' {
                                break;
                            }
                        }
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                }
            }
            None => rooms.push(name(rest)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]) {
        let Some(room) = source.room() else { continue };
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: the room `{room}` has no row in the table", source.path));
            continue;
        };
        for used in uses(&source.code) {
            if used != room && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: `{room}` uses `{used}`", source.path));
            }
        }
    }
    none(&wrong, "edges between rooms are those of the table");
}

/// The table says the same as the page.
#[test]
fn the_page_has_the_same_edges() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = page.split_once("## Allowed edges").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    // Names stand in backquotes, what is said of them in parentheses.
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut wrong = Vec::new();
    let mut told = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').collect();
        for from in names(cells[1]) {
            let mut to = names(cells[2]);
            to.sort();
            match EDGES.iter().find(|(name, _)| *name == from) {
                Some(("cli", _)) => {}
                Some((_, allowed)) => {
                    let built = |room: &&&str| repository().join("src").join(room).is_dir();
                    let allowed: Vec<_> = allowed.iter().filter(built).collect();
                    if to.iter().collect::<Vec<_>>() != allowed {
                        wrong.push(format!("`{from}`: {to:?} there, {allowed:?} here"));
                    }
                }
                None => wrong.push(format!("`{from}` is no room")),
            }
            told.push(from);
        }
    }
    for (room, _) in EDGES {
        if repository().join("src").join(room).is_dir() && !told.iter().any(|name| name == room) {
            wrong.push(format!("`{room}` is not there"));
        }
    }
    none(&wrong, "ARCHITECTURE.md has the edges that are allowed here");
}

/// Complains of each of `words` in the code of `sources`.
fn absent(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        for word in words {
            wrong
                .extend(source.places(word).map(|at| format!("{}:{}: {word}", source.path, source.line(at))));
        }
    }
    wrong
}

fn in_rooms(rooms: &[&str]) -> Vec<Source> {
    let mut sources = sources(&["src"]);
    sources.retain(|source| source.room().is_some_and(|room| rooms.contains(&room)));
    sources
}

#[test]
fn the_configuration_knows_nothing_of_wasmtime() {
    let rooms = in_rooms(&["config", "plan", "stores", "telemetry", "upstream"]);
    none(&absent(&rooms, &["wasmtime"]), "these rooms never name wasmtime");
}

/// A crate of `crates/` stands alone, and each is used by one room.
#[test]
fn crates_know_nothing_of_the_gateway() {
    let crates = sources(&["crates"]);
    none(&absent(&crates, &["linkspan", "wasmtime", "hyper", "http"]), "what stands in crates/ stands alone");
    let mut others = sources(&["src"]);
    others.retain(|source| source.room() != Some("component"));
    none(&absent(&others, &["linkspan_rewrite"]), "crates/rewrite is used by `component`");
}

/// What serves has read everything before the first address was bound. Three files have files in them by their nature:
/// certificates are read in two, and the third one's socket between processes has a path.
#[test]
fn what_serves_opens_no_files() {
    let mut sources = in_rooms(&["engine", "host", "http", "net", "stores", "upstream"]);
    let readers = ["src/net/tls/files.rs", "src/net/listen/handover.rs", "src/upstream/tls.rs"];
    sources.retain(|source| !readers.contains(&source.path.as_str()));
    sources.retain(|source| !source.path.ends_with("/tests.rs"));
    for source in &mut sources {
        blank_tests(&mut source.code);
    }
    let words = ["std::fs", "tokio::fs", "fs::", "File::", "OpenOptions", "env::var"];
    none(&absent(&sources, &words), "a request makes nobody read a file or the environment");
}

/// Takes modules of tests out of `code`, line for line.
fn blank_tests(code: &mut String) {
    while let Some(at) = code.find("#[cfg(test)]") {
        let length = body_end(&code[at..]).unwrap_or("#[cfg(test)]".len());
        let blank = "\n".repeat(code[at..at + length].matches('\n').count());
        code.replace_range(at..at + length, &blank);
    }
}

#[test]
fn one_thing_is_swapped() {
    let mut sources = sources(&["src"]);
    sources.retain(|source| source.path != "src/gateway/live.rs");
    none(&absent(&sources, &["ArcSwap", "arc_swap"]), "only gateway/live.rs names `ArcSwap`");
}

#[test]
fn nothing_is_left_to_do() {
    let words = ["todo!", "unimplemented!", "dbg!"];
    none(&absent(&ours(), &words), "no placeholder and no debugging output");
}

#[test]
fn files_are_short() {
    let long = |source: &Source| source.lines > MOST_LINES;
    let tell = |source: &Source| format!("{}: {} lines", source.path, source.lines);
    let wrong: Vec<_> = ours().iter().filter(|source| long(source)).map(tell).collect();
    none(&wrong, "a file has at most 600 lines");
}

#[test]
fn functions_fit_a_screen() {
    let mut wrong = Vec::new();
    for source in ours() {
        let functions = functions(&source).into_iter().filter(|(.., lines)| *lines > MOST_FUNCTION_LINES);
        wrong.extend(
            functions.map(|(line, name, lines)| format!("{}:{line}: `{name}` has {lines}", source.path)),
        );
    }
    none(&wrong, "a function has at most 70 lines, its first and its last among them");
}

/// Line, name and length in lines of each function that has a body.
fn functions(source: &Source) -> Vec<(usize, String, usize)> {
    let mut functions = Vec::new();
    for at in source.places("fn") {
        let rest = &source.code[at..];
        let name: String =
            rest[2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // A type such as `fn(u32)` has no name.
        if name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(rest) {
            functions.push((source.line(at), name, rest[..length].matches('\n').count() + 1));
        }
    }
    functions
}

/// Where the braces that come first in `rest` are closed; `None` if the declaration ends without any.
fn body_end(rest: &str) -> Option<usize> {
    let (mut inner, mut braces) = (0, 0);
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => inner += 1,
            ')' | ']' => inner -= 1,
            ';' if inner == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A folder of source says what it is before anything else.
#[test]
fn rooms_introduce_themselves() {
    let mut wrong = Vec::new();
    for source in sources(&["src"]).iter().filter(|source| source.path.ends_with("mod.rs")) {
        let text = fs::read_to_string(repository().join(&source.path)).unwrap();
        if !text.starts_with("//! ") {
            wrong.push(source.path.clone());
        }
    }
    none(&wrong, "a folder's mod.rs opens with what the room does");
}
