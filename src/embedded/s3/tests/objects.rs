//! Objects of the embedded S3, through its whole service.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use chrono::TimeDelta;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full};

use super::World;
use crate::embedded::s3::ObjectAttributes;

/// MD5 of `hello`.
const HELLO_ETAG: &str = "\"5d41402abc4b2a76b9719d911017c592\"";

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let world = World::with_bucket().await;
    let headers = [
        ("content-type", "text/plain"),
        ("content-encoding", "aws-chunked,gzip"),
        ("cache-control", "no-store"),
        ("x-amz-meta-signature", "a1b2"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "alias/trail"),
        ("x-amz-tagging", "a=1&b=2"),
        ("x-amz-acl", "bucket-owner-full-control"),
    ];
    let put = world.send("PUT", "/logs/a.txt", &headers, "hello").await;
    assert_eq!((put.status.as_u16(), put.header("etag")), (200, HELLO_ETAG));
    assert_eq!(put.header("x-amz-server-side-encryption"), "aws:kms");
    for method in ["GET", "HEAD"] {
        let got = world.send(method, "/logs/a.txt", &[], "").await;
        assert_eq!(got.status, 200);
        for (name, value) in [
            ("etag", HELLO_ETAG),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("cache-control", "no-store"),
            ("last-modified", "Fri, 15 Jan 2027 08:00:00 GMT"),
            ("x-amz-meta-signature", "a1b2"),
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "alias/trail"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(got.header(name), value, "{method} {name}");
        }
    }
    let got = world
        .get("/logs/a.txt?response-content-type=text%2Fhtml")
        .await;
    assert_eq!(
        (got.text().as_str(), got.header("content-type")),
        ("hello", "text/html")
    );
    assert_eq!(got.header("x-amz-tagging-count"), "2");
    assert_eq!(
        world.get("/logs/a.txt?tagging").await.all("Key"),
        ["a", "b"]
    );
    assert_eq!(
        world.get("/logs/a.txt?acl").await.all("Permission"),
        ["FULL_CONTROL"]
    );
}

#[tokio::test]
async fn keys_are_any_text() {
    let world = World::with_bucket().await;
    let long = "k".repeat(1024);
    let keys = [
        "..%2Fx",
        "../x",
        "a",
        "a/b",
        "a/",
        "d//e",
        "d/e",
        "%C3%A9%E2%9C%93%20+c.txt",
        "%F0%9F%98%80",
        ".hidden",
        "%25",
        "q%3Fr%23s",
        long.as_str(),
    ];
    for key in keys {
        let put = world.put(&format!("/logs/{key}"), key.to_owned()).await;
        assert_eq!(put.status, 200, "{key}: {}", put.text());
    }
    for key in &keys[1..] {
        assert_eq!(world.get(&format!("/logs/{key}")).await.text(), *key);
    }
    let listed = world
        .get("/logs?list-type=2&encoding-type=url")
        .await
        .all("Key");
    let expected = [
        "%25",
        "../x",
        ".hidden",
        "a",
        "a/",
        "a/b",
        "d//e",
        "d/e",
        &long,
        "q%3Fr%23s",
        "%C3%A9%E2%9C%93%20%2Bc.txt",
        "%F0%9F%98%80",
    ];
    assert_eq!(listed, expected);
    // Content lies under names of ours: one file an object, none outside.
    assert_eq!(world.blobs(), expected.len());
    assert!(!world.folder.path().join("x").exists());
    let too_long = world.put(&format!("/logs/{long}k"), "x").await;
    assert_eq!(too_long.error(), (400, "KeyTooLongError".into()));
    assert_eq!(
        world.put("/logs/%00", "x").await.error(),
        (400, "InvalidURI".into())
    );
}

