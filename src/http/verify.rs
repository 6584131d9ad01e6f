//! `--verify-signatures`: lets a request in, or says why not, before anything else is done with it.
//!
//! What SigV4 demands is [`crate::aws::verify`]'s; here it meets the keys, the clock and the body. An object's bytes
//! are not held: they are checked as they pass, and the body breaks off before its end where they are not what was
//! signed, so that whoever takes them has no whole object. All other bodies are checked before the call is made.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use http_body::{Body as _, Frame, SizeHint};
use sha2::{Digest, Sha256};

use super::{Door, brings_object, collect, drain, may_be_unsigned};
use crate::app::App;
use crate::aws::route::{self, Route};
use crate::aws::sigv4::Signature;
use crate::aws::verify::{ChunkVerifier, Claim, Payload, Refusal, hex, is_only, same};
use crate::config::Embedded;

/// Longest body that is held to be checked for others to answer: a function's code of 50 MB, in base64, is the longest
/// that a service but S3 takes.
const HELD_BODY_LIMIT: usize = 72 << 20;

/// Why a body that is passed on was broken off. Nothing while it is good.
#[derive(Clone, Debug, Default)]
pub(super) struct Flaw(Arc<OnceLock<Refusal>>);

impl Flaw {
    pub(super) fn found(&self) -> Option<&Refusal> {
        self.0.get()
    }
}

/// Lets a request in: gives back its body, checked or to be checked as it is read.
pub(super) async fn admit(
    app: &App,
    door: Door,
    parts: &Parts,
    signature: Option<&Signature>,
    body: Body,
) -> Result<(Body, Flaw), Refusal> {
    let limit = match door {
        // Whoever calls S3 signs the hash of the body with the head, and has proved who they are before it is held.
        Door::Upstream | Door::Template | Door::Embedded(Embedded::S3) => HELD_BODY_LIMIT,
        Door::Api | Door::Embedded(_) | Door::Nobody => app.config.body_limit(),
    };
    if is_preflight(parts, signature) {
        // An emulator may have something else to answer below that path.
        if door != Door::Embedded(Embedded::S3) {
            return refuse(Refusal::Preflight, body).await;
        }
        // Whoever sends something with it asks for more than what a browser asks.
        let refused = |_| Refusal::Missing;
        collect(body, 0).await.map_err(refused)?;
        return Ok((Body::empty(), Flaw::default()));
    }
    let now = app.clock.now();
    let claim = match Claim::read(parts, route::asked_for(parts), now) {
        Ok(claim) => claim,
        Err(refusal @ (Refusal::Missing | Refusal::UnknownScheme { .. })) => {
            return admit_unsigned(app, door, parts, body, refusal).await;
        }
        Err(refusal) => return refuse(refusal, body).await,
    };
    let Some(key) = app.recorder.keys.get(&claim.access_key) else {
        return refuse(Refusal::UnknownKey, body).await;
    };
    if let Err(refusal) = claim.check_token(&key, now) {
        return refuse(refusal, body).await;
    }
    if claim.payload == Payload::Undeclared {
        let body = collect(body, limit)
            .await
            .map_err(|unread| unread.refusal(limit))?;
        claim.check_signature(parts, &key, &body)?;
        return Ok((Body::from(body), Flaw::default()));
    }
    if let Err(refusal) = claim.check_signature(parts, &key, &[]) {
        return refuse(refusal, body).await;
    }
    let check = match &claim.payload {
        Payload::Undeclared | Payload::Unsigned(_) => return Ok((body, Flaw::default())),
        Payload::Hash(expected) => Check::Hash {
            hasher: Sha256::new(),
            expected: expected.to_ascii_lowercase(),
        },
        Payload::Chunks { trailers } => Check::Chunks(Box::new(claim.chunks(&key, *trailers))),
    };
    let flaw = Flaw::default();
    let checked = Checked {
        inner: body,
        check,
        held: None,
        is_over: false,
        flaw: flaw.clone(),
    };
    // An empty one is as good as at hand.
    if brings_object(parts, signature) && !checked.inner.is_end_stream() {
        return Ok((Body::new(checked), flaw));
    }
    match collect(Body::new(checked), limit).await {
        Ok(body) => Ok((Body::from(body), flaw)),
        Err(unread) => Err(flaw
            .found()
            .cloned()
            .unwrap_or_else(|| unread.refusal(limit))),
    }
}

