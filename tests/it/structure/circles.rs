//! Which files use which, and that no files use each other in a circle.
//!
//! A file uses another one where its code names something that is defined there: in a `use`, or by its path. A name is
//! followed through re-exports to the file that defines it, so a folder's `mod.rs` that declares and re-exports its
//! children uses them only where its own code does. What macros define is taken to stand where they are called.

use super::{Source, blank_tests, none, sources};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The folders of crates, each with its modules below it.
const CRATES: &[&str] = &["src", "crates/rewrite/src", "bench/src", "xtask/src", "components/sdk/src"];

/// Files that are one thing, each circle with the reason.
const ONE_THING: &[(&[&str], &str)] = &[];

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut wrong = Vec::new();
    let mut left: Vec<_> = ONE_THING.iter().map(|(files, _)| *files).collect();
    for folder in CRATES {
        let tree = Tree::new(sources(&[folder]), folder);
        for circle in tree.circles() {
            let files: Vec<_> = circle.iter().map(|file| tree.files[*file].source.path.as_str()).collect();
            match left.iter().position(|known| *known == files) {
                Some(known) => _ = left.remove(known),
                None => wrong.push(tree.told(&circle)),
            }
        }
    }
    wrong.extend(
        left.iter().map(|files| format!("no circle any more, but in the list: {}", files.join(", "))),
    );
    none(&wrong, "files use each other in no circle, unless they are one thing");
}

#[test]
fn circles_are_found() {
    let tree = |files: &[(&str, &str)]| {
        let source = |(path, code): &(&str, &str)| Source {
            path: format!("src/{path}"),
            code: (*code).to_owned(),
            lines: 1,
        };
        Tree::new(files.iter().map(source).collect(), "src")
    };
    let circles = |files: &[(&str, &str)]| {
        let tree = tree(files);
        let name = |file: &usize| tree.files[*file].source.path.trim_start_matches("src/").to_owned();
        tree.circles().iter().map(|circle| circle.iter().map(name).collect()).collect::<Vec<Vec<_>>>()
    };
    let leaf = ("room/leaf.rs", "pub struct Leaf;");
    let room = ("room/mod.rs", "mod leaf; mod a; mod b; pub use self::{leaf::Leaf, a::a}; pub struct Own;");
    // By `use`, by a path, and by a name that the room exports again.
    let a = ("room/a.rs", "use super::{b::{self, B as Other}, Leaf}; pub struct A; impl X for Other {}");
    for b in ["use crate::room::a::A; pub struct B;", "pub struct B { a: super::a::A }"] {
        assert_eq!(circles(&[leaf, room, a, ("room/b.rs", b)]), [["room/a.rs", "room/b.rs"]], "{b}");
    }
    assert_eq!(circles(&[leaf, room, a, ("room/b.rs", "pub struct B; pub use super::a::A;")]), [[""; 0]; 0]);
    assert_eq!(
        circles(&[leaf, room, a, ("room/b.rs", "use super::Leaf; pub struct B(Leaf);")]),
        [[""; 0]; 0]
    );
    // A room that uses its child, which uses what the room itself defines.
    let child = ("room/a.rs", "pub struct A(super::Own);");
    assert_eq!(circles(&[room, child]), [[""; 0]; 0]);
    let using = ("room/mod.rs", "pub use a::A; pub struct Own; fn f() -> A {}");
    assert_eq!(circles(&[using, child]), [["room/mod.rs", "room/a.rs"]]);
    // A file with a folder of its own, and a module that is named through another one.
    let parent = ("p.rs", "mod q; use q::Q; pub fn f(q: Q) {}");
    assert_eq!(circles(&[parent, ("p/q.rs", "pub struct Q; fn g() { super::f(Q) }")]), [["p.rs", "p/q.rs"]]);
    let told = tree(&[parent, ("p/q.rs", "use crate::p;\npub struct Q;\nfn g() { p::f(Q) }")]);
    assert_eq!(
        told.told(&told.circles()[0]),
        "a circle of 2 files\n    src/p.rs:1: `q::Q` of src/p/q.rs\n    src/p/q.rs:3: `p::f` of src/p.rs"
    );
}

