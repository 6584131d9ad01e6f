//! The way to the embedded S3, SNS and STS: takes off what belongs to the transport (signature, chunks, virtual
//! hosts), and writes their answers in the caller's protocol.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body::{Body as _, Frame};

use super::reply::Replier;
use super::{Caller, Door, Unread};
use crate::app::App;
use crate::aws::body::{self, ChunkDecoder};
use crate::aws::route::{self, Route};
use crate::aws::{encode, params};
use crate::config::Embedded;
use crate::embedded::{self, s3};

/// Query parameters that sign a request; the embedded S3 runs behind the check.
const SIGNING_PARAMETERS: [&str; 10] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "awsaccesskeyid",
    "signature",
    "expires",
];

pub(super) async fn answer(
    app: &App,
    caller: &Caller,
    replier: &Replier,
    service: Embedded,
    request: Request,
) -> Response {
    let who = embedded_caller(app, caller);
    match service {
        Embedded::S3 => {
            let request = match with_body(app, caller, replier, request).await {
                Ok(request) => request,
                Err(refused) => return refused,
            };
            let response = app.embedded.s3.call(who, request).await;
            let mut response = response.map(Body::new);
            replier.stamp(&mut response);
            response
        }
        Embedded::Sns | Embedded::Sts => {
            call_form(app, who, caller, replier, service, request).await
        }
    }
}

