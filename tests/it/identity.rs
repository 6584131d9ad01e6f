//! `userIdentity` of calls through the door: whom the answers of STS have made, and what older versions of it look like.

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::faulty::{Faulty, Taken};
use crate::support::{ACCOUNT, REGION, TestApp};

const ROLE: &str = "arn:aws:iam::444455556666:role/path/Auditor";
const MFA: &str =
    "&SerialNumber=arn:aws:iam::111122223333:mfa/root-account-mfa-device&TokenCode=123456";
const SAML: &str = r#"<samlp:Response xmlns:samlp="p" xmlns:saml="a"><saml:Assertion>
    <saml:Issuer>https://example.com/saml</saml:Issuer>
    <saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">bob</saml:NameID>
    </saml:Subject><saml:AttributeStatement>
    <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName">
    <saml:AttributeValue>bob@example.com</saml:AttributeValue></saml:Attribute>
    <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/SourceIdentity">
    <saml:AttributeValue>Bob</saml:AttributeValue></saml:Attribute>
    </saml:AttributeStatement></saml:Assertion></samlp:Response>"#;

/// A form of STS, signed with `key` if there is one; its answer as text.
async fn sts(app: &TestApp, key: Option<&str>, form: &str) -> String {
    let mut request = Request::post("/")
        .header("host", "sts.us-east-1.amazonaws.com")
        .header("content-type", "application/x-www-form-urlencoded");
    if let Some(key) = key {
        let scope = format!("{key}/20261122/{REGION}/sts/aws4_request");
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        request = request
            .header("authorization", signed)
            .header("x-amz-date", "20261122T150130Z");
    }
    let body = Body::from(format!("{form}&Version=2011-06-15"));
    let answer = app.send(request.body(body).unwrap()).await;
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// The text of an element, empty if there is none.
fn element(xml: &str, name: &str) -> String {
    let rest = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let text = rest
        .and_then(|rest| rest.split_once('<'))
        .map(|(text, _)| text);
    text.unwrap_or_default().to_owned()
}

/// `userIdentity` of the newest event, as text: the order of its members counts.
async fn newest(app: &TestApp) -> String {
    let events = app.events().await;
    // Of a call about another account's role the owner's record is the last; the caller's tells who called.
    let is_owners =
        |it: &&Value| it["sharedEventID"].is_string() && it["userIdentity"]["type"] == "AWSAccount";
    let newest = events.iter().rev().find(|it| !is_owners(it)).unwrap();
    newest["userIdentity"].to_string()
}

fn token(issuer: &str) -> String {
    let claims = json!({"iss": issuer, "sub": "user-1", "aud": "app"}).to_string();
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
}

fn assume(session: &str) -> String {
    format!("Action=AssumeRole&RoleArn={ROLE}&RoleSessionName={session}")
}

fn with_token(issuer: &str) -> String {
    let token = token(issuer);
    format!(
        "Action=AssumeRoleWithWebIdentity&RoleArn={ROLE}&RoleSessionName=web&WebIdentityToken={token}"
    )
}

fn with_saml() -> String {
    let assertion = BASE64_STANDARD.encode(SAML).replace('+', "%2B");
    let provider = "arn:aws:iam::444455556666:saml-provider/MySAMLIdP";
    format!(
        "Action=AssumeRoleWithSAML&RoleArn={ROLE}&PrincipalArn={provider}&SAMLAssertion={assertion}"
    )
}

/// An assumed role's identity: the session's name, members before the attributes, MFA, members behind.
fn auditor(session: &str, federation: &str, mfa: bool, behind: &str) -> String {
    format!(
        concat!(
            r#"{{"type":"AssumedRole","principalId":"{{role}}:{session}","#,
            r#""arn":"arn:aws:sts::444455556666:assumed-role/Auditor/{session}","accountId":"444455556666","#,
            r#""accessKeyId":"{{key}}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{{role}}","#,
            r#""arn":"{role}","accountId":"444455556666","userName":"Auditor"}},{federation}"#,
            r#""attributes":{{"creationDate":"2026-11-22T15:01:30Z","mfaAuthenticated":"{mfa}"}}{behind}}}}}"#,
        ),
        session = session,
        role = ROLE,
        federation = federation,
        mfa = mfa,
        behind = behind,
    )
}

#[tokio::test]
async fn sessions_are_who_sts_made_them() {
    let root = |key: &str, context: &str| {
        format!(
            r#"{{"type":"Root","principalId":"{ACCOUNT}","arn":"arn:aws:iam::{ACCOUNT}:root","accountId":"{ACCOUNT}","accessKeyId":"{key}"{context}}}"#
        )
    };
    let root_session = |mfa: bool| {
        root(
            "{key}",
            &format!(
                r#","sessionContext":{{"attributes":{{"creationDate":"2026-11-22T15:01:30Z","mfaAuthenticated":"{mfa}"}}}}"#
            ),
        )
    };
    let federated = |issuer: &str| {
        format!(
            concat!(
                r#"{{"type":"FederatedUser","principalId":"111122223333:carol","#,
                r#""arn":"arn:aws:sts::111122223333:federated-user/carol","accountId":"111122223333","#,
                r#""accessKeyId":"{{key}}","sessionContext":{{"sessionIssuer":{issuer},"#,
                r#""attributes":{{"creationDate":"2026-11-22T15:01:30Z","mfaAuthenticated":"false"}}}}}}"#,
            ),
            issuer = issuer
        )
    };
    let root_issuer = r#"{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333"}"#;
    let web_user = |provider: &str| {
        format!(
            r#"{{"type":"WebIdentityUser","principalId":"{provider}:app:user-1","userName":"user-1","identityProvider":"{provider}"}}"#
        )
    };
    let saml_user = r#"{"type":"SAMLUser","principalId":"{qualifier}:bob","userName":"bob","identityProvider":"{qualifier}"}"#;
    let arn = "arn:aws:iam::444455556666:oidc-provider/id.example.com";
    let caller = root(ACCOUNT, "");
    let session = "Action=GetSessionToken".to_owned();
    let source = format!("{}&SourceIdentity=Admin", assume("first"));
    // The forms that are sent, each with the key that the one before gave; who made the last one; who uses its key.
    // `?` begins a form that is not signed.
    let rows: Vec<(Vec<String>, String, String)> = vec![
        (
            vec![assume("s1")],
            caller.clone(),
            auditor("s1", "", false, ""),
        ),
        (
            vec![assume("s1") + MFA],
            caller.clone(),
            auditor("s1", "", true, ""),
        ),
        (vec![session.clone()], caller.clone(), root_session(false)),
        (
            vec![session.clone() + MFA],
            caller.clone(),
            root_session(true),
        ),
        // A role taken in a session with MFA is one with MFA; the next role is not.
        (
            vec![session.clone() + MFA, assume("s2")],
            "-".to_owned(),
            auditor("s2", "", true, ""),
        ),
        (
            vec![session + MFA, assume("s2"), assume("s3")],
            "-".to_owned(),
            auditor("s3", "", false, ""),
        ),
        // A source identity goes from role to role.
        (
            vec![source.clone()],
            caller.clone(),
            auditor("first", "", false, r#","sourceIdentity":"Admin""#),
        ),
        (
            vec![source, assume("second")],
            auditor("first", "", false, r#","sourceIdentity":"Admin""#),
            auditor("second", "", false, r#","sourceIdentity":"Admin""#),
        ),
        (
            vec!["Action=GetFederationToken&Name=carol".to_owned()],
            caller,
            federated(root_issuer),
        ),
        (
            vec![format!("?{}", with_token("https://accounts.google.com"))],
            web_user("accounts.google.com"),
            auditor(
                "web",
                concat!(
                    r#""webIdFederationData":{"federatedProvider":"accounts.google.com","attributes":"#,
                    r#"{"accounts.google.com:aud":"app","accounts.google.com:sub":"user-1"}},"#,
                ),
                false,
                "",
            ),
        ),
        (
            vec![format!("?{}", with_token("https://id.example.com"))],
            web_user(arn),
            auditor(
                "web",
                &format!(
                    r#""webIdFederationData":{{"federatedProvider":"{arn}","attributes":{{}}}},"#
                ),
                false,
                "",
            ),
        ),
        // A signature does not count where a provider vouches.
        (
            vec![with_token("https://id.example.com")],
            web_user(arn),
            auditor(
                "web",
                &format!(
                    r#""webIdFederationData":{{"federatedProvider":"{arn}","attributes":{{}}}},"#
                ),
                false,
                "",
            ),
        ),
        (
            vec![format!("?{}", with_saml())],
            saml_user.to_owned(),
            auditor("bob@example.com", "", false, r#","sourceIdentity":"Bob""#),
        ),
    ];
    for (forms, made_by, used_by) in rows {
        let app = TestApp::new().await;
        let (mut key, mut answer) = (ACCOUNT.to_owned(), String::new());
        let mut before = String::new();
        for form in &forms {
            before.clone_from(&key);
            answer = match form.strip_prefix('?') {
                Some(form) => sts(&app, None, form).await,
                None => sts(&app, Some(&key), form).await,
            };
            key = element(&answer, "AccessKeyId");
            assert!(key.starts_with("ASIA"), "{answer}");
        }
        let role = element(&answer, "AssumedRoleId");
        let role = role.split(':').next().unwrap();
        let told = |text: &str, key: &str| {
            text.replace("{key}", key)
                .replace("{role}", role)
                .replace("{qualifier}", &element(&answer, "NameQualifier"))
        };
        if made_by != "-" {
            assert_eq!(newest(&app).await, told(&made_by, &before), "{forms:?}");
        }
        sts(&app, Some(&key), "Action=GetCallerIdentity").await;
        assert_eq!(newest(&app).await, told(&used_by, &key), "{forms:?}");
        // Neither secrets nor tokens are kept.
        let everything = json!(app.events().await).to_string();
        for secret in ["SecretAccessKey", "SessionToken"] {
            assert!(!everything.contains(&element(&answer, secret)), "{secret}");
        }
        assert!(!everything.contains("c2ln"));
    }
}

#[tokio::test]
async fn who_sends_no_credentials_is_nobody() {
    let app = TestApp::new().await;
    app.bucket("open").await;
    let unsigned = |request: axum::http::request::Builder| request.body(Body::empty()).unwrap();
    app.send(unsigned(Request::get("/open"))).await;
    let events = app.events().await;
    let event = events.last().unwrap();
    assert_eq!(
        event["userIdentity"].to_string(),
        r#"{"type":"AWSAccount","principalId":"","accountId":"ANONYMOUS_PRINCIPAL"}"#
    );
    assert_eq!(event["recipientAccountId"], ACCOUNT, "the bucket's owner");

    // A token that is refused still says who came.
    let form =
        with_token("https://accounts.google.com").replace(ROLE, "arn:aws:iam::444455556666:user/x");
    sts(&app, None, &form).await;
    let events = app.events().await;
    let event = events.last().unwrap();
    assert_eq!(event["errorCode"], "ValidationError");
    assert_eq!(event["userIdentity"]["type"], "WebIdentityUser");
    assert_eq!(event["recipientAccountId"], "444455556666");

    let form = with_saml();
    let (form, _) = form.split_once("&SAMLAssertion=").unwrap();
    sts(&app, None, &format!("{form}&SAMLAssertion=AAAA")).await;
    let events = app.events().await;
    let event = events.last().unwrap();
    assert_eq!(
        event["userIdentity"].to_string(),
        r#"{"type":"Unknown","principalId":"Anonymous"}"#
    );
    assert_eq!(event["recipientAccountId"], "444455556666");
}

#[tokio::test]
async fn learned_identities_survive_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let options = format!("--data-dir {}", folder.path().display());
    let key = {
        let app = TestApp::with(&options).await;
        let answer = sts(&app, Some(ACCOUNT), &assume("s1")).await;
        element(&answer, "AccessKeyId")
    };
    let app = TestApp::with(&options).await;
    sts(&app, Some(&key), "Action=GetCallerIdentity").await;
    let events = app.events().await;
    let identity = &events.last().unwrap()["userIdentity"];
    assert_eq!(
        identity["arn"],
        "arn:aws:sts::444455556666:assumed-role/Auditor/s1"
    );
}

/// A session can be told apart from root as long as it may last, and a day.
#[tokio::test]
async fn sessions_that_have_long_ended_are_forgotten() {
    let folder = tempfile::TempDir::new().unwrap();
    let options = format!("--data-dir {}", folder.path().display());
    let app = TestApp::with(&options).await;
    let answer = sts(&app, Some(ACCOUNT), &assume("s1")).await;
    let key = element(&answer, "AccessKeyId");
    for (hours, kind) in [(60, "AssumedRole"), (24, "Root")] {
        app.advance(TimeDelta::hours(hours)).await;
        sts(&app, Some(ACCOUNT), &assume("later")).await;
        sts(&app, Some(&key), "Action=GetCallerIdentity").await;
        let event = app.events().await.pop().unwrap();
        assert_eq!(event["userIdentity"]["type"], kind, "{hours}");
    }
    drop(app);
    let app = TestApp::with(&options).await;
    sts(&app, Some(&key), "Action=GetCallerIdentity").await;
    let event = app.events().await.pop().unwrap();
    assert_eq!(event["userIdentity"]["type"], "Root");
}

/// An IAM that says of every user that it has the same keys.
fn same_keys(request: &Taken) -> String {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let text = |name: &str| {
        let pair = body.split('&').find_map(|pair| pair.strip_prefix(name));
        pair.unwrap_or_default().to_owned()
    };
    let user = text("UserName=");
    let key = |id: &str| {
        format!("<AccessKeyId>{id}</AccessKeyId><UserName>{user}</UserName><Status>Active</Status>")
    };
    match text("Action=").as_str() {
        "CreateAccessKey" => format!(
            "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey>{}</AccessKey></CreateAccessKeyResult></CreateAccessKeyResponse>",
            key("AKIDVICTIM")
        ),
        "ListAccessKeys" => format!(
            "<ListAccessKeysResponse><ListAccessKeysResult><AccessKeyMetadata><member>{}</member><member>{}</member></AccessKeyMetadata></ListAccessKeysResult></ListAccessKeysResponse>",
            key("AKIDVICTIM"),
            key("AKIDGIVEN")
        ),
        _ => String::new(),
    }
}

#[tokio::test]
async fn a_key_that_is_known_keeps_its_account() {
    let upstream = Faulty::start(same_keys).await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("credentials");
    let text = "[given]\naws_access_key_id = AKIDGIVEN\naws_secret_access_key = s\naccount_id = 444455556666\n";
    std::fs::write(&file, text).unwrap();
    let (upstream, file) = (&upstream.url, file.display());
    let options = format!("--upstream {upstream} --account-id {ACCOUNT} --credentials {file}");
    let app = TestApp::with(&options).await;
    let iam = async |account: &str, operation: &str, user: &str| {
        let scope = format!("{account}/20261122/{REGION}/iam/aws4_request");
        let signed =
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let request = Request::post("/")
            .header("host", "iam.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", signed)
            .header("x-amz-date", "20261122T150130Z")
            .body(Body::from(format!(
                "Action={operation}&UserName={user}&Version=2010-05-08"
            )));
        app.send(request.unwrap()).await;
        let event = app.events().await.pop().unwrap();
        let identity = &event["userIdentity"];
        json!([
            identity["type"],
            identity["accountId"],
            identity["userName"]
        ])
    };
    iam("444455556666", "CreateAccessKey", "vic").await;
    let vic = json!(["IAMUser", "444455556666", "vic"]);
    assert_eq!(iam("AKIDVICTIM", "ListUsers", "").await, vic);
    iam(ACCOUNT, "ListAccessKeys", "bob").await;
    assert_eq!(iam("AKIDVICTIM", "ListUsers", "").await, vic);
    let given = json!(["Root", "444455556666", null]);
    assert_eq!(iam("AKIDGIVEN", "ListUsers", "").await, given);
    // Of its own account it may be told anything.
    iam("444455556666", "ListAccessKeys", "victor").await;
    let victor = json!(["IAMUser", "444455556666", "victor"]);
    assert_eq!(iam("AKIDVICTIM", "ListUsers", "").await, victor);
    assert_eq!(iam("AKIDGIVEN", "ListUsers", "").await, victor);
}

#[tokio::test]
async fn every_version_has_its_frame_and_its_sessions() {
    let attributes = json!({"creationDate": "2026-11-22T15:01:30Z", "mfaAuthenticated": "false"});
    for minor in 2..=11 {
        let app = TestApp::with(&format!("--event-version 1.{minor:02}")).await;
        app.bucket("data").await;
        let key = element(
            &sts(&app, Some(ACCOUNT), "Action=GetSessionToken").await,
            "AccessKeyId",
        );
        sts(&app, Some(&key), "Action=GetCallerIdentity").await;
        app.call("s3", "PUT", "/data/key", "x").await;
        let events = app.events().await;
        let (call, put) = (&events[events.len() - 2], &events[events.len() - 1]);

        assert_eq!(call["eventVersion"], format!("1.{minor:02}"));
        let has = |event: &Value, name: &str| event.get(name).cloned();
        assert_eq!(
            has(call, "managementEvent"),
            (minor >= 6).then(|| json!(true)),
            "{minor}"
        );
        assert_eq!(
            has(put, "managementEvent"),
            (minor >= 6).then(|| json!(false)),
            "{minor}"
        );
        assert_eq!(
            has(call, "eventCategory"),
            (minor >= 7).then(|| json!("Management")),
            "{minor}"
        );
        assert_eq!(
            has(put, "eventCategory"),
            (minor >= 7).then(|| json!("Data")),
            "{minor}"
        );

        let mut context = json!({"attributes": attributes});
        if minor == 8 {
            context =
                json!({"sessionIssuer": {}, "webIdFederationData": {}, "attributes": attributes});
        }
        assert_eq!(call["userIdentity"]["sessionContext"], context, "{minor}");

        // Data events stay data events, though old records do not say so.
        let (_, data) = app
            .control("GET", "events?category=Data", Value::Null)
            .await;
        assert_eq!(data["Records"].as_array().unwrap().len(), 1, "{minor}");
        let found = app.sdk().lookup_events().send().await.unwrap();
        assert!(
            found
                .events()
                .iter()
                .all(|event| event.event_name() != Some("PutObject")),
            "{minor}"
        );
    }
}