/// The files of a crate.
struct Tree {
    files: Vec<File>,
    /// The file of each module, by its path from the crate's root.
    modules: BTreeMap<Vec<String>, usize>,
}

struct File {
    source: Source,
    module: Vec<String>,
    imports: Vec<Import>,
    /// Paths outside of imports, and where they stand.
    paths: Vec<(usize, Vec<String>)>,
}

/// A name that a `use` brings into a file.
struct Import {
    at: usize,
    path: Vec<String>,
    name: String,
    exported: bool,
}

/// What a path leads to.
enum Target {
    Module(Vec<String>),
    /// Something that this file defines.
    Item(usize),
}

impl Tree {
    /// `folder` is where the crate's root stands. Tests may use what they test, and are left out.
    fn new(mut sources: Vec<Source>, folder: &str) -> Self {
        sources.retain(|source| !source.path.ends_with("/tests.rs"));
        let mut files = Vec::new();
        let mut modules = BTreeMap::new();
        for mut source in sources {
            blank_tests(&mut source.code);
            let module = module(source.path.strip_prefix(folder).unwrap());
            let (imports, paths) = Reader::new(&source.code).read();
            modules.insert(module.clone(), files.len());
            files.push(File { source, module, imports, paths });
        }
        Self { files, modules }
    }

    /// The files that `file` uses, each with the first use of it.
    fn used_by(&self, file: usize) -> BTreeMap<usize, (usize, String)> {
        let File { module, imports, paths, .. } = &self.files[file];
        let names: HashSet<_> = paths.iter().map(|(_, path)| path[0].as_str()).collect();
        let imports = imports
            .iter()
            .filter(|import| !import.exported || names.contains(import.name.as_str()))
            .map(|import| (import.at, &import.path));
        let paths = paths.iter().filter(|(_, path)| path.len() > 1).map(|(at, path)| (*at, path));
        let mut used = BTreeMap::new();
        for (at, path) in imports.chain(paths) {
            if let Some(Target::Item(other)) = self.target(module, path, 0)
                && other != file
            {
                used.entry(other).or_insert((at, path.join("::")));
            }
        }
        used
    }

    /// What `path` means in `module`; `None` if it leads out of the crate.
    fn target(&self, module: &[String], path: &[String], depth: usize) -> Option<Target> {
        let (first, mut rest) = path.split_first()?;
        let mut here = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module.split_last()?.1.to_vec(),
            name => match self.named(module, name, depth)? {
                Target::Module(module) => module,
                item @ Target::Item(_) => return Some(item),
            },
        };
        while let Some((name, further)) = rest.split_first() {
            rest = further;
            if name == "super" {
                here.pop();
                continue;
            }
            match self.named(&here, name, depth) {
                Some(Target::Module(module)) => here = module,
                Some(item) => return Some(item),
                None => return self.modules.get(&here).copied().map(Target::Item),
            }
        }
        Some(Target::Module(here))
    }

    /// The module `name` below `module`, or what a `use` there calls by this name.
    fn named(&self, module: &[String], name: &str, depth: usize) -> Option<Target> {
        let child: Vec<_> = module.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&child) {
            return Some(Target::Module(child));
        }
        let file = &self.files[*self.modules.get(module)?];
        let import = file.imports.iter().find(|import| import.name == name && depth < 8)?;
        self.target(module, &import.path, depth + 1)
    }

    /// Files that use each other, directly or through others.
    fn circles(&self) -> Vec<Vec<usize>> {
        let uses: Vec<_> = (0..self.files.len()).map(|file| self.used_by(file)).collect();
        let reached: Vec<BTreeSet<usize>> = (0..uses.len())
            .map(|file| {
                let (mut reached, mut open) = (BTreeSet::new(), vec![file]);
                while let Some(next) = open.pop() {
                    open.extend(uses[next].keys().filter(|other| reached.insert(**other)));
                }
                reached
            })
            .collect();
        let circle = |file: usize| {
            reached[file].iter().copied().filter(|other| reached[*other].contains(&file)).collect::<Vec<_>>()
        };
        // A circle is told once, at its first file.
        (0..uses.len())
            .map(|file| (file, circle(file)))
            .filter(|(file, circle)| circle.first() == Some(file))
            .map(|(_, circle)| circle)
            .collect()
    }

    /// The uses that make a circle of `files`.
    fn told(&self, files: &[usize]) -> String {
        let mut told = format!("a circle of {} files", files.len());
        for file in files {
            let source = &self.files[*file].source;
            for (other, (at, path)) in self.used_by(*file) {
                if files.contains(&other) {
                    let other = &self.files[other].source.path;
                    told += &format!("\n    {}:{}: `{path}` of {other}", source.path, source.line(at));
                }
            }
        }
        told
    }
}

