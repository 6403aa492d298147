//! The picture of modules: no file of `src/` imports another in a circle, but for a trait and its adaptors.
//!
//! `cargo test --release -p gradus-tests --test it rooms` checks it; with `-- --nocapture` it prints the floors, from the files
//! that import nothing up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that may import each other: a trait whose provided methods make its adaptors, as std's `Iterator`.
const DELIBERATE: [&str; 3] = ["data/augment.rs", "data/pipeline/subset.rs", "data/source.rs"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The path of a module: `["kernels", "gemm"]` for `kernels/gemm.rs`, `["kernels"]` for `kernels/mod.rs`.
fn module(file: &str) -> Vec<String> {
    let mut parts: Vec<String> = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// `text` without its tests, comments and strings of documentation.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..end].lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every path that begins with `crate::` or `super::`, with groups in braces taken apart.
fn paths(code: &str) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = &code[..at];
            if before.ends_with("::") || before.ends_with('$') {
                continue;
            }
            let rest = &code[at..];
            let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
            // A module that shows what stands below it opens a door and does not walk through it.
            let shows =
                line.starts_with("pub use") || line.starts_with("pub(crate) use") || line.starts_with("pub(super) use");
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let head: Vec<String> =
                rest[..end].trim_end_matches(':').split("::").filter(|p| !p.is_empty()).map(str::to_owned).collect();
            if rest[end..].starts_with('{') && rest[..end].ends_with("::") {
                let close = rest[end..].find('}').map_or(rest.len(), |c| end + c);
                for name in rest[end + 1..close].split(',').map(str::trim).filter(|n| !n.is_empty()) {
                    let mut path = head.clone();
                    path.extend(name.split("::").map(|p| p.split_whitespace().next().unwrap_or_default().to_owned()));
                    found.push((path, shows));
                }
            } else {
                found.push((head, shows));
            }
        }
    }
    found
}

fn arrows(root: &Path) -> Arrows {
    let mut all = Vec::new();
    files(root, &mut all);
    let name = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let modules: BTreeMap<Vec<String>, String> = all.iter().map(|p| (module(&name(p)), name(p))).collect();
    let mut arrows = Arrows::new();
    for path in &all {
        let file = name(path);
        // The crate's doors and what has everything compiled stand outside the house.
        if ["lib.rs", "prelude.rs", "instances.rs"].contains(&file.as_str()) {
            continue;
        }
        let own = module(&file);
        let to = arrows.entry(file.clone()).or_default();
        for (path, shows) in paths(&code(&std::fs::read_to_string(path).unwrap())) {
            let mut at = if path[0] == "crate" { Vec::new() } else { own.clone() };
            let mut rest = path.into_iter().skip_while(|p| p == "crate").peekable();
            while rest.next_if(|p| p == "super").is_some() {
                at.pop();
            }
            at.extend(rest);
            // The deepest part of the path that is a file.
            while !at.is_empty() && !modules.contains_key(&at) {
                at.pop();
            }
            let Some(target) = modules.get(&at).filter(|t| **t != file && **t != "lib.rs") else { continue };
            if !(shows && at.starts_with(&own)) {
                to.insert(target.clone());
            }
        }
    }
    arrows
}

/// The files by floors, and those that stand on none because they import each other.
fn floors(mut arrows: Arrows) -> (Vec<Vec<String>>, BTreeSet<String>) {
    let mut floors = Vec::new();
    loop {
        let present: BTreeSet<String> = arrows.keys().cloned().collect();
        let (ground, rest): (Arrows, Arrows) =
            arrows.into_iter().partition(|(_, to)| to.iter().all(|t| !present.contains(t)));
        arrows = rest;
        if ground.is_empty() {
            break;
        }
        floors.push(ground.into_keys().collect());
    }
    // What only imports from a circle is in none itself.
    loop {
        let imported: BTreeSet<String> = arrows.values().flatten().cloned().collect();
        let before = arrows.len();
        arrows.retain(|file, _| imported.contains(file));
        if arrows.len() == before {
            return (floors, arrows.into_keys().collect());
        }
    }
}

#[test]
fn no_circle_but_the_deliberate_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let all = arrows(&root);
    assert!(all.len() > 150 && all.values().map(BTreeSet::len).sum::<usize>() > 400, "the sources were not read");
    let (floors, circles) = floors(all.clone());
    for (i, floor) in floors.iter().enumerate() {
        println!("floor {i}: {}", floor.join(" "));
    }
    let inside = circles.iter().map(|file| {
        let to: Vec<_> = all[file].iter().filter(|to| circles.contains(*to)).map(String::as_str).collect();
        format!("{file} -> {}", to.join(", "))
    });
    let shown = inside.collect::<Vec<_>>().join("\n");
    assert_eq!(circles.iter().map(String::as_str).collect::<Vec<_>>(), DELIBERATE, "circles:\n{shown}");
}

/// Kernels know nothing above them, layers no model.
#[test]
fn arrows_point_down() {
    let all = arrows(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src"));
    let below = |file: &str, allowed: &[&str]| {
        for to in &all[file] {
            assert!(allowed.iter().any(|a| to.starts_with(a)), "{file} imports {to}");
        }
    };
    for file in all.keys() {
        match file.split('/').next().unwrap() {
            "error.rs" => below(file, &[]),
            "check.rs" | "state.rs" => below(file, &["error.rs"]),
            "kernels" => below(file, &["kernels/", "error.rs", "state.rs"]),
            "memory.rs" => below(file, &["error.rs"]),
            "tensor" => below(file, &["tensor/", "kernels/", "error.rs", "memory.rs"]),
            "layers" | "layer" => {
                for to in &all[file] {
                    let above = ["model/", "callbacks/", "losses/", "metrics/", "optimizers/", "data/", "io/"];
                    assert!(!above.iter().any(|a| to.starts_with(a)), "{file} imports {to}");
                }
            }
            _ => {}
        }
    }
}