#[tokio::test]
async fn letters_that_xml_has_not_are_written_out() {
    let world = World::with_bucket().await;
    for key in ["a%0Db", "c%01", "d%EF%BF%BF", "e%09%0A"] {
        assert_eq!(world.put(&format!("/logs/{key}"), "x").await.status, 200);
    }
    let listed = world.get("/logs?list-type=2&start-after=%0B").await;
    assert_eq!(
        listed.all("Key"),
        ["a&#xd;b", "c&#x1;", "d&#xffff;", "e\t\n"]
    );
    assert_eq!(listed.first("StartAfter"), "&#xb;");
    // An object is given back as it was put, whatever it says it is.
    let put = world.send(
        "PUT",
        "/logs/xml",
        &[("content-type", "application/xml")],
        "<a>\r\u{1}</a>",
    );
    assert_eq!(put.await.status, 200);
    assert_eq!(world.get("/logs/xml").await.text(), "<a>\r\u{1}</a>");
}

#[tokio::test]
async fn an_empty_object_has_no_file() {
    let world = World::with_bucket().await;
    let put = world.put("/logs/empty", "").await;
    assert_eq!(put.header("etag"), "\"d41d8cd98f00b204e9800998ecf8427e\"");
    let got = world.get("/logs/empty").await;
    assert_eq!(
        (got.status.as_u16(), got.header("content-length")),
        (200, "0")
    );
    assert_eq!(world.blobs(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let world = World::with_bucket().await;
    let missing = world.get("/logs/a%3Cb").await;
    assert_eq!(missing.error(), (404, "NoSuchKey".into()));
    assert_eq!(
        missing.first("Message"),
        "The specified key does not exist."
    );
    assert_eq!(missing.first("Resource"), "/logs/a%3Cb");
    assert_eq!(
        world.get("/none/a").await.error(),
        (404, "NoSuchBucket".into())
    );
    assert_eq!(
        world.put("/none/a", "x").await.error(),
        (404, "NoSuchBucket".into())
    );
    assert_eq!(
        world.get("/logs/a?versionId=1").await.error(),
        (404, "NoSuchVersion".into())
    );
    let head = world.send("HEAD", "/logs/a", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    assert_eq!(world.delete("/logs/a").await.status, 204);
    assert_eq!(world.blobs(), 0);
}

#[tokio::test]
async fn ranges_are_cut_out() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "0123456789").await;
    for (range, status, content_range, text) in [
        ("bytes=0-3", 206, "bytes 0-3/10", "0123"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=7-100", 206, "bytes 7-9/10", "789"),
        ("bytes=-2", 206, "bytes 8-9/10", "89"),
        ("bytes=-20", 206, "bytes 0-9/10", "0123456789"),
        // Not understood, so passed over.
        ("bytes=3-1", 200, "", "0123456789"),
        ("bytes=0-1,4-5", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let got = world.send("GET", "/logs/a", &[("range", range)], "").await;
        assert_eq!(got.status, status, "{range}");
        assert_eq!(got.header("content-range"), content_range, "{range}");
        assert_eq!(got.text(), text, "{range}");
        assert_eq!(
            got.header("content-length"),
            text.len().to_string(),
            "{range}"
        );
    }
    world.put("/logs/empty", "").await;
    for (key, range) in [
        ("a", "bytes=10-"),
        ("a", "bytes=-0"),
        ("empty", "bytes=0-"),
        ("empty", "bytes=-1"),
    ] {
        let got = world
            .send("GET", &format!("/logs/{key}"), &[("range", range)], "")
            .await;
        assert_eq!(got.error(), (416, "InvalidRange".into()), "{key} {range}");
    }
}

#[tokio::test]
async fn a_large_object_streams_both_ways() {
    let world = World::with_bucket().await;
    let content: Vec<u8> = (0..2_000_003_u32).map(|i| (i % 251) as u8).collect();
    world.put("/logs/large", content.clone()).await;
    assert_eq!(world.get("/logs/large").await.body, content);
    let got = world
        .send(
            "GET",
            "/logs/large",
            &[("range", "bytes=999999-1500000")],
            "",
        )
        .await;
    assert_eq!(got.body, content[999_999..=1_500_000]);
}

#[tokio::test]
async fn conditions_of_reads_hold() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "hello").await;
    let before = "Fri, 15 Jan 2027 07:00:00 GMT";
    let now = "Fri, 15 Jan 2027 08:00:00 GMT";
    let other = "\"0123\"";
    for (headers, status) in [
        (vec![("if-match", HELLO_ETAG)], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", other)], 412),
        (vec![("if-none-match", other)], 200),
        (vec![("if-none-match", HELLO_ETAG)], 304),
        (vec![("if-modified-since", before)], 200),
        (vec![("if-modified-since", now)], 304),
        (vec![("if-unmodified-since", now)], 200),
        (vec![("if-unmodified-since", before)], 412),
        (
            vec![("if-match", HELLO_ETAG), ("if-unmodified-since", before)],
            200,
        ),
        (
            vec![("if-none-match", other), ("if-modified-since", now)],
            200,
        ),
    ] {
        let got = world.send("GET", "/logs/a", &headers, "").await;
        assert_eq!(got.status, status, "{headers:?}");
        if status == 304 {
            assert_eq!((got.header("etag"), got.body.len()), (HELLO_ETAG, 0));
        }
    }
}

#[tokio::test]
async fn conditions_of_writes_hold() {
    let world = World::with_bucket().await;
    let absent = [("if-none-match", "*")];
    assert_eq!(
        world.send("PUT", "/logs/a", &absent, "hello").await.status,
        200
    );
    let there = world.send("PUT", "/logs/a", &absent, "other").await;
    assert_eq!(there.error(), (412, "PreconditionFailed".into()));
    let other = world
        .send("PUT", "/logs/a", &[("if-match", "\"0123\"")], "other")
        .await;
    assert_eq!(other.error(), (412, "PreconditionFailed".into()));
    let missing = world
        .send("PUT", "/logs/b", &[("if-match", HELLO_ETAG)], "other")
        .await;
    assert_eq!(missing.error(), (404, "NoSuchKey".into()));
    assert_eq!(world.get("/logs/a").await.text(), "hello");
    let same = world
        .send("PUT", "/logs/a", &[("if-match", HELLO_ETAG)], "other")
        .await;
    assert_eq!(same.status, 200);
    // Neither what was replaced nor what was refused is left.
    assert_eq!(world.blobs(), 1);
}

#[tokio::test]
async fn checksums_are_verified_and_given_back() {
    let world = World::with_bucket().await;
    for (name, value) in [
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-checksum-crc32c", "mnG7TA=="),
        ("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        (
            "x-amz-checksum-sha256",
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        ),
        ("x-amz-checksum-crc64nvme", "M3eFcAZSQlc="),
    ] {
        let put = world
            .send("PUT", "/logs/a", &[(name, value)], "hello")
            .await;
        assert_eq!(
            (put.status.as_u16(), put.header(name)),
            (200, value),
            "{}",
            put.text()
        );
        let got = world
            .send("GET", "/logs/a", &[("x-amz-checksum-mode", "ENABLED")], "")
            .await;
        assert_eq!(
            (got.header(name), got.header("x-amz-checksum-type")),
            (value, "FULL_OBJECT")
        );
        assert_eq!(world.get("/logs/a").await.header(name), "");
        let bad = world
            .send("PUT", "/logs/a", &[(name, value)], "other")
            .await;
        assert_eq!(bad.error(), (400, "BadDigest".into()), "{name}");
    }
    let md5 = [("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")];
    assert_eq!(
        world.send("PUT", "/logs/a", &md5, "hello").await.status,
        200
    );
    assert_eq!(
        world.send("PUT", "/logs/a", &md5, "other").await.error(),
        (400, "BadDigest".into())
    );
    let broken = world
        .send("PUT", "/logs/a", &[("content-md5", "x")], "hello")
        .await;
    assert_eq!(broken.error(), (400, "InvalidDigest".into()));
    assert_eq!(
        world
            .put("/logs/a", "hello")
            .await
            .header("x-amz-checksum-crc64nvme"),
        "M3eFcAZSQlc="
    );
    assert_eq!(world.blobs(), 1);
}

#[tokio::test]
async fn a_checksum_may_come_in_a_trailer() {
    let world = World::with_bucket().await;
    for (value, status) in [("NhCmhg==", 200), ("AAAAAA==", 400)] {
        let name = HeaderName::from_static("x-amz-checksum-crc32");
        let trailers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        let body = Full::new(Bytes::from("hello")).with_trailers(async { Some(Ok(trailers)) });
        let request = Request::builder()
            .method("PUT")
            .uri("/logs/a")
            .header("x-amz-trailer", "x-amz-checksum-crc32")
            .header("content-length", "99")
            .header("x-amz-decoded-content-length", "5")
            .body(body)
            .unwrap();
        let answer = world.s3.call(world.caller.clone(), request).await;
        assert_eq!(answer.status(), status, "{value}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_leaves_nothing() {
    let world = World::with_bucket().await;
    let body = Broken(Some(Bytes::from(vec![7; 600_000])));
    let request = Request::builder()
        .method("PUT")
        .uri("/logs/a")
        .body(body)
        .unwrap();
    let answer = world.s3.call(world.caller.clone(), request).await;
    assert_eq!(answer.status(), 400);
    let short = world
        .send(
            "PUT",
            "/logs/a",
            &[("x-amz-decoded-content-length", "9")],
            "hello",
        )
        .await;
    assert_eq!(short.error(), (400, "IncompleteBody".into()));
    assert_eq!(
        world.get("/logs/a").await.error(),
        (404, "NoSuchKey".into())
    );
    assert_eq!(world.blobs(), 0);
}

/// Some content, then a broken connection.
struct Broken(Option<Bytes>);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let next = self.0.take().map(Frame::data);
        Poll::Ready(Some(next.ok_or_else(|| std::io::Error::other("gone"))))
    }
}

#[tokio::test]
async fn pages_follow_one_another() {
    let world = World::with_bucket().await;
    for i in 0..1_005 {
        world
            .s3
            .object_put(
                "logs",
                &format!("f/{i:04}"),
                Bytes::new(),
                ObjectAttributes::default(),
            )
            .await
            .unwrap();
    }
    for key in ["a", "z/1", "z/2"] {
        world.put(&format!("/logs/{key}"), "x").await;
    }
    let first = world.get("/logs?list-type=2").await;
    assert_eq!(
        (first.all("Key").len(), first.first("IsTruncated").as_str()),
        (1000, "true")
    );
    let token = first
        .first("NextContinuationToken")
        .replace('+', "%2B")
        .replace('=', "%3D");
    let rest = world
        .get(&format!("/logs?list-type=2&continuation-token={token}"))
        .await;
    assert_eq!(rest.all("Key").len(), 8);
    assert_eq!(rest.first("IsTruncated"), "false");
    assert_eq!(rest.first("KeyCount"), "8");

    // A thousand keys are one line.
    let rolled = world.get("/logs?list-type=2&delimiter=/").await;
    assert_eq!(rolled.all("Key"), ["a"]);
    assert_eq!(rolled.all("Prefix"), ["", "f/", "z/"]);
    assert_eq!(
        (
            rolled.first("KeyCount").as_str(),
            rolled.first("IsTruncated").as_str()
        ),
        ("3", "false")
    );

    // One line a page.
    let mut lines = Vec::new();
    let mut token = String::new();
    loop {
        let page = world
            .get(&format!("/logs?list-type=2&delimiter=/&max-keys=1{token}"))
            .await;
        lines.extend(page.all("Key"));
        lines.extend(page.all("Prefix").into_iter().skip(1));
        let next = page.first("NextContinuationToken");
        if next.is_empty() {
            break;
        }
        token = format!("&continuation-token={}", next.replace('=', "%3D"));
    }
    assert_eq!(lines, ["a", "f/", "z/"]);

    for (query, keys) in [
        (
            "list-type=2&start-after=f/1003",
            vec!["f/1004", "z/1", "z/2"],
        ),
        ("list-type=2&start-after=f/&prefix=z", vec!["z/1", "z/2"]),
        ("list-type=2&prefix=z/1", vec!["z/1"]),
        ("list-type=2&prefix=nothing", vec![]),
        ("list-type=2&max-keys=0", vec![]),
        ("marker=f/1004", vec!["z/1", "z/2"]),
        ("prefix=f/100&max-keys=2", vec!["f/1000", "f/1001"]),
    ] {
        assert_eq!(
            world.get(&format!("/logs?{query}")).await.all("Key"),
            keys,
            "{query}"
        );
    }
    let marked = world.get("/logs?delimiter=/&max-keys=2").await;
    assert_eq!(marked.first("NextMarker"), "f/");
    let marked = world.get("/logs?delimiter=/&marker=f/").await;
    assert_eq!(marked.all("Prefix"), ["", "z/"]);
    let negative = world.get("/logs?list-type=2&max-keys=-1").await;
    assert_eq!(negative.error(), (400, "InvalidArgument".into()));
    let versions = world.get("/logs?versions&prefix=a").await;
    assert_eq!(
        (versions.all("Key"), versions.first("VersionId").as_str()),
        (vec!["a".to_owned()], "null")
    );
}

#[tokio::test]
async fn copies_take_or_replace_the_metadata() {
    let world = World::with_bucket().await;
    let headers = [
        ("x-amz-meta-a", "1"),
        ("x-amz-tagging", "t=1"),
        ("content-type", "text/plain"),
    ];
    world.send("PUT", "/logs/%C3%A9", &headers, "hello").await;
    world.clock.set(world.clock.now() + TimeDelta::hours(1));
    let source = ("x-amz-copy-source", "/logs/%C3%A9");
    let copy = world.send("PUT", "/logs/b", &[source], "").await;
    assert_eq!(copy.first("ETag").replace("&quot;", "\""), HELLO_ETAG);
    let got = world.get("/logs/b").await;
    assert_eq!(
        (got.text().as_str(), got.header("x-amz-meta-a")),
        ("hello", "1")
    );
    assert_eq!(got.header("last-modified"), "Fri, 15 Jan 2027 09:00:00 GMT");
    assert_eq!(got.header("x-amz-tagging-count"), "1");
    let replace = [
        source,
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-b", "2"),
    ];
    world.send("PUT", "/logs/c", &replace, "").await;
    let got = world.get("/logs/c").await;
    assert_eq!(
        (got.header("x-amz-meta-a"), got.header("x-amz-meta-b")),
        ("", "2")
    );
    assert_eq!(got.header("content-type"), "binary/octet-stream");
    let onto_itself = world.send("PUT", "/logs/%C3%A9", &[source], "").await;
    assert_eq!(onto_itself.error(), (400, "InvalidRequest".into()));
    let missing = world
        .send("PUT", "/logs/d", &[("x-amz-copy-source", "logs/none")], "")
        .await;
    assert_eq!(missing.error(), (404, "NoSuchKey".into()));
    let matching = [source, ("x-amz-copy-source-if-none-match", HELLO_ETAG)];
    let refused = world.send("PUT", "/logs/d", &matching, "").await;
    assert_eq!(refused.error(), (412, "PreconditionFailed".into()));
    // Copies outlive what they were made of.
    world.delete("/logs/%C3%A9").await;
    assert_eq!(world.get("/logs/b").await.text(), "hello");
}

#[tokio::test]
async fn many_are_deleted_at_once() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "x").await;
    world.put("/logs/b", "x").await;
    let body = "<Delete><Object><Key>a</Key></Object><Object><Key>none</Key></Object>\
        <Object><Key>b</Key><VersionId>7</VersionId></Object></Delete>";
    let answer = world.send("POST", "/logs?delete", &[], body).await;
    assert_eq!(answer.all("Key"), ["a", "none", "b"]);
    assert_eq!(answer.all("Code"), ["NoSuchVersion"]);
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>";
    let answer = world.send("POST", "/logs?delete", &[], quiet).await;
    assert!(answer.all("Key").is_empty());
    assert_eq!(world.blobs(), 0);
    let none = world
        .send("POST", "/logs?delete", &[], "<Delete></Delete>")
        .await;
    assert_eq!(none.error(), (400, "MalformedXML".into()));
}

