//! Whether a request's SigV4 signature holds: header or presigned query, body hashed, unsigned or in signed chunks.
//!
//! Pure: it is told the time and the caller's key. The signature expected is the `aws-sigv4` crate's for the same
//! method, URI, signed headers, date and scope; nothing of the caller's own canonical form is trusted. What is refused
//! is a [`Refusal`], which knows the error that each kind of service gives.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

mod chunks;
mod refusal;
mod unsigned;

use std::borrow::Cow;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE, HOST, HeaderName};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::sigv4::{self, SignatureError, V4, V4A};
use super::uri::parse_query;
pub use chunks::ChunkVerifier;
pub use refusal::{Answer, Dialect, Refusal};
pub use unsigned::is_only;

/// How far a request's date may be from ours, either way.
pub const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);
/// Longest life of a presigned URL, in seconds: a week.
const MAX_EXPIRES: i64 = 604_800;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";

/// Services that take a path as it was signed, encoded once; all others normalise it and encode it twice.
const S3_LIKE: &[&str] = &["s3", "s3express", "s3-object-lambda", "s3-outposts"];
/// Headers that say what is asked for and by whom: where they are sent, every client signs them, to every service.
const MUST_BE_SIGNED: &[&str] = &["x-amz-target", "x-amz-security-token"];
/// Parameters by which a query is signed, in version 4 and before.
const SIGN_A_QUERY: &[&str] = &["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature"];
const SIGN_A_QUERY_V2: &[&str] = &["AWSAccessKeyId"];
/// Headers of which none is sent twice, signed or not: some readers take the first, some the last, some all of them.
const SENT_ONCE: &[&str] = &[
    "x-amz-target",
    "host",
    "content-type",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];
/// Parameters of a signed query of which none stands there twice.
const ONCE: &[&str] = &[
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];
/// Headers of AWS's own that clients add after signing, presigned requests above all.
const MAY_BE_UNSIGNED: &[&str] = &["x-amz-checksum-mode", "x-amz-user-agent"];
/// What a path in S3's canonical form leaves as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// What belongs to an access key. Has no `Debug`, so that no log line shows it.
#[derive(Clone)]
pub struct Key {
    pub secret: String,
    /// Issued with a key of a session.
    pub token: Option<String>,
    /// When the session ends.
    pub expires: Option<DateTime<Utc>>,
}

/// What a request claims of itself, read and found to be in order but for the signature.
#[derive(Clone, Debug)]
pub struct Claim {
    pub access_key: String,
    pub payload: Payload,
    scope: Scope,
    time: DateTime<Utc>,
    signed_headers: Vec<String>,
    signature: String,
    token: Option<String>,
}

/// `20240501/eu-west-1/s3/aws4_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    date: String,
    region: String,
    service: String,
}

/// What was signed of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Its hash, which the request does not tell: the body must be at hand.
    Undeclared,
    /// This SHA-256, in hexadecimal digits.
    Hash(String),
    /// Nothing: this word stands for the hash. Event streams count too, whose frames have signatures of their own.
    Unsigned(String),
    /// Each chunk by itself, and the trailers if there are to be some.
    Chunks { trailers: bool },
}

impl Payload {
    /// What stands for the body in the canonical request.
    fn hash(&self) -> Option<&str> {
        match self {
            Self::Undeclared => None,
            Self::Hash(text) | Self::Unsigned(text) => Some(text),
            Self::Chunks { trailers: false } => Some(CHUNKS),
            Self::Chunks { trailers: true } => Some(CHUNKS_TRAILER),
        }
    }
}

/// The parameters of a signature as the request gives them.
struct Given {
    scheme: String,
    credential: String,
    signed_headers: String,
    signature: String,
    date: Option<String>,
    token: Option<String>,
    /// `X-Amz-Expires`.
    expires: Option<String>,
    /// `X-Amz-Content-Sha256` of a query.
    content_hash: Option<String>,
    in_query: bool,
}

