//! What the tests of this module share.

use http::request::Parts;

use super::model::Protocol;
use super::models;
use super::route::Call;

/// A call of an operation in its service's preferred protocol.
pub(super) fn call(service: &str, operation: &str) -> Call {
    let service = models().service(service).unwrap();
    Call {
        service,
        operation: service.operation(operation).unwrap(),
        protocol: service.protocol(),
    }
}

/// The same in another protocol.
pub(super) fn call_in(protocol: Protocol, service: &str, operation: &str) -> Call {
    Call {
        protocol,
        ..call(service, operation)
    }
}

/// Head of a request; `line` is `GET /path?query`, `headers` are lines `name: value`.
pub(super) fn head(line: &str, headers: &str) -> Parts {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = http::Request::builder().method(method).uri(uri);
    for header in headers.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = header.split_once(':').unwrap();
        request = request.header(name.trim(), value.trim());
    }
    request.body(()).unwrap().into_parts().0
}

/// The header of a signature for a service.
pub(super) fn signed(service: &str) -> String {
    format!(
        "x-amz-date: 20240501T000000Z\nauthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20240501/\
         us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, Signature=00\n"
    )
}
