//! The shapes of `docs/sign-in` and `docs/service-events`, posted as they stand: found by LookupEvents, delivered in
//! AWS's order, with the members that AWS writes.

use std::path::PathBuf;

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use serde_json::{Value, json};

use crate::support::{REGION, START, TestApp};

/// What is known of a shape, apart from what it says itself.
struct Shape {
    file: &'static str,
    username: Option<&'static str>,
    /// Members of `userIdentity`, in their order.
    identity: &'static str,
    response: Value,
    /// Members of `additionalEventData`, in their order; empty where there is none.
    additional: &'static str,
    error: Option<&'static str>,
}

const FRAME: &[&str] = &[
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "apiVersion",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "serviceEventDetails",
    "vpcEndpointId",
    "eventCategory",
    "tlsDetails",
    "sessionCredentialFromConsole",
];

const BEFORE: &str = "type principalId accountId accessKeyId userName";
const ROOT: &str = "type principalId arn accountId accessKeyId";
const USER: &str = "type principalId arn accountId userName";
const SESSION: &str = "type principalId arn accountId accessKeyId sessionContext";
const IN_ROLE: &str = "type principalId arn accountId";
const LOGIN: &str = "LoginTo MobileVersion MFAUsed";
const LOGIN_MFA: &str = "LoginTo MobileVersion MFAUsed MFAIdentifier";
const FEDERATED_LOGIN: &str = "MobileVersion MFAUsed";
const FAILED: Option<&str> = Some("Failed authentication");

fn shape(
    file: &'static str,
    username: &'static str,
    identity: &'static str,
    response: (&str, &str),
    additional: &'static str,
) -> Shape {
    Shape {
        file,
        username: Some(username),
        identity,
        response: json!({response.0: response.1}),
        additional,
        error: None,
    }
}