/// A request to S3 with its body at hand, but for an object's bytes. What breaks off, or is too long, is refused here: the
/// protocol crate would call it an error of its own, or keep it all.
async fn with_body(
    app: &App,
    caller: &Caller,
    replier: &Replier,
    request: Request,
) -> Result<Request, Response> {
    let (mut parts, body) = request.into_parts();
    let is_empty = body.is_end_stream();
    let is_form = is_form(&parts);
    if is_form && !is_empty && app.config.verify_signatures {
        // What signs a form stands in it.
        super::drain(body).await;
        return Err(replier.error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied"));
    }
    let as_it_comes = is_empty || super::brings_object(&parts, caller.signature.as_ref());
    let body = without_transport(&mut parts, body);
    if as_it_comes {
        return Ok(Request::from_parts(parts, body));
    }
    let limit = match is_form {
        true => s3::MOST_FORM_BYTES,
        false => app.config.body_limit(),
    };
    match super::collect(body, limit).await {
        Ok(body) => Ok(Request::from_parts(parts, Body::from(body))),
        Err(Unread::Broken) => Err(replier.broken_body()),
        Err(Unread::TooLong) => {
            // <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
            let (code, message) = match is_form {
                true => (
                    "EntityTooLarge",
                    "Your proposed upload exceeds the maximum allowed size",
                ),
                false => ("MaxMessageLengthExceeded", "Your request was too big."),
            };
            Err(replier.error(StatusCode::BAD_REQUEST, code, message))
        }
    }
}

/// Whether it is a browser's form, which brings an object among its fields.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>
fn is_form(parts: &Parts) -> bool {
    let name = b"multipart/form-data";
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let start = content_type.and_then(|it| it.as_bytes().get(..name.len()));
    parts.method == Method::POST && start.is_some_and(|it| it.eq_ignore_ascii_case(name))
}

fn embedded_caller(app: &App, caller: &Caller) -> embedded::Caller {
    let access_key = caller
        .signature
        .as_ref()
        .map(|signature| signature.access_key.clone());
    let principal = app.recorder.identities.of_key(
        access_key.as_deref().unwrap_or_default(),
        &caller.default_account,
        &caller.region,
    );
    embedded::Caller {
        account: principal.account.clone(),
        region: caller.region.clone(),
        principal_id: principal.principal_id.clone(),
        arn: principal.arn.clone(),
        access_key,
    }
}

async fn call_form(
    app: &App,
    who: embedded::Caller,
    caller: &Caller,
    replier: &Replier,
    service: Embedded,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let limit = app.config.body_limit();
    let body = match super::collect(body, limit).await {
        Ok(body) => body,
        Err(Unread::TooLong) => {
            let message = format!("the body is longer than {limit} bytes");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return replier.error(status, "RequestEntityTooLarge", &message);
        }
        Err(Unread::Broken) => {
            return replier.broken_body();
        }
    };
    let Some(form) = body::decode(&parts.headers, &body, limit) else {
        return replier.error(
            StatusCode::BAD_REQUEST,
            "MalformedInput",
            "the body cannot be decoded",
        );
    };
    let Route::Call(call) = route::find(&parts, caller.signature.as_ref(), &form) else {
        let message = "Could not find operation. Check Action and Version.";
        return replier.error(StatusCode::BAD_REQUEST, "InvalidAction", message);
    };
    let operation = &call.operation.name;
    if caller.signature.is_none() && !super::may_be_unsigned(&call, Door::Embedded(service)) {
        let message = "Request is missing Authentication Token";
        return replier.error(StatusCode::FORBIDDEN, "MissingAuthenticationToken", message);
    }
    let input = match params::request(&call, &parts, &form) {
        Ok(input) => input,
        Err(error) => {
            return replier.error(
                StatusCode::BAD_REQUEST,
                "MalformedInput",
                &error.to_string(),
            );
        }
    };
    let answered = match service {
        Embedded::Sns => app.embedded.sns.call(&who, operation, &input).await,
        Embedded::Sts | Embedded::S3 => app.embedded.sts.call(&who, operation, &input).await,
    };
    match answered {
        Ok(output) => {
            let (body, content_type) = encode::output(&call, &output, &replier.request_id);
            replier.response(StatusCode::OK, content_type, body)
        }
        Err(error) => {
            let status =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            replier.error(status, &error.code, &error.message)
        }
    }
}

/// Makes the head of an S3 request that of one that was never signed or framed, in path style; gives its body likewise.
fn without_transport(parts: &mut Parts, body: Body) -> Body {
    if let Some(uri) = plain_uri(parts) {
        parts.uri = uri;
    }
    let headers = &mut parts.headers;
    let chunked = body::is_aws_chunked(headers);
    headers.remove(header::AUTHORIZATION);
    headers.remove("x-amz-security-token");
    headers.remove("x-amz-content-sha256");
    if !chunked {
        return body;
    }
    let length = headers.remove("x-amz-decoded-content-length");
    match length {
        Some(length) => drop(headers.insert(header::CONTENT_LENGTH, length)),
        None => drop(headers.remove(header::CONTENT_LENGTH)),
    }
    headers.remove("x-amz-trailer");
    keep_other_encodings(headers);
    Body::new(Unchunked {
        inner: body,
        decoder: ChunkDecoder::default(),
        trailers_wanted: true,
    })
}

/// Path-style URI without the parameters that sign; `None` where nothing is to be changed.
fn plain_uri(parts: &Parts) -> Option<Uri> {
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let bucket = host.or(parts.uri.host()).and_then(route::virtual_bucket);
    let query = parts.uri.query().unwrap_or_default();
    let signs = |pair: &&str| {
        let name = pair
            .split('=')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        SIGNING_PARAMETERS.contains(&name.as_str())
    };
    if bucket.is_none() && !query.split('&').any(|pair| signs(&pair)) {
        return None;
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !signs(pair))
        .collect();
    let path = parts.uri.path();
    let path = bucket.map_or_else(|| path.to_owned(), |bucket| format!("/{bucket}{path}"));
    let text = if kept.is_empty() {
        path
    } else {
        format!("{path}?{}", kept.join("&"))
    };
    text.parse().ok()
}

/// `aws-chunked,gzip` → `gzip`.
fn keep_other_encodings(headers: &mut HeaderMap) {
    let Some(encodings) = headers.remove(header::CONTENT_ENCODING) else {
        return;
    };
    let Ok(encodings) = encodings.to_str() else {
        return;
    };
    let others: Vec<&str> = encodings
        .split(',')
        .map(str::trim)
        .filter(|name| *name != "aws-chunked")
        .collect();
    if !others.is_empty()
        && let Ok(value) = HeaderValue::from_str(&others.join(","))
    {
        headers.insert(header::CONTENT_ENCODING, value);
    }
}

/// A body without its aws-chunked framing.
struct Unchunked {
    inner: Body,
    decoder: ChunkDecoder,
    trailers_wanted: bool,
}

fn trailers(pairs: &[(String, String)]) -> HeaderMap {
    let header = |(name, value): &(String, String)| {
        Some((
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_str(value).ok()?,
        ))
    };
    pairs.iter().filter_map(header).collect()
}

impl http_body::Body for Unchunked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(piece) = frame.into_data() else {
                        continue;
                    };
                    match self.decoder.push(&piece) {
                        Ok(content) if content.is_empty() => {}
                        Ok(content) => return Poll::Ready(Some(Ok(Frame::data(content)))),
                        Err(error) => return Poll::Ready(Some(Err(axum::Error::new(error)))),
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None if self.decoder.is_complete() => {
                    // The checksum of a body sent in chunks stands behind it.
                    let trailers = std::mem::take(&mut self.trailers_wanted)
                        .then(|| trailers(self.decoder.trailers()))
                        .filter(|trailers| !trailers.is_empty());
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                None => {
                    let error = body::ChunkError("the body ends before its last chunk");
                    return Poll::Ready(Some(Err(axum::Error::new(error))));
                }
            }
        }
    }
}
