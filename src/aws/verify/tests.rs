//! Signatures by AWS's own examples, by the crate, and broken by hand.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::request::Parts;
use http::{HeaderMap, Method};

use super::{Claim, Dialect, Key, MAX_SKEW, Payload, Refusal};
use crate::aws::sigv4::Signer;
use crate::aws::testing::head;

const S3_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const DAY: i64 = 1_369_353_600; // 2013-05-24T00:00:00Z

fn key(secret: &str) -> Key {
    Key {
        secret: secret.to_owned(),
        token: None,
        expires: None,
    }
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn check(parts: &Parts, secret: &str, now: DateTime<Utc>, body: &[u8]) -> Result<Claim, Refusal> {
    let claim = Claim::read(parts, None, now)?;
    claim.check_token(&key(secret), now)?;
    claim.check_signature(parts, &key(secret), body)?;
    Ok(claim)
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>,
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>,
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
#[test]
fn awss_own_examples_verify() {
    let scope = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let bucket = "host: examplebucket.s3.amazonaws.com\nx-amz-date: 20130524T000000Z\n";
    let cases = [
        (
            "GET /test.txt",
            format!(
                "{bucket}range: bytes=0-9\nx-amz-content-sha256: {empty}\nauthorization: AWS4-HMAC-SHA256 Credential={scope},SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
            ),
            S3_KEY,
            DAY,
        ),
        (
            "GET /?lifecycle",
            format!(
                "{bucket}x-amz-content-sha256: {empty}\nauthorization: AWS4-HMAC-SHA256 Credential={scope},SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
            ),
            S3_KEY,
            DAY,
        ),
        (
            "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
            "host: examplebucket.s3.amazonaws.com".to_owned(),
            S3_KEY,
            DAY + 86_400,
        ),
        (
            "GET /?Action=ListUsers&Version=2010-05-08",
            "host: iam.amazonaws.com\ncontent-type: application/x-www-form-urlencoded; charset=utf-8\nx-amz-date: 20150830T123600Z\nauthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7".to_owned(),
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            1_440_938_160,
        ),
    ];
    for (line, headers, secret, at) in cases {
        let parts = head(line, &headers);
        let outcome = check(&parts, secret, time(at), b"").map(|claim| claim.access_key);
        assert!(outcome.is_ok(), "{line}: {outcome:?}");
        let other = check(&parts, "another secret", time(at), b"").err();
        assert_eq!(other, Some(Refusal::Mismatch), "{line}");
    }
}

/// The examples of <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html> and
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>.
fn chunked(trailers: bool) -> (Claim, Vec<u8>) {
    let (kind, seed, signatures, headers, end) = if trailers {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
            "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
            "x-amz-checksum-crc32c:sOO8/Q==\r\n\
             x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        )
    } else {
        (
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
            "\r\n",
        )
    };
    let text = format!(
        "host: s3.amazonaws.com\nx-amz-date: 20130524T000000Z\nx-amz-storage-class: REDUCED_REDUNDANCY\nx-amz-content-sha256: {kind}\ncontent-encoding: aws-chunked\nx-amz-decoded-content-length: 66560\ncontent-length: 66824\nx-amz-trailer: x-amz-checksum-crc32c\nauthorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={headers},Signature={seed}"
    );
    let text = match trailers {
        true => text,
        false => text.replace("x-amz-trailer: x-amz-checksum-crc32c\n", ""),
    };
    let parts = head("PUT /examplebucket/chunkObject.txt", &text);
    let claim = check(&parts, S3_KEY, time(DAY), b"").unwrap();
    assert_eq!(claim.payload, Payload::Chunks { trailers });
    let mut body = Vec::new();
    for (size, signature) in [65_536, 1_024, 0].into_iter().zip(signatures) {
        body.extend(format!("{size:x};chunk-signature={signature}\r\n").bytes());
        body.extend(vec![b'a'; size]);
        if size > 0 {
            body.extend(b"\r\n");
        }
    }
    body.extend(end.bytes());
    (claim, body)
}

fn verify(claim: &Claim, trailers: bool, body: &[u8], step: usize) -> Result<(), Refusal> {
    let mut verifier = claim.chunks(&key(S3_KEY), trailers);
    for piece in body.chunks(step) {
        verifier.push(piece)?;
    }
    verifier.end()
}

#[test]
fn chunks_and_trailers_of_awss_examples_verify_however_they_are_cut() {
    for trailers in [false, true] {
        let (claim, body) = chunked(trailers);
        for step in [1, 100, 65_000, body.len()] {
            assert_eq!(verify(&claim, trailers, &body, step), Ok(()), "{step}");
        }
    }
}

#[test]
fn no_byte_of_signed_chunks_can_be_changed() {
    for trailers in [false, true] {
        let (claim, body) = chunked(trailers);
        // In the first data, the second chunk's signature, the last chunk's, and the end.
        let last = body.len() - if trailers { 190 } else { 20 };
        for at in [100, 65_536 + 120, last, body.len() - 8] {
            let mut other = body.clone();
            other[at] ^= 1;
            let outcome = verify(&claim, trailers, &other, 4_096);
            assert!(outcome.is_err(), "byte {at} of {trailers}");
        }
        let short = &body[..body.len() - 2];
        let outcome = verify(&claim, trailers, short, 4_096);
        assert_eq!(outcome, Err(Refusal::BrokenBody), "{trailers}");
    }
}

#[test]
fn trailers_that_nobody_signed_are_refused() {
    let (claim, mut body) = chunked(false);
    body.truncate(body.len() - 2);
    body.extend(b"x-amz-checksum-crc32c:sOO8/Q==\r\n\r\n");
    assert_eq!(verify(&claim, false, &body, 4_096), Err(Refusal::Mismatch));
}

/// A request that is signed by the crate, as the SDKs for Rust sign.
fn signed(line: &str, service: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Parts {
    let mut parts = head(line, "host: localhost:4580");
    for (name, value) in headers {
        parts.headers.insert(*name, value.parse().unwrap());
    }
    let signer = Signer {
        access_key: "AKIDEXAMPLE",
        secret_key: S3_KEY,
        session_token: None,
        region: "eu-west-1",
        service,
        time: time(DAY),
    };
    let added: HeaderMap = signer
        .sign(&parts.method, &parts.uri, &parts.headers, body)
        .unwrap();
    parts.headers.extend(added);
    parts
}

#[test]
fn what_is_signed_cannot_be_changed_and_what_is_not_can() {
    let original = || {
        signed(
            "POST /a%20b/../c?x=1&y",
            "sns",
            &[("x-own", "  two  words ")],
            b"body",
        )
    };
    let outcome = |parts: &Parts, body: &[u8]| check(parts, S3_KEY, time(DAY), body).err();
    assert_eq!(outcome(&original(), b"body"), None);
    assert_eq!(outcome(&original(), b"b0dy"), Some(Refusal::Mismatch));
    type Change = (&'static str, fn(&mut Parts), bool);
    let changes: &[Change] = &[
        ("method", |it| it.method = Method::PUT, false),
        ("path", |it| it.uri = "/other?x=1&y".parse().unwrap(), false),
        (
            "query",
            |it| it.uri = "/a%20b/../c?x=2&y".parse().unwrap(),
            false,
        ),
        (
            "order",
            |it| it.uri = "/a%20b/../c?y=&x=1".parse().unwrap(),
            true,
        ),
        (
            "host",
            |it| drop(it.headers.insert("host", "other".parse().unwrap())),
            false,
        ),
        (
            "header",
            |it| drop(it.headers.insert("x-own", "one".parse().unwrap())),
            false,
        ),
        (
            "spaces",
            |it| drop(it.headers.insert("x-own", "two words".parse().unwrap())),
            true,
        ),
        ("removed", |it| drop(it.headers.remove("x-own")), false),
        (
            "twice",
            |it| assert!(it.headers.append("x-own", "more".parse().unwrap())),
            false,
        ),
        (
            "unsigned",
            |it| drop(it.headers.insert("x-new", "more".parse().unwrap())),
            true,
        ),
    ];
    for (name, change, holds) in changes {
        let mut parts = original();
        change(&mut parts);
        assert_eq!(outcome(&parts, b"body").is_none(), *holds, "{name}");
    }
}

/// JavaScript's SDK declares the hash to every service.
#[test]
fn a_hash_that_is_declared_is_the_one_that_was_signed() {
    let hash = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
    let mut parts = signed("POST /", "sns", &[("x-amz-content-sha256", hash)], b"body");
    let claim = check(&parts, S3_KEY, time(DAY), b"").unwrap();
    assert_eq!(claim.payload, Payload::Hash(hash.to_owned()));
    for other in [hash.replace("230d", "230e").as_str(), "UNSIGNED-PAYLOAD"] {
        let other = other.parse().unwrap();
        parts.headers.insert("x-amz-content-sha256", other);
        let outcome = check(&parts, S3_KEY, time(DAY), b"");
        assert_eq!(outcome.err(), Some(Refusal::Mismatch));
    }
}

/// HTTP/2 has the host in the URI, and none in the head.
#[test]
fn a_host_in_the_uri_is_as_good_as_one_in_the_head() {
    let mut parts = signed("GET /?x=1", "sns", &[], b"");
    parts.headers.remove("host");
    let outcome = check(&parts, S3_KEY, time(DAY), b"");
    assert_eq!(
        outcome.err(),
        Some(Refusal::Mismatch),
        "there is none at all"
    );
    parts.uri = "http://localhost:4580/?x=1".parse().unwrap();
    assert!(check(&parts, S3_KEY, time(DAY), b"").is_ok());
    parts.uri = "http://localhost:4581/?x=1".parse().unwrap();
    assert!(check(&parts, S3_KEY, time(DAY), b"").is_err());
}

#[test]
fn a_key_of_s3_may_be_written_less_encoded_than_it_is_signed() {
    let mut parts = signed("GET /b/a%28b%29%2B%C3%A9", "s3", &[], b"");
    assert!(check(&parts, S3_KEY, time(DAY), b"").is_ok());
    parts.uri = "/b/a(b)+%C3%A9".parse().unwrap();
    assert!(check(&parts, S3_KEY, time(DAY), b"").is_ok());
    parts.uri = "/b/a(b)+%C3%A8".parse().unwrap();
    assert!(check(&parts, S3_KEY, time(DAY), b"").is_err());
}

#[test]
fn a_request_is_good_for_15_minutes_either_way() {
    for service in ["s3", "sns"] {
        let parts = signed("GET /", service, &[], b"");
        for (seconds, holds) in [(-901, false), (-900, true), (900, true), (901, false)] {
            let outcome = check(&parts, S3_KEY, time(DAY + seconds), b"");
            assert_eq!(outcome.is_ok(), holds, "{service} {seconds}");
        }
    }
    let skewed = |seconds| {
        let (signed, now) = (time(DAY), time(DAY + seconds));
        Refusal::Skewed { time: signed, now }
            .answer(Dialect::Json)
            .message
    };
    assert_eq!(
        skewed(1_000),
        "Signature expired: 20130524T000000Z is now earlier than 20130524T000140Z (20130524T001640Z - 15 min.)"
    );
    assert_eq!(
        skewed(-1_000),
        "Signature not yet current: 20130524T000000Z is still later than 20130523T235820Z (20130523T234320Z + 15 min.)"
    );
    assert_eq!(MAX_SKEW, TimeDelta::minutes(15));
}

#[test]
fn presigned_urls_have_a_life_that_they_say() {
    let outcome = |service: &str, expires: &str, seconds: i64| {
        let line = format!(
            "GET /b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20130524%2Feu-west-1%2F{service}%2Faws4_request\
             &X-Amz-Date=20130524T000000Z{expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
        );
        let parts = head(&line, "host: localhost");
        let claim = Claim::read(&parts, None, time(DAY + seconds));
        claim.err().map(|refusal| {
            let answer = refusal.answer(match service {
                "s3" => Dialect::S3,
                _ => Dialect::Query,
            });
            (answer.code, answer.message)
        })
    };
    let hour = "&X-Amz-Expires=3600";
    for (service, expires, seconds, expected) in [
        ("s3", hour, 3_600, None),
        (
            "s3",
            hour,
            3_601,
            Some(("AccessDenied", "Request has expired")),
        ),
        ("s3", hour, -900, None),
        (
            "s3",
            hour,
            -901,
            Some(("AccessDenied", "Request is not valid yet")),
        ),
        (
            "s3",
            "",
            0,
            Some(("AuthorizationQueryParametersError", "Query-string")),
        ),
        (
            "s3",
            "&X-Amz-Expires=soon",
            0,
            Some((
                "AuthorizationQueryParametersError",
                "X-Amz-Expires should be",
            )),
        ),
        (
            "s3",
            "&X-Amz-Expires=%2B60",
            0,
            Some((
                "AuthorizationQueryParametersError",
                "X-Amz-Expires should be",
            )),
        ),
        (
            "s3",
            "&X-Amz-Expires=-1",
            0,
            Some((
                "AuthorizationQueryParametersError",
                "X-Amz-Expires must be non",
            )),
        ),
        (
            "s3",
            "&X-Amz-Expires=604801",
            0,
            Some((
                "AuthorizationQueryParametersError",
                "X-Amz-Expires must be less",
            )),
        ),
        ("s3", "&X-Amz-Expires=604800", 604_800, None),
        ("sts", hour, 3_600, None),
        (
            "sts",
            hour,
            3_601,
            Some(("SignatureDoesNotMatch", "Signature expired: 2013")),
        ),
        ("sts", "", 900, None),
        (
            "sts",
            "",
            901,
            Some(("SignatureDoesNotMatch", "Signature expired: 2013")),
        ),
    ] {
        let got = outcome(service, expires, seconds);
        let fits = match (&got, expected) {
            (None, None) => true,
            (Some((code, message)), Some((wanted, start))) => {
                *code == wanted && message.starts_with(start)
            }
            _ => false,
        };
        assert!(fits, "{service} {expires} {seconds}: {got:?}");
    }
}

/// Whoever reads a request after us must find the key that was verified.
#[test]
fn a_request_has_one_signature_and_each_part_of_it_once() {
    let victim = "AKIDVICTIMEXAMPLE001/20130524/eu-west-1/sns/aws4_request";
    type Change = (&'static str, fn(&mut Parts, &str), &'static str);
    fn authorization(parts: &mut Parts, change: impl FnOnce(&str) -> String) {
        let value = parts.headers["authorization"].to_str().unwrap();
        let value = change(value).parse().unwrap();
        parts.headers.insert("authorization", value);
    }
    fn query(parts: &mut Parts, query: &str) {
        parts.uri = format!("/?{query}").parse().unwrap();
    }
    let changes: &[Change] = &[
        (
            "two credentials",
            |it, victim| authorization(it, |value| format!("{value}, Credential={victim}")),
            "IncompleteSignature",
        ),
        (
            "another parameter",
            |it, victim| authorization(it, |value| format!("{value}, credential={victim}")),
            "IncompleteSignature",
        ),
        (
            "a word alone",
            |it, victim| authorization(it, |value| format!("{value}, {victim}")),
            "IncompleteSignature",
        ),
        (
            "a header that can be none",
            |it, victim| {
                authorization(it, |value| {
                    value.replace("host;", &format!("host;{victim};"))
                })
            },
            "IncompleteSignature",
        ),
        (
            "a key for a region",
            |it, _| {
                authorization(it, |value| {
                    value.replace("eu-west-1", "AKIDVICTIMEXAMPLE001")
                })
            },
            "SignatureDoesNotMatch",
        ),
        (
            "two headers",
            |it, victim| {
                let other = format!("AWS4-HMAC-SHA256 Credential={victim}");
                assert!(it.headers.append("authorization", other.parse().unwrap()));
            },
            "IncompleteSignature",
        ),
        (
            "a credential in the query",
            |it, victim| query(it, &format!("x-amz-credential={victim}")),
            "IncompleteSignature",
        ),
        (
            "a signature in the query",
            |it, _| query(it, "X-Amz-Signature=00"),
            "IncompleteSignature",
        ),
        (
            "a key in the query",
            |it, _| query(it, "AWSAccessKeyId=AKIDVICTIMEXAMPLE001"),
            "IncompleteSignature",
        ),
    ];
    for (name, change, code) in changes {
        let mut parts = signed("POST /", "sns", &[], b"body");
        assert!(check(&parts, S3_KEY, time(DAY), b"body").is_ok());
        change(&mut parts, victim);
        let refusal = Claim::read(&parts, None, time(DAY)).err();
        let given = refusal.map(|it| it.answer(Dialect::Query).code);
        assert_eq!(given, Some(*code), "{name}");
    }
    for more in [
        "&X-Amz-Credential=x",
        "&x-amz-credential=x",
        "&X-Amz-Date=20130524T000000Z",
        "&X-Amz-Security-Token=t&X-Amz-Security-Token=u",
        "&AWSAccessKeyId=AKIDVICTIMEXAMPLE001",
        "",
    ] {
        let line = format!(
            "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20130524%2Feu-west-1%2Fsns%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00{more}"
        );
        let claim = Claim::read(&head(&line, "host: localhost"), None, time(DAY));
        let given = claim.err().map(|it| it.answer(Dialect::Query).code);
        let expected = (!more.is_empty()).then_some("IncompleteSignature");
        assert_eq!(given, expected, "{more}");
    }
}

#[test]
fn a_scheme_that_is_not_awss_is_told_so() {
    let scope = "AKIA/20260101/us-east-1/iam/aws4_request";
    let parts = head(
        "POST /",
        &format!("host: localhost\nauthorization: FOO Credential={scope}, x"),
    );
    let refusal = Claim::read(&parts, None, time(DAY)).unwrap_err();
    let json = refusal.answer(Dialect::Json);
    assert_eq!(json.code, "IncompleteSignatureException");
    let start = "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature'";
    assert!(json.message.starts_with(start), "{}", json.message);
    let s3 = refusal.answer(Dialect::S3);
    assert_eq!(
        (s3.code, s3.message.as_str()),
        ("InvalidArgument", "Unsupported Authorization Type")
    );
}

/// Else one signature would be good for every operation.
#[test]
fn what_is_asked_for_and_the_token_are_signed() {
    for name in ["x-amz-target", "x-amz-security-token"] {
        for service in ["cloudtrail", "s3"] {
            let mut parts = signed("POST /", service, &[], b"");
            parts.headers.insert(name, "t".parse().unwrap());
            let outcome = check(&parts, S3_KEY, time(DAY), b"");
            assert_eq!(outcome.err(), Some(Refusal::HeadersUnsigned), "{name}");
            let parts = signed("POST /", service, &[(name, "t")], b"");
            let claim = Claim::read(&parts, None, time(DAY));
            assert!(claim.is_ok(), "{name}: {claim:?}");
        }
    }
}

#[test]
fn words_for_a_hash_are_those_that_aws_has() {
    for (service, word, is_taken) in [
        ("transcribe", "STREAMING-AWS4-HMAC-SHA256-EVENTS", true),
        ("transcribe", "X-EVENTS", false),
        ("s3", "STREAMING-AWS4-HMAC-SHA256-EVENTS", false),
    ] {
        let mut parts = signed("POST /", service, &[("x-amz-content-sha256", word)], b"");
        parts
            .headers
            .insert("x-amz-content-sha256", word.parse().unwrap());
        let claim = Claim::read(&parts, None, time(DAY));
        assert_eq!(claim.is_ok(), is_taken, "{service} {word}: {claim:?}");
    }
}

#[test]
fn tokens_are_those_issued_and_end() {
    let now = time(DAY);
    let with = |token: Option<&str>, expires: Option<i64>| Key {
        token: token.map(str::to_owned),
        expires: expires.map(time),
        ..key(S3_KEY)
    };
    let outcome = |parts: &Parts, key: &Key| {
        let claim = Claim::read(parts, None, now).unwrap();
        claim.check_token(key, now).err()
    };
    let parts = signed("GET /", "sns", &[], b"");
    assert_eq!(outcome(&parts, &with(None, None)), None);
    assert_eq!(
        outcome(&parts, &with(Some("t"), None)),
        Some(Refusal::UnknownKey)
    );
    let parts = signed("GET /", "sns", &[("x-amz-security-token", "t")], b"");
    for (key, expected) in [
        (with(None, None), Some(Refusal::BadToken)),
        (with(Some("u"), None), Some(Refusal::BadToken)),
        (with(Some("t"), None), None),
        (with(Some("t"), Some(DAY + 1)), None),
        (with(Some("t"), Some(DAY)), Some(Refusal::ExpiredToken)),
    ] {
        assert_eq!(outcome(&parts, &key), expected);
    }
}

#[test]
fn each_reason_has_the_code_of_each_kind_of_service() {
    let now = time(DAY);
    let cases = [
        (
            Refusal::Missing,
            [
                "AccessDenied",
                "MissingAuthenticationToken",
                "MissingParameter",
                "MissingAuthenticationTokenException",
            ],
        ),
        (
            Refusal::Mismatch,
            [
                "SignatureDoesNotMatch",
                "SignatureDoesNotMatch",
                "AuthFailure",
                "InvalidSignatureException",
            ],
        ),
        (
            Refusal::UnknownKey,
            [
                "InvalidAccessKeyId",
                "InvalidClientTokenId",
                "AuthFailure",
                "UnrecognizedClientException",
            ],
        ),
        (
            Refusal::BadToken,
            [
                "InvalidToken",
                "InvalidClientTokenId",
                "AuthFailure",
                "UnrecognizedClientException",
            ],
        ),
        (
            Refusal::ExpiredToken,
            [
                "ExpiredToken",
                "ExpiredToken",
                "RequestExpired",
                "ExpiredTokenException",
            ],
        ),
        (
            Refusal::Skewed { time: now, now },
            [
                "RequestTimeTooSkewed",
                "SignatureDoesNotMatch",
                "RequestExpired",
                "InvalidSignatureException",
            ],
        ),
        (
            Refusal::Expired,
            [
                "AccessDenied",
                "SignatureDoesNotMatch",
                "AuthFailure",
                "InvalidSignatureException",
            ],
        ),
        (
            Refusal::BodyMismatch,
            [
                "XAmzContentSHA256Mismatch",
                "SignatureDoesNotMatch",
                "AuthFailure",
                "InvalidSignatureException",
            ],
        ),
        (
            Refusal::Unsupported { scheme: "AWS" },
            [
                "InvalidRequest",
                "IncompleteSignature",
                "IncompleteSignature",
                "IncompleteSignatureException",
            ],
        ),
        (
            Refusal::ScopeTerm {
                given: "x".to_owned(),
                in_query: true,
            },
            [
                "AuthorizationQueryParametersError",
                "SignatureDoesNotMatch",
                "AuthFailure",
                "InvalidSignatureException",
            ],
        ),
    ];
    let dialects = [Dialect::S3, Dialect::Query, Dialect::Ec2, Dialect::Json];
    for (refusal, codes) in cases {
        let given = dialects.map(|dialect| refusal.answer(dialect).code);
        assert_eq!(given, codes, "{refusal:?}");
    }
}

/// The strings to sign are made here; the crate makes them too, of chunks that are at hand.
#[test]
fn chunks_are_signed_as_the_crate_signs_them() {
    use aws_credential_types::Credentials;
    use aws_sigv4::sign::v4;
    let identity = Credentials::new("AKIDEXAMPLE", S3_KEY, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(time(DAY).into())
        .settings(())
        .build()
        .unwrap();
    let (claim, body) = chunked(true);
    let data = Bytes::from(vec![b'a'; 65_536]);
    let signature = v4::sign_chunk(&data, &claim.signature, &params).unwrap();
    let head = format!("10000;chunk-signature={}\r\n", signature.signature());
    assert!(body.starts_with(head.as_bytes()));
}
