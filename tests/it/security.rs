//! What must not work: text that means something elsewhere (SQL, paths, header lines), and bodies that grow.

use std::io::Write;
use std::path::Path;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{ACCOUNT, REGION, TestApp};

/// Text that would end a string, a statement or a line somewhere.
const HOSTILE: &[&str] = &[
    "'; drop table event; --",
    "\" or 1=1 --",
    "x' union select record from event --",
    "%' or '%'='",
    "a\u{0}b",
    "$(id)`id`",
    "{{7*7}}",
];

#[tokio::test]
async fn sql_in_text_is_text() {
    let app = TestApp::new().await;
    let sdk = app.logging_trail().await;
    let stored = app.events().await.len();
    for text in HOSTILE {
        let record = json!({ "eventSource": "own.example", "eventName": text,
                             "userIdentity": { "accountId": ACCOUNT, "userName": text } });
        let (status, _) = app
            .control("POST", "events", json!({ "Records": [record] }))
            .await;
        // A record has no control characters; everything else is text.
        let is_text = !text.contains('\0');
        assert_eq!(status.is_success(), is_text, "{text}");
        let quoted: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for filter in ["eventName", "userName"] {
            let (_, found) = app
                .control("GET", &format!("events?{filter}={quoted}"), Value::Null)
                .await;
            let found = found["Records"].as_array().unwrap();
            assert_eq!(found.len(), usize::from(is_text), "{filter} {text}");
            assert!(found.iter().all(|event| event["eventName"] == *text));
        }
        // What a field's form does not allow is refused, not run.
        drop(sdk.get_trail().name(*text).send().await);
        drop(sdk.list_tags().resource_id_list(*text).send().await);
        drop(sdk.lookup_events().next_token(*text).send().await);
        let form = format!("Action=CreateTopic&Version=2010-03-31&Name={quoted}");
        drop(app.call("sns", "POST", "/", &form).await);
        drop(app.call("s3", "PUT", &format!("/logs/{quoted}"), "x").await);
        drop(
            app.call(
                "s3",
                "GET",
                &format!("/logs?list-type=2&prefix={quoted}"),
                "",
            )
            .await,
        );
    }
    assert!(app.events().await.len() >= stored + HOSTILE.len() - 1);
    assert!(sdk.get_trail().name("main").send().await.is_ok());
}

fn files_in(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_in(&path, found),
            false => found.push(path.display().to_string()),
        }
    }
}

#[tokio::test]
async fn keys_and_buckets_are_no_paths() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data");
    let app = TestApp::with(&format!("--data-dir {}", folder.display())).await;
    app.bucket("logs").await;
    for key in [
        "../escape",
        "../../escape",
        "..%2F..%2Fescape",
        "%2e%2e/%2e%2e/escape",
        "/etc/escape",
        "%2Fetc%2Fescape",
        "a/./../../../escape",
        "..%5C..%5Cescape",
        "escape%00.txt",
    ] {
        let path = format!("/logs/{key}");
        let put = app.call("s3", "PUT", &path, key).await;
        let got = app.call("s3", "GET", &path, "").await;
        // Either the key is text like any other, or it is refused.
        assert!(put.status().is_success() || put.status().is_client_error());
        assert_eq!(
            put.status().is_success(),
            got.status().is_success(),
            "{key}"
        );
        if put.status().is_success() {
            assert_eq!(got.body(), key.as_bytes());
        }
    }
    for bucket in [
        "..",
        "%2e%2e",
        "..%2Fescape",
        ".%2Fescape",
        "a%2F..%2Fescape",
    ] {
        let put = app.call("s3", "PUT", &format!("/{bucket}"), "").await;
        // Where the name has a slash in it, it is a key in a bucket that is not there.
        assert!(put.status().is_client_error(), "{bucket} {}", put.status());
    }
    // An upload is found by its id, which is a name like any other.
    for id in ["..%2F..%2Fescape", "%2Fescape", "escape%00"] {
        for (method, query) in [
            ("PUT", "partNumber=1&uploadId"),
            ("POST", "uploadId"),
            ("GET", "uploadId"),
            ("DELETE", "uploadId"),
        ] {
            let upload = app
                .call("s3", method, &format!("/logs/key?{query}={id}"), "x")
                .await;
            assert!(upload.status().is_client_error(), "{method} {id}");
        }
    }
    let mut found = Vec::new();
    files_in(outer.path(), &mut found);
    assert!(
        !found.iter().any(|path| path.contains("escape")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .all(|path| Path::new(path).starts_with(&folder))
    );
}

