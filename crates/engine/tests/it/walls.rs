//! The walls of the house, read from the `use` lines of the crates: imports run one way, and the engine's wings don't know each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const CRATES: [&str; 5] = ["api", "gates", "engine", "operator", "xtask"];
const WINGS: [&str; 3] = ["act", "measure", "record"];

/// Module to the modules that it imports, both as paths from the root of their crate: `record::draft`.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_import_runs_in_a_circle() {
    for name in CRATES {
        let imports = imports_of(name);
        assert!(imports.len() > 10, "{name} was not read");
        if let Some(circle) = circle(&imports) {
            panic!("crates/{name}/src: {}", circle.join(" → "));
        }
    }
}

/// Seen from the root of a crate each folder is one room.
#[test]
fn no_import_runs_back_into_a_room_above() {
    for name in CRATES {
        let room = |module: &String| module.split("::").next().unwrap_or_default().to_owned();
        let mut rooms = Imports::new();
        for (from, to) in imports_of(name) {
            let others = to.iter().map(room).filter(|to| *to != room(&from));
            rooms.entry(room(&from)).or_default().extend(others);
        }
        if let Some(circle) = circle(&rooms) {
            panic!("crates/{name}/src: {}", circle.join(" → "));
        }
    }
}

#[test]
fn only_the_decision_knows_the_wings_of_the_engine() {
    let wing = |module: &str| WINGS.into_iter().find(|wing| module.split("::").next() == Some(wing));
    for (from, to) in imports_of("engine") {
        for to in &to {
            let inside = wing(&from) == wing(to);
            assert!(wing(to).is_none() || inside || from == "decide", "{from} imports {to}");
        }
    }
}

/// A newcomer finds each folder's task in one list.
#[test]
fn each_folder_has_its_line_in_contributing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let folders = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        folders.map(|entry| format!("{folder}/{}", entry.file_name().to_str().unwrap())).collect::<Vec<_>>()
    };
    // What holds nothing but tests of the file beside it has its name.
    let is_room = |folder: &String| {
        let files = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        files.into_iter().any(|file| file.to_str().is_some_and(|file| file.ends_with(".rs") && file != "tests.rs"))
    };
    let of_crates = CRATES.into_iter().flat_map(|name| folders(&format!("crates/{name}/src"))).filter(is_room);
    for folder in folders("crates").into_iter().chain(folders("tests")).chain(of_crates) {
        assert!(list.contains(&format!("`{folder}`")), "CONTRIBUTING.md says nothing of {folder}");
    }
}

fn imports_of(name: &str) -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let mut files = BTreeMap::new();
    read(&root, "", &mut files);
    let modules: BTreeSet<String> = files.keys().cloned().collect();
    files
        .iter()
        .map(|(module, text)| {
            let named = paths(text).into_iter().filter_map(|path| resolved(&path, module, &modules));
            // A folder's own file names what is in it.
            let imported = named.filter(|other| other != module && !is_within(other, module)).collect();
            (module.clone(), imported)
        })
        .collect()
}

fn is_within(module: &str, folder: &str) -> bool {
    module.strip_prefix(folder).is_some_and(|rest| rest.starts_with("::"))
}

/// Each module's text, without its tests.
fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let module = if prefix.is_empty() { stem.to_owned() } else { format!("{prefix}::{stem}") };
        if path.is_dir() {
            read(&path, &module, files);
        } else if path.extension().is_some_and(|is| is == "rs") && !matches!(stem, "lib" | "main" | "tests") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let text = text.split("#[cfg(test)]\npub(crate) mod tests").next().unwrap_or_default();
            files.insert(if stem == "mod" { prefix.to_owned() } else { module }, text.to_owned());
        }
    }
}

/// The paths that a text imports, one by one. What it only hands on is no import.
fn paths(text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let starts_a_line = rest[..at].chars().next_back().is_none_or(|before| before == '\n');
        let (item, after) = rest[at + 4..].split_once(';').unwrap_or((&rest[at + 4..], ""));
        if starts_a_line {
            flatten("", item, &mut paths);
            rest = after;
        } else {
            rest = &rest[at + 4..];
        }
    }
    paths
}

fn flatten(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, body)) = tree.split_once('{') else {
        paths.push(format!("{prefix}{tree}"));
        return;
    };
    let (prefix, body) = (format!("{prefix}{head}"), body.trim_end().strip_suffix('}').unwrap_or(body));
    let (mut depth, mut start) = (0, 0);
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                flatten(&prefix, &body[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !body[start..].trim().is_empty() {
        flatten(&prefix, &body[start..], paths);
    }
}

/// The module that a path leads to, if it is one of this crate.
fn resolved(path: &str, from: &str, modules: &BTreeSet<String>) -> Option<String> {
    let parent = |module: &str| module.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned());
    let mut base = String::new();
    let mut rest = path;
    if let Some(in_crate) = rest.strip_prefix("crate::") {
        rest = in_crate;
    } else if rest.starts_with("super::") {
        base = from.to_owned();
        while let Some(above) = rest.strip_prefix("super::") {
            (base, rest) = (parent(&base), above);
        }
    } else {
        base = from.to_owned();
    }
    let mut found = modules.contains(&base).then(|| base.clone());
    for segment in rest.split("::") {
        base = if base.is_empty() { segment.to_owned() } else { format!("{base}::{segment}") };
        if modules.contains(&base) {
            found = Some(base.clone());
        }
    }
    found.filter(|found| !found.is_empty())
}

/// A way from a module back to it.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn visit(module: &str, imports: &Imports, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
        if let Some(begin) = way.iter().position(|known| known == module) {
            return Some([&way[begin..], &[module.to_owned()]].concat());
        }
        if done.contains(module) {
            return None;
        }
        way.push(module.to_owned());
        let found = imports.get(module).into_iter().flatten().find_map(|next| visit(next, imports, way, done));
        way.pop();
        done.insert(module.to_owned());
        found
    }
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}