impl Claim {
    /// Reads the signature of a request that is made `now`, and checks all of it that needs no key: form, scope, date
    /// and expiry. `asked_for` is the signing name of the service that the rest of the request names, if it names one.
    pub fn read(
        parts: &Parts,
        asked_for: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        let in_query = !parts.headers.contains_key(AUTHORIZATION);
        let broken = |SignatureError::Incomplete(message)| Refusal::Malformed { message, in_query };
        only_one(parts)?;
        each_once(parts)?;
        let Some(parsed) = sigv4::parse(parts).map_err(broken)? else {
            return Err(none(parts));
        };
        let given = match parsed.form {
            sigv4::Form::Header => Given::in_header(parts).map_err(broken)?,
            sigv4::Form::Query => Given::in_query(parts).map_err(broken)?,
            sigv4::Form::HeaderV2 | sigv4::Form::QueryV2 => {
                return Err(Refusal::Unsupported { scheme: "AWS" });
            }
        };
        let is_s3 = S3_LIKE.contains(&parsed.service.as_str());
        if given.scheme == V4A {
            return Err(Refusal::Unsupported { scheme: V4A });
        }
        let elements: Vec<&str> = given.credential.split('/').collect();
        // Other schemes in a query have been read as if they were this one.
        let (V4, [_, date, region, _, term]) = (given.scheme.as_str(), elements.as_slice()) else {
            let message = format!("unsupported algorithm '{}'", given.scheme);
            return Err(broken(SignatureError::Incomplete(message)));
        };
        let time = given
            .date
            .as_deref()
            .and_then(|text| date_time(text, &given));
        let time = time.ok_or_else(|| Refusal::BadDate {
            given: given.date.clone().unwrap_or_default(),
            in_query: given.in_query,
        })?;
        let signed_on = time.format("%Y%m%d").to_string();
        if *date != signed_on {
            return Err(Refusal::ScopeDate {
                scope: (*date).to_owned(),
                signed_on,
                time,
                in_query: given.in_query,
            });
        }
        if *term != "aws4_request" {
            return Err(Refusal::ScopeTerm {
                given: (*term).to_owned(),
                in_query: given.in_query,
            });
        }
        if let Some(asked_for) = asked_for.filter(|asked_for| *asked_for != parsed.service) {
            return Err(Refusal::ScopeService {
                given: parsed.service,
                asked_for: asked_for.to_owned(),
                in_query: given.in_query,
            });
        }
        // A key may hide in what is no region, from whoever looks for the last one that stands there.
        if parsed.region.is_empty() {
            return Err(Refusal::ScopeRegion {
                given: (*region).to_owned(),
                in_query: given.in_query,
            });
        }
        given.check_time(time, now, is_s3)?;
        let signed_headers: Vec<String> = given
            .signed_headers
            .split(';')
            .map(str::to_ascii_lowercase)
            .collect();
        let is_name = |name: &String| name.parse::<HeaderName>().is_ok();
        if !signed_headers.iter().all(is_name) {
            let message = "SignedHeaders must be names of headers.".to_owned();
            return Err(broken(SignatureError::Incomplete(message)));
        }
        check_signed(&signed_headers, parts, is_s3)?;
        Ok(Self {
            access_key: parsed.access_key,
            payload: payload(parts, &given, &signed_headers, is_s3)?,
            scope: Scope {
                date: (*date).to_owned(),
                region: parsed.region,
                service: parsed.service,
            },
            time,
            signed_headers,
            signature: given.signature,
            token: given.token,
        })
    }

