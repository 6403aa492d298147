//! The picture of modules: no file of `src/` imports another in a circle, but for the ties that [`DELIBERATE`] names.
//!
//! `cargo test --release -p gradus-tests --test it rooms` checks it; with `-- --nocapture` it prints the floors, from the files
//! that import nothing up. An import counts for the file that defines what is imported, through every `pub use` on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Imports that close a circle on purpose: the file, and what its imports begin with.
const DELIBERATE: [(&str, &[&str]); 9] = [
    // A trait whose provided methods make its adaptors, as std's `Iterator`.
    ("data/source.rs", &["data/augment.rs", "data/pipeline/"]),
    // `Layer::config` returns an entry of the list of all layers, each of which is a `Layer` with a `config`.
    ("layer/mod.rs", &["layers/config.rs"]),
    ("layers/config.rs", &["layers/"]),
    // `Op::config` likewise.
    ("layer/op.rs", &["layers/op_config.rs"]),
    ("layers/op_config.rs", &["layers/"]),
    // A `config` returns an entry of the list of all classes of its kind, each of which has a `config`.
    ("losses/config.rs", &["losses/"]),
    ("metrics/config.rs", &["metrics/"]),
    ("optimizers/config.rs", &["optimizers/"]),
    ("schedules/config.rs", &["schedules/"]),
];

/// The crate's doors, and what has everything compiled: they stand outside the house.
const OUTSIDE: [&str; 3] = ["lib.rs", "prelude.rs", "instances.rs"];

/// The path of a module or of what stands in it, from the crate's root.
type Place = Vec<String>;
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

/// The text of every file by its path below `src/`.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut all = Vec::new();
    files(&root, &mut all);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    all.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The path of a module: `["kernels", "gemm"]` for `kernels/gemm.rs`, `["kernels"]` for `kernels/mod.rs`.
fn module(file: &str) -> Place {
    let mut parts: Place = file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// Names, `::` and single signs, without comments, strings, and the file's own tests.
fn tokens(text: &str) -> Vec<&str> {
    let mut rest = &text[..text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len())];
    let mut out = Vec::new();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(first) = rest.chars().next() {
        let raw =
            rest.strip_prefix('r').map(|r| (r.len() - r.trim_start_matches('#').len(), r.trim_start_matches('#')));
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some((hashes, text)) = raw.filter(|(_, text)| text.starts_with('"')) {
            let end = format!("\"{}", "#".repeat(hashes));
            1 + hashes + 1 + text[1..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.unwrap() + 2
        } else if let Some(letter) = rest.strip_prefix('\'').filter(|r| r.starts_with('\\')) {
            // '\'' and '\u{1f}'; the sign behind the backslash is no end.
            3 + letter[2..].find('\'').unwrap() + 1
        } else if first == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.chars().take(3).map(char::len_utf8).sum()
        } else if is_name(first) || rest.starts_with("::") {
            let len = if first == ':' { 2 } else { rest.find(|c: char| !is_name(c)).unwrap_or(rest.len()) };
            out.push(&rest[..len]);
            len
        } else {
            let len = first.len_utf8();
            if !first.is_whitespace() {
                out.push(&rest[..len]);
            }
            len
        };
        rest = &rest[len..];
    }
    out
}

/// A path in a file, and the name that it gets there.
#[derive(Debug, PartialEq)]
struct Mention {
    path: Place,
    name: String,
    /// Whether it stands in a `pub use`.
    shown: bool,
}

/// The paths of a `use`, with groups taken apart.
fn tree(tokens: &[&str], at: &mut usize, head: &[String], shown: bool, out: &mut Vec<Mention>) {
    let mut path = head.to_vec();
    loop {
        match tokens[*at] {
            "{" => {
                *at += 1;
                while tokens[*at] != "}" {
                    tree(tokens, at, &path, shown, out);
                    *at += usize::from(tokens[*at] == ",");
                }
                *at += 1;
                return;
            }
            // From the list of all crates.
            "::" => path.push(String::new()),
            name => {
                path.push(name.to_owned());
                if tokens[*at + 1] == "::" {
                    *at += 2;
                    continue;
                }
                if name == "self" && path.len() > 1 {
                    path.pop();
                }
                let mut name = path.last().unwrap().clone();
                if tokens[*at + 1] == "as" {
                    name = tokens[*at + 2].to_owned();
                    *at += 2;
                }
                out.push(Mention { path, name, shown });
                *at += 1;
                return;
            }
        }
        *at += 1;
    }
}

