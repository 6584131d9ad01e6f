//! `--verify-signatures`: who is let in, and the error that each kind of service gives to who is not.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body::Frame;
use localtrail::aws::sigv4::Signer;
use localtrail::clock::machine_time;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::faulty::Faulty;
use crate::support::{ACCOUNT, REGION, TestApp, names};

const CREDENTIALS: &str = "[account]\naws_access_key_id = 111122223333\naws_secret_access_key = secret\n\
    [alice]\naws_access_key_id = AKIDALICE\naws_secret_access_key = secret\naccount_id = 444455556666\n\
    [other]\naws_access_key_id = AKIDOTHER\naws_secret_access_key = another\n\
    [session]\naws_access_key_id = ASIDSESSION\naws_secret_access_key = secret\naws_session_token = token\n";

/// A server that verifies, and the folder with its data and credentials.
async fn verifying() -> (TestApp, TempDir) {
    verifying_with("").await
}

async fn verifying_with(more: &str) -> (TestApp, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials");
    std::fs::write(&file, CREDENTIALS).unwrap();
    let data = folder.path().join("data");
    let options = format!(
        "--verify-signatures --credentials {} --data-dir {} {more}",
        file.display(),
        data.display()
    );
    (TestApp::with(&options).await, folder)
}

/// Who signs, and when.
#[derive(Clone, Copy)]
struct Caller<'a> {
    access_key: &'a str,
    secret: &'a str,
    token: Option<&'a str>,
    time: DateTime<Utc>,
}

impl<'a> Caller<'a> {
    fn root(app: &TestApp) -> Self {
        Self::new(ACCOUNT, "secret", app)
    }

    fn new(access_key: &'a str, secret: &'a str, app: &TestApp) -> Self {
        let (token, time) = (None, app.now());
        Self {
            access_key,
            secret,
            token,
            time,
        }
    }

    fn request(&self, call: &Sample) -> Request<Body> {
        self.request_with(call, call.body)
    }

