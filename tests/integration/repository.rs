//! The repository's files, as text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file's text, by its path from the root.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails if a generated file is not current, and writes the current one into target.
pub(crate) fn assert_generated(path: &str, current: &str) {
    if fs::read_to_string(root().join(path)).is_ok_and(|stored| stored == current) {
        return;
    }
    let fresh = format!("target/{}", Path::new(path).file_name().unwrap().to_str().unwrap());
    fs::create_dir_all(root().join("target")).unwrap();
    fs::write(root().join(&fresh), current).unwrap();
    panic!("{path} is not current. Look at {fresh}, then: mv {fresh} {path}");
}

/// Every file with this extension below a folder, as paths from the root, in order.
pub(crate) fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(from_root(&path));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file below {folder}");
    found
}

fn from_root(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// One of our Rust files, cut to what a rule is about.
pub(crate) struct Source {
    /// From the root.
    pub(crate) path: String,
    /// The whole.
    pub(crate) text: String,
    /// What goes into the function: neither comments nor the inline module of tests.
    pub(crate) code: String,
    /// Whether the file is compiled for tests only.
    pub(crate) is_test: bool,
}

impl Source {
    /// Whether it is this module's file, or one in its folder: `src/pool.rs` and `src/pool/` for `pool`.
    pub(crate) fn is_in(&self, module: &str) -> bool {
        self.path == format!("src/{module}.rs") || self.path.starts_with(&format!("src/{module}/"))
    }

    /// Whether the code names this crate, module or path, as a whole word before `::`.
    pub(crate) fn names(&self, path: &str) -> bool {
        let path = format!("{path}::");
        self.code.match_indices(&path).any(|(at, _)| {
            let before = self.code.split_at(at).0.chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    }

    /// The modules of this crate that the code names, from any depth by `crate::`, and from the root by `super::`.
    pub(crate) fn modules(&self) -> BTreeSet<String> {
        let is_at_root = self.path.matches('/').count() == 1;
        let heads: &[&str] = if is_at_root {
            &["crate::", "super::", "github_runner_pool::"]
        } else {
            &["crate::", "github_runner_pool::"]
        };
        let mut modules = BTreeSet::new();
        for head in heads {
            for (at, _) in self.code.match_indices(head) {
                let rest = self.code.split_at(at + head.len()).1;
                let grouped = rest.strip_prefix('{').map(|group| group.split('}').next().unwrap_or_default());
                let names: Vec<&str> = grouped.map_or_else(|| vec![rest], |group| group.split(',').collect());
                modules.extend(names.iter().map(|name| {
                    name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
                }));
            }
        }
        modules
    }
}

/// The paths of this crate that a `use` or an expression of the code names, absolute, such as `pool::model::time::Timestamp`.
fn named_paths(source: &Source) -> BTreeSet<Vec<String>> {
    let module = module_of(&source.path);
    let mut found = BTreeSet::new();
    for (head, base) in [
        ("crate::", Vec::new()),
        ("self::", module.clone()),
        ("super::", module.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default()),
    ] {
        for (at, _) in source.code.match_indices(head) {
            let (before, rest) = source.code.split_at(at);
            if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            expand(base.clone(), rest.split_at(head.len()).1, &mut found);
        }
    }
    found
}

/// The paths that a tree of a `use` names: `a::{b, c::d}` names `a::b` and `a::c::d`.
fn expand(mut base: Vec<String>, mut rest: &str, found: &mut BTreeSet<Vec<String>>) {
    loop {
        if let Some(up) = rest.strip_prefix("super::") {
            base.pop();
            rest = up;
            continue;
        }
        if let Some(group) = rest.strip_prefix('{') {
            for item in items(group) {
                expand(base.clone(), item, found);
            }
            return;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() && name != "self" {
            base.push(name.to_owned());
        }
        match after.strip_prefix("::") {
            Some(more) if !name.is_empty() => rest = more,
            _ => break,
        }
    }
    found.insert(base);
}

/// The items of a group, up to its closing brace.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut items) = (0_i32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(group.split_at(at).0.split_at(begin).1.trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(group.split_at(at).0.split_at(begin).1.trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.is_empty());
    items
}

/// The module that a file is: `pool::model::time` for `src/pool/model/time.rs`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    path.trim_start_matches("src/").trim_end_matches(".rs").split('/').map(str::to_owned).collect()
}

/// For each file of the function, the other files that it names, by their modules. A file that only declares another one
/// as its module does not name it.
pub(crate) fn files_named() -> Vec<(String, BTreeSet<String>)> {
    let sources = production();
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| module_of(&source.path)).collect();
    let file_of = |path: &[String]| {
        (1..=path.len())
            .rev()
            .find_map(|n| path.get(..n).filter(|head| modules.contains(*head)))
            .map(|it| it.join("::"))
    };
    sources
        .iter()
        .map(|source| {
            let module = module_of(&source.path).join("::");
            let named =
                named_paths(source).iter().filter_map(|path| file_of(path)).filter(|it| *it != module).collect();
            (module, named)
        })
        .collect()
}

/// Every Rust file of the function, the tests beside its code included.
pub(crate) fn sources() -> Vec<Source> {
    let read = |path: String| {
        let text = text(&path);
        Source { code: code(&text), path, text, is_test: false }
    };
    let mut sources: Vec<Source> = files("src", "rs").into_iter().map(read).collect();
    let modules_of_tests: Vec<String> = sources.iter().flat_map(modules_of_tests).collect();
    for source in &mut sources {
        source.is_test = modules_of_tests.iter().any(|module| source.is_in(module));
    }
    sources
}

/// The files that go into the function.
pub(crate) fn production() -> Vec<Source> {
    sources().into_iter().filter(|source| !source.is_test).collect()
}

/// The modules in files of their own that a file declares for tests only.
fn modules_of_tests(source: &Source) -> Vec<String> {
    let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    let folder = if path == "lib" || path == "main" { String::new() } else { format!("{path}/") };
    let declared = source.text.split("#[cfg(test)]\n").skip(1);
    // Another attribute may stand between the two.
    let items = declared.filter_map(|rest| rest.lines().find(|line| !line.starts_with("#[")));
    let names = items.filter_map(|item| item.split_once("mod ")?.1.strip_suffix(';'));
    names.map(|name| format!("{folder}{name}")).collect()
}

/// The text without comments and without the inline module of tests, which is a file's last item.
fn code(text: &str) -> String {
    let inline_tests = text.match_indices("#[cfg(test)]\n").find(|(at, head)| {
        let item = text.split_at(at + head.len()).1;
        let line = item.lines().next().unwrap_or_default();
        line.contains("mod ") && line.ends_with('{')
    });
    let until = inline_tests.map_or(text.len(), |(at, _)| at);
    let mut code = String::new();
    for line in text.split_at(until).0.lines().filter(|line| !line.trim_start().starts_with("//")) {
        // A comment behind code; `//` right behind a colon is a URL in a literal.
        let line = line.split_once(" // ").map_or(line, |(before, _)| before);
        code.push_str(line);
        code.push('\n');
    }
    code
}

#[test]
fn code_is_what_is_left_without_comments_and_tests() {
    let text = "//! Head.\nuse a::b; // why\n/// Doc of c::d.\nlet url = \"https://x\";\n#[cfg(test)]\nmod tests {\n    e::f();\n}\n";
    assert_eq!(code(text), "use a::b;\nlet url = \"https://x\";\n");
}

#[test]
fn a_path_is_named_as_a_whole_word_only() {
    let source =
        |code: &str| Source { path: "src/x.rs".to_owned(), text: String::new(), code: code.to_owned(), is_test: false };
    assert!(source("use http::Method;").names("http"));
    assert!(!source("use aws_http::Method; use crate::http::Client;").names("http"));
    let grouped = source("use crate::{pool::spec, aws};\nuse super::github::x;").modules();
    assert_eq!(grouped.into_iter().collect::<Vec<_>>(), ["aws", "github", "pool"]);
}

#[test]
fn a_file_is_of_tests_if_it_is_declared_so() {
    let sources = sources();
    let is_test = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.is_test);
    assert_eq!(is_test("src/pool/tests/support.rs"), Some(true));
    assert_eq!(is_test("src/pool/tests.rs"), Some(true));
    assert_eq!(is_test("src/pool/policy.rs"), Some(false));
}