fn shapes() -> Vec<Shape> {
    let login = ("ConsoleLogin", "Success");
    let failure = ("ConsoleLogin", "Failure");
    let failed = |error, shape| Shape { error, ..shape };
    let mut signin_token = shape(
        "get-signin-token",
        "carol",
        SESSION,
        ("GetSigninToken", "Success"),
        FEDERATED_LOGIN,
    );
    signin_token.response = json!({"credentials": {"accessKeyId": "ASIAEXAMPLEKEY000001"}, "GetSigninToken": "Success"});
    vec![
        shape("console-login-root", "root", ROOT, login, LOGIN),
        shape("console-login-root-mfa", "root", ROOT, login, LOGIN_MFA),
        failed(
            FAILED,
            shape("console-login-root-failure", "root", ROOT, failure, LOGIN),
        ),
        shape("console-login-user", "Alice", USER, login, LOGIN),
        shape("console-login-user-mfa", "Alice", USER, login, LOGIN_MFA),
        failed(
            FAILED,
            shape(
                "console-login-user-failure",
                "Alice",
                BEFORE,
                failure,
                LOGIN,
            ),
        ),
        failed(
            Some("No username found in supplied account"),
            shape(
                "console-login-user-unknown",
                "HIDDEN_DUE_TO_SECURITY_REASONS",
                "type accountId accessKeyId userName",
                failure,
                LOGIN,
            ),
        ),
        shape(
            "console-login-assumed-role",
            "carol",
            SESSION,
            login,
            FEDERATED_LOGIN,
        ),
        shape(
            "console-login-federated-user",
            "dave",
            SESSION,
            login,
            FEDERATED_LOGIN,
        ),
        shape(
            "check-mfa",
            "Alice",
            BEFORE,
            ("CheckMfa", "Success"),
            "MfaType",
        ),
        signin_token,
        shape(
            "switch-role",
            "Alice",
            IN_ROLE,
            ("SwitchRole", "Success"),
            "SwitchFrom RedirectTo",
        ),
        shape(
            "switch-role-caller",
            "Alice",
            USER,
            ("SwitchRole", "Success"),
            "SwitchTo RedirectTo",
        ),
        shape(
            "renew-role",
            "Alice",
            IN_ROLE,
            ("RenewRole", "Success"),
            "RenewedBy RedirectTo",
        ),
        shape("exit-role", "Alice", IN_ROLE, ("ExitRole", "Success"), ""),
        shape(
            "password-recovery-requested",
            "root",
            ROOT,
            ("PasswordRecoveryRequested", "Success"),
            "",
        ),
        shape(
            "password-recovery-completed",
            "root",
            ROOT,
            ("PasswordRecoveryCompleted", "Success"),
            "",
        ),
        shape(
            "password-updated",
            "root",
            ROOT,
            ("PasswordUpdated", "Success"),
            "",
        ),
    ]
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

fn read(folder_name: &str, file: &str) -> Value {
    let path = folder(folder_name).join(format!("{file}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn files(folder_name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(folder_name)).unwrap();
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap().path())).collect();
    names.sort();
    names
}

fn keys(value: &Value) -> Vec<&str> {
    let members = value.as_object().unwrap();
    members.keys().map(String::as_str).collect()
}

/// Posts what a file says, looks the event up as the account that gets it, and has it delivered.
async fn posted(folder_name: &str, file: &str) -> (aws_sdk_cloudtrail::types::Event, Value) {
    let app = TestApp::new().await;
    let said = read(folder_name, file);
    let account = said["Records"][0]["userIdentity"]["accountId"]
        .as_str()
        .unwrap();
    app.bucket("logs").await;
    let sdk = app.sdk_of(account, REGION);
    sdk.create_trail()
        .name("main")
        .s3_bucket_name("logs")
        .send()
        .await
        .unwrap();
    sdk.start_logging().name("main").send().await.unwrap();

    let (status, answer) = app.control("POST", "events", said).await;
    assert_eq!(status, 200, "{file}: {answer}");
    let id = answer["recorded"][0].as_str().unwrap();
    let by_id = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::EventId)
        .attribute_value(id)
        .build()
        .unwrap();
    let found = sdk
        .lookup_events()
        .lookup_attributes(by_id)
        .send()
        .await
        .unwrap();
    let event = found.events()[0].clone();

    app.advance(chrono::TimeDelta::minutes(5)).await;
    let files = app.log_files("logs").await;
    let delivered = files
        .iter()
        .flat_map(|(_, records)| records)
        .find(|record| record["eventID"] == id)
        .unwrap();
    assert_eq!(
        event.cloud_trail_event(),
        Some(delivered.to_string().as_str()),
        "{file}"
    );
    (event, delivered.clone())
}

fn in_order(record: &Value, file: &str) {
    let place = |key: &&str| FRAME.iter().position(|name| name == key);
    let mut sorted = keys(record);
    sorted.sort_by_key(place);
    assert_eq!(keys(record), sorted, "{file}");
    assert!(
        sorted.iter().all(|key| place(key).is_some()),
        "{file}: {sorted:?}"
    );
}

#[tokio::test]
async fn every_documented_sign_in_is_recorded_as_aws_writes_it() {
    let mut tested = vec!["user-authentication"];
    for shape in shapes() {
        let file = shape.file;
        tested.push(file);
        let (event, record) = posted("sign-in", file).await;
        let said = read("sign-in", file)["Records"][0].clone();

        let source = "signin.amazonaws.com";
        assert_eq!(event.username(), shape.username, "{file}");
        assert_eq!(event.event_source(), Some(source), "{file}");
        assert_eq!(event.read_only(), Some("false"), "{file}");
        assert_eq!(event.event_name(), said["eventName"].as_str(), "{file}");
        let key = said["userIdentity"]["accessKeyId"].as_str();
        assert_eq!(
            event.access_key_id(),
            key.filter(|key| !key.is_empty()),
            "{file}"
        );

        in_order(&record, file);
        let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        assert_eq!(
            keys(&record["userIdentity"]),
            words(shape.identity),
            "{file}"
        );
        assert_eq!(record["responseElements"], shape.response, "{file}");
        match shape.additional {
            "" => assert_eq!(record.get("additionalEventData"), None, "{file}"),
            members => assert_eq!(
                keys(&record["additionalEventData"]),
                words(members),
                "{file}"
            ),
        }
        let mut expected = said.clone();
        let filled = json!({
            "eventVersion": "1.08", "eventTime": START, "eventID": record["eventID"], "awsRegion": REGION,
            "requestParameters": null, "responseElements": shape.response, "readOnly": false,
            "eventType": "AwsConsoleSignIn", "managementEvent": true, "eventCategory": "Management",
            "recipientAccountId": said["userIdentity"]["accountId"],
            "tlsDetails": {"tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256",
                           "clientProvidedHostHeader": "us-east-1.signin.aws.amazon.com"},
        });
        for (name, value) in filled.as_object().unwrap() {
            expected[name] = value.clone();
        }
        if let Some(error) = shape.error {
            expected["errorMessage"] = json!(error);
        }
        assert_eq!(record, expected, "{file}");
    }
    tested.sort_unstable();
    assert_eq!(files("sign-in"), tested, "each shape has its test");
}

