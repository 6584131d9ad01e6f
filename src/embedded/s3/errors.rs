//! Errors as S3 words them.

use http::{HeaderValue, Method, Response, StatusCode, header};
use s3s::{S3Error, S3ErrorCode, s3_error};

use crate::embedded::Error;
use crate::store;

/// S3's sentences for the codes that always say the same, where an error brings none of its own.
const MESSAGES: &[(&str, &str)] = &[
    ("AccessDenied", "Access Denied"),
    (
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
    ),
    ("BadRequest", "Object tags cannot be greater than 10"),
    (
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. \
        Please select a different name and try again.",
    ),
    (
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    (
        "BucketNotEmpty",
        "The bucket you tried to delete is not empty",
    ),
    (
        "EntityTooSmall",
        "Your proposed upload is smaller than the minimum allowed size",
    ),
    (
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    ),
    (
        "InternalError",
        "We encountered an internal error. Please try again.",
    ),
    ("InvalidBucketName", "The specified bucket is not valid."),
    (
        "InvalidDigest",
        "The Content-MD5 you specified was invalid.",
    ),
    (
        "InvalidLocationConstraint",
        "The specified location-constraint is not valid",
    ),
    (
        "InvalidPart",
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
        specified entity tag may not match the part's entity tag.",
    ),
    (
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
    ),
    (
        "InvalidPartOrder",
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    ("InvalidRange", "The requested range is not satisfiable"),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long"),
    (
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    (
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    (
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
    ),
    (
        "MissingContentLength",
        "You must provide the Content-Length HTTP header.",
    ),
    ("MissingRequestBodyError", "Request Body is empty"),
    ("NoSuchBucket", "The specified bucket does not exist"),
    ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    ("NoSuchKey", "The specified key does not exist."),
    (
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    ),
    (
        "NoSuchCORSConfiguration",
        "The CORS configuration does not exist",
    ),
    (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    ("NoSuchTagSet", "The TagSet does not exist"),
    (
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
        completed.",
    ),
    ("NoSuchVersion", "The specified version does not exist."),
    (
        "OwnershipControlsNotFoundError",
        "The bucket ownership controls were not found",
    ),
    (
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    ),
];

fn message(code: &str) -> &'static str {
    MESSAGES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or("", |&(_, message)| message)
}

/// Something broke beneath: logged here, and the caller learns no more than that.
pub(super) fn internal(source: impl std::error::Error) -> S3Error {
    tracing::error!(error = %source, "the embedded S3 failed: {source}");
    s3_error!(InternalError)
}

/// Why something of a bucket was not kept; the bucket may have been deleted meanwhile.
pub(super) fn not_kept(error: store::Error) -> S3Error {
    match store::is_orphan(&error) {
        true => s3_error!(NoSuchBucket),
        false => internal(error),
    }
}

/// An error whose code the protocol crate does not know.
pub(super) fn custom(code: &'static str, status: StatusCode) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom(code.into()));
    error.set_status_code(status);
    error
}

impl From<S3Error> for Error {
    fn from(error: S3Error) -> Self {
        let code = error.code().as_str().to_owned();
        Self {
            message: error.message().unwrap_or_else(|| message(&code)).to_owned(),
            status: error.status_code().map_or(500, |status| status.as_u16()),
            code: code.into(),
        }
    }
}

/// Gives an error answer the sentence and the resource that S3 would, and none a body that may have none.
pub(super) fn finish(
    method: &Method,
    path: &str,
    response: Response<s3s::Body>,
) -> Response<s3s::Body> {
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED || (*method == Method::HEAD && !status.is_success()) {
        return response.map(|_| s3s::Body::empty());
    }
    if !status.is_client_error() && !status.is_server_error() {
        return with_letters_written_out(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = body.bytes().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let Some((head, tail)) = text.split_once("</Code>") else {
        return Response::from_parts(parts, body);
    };
    let code = head.rsplit_once("<Code>").map_or("", |(_, code)| code);
    let mut xml = format!("{head}</Code>");
    if !tail.contains("<Message>") {
        // The sentences have no markup in them.
        xml.extend(["<Message>", message(code), "</Message>"]);
    }
    let resource = quick_xml::escape::escape(path);
    xml.extend(["<Resource>", &resource, "</Resource>", tail]);
    let xml_type = HeaderValue::from_static("application/xml");
    parts.headers.insert(header::CONTENT_TYPE, xml_type);
    Response::from_parts(parts, s3s::Body::from(xml))
}

/// Writes as references what XML 1.0 has no letters for, as S3 does, and the carriage return, which readers would else
/// make a line feed: a key can have them. (Readers refuse such references; callers who have such keys ask for
/// `encoding-type=url`.) <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
fn with_letters_written_out(response: Response<s3s::Body>) -> Response<s3s::Body> {
    let headers = response.headers();
    let is_xml = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|it| it == "application/xml");
    // An object, which may be XML too, comes as it is.
    if !is_xml || headers.contains_key(header::LAST_MODIFIED) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = body
        .bytes()
        .and_then(|it| String::from_utf8(it.into()).ok());
    let body = match text {
        Some(text) if text.contains(is_no_letter) => s3s::Body::from(written_out(&text)),
        _ => body,
    };
    Response::from_parts(parts, body)
}

fn is_no_letter(char: char) -> bool {
    let is_space = matches!(char, '\t' | '\n');
    matches!(char, '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') && !is_space
}

fn written_out(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match is_no_letter(char) {
            true => written += &format!("&#x{:x};", u32::from(char)),
            false => written.push(char),
        }
    }
    written
}