/// Whether a browser asks S3 for leave to call it from a page: it does so without a signature, for a presigned URL too.
fn is_preflight(parts: &Parts, signature: Option<&Signature>) -> bool {
    let has = |name: &str| parts.headers.contains_key(name);
    let query = parts.uri.query().unwrap_or_default();
    let has_action = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "Action");
    parts.method == Method::OPTIONS
        && has("origin")
        && has("access-control-request-method")
        && !has("authorization")
        && !has("x-amz-target")
        && !has_action
        && route::signing_name(parts, signature) == "s3"
}

/// A request without a signature of AWS's: those few operations that need none, at the door of their service. `refusal`:
/// of all others.
async fn admit_unsigned(
    app: &App,
    door: Door,
    parts: &Parts,
    body: Body,
    refusal: Refusal,
) -> Result<(Body, Flaw), Refusal> {
    let is_foreign = parts.headers.contains_key(header::AUTHORIZATION) && !has_bearer_token(parts);
    if is_foreign || parts.method == Method::OPTIONS {
        return refuse(refusal, body).await;
    }
    let limit = app.config.body_limit();
    let raw = collect(body, limit)
        .await
        .map_err(|unread| unread.refusal(limit))?;
    match route::find(parts, None, &raw) {
        Route::Call(call)
            if may_be_unsigned(&call, door)
                && Door::of(&call.service.signing_name, parts, app) == door
                && is_only(&call, parts, &raw) =>
        {
            Ok((Body::from(raw), Flaw::default()))
        }
        _ => Err(refusal),
    }
}

/// Whether the `Authorization` is a bearer token and nothing else. One with a slash may be read as a credential scope,
/// and the call be taken for another than it is here.
fn has_bearer_token(parts: &Parts) -> bool {
    let value = parts.headers.get(header::AUTHORIZATION);
    let token = value.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    token.is_some_and(|token| !token.is_empty() && !token.contains([' ', '\t', ',', '/']))
}

/// A caller who is still sending does not read an answer.
async fn refuse<T>(refusal: Refusal, body: Body) -> Result<T, Refusal> {
    drain(body).await;
    Err(refusal)
}

enum Check {
    Hash { hasher: Sha256, expected: String },
    Chunks(Box<ChunkVerifier>),
}

impl Check {
    fn push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        match self {
            Self::Hash { hasher, .. } => {
                hasher.update(data);
                Ok(())
            }
            Self::Chunks(verifier) => verifier.push(data),
        }
    }

    fn end(&mut self) -> Result<(), Refusal> {
        match self {
            Self::Hash { hasher, expected } => {
                let hash = hex(&std::mem::take(hasher).finalize());
                match same(hash.as_bytes(), expected.as_bytes()) {
                    true => Ok(()),
                    false => Err(Refusal::BodyMismatch),
                }
            }
            Self::Chunks(verifier) => verifier.end(),
        }
    }
}

/// A body that is checked as it passes. Holds back one frame, so that the last one passes only once all is known to be
/// good: a taker that counts bytes would else have the object before its flaw is found.
struct Checked {
    inner: Body,
    check: Check,
    held: Option<Bytes>,
    is_over: bool,
    flaw: Flaw,
}

