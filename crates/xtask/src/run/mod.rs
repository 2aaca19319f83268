//! What `test` and `prove` share: programs of tests are run, their results counted, and all is summed up at the end.

pub(crate) mod budget;
pub(crate) mod clusters;
pub(crate) mod crates;
pub(crate) mod harness;
pub(crate) mod kubernetes;
pub(crate) mod program;
mod report;
mod results;
pub(crate) mod settings;

pub(crate) use self::report::Report;
pub(crate) use self::results::{Outcome, Results};
pub(crate) use self::settings::Settings;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::built::root;

    fn texts(path: &Path, all: &mut Vec<(String, String)>) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().flatten().for_each(|entry| texts(&entry.path(), all));
        } else if let Ok(text) = fs::read_to_string(path) {
            all.push((path.display().to_string(), text));
        }
    }

    /// The modules at the root of this crate that a text names, by themselves or in a list.
    fn named(text: &str) -> Vec<&str> {
        let mut names = Vec::new();
        for rest in text.split("crate::").skip(1) {
            let mut depth = 0;
            let end = |char: char| {
                depth += i32::from(char == '{') - i32::from(char == '}');
                depth == 0 && !char.is_alphanumeric() && char != '_'
            };
            let path = &rest[..rest.find(end).unwrap_or(rest.len())];
            let list = path.strip_prefix('{').map_or_else(|| vec![path], |list| list.split(", ").collect());
            names.extend(list.into_iter().map(|name| name.split("::").next().unwrap_or_default()));
        }
        names
    }

    #[test]
    fn modules_are_named_by_themselves_and_in_lists() {
        assert_eq!(named("use crate::a::B;\nuse crate::{b, c::d};\ncrate::e::f()"), ["a", "b", "c", "e"]);
    }

    /// `test` uses `prove`, and both use `run`: no way leads back.
    #[test]
    fn neither_run_nor_prove_imports_what_imports_it() {
        for (part, above) in [("run", "test"), ("run", "prove"), ("prove", "test")] {
            let mut all = Vec::new();
            for path in [format!("{part}.rs"), part.to_owned()] {
                texts(&root().join("crates/xtask/src").join(path), &mut all);
            }
            assert!(all.len() > 3, "{part}: {}", all.len());
            for (name, text) in all {
                assert!(!named(&text).contains(&above), "{name} imports {above}");
            }
        }
    }
}