    /// Checks the session token against the one issued with the key.
    pub fn check_token(&self, key: &Key, now: DateTime<Utc>) -> Result<(), Refusal> {
        match (&key.token, &self.token) {
            (None, None) => {}
            (Some(_), None) => return Err(Refusal::UnknownKey),
            (None, Some(_)) => return Err(Refusal::BadToken),
            (Some(issued), Some(sent)) if same(issued.as_bytes(), sent.as_bytes()) => {}
            (Some(_), Some(_)) => return Err(Refusal::BadToken),
        }
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::ExpiredToken);
        }
        Ok(())
    }

    /// Checks the signature. `body` is needed where [`Claim::payload`] is undeclared.
    pub fn check_signature(&self, parts: &Parts, key: &Key, body: &[u8]) -> Result<(), Refusal> {
        let hash = match self.payload.hash() {
            Some(hash) => hash.to_owned(),
            None => hex(&Sha256::digest(body)),
        };
        let path = parts.uri.path();
        let mut paths = vec![Cow::Borrowed(path)];
        if self.is_s3() {
            // S3 signs the path as it would encode it, whatever the client has left bare.
            let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
            let encoded = percent_encode(&decoded, PATH).to_string();
            if encoded != path {
                paths.push(Cow::Owned(encoded));
            }
        }
        for path in paths {
            let expected = self.signature_of(parts, &path, key, &hash);
            if expected.is_some_and(|it| same(it.as_bytes(), self.signature.as_bytes())) {
                return Ok(());
            }
        }
        Err(Refusal::Mismatch)
    }

    /// What will check the chunks of the body, whose first is signed after this request's own signature.
    pub fn chunks(&self, key: &Key, trailers: bool) -> ChunkVerifier {
        let Scope {
            date,
            region,
            service,
        } = &self.scope;
        let time = SystemTime::from(self.time);
        let signing_key = v4::generate_signing_key(&key.secret, time, region, service);
        ChunkVerifier::new(
            signing_key.as_ref(),
            &self.time.format(BASIC).to_string(),
            &format!("{date}/{region}/{service}/aws4_request"),
            &self.signature,
            trailers,
        )
    }

    fn is_s3(&self) -> bool {
        S3_LIKE.contains(&self.scope.service.as_str())
    }

    /// The signature that the crate gives for this request at `path`. `None`: it cannot be signed.
    fn signature_of(&self, parts: &Parts, path: &str, key: &Key, hash: &str) -> Option<String> {
        let mut settings = SigningSettings::default();
        if self.is_s3() {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        // The headers signed are those that we hand over. The date, which the crate adds, is signed where it says so.
        // Presigned requests are no other case: their parameters but the signature are in the query as they came.
        let is_signed = |name: &str| self.signed_headers.iter().any(|signed| signed == name);
        settings.excluded_headers =
            (!is_signed("x-amz-date")).then(|| vec![Cow::Borrowed("x-amz-date")]);
        let credentials = Credentials::new(&self.access_key, &key.secret, None, None, "caller");
        let identity: Identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.scope.region)
            .name(&self.scope.service)
            .time(SystemTime::from(self.time))
            .settings(settings)
            .build()
            .ok()?
            .into();
        let mut headers = Vec::new();
        for (name, value) in &parts.headers {
            if is_signed(name.as_str()) {
                headers.push((name.as_str(), std::str::from_utf8(value.as_bytes()).ok()?));
            }
        }
        if !parts.headers.contains_key(HOST) {
            // HTTP/2 has the host in the URI; the crate panics where there is none at all.
            headers.push(("host", parts.uri.authority()?.as_str()));
        }
        let uri = match unsigned_query(parts.uri.query().unwrap_or_default()) {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        };
        let body = SignableBody::Precomputed(hash.to_owned());
        let request =
            SignableRequest::new(parts.method.as_str(), uri, headers.into_iter(), body).ok()?;
        let (_, signature) = aws_sigv4::http_request::sign(request, &params)
            .ok()?
            .into_parts();
        Some(signature)
    }
}

/// Whether a request is signed in no more than one place: else each reader might take another signature.
fn only_one(parts: &Parts) -> Result<(), Refusal> {
    let headers = parts.headers.get_all(AUTHORIZATION).iter().count();
    let in_query = [SIGN_A_QUERY, SIGN_A_QUERY_V2];
    let query = parts.uri.query().unwrap_or_default();
    let in_query = in_query.iter().filter(|names| has_parameter(query, names));
    match headers + in_query.count() {
        0 | 1 => Ok(()),
        _ => Err(Refusal::Ambiguous),
    }
}

