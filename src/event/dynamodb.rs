//! DynamoDB's requests of several parts: all of them are `requestItems`.
//!
//! DynamoDB Developer Guide, "Logging DynamoDB operations by using AWS CloudTrail". What the key of an item that is put
//! is, its request does not tell.

use serde_json::{Value, json};

use super::render::Render;
use super::values::upper_first;
use crate::aws::Params;
use crate::aws::model::{Operation, ShapeId};

/// `requestParameters`
pub(super) fn request(
    render: &Render<'_>,
    operation: &Operation,
    input: ShapeId,
    params: Params,
) -> Params {
    let record = render.request(input, params);
    let parts = match &*operation.name {
        "BatchExecuteStatement" => "statements",
        "TransactGetItems" | "TransactWriteItems" => "transactItems",
        _ => return record,
    };
    let renamed = record.into_iter().map(|(name, value)| match value {
        Value::Array(items) if name == parts => {
            let items = items.into_iter().map(part).collect();
            ("requestItems".to_owned(), items)
        }
        value => (name, value),
    });
    renamed.collect()
}

/// `{"put":{"tableName":…,"item":[…]}}` → `{"operation":"Put","tableName":…,"items":[…]}`; a statement stays.
fn part(part: Value) -> Value {
    let Value::Object(part) = part else {
        return part;
    };
    let mut members = Params::new();
    for (name, value) in part {
        let Value::Object(inner) = value else {
            members.insert(name, value);
            continue;
        };
        members.insert("operation".to_owned(), json!(upper_first(&name)));
        members.extend(inner.into_iter().map(|(name, value)| match &*name {
            "item" => ("items".to_owned(), value),
            _ => (name, value),
        }));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::request_parameters;

    #[test]
    fn the_parts_of_a_request_are_request_items() {
        let item = json!({"Artist": {"S": "a"}, "Year": {"N": "1"}});
        let key = json!({"Artist": {"S": "a"}});
        for (operation, params, expected) in [
            (
                "TransactWriteItems",
                json!({
                    "TransactItems": [
                        {"Put": {"TableName": "Music", "Item": item}},
                        {"Delete": {"TableName": "Music", "Key": key, "ConditionExpression": "#A = :a"}},
                    ],
                    "ReturnConsumedCapacity": "TOTAL",
                }),
                json!({
                    "requestItems": [
                        {"operation": "Put", "tableName": "Music", "items": ["Artist", "Year"]},
                        {"operation": "Delete", "tableName": "Music", "key": {"Artist": "a"},
                         "conditionExpression": "#A = :a"},
                    ],
                    "returnConsumedCapacity": "TOTAL",
                }),
            ),
            (
                "TransactGetItems",
                json!({"TransactItems": [{"Get": {"TableName": "Music", "Key": key}}]}),
                json!({"requestItems": [{"operation": "Get", "tableName": "Music", "key": {"Artist": "a"}}]}),
            ),
            (
                "BatchExecuteStatement",
                json!({"Statements": [{"Statement": "UPDATE Music SET Album = 'x'"}]}),
                json!({"requestItems": [{"statement": "UPDATE Music SET Album = ***(Redacted)"}]}),
            ),
        ] {
            assert_eq!(request_parameters("dynamodb", operation, params), expected);
        }
    }
}
