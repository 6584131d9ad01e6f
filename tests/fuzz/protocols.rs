//! Routing and the parsers of the six protocols: what an SDK sends of a model is found and read back, what localtrail
//! writes is read back, and no other bytes do harm.

use ciborium::Value as Cbor;
use http::{HeaderMap, Method, StatusCode};
use localtrail::aws::model::{Location, Protocol, Service};
use localtrail::aws::route::{self, Call, Route};
use localtrail::aws::{body, encode, models, params, sigv4};
use proptest::prelude::proptest;
use serde_json::Value;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::requests::{self, Known};
use crate::{config, entropy};

/// Where requests go that another operation, of the same service or one of its signing name, has the very URI of.
fn has_twin(known: &Known, found: &Call) -> bool {
    let shape = |uri: &str| {
        let path = uri.split('?').next().unwrap_or_default();
        let segments = path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => "{}",
                false => segment,
            });
        segments
            .collect::<Vec<_>>()
            .join("/")
            .trim_end_matches('/')
            .to_owned()
    };
    let same_name = found.service.signing_name == known.service.signing_name;
    let is_rest = matches!(known.protocol, Protocol::RestJson | Protocol::RestXml);
    let same_uri = found.operation.method == known.operation.method
        && shape(&found.operation.uri) == shape(&known.operation.uri);
    same_name && (known.operation.name == found.operation.name || (is_rest && same_uri))
}

/// Whether a member that the operation requires, or its path, tells it from its twins. S3's sub-resources are told
/// by their query.
fn check_found(known: &Known) -> Option<Call> {
    let (parts, body) = known.request.clone().into_parts();
    let signature = sigv4::parse(&parts).unwrap();
    let found = route::find(&parts, signature.as_ref(), &body);
    let Route::Call(call) = found else {
        panic!("not found: {known:?}");
    };
    if call.service.id != known.service.id || call.operation.name != known.operation.name {
        assert!(has_twin(known, &call), "{}: {known:?}", call.operation.name);
        return None;
    }
    assert_eq!(call.protocol, known.protocol);
    Some(call)
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn what_an_sdk_sends_is_found_and_read_back(bytes in entropy(600)) {
        let known = requests::any(&mut Dice::new(&bytes));
        if let Some(call) = check_found(&known) {
            let (parts, body) = known.request.clone().into_parts();
            let read = params::request(&call, &parts, &body);
            assert_eq!(Value::from(read.unwrap()), Value::from(known.params.clone()), "{known:?}");
        }
    }

    #[test]
    fn what_is_answered_is_read_back(bytes in entropy(600)) {
        let mut dice = Dice::new(&bytes);
        let known = requests::any(&mut dice);
        let call = Call { service: known.service, operation: known.operation, protocol: known.protocol };
        let members = requests::output(&mut dice, call.service, call.operation, call.protocol);
        let (body, _) = encode::output(&call, &members, "id");
        let mut read = params::response(&call, StatusCode::OK, &HeaderMap::new(), &body).unwrap();
        let output = call.operation.output.and_then(|output| call.service.structure(output));
        // The status stands in no body.
        read.retain(|name, _| {
            let member = output.and_then(|output| output.member(name));
            member.is_none_or(|member| member.location != Location::StatusCode)
        });
        assert_eq!(Value::from(read), Value::from(members), "{} {}", call.service.id, call.operation.name);
    }

    #[test]
    fn errors_are_read_back(bytes in entropy(60)) {
        let mut dice = Dice::new(&bytes);
        let known = requests::any(&mut dice);
        let call = Call { service: known.service, operation: known.operation, protocol: known.protocol };
        // A record's message has no white space around it.
        let message = dice.word(Place::Xml).trim().to_owned();
        let is_s3 = &*call.service.id == "s3";
        let (headers, body) = encode::error(call.protocol, is_s3, "SomeError", &message, true, "id");
        let read = params::error(&call, StatusCode::BAD_REQUEST, &headers, &body);
        assert_eq!(read.code, "SomeError");
        assert_eq!(read.message.unwrap_or_default().trim(), message, "{:?}", call.protocol);
    }

    #[test]
    fn answers_are_well_formed_whatever_is_in_them(bytes in entropy(200)) {
        let mut dice = Dice::new(&bytes);
        let known = requests::any(&mut dice);
        let message = dice.text(Place::Anywhere);
        let is_s3 = &*known.service.id == "s3";
        let (_, body) = encode::error(known.protocol, is_s3, "SomeError", &message, true, "id");
        match known.protocol {
            Protocol::Json | Protocol::RestJson => drop(serde_json::from_slice::<Value>(&body).unwrap()),
            Protocol::Cbor => drop(ciborium::from_reader::<Cbor, _>(&*body).unwrap()),
            Protocol::Query | Protocol::Ec2 | Protocol::RestXml => assert_xml(&body),
        }
    }

    #[test]
    fn mutated_requests_do_no_harm(bytes in entropy(400)) {
        let mut dice = Dice::new(&bytes);
        let request = match dice.once_in(2) {
            true => Corpus::requests().mutated(&mut dice),
            false => {
                let known = corpus::written(&requests::any(&mut dice).request);
                corpus::mutate(&mut dice, &known, &known)
            }
        };
        read_all(&request);
    }
}