impl Checked {
    fn broken(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_over = true;
        self.held = None;
        let _ = self.flaw.0.set(refusal);
        let error = std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "the body is not the one that was signed",
        );
        Poll::Ready(Some(Err(axum::Error::new(error))))
    }
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while !self.is_over {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers of HTTP itself are nothing that AWS's clients send.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    // An empty one would push out the one that is held back, and a taker who then has all that was
                    // announced asks for no more.
                    if data.is_empty() {
                        continue;
                    }
                    if let Err(refusal) = self.check.push(&data) {
                        return self.broken(refusal);
                    }
                    if let Some(data) = self.held.replace(data) {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => {
                    self.is_over = true;
                    self.held = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_over = true;
                    if let Err(refusal) = self.check.end() {
                        return self.broken(refusal);
                    }
                }
            }
        }
        Poll::Ready(self.held.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over && self.held.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().map_or(0, |data| data.len() as u64);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint.set_lower(inner.lower() + held);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use aws_sigv4::sign::v4;
    use http_body_util::BodyExt;

    use super::*;

    /// A body that comes in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    /// What a taker gets who asks for no more once it has as many bytes as were announced.
    async fn taken(check: Check, pieces: Vec<Bytes>) -> Vec<u8> {
        let length = pieces.iter().map(Bytes::len).sum();
        let mut body = Checked {
            inner: Body::new(Pieces(pieces.into())),
            check,
            held: None,
            is_over: false,
            flaw: Flaw::default(),
        };
        let mut taken = Vec::new();
        while taken.len() < length
            && let Some(Ok(frame)) = body.frame().await
        {
            taken.extend_from_slice(frame.data_ref().unwrap());
        }
        taken
    }

    /// `body` in every three pieces, with empty ones between and after them.
    fn splits(body: &Bytes) -> impl Iterator<Item = Vec<Bytes>> {
        let cuts = (0..=body.len()).flat_map(|to| (0..=to).map(move |from| (from, to)));
        cuts.map(|(from, to)| {
            let pieces = [body.slice(..from), body.slice(from..to), body.slice(to..)];
            let spaced = pieces.into_iter().flat_map(|piece| [piece, Bytes::new()]);
            spaced.collect()
        })
    }

    const KEY: &[u8] = b"signing key";
    const SEED: &str = "0f";

    fn chunks_check() -> Check {
        let (date, scope) = ("20261122T150000Z", "20261122/us-east-1/s3/aws4_request");
        Check::Chunks(Box::new(ChunkVerifier::new(KEY, date, scope, SEED, false)))
    }

    /// `hello` in one signed chunk, and the last one.
    fn chunks() -> Bytes {
        let empty = hex(&Sha256::digest(b""));
        let mut previous = SEED.to_owned();
        let mut body = String::new();
        for data in ["hello", ""] {
            let hash = hex(&Sha256::digest(data));
            let text = format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n20261122T150000Z\n20261122/us-east-1/s3/aws4_request\n{previous}\n{empty}\n{hash}"
            );
            previous = v4::calculate_signature(KEY, text.as_bytes());
            body += &format!("{:x};chunk-signature={previous}\r\n{data}\r\n", data.len());
        }
        Bytes::from(body)
    }

    #[tokio::test]
    async fn nobody_has_the_whole_of_a_body_that_is_not_the_one_signed() {
        let hash = || Check::Hash {
            hasher: Sha256::new(),
            expected: hex(&Sha256::digest(b"hello")),
        };
        let chunks = chunks();
        let tampered = Bytes::from(String::from_utf8_lossy(&chunks).replace("hello", "hellO"));
        type Case = (fn() -> Check, Bytes, bool);
        let bodies: [Case; 4] = [
            (hash, Bytes::from("hello"), true),
            (hash, Bytes::from("hellO"), false),
            (chunks_check, chunks.clone(), true),
            (chunks_check, tampered, false),
        ];
        for (check, body, is_good) in bodies {
            for pieces in splits(&body) {
                let told = format!("{pieces:?}");
                assert_eq!(taken(check(), pieces).await == body, is_good, "{told}");
            }
        }
    }
}