#[tokio::test]
async fn tags_and_acls_of_objects_change_alone() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "x").await;
    let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
    assert_eq!(world.put("/logs/a?tagging", tags).await.status, 200);
    assert_eq!(world.get("/logs/a?tagging").await.all("Value"), ["v"]);
    assert_eq!(world.delete("/logs/a?tagging").await.status, 204);
    assert!(world.get("/logs/a?tagging").await.all("Value").is_empty());
    let acl = [("x-amz-acl", "public-read")];
    assert_eq!(world.send("PUT", "/logs/a?acl", &acl, "").await.status, 200);
    assert_eq!(
        world.get("/logs/a?acl").await.all("Permission"),
        ["FULL_CONTROL", "READ"]
    );
    assert_eq!(
        world.put("/logs/none?tagging", tags).await.error(),
        (404, "NoSuchKey".into())
    );
    let eleven: String = (0..11)
        .map(|i| format!("<Tag><Key>{i}</Key><Value/></Tag>"))
        .collect();
    let eleven = format!("<Tagging><TagSet>{eleven}</TagSet></Tagging>");
    assert_eq!(
        world.put("/logs/a?tagging", eleven).await.error(),
        (400, "BadRequest".into())
    );
}

#[tokio::test]
async fn the_bucket_encrypts_what_says_nothing() {
    let world = World::with_bucket().await;
    let plain = world.put("/logs/a", "x").await;
    assert_eq!(plain.header("x-amz-server-side-encryption"), "AES256");
    let rule = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
        <SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>alias/k</KMSMasterKeyID>\
        </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    assert_eq!(world.put("/logs?encryption", rule).await.status, 200);
    world
        .s3
        .object_put("logs", "b", Bytes::from("x"), ObjectAttributes::default())
        .await
        .unwrap();
    let got = world.get("/logs/b").await;
    assert_eq!(
        got.header("x-amz-server-side-encryption-aws-kms-key-id"),
        "alias/k"
    );
}

