//! Signatures: a header or query made as SDKs make it is read for what it says, a request signed is admitted, and none
//! that was changed since.

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Request};
use localtrail::aws::arn::is_region;
use localtrail::aws::sigv4::{self, Form, Signer};
use localtrail::aws::verify::{Claim, Key};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::proptest;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::{config, entropy};

/// A part of a credential scope.
fn part(dice: &mut Dice<'_>) -> String {
    let word = dice.word(Place::Header);
    let part: String = word
        .chars()
        .filter(|letter| !matches!(letter, '/' | '=' | ';'))
        .collect();
    if part.is_empty() {
        "AKIDEXAMPLE".to_owned()
    } else {
        part
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-22T15:01:30Z".parse().unwrap()
}

fn key() -> Key {
    Key {
        secret: "secret".to_owned(),
        token: None,
        expires: None,
    }
}

/// A request, signed.
fn signed(dice: &mut Dice<'_>) -> Request<Vec<u8>> {
    let service = *dice.pick(&["s3", "sns", "cloudtrail", "execute-api"]);
    let segments: Vec<String> = (0..dice.below(4))
        .map(|_| utf8_percent_encode(&dice.word(Place::Anywhere), NON_ALPHANUMERIC).to_string())
        .collect();
    let pairs: Vec<String> = (0..dice.below(4))
        .map(|_| {
            let mut encoded =
                || utf8_percent_encode(&dice.word(Place::Anywhere), NON_ALPHANUMERIC).to_string();
            format!("{}={}", encoded(), encoded())
        })
        .collect();
    let uri = match pairs.is_empty() {
        true => format!("/{}", segments.join("/")),
        false => format!("/{}?{}", segments.join("/"), pairs.join("&")),
    };
    let method = *dice.pick(&["GET", "POST", "PUT"]);
    let body = dice.bytes(20);
    let mut request = Request::builder()
        .method(method)
        .uri(&uri)
        .header("host", "localhost:4580")
        .header("x-amz-meta", dice.word(Place::Header))
        .body(body)
        .unwrap();
    let signer = Signer {
        access_key: "AKIDEXAMPLE",
        secret_key: "secret",
        session_token: None,
        region: "us-east-1",
        service,
        time: now(),
    };
    let added = signer
        .sign(
            request.method(),
            request.uri(),
            request.headers(),
            request.body(),
        )
        .unwrap();
    request.headers_mut().extend(added);
    request
}

/// Whether the door would let it in.
fn is_admitted(request: Request<Vec<u8>>, key: &Key, now: DateTime<Utc>) -> bool {
    let (parts, body) = request.into_parts();
    let Ok(claim) = Claim::read(&parts, None, now) else {
        return false;
    };
    let holds = claim.check_signature(&parts, key, &body).is_ok();
    // The hash that it declares is compared where the body passes.
    holds
        && match &claim.payload {
            localtrail::aws::verify::Payload::Hash(hash) => *hash == sha256(&body),
            _ => true,
        }
}

fn sha256(body: &[u8]) -> String {
    use sha2::Digest as _;
    localtrail::aws::verify::hex(&sha2::Sha256::digest(body))
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_header_is_read_for_what_it_says(bytes in entropy(200)) {
        let mut dice = Dice::new(&bytes);
        let (access_key, region, service) = (part(&mut dice), part(&mut dice), part(&mut dice));
        let credential = format!("{access_key}/20261122/{region}/{service}/aws4_request");
        let mut parameters = [
            format!("Credential={credential}"),
            "SignedHeaders=host;x-amz-date".to_owned(),
            "Signature=00".to_owned(),
        ];
        let shift = dice.below(3);
        parameters.rotate_left(shift);
        let between = *dice.pick(&[", ", ",", " , "]);
        let request = Request::get("/")
            .header("authorization", format!("AWS4-HMAC-SHA256 {}", parameters.join(between)))
            .header("x-amz-date", "20261122T150130Z");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let read = sigv4::parse(&parts).unwrap().unwrap();
        let region = if is_region(&region) { region } else { String::new() };
        assert_eq!((read.access_key, read.region, read.service), (access_key, region, service));
        assert_eq!(read.form, Form::Header);
    }

    #[test]
    fn a_query_is_read_for_what_it_says(bytes in entropy(200)) {
        let mut dice = Dice::new(&bytes);
        let (access_key, region, service) = (part(&mut dice), part(&mut dice), part(&mut dice));
        let credential = format!("{access_key}/20261122/{region}/{service}/aws4_request");
        let credential = utf8_percent_encode(&credential, NON_ALPHANUMERIC);
        let uri = format!(
            "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date=20261122T150130Z\
             &X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
        );
        let (parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        let read = sigv4::parse(&parts).unwrap().unwrap();
        let region = if is_region(&region) { region } else { String::new() };
        assert_eq!((read.access_key, read.region, read.service), (access_key, region, service));
        assert_eq!(read.form, Form::Query);
    }

    #[test]
    fn a_signed_request_is_admitted_and_no_other(bytes in entropy(300)) {
        let mut dice = Dice::new(&bytes);
        let request = signed(&mut dice);
        assert!(is_admitted(request.clone(), &key(), now()), "{request:?}");

        let other = Key { secret: "Secret".to_owned(), ..key() };
        assert!(!is_admitted(request.clone(), &other, now()), "another key");
        for late in [TimeDelta::minutes(16), TimeDelta::minutes(-16)] {
            assert!(!is_admitted(request.clone(), &key(), now() + late), "at another time");
        }
        let mut changed = request.clone();
        changed.body_mut().push(0);
        assert!(!is_admitted(changed, &key(), now()), "another body");
        let mut changed = request.clone();
        *changed.uri_mut() = format!("/x{}", request.uri()).parse().unwrap();
        assert!(!is_admitted(changed, &key(), now()), "another path");
        let mut changed = request.clone();
        changed.headers_mut().insert("x-amz-meta", "other".parse().unwrap());
        assert!(!is_admitted(changed, &key(), now()), "another header");
        let mut changed = request.clone();
        let signature = request.headers()["authorization"].to_str().unwrap();
        let more = format!("{signature}, Credential=AKIDOTHER/20261122/us-east-1/iam/aws4_request");
        changed.headers_mut().insert("authorization", more.parse().unwrap());
        assert!(!is_admitted(changed, &key(), now()), "another credential beside");
        let mut changed = request.clone();
        *changed.method_mut() = http::Method::DELETE;
        assert!(!is_admitted(changed, &key(), now()), "another method");
    }

    #[test]
    fn mutated_signatures_do_no_harm(bytes in entropy(400)) {
        let mut dice = Dice::new(&bytes);
        let request = match dice.once_in(2) {
            true => Corpus::requests().mutated(&mut dice),
            false => {
                let written = corpus::written(&signed(&mut dice));
                corpus::mutate(&mut dice, &written, &written)
            }
        };
        let Some((parts, body)) = corpus::parse(&request) else {
            return Ok(());
        };
        let days = i64::from(dice.number().cast_signed());
        let at = if dice.once_in(2) { now() } else { DateTime::from_timestamp(days * 86_400, 0).unwrap_or_default() };
        if let Ok(claim) = Claim::read(&parts, None, at) {
            let _ = claim.check_token(&key(), at);
            let _ = claim.check_signature(&parts, &key(), &body);
            let mut verifier = claim.chunks(&key(), true);
            let _ = verifier.push(&body).and_then(|()| verifier.end());
        }
    }
}

#[test]
fn dates_that_no_calendar_has_are_refused() {
    for date in [
        "+262142 12 31T235959Z",
        "-262143 01 01T000000Z",
        "99999999T999999Z",
        "20261122T250000Z",
        "20261122T235960Z",
        "",
    ] {
        for expires in ["0", "604800", "-1", "9223372036854775807", "x"] {
            let day: String = date
                .chars()
                .take_while(|letter| *letter != 'T')
                .filter(|it| *it != ' ')
                .collect();
            let query = [
                ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
                (
                    "X-Amz-Credential",
                    &format!("AKIDEXAMPLE/{day}/us-east-1/s3/aws4_request"),
                ),
                ("X-Amz-Date", date),
                ("X-Amz-Expires", expires),
                ("X-Amz-SignedHeaders", "host"),
                ("X-Amz-Signature", "00"),
            ];
            let query = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(query)
                .finish();
            let (mut parts, ()) = Request::get(format!("/?{query}"))
                .body(())
                .unwrap()
                .into_parts();
            parts.headers =
                HeaderMap::from_iter([(http::header::HOST, "localhost".parse().unwrap())]);
            let claim = Claim::read(&parts, None, now());
            assert!(
                claim.is_err() || date == "20261122T235960Z",
                "{date} {expires}"
            );
            // Where the clock itself stands at an end of time, they may be right.
            for now in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
                let _ = Claim::read(&parts, None, now);
            }
        }
    }
}
