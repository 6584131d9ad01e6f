//! The front door: bytes in, bytes out. Picks who answers a request from its head alone, sees to it that the call is
//! recorded before the caller has its whole answer, and knows nothing of what the call does.

pub mod admin;
pub mod connections;
mod embedded;
mod import;
mod reply;
mod streams;
mod verify;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::api::{self, Cx, ForRecord, Left};
use crate::app::App;
use crate::aws::model::Protocol;
use crate::aws::route::{self, Call, Route};
use crate::aws::sigv4::{self, Signature};
use crate::aws::verify::Refusal;
use crate::aws::{body, models};
use crate::config::Embedded;
use crate::policy::templates;
use crate::record::proxy::{self, Seen, ToTheEnd, UpstreamError};
use crate::record::{AnswerSeen, CallSeen};
use crate::store::NewTrail;
use reply::Replier;
use verify::Flaw;

/// Path of the control API.
pub const CONTROL: &str = "/_localtrail";
/// Answers up to this length are sent in one piece.
const SMALL_ANSWER: u64 = 64 << 10;
/// How much is read of a body that nobody wants.
const DRAIN_LIMIT: usize = 64 << 20;
/// S3's operations that take an object's bytes, whatever their length.
const TAKE_OBJECTS: &[&str] = &["PutObject", "UploadPart", "WriteGetObjectResponse"];

/// Everything that the port answers.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .nest(CONTROL, admin::router(Arc::clone(&app)))
        .fallback(door)
        .with_state(app)
}

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// CloudTrail itself.
    Api,
    Embedded(Embedded),
    /// The policy templates that AWS keeps in S3: answered here whoever else answers S3.
    Template,
    Upstream,
    /// Neither embedded nor is there an upstream.
    Nobody,
}

impl Door {
    fn of(signing_name: &str, parts: &Parts, app: &App) -> Self {
        if signing_name == "s3" && template(parts).is_some() {
            return Self::Template;
        }
        let embedded = match signing_name {
            "cloudtrail" => return Self::Api,
            "s3" => Some(Embedded::S3),
            "sns" => Some(Embedded::Sns),
            "sts" => Some(Embedded::Sts),
            _ => None,
        };
        match embedded {
            Some(service) if app.config.embeds(service) => Self::Embedded(service),
            _ if app.upstream.is_some() => Self::Upstream,
            _ => Self::Nobody,
        }
    }
}

/// A request at the door, before anyone answers it.
pub(super) struct Caller {
    pub(super) signature: Option<Signature>,
    pub(super) signing_name: String,
    pub(super) region: String,
    pub(super) peer: IpAddr,
    /// Account of callers whose access key does not say.
    pub(super) default_account: String,
}

/// A caller who hangs up does not stop a call half-way, nor its record.
async fn door(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    ToTheEnd::new(answer(app, peer, request)).await
}

async fn answer(app: Arc<App>, peer: SocketAddr, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let signature = sigv4::parse(&parts);
    let readable = signature.as_ref().ok().cloned().flatten();
    let (signing_name, body) = asked_for(&app, &parts, readable.as_ref(), body).await;
    let door = Door::of(&signing_name, &parts, &app);
    let region = readable
        .as_ref()
        .map(|signature| signature.region.clone())
        .filter(|region| !region.is_empty());
    let access_key = readable.as_ref().map(|it| it.access_key.as_str());
    let caller = Caller {
        signing_name,
        region: region.unwrap_or_else(|| app.config.region.clone()),
        peer: peer.ip(),
        default_account: app.account_of(access_key).await,
        signature: readable,
    };
    let replier = Replier::new(&parts, &caller, &app.ids);
    let body = match body {
        Ok(body) => body,
        Err(unread) => return refused(&app, &replier, &unread.refusal(app.config.body_limit())),
    };
    let (body, flaw) = match app.config.verify_signatures {
        false => (body, None),
        true => match verify::admit(&app, door, &parts, caller.signature.as_ref(), body).await {
            Ok((body, flaw)) => (body, Some(flaw)),
            Err(refusal) => return refused(&app, &replier, &refusal),
        },
    };
    if door != Door::Upstream
        && let Err(error) = signature
    {
        drain(body).await;
        return replier.incomplete_signature(&error);
    }

    let logging = app.recorder.logging().await;
    let head = parts.clone();
    let (body, sent) = proxy::tee(body, app.recorder.body_limit());
    let for_record = ForRecord::default();
    let response = match door {
        Door::Api => call_api(&app, &caller, &replier, &parts, body, &for_record).await,
        Door::Embedded(service) => {
            embedded::answer(
                &app,
                &caller,
                &replier,
                service,
                Request::from_parts(parts, body),
            )
            .await
        }
        Door::Template => replier.template(template(&parts).unwrap_or_default()),
        Door::Upstream => forward(&app, &replier, Request::from_parts(parts, body), &sent).await,
        Door::Nobody => {
            // The operation may stand in it.
            drain(body).await;
            let service = &caller.signing_name;
            let message = format!(
                "localtrail has no {service}: it embeds S3, SNS and STS, and every other service is answered by the \
                 emulator that --upstream names."
            );
            replier.error(StatusCode::NOT_IMPLEMENTED, "ServiceUnavailable", &message)
        }
    };
    // A body that broke off was no call, whatever has been made of it.
    if let Some(refusal) = flaw.as_ref().and_then(Flaw::found) {
        return refused(&app, &replier, refusal);
    }
    let Left { own_calls, trail } = for_record.take();
    let call = CallSeen {
        parts: head,
        signature: caller.signature,
        body: sent,
        peer: caller.peer,
        default_account: caller.default_account,
        logging,
        own_calls,
    };
    match trail {
        Some(trail) => recorded_with_trail(&app, &replier, call, response, &trail).await,
        None => recorded(&app, call, response).await,
    }
}