#[tokio::test]
async fn deliveries_write_as_callers_do() {
    let world = World::with_bucket().await;
    let attributes = ObjectAttributes {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        acl: Some("bucket-owner-full-control".to_owned()),
        metadata: [("digest".to_owned(), "abc".to_owned())].into(),
        ..ObjectAttributes::default()
    };
    let key = "AWSLogs/111122223333/CloudTrail/é x.json.gz";
    world
        .s3
        .object_put("logs", key, Bytes::from("hello"), attributes)
        .await
        .unwrap();
    let got = world
        .get("/logs/AWSLogs/111122223333/CloudTrail/%C3%A9%20x.json.gz")
        .await;
    assert_eq!(got.text(), "hello");
    for (name, value) in [
        ("etag", HELLO_ETAG),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("x-amz-meta-digest", "abc"),
        ("x-amz-server-side-encryption", "AES256"),
    ] {
        assert_eq!(got.header(name), value, "{name}");
    }
    let missing = world
        .s3
        .object_put("none", key, Bytes::new(), ObjectAttributes::default())
        .await
        .unwrap_err();
    assert_eq!(
        (missing.code.as_ref(), missing.status),
        ("NoSuchBucket", 404)
    );
    assert_eq!(missing.message, "The specified bucket does not exist");
    assert!(world.s3.bucket_exists("logs"));
    assert!(!world.s3.bucket_exists("none"));
}

