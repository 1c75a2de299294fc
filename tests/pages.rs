//! What the pages say can be followed: links lead somewhere, YAML blocks load, and every error can be looked up.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config::load_text;
use portcullis::exchange::ErrorKind;
use portcullis::snapshot::compile::{Environment, compile, vocabulary};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page of the project, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/how-to", "docs/decisions", "bench"] {
        let list = std::fs::read_dir(root().join(folder)).expect("the folder is there");
        let paths = list.map(|entry| entry.expect("it can be read").path());
        for path in paths.filter(|path| path.extension().is_some_and(|end| end == "md")) {
            let text = std::fs::read_to_string(&path).expect("a page is text");
            pages.push((path, text));
        }
    }
    pages.sort();
    assert!(pages.len() > 30, "{} pages", pages.len());
    pages
}

/// A page without its code: what stands in fences and in backquotes is no link.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.extend(line.split('`').step_by(2));
            out.push('\n');
        }
    }
    out
}

/// The anchors of a page, as the usual renderers make them of its headings.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect();
        // A heading that stands on the page already gets a number.
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        for link in prose(&text).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a page lies in a folder").join(file),
            };
            let Ok(target) = target.canonicalize() else {
                wrong.push(format!("{}: there is no {link}", path.display()));
                continue;
            };
            let leads = anchor.is_empty()
                || std::fs::read_to_string(&target).is_ok_and(|page| anchors(&page).contains(anchor));
            if !leads {
                wrong.push(format!("{}: {link} has no such heading", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The YAML blocks of a page, each with its line.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if inside && line.starts_with("```") {
            inside = false;
        } else if inside {
            let block = &mut blocks.last_mut().expect("a block has begun").1;
            block.push_str(line);
            block.push('\n');
        } else if line == "```yaml" {
            inside = true;
            blocks.push((index + 1, String::new()));
        }
    }
    blocks
}

#[test]
fn whole_files_in_the_pages_are_good() {
    let env = |name: &str| {
        name.contains("SECRET").then(|| "a secret that is long enough for a key of HS256".to_owned())
    };
    let mut whole = 0;
    for (path, text) in pages() {
        for (line, block) in blocks(&text) {
            let has = |key: &str| block.lines().any(|line| line.starts_with(key));
            if !(has("listen:") || has("listeners:")) || block.contains("...") {
                continue;
            }
            whole += 1;
            let loaded = load_text(&path, &block, &env, vocabulary());
            // Certificates that a page names are its reader's own.
            if let Some(config) = loaded.config.as_ref().filter(|_| !block.contains(".pem")) {
                let config = Arc::new(config.clone());
                let _ = compile(&config, None, &Environment::new(1), &loaded.diagnostics);
            }
            assert!(
                loaded.diagnostics.is_empty(),
                "{}:{line}\n{}",
                path.display(),
                loaded.diagnostics.render(false)
            );
        }
    }
    assert!(whole >= 20, "{whole} whole files in the pages");
}

#[test]
fn every_error_can_be_looked_up() {
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).expect("there is the page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for kind in ErrorKind::ALL {
        let phrase = format!("`{}`", kind.phrase());
        let named = rows.iter().any(|row| row.split('|').nth(1).is_some_and(|cell| cell.contains(&phrase)));
        assert!(named, "no row for {phrase}");
    }
}
