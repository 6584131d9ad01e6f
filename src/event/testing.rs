//! Calls for the tests of this module's files: by operation and parameters, without HTTP where HTTP says nothing.

use chrono::DateTime;
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;

use super::build::{self, build};
use super::{Event, Exchange, Outcome, Principal};
use crate::aws::model::Protocol;
use crate::aws::route::Call;
use crate::aws::sigv4::{Form, Signature};
use crate::aws::{Params, encode, models};

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const REGION: &str = "eu-west-1";

/// A call and its end; fields may be set before it is built.
pub(super) struct TestCall {
    pub call: Call,
    pub parts: Parts,
    pub params: Option<Params>,
    pub body: Option<Vec<u8>>,
    pub outcome: Outcome,
    pub answer: HeaderMap,
}

impl TestCall {
    /// `service` is botocore's name.
    pub(super) fn new(service: &str, operation: &str, params: Value) -> Self {
        let service = models().service(service).unwrap();
        let operation = service.operation(operation).unwrap();
        let Value::Object(params) = params else {
            panic!("parameters are an object")
        };
        Self {
            call: Call {
                service,
                operation,
                protocol: service.protocol(),
            },
            parts: parts("/", &[]),
            params: Some(params),
            body: None,
            outcome: Outcome::Success(None),
            answer: HeaderMap::new(),
        }
    }

    /// `answer` has the members by the model's names.
    pub(super) fn answered(mut self, answer: &Value) -> Self {
        let mut members = answer.as_object().cloned();
        if self.call.protocol == Protocol::Ec2 {
            let (body, _) = encode::output(&self.call, &members.unwrap_or_default(), "request-1");
            members = build::answer(&self.call, StatusCode::OK, &HeaderMap::new(), &body);
        }
        self.outcome = Outcome::Success(members);
        self
    }

    pub(super) fn record(self) -> Event {
        self.record_as(&Principal::root(ACCOUNT, "aws"), "1.11")
    }

    pub(super) fn record_as(self, principal: &Principal, version: &str) -> Event {
        let signature = Signature {
            access_key: "AKIAEXAMPLEKEY000001".to_owned(),
            region: REGION.to_owned(),
            service: self.call.service.signing_name.to_string(),
            form: Form::Header,
            has_token: false,
        };
        let exchange = Exchange {
            call: self.call,
            parts: &self.parts,
            signature: Some(&signature),
            params: self.params,
            body: self.body.as_deref(),
            outcome: self.outcome,
            response_headers: &self.answer,
            bytes_in: 12,
            bytes_out: 34,
            time: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            source_ip: "192.0.2.10".parse().unwrap(),
            request_id: "request-1".to_owned(),
            event_id: "5f1c4c3e-0000-4000-8000-000000000001".to_owned(),
            region: REGION,
            account: ACCOUNT,
            tls: None,
        };
        build(exchange, principal, version)
    }
}

/// The head of a request to `path`.
pub(super) fn parts(path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder()
        .uri(path)
        .header("host", "localhost:4580")
        .header("user-agent", "test/1.0");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// `requestParameters` of a call.
pub(super) fn request_parameters(service: &str, operation: &str, params: Value) -> Value {
    TestCall::new(service, operation, params)
        .record()
        .request_parameters
}