#[tokio::test]
async fn identity_center_signs_in_by_service_events() {
    let (event, record) = posted("sign-in", "user-authentication").await;
    assert_eq!(event.username(), Some("erin@example.com"));
    assert_eq!(record["eventType"], "AwsServiceEvent");
    assert_eq!(record["readOnly"], false);
    assert_eq!(record["responseElements"], Value::Null);
    assert_eq!(
        record["serviceEventDetails"],
        json!({"UserAuthentication": "Success"})
    );
    in_order(&record, "user-authentication");
}

#[tokio::test]
async fn every_documented_service_event_is_recorded_as_aws_writes_it() {
    for file in files("service-events") {
        let (event, record) = posted("service-events", &file).await;
        let said = read("service-events", &file)["Records"][0].clone();
        let service = &said["userIdentity"]["invokedBy"];
        assert_eq!(event.username(), None, "{file}");
        assert_eq!(event.read_only(), Some("false"), "{file}");
        in_order(&record, &file);
        assert_eq!(
            keys(&record["userIdentity"]),
            ["accountId", "invokedBy"],
            "{file}"
        );
        let mut expected = said.clone();
        let filled = json!({
            "eventVersion": "1.11", "eventTime": START, "eventID": record["eventID"], "awsRegion": REGION,
            "sourceIPAddress": service, "userAgent": service, "requestParameters": null, "responseElements": null,
            "readOnly": false, "eventType": "AwsServiceEvent", "managementEvent": true,
            "recipientAccountId": said["userIdentity"]["accountId"], "eventCategory": "Management",
        });
        for (name, value) in filled.as_object().unwrap() {
            expected[name] = value.clone();
        }
        assert_eq!(record, expected, "{file}");
    }
}

#[tokio::test]
async fn a_sign_in_may_say_no_more_than_who() {
    let app = TestApp::with("--account-id 111122223333 --region eu-west-1").await;
    let record = json!({"eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin",
        "userIdentity": {"type": "Root"}});
    let (status, _) = app
        .control("POST", "events", json!({"Records": [record]}))
        .await;
    assert_eq!(status, 200);
    let event = app.events().await.remove(0);
    assert_eq!(event["awsRegion"], "us-east-1");
    assert_eq!(
        event["userIdentity"],
        json!({"type": "Root", "principalId": "111122223333", "arn": "arn:aws:iam::111122223333:root",
               "accountId": "111122223333", "accessKeyId": ""})
    );
}