/// The answer to a call that is not let in; AWS writes no record of such.
fn refused(app: &App, replier: &Replier, refusal: &Refusal) -> Response {
    app.recorder.counts.skipped.fetch_add(1, Ordering::Relaxed);
    replier.refused(refusal, app.clock.now())
}

/// Whether AWS takes a call without a signature: where the model says so, and for the links in SNS's messages. An
/// emulator has links to itself, and may take what comes of ours for a call of another service.
fn may_be_unsigned(call: &Call, door: Door) -> bool {
    let is_link = matches!(&*call.operation.name, "ConfirmSubscription" | "Unsubscribe");
    call.operation.unsigned
        || (is_link && &*call.service.id == "sns" && door == Door::Embedded(Embedded::Sns))
}

/// Whether a request brings an object's bytes to S3: such a body is not held.
fn brings_object(parts: &Parts, signature: Option<&Signature>) -> bool {
    matches!(
        route::find(parts, signature, &[]),
        Route::Call(call) if &*call.service.id == "s3" && TAKE_OBJECTS.contains(&&*call.operation.name)
    )
}

/// The signing name of the service asked for, and the body. Of an unsigned query call only its
/// `Action` and `Version` tell.
async fn asked_for(
    app: &App,
    parts: &Parts,
    signature: Option<&Signature>,
    body: Body,
) -> (String, Result<Body, Unread>) {
    let signing_name = route::signing_name(parts, signature);
    let embeds = [Embedded::S3, Embedded::Sns, Embedded::Sts]
        .into_iter()
        .any(|service| app.config.embeds(service));
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let is_form = content_type.is_some_and(|it| {
        it.as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    });
    let query = parts.uri.query().unwrap_or_default();
    let in_query = query.split('&').any(|pair| pair.starts_with("Action="));
    if signature.is_some() || !embeds || !(is_form || in_query) || parts.uri.path() != "/" {
        return (signing_name, Ok(body));
    }
    let form = match collect(body, app.config.body_limit()).await {
        Ok(form) => form,
        Err(unread) => return (signing_name, Err(unread)),
    };
    let signing_name = match route::find(parts, signature, &form) {
        Route::Call(Call { service, .. }) | Route::Service(service, _) => {
            service.signing_name.to_string()
        }
        Route::Unknown { .. } => signing_name,
    };
    (signing_name, Ok(Body::from(form)))
}

/// The answer, which does not end before its call is recorded.
async fn recorded(app: &Arc<App>, call: CallSeen, response: Response) -> Response {
    let length = response.body().size_hint().exact();
    let (response, answer) = seen(app, response);
    // Of such an answer the caller has everything with its head.
    let ends_with_head = call.parts.method == Method::HEAD || length == Some(0);
    if !ends_with_head && length.is_none_or(|length| length > SMALL_ANSWER) {
        let app = Arc::clone(app);
        let record = async move { app.recorder.record(&call, &answer).await };
        return response.map(|body| proxy::hold_end(body, record));
    }
    // A small answer is sent in one piece, head and all.
    let response = match ends_with_head {
        true => response,
        false => whole(response).await,
    };
    app.recorder.record(&call, &answer).await;
    response
}

/// The answer to a call that makes a trail, which is stored with the call's record.
async fn recorded_with_trail(
    app: &Arc<App>,
    replier: &Replier,
    call: CallSeen,
    response: Response,
    trail: &NewTrail,
) -> Response {
    let (response, answer) = seen(app, response);
    let response = whole(response).await;
    if app.recorder.record_with_trail(&call, &answer, trail).await {
        return response;
    }
    // Something is in its way. Stored alone, it says what, and that is the answer to be recorded.
    let response = match api::insert_trail(&app.store, trail).await {
        Ok(()) => response,
        Err(error) => replier.api_error(&error),
    };
    recorded(app, call, response).await
}

