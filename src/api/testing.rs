//! What the tests of operations stand on: a store in a folder of its own, a clock that stands still.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use chrono::DateTime;
use http::Uri;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Cx, ForRecord, operations};
use crate::client::{self, Trust};
use crate::clock::{Clock, Ids};
use crate::config::PolicyCheck;
use crate::http::connections::{Limits, serve};
use crate::keys::Keys;
use crate::store::{Store, Trail};
use crate::targets::{Endpoints, Target, Targets};

pub(super) const ACCOUNT: &str = "111122223333";
/// Longer than any test.
const TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const REGION: &str = "us-east-1";

/// One account's view of the API in one region.
pub(super) struct Api {
    pub(super) cx: Cx,
    _folder: TempDir,
}

impl Api {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(
            &folder.path().join("test.db"),
            crate::store::Lifetime::Temporary,
        )
        .await
        .unwrap();
        let now = DateTime::from_timestamp_millis(1_800_000_000_250).unwrap();
        let clock = Clock::frozen(now);
        let endpoints = Endpoints {
            logs: Some(stub().await),
            ..Endpoints::default()
        };
        let client = client::client(client::connector(Trust::Nobody).unwrap());
        let keys = Keys::new(store.clone());
        let cx = Cx {
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            store,
            targets: Targets::new(
                Target::Nowhere,
                Target::Nowhere,
                endpoints,
                client,
                None,
                PolicyCheck::Off,
                TIMEOUT,
            ),
            clock,
            ids: Ids::seeded(1),
            keys,
            trails_per_region: 5,
            slot_ms: 300_000,
            for_record: ForRecord::default(),
        };
        Self {
            cx,
            _folder: folder,
        }
    }

    /// Calls from another region or account from now on.
    pub(super) fn go(&mut self, account: &str, region: &str) {
        self.cx.account = account.to_owned();
        self.cx.region = region.to_owned();
    }

    /// The answer to a call that succeeds.
    pub(super) async fn call(&self, operation: &str, input: Value) -> Value {
        let body = operations()
            .call(operation, self.cx.clone(), input.to_string().as_bytes())
            .await
            .unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    /// Code and message of a call that is refused, as `Code: message`.
    pub(super) async fn refused(&self, operation: &str, input: Value) -> String {
        operations()
            .call(operation, self.cx.clone(), input.to_string().as_bytes())
            .await
            .unwrap_err()
            .to_string()
    }

    /// Makes a trail past CreateTrail, which would ask S3 for the bucket.
    pub(super) async fn make_trail(&self, name: &str, is_multi_region: bool) -> Trail {
        let mut trail = trail(&self.cx.account, &self.cx.region, name);
        trail.is_multi_region = is_multi_region;
        trail.id = self
            .cx
            .store
            .trail_insert(&trail.clone().within(5), &[])
            .await
            .unwrap();
        trail
    }
}

/// Endpoint of services that have whatever they are asked for.
async fn stub() -> Uri {
    let answer = async |request: Request| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let input: Value = serde_json::from_slice(&body).unwrap();
        json!({ "logGroups": [{ "logGroupName": input["logGroupNamePrefix"] }] }).to_string()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    let limits = Limits {
        connections: 64,
        head_bytes: 1 << 16,
        head_timeout: TIMEOUT,
        body_timeout: TIMEOUT,
    };
    let never = CancellationToken::new();
    tokio::spawn(serve(listener, router, limits, never, TIMEOUT));
    uri.parse().unwrap()
}

/// A trail as CreateTrail makes it from a name and a bucket.
pub(super) fn trail(account: &str, home_region: &str, name: &str) -> Trail {
    Trail {
        account: account.to_owned(),
        home_region: home_region.to_owned(),
        name: name.to_owned(),
        s3_bucket_name: "logs".to_owned(),
        include_global_service_events: true,
        recursive_logging: true,
        ..Trail::default()
    }
}