/// Every path of two names and more, in `use` and elsewhere, and what the file defines.
fn read(text: &str) -> (Vec<Mention>, BTreeSet<String>) {
    let tokens = tokens(text);
    let (mut out, mut items, mut depth, mut at) = (Vec::new(), BTreeSet::new(), 0, 0);
    while at < tokens.len() {
        let before = if at == 0 { "" } else { tokens[at - 1] };
        match tokens[at] {
            "{" => depth += 1,
            "}" => depth -= 1,
            // Not the `use<…>` of a return type.
            "use" if tokens[at + 1] != "<" => {
                let visible = before == "pub" || before == ")" && tokens[..at].iter().rev().nth(3) == Some(&"pub");
                at += 1;
                tree(&tokens, &mut at, &[], visible, &mut out);
                continue;
            }
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" if depth == 0 => {
                items.insert(tokens[at + 1].to_owned());
            }
            "macro_rules" => {
                items.insert(tokens[at + 2].to_owned());
            }
            name if name.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && !["::", "$", "."].contains(&before) =>
            {
                let mut path = vec![name.to_owned()];
                while tokens.get(at + 1) == Some(&"::")
                    && tokens.get(at + 2).is_some_and(|t| t.starts_with(|c: char| c.is_alphabetic() || c == '_'))
                {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                if let [_, .., last] = &path[..] {
                    out.push(Mention { name: last.clone(), path, shown: false });
                }
            }
            _ => {}
        }
        at += 1;
    }
    (out, items)
}

/// All modules, and what they show of others.
struct House {
    files: BTreeMap<Place, String>,
    mentions: BTreeMap<Place, Vec<Mention>>,
    items: BTreeMap<Place, BTreeSet<String>>,
}

impl House {
    fn new(sources: &BTreeMap<String, String>) -> Self {
        let mut house = House { files: BTreeMap::new(), mentions: BTreeMap::new(), items: BTreeMap::new() };
        for (file, text) in sources {
            let (mentions, items) = read(text);
            house.files.insert(module(file), file.clone());
            house.mentions.insert(module(file), mentions);
            house.items.insert(module(file), items);
        }
        house
    }

    /// A path that stands in the module `own`, from the crate's root; none for another crate's.
    fn place(&self, own: &Place, path: &[String]) -> Option<Place> {
        let mut at = match path[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => own.clone(),
            child => {
                let inside = [&own[..], &[child.to_owned()]].concat();
                return self.files.contains_key(&inside).then(|| [&own[..], path].concat());
            }
        };
        let mut rest = path.iter().skip_while(|p| *p == "crate" || *p == "self").peekable();
        while rest.next_if(|p| *p == "super").is_some() {
            at.pop();
        }
        at.extend(rest.cloned());
        Some(at)
    }

    /// The module that defines what stands at a place.
    fn definition(&self, place: &[String], depth: usize) -> Place {
        let mut at = Vec::new();
        for (i, name) in place.iter().enumerate() {
            let inside = [&at[..], std::slice::from_ref(name)].concat();
            if self.files.contains_key(&inside) {
                at = inside;
                continue;
            }
            if depth == 0 || name == "*" || self.items[&at].contains(name) {
                break;
            }
            for door in self.mentions[&at].iter().filter(|m| m.shown) {
                let Some(mut shown) = self.place(&at, &door.path) else { continue };
                if door.name == *name && shown[..] != place[..=i] {
                    shown.extend_from_slice(&place[i + 1..]);
                    return self.definition(&shown, depth - 1);
                }
                if door.name == "*" {
                    shown.pop();
                    let shown = self.definition(&shown, depth - 1);
                    if self.items[&shown].contains(name) {
                        return shown;
                    }
                }
            }
            break;
        }
        at
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (own, file) in self.files.iter().filter(|(_, file)| !OUTSIDE.contains(&file.as_str())) {
            let to = arrows.entry(file.clone()).or_default();
            for mention in &self.mentions[own] {
                let Some(place) = self.place(own, &mention.path) else { continue };
                let target = self.definition(&place, 8);
                // A module that shows what stands below it opens a door and does not walk through it.
                let door = mention.shown && target.starts_with(own);
                let target = &self.files[&target];
                if !door && target != file && !OUTSIDE.contains(&target.as_str()) {
                    to.insert(target.clone());
                }
            }
        }
        arrows
    }
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

/// `all` without the ties in `cut`.
fn without(all: &Arrows, cut: &[(&str, &[&str])]) -> Arrows {
    let mut arrows = all.clone();
    for (file, targets) in cut {
        arrows.get_mut(*file).unwrap().retain(|to| !targets.iter().any(|t| to.starts_with(t)));
    }
    arrows
}

#[test]
fn no_circle_but_the_deliberate_ones() {
    let all = House::new(&sources()).arrows();
    assert!(all.len() > 150 && all.values().map(BTreeSet::len).sum::<usize>() > 1000, "the sources were not read");
    let (floors_of, circles) = floors(without(&all, &DELIBERATE));
    for (i, floor) in floors_of.iter().enumerate() {
        println!("floor {i}: {}", floor.join(" "));
    }
    let inside = circles.iter().map(|file| {
        let to: Vec<_> = all[file].iter().filter(|to| circles.contains(*to)).map(String::as_str).collect();
        format!("{file} -> {}", to.join(", "))
    });
    let shown = inside.collect::<Vec<_>>().join("\n");
    assert!(circles.is_empty(), "circles:\n{shown}");
    // Each tie is one: without it there is no circle, with it there is.
    for (i, tie) in DELIBERATE.iter().enumerate() {
        let others: Vec<_> = DELIBERATE.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, t)| *t).collect();
        assert!(floors(without(&all, &others)).1.contains(tie.0), "{} is in no circle any more", tie.0);
    }
}

