//! Who may import whom: the table of the crate docs, kept by reading each file's `crate::` paths. A single package has
//! no crate borders to do it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module may use of ours, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["app", "config"]),
    ("lib", &[]),
    ("config", &[]),
    ("clock", &[]),
    ("client", &[]),
    ("aws", &[]),
    ("event", &["aws"]),
    ("policy", &["aws"]),
    ("store", &["event", "aws"]),
    ("embedded", &["store", "aws", "clock"]),
    ("subscribers", &["embedded", "client"]),
    ("keys", &["store"]),
    ("account", &["targets"]),
    (
        "targets",
        &["embedded", "policy", "aws", "client", "clock", "config"],
    ),
    (
        "api",
        &[
            "store", "event", "policy", "targets", "keys", "clock", "aws",
        ],
    ),
    ("takers", &["event", "store"]),
    (
        "record",
        &["aws", "event", "store", "takers", "clock", "client"],
    ),
    (
        "delivery",
        &[
            "store", "event", "policy", "takers", "targets", "keys", "clock", "aws",
        ],
    ),
    (
        "worker",
        &["store", "delivery", "targets", "event", "clock"],
    ),
    (
        "http",
        &[
            "api", "record", "embedded", "policy", "takers", "aws", "clock", "config", "event",
            "store", "worker", "app",
        ],
    ),
    (
        "app",
        &[
            "account",
            "api",
            "client",
            "clock",
            "config",
            "delivery",
            "embedded",
            "http",
            "keys",
            "record",
            "store",
            "subscribers",
            "takers",
            "targets",
            "worker",
        ],
    ),
];

/// Crates that only these modules may name.
const CRATE_OWNERS: &[(&str, &[&str])] = &[
    ("sqlx::", &["store"]),
    ("axum::", &["http", "record", "app"]),
    ("s3s::", &["embedded"]),
    ("hyper_util::", &["client", "http"]),
    ("aws_lc_rs::", &["keys"]),
    (
        "tokio::",
        &[
            "clock",
            "store",
            "keys",
            "embedded",
            "subscribers",
            "targets",
            "record",
            "worker",
            "http",
            "app",
            "main",
            "api",
            "account",
        ],
    ),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// (module, path, code without tests and comments) of every source file.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    found
        .into_iter()
        .filter(|path| !path.ends_with("testing.rs") && !path.ends_with("tests.rs"))
        .map(|path| {
            let relative = path.strip_prefix(&root).unwrap();
            let first = relative
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let code: String = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            (
                first.trim_end_matches(".rs").to_owned(),
                relative.display().to_string(),
                code,
            )
        })
        .collect()
}

#[test]
fn modules_import_only_what_they_may() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        let allowed = MAY_USE.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is not in the table"));
        let used: BTreeSet<&str> = code
            .split("crate::")
            .skip(1)
            .map(|rest| {
                rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                    .next()
                    .unwrap_or_default()
            })
            .filter(|used| MAY_USE.iter().any(|(name, _)| name == used))
            .collect();
        wrong.extend(
            used.iter()
                .filter(|used| **used != module && !allowed.contains(used))
                .map(|used| format!("{path} uses {used}")),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn crates_stay_in_their_modules() {
    let mut wrong = Vec::new();
    for (module, path, code) in sources() {
        for (name, owners) in CRATE_OWNERS {
            let named = code.match_indices(name).any(|(at, _)| {
                !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if named && !owners.contains(&module.as_str()) {
                wrong.push(format!("{path} names {name}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    for path in found {
        assert!(
            std::fs::read_to_string(&path).unwrap().starts_with("//! "),
            "{} has no module doc",
            path.display()
        );
    }
}

#[test]
fn the_list_of_migrations_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let listed: Vec<String> = localtrail::store::migrations()
        .map(|(version, name)| format!("{version:04}_{name}.sql"))
        .collect();
    assert_eq!(names, listed);
}