#[tokio::test]
async fn a_sweep_removes_what_no_object_has() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "hello").await;
    std::fs::write(world.folder.path().join("objects/orphan"), "x").unwrap();
    assert_eq!(world.blobs(), 2);
    world.s3.open().await.unwrap();
    assert_eq!(world.blobs(), 1);
    assert_eq!(world.get("/logs/a").await.text(), "hello");
    let forgotten = world.s3.shelf.store.reset().await.unwrap();
    world.s3.forget(forgotten).await;
    assert_eq!(world.blobs(), 0);
    assert_eq!(
        world.get("/logs/a").await.error(),
        (404, "NoSuchBucket".into())
    );
}

#[tokio::test]
async fn readers_and_writers_of_one_key_do_not_meet() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "0".repeat(1000)).await;
    let writes = async {
        for i in 1..100 {
            world
                .put("/logs/a", (i % 10).to_string().repeat(1000))
                .await;
        }
    };
    let reads = async {
        for _ in 0..100 {
            let got = world.get("/logs/a").await;
            assert_eq!(got.status, 200);
            assert_eq!(got.body.len(), 1000);
            assert!(got.body.iter().all(|byte| byte == &got.body[0]));
        }
    };
    tokio::join!(writes, reads);
    assert_eq!(world.blobs(), 1);
}

