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