/// Whether no header stands there twice by which a call is told or checked.
fn each_once(parts: &Parts) -> Result<(), Refusal> {
    let is_repeated = |name: &&&str| parts.headers.get_all(**name).iter().count() > 1;
    match SENT_ONCE.iter().find(is_repeated) {
        None => Ok(()),
        Some(header) => Err(Refusal::Repeated { header }),
    }
}

/// Why a request without a signature that can be read has none.
fn none(parts: &Parts) -> Refusal {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let message = sigv4::unknown_scheme(parts, &value).to_string();
        return Refusal::UnknownScheme { message };
    }
    // A part of one may still name a key to another reader.
    let query = parts.uri.query().unwrap_or_default();
    if has_parameter(query, SIGN_A_QUERY) || has_parameter(query, SIGN_A_QUERY_V2) {
        let message = "AWS query-string parameters must include 'X-Amz-Algorithm'. Re-examine the query-string parameters.";
        return Refusal::Malformed {
            message: message.to_owned(),
            in_query: true,
        };
    }
    Refusal::Missing
}

/// Whether a query or a form has one of these parameters, as any reader may spell it.
fn has_parameter(query: &str, names: &[&str]) -> bool {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.any(|(name, _)| names.iter().any(|it| it.eq_ignore_ascii_case(&name)))
}

/// A query without its signature.
fn unsigned_query(query: &str) -> String {
    let others = query
        .split('&')
        .filter(|pair| pair.split('=').next() != Some("X-Amz-Signature"));
    others.collect::<Vec<_>>().join("&")
}

impl Given {
    fn in_header(parts: &Parts) -> Result<Self, SignatureError> {
        let value = header(&parts.headers, AUTHORIZATION.as_str()).unwrap_or_default();
        sigv4::check_parameters(value.trim())?;
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or_default();
        let parameter = |name| sigv4::parameter(rest, name).unwrap_or_default().to_owned();
        let date =
            header(&parts.headers, "x-amz-date").or_else(|| header(&parts.headers, DATE.as_str()));
        Ok(Self {
            scheme: scheme.to_owned(),
            credential: parameter("Credential"),
            signed_headers: parameter("SignedHeaders"),
            signature: parameter("Signature"),
            date: date.map(str::to_owned),
            token: header(&parts.headers, "x-amz-security-token").map(str::to_owned),
            expires: None,
            content_hash: None,
            in_query: false,
        })
    }

    fn in_query(parts: &Parts) -> Result<Self, SignatureError> {
        let query = parse_query(parts.uri.query().unwrap_or_default());
        for name in ONCE {
            let found = query
                .iter()
                .filter(|(key, _)| key.eq_ignore_ascii_case(name));
            if found.count() > 1 {
                return Err(SignatureError::Incomplete(format!(
                    "AWS query-string parameters must include one '{name}'. Re-examine the query-string parameters."
                )));
            }
        }
        let parameter = |name: &str| {
            let found = query.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        let required = |name| parameter(name).unwrap_or_default();
        Ok(Self {
            scheme: required("X-Amz-Algorithm"),
            credential: required("X-Amz-Credential"),
            signed_headers: required("X-Amz-SignedHeaders"),
            signature: required("X-Amz-Signature"),
            date: parameter("X-Amz-Date"),
            token: parameter("X-Amz-Security-Token"),
            expires: parameter("X-Amz-Expires"),
            content_hash: parameter("X-Amz-Content-Sha256"),
            in_query: true,
        })
    }

    /// Whether the request is made in its time: near its date, or before it expires.
    fn check_time(
        &self,
        time: DateTime<Utc>,
        now: DateTime<Utc>,
        is_s3: bool,
    ) -> Result<(), Refusal> {
        let skewed = Refusal::Skewed { time, now };
        if !self.in_query || (!is_s3 && self.expires.is_none()) {
            let skew = (now - time).abs();
            return if skew > MAX_SKEW { Err(skewed) } else { Ok(()) };
        }
        let bad = |message: &str| Err(Refusal::BadExpires(message.to_owned()));
        let Some(expires) = &self.expires else {
            return bad(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                 X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            );
        };
        let digits = expires.strip_prefix('-').unwrap_or(expires);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some(seconds) = expires.parse::<i64>().ok().filter(|_| is_number) else {
            return bad("X-Amz-Expires should be a number");
        };
        if seconds < 0 {
            return bad("X-Amz-Expires must be non-negative");
        }
        if seconds > MAX_EXPIRES {
            return bad(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
                 than 604800 seconds",
            );
        }
        if time - now > MAX_SKEW {
            return Err(if is_s3 { Refusal::NotYetValid } else { skewed });
        }
        // So and not `now > time + …`: there is a last time that can be told.
        if now - time > TimeDelta::seconds(seconds) {
            return Err(if is_s3 { Refusal::Expired } else { skewed });
        }
        Ok(())
    }
}

/// `20240501T120000Z`.
const BASIC: &str = "%Y%m%dT%H%M%SZ";

/// The date of a request. `Date`, but no other place, may also have the form of HTTP.
fn date_time(text: &str, given: &Given) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = NaiveDateTime::parse_from_str(text, BASIC) {
        return Some(time.and_utc());
    }
    let in_http = || {
        DateTime::parse_from_rfc2822(text)
            .ok()
            .map(|time| time.to_utc())
    };
    if given.in_query { None } else { in_http() }
}

