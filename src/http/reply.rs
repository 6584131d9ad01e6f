//! Answers that localtrail makes itself: JSON of its API, errors in the caller's protocol, request ids.

use axum::body::Body;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{Caller, service_of};
use crate::api;
use crate::aws::encode;
use crate::aws::model::Protocol;
use crate::aws::route;
use crate::aws::sigv4::SignatureError;
use crate::aws::verify::{Dialect, Refusal};
use crate::clock::{Ids, alphabet};

/// When the policy templates were written, as their names say.
const TEMPLATE_DATE: &str = "Wed, 17 Dec 2014 00:00:00 GMT";

/// Knows how one caller wants to be answered.
pub(super) struct Replier {
    pub(super) protocol: Protocol,
    is_s3: bool,
    is_head: bool,
    /// The id that the caller will see.
    pub(super) request_id: String,
}

impl Replier {
    pub(super) fn new(parts: &Parts, caller: &Caller, ids: &Ids) -> Self {
        let protocol = route::protocol(parts, service_of(&caller.signing_name));
        // A request with a target is none of S3's, whatever its scope says.
        let is_s3 = caller.signing_name == "s3" && protocol != Protocol::Json;
        let request_id = if is_s3 {
            ids.text(16, alphabet::UPPER)
        } else {
            ids.uuid().to_string()
        };
        Self {
            protocol,
            is_s3,
            is_head: parts.method == Method::HEAD,
            request_id,
        }
    }

    /// `200` with the JSON of an operation of CloudTrail.
    pub(super) fn json(&self, body: Vec<u8>) -> Response {
        self.response(StatusCode::OK, "application/x-amz-json-1.1", body)
    }

    /// An answer with a body that is at hand.
    pub(super) fn response(
        &self,
        status: StatusCode,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Response {
        let mut response = Response::new(if self.is_head {
            Body::empty()
        } else {
            Body::from(body)
        });
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.stamp(&mut response);
        response
    }

    /// A policy template, as S3 gives an object.
    pub(super) fn template(&self, text: String) -> Response {
        let length = HeaderValue::from(text.len());
        let mut response = self.response(StatusCode::OK, "application/json", text.into_bytes());
        let modified = HeaderValue::from_static(TEMPLATE_DATE);
        let headers = response.headers_mut();
        headers.insert(header::LAST_MODIFIED, modified);
        headers.insert(header::CONTENT_LENGTH, length);
        response
    }

    /// An error of the door or of an embedded service, in the caller's protocol.
    pub(super) fn error(&self, status: StatusCode, code: &str, message: &str) -> Response {
        let (headers, body) = encode::error(
            self.protocol,
            self.is_s3,
            code,
            message,
            status.is_client_error(),
            &self.request_id,
        );
        let mut response = Response::new(if self.is_head {
            Body::empty()
        } else {
            Body::from(body)
        });
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        self.stamp(&mut response);
        response
    }

    /// A body that broke off, or stood still for too long.
    pub(super) fn broken_body(&self) -> Response {
        if self.is_s3 {
            let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
            return self.error(StatusCode::BAD_REQUEST, "IncompleteBody", message);
        }
        let message = "the body did not come to its end in time";
        self.error(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message)
    }

    /// An `Authorization` that cannot be read; services differ in how they call it.
    pub(super) fn incomplete_signature(&self, error: &SignatureError) -> Response {
        let refusal = Refusal::Malformed {
            message: error.to_string(),
            in_query: false,
        };
        self.refusal(&refusal)
    }

    /// A request that `--verify-signatures` does not let in. SDKs that find their clock wrong set it by our `Date`.
    pub(super) fn refused(&self, refusal: &Refusal, now: DateTime<Utc>) -> Response {
        let mut response = self.refusal(refusal);
        let now = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(now) = HeaderValue::from_str(&now) {
            response.headers_mut().insert(header::DATE, now);
        }
        response
    }

    fn refusal(&self, refusal: &Refusal) -> Response {
        let answer = refusal.answer(Dialect::of(self.protocol, self.is_s3));
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
        self.error(status, answer.code, &answer.message)
    }

    /// An error of CloudTrail. What lies beneath one of ours is logged here, once, and not told.
    pub(super) fn api_error(&self, error: &api::Error) -> Response {
        if let Some(source) = std::error::Error::source(error) {
            tracing::error!(
                request.id = self.request_id,
                "{}: {source}",
                error.code().as_str()
            );
        }
        let status = StatusCode::from_u16(error.code().status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // The key is `Message` with a capital here (facts 1.2), unlike in other services.
        let body =
            serde_json::json!({ "__type": error.code().as_str(), "Message": error.message() });
        self.response(
            status,
            "application/x-amz-json-1.1",
            body.to_string().into_bytes(),
        )
    }

    /// Puts the request id on an answer, where its service puts it.
    pub(super) fn stamp(&self, response: &mut Response) {
        let name = if self.is_s3 {
            "x-amz-request-id"
        } else {
            "x-amzn-requestid"
        };
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
}