/// As the door and the recorder read a request that they know nothing of.
fn read_all(request: &[u8]) {
    let Some((parts, raw)) = corpus::parse(request) else {
        return;
    };
    let signature = sigv4::parse(&parts).unwrap_or_default();
    let _ = route::signing_name(&parts, signature.as_ref());
    let _ = route::s3_path(&parts);
    let unpacked = body::decode(&parts.headers, &raw, 1 << 20);
    assert!(
        unpacked
            .as_ref()
            .is_none_or(|content| content.len() <= 1 << 20)
    );
    let content = unpacked.unwrap_or_default();
    let found = route::find(&parts, signature.as_ref(), &content);
    let call = match found {
        Route::Call(call) => call,
        Route::Service(service, _) => first_call(service),
        Route::Unknown { .. } => first_call(models().service("s3").unwrap()),
    };
    let _ = route::protocol(&parts, Some(call.service));
    if let Ok(params) = params::request(&call, &parts, &content) {
        // Whatever is read can be written.
        let _ = encode::output(&call, &params, "id");
    }
    let _ = params::response(&call, StatusCode::OK, &parts.headers, &content);
    let _ = params::error(&call, StatusCode::BAD_REQUEST, &parts.headers, &content);
    let _ = params::request_id(&parts.headers, &content);
}

fn first_call(service: &'static Service) -> Call {
    Call {
        service,
        operation: &service.operations[0],
        protocol: service.protocol(),
    }
}

pub(crate) fn assert_xml(document: &[u8]) {
    let text = std::str::from_utf8(document).unwrap();
    let mut reader = quick_xml::Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut depth = 0;
    loop {
        match reader.read_event() {
            Ok(quick_xml::events::Event::Start(_)) => depth += 1,
            Ok(quick_xml::events::Event::End(_)) => depth -= 1,
            Ok(quick_xml::events::Event::Eof) => break,
            Ok(_) => {}
            Err(error) => panic!("{error}: {text}"),
        }
    }
    assert_eq!(depth, 0, "{text}");
    // The letters that XML 1.0 has (section 2.2).
    let is_char = |letter: char| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(is_char), "{text:?}");
}

/// Length of the bodies that are all of one kind.
const BODY: usize = 256 << 10;

#[test]
fn bodies_of_any_nesting_and_width_are_read_in_time_and_space_like_their_length() {
    let wide = |piece: &str| piece.repeat(BODY / piece.len());
    let cases = [
        ("cloudtrail", "LookupEvents", wide("[")),
        ("dynamodb", "PutItem", wide("{\"Item\":")),
        (
            "dynamodb",
            "PutItem",
            format!("{{{}\"x\":1}}", wide("\"Item\":{\"a\":{\"S\":\"\"}},")),
        ),
        ("sns", "Publish", wide("a=&")),
        ("sns", "Publish", wide("a.")),
        (
            "sns",
            "Publish",
            (0..25_000).map(|at| format!("Message{at}.b=&")).collect(),
        ),
        (
            "sns",
            "TagResource",
            (0..10_000)
                .map(|at| format!("Tags.member.{at}.Key=k&"))
                .collect(),
        ),
        ("sns", "TagResource", wide("Tags.member.1.Key=k&")),
        ("sns", "TagResource", wide("%41%")),
        ("s3", "DeleteObjects", wide("<Delete>")),
        (
            "s3",
            "DeleteObjects",
            format!("<Delete>{}</Delete>", wide("<Object><Key>k</Key></Object>")),
        ),
        (
            "s3",
            "DeleteObjects",
            format!("<Delete {}/>", wide("a='b' ")),
        ),
        (
            "s3",
            "DeleteObjects",
            format!("<Delete>{}</Delete>", wide("&amp;")),
        ),
        (
            "s3",
            "DeleteObjects",
            format!("<Delete>{}</Delete>", wide("<a/>")),
        ),
        ("cloudwatch", "PutMetricData", wide("\u{1}")),
    ];
    for (service, operation, sent) in cases {
        let service = models().service(service).unwrap();
        let operation = service.operation(operation).unwrap();
        for protocol in &service.protocols {
            let call = Call {
                service,
                operation,
                protocol: *protocol,
            };
            let request = http::Request::builder()
                .method(Method::POST)
                .uri("/b?delete");
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let start = std::time::Instant::now();
            let _ = params::request(&call, &parts, sent.as_bytes());
            let _ = params::response(&call, StatusCode::OK, &parts.headers, sent.as_bytes());
            let _ = params::error(
                &call,
                StatusCode::BAD_REQUEST,
                &parts.headers,
                sent.as_bytes(),
            );
            let _ = params::request_id(&parts.headers, sent.as_bytes());
            // Takes tenths of a second, where nothing is optimized; in squared time it would take minutes.
            assert!(
                start.elapsed().as_secs() < 10,
                "{} {:.40}",
                operation.name,
                sent
            );
        }
    }
}