/// The path of the module in the file at `path`, from the crate's root.
fn module(path: &str) -> Vec<String> {
    let names = path.trim_matches('/').trim_end_matches(".rs").split('/').map(str::to_owned);
    let mut module: Vec<_> = names.collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) || module == ["main"] {
        module.pop();
    }
    module
}

/// Reads the paths in code.
struct Reader<'a> {
    words: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Reader<'a> {
    fn new(code: &'a str) -> Self {
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(first) = code[at..].chars().next() {
            let rest = &code[at..];
            let length = if is_of_name(first) {
                rest.find(|c| !is_of_name(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                words.push((at, &rest[..length]));
            }
            at += length;
        }
        Self { words, next: 0 }
    }

    fn read(mut self) -> (Vec<Import>, Vec<(usize, Vec<String>)>) {
        let (mut imports, mut paths) = (Vec::new(), Vec::new());
        while let Some((at, word)) = self.peek() {
            let before = self.next.checked_sub(1).map_or("", |before| self.words[before].1);
            self.next += 1;
            if word == "use" {
                let exported = before == ")" || before == "pub";
                self.tree(&mut Vec::new(), exported, &mut imports);
            } else if is_name(word) && ![".", "'", "::", "mod"].contains(&before) {
                let mut path = vec![word.to_owned()];
                while self.is("::") && self.words.get(self.next + 1).is_some_and(|(_, word)| is_name(word)) {
                    path.push(self.words[self.next + 1].1.to_owned());
                    self.next += 2;
                }
                paths.push((at, path));
            }
        }
        (imports, paths)
    }

    /// A path of a `use`, with what is in its braces; `path` is what stands before it.
    fn tree(&mut self, path: &mut Vec<String>, exported: bool, imports: &mut Vec<Import>) {
        let length = path.len();
        let mut at = 0;
        while let Some((place, word)) = self.peek() {
            match word {
                "::" => {}
                "{" => {
                    while !self.is("}") && self.peek().is_some() {
                        self.next += 1;
                        if !self.is("}") {
                            self.tree(path, exported, imports);
                        }
                    }
                    self.next += 1;
                    path.truncate(length);
                    return;
                }
                "self" if !path.is_empty() => at = place,
                _ if is_name(word) && word != "as" => {
                    at = place;
                    path.push(word.to_owned());
                }
                _ => break,
            }
            self.next += 1;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if self.is("as") {
            name = self.words.get(self.next + 1).map_or("", |(_, word)| *word).to_owned();
            self.next += 2;
        }
        imports.push(Import { at, path: path.clone(), name, exported });
        path.truncate(length);
    }

    fn peek(&self) -> Option<(usize, &'a str)> {
        self.words.get(self.next).copied()
    }

    fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|(_, next)| next == word)
    }
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
