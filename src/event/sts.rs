//! What STS's records have beside the parameters that were sent.

use http::request::Parts;
use serde_json::{Value, json};

use super::render::Render;
use super::s3::host;
use crate::aws::Params;
use crate::aws::model::ShapeId;
use crate::aws::saml::Assertion;

/// The endpoint that serves all regions.
const GLOBAL_HOST: &str = "sts.amazonaws.com";

/// `requestParameters`: of an identity provider's response its id and the session it asks for.
pub(super) fn request(render: &Render<'_>, input: ShapeId, params: Params) -> Params {
    let response = params.get("SAMLAssertion").and_then(Value::as_str);
    let mut record = Params::new();
    if let Some(assertion) = response.and_then(Assertion::read) {
        if !assertion.id.is_empty() {
            record.insert("sAMLAssertionID".to_owned(), assertion.id.into());
        }
        record.insert("roleSessionName".to_owned(), assertion.session.into());
    }
    record.extend(render.request(input, params));
    record
}

/// `additionalEventData`: which of its endpoints answered.
pub(super) fn additional_event_data(parts: &Parts, region: &str) -> Value {
    let endpoint = match host(parts).as_deref() {
        Some(GLOBAL_HOST) => "global",
        _ => "regional",
    };
    json!({"RequestDetails": {"endpointType": endpoint, "awsServingRegion": region}})
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::super::testing::request_parameters;

    #[test]
    fn an_assertion_is_known_by_its_id_and_its_session() {
        let response = r#"<s:Response xmlns:s="p"><a:Assertion xmlns:a="a" ID="_4bed"><a:AttributeStatement>
            <a:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName">
            <a:AttributeValue>bob@example.com</a:AttributeValue></a:Attribute>
            </a:AttributeStatement></a:Assertion></s:Response>"#;
        let role = "arn:aws:iam::111122223333:role/r";
        let asked = |response: &str| {
            let params =
                json!({"RoleArn": role, "SAMLAssertion": BASE64_STANDARD.encode(response)});
            request_parameters("sts", "AssumeRoleWithSAML", params)
        };
        assert_eq!(
            asked(response).to_string(),
            json!({"sAMLAssertionID": "_4bed", "roleSessionName": "bob@example.com", "roleArn": role})
                .to_string()
        );
        assert_eq!(asked("none"), json!({"roleArn": role}));
    }
}
