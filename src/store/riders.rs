//! Records of localtrail's own deliveries, and the log files that they ride along with.
//!
//! The one rule that keeps deliveries from causing each other for ever: such a record asks for no cut and makes no
//! file. It is stored with the outcome of the step that it tells of, waits for each trail that takes it, and goes into
//! that trail's next file of its account and region that is cut for other events.

use super::connections::Batch;
use super::events::insert;
use super::outbox::Candidate;
use super::{Error, NewEvent, Tx};

/// Stores records of own deliveries with what ends their step. One that is there already, since the step runs again, is
/// not stored twice.
pub(super) fn store(batch: &mut Batch, records: &[NewEvent]) {
    for record in records {
        // Its takers stand elsewhere: in the event's row they would ask for a cut.
        let untaken = NewEvent {
            takers: Vec::new(),
            ..record.clone()
        };
        insert(batch.then(""), &[&untaken]).push(" on conflict (event_id) do nothing");
        for trail_id in &record.takers {
            batch
                .then("insert into rider (trail_id, event) select ")
                .push_bind(*trail_id)
                .push(", id from event where event_id = ")
                .push_bind(record.event_id.clone())
                .push(" on conflict do nothing");
        }
    }
}

/// The records that wait for a file of the trail.
pub(super) async fn waiting(tx: &mut Tx, trail_id: i64) -> Result<Vec<Candidate>, Error> {
    sqlx::query_as(
        "select e.id, e.account, e.region, e.time_ms, length(e.record) as bytes
         from rider r join event e on e.id = r.event
         where r.trail_id = $1 and r.log_file_id is null order by e.id",
    )
    .bind(trail_id)
    .fetch_all(&mut **tx)
    .await
}

/// Puts records into a log file of the trail.
pub(super) fn board(
    batch: &mut Batch,
    trail_id: i64,
    log_file_id: i64,
    events: &[i64],
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let events = serde_json::to_string(events).map_err(|error| Error::Encode(error.into()))?;
    batch
        .then("update rider set log_file_id = ")
        .push_bind(log_file_id)
        .push(" where trail_id = ")
        .push_bind(trail_id)
        .push(" and event in (select value from json_each(")
        .push_bind(events)
        .push("))");
    Ok(())
}
