//! An AWS service that speaks JSON, on a port: answers as a test tells it to, and remembers its calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use http_body_util::BodyExt;
use localtrail::http::connections::{Limits, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longer than any test.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the stub has seen: operation, account that signed, region, input.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) input: Value,
}

/// Answers a call: the status and the members.
pub(crate) type Answer = dyn Fn(&Call) -> (u16, Value) + Send + Sync;

#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    calls: Mutex<Vec<Call>>,
    answer: Mutex<Box<Answer>>,
}

impl Stub {
    pub(crate) async fn start(
        answer: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            calls: Mutex::default(),
            answer: Mutex::new(Box::new(answer)),
        });
        let router = Router::new().fallback(reply).with_state(Arc::clone(&inner));
        let limits = Limits {
            connections: 64,
            head_bytes: 1 << 16,
            head_timeout: TIMEOUT,
            body_timeout: TIMEOUT,
        };
        let never = CancellationToken::new();
        tokio::spawn(serve(listener, router, limits, never, TIMEOUT));
        Self { url, inner }
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, answer: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static) {
        *self.inner.answer.lock().unwrap() = Box::new(answer);
    }

    /// The calls of `operation` since it was last asked for.
    pub(crate) fn take(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.inner.calls.lock().unwrap();
        let (wanted, rest) = std::mem::take(&mut *calls)
            .into_iter()
            .partition(|call| call.operation == operation);
        *calls = rest;
        wanted
    }
}

/// An error answer of a service that speaks JSON.
pub(crate) fn error(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "no" }))
}

async fn reply(State(stub): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).unwrap().to_str().unwrap();
    let scope: Vec<&str> = text("authorization")
        .split("Credential=")
        .nth(1)
        .unwrap()
        .split('/')
        .collect();
    let call = Call {
        operation: text("x-amz-target").split('.').nth(1).unwrap().to_owned(),
        account: scope[0].to_owned(),
        region: scope[2].to_owned(),
        input: serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap(),
    };
    let (status, members) = (stub.answer.lock().unwrap())(&call);
    stub.calls.lock().unwrap().push(call);
    Response::builder()
        .status(status)
        .body(Body::from(members.to_string()))
        .unwrap()
}