#[tokio::test]
async fn no_line_can_be_put_into_an_answers_head() {
    let app = TestApp::new().await;
    app.bucket("logs").await;
    app.call("s3", "PUT", "/logs/k", "x").await;
    let line = "a%0D%0Aset-cookie:%20x=1%0D%0A%0D%0Abody";
    for path in [
        format!("/logs/k?response-content-disposition={line}"),
        format!("/logs/k?response-content-type={line}"),
        format!("/logs/k?response-cache-control={line}"),
        format!("/logs?list-type=2&prefix={line}&encoding-type=url"),
        format!("/logs/{line}"),
        format!("/{line}"),
        format!("/_localtrail/{line}"),
        format!("/_localtrail/events?eventName={line}"),
    ] {
        let answer = app.call("s3", "GET", &path, "").await;
        assert!(!answer.status().is_server_error(), "{path}");
        assert!(!answer.headers().contains_key("set-cookie"), "{path}");
        for (name, value) in answer.headers() {
            let bytes = value.as_bytes();
            assert!(!bytes.contains(&b'\r') && !bytes.contains(&b'\n'), "{name}");
        }
    }
}

#[tokio::test]
async fn a_zipped_form_grows_to_the_limit_and_no_further() {
    let app = TestApp::new().await;
    let mut zip = GzEncoder::new(Vec::new(), Compression::best());
    let message = "Action=Publish&Version=2010-03-31&TopicArn=x&Message=";
    zip.write_all(message.as_bytes()).unwrap();
    zip.write_all(&vec![b'a'; 256 << 20]).unwrap();
    let bomb = zip.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let request = |service: &str| {
        let scope = format!("{ACCOUNT}/20261122/{REGION}/{service}/aws4_request");
        Request::post("/")
            .header("host", "127.0.0.1:4580")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-encoding", "gzip")
            .header("x-amz-date", "20261122T150130Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .body(Body::from(bomb.clone()))
            .unwrap()
    };
    for service in ["sns", "sts", "cloudtrail", "sqs"] {
        let answer = app.send(request(service)).await;
        assert!(!answer.status().is_success(), "{service}");
    }
    assert_eq!(
        app.control("GET", "health", Value::Null).await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn web_pages_do_not_reach_the_control_api() {
    let app = TestApp::new().await;
    let cases: &[(&str, &str, Option<&str>, bool)] = &[
        ("GET", "127.0.0.1:4580", None, true),
        ("GET", "localhost:4580", None, true),
        ("POST", "127.0.0.1:4580", None, true),
        ("POST", "127.0.0.1:4580", Some("http://site.example"), false),
        ("POST", "127.0.0.1:4580", Some("null"), false),
        (
            "POST",
            "127.0.0.1:4580",
            Some("http://127.0.0.1:4580"),
            false,
        ),
        ("GET", "127.0.0.1:4580", Some("http://site.example"), false),
        // A name of the attacker's that leads here.
        ("GET", "site.example:4580", None, false),
        ("POST", "site.example", None, false),
    ];
    for (method, host, origin, admitted) in cases {
        let path = match *method {
            "GET" => "/_localtrail/health",
            _ => "/_localtrail/reset",
        };
        let mut request = Request::builder()
            .method(*method)
            .uri(path)
            .header("host", *host);
        if let Some(origin) = origin {
            request = request.header("origin", *origin);
        }
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        let expected = if *admitted {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(answer.status(), expected, "{method} {host} {origin:?}");
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_page_that_the_embedded_s3_serves_does_not_get_into_the_control_api() {
    let app = TestApp::new().await;
    for (site, admitted) in [
        ("same-origin", false),
        ("same-site", false),
        ("cross-site", false),
        // Typed into the browser.
        ("none", true),
    ] {
        // A page says no origin where it reads from its own.
        let request = Request::get("/_localtrail/events")
            .header("host", "127.0.0.1:4580")
            .header("sec-fetch-site", site);
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        let status = answer.status();
        assert_eq!(status == StatusCode::OK, admitted, "{site}");
        assert!(admitted || status == StatusCode::FORBIDDEN, "{status}");
    }
}

#[tokio::test]
async fn a_reset_that_nobody_waits_for_is_done_all_the_same() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("data");
    let app = TestApp::with(&format!("--data-dir {}", folder.display())).await;
    app.logging_trail().await;
    app.call("s3", "PUT", "/logs/large", &"x".repeat(100_000))
        .await;
    let objects = || std::fs::read_dir(folder.join("objects")).unwrap().count();
    assert_eq!(objects(), 1);
    let stored = app.events().await.len();
    // What it takes to begin, and no more.
    let reset = Request::post("/_localtrail/reset").body(Body::empty());
    tokio::select! {
        biased;
        _ = app.send(reset.unwrap()) => panic!("it cannot be done at once"),
        () = std::future::ready(()) => {}
    }
    let is_done = async {
        while !app.events().await.is_empty() || objects() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let patience = std::time::Duration::from_secs(30);
    let done = tokio::time::timeout(patience, is_done).await;
    assert!(done.is_ok(), "{stored} events are there still");
    let trails = app.sdk().list_trails().send().await.unwrap();
    assert_eq!(trails.trails().len(), 0);
    let bucket = app.call("s3", "GET", "/logs", "").await;
    assert_eq!(bucket.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_control_token_is_needed_wherever_the_caller_is() {
    let app = TestApp::with("--control-token s3cret").await;
    for (authorization, admitted) in [
        (None, false),
        (Some("Bearer wrong!"), false),
        (Some("Bearer s3cre"), false),
        (Some("Bearer s3crets"), false),
        (Some("Bearer "), false),
        (Some("s3cret"), false),
        (Some("Basic s3cret"), false),
        (Some("Bearer s3cret"), true),
    ] {
        // With the token, by any name.
        let mut request = Request::get("/_localtrail/status").header("host", "trail.example");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let answer = app.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status().is_success(), admitted, "{authorization:?}");
        assert!(!String::from_utf8_lossy(answer.body()).contains("s3cret"));
    }
}

#[tokio::test]
async fn another_machine_needs_the_control_token_and_the_token_is_enough() {
    let open = TestApp::new().await;
    let closed = TestApp::with("--control-token s3cret").await;
    for (peer, is_here) in [
        ("127.0.0.1", true),
        ("127.8.9.1", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        for (app, token, admitted) in [
            (&open, None, is_here),
            // Where none is set, none lets in.
            (&open, Some("Bearer s3cret"), is_here),
            (&closed, None, false),
            (&closed, Some("Bearer s3cret"), true),
        ] {
            // A name of this machine proves nothing: anyone can say it.
            let mut request = Request::get("/_localtrail/status").header("host", "127.0.0.1:4580");
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let request = request.body(Body::empty()).unwrap();
            let answer = app.send_from(peer.parse().unwrap(), request).await.unwrap();
            let status = answer.status();
            assert_eq!(status == StatusCode::OK, admitted, "{peer} {token:?}");
            assert!(admitted || status == StatusCode::FORBIDDEN, "{status}");
        }
    }
}

#[tokio::test]
async fn a_topic_is_no_way_into_the_control_api() {
    let app = TestApp::new().await;
    let topic = app.closed_topic("alerts").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for path in ["/_localtrail/reset", "/a/..%2F_LocalTrail/reset", "/hook"] {
        let endpoint = format!("http://{address}{path}");
        let quoted: String = form_urlencoded::byte_serialize(endpoint.as_bytes()).collect();
        let subscribe = format!(
            "Action=Subscribe&Version=2010-03-31&Protocol=http&TopicArn={topic}&Endpoint={quoted}"
        );
        let answer = app.call("sns", "POST", "/", &subscribe).await;
        assert_eq!(answer.status(), StatusCode::OK, "{endpoint}");
    }
    // Confirmations are sent in the order of their subscriptions.
    let (mut subscriber, _) = listener.accept().await.unwrap();
    let mut line = [0; 11];
    subscriber.read_exact(&mut line).await.unwrap();
    assert_eq!(line, *b"POST /hook ");
    // What gets there all the same, from a topic of another service, is refused for what it is, or for what it says.
    let confirmation = r#"{"Type":"SubscriptionConfirmation","Token":"0"}"#;
    for call in ["reset", "flush", "clock", "events"] {
        let path = format!("/_localtrail/{call}");
        for (kind, status) in [
            (Some("SubscriptionConfirmation"), StatusCode::FORBIDDEN),
            (Some("Notification"), StatusCode::FORBIDDEN),
            (None, StatusCode::BAD_REQUEST),
        ] {
            let mut request = Request::post(&path).header("host", "127.0.0.1:4580");
            if let Some(kind) = kind {
                request = request.header("x-amz-sns-message-type", kind);
            }
            let request = request.body(Body::from(confirmation)).unwrap();
            assert_eq!(app.send(request).await.status(), status, "{call} {kind:?}");
        }
    }
    for body in ["[]", "null", "0", r#"{"digests":true}"#, "x"] {
        let request = Request::post("/_localtrail/reset").body(Body::from(body));
        let answer = app.send(request.unwrap()).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(app.events().await.len(), 1 + 3, "nothing is forgotten");
    for body in ["", "{}"] {
        let request = Request::post("/_localtrail/reset").body(Body::from(body));
        assert_eq!(app.send(request.unwrap()).await.status(), StatusCode::OK);
    }
    assert_eq!(app.events().await.len(), 0);
}