/// An answer, and what is seen of it as it is read.
fn seen(app: &App, response: Response) -> (Response, AnswerSeen) {
    let (parts, body) = response.into_parts();
    let (body, received) = proxy::tee(body, app.recorder.body_limit());
    let answer = AnswerSeen {
        status: parts.status,
        headers: parts.headers.clone(),
        body: received,
    };
    (Response::from_parts(parts, body), answer)
}

/// An answer with its body at hand.
async fn whole(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, Body::from(body.to_bytes())),
        // The upstream broke off; the caller is to see that, and no shorter answer.
        Err(error) => Response::from_parts(parts, Body::new(proxy::Broken(Some(error)))),
    }
}

/// The policy template that a GetObject or HeadObject asks for.
fn template(parts: &Parts) -> Option<String> {
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    reads.then(|| templates::template(&route::s3_path(parts)))?
}

async fn call_api(
    app: &App,
    caller: &Caller,
    replier: &Replier,
    parts: &Parts,
    body: Body,
    for_record: &ForRecord,
) -> Response {
    let Some(signature) = &caller.signature else {
        return replier.api_error(&api::Error::missing_authentication_token());
    };
    let principal = app.recorder.identities.of_key(
        &signature.access_key,
        &caller.default_account,
        &caller.region,
    );
    let limit = app.config.body_limit();
    let body = match collect(body, limit).await {
        Ok(body) => body,
        Err(Unread::TooLong) => return replier.api_error(&api::Error::request_too_large(limit)),
        Err(Unread::Broken) => return replier.api_error(&api::Error::request_timeout()),
    };
    // What it is recorded as: a call that no record would be made of is not run.
    let operation = match route::find(parts, Some(signature), &[]) {
        Route::Call(call) if call.protocol == Protocol::Json => &*call.operation.name,
        _ => "",
    };
    let Some(body) = body::decode(&parts.headers, &body, limit) else {
        return replier.api_error(&api::Error::undecodable_body(limit));
    };
    let cx = Cx {
        account: principal.account.clone(),
        region: caller.region.clone(),
        store: app.store.clone(),
        targets: app.targets.clone(),
        clock: app.clock.clone(),
        ids: app.ids.clone(),
        keys: app.keys.clone(),
        trails_per_region: app.config.trails_per_region,
        slot_ms: app.config.slot_ms(),
        for_record: for_record.clone(),
    };
    match app.operations.call(operation, cx, &body).await {
        Ok(body) => replier.json(body),
        Err(error) => replier.api_error(&error),
    }
}

async fn forward(app: &App, replier: &Replier, request: Request, sent: &Seen) -> Response {
    let Some(upstream) = &app.upstream else {
        return replier.error(
            StatusCode::NOT_IMPLEMENTED,
            "ServiceUnavailable",
            "there is no upstream",
        );
    };
    match upstream.forward(request, sent).await {
        Ok(response) => response,
        Err(error) => {
            let status = match error {
                UpstreamError::Caller => return replier.broken_body(),
                UpstreamError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
                UpstreamError::Hanging { .. } => StatusCode::GATEWAY_TIMEOUT,
                UpstreamError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            };
            tracing::warn!("{error}");
            replier.error(status, "ServiceUnavailable", &error.to_string())
        }
    }
}

/// Why there is no body.
enum Unread {
    TooLong,
    /// It did not come to its end, or not in time.
    Broken,
}

impl Unread {
    /// As what the caller is told, of a body of at most `limit` bytes.
    fn refusal(&self, limit: usize) -> Refusal {
        match self {
            Self::TooLong => Refusal::TooLong { limit },
            Self::Broken => Refusal::BrokenBody,
        }
    }
}

/// A body of at most `limit` bytes. What is longer is read to its end all the same, as far as that is sane: a caller who
/// is still sending does not read an answer.
async fn collect(body: Body, limit: usize) -> Result<Bytes, Unread> {
    let mut body = body;
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if kept.len() + data.len() > limit {
            drain(body).await;
            return Err(Unread::TooLong);
        }
        kept.extend_from_slice(&data);
    }
    Ok(kept.freeze())
}

/// Reads what a caller sends and nobody wants.
async fn drain(mut body: Body) {
    let mut left = DRAIN_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// The service that a signing name stands for, to answer in its protocol.
fn service_of(signing_name: &str) -> Option<&'static crate::aws::model::Service> {
    models()
        .signed_as(signing_name)
        .first()
        .and_then(|id| models().service(id))
}
