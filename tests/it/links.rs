//! The documentation points at things that exist: files, headings, and the very tests that hold a claim.

use std::path::{Path, PathBuf};

use pinion_tests::captures::project_root;

#[test]
fn every_relative_link_of_the_documentation_resolves() {
    let root = project_root();
    let mut pages = Vec::new();
    markdown_files(root, &mut pages);
    let mut broken = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let name = page.strip_prefix(root).unwrap().display().to_string();
        broken.extend(broken_links(&text, &page).into_iter().map(|link| format!("{name}: {link}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_broken_link_is_found_and_says_why() {
    let page = project_root().join("tests/it/page.md");
    let broken = |text: &str| broken_links(text, &page);
    assert_eq!(broken("[a](main.rs) [b](https://x.example/y) [c](../it/)"), Vec::<String>::new());
    assert_eq!(broken("[a](links.rs#a_broken_link_is_found_and_says_why)"), Vec::<String>::new());
    assert_eq!(broken("# One: two\n[a](#one-two)"), Vec::<String>::new());
    assert_eq!(broken("```\n[a](nowhere.rs)\n```\n`[a](nowhere.rs)`"), Vec::<String>::new());
    assert_eq!(broken("x [a](nowhere.rs)"), ["nowhere.rs: no such file"]);
    assert_eq!(broken("[`a`](nowhere.rs)"), ["nowhere.rs: no such file"]);
    assert_eq!(broken("[a](links.rs#no_such_test)"), ["links.rs#no_such_test: no fn no_such_test in it"]);
    assert_eq!(broken("[a](links.rs#L12)"), ["links.rs#L12: a line number goes stale; name a fn"]);
    assert_eq!(broken("# One\n[a](#two)"), ["#two: no such heading"]);
}

/// The relative links of a page that lead nowhere, each with the reason.
fn broken_links(text: &str, page: &Path) -> Vec<String> {
    let folder = page.parent().unwrap();
    let mut broken = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (file, fragment) = link.split_once('#').unwrap_or((&link, ""));
        let target = if file.is_empty() { page.to_owned() } else { folder.join(file) };
        if !file.is_empty() && !target.exists() {
            broken.push(format!("{link}: no such file"));
        } else if !fragment.is_empty() {
            let target_text =
                if file.is_empty() { text.to_owned() } else { std::fs::read_to_string(&target).unwrap_or_default() };
            if let Err(why) = check_fragment(&target, &target_text, fragment) {
                broken.push(format!("{link}: {why}"));
            }
        }
    }
    broken
}

fn check_fragment(target: &Path, text: &str, fragment: &str) -> Result<(), String> {
    let is_line = fragment.strip_prefix('L').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_markdown = target.extension().is_some_and(|extension| extension == "md");
    if is_line {
        Err("a line number goes stale; name a fn".into())
    } else if is_markdown {
        let found = prose_lines(text).any(|line| line.starts_with('#') && heading_slug(line) == fragment);
        if found { Ok(()) } else { Err("no such heading".into()) }
    } else if text.contains(&format!("fn {fragment}(")) {
        Ok(())
    } else {
        Err(format!("no fn {fragment} in it"))
    }
}

/// Where `](target)` points, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose_lines(text) {
        // Every second piece between backticks is code; [`name`](target) leaves its target outside.
        for prose in line.split('`').step_by(2) {
            let targets = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
            links.extend(targets.map(|target| target.split_whitespace().next().unwrap_or_default().to_owned()));
        }
    }
    links
}

/// The lines that are not inside a fenced block.
fn prose_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// The anchor that hosts of repositories give a heading.
fn heading_slug(line: &str) -> String {
    let heading = line.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn markdown_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                markdown_files(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}
