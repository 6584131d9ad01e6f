//! SSE-KMS: the key is found and checked, and files are written with it.

use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use chrono::TimeDelta;
use serde_json::json;

use crate::support::TestApp;
use crate::support::stub::{Stub, error};

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ALIAS: &str = "arn:aws:kms:us-east-1:111122223333:alias/trails";

/// A KMS with an enabled key, which has an alias, and others that will not do.
async fn service() -> Stub {
    Stub::start(|call| {
        let id = call.input["KeyId"].as_str().unwrap();
        let key = |arn: &str, state: &str, spec: &str| {
            let metadata = json!({ "Arn": arn, "Enabled": state == "Enabled", "KeyState": state, "KeySpec": spec });
            (200, json!({ "KeyMetadata": metadata }))
        };
        match (call.operation.as_str(), id.rsplit(':').next().unwrap()) {
            ("GenerateDataKeyWithoutPlaintext", "key/mine") => error("AccessDeniedException"),
            ("GenerateDataKeyWithoutPlaintext", _) => (200, json!({})),
            (_, "alias/trails") => key(KEY, "Enabled", "SYMMETRIC_DEFAULT"),
            (_, "alias/off") => key(KEY, "Disabled", "SYMMETRIC_DEFAULT"),
            (_, "alias/rsa") => key(KEY, "Enabled", "RSA_2048"),
            (_, "alias/mine") => key(&KEY.replace(ID, "mine"), "Enabled", "SYMMETRIC_DEFAULT"),
            (_, "alias/away") => (503, json!({})),
            (_, "alias/secret") => error("AccessDeniedException"),
            (_, resource) if resource.ends_with(ID) => key(id, "Enabled", "SYMMETRIC_DEFAULT"),
            _ => error("NotFoundException"),
        }
    })
    .await
}

#[tokio::test]
async fn every_form_of_a_key_becomes_the_arn_of_the_key() {
    let kms = service().await;
    let app = TestApp::with(&format!("--kms-endpoint {}", kms.url)).await;
    let sdk = app.logging_trail().await;
    for given in [ID, KEY, ALIAS, "alias/trails"] {
        let set = sdk
            .update_trail()
            .name("main")
            .kms_key_id(given)
            .send()
            .await;
        assert_eq!(set.unwrap().kms_key_id(), Some(KEY), "{given}");
    }
    let asked = kms.take("GenerateDataKeyWithoutPlaintext");
    assert_eq!(
        asked[0].input["EncryptionContext"],
        json!({ "aws:cloudtrail:arn": "arn:aws:cloudtrail:us-east-1:111122223333:trail/main" })
    );
    app.advance(TimeDelta::minutes(5)).await;
    let (key, _) = app.log_files("logs").await.remove(0);
    let (headers, _) = app.object("logs", &key).await;
    assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
    assert_eq!(headers["x-amz-server-side-encryption-aws-kms-key-id"], KEY);
}

#[tokio::test]
async fn a_key_that_will_not_do_is_refused() {
    let kms = service().await;
    let app = TestApp::with(&format!("--kms-endpoint {}", kms.url)).await;
    let sdk = app.logging_trail().await;
    let not_found = "KmsKeyNotFoundException";
    let elsewhere = KEY.replace("us-east-1", "eu-west-1");
    for (given, code) in [
        ("alias/nope", not_found),
        (elsewhere.as_str(), not_found),
        ("alias/off", "KmsKeyDisabledException"),
        ("alias/rsa", "InvalidKmsKeyIdException"),
        ("my key", "InvalidKmsKeyIdException"),
        ("alias/secret", "InsufficientEncryptionPolicyException"),
        ("alias/mine", "InsufficientEncryptionPolicyException"),
        ("alias/away", "ServiceUnavailable"),
    ] {
        let set = sdk.update_trail().name("main").kms_key_id(given).send();
        let error = set.await.unwrap_err().into_service_error();
        assert_eq!(error.code(), Some(code), "{given}: {error:?}");
        if code == "InsufficientEncryptionPolicyException" {
            let text = "Insufficient permissions to access S3 bucket logs or KMS key arn:aws:kms:us-east-1:";
            assert!(error.message().unwrap().starts_with(text), "{error:?}");
        }
    }
}

#[tokio::test]
async fn without_a_kms_only_the_form_counts_and_an_alias_is_nobodys() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let set = sdk.update_trail().name("main").kms_key_id(ID).send().await;
    assert_eq!(set.unwrap().kms_key_id(), Some(KEY));
    for given in ["alias/trails", ALIAS] {
        let set = sdk.update_trail().name("main").kms_key_id(given).send();
        let error = set.await.unwrap_err().into_service_error();
        assert!(error.is_kms_key_not_found_exception(), "{error:?}");
    }
}