    fn request_with(&self, call: &Sample, body: &str) -> Request<Body> {
        let host = "127.0.0.1:4580";
        let uri: Uri = call.path.parse().unwrap();
        let method: Method = call.method.parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", host.parse().unwrap());
        if let Some((name, value)) = call.header {
            headers.insert(name, value.parse().unwrap());
        }
        let signer = Signer {
            access_key: self.access_key,
            secret_key: self.secret,
            session_token: self.token,
            region: REGION,
            service: call.service,
            time: self.time,
        };
        let added = signer.sign(&method, &uri, &headers, body.as_bytes());
        headers.extend(added.unwrap());
        let mut request = Request::new(Body::from(body.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }
}

#[derive(Clone, Copy)]
struct Sample {
    service: &'static str,
    method: &'static str,
    path: &'static str,
    header: Option<(&'static str, &'static str)>,
    body: &'static str,
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
/// One call of each kind of service: S3, query, EC2, JSON, REST-JSON.
const SAMPLES: [Sample; 5] = [
    Sample {
        service: "s3",
        method: "PUT",
        path: "/made",
        header: None,
        body: "",
    },
    Sample {
        service: "sns",
        method: "POST",
        path: "/",
        header: Some(FORM),
        body: "Action=ListTopics&Version=2010-03-31",
    },
    Sample {
        service: "ec2",
        method: "POST",
        path: "/",
        header: Some(FORM),
        body: "Action=DescribeVpcs&Version=2016-11-15",
    },
    Sample {
        service: "cloudtrail",
        method: "POST",
        path: "/",
        header: Some(("x-amz-target", "CloudTrail_20131101.ListTrails")),
        body: "{}",
    },
    Sample {
        service: "lambda",
        method: "GET",
        path: "/2015-03-31/functions",
        header: None,
        body: "",
    },
];
const PUT_OBJECT: Sample = Sample {
    service: "s3",
    method: "PUT",
    path: "/logs/k",
    header: None,
    body: "hello",
};

/// Status and error code of an answer.
fn error(answer: &Response<Bytes>) -> (u16, String) {
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let in_xml = || {
        Some(
            text.split("<Code>")
                .nth(1)?
                .split("</Code>")
                .next()?
                .to_owned(),
        )
    };
    let in_json = || {
        let body: Value = serde_json::from_str(&text).ok()?;
        Some(body["__type"].as_str()?.to_owned())
    };
    let in_header = answer.headers().get("x-amzn-errortype");
    let in_header = in_header.map(|code| code.to_str().unwrap().to_owned());
    let code = in_header.or_else(in_xml).or_else(in_json);
    (answer.status().as_u16(), code.unwrap_or_default())
}

#[tokio::test]
async fn the_sdk_is_let_in_with_its_secret_and_not_with_another() {
    let (app, _folder) = verifying().await;
    // The SDK signs in the machine's time.
    app.app.clock.set(machine_time());
    app.sdk().list_trails().send().await.unwrap();
    app.sdk_of("AKIDALICE", "eu-west-1")
        .list_trails()
        .send()
        .await
        .unwrap();
    for (key, code) in [
        ("AKIDOTHER", "InvalidSignatureException"),
        ("AKIDNOBODY", "UnrecognizedClientException"),
        ("ASIDSESSION", "UnrecognizedClientException"),
    ] {
        let error = app.sdk_of(key, REGION).list_trails().send().await;
        let error = format!("{:?}", error.unwrap_err());
        assert!(error.contains(code), "{key}: {error}");
    }
    let events = app.events().await;
    let accounts: Vec<&Value> = events
        .iter()
        .map(|event| &event["userIdentity"]["accountId"])
        .collect();
    assert_eq!(accounts, [ACCOUNT, "444455556666"]);
}

#[tokio::test]
async fn each_fault_gets_the_error_of_its_service() {
    type Fault = fn(&mut Request<Body>);
    /// Name, who signs, what is broken then, and the error of each sample.
    type Case<'a> = (&'a str, Caller<'a>, Fault, [(u16, &'a str); 5]);
    let (app, _folder) = verifying().await;
    let good = Caller::root(&app);
    let skewed = Caller {
        time: good.time - TimeDelta::minutes(16),
        ..good
    };
    let early = Caller {
        time: good.time + TimeDelta::minutes(16),
        ..good
    };
    let tokened = Caller {
        token: Some("token"),
        ..good
    };
    let session = Caller {
        access_key: "ASIDSESSION",
        ..good
    };
    let foreign = Caller {
        token: Some("other"),
        ..session
    };
    fn header(request: &mut Request<Body>, change: impl FnOnce(&str) -> String) {
        let value = request.headers()["authorization"].to_str().unwrap();
        let value = change(value).parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    let none: Fault = |_| {};
    let unsigned: Fault = |it| drop(it.headers_mut().remove("authorization"));
    let cut: Fault = |it| header(it, |value| value.replace("SignedHeaders", "Signed"));
    let v4a: Fault = |it| {
        header(it, |value| {
            value.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
        });
    };
    let v2: Fault = |it| header(it, |_| "AWS AKIDALICE:c2ln".to_owned());
    let day: Fault = |it| header(it, |value| value.replace("/20261122/", "/20261121/"));
    let term: Fault = |it| header(it, |value| value.replace("aws4_request", "aws5_request"));
    let region: Fault = |it| header(it, |value| value.replace("us-east-1", "eu-west-1"));
    let hostless: Fault = |it| {
        header(it, |value| {
            value.replace(";host;", ";").replace("=host;", "=")
        })
    };
    let dateless: Fault = |it| {
        it.headers_mut()
            .insert("x-amz-date", "noon".parse().unwrap());
    };
    let changed: Fault = |it| {
        let path = it.uri().path().to_owned();
        *it.uri_mut() = format!("{path}?x=1").parse().unwrap();
    };
    let body: Fault = |it| *it.body_mut() = Body::from("other");
    // Columns: S3, query, EC2, JSON, REST-JSON. A path is taken for S3's where no
    // signature can be read, and SigV2 was S3's alone.
    let cases: &[Case<'_>] = &[
        (
            "no signature",
            good,
            unsigned,
            [
                (403, "AccessDenied"),
                (403, "MissingAuthenticationToken"),
                (400, "MissingParameter"),
                (400, "MissingAuthenticationTokenException"),
                (403, "AccessDenied"),
            ],
        ),
        (
            "cut short",
            good,
            cut,
            [
                (400, "AuthorizationHeaderMalformed"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignatureException"),
                (400, "AuthorizationHeaderMalformed"),
            ],
        ),
        (
            "SigV4A",
            good,
            v4a,
            [
                (400, "InvalidRequest"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignatureException"),
                (400, "IncompleteSignatureException"),
            ],
        ),
        (
            "SigV2",
            good,
            v2,
            [
                (400, "InvalidRequest"),
                (400, "InvalidRequest"),
                (400, "InvalidRequest"),
                (400, "IncompleteSignatureException"),
                (400, "InvalidRequest"),
            ],
        ),
        (
            "scope day",
            good,
            day,
            [
                (400, "AuthorizationHeaderMalformed"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "scope term",
            good,
            term,
            [
                (400, "AuthorizationHeaderMalformed"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "scope region",
            good,
            region,
            [
                (403, "SignatureDoesNotMatch"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "host not signed",
            good,
            hostless,
            [
                (403, "SignatureDoesNotMatch"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "no date",
            good,
            dateless,
            [
                (403, "AccessDenied"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignature"),
                (400, "IncompleteSignatureException"),
                (400, "IncompleteSignatureException"),
            ],
        ),
        (
            "too old",
            skewed,
            none,
            [
                (403, "RequestTimeTooSkewed"),
                (403, "SignatureDoesNotMatch"),
                (400, "RequestExpired"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "too early",
            early,
            none,
            [
                (403, "RequestTimeTooSkewed"),
                (403, "SignatureDoesNotMatch"),
                (400, "RequestExpired"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "unknown key",
            Caller {
                access_key: "AKIDNOBODY",
                ..good
            },
            none,
            [
                (403, "InvalidAccessKeyId"),
                (403, "InvalidClientTokenId"),
                (401, "AuthFailure"),
                (400, "UnrecognizedClientException"),
                (403, "UnrecognizedClientException"),
            ],
        ),
        (
            "session without token",
            session,
            none,
            [
                (403, "InvalidAccessKeyId"),
                (403, "InvalidClientTokenId"),
                (401, "AuthFailure"),
                (400, "UnrecognizedClientException"),
                (403, "UnrecognizedClientException"),
            ],
        ),
        (
            "token without session",
            tokened,
            none,
            [
                (400, "InvalidToken"),
                (403, "InvalidClientTokenId"),
                (401, "AuthFailure"),
                (400, "UnrecognizedClientException"),
                (403, "UnrecognizedClientException"),
            ],
        ),
        (
            "another token",
            foreign,
            none,
            [
                (400, "InvalidToken"),
                (403, "InvalidClientTokenId"),
                (401, "AuthFailure"),
                (400, "UnrecognizedClientException"),
                (403, "UnrecognizedClientException"),
            ],
        ),
        (
            "wrong secret",
            Caller {
                secret: "wrong",
                ..good
            },
            none,
            [
                (403, "SignatureDoesNotMatch"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "query changed",
            good,
            changed,
            [
                (403, "SignatureDoesNotMatch"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
        (
            "body changed",
            good,
            body,
            [
                (400, "XAmzContentSHA256Mismatch"),
                (403, "SignatureDoesNotMatch"),
                (401, "AuthFailure"),
                (400, "InvalidSignatureException"),
                (403, "InvalidSignatureException"),
            ],
        ),
    ];
    for (name, caller, fault, expected) in cases {
        for (sample, (status, code)) in SAMPLES.iter().zip(expected) {
            let mut request = caller.request(sample);
            fault(&mut request);
            let answer = app.send(request).await;
            let (got, told) = error(&answer);
            assert_eq!(
                (got, told.as_str()),
                (*status, *code),
                "{name}: {} {answer:?}",
                sample.service
            );
            assert!(answer.headers().contains_key("date"));
        }
    }
    assert_eq!(app.events().await, Vec::<Value>::new());
    let refused = cases.len() * SAMPLES.len();
    let request = Request::get("/_localtrail/metrics").body(Body::empty());
    let metrics = app.send(request.unwrap()).await;
    let line = format!("localtrail_calls_skipped_total {refused}\n");
    assert!(String::from_utf8_lossy(metrics.body()).contains(&line));
    for sample in &SAMPLES {
        let answer = app.send(good.request(sample)).await;
        let expected = match sample.service {
            "ec2" | "lambda" => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::OK,
        };
        assert_eq!(answer.status(), expected, "{}: {answer:?}", sample.service);
    }
}

#[tokio::test]
async fn an_operation_of_another_service_than_the_scopes_is_refused() {
    let (app, _folder) = verifying().await;
    let sample = Sample {
        service: "sns",
        ..SAMPLES[3]
    };
    let answer = app.send(Caller::root(&app).request(&sample)).await;
    assert_eq!(
        error(&answer),
        (400, "InvalidSignatureException".to_owned())
    );
    let text = String::from_utf8_lossy(answer.body());
    assert!(text.contains("correct service: 'cloudtrail'"), "{text}");
}

#[tokio::test]
async fn an_object_whose_hash_is_wrong_is_not_kept() {
    let (app, _folder) = verifying().await;
    let root = Caller::root(&app);
    let bucket = Sample {
        path: "/logs",
        body: "",
        ..PUT_OBJECT
    };
    assert!(app.send(root.request(&bucket)).await.status().is_success());
    let mut request = root.request(&PUT_OBJECT);
    // In pieces, as it comes over a wire: the first is good.
    let pieces = ["hel", "l0"].map(Bytes::from);
    *request.body_mut() = Body::new(Pieces(pieces.into()));
    let answer = app.send(request).await;
    assert_eq!(
        error(&answer),
        (400, "XAmzContentSHA256Mismatch".to_owned())
    );
    let get = Sample {
        method: "GET",
        body: "",
        ..PUT_OBJECT
    };
    assert_eq!(
        app.send(root.request(&get)).await.status(),
        StatusCode::NOT_FOUND
    );
    assert!(
        app.send(root.request(&PUT_OBJECT))
            .await
            .status()
            .is_success()
    );
    assert_eq!(app.send(root.request(&get)).await.body(), "hello");
    let events = app.events().await;
    assert_eq!(
        names(&events),
        ["CreateBucket", "GetObject", "PutObject", "GetObject"]
    );
}

/// A body that comes in pieces.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn a_clock_that_is_moved_leaves_old_signatures_behind() {
    let (app, _folder) = verifying().await;
    let before = Caller::root(&app);
    let (status, _) = app
        .control("POST", "clock", json!({ "advance": "PT15M" }))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        app.send(before.request(&SAMPLES[1])).await.status(),
        StatusCode::OK
    );
    app.control("POST", "clock", json!({ "advance": "PT1S" }))
        .await;
    let answer = app.send(before.request(&SAMPLES[0])).await;
    assert_eq!(error(&answer), (403, "RequestTimeTooSkewed".to_owned()));
    // SDKs that correct their clock do it by this header.
    assert_eq!(answer.headers()["date"], "Sun, 22 Nov 2026 15:16:31 GMT");
    let answer = app.send(before.request(&SAMPLES[3])).await;
    assert_eq!(
        error(&answer),
        (400, "InvalidSignatureException".to_owned())
    );
    assert!(
        app.send(Caller::root(&app).request(&SAMPLES[0]))
            .await
            .status()
            .is_success()
    );
}

#[tokio::test]
async fn keys_of_sessions_are_learned_end_and_are_forgotten() {
    let (app, folder) = verifying().await;
    let assume = Sample {
        service: "sts",
        body: "Action=AssumeRole&Version=2011-06-15&RoleSessionName=session&RoleArn=arn:aws:iam::111122223333:role/r&DurationSeconds=900",
        ..SAMPLES[1]
    };
    let answer = app.send(Caller::root(&app).request(&assume)).await;
    assert!(answer.status().is_success(), "{answer:?}");
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let [key, secret, token] =
        ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| part(&text, name));
    let session = Caller {
        token: Some(&token),
        ..Caller::new(&key, &secret, &app)
    };
    assert!(
        app.send(session.request(&SAMPLES[1]))
            .await
            .status()
            .is_success()
    );
    let tokenless = Caller {
        token: None,
        ..session
    };
    let answer = app.send(tokenless.request(&SAMPLES[1])).await;
    assert_eq!(error(&answer), (403, "InvalidClientTokenId".to_owned()));
    let event = app.events().await.pop().unwrap();
    assert_eq!(event["userIdentity"]["type"], "AssumedRole");

    // Nothing of it is in the database, nor what the file says.
    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        for secret in [&*secret, &*token, "another"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{} has a secret", path.display());
        }
    }

    app.advance(TimeDelta::minutes(15)).await;
    let late = Caller {
        time: app.now(),
        ..session
    };
    for (sample, expected) in [
        (&SAMPLES[0], (400, "ExpiredToken")),
        (&SAMPLES[1], (403, "ExpiredToken")),
        (&SAMPLES[3], (400, "ExpiredTokenException")),
    ] {
        let (status, code) = error(&app.send(late.request(sample)).await);
        assert_eq!((status, code.as_str()), expected);
    }
    app.control("POST", "reset", Value::Null).await;
    let again = Caller {
        time: app.now(),
        ..session
    };
    let answer = app.send(again.request(&SAMPLES[1])).await;
    assert_eq!(error(&answer), (403, "InvalidClientTokenId".to_owned()));
    assert!(
        app.send(Caller::root(&app).request(&SAMPLES[1]))
            .await
            .status()
            .is_success()
    );
}

/// The text of an element.
fn part(xml: &str, name: &str) -> String {
    let rest = xml.split(&format!("<{name}>")).nth(1);
    let text = rest.and_then(|rest| rest.split('<').next());
    text.unwrap_or_else(|| panic!("no {name} in {xml}"))
        .to_owned()
}

/// Nobody here verifies a provider's token, or decides who may take another account's role.
#[tokio::test]
async fn sessions_prove_what_was_proved_when_they_were_made() {
    const TOKEN: &str =
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiaXNzIjoiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsImF1ZCI6ImMifQ.";
    let assume = |account: &str| {
        format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=session&RoleArn=arn:aws:iam::{account}:role/r"
        )
    };
    let vouched = |account: &str| {
        let form = assume(account).replace("AssumeRole&", "AssumeRoleWithWebIdentity&");
        format!("{form}&WebIdentityToken={TOKEN}")
    };
    let [own, other] = [ACCOUNT, "444455556666"];
    for (trusts, more) in [(false, ""), (true, "--trust-sessions")] {
        let (app, _folder) = verifying_with(more).await;
        for (form, is_signed, is_proof) in [
            (assume(own), true, true),
            (assume(other), true, trusts),
            (vouched(own), false, trusts),
            (vouched(other), false, trusts),
            (vouched(own), true, true),
            (vouched(other), true, trusts),
        ] {
            let sample = Sample {
                service: "sts",
                ..SAMPLES[1]
            };
            let mut request = Caller::root(&app).request_with(&sample, &form);
            if !is_signed {
                request.headers_mut().remove("authorization");
            }
            let answer = app.send(request).await;
            assert!(answer.status().is_success(), "{form} {answer:?}");
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            let [key, secret, token] =
                ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| part(&text, name));
            let session = Caller {
                token: Some(&token),
                ..Caller::new(&key, &secret, &app)
            };
            let answer = app.send(session.request(&SAMPLES[1])).await;
            let expected = match is_proof {
                true => (200, String::new()),
                false => (403, "InvalidClientTokenId".to_owned()),
            };
            assert_eq!(error(&answer), expected, "{form} {is_signed} {trusts}");
        }
        // All that made sessions is recorded, whatever they prove.
        let events = app.events().await;
        let made = |event: &&Value| event["eventSource"] == "sts.amazonaws.com";
        assert!(events.iter().filter(made).count() >= 6);
    }
}

#[tokio::test]
async fn keys_of_sessions_that_have_long_ended_are_forgotten() {
    let (app, _folder) = verifying().await;
    let session = |caller: Caller<'_>| {
        let sample = Sample {
            service: "sts",
            body: "Action=GetSessionToken&Version=2011-06-15",
            ..SAMPLES[1]
        };
        caller.request(&sample)
    };
    let answer = app.send(session(Caller::root(&app))).await;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    let [key, secret, token] =
        ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| part(&text, name));
    for (days, code) in [(1, "ExpiredToken"), (2, "InvalidClientTokenId")] {
        app.advance(TimeDelta::days(days)).await;
        app.send(session(Caller::root(&app))).await;
        let late = Caller {
            token: Some(&token),
            ..Caller::new(&key, &secret, &app)
        };
        let answer = app.send(late.request(&SAMPLES[1])).await;
        assert_eq!(error(&answer), (403, code.to_owned()), "{days}");
    }
}

/// An emulator may give a session any end; a key that outlived it here would be taken for root's.
#[tokio::test]
async fn a_key_is_forgotten_with_its_session_whatever_its_end() {
    let upstream = Faulty::start(|request| {
        let key = match String::from_utf8_lossy(&request.body).contains("DurationSeconds") {
            true => "ASIDLONG",
            false => "ASIDLATER",
        };
        format!(
            "<GetSessionTokenResponse><GetSessionTokenResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
         <SecretAccessKey>long</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2036-11-22T15:01:30Z</Expiration>\
         </Credentials></GetSessionTokenResult></GetSessionTokenResponse>"
        )
    });
    let upstream = upstream.await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (app, _folder) = verifying_with(&options).await;
    let sample = Sample {
        service: "sts",
        body: "Action=GetSessionToken&Version=2011-06-15",
        ..SAMPLES[1]
    };
    let long = format!("{}&DurationSeconds=999999999", sample.body);
    app.send(Caller::root(&app).request_with(&sample, &long))
        .await;
    for (days, expected) in [(2, (200, "")), (1, (403, "InvalidClientTokenId"))] {
        app.advance(TimeDelta::days(days)).await;
        app.send(Caller::root(&app).request(&sample)).await;
        let session = Caller {
            token: Some("t"),
            ..Caller::new("ASIDLONG", "long", &app)
        };
        let answer = app.send(session.request(&SAMPLES[1])).await;
        let (status, code) = error(&answer);
        assert_eq!((status, code.as_str()), expected, "{days}");
    }
}

/// An emulator may say yes to anyone.
#[tokio::test]
async fn a_key_is_switched_off_and_deleted_by_its_own_account_alone() {
    let upstream = Faulty::start(|request| {
        match String::from_utf8_lossy(&request.body).contains("Action=CreateAccessKey") {
            true => "<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey><UserName>u</UserName>\
                     <AccessKeyId>AKIDMADE</AccessKeyId><SecretAccessKey>made</SecretAccessKey></AccessKey>\
                     </CreateAccessKeyResult></CreateAccessKeyResponse>",
            false => "<Response/>",
        }
        .to_owned()
    })
    .await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (app, _folder) = verifying_with(&options).await;
    let iam = Sample {
        service: "iam",
        ..SAMPLES[1]
    };
    let (owner, stranger) = (Caller::root(&app), Caller::new("AKIDALICE", "secret", &app));
    let create = "Action=CreateAccessKey&Version=2010-05-08&UserName=u";
    let update = "Action=UpdateAccessKey&Version=2010-05-08&AccessKeyId=AKIDMADE&Status=Inactive";
    let activate = "Action=UpdateAccessKey&Version=2010-05-08&AccessKeyId=AKIDMADE&Status=Active";
    let delete = "Action=DeleteAccessKey&Version=2010-05-08&AccessKeyId=AKIDMADE";
    for (caller, form, works) in [
        (owner, create, true),
        (stranger, update, true),
        (stranger, delete, true),
        (owner, update, false),
        (stranger, activate, false),
        (owner, activate, true),
        (owner, delete, false),
    ] {
        let answer = app.send(caller.request_with(&iam, form)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{form}");
        let made = Caller::new("AKIDMADE", "made", &app);
        let status = app.send(made.request(&SAMPLES[1])).await.status();
        let told = format!("{} {form}", caller.access_key);
        assert_eq!(status.is_success(), works, "{told}");
    }
}

#[tokio::test]
async fn operations_that_need_no_signature_need_none() {
    let (app, _folder) = verifying().await;
    let form = |body: &'static str| {
        Request::post("/")
            .header("host", "127.0.0.1:4580")
            .header(FORM.0, FORM.1)
            .body(Body::from(body))
            .unwrap()
    };
    let open = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=session&RoleArn=arn:aws:iam::111122223333:role/r&WebIdentityToken=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIiwiaXNzIjoiaHR0cHM6Ly9pZHAuZXhhbXBsZSIsImF1ZCI6ImMifQ.";
    let answer = app.send(form(open)).await;
    assert!(answer.status().is_success(), "{answer:?}");
    let closed = "Action=GetCallerIdentity&Version=2011-06-15";
    let answer = app.send(form(closed)).await;
    assert_eq!(
        error(&answer),
        (403, "MissingAuthenticationToken".to_owned())
    );
}

/// An emulator may go by what we do not, and do something else than was let in.
#[tokio::test]
async fn what_nobody_signed_names_no_other_call() {
    const IAM: &str = "Credential=AKIA/20261122/us-east-1/iam/aws4_request, x";
    const SIGN_IN: &str = "AWSCognitoIdentityProviderService.InitiateAuth";
    const CREATE: &str = "Action=CreateUser&UserName=u&Version=2010-05-08";
    let (app, _folder) = verifying().await;
    let foreign = format!("FOO {IAM}");
    let half_signed = "/?X-Amz-Credential=AKIA%2F20261122%2Fus-east-1%2Fiam%2Faws4_request";
    let bearer_scope = "Bearer AKIA/20261122/us-east-1/iam/aws4_request".to_owned();
    let bearer_credential = format!("Bearer {IAM}");
    let target = ("x-amz-target", SIGN_IN);
    let browser = [
        ("origin", "http://page.example"),
        ("access-control-request-method", "PUT"),
    ];
    let with = |header: (&'static str, &'static str)| [browser[0], browser[1], header];
    let json = (400, "IncompleteSignatureException");
    let missing = (403, "AccessDenied");
    // Method, path, headers, body, and the answer; 501 is what is let in and has no upstream to go to.
    type Case<'a> = (
        &'a str,
        &'a str,
        Vec<(&'a str, &'a str)>,
        &'a str,
        (u16, &'a str),
    );
    let cases: Vec<Case<'_>> = vec![
        ("POST", half_signed, vec![target], "{}", json),
        ("POST", "/?AWSAccessKeyId=AKIA", vec![target], "{}", json),
        ("POST", "/", vec![target], "{}", (501, "ServiceUnavailable")),
        (
            "POST",
            "/",
            vec![target, ("authorization", "Bearer a.b-c_d")],
            "{}",
            json,
        ),
        (
            "POST",
            "/",
            vec![target, ("authorization", &foreign)],
            CREATE,
            json,
        ),
        (
            "POST",
            "/",
            vec![target, ("authorization", &bearer_scope)],
            CREATE,
            json,
        ),
        (
            "POST",
            "/",
            vec![target, ("authorization", &bearer_credential)],
            CREATE,
            json,
        ),
        (
            "OPTIONS",
            "/",
            vec![FORM],
            CREATE,
            (403, "MissingAuthenticationToken"),
        ),
        (
            "OPTIONS",
            "/",
            vec![FORM, ("authorization", &foreign)],
            CREATE,
            (400, "IncompleteSignature"),
        ),
        ("OPTIONS", "/b/k", browser.to_vec(), CREATE, missing),
        ("OPTIONS", "/b/k", vec![browser[0]], "", missing),
        (
            "OPTIONS",
            "/b/k?Action=CreateUser",
            browser.to_vec(),
            "",
            missing,
        ),
        (
            "OPTIONS",
            "/b/k",
            with(target).to_vec(),
            "",
            (400, "MissingAuthenticationTokenException"),
        ),
        (
            "OPTIONS",
            "/b/k",
            with(("authorization", "Bearer x")).to_vec(),
            "",
            (400, "InvalidArgument"),
        ),
        (
            "GET",
            "/b/k",
            vec![("authorization", &foreign)],
            "",
            (400, "InvalidArgument"),
        ),
        (
            "GET",
            "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256",
            vec![("authorization", &foreign)],
            "",
            (400, "InvalidArgument"),
        ),
    ];
    for (method, path, headers, body, expected) in cases {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers.iter().chain(&[("host", "127.0.0.1:4580")]) {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = app.send(request).await;
        let (status, code) = error(&answer);
        let told = format!("{method} {path} {headers:?} {answer:?}");
        assert_eq!((status, code.as_str()), expected, "{told}");
    }
    // A browser's question is let in, for a presigned URL too: the embedded S3 has no answer to it.
    for path in [
        "/b/k",
        "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature=0",
    ] {
        let mut request = Request::builder().method("OPTIONS").uri(path);
        for (name, value) in browser.iter().chain(&[("host", "127.0.0.1:4580")]) {
            request = request.header(*name, *value);
        }
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            error(&answer),
            (501, "NotImplemented".to_owned()),
            "{answer:?}"
        );
    }
}

/// A request as nobody signs it.
fn unsigned(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:4580");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

const SIGN_IN: (&str, &str) = (
    "x-amz-target",
    "AWSCognitoIdentityProviderService.InitiateAuth",
);

/// An emulator may go by a path, a host name or the last of two parameters: it sees none of what could be another call.
#[tokio::test]
async fn what_needs_no_signature_reaches_the_upstream_as_that_call_alone() {
    const OPEN: &str = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15";
    const LINK: &str = "Action=Unsubscribe&Version=2010-03-31&SubscriptionArn=a";
    const JSON: (&str, &str) = ("content-type", "application/json");
    const AMZ_JSON: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
    const PORTAL: (&str, &str) = ("x-amz-sso_bearer_token", "t");
    const IN_BUCKET: (&str, &str) = ("host", "lbucket.localhost:4580");
    let upstream = Faulty::start(|_| "{}".to_owned()).await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (emulator, _folder) = verifying_with(&format!("{options} --embedded none")).await;
    let two_actions = format!("{OPEN}&Action=GetSessionToken");
    let two_names = format!("{OPEN}&action=GetSessionToken");
    let other_key = format!("{OPEN}&AWSAccessKeyId=AKIA");
    let unsplit = format!("{OPEN}&key=evil&file=EVIL&x=a=b");
    let open_query = |path: &str| format!("{path}?{OPEN}");
    let link_query = |path: &str| format!("{path}?{LINK}");
    let delete = format!("/lbucket?delete&{LINK}");
    let both = open_query("/");
    let [put, read, emulators, listed] = [
        link_query("/bucket/key"),
        open_query("/bucket/key"),
        open_query("/moto-api/data.json"),
        link_query("/"),
    ];
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str);
    let refused: Vec<Case<'_>> = vec![
        ("PUT", &put, vec![], "EVIL"),
        ("DELETE", &put, vec![], ""),
        ("GET", &read, vec![], ""),
        ("GET", &emulators, vec![], ""),
        ("POST", &delete, vec![], "<Delete/>"),
        ("GET", &listed, vec![], ""),
        ("GET", &listed, vec![IN_BUCKET], ""),
        ("POST", "/", vec![FORM], LINK),
        ("POST", "/", vec![FORM, IN_BUCKET], OPEN),
        ("POST", "/bucket", vec![FORM], OPEN),
        ("POST", &both, vec![FORM], OPEN),
        ("POST", "/?", vec![FORM], OPEN),
        ("PUT", "/", vec![FORM], OPEN),
        ("POST", "/", vec![FORM], &two_actions),
        ("POST", "/", vec![FORM], &two_names),
        ("POST", "/", vec![FORM], &other_key),
        ("POST", "/", vec![FORM], &unsplit),
        ("POST", "/", vec![FORM], "Action=AssumeRoleWithWebIdentity"),
        ("POST", "/", vec![FORM, SIGN_IN], "Action=CreateUser"),
        ("POST", "/", vec![FORM, ("x-amz-target", "A.B")], OPEN),
        ("POST", "/", vec![FORM, ("content-encoding", "x")], OPEN),
        ("POST", "/", vec![FORM, ("authorization", "Bearer x")], OPEN),
        (
            "POST",
            "/",
            vec![("content-type", "Application/X-WWW-Form-Urlencoded")],
            OPEN,
        ),
        ("GET", "/moto-api/data.json", vec![SIGN_IN], ""),
        ("POST", "/bucket", vec![SIGN_IN], "{}"),
        ("POST", "/?delete", vec![SIGN_IN], "{}"),
        ("POST", "/", vec![SIGN_IN, IN_BUCKET], "{}"),
        ("GET", "/", vec![SIGN_IN], ""),
        ("POST", "/token?delete", vec![JSON], "{}"),
        ("POST", "/token?Action=CreateUser", vec![JSON], "{}"),
        ("POST", "/token", vec![JSON, IN_BUCKET], "{}"),
        ("GET", "/assignment/accounts?acl", vec![PORTAL], ""),
        ("GET", "/bucket/key", vec![PORTAL], ""),
        ("PUT", "/assignment/accounts", vec![PORTAL], "EVIL"),
        ("GET", "/assignment/accounts", vec![PORTAL], "EVIL"),
    ];
    for (method, path, headers, body) in refused {
        let told = format!("{method} {path} {headers:?} {body}");
        let answer = emulator.send(unsigned(method, path, &headers, body)).await;
        assert!(answer.status().is_client_error(), "{told} {answer:?}");
        assert_eq!(upstream.taken().len(), 0, "{told}");
    }
    let form = (
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    let portal = "/assignment/roles?account_id=1&max_result=5";
    let let_in: Vec<Case<'_>> = vec![
        ("POST", "/", vec![FORM], OPEN),
        ("POST", "/", vec![form, ("host", "sts.amazonaws.com")], OPEN),
        ("POST", "/", vec![SIGN_IN], "{}"),
        ("POST", "/", vec![SIGN_IN, AMZ_JSON], "{}"),
        ("POST", "/token", vec![JSON], "{}"),
        ("GET", portal, vec![PORTAL], ""),
        (
            "GET",
            portal,
            vec![PORTAL, ("authorization", "Bearer x")],
            "",
        ),
        ("POST", "/logout", vec![PORTAL], ""),
    ];
    for (method, path, headers, body) in let_in {
        let told = format!("{method} {path} {headers:?} {body}");
        emulator.send(unsigned(method, path, &headers, body)).await;
        let taken = upstream.taken();
        assert_eq!(taken.len(), 1, "{told}");
        assert_eq!((&*taken[0].path, &*taken[0].body), (path, body.as_bytes()));
    }
}

#[tokio::test]
async fn the_links_in_messages_need_no_signature_where_sns_is_embedded() {
    const LINK: &str = "Action=Unsubscribe&Version=2010-03-31&SubscriptionArn=a";
    let upstream = Faulty::start(|_| "{}".to_owned()).await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (app, _folder) = verifying_with(&format!("{options} --embedded sns")).await;
    let link = format!("/?{LINK}");
    for request in [
        unsigned("GET", &link, &[], ""),
        unsigned("POST", "/", &[FORM], LINK),
    ] {
        let answer = app.send(request).await;
        assert_eq!(error(&answer), (400, "InvalidParameter".to_owned()));
    }
    let in_bucket = ("host", "lbucket.localhost:4580");
    for request in [
        unsigned("GET", &format!("/bucket/key?{LINK}"), &[], ""),
        unsigned("GET", &link, &[in_bucket], ""),
        unsigned("GET", &format!("{link}&Action=Publish"), &[], ""),
        unsigned("DELETE", &link, &[], ""),
    ] {
        let answer = app.send(request).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{answer:?}");
    }
    assert_eq!(upstream.taken().len(), 0);
}

/// We would read the first of two; an emulator may take the last, or both as one.
#[tokio::test]
async fn what_tells_the_call_is_sent_once() {
    let upstream = Faulty::start(|_| "{}".to_owned()).await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (app, _folder) = verifying_with(&options).await;
    let target = ("x-amz-target", "AWSCognitoIdentityProviderService.X");
    let two = unsigned("POST", "/", &[SIGN_IN, target], "{}");
    let expected = (400, "IncompleteSignatureException".to_owned());
    assert_eq!(error(&app.send(two).await), expected);
    let root = Caller::root(&app);
    for sample in [PUT_OBJECT, SAMPLES[1], SAMPLES[4]] {
        for header in [
            "host",
            "content-type",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-content-sha256",
            "x-amz-target",
        ] {
            let mut request = root.request(&sample);
            for _ in request.headers().get_all(header).iter().count()..2 {
                let name = header.parse::<axum::http::HeaderName>().unwrap();
                request.headers_mut().append(name, "x".parse().unwrap());
            }
            let answer = app.send(request).await;
            let text = String::from_utf8_lossy(answer.body());
            let told = format!("{} {header} {text}", sample.service);
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{told}");
            assert!(text.contains(&format!("header {header} ")), "{told}");
        }
    }
    assert_eq!(upstream.taken().len(), 0);
}

/// A browser's question bears no signature: an emulator would answer whatever else lies below that path.
#[tokio::test]
async fn what_a_browser_asks_first_does_not_reach_the_upstream() {
    let upstream = Faulty::start(|_| "{}".to_owned()).await;
    let options = format!("--upstream {} --account-id {ACCOUNT}", upstream.url);
    let (app, _folder) = verifying_with(&options).await;
    let browser = [
        ("origin", "http://page.example"),
        ("access-control-request-method", "GET"),
    ];
    for path in ["/bucket/key", "/moto-api/data.json", "/"] {
        let answer = app.send(unsigned("OPTIONS", path, &browser, "")).await;
        assert_eq!(error(&answer), (403, "AccessForbidden".to_owned()));
        let text = String::from_utf8_lossy(answer.body());
        let message = "CORSResponse: This CORS request is not allowed.";
        assert!(text.contains(message), "{text}");
    }
    assert_eq!(upstream.taken().len(), 0);
}

/// A scope of S3 does not make a call of CloudTrail one of S3.
#[tokio::test]
async fn a_call_in_another_protocol_is_answered_in_its_words() {
    let (app, _folder) = verifying().await;
    let sample = Sample {
        service: "s3",
        ..SAMPLES[3]
    };
    let mut request = Caller::root(&app).request(&sample);
    request
        .headers_mut()
        .insert("authorization", "AWS4-HMAC-SHA256 x".parse().unwrap());
    let answer = app.send(request).await;
    let expected = (400, "IncompleteSignatureException".to_owned());
    assert_eq!(error(&answer), expected);
    let answer = app.send(Caller::root(&app).request(&sample)).await;
    assert_eq!(
        error(&answer),
        (400, "InvalidSignatureException".to_owned())
    );
}

/// Of a caller who has proved nothing, no more is held than whoever answers takes.
#[tokio::test]
async fn a_body_is_held_as_far_as_whoever_answers_takes_it() {
    let options = "--max-body 1024 --embedded s3,sns,sts --upstream http://127.0.0.1:1";
    let (app, _folder) = verifying_with(&format!("{options} --account-id {ACCOUNT}")).await;
    let guess = Caller::new(ACCOUNT, "a guess", &app);
    let dynamodb = Sample {
        service: "dynamodb",
        header: Some(("x-amz-target", "DynamoDB_20120810.PutItem")),
        ..SAMPLES[3]
    };
    let wrong = "InvalidSignatureException";
    for (sample, length, expected) in [
        (&SAMPLES[3], 1_024, (400, wrong)),
        (&SAMPLES[3], 1_025, (413, "RequestEntityTooLargeException")),
        (&SAMPLES[1], 1_025, (413, "RequestEntityTooLarge")),
        (&dynamodb, 1_025, (400, wrong)),
    ] {
        let body = "x".repeat(length);
        let answer = app.send(guess.request_with(sample, &body)).await;
        let (status, code) = error(&answer);
        let told = format!("{} {length}", sample.service);
        assert_eq!((status, code.as_str()), expected, "{told}");
    }
}