/// Types of callers that no call through the door has.
#[tokio::test]
async fn identities_of_every_type_are_kept_as_they_come() {
    let app = TestApp::new().await;
    for (identity, username) in [
        (
            json!({"type": "IdentityCenterUser", "accountId": "111122223333",
                "onBehalfOf": {"userId": "544894e8-80c1-707f-60e3-3ba6510dfac1",
                    "identityStoreArn": "arn:aws:identitystore::111122223333:identitystore/d-9067642ac7"},
                "credentialId": "EXAMPLE"}),
            None,
        ),
        (
            json!({"type": "Directory", "arn": "arn:aws:ds:us-east-1:111122223333:user/d-1234567890/u-1",
                "accountId": "111122223333", "userName": "dora@example.com"}),
            Some("dora@example.com"),
        ),
        (
            json!({"type": "Role", "principalId": "AROAEXAMPLEROLE00001:s1",
                "arn": "arn:aws:sts::111122223333:assumed-role/Dev/s1", "accountId": "111122223333", "userName": "chosen"}),
            Some("chosen"),
        ),
        (
            json!({"type": "AWSAccount", "principalId": "AIDAEXAMPLEUSER000001", "accountId": "111122223333"}),
            None,
        ),
        (
            json!({"type": "Unknown", "principalId": "", "accountId": "111122223333", "userName": ""}),
            None,
        ),
        (
            json!({"accountId": "111122223333", "invokedBy": "secretsmanager.amazonaws.com"}),
            None,
        ),
    ] {
        let record = json!({"eventSource": "sso.amazonaws.com", "eventName": "ListApplications",
            "userIdentity": identity});
        let (_, answer) = app
            .control("POST", "events", json!({"Records": [record]}))
            .await;
        let id = answer["recorded"][0].as_str().unwrap();
        let found = app
            .sdk()
            .lookup_events()
            .max_results(50)
            .send()
            .await
            .unwrap();
        let event = found
            .events()
            .iter()
            .find(|event| event.event_id() == Some(id))
            .unwrap();
        assert_eq!(event.username(), username, "{identity}");
        let record: Value = serde_json::from_str(event.cloud_trail_event().unwrap()).unwrap();
        assert_eq!(record["userIdentity"].to_string(), identity.to_string());
    }
}

#[tokio::test]
async fn a_bad_record_refuses_the_whole_request() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let before = app.events().await.len();
    let good = json!({"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"});
    for (member, value) in [
        ("awsRegion", json!("../../elsewhere")),
        ("recipientAccountId", json!("../..")),
        ("eventTime", json!("2026-13-01T00:00:00Z")),
        ("eventID", json!(["x"])),
        ("eventCategory", json!("Everything")),
        ("resources", json!([{"ARN": ["x"]}])),
        ("requestParameters", json!({"a": "x".repeat(300_000)})),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        let (status, answer) = app
            .control("POST", "events", json!({"Records": [good, bad]}))
            .await;
        let said = answer["error"].as_str().unwrap();
        assert_eq!(status, 400, "{member}");
        assert!(said.starts_with("Records[1]: "), "{said}");
    }
    assert_eq!(app.events().await.len(), before);
    // What is odd but allowed neither stops the history nor a log file.
    let odd = json!({"eventSource": "s3.amazonaws.com", "eventName": "List\u{2028}Buckets ü \"quoted\"",
        "userIdentity": {"type": "AWSAccount", "accountId": "ANONYMOUS_PRINCIPAL", "principalId": null},
        "recipientAccountId": "111122223333", "resources": [{"ARN": "arn:aws:s3:::b", "extra": {"kept": true}}],
        "requestParameters": {"deep": {"er": [[[[1e300]]]]}, "nul": "a\u{0}b"}, "future": {"member": [null]}});
    let (status, answer) = app
        .control("POST", "events", json!({"Records": [odd]}))
        .await;
    assert_eq!(status, 200, "{answer}");
    let found = sdk.lookup_events().send().await.unwrap();
    assert_eq!(found.events()[0].event_name(), odd["eventName"].as_str());
    app.advance(chrono::TimeDelta::minutes(5)).await;
    let files = app.log_files("logs").await;
    let delivered = files.iter().flat_map(|(_, records)| records);
    let delivered = delivered
        .into_iter()
        .find(|record| record["eventName"] == odd["eventName"])
        .unwrap();
    for member in ["requestParameters", "resources", "future", "userIdentity"] {
        assert_eq!(delivered[member], odd[member], "{member}");
    }
}
