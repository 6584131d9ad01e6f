//! API Gateway's first API: the body stands under `<operation>Input`, beside what the URI says.

use serde_json::Value;

use super::render::Render;
use super::values::{blob_text, lower_first};
use crate::aws::Params;
use crate::aws::model::{Location, Operation};

/// `requestParameters`
pub(super) fn request(render: &Render<'_>, operation: &Operation, mut params: Params) -> Params {
    let structure = operation
        .input
        .and_then(|input| Some((input, render.service.structure(input)?)));
    let Some((input, structure)) = structure else {
        return Params::new();
    };
    // An imported definition is text and stands as it came.
    let payload = structure.payload.and_then(|it| structure.members.get(it));
    let text = payload.and_then(|payload| params.shift_remove(&*payload.name));
    let (body, mut beside): (Params, Params) = params.into_iter().partition(|(name, _)| {
        payload.is_none()
            && structure
                .member(name)
                .is_some_and(|member| member.location == Location::Body)
    });
    let shape = render.service.shape(input);
    beside = render.members(shape, beside);
    if let (Some(payload), Some(Value::String(text))) = (payload, text) {
        beside.insert(payload.name.to_string(), blob_text(text));
    }
    if !body.is_empty() {
        let name = lower_first(format!("{}Input", operation.name));
        beside.insert(name, Value::Object(render.members(shape, body)));
    }
    beside.insert("template".to_owned(), false.into());
    beside
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::request_parameters;

    #[test]
    fn the_body_stands_under_the_operations_input() {
        for (operation, params, expected) in [
            (
                "DeleteRestApi",
                json!({"restApiId": "r"}),
                json!({"restApiId": "r", "template": false}),
            ),
            (
                "CreateRestApi",
                json!({"name": "n", "endpointConfiguration": {"types": ["EDGE"]}}),
                json!({"createRestApiInput": {"name": "n", "endpointConfiguration": {"types": ["EDGE"]}},
                       "template": false}),
            ),
            (
                "UpdateStage",
                json!({"restApiId": "r", "stageName": "s",
                       "patchOperations": [{"op": "replace", "path": "/a", "value": "b"}]}),
                json!({"restApiId": "r", "stageName": "s", "updateStageInput": {
                       "patchOperations": [{"op": "replace", "path": "/a", "value": "b"}]}, "template": false}),
            ),
            (
                "ImportRestApi",
                json!({"failOnWarnings": false, "body": "e30="}),
                json!({"failOnWarnings": false, "body": "{}", "template": false}),
            ),
        ] {
            assert_eq!(
                request_parameters("apigateway", operation, params),
                expected,
                "{operation}"
            );
        }
    }
}
