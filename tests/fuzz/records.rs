//! Records: whatever a call and its answer were, there is one, and it is JSON that is no longer than a record may be.

use http::{HeaderMap, StatusCode};
use localtrail::aws::route::{self, Call, Route};
use localtrail::aws::{encode, params, sigv4};
use localtrail::event::{Event, Exchange, Outcome, Principal, build};
use proptest::prelude::proptest;
use serde_json::Value;

use crate::corpus::{self, Corpus};
use crate::dice::{Dice, Place};
use crate::requests;
use crate::{config, entropy};

proptest! {
    #![proptest_config(config(384))]

    #[test]
    fn every_call_makes_a_record(bytes in entropy(800)) {
        let mut dice = Dice::new(&bytes);
        let is_mutated = dice.once_in(4);
        let (parts, body) = match is_mutated {
            true => match corpus::parse(&Corpus::requests().mutated(&mut dice)) {
                Some(request) => request,
                None => return Ok(()),
            },
            false => requests::any(&mut dice).request.into_parts(),
        };
        let signature = sigv4::parse(&parts).unwrap_or_default();
        let Route::Call(call) = route::find(&parts, signature.as_ref(), &body) else {
            return Ok(());
        };
        let event = record(&mut dice, call, &parts, signature.as_ref(), &body);
        assert!(!event.event_name.is_empty());
        let written = serde_json::to_string(&event).unwrap();
        assert!(written.len() <= 256 << 10, "{}", written.len());
        // It is read again as what it is, and holds no more of the signature than whose it is.
        let read: Value = serde_json::from_str(&written).unwrap();
        let again: Event = serde_json::from_value(read.clone()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), read);
        // One that was spliced into a parameter is a parameter.
        assert!(is_mutated || !written.contains("Signature=00"));
    }
}

fn record(
    dice: &mut Dice<'_>,
    call: Call,
    parts: &http::request::Parts,
    signature: Option<&sigv4::Signature>,
    body: &[u8],
) -> Event {
    let (headers, answer) = match dice.once_in(3) {
        true => encode::error(
            call.protocol,
            &*call.service.id == "s3",
            "SomeError",
            &dice.text(Place::Anywhere),
            true,
            "id",
        ),
        false => {
            let members = requests::output(dice, call.service, call.operation, call.protocol);
            (HeaderMap::new(), encode::output(&call, &members, "id").0)
        }
    };
    let outcome = match headers.is_empty() {
        true => Outcome::Success(build::answer(&call, StatusCode::OK, &headers, &answer)),
        false => Outcome::Failure(params::error(
            &call,
            StatusCode::BAD_REQUEST,
            &headers,
            &answer,
        )),
    };
    let exchange = Exchange {
        call,
        parts,
        signature,
        params: params::request(&call, parts, body).ok(),
        body: Some(body),
        outcome,
        response_headers: &headers,
        bytes_in: body.len() as u64,
        bytes_out: answer.len() as u64,
        time: "2026-11-22T15:01:30Z".parse().unwrap(),
        source_ip: [192, 0, 2, 10].into(),
        request_id: "5f1c4c3e-0000-4000-8000-000000000000".to_owned(),
        event_id: "5f1c4c3e-0000-4000-8000-000000000001".to_owned(),
        region: "us-east-1",
        account: "111122223333",
        tls: None,
    };
    build::build(exchange, &Principal::root("111122223333", "aws"), "1.11")
}
