//! Links in the repository's pages lead somewhere: to a file that exists, and to a heading that the page has.

use crate::harness::repository;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files below `folder` with one of these extensions, without what is built or downloaded.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let ours =
                !name.starts_with('.') && !["target", "dist", "corpus", "deps"].contains(&name.as_str());
            if ours {
                files(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|one| extension == *one)) {
            found.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(repository(), &["md"], &mut pages);
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

/// The lines of a page that are not in a code block.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((at + 1, line))
    })
}

/// `text` without the code spans in it.
fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The anchor that a Git host gives a heading: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> HashSet<String> {
    prose(text)
        .filter_map(|(_, line)| {
            let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
            // A heading that is a link has the anchor of its text.
            let label = heading.split_once("](").map_or(heading, |(label, _)| label.trim_start_matches('['));
            Some(anchor(label))
        })
        .collect()
}

/// The targets of the links in `text`, with their lines. A link may be broken over two lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in prose(text) {
        let line = without_code(line);
        for (_, rest) in line.match_indices("](").map(|(at, _)| line.split_at(at + 2)) {
            if let Some((target, _)) = rest.split_once(')') {
                found.push((at, target.to_owned()));
            }
        }
    }
    found
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (line, target) in targets(&text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) =
                target.split_once('#').map_or((target.as_str(), None), |(a, b)| (a, Some(b)));
            let path = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let place = format!("{}:{line}: {target}", page.strip_prefix(repository()).unwrap().display());
            if !path.exists() {
                wrong.push(format!("{place}: no such file"));
            } else if let Some(heading) = heading
                && !anchors(&fs::read_to_string(&path).unwrap()).contains(heading)
            {
                wrong.push(format!("{place}: no such heading"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Comments and messages name pages by their path from the repository.
#[test]
fn pages_that_sources_name_exist() {
    let mut sources = Vec::new();
    files(repository(), &["rs", "toml", "wit", "py"], &mut sources);
    let mut wrong = Vec::new();
    for source in sources {
        // Some tests are of files that are not UTF-8.
        let Ok(text) = fs::read_to_string(&source) else { continue };
        for (at, _) in text.match_indices("docs/") {
            let name: String = text[at..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.'))
                .collect();
            if let Some(end) = name.find(".md")
                && !repository().join(&name[..end + 3]).exists()
            {
                wrong.push(format!("{}: {name}", source.strip_prefix(repository()).unwrap().display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_contents_has_every_page() {
    let contents = fs::read_to_string(repository().join("docs/README.md")).unwrap();
    let listed: Vec<_> = targets(&contents).into_iter().map(|(_, target)| target).collect();
    let mut missing = Vec::new();
    for entry in fs::read_dir(repository().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name != "README.md" && !listed.contains(&name) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/README.md does not list {missing:?}");
}

/// The list of words names types and modules as they are.
#[test]
fn words_name_types_that_exist() {
    let page = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let (_, words) = page.split_once("\n## Words\n").unwrap();
    let (words, _) = words.split_once("\n## ").unwrap();
    let mut sources = Vec::new();
    files(&repository().join("src"), &["rs"], &mut sources);
    let code: String = sources.iter().map(|source| fs::read_to_string(source).unwrap()).collect();
    let declared = |name: &str| {
        ["struct", "enum", "trait"].iter().any(|kind| {
            let start = format!("{kind} {name}");
            code.match_indices(&start).any(|(at, _)| {
                !code[at + start.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
            })
        })
    };
    let mut wrong = Vec::new();
    for row in words.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let bearers = row.split(" | ").nth(1).unwrap_or_default();
        for path in bearers.split('`').skip(1).step_by(2).filter(|path| path.contains("::")) {
            let file = repository().join("src").join(path.replace("::", "/"));
            let name = path.rsplit("::").next().unwrap_or_default();
            if !declared(name) && !file.is_dir() && !file.with_extension("rs").exists() {
                wrong.push(path.to_owned());
            }
        }
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md names what there is not: {wrong:?}");
}

#[test]
fn anchors_are_those_of_a_git_host() {
    assert_eq!(anchor("Framing, HTTP/1.1"), "framing-http11");
    assert_eq!(anchor("`[access-log]`"), "access-log");
    assert_eq!(anchor("`[[routes]]`"), "routes");
    assert_eq!(anchor("The client's address"), "the-clients-address");
}
