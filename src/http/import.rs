//! `POST /_localtrail/events`: records brought in by hand, as if they had happened here.
//!
//! What a record must be and what is filled in is `event::supplied`'s to say; a bad one refuses the whole request. An
//! `eventID` that is recorded already is not taken twice.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{AdminError, Result, body, ok};
use crate::app::App;
use crate::event::supplied::{self, Setting};
use crate::record::proxy::ToTheEnd;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportBody {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

/// `POST events`: records them all, or none where one is bad.
pub(super) async fn import(State(app): State<Arc<App>>, request: Request) -> Result<Response> {
    let ImportBody { records } = body(request).await?;
    let default_account = app.default_account.get().await;
    let mut events = Vec::with_capacity(records.len());
    for (index, record) in records.into_iter().enumerate() {
        let setting = Setting {
            now: app.clock.now(),
            account: default_account,
            region: &app.config.region,
            event_version: &app.config.event_version,
            event_id: app.ids.event_id().to_string(),
        };
        let event = supplied::complete(record, &setting);
        events
            .push(event.map_err(|reason| AdminError::bad(format!("Records[{index}]: {reason}")))?);
    }
    let ids: Vec<String> = events.iter().map(|event| event.event_id.clone()).collect();
    let imported = {
        let app = Arc::clone(&app);
        async move { app.recorder.import(events).await }
    };
    let duplicates = ToTheEnd::new(imported).await.map_err(|error| {
        tracing::error!("cannot store imported records: {error}");
        AdminError::internal("the records cannot be stored; the log says why")
    })?;
    // An id that stands twice in the request is recorded once, and a duplicate once.
    let mut left = duplicates.clone();
    left.sort_unstable();
    let mut recorded: Vec<&String> = ids
        .iter()
        .rev()
        .filter(|id| match left.binary_search(id) {
            Ok(at) => {
                left.remove(at);
                false
            }
            Err(_) => true,
        })
        .collect();
    recorded.reverse();
    Ok(ok(
        &json!({ "recorded": recorded, "duplicates": duplicates }),
    ))
}
