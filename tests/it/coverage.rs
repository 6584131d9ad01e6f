//! The table of operations and the code table against the service's model.

use std::collections::BTreeSet;

use localtrail::api::{Code, operations};
use localtrail::aws::model::Kind;
use localtrail::aws::models;

#[test]
fn every_operation_of_the_model_is_answered_or_refused_by_name() {
    let service = models().service("cloudtrail").unwrap();
    let model: BTreeSet<&str> = service
        .operations
        .iter()
        .map(|operation| &*operation.name)
        .collect();
    let ours: BTreeSet<&str> = operations()
        .names()
        .chain(operations().unsupported_names())
        .collect();
    assert_eq!(ours, model);
}

/// Operations that are answered and called by no test of this binary through the SDK. May only shrink.
const UNTESTED: &[&str] = &[];

#[test]
fn every_operation_that_is_answered_is_called_through_the_sdk() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let sources: String = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for name in operations().names() {
        let mut call = String::from(".");
        for (index, letter) in name.char_indices() {
            if index > 0 && letter.is_ascii_uppercase() {
                call.push('_');
            }
            call.push(letter.to_ascii_lowercase());
        }
        call.push_str("()");
        assert_eq!(!sources.contains(&call), UNTESTED.contains(&name), "{name}");
    }
}

#[test]
fn every_error_of_the_model_has_its_code() {
    let service = models().service("cloudtrail").unwrap();
    let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    for shape in &service.shapes {
        if let Kind::Structure(structure) = &shape.kind
            && structure.error.is_some()
        {
            assert!(codes.contains(&*shape.name), "{}", shape.name);
        }
    }
    for code in Code::ALL {
        assert!(code.status() >= 400, "{}", code.as_str());
    }
}