/// Kernels know nothing above them, layers no model, losses and optimizers no layers.
#[test]
fn arrows_point_down() {
    let all = House::new(&sources()).arrows();
    let below = |file: &str, allowed: &[&str]| {
        for to in &all[file] {
            assert!(allowed.iter().any(|a| to.starts_with(a)), "{file} imports {to}");
        }
    };
    let not = |file: &str, above: &[&str]| {
        for to in &all[file] {
            assert!(!above.iter().any(|a| to.starts_with(a)), "{file} imports {to}");
        }
    };
    for file in all.keys() {
        match file.split('/').next().unwrap() {
            "error.rs" | "bf16.rs" => below(file, &[]),
            // What memory is made of.
            "kernels" if file == "kernels/pages.rs" => below(file, &[]),
            "aligned.rs" => below(file, &["kernels/pages.rs"]),
            "check.rs" | "state.rs" => below(file, &["error.rs", "bf16.rs"]),
            "kernels" => below(file, &["kernels/", "error.rs", "state.rs", "bf16.rs", "aligned.rs", "memory.rs"]),
            "memory.rs" => below(file, &["error.rs", "aligned.rs", "kernels/pages.rs"]),
            "tensor" => below(file, &["tensor/", "kernels/", "error.rs", "memory.rs", "aligned.rs"]),
            "layers" | "layer" => {
                not(file, &["model/", "callbacks/", "losses/", "metrics/", "optimizers/", "data/", "io/"]);
            }
            "losses" | "metrics" | "optimizers" | "schedules" => {
                not(file, &["model/", "callbacks/", "layer", "data/", "io/"]);
            }
            _ => {}
        }
    }
}

fn house(sources: &[(&str, &str)]) -> House {
    House::new(&sources.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
}

/// Ways to write an import that a look at `crate::` and `super::` alone does not find.
#[test]
fn every_way_to_import_is_seen() {
    let (mentions, items) = read(
        "use self::a::{b::{C, D as E}, self};\n// use no::comment;\npub(super) use super::f::*; fn g<'a>() -> char { let _ = \
         (\"no::string \\\" {\", r#\"no::raw \"#, '\"', '\\'', '{'); h::i(); x.no::<u8>(); j::<k::L>::m; '}' }\n#[cfg(test)]\nmod \
         tests { use no::more; }",
    );
    let mention = |path: &str, name: &str, shown: bool| {
        let path = path.split("::").map(str::to_owned).collect();
        Mention { path, name: name.to_owned(), shown }
    };
    let expected = [
        mention("self::a::b::C", "C", false),
        mention("self::a::b::D", "E", false),
        mention("self::a", "a", false),
        mention("super::f::*", "*", true),
        mention("h::i", "i", false),
        mention("k::L", "L", false),
    ];
    assert_eq!((&mentions[..], items), (&expected[..], BTreeSet::from(["g".to_owned()])));

    let circle = |sources: &[(&str, &str)]| floors(house(sources).arrows()).1.into_iter().collect::<Vec<_>>();
    let both = ["a/b.rs", "a/mod.rs"];
    // Through `self::`, the bare name of a child, a nested group, a path outside of `use`.
    for parent in ["use self::b::B;", "use b::B;", "use crate::{c::D, a::{b::{B}}};", "fn f() { b::g() }"] {
        let sources = [
            ("a/mod.rs", parent),
            ("a/b.rs", "use super::A; pub struct B;"),
            ("c.rs", "pub struct D;"),
            ("lib.rs", ""),
        ];
        assert_eq!(circle(&sources), both, "{parent}");
    }
    // A door alone closes none; what is fetched through one counts where it is defined, by name, by another name or with all.
    assert!(circle(&[("a/mod.rs", "pub use self::b::B;"), ("a/b.rs", "use super::A;"), ("lib.rs", "")]).is_empty());
    for (door, name) in [("pub use b::B;", "B"), ("pub use b::B as C;", "C"), ("pub(crate) use b::*;", "B")] {
        for from in ["a", "self"] {
            let import = format!("use crate::{}{name};", if from == "a" { "a::" } else { "" });
            let lib = format!("mod a; pub use a::{name};");
            let sources =
                [("a/mod.rs", door), ("a/b.rs", "use crate::c::D; pub struct B;"), ("c.rs", &import), ("lib.rs", &lib)];
            assert_eq!(circle(&sources), ["a/b.rs", "c.rs"], "{door} {import}");
        }
    }
}