/// Whether everything is signed that has to be: the host, what is asked for, and for S3 all headers that are AWS's own.
fn check_signed(signed_headers: &[String], parts: &Parts, is_s3: bool) -> Result<(), Refusal> {
    let is_signed = |name: &str| signed_headers.iter().any(|signed| signed == name);
    if !is_signed("host") {
        return Err(Refusal::HostUnsigned);
    }
    let has_to_be = |name: &str| match is_s3 {
        true => name.starts_with("x-amz-") && !MAY_BE_UNSIGNED.contains(&name),
        false => MUST_BE_SIGNED.contains(&name),
    };
    let mut names = parts.headers.keys().map(|name| name.as_str());
    if names.any(|name| has_to_be(name) && !is_signed(name)) {
        return Err(Refusal::HeadersUnsigned);
    }
    Ok(())
}

/// What the request says was signed of its body.
fn payload(
    parts: &Parts,
    given: &Given,
    signed_headers: &[String],
    is_s3: bool,
) -> Result<Payload, Refusal> {
    const NAME: &str = "x-amz-content-sha256";
    // Whoever holds a presigned URL may add headers, but none that changes what was signed.
    let may_say = !given.in_query || signed_headers.iter().any(|signed| signed == NAME);
    let declared = header(&parts.headers, NAME).filter(|_| may_say);
    let Some(declared) = given.content_hash.as_deref().or(declared) else {
        return match (is_s3, given.in_query) {
            (true, true) => Ok(Payload::Unsigned(UNSIGNED.to_owned())),
            (true, false) => Err(Refusal::NoContentHash),
            (false, _) => Ok(Payload::Undeclared),
        };
    };
    let is_hash = declared.len() == 64 && declared.bytes().all(|byte| byte.is_ascii_hexdigit());
    match declared {
        UNSIGNED | UNSIGNED_TRAILER => Ok(Payload::Unsigned(declared.to_owned())),
        CHUNKS => Ok(Payload::Chunks { trailers: false }),
        CHUNKS_TRAILER => Ok(Payload::Chunks { trailers: true }),
        _ if is_hash => Ok(Payload::Hash(declared.to_owned())),
        _ if declared.starts_with("STREAMING-AWS4-ECDSA-") => {
            Err(Refusal::Unsupported { scheme: V4A })
        }
        EVENTS if !is_s3 => Ok(Payload::Unsigned(declared.to_owned())),
        _ => Err(Refusal::BadContentHash),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// Compares in a time that does not tell where the two differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