#[tokio::test]
async fn small_content_needs_no_file() {
    let world = World::keeping(5).await;
    world.put("/logs", "").await;
    world.put("/logs/small", "hello").await;
    assert_eq!(world.blobs(), 0);
    assert_eq!(world.get("/logs/small").await.text(), "hello");
    for (range, text) in [
        ("bytes=0-0", "h"),
        ("bytes=1-3", "ell"),
        ("bytes=-2", "lo"),
        ("bytes=4-", "o"),
    ] {
        let part = world
            .send("GET", "/logs/small", &[("range", range)], "")
            .await;
        assert_eq!(
            (part.status.as_u16(), part.text()),
            (206, text.to_owned()),
            "{range}"
        );
    }
    let head = world.send("HEAD", "/logs/small", &[], "").await;
    assert_eq!(head.header("content-length"), "5");

    let from = [("x-amz-copy-source", "/logs/small")];
    assert_eq!(world.send("PUT", "/logs/copy", &from, "").await.status, 200);
    assert_eq!(world.get("/logs/copy").await.text(), "hello");

    // It grows, and shrinks again: the file comes, and goes.
    world.put("/logs/small", "hello, world").await;
    assert_eq!(world.blobs(), 1);
    assert_eq!(world.get("/logs/small").await.text(), "hello, world");
    world.put("/logs/small", "hi").await;
    assert_eq!(world.blobs(), 0);
    assert_eq!(world.get("/logs/small").await.text(), "hi");

    let listed = world.get("/logs?list-type=2").await;
    assert_eq!(listed.all("Key"), ["copy", "small"]);
    assert_eq!(listed.all("Size"), ["5", "2"]);
    world.delete("/logs/small").await;
    world.delete("/logs/copy").await;
    assert_eq!(world.delete("/logs").await.status, 204);
}

#[tokio::test]
async fn a_small_part_has_a_file_until_it_is_joined() {
    let world = World::keeping(64).await;
    world.put("/logs", "").await;
    world.put("/logs/source", "0123456789").await;
    let upload = world.send("POST", "/logs/joined?uploads", &[], "").await;
    let id = upload.first("UploadId");
    let copied = world
        .send(
            "PUT",
            &format!("/logs/joined?partNumber=1&uploadId={id}"),
            &[
                ("x-amz-copy-source", "/logs/source"),
                ("x-amz-copy-source-range", "bytes=2-5"),
            ],
            "",
        )
        .await;
    assert_eq!(copied.status, 200);
    assert_eq!(world.blobs(), 1);
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        copied.first("ETag")
    );
    let path = format!("/logs/joined?uploadId={id}");
    assert_eq!(world.send("POST", &path, &[], parts).await.status, 200);
    assert_eq!(world.get("/logs/joined").await.text(), "2345");
}
