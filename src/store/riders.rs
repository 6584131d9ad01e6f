//! Records of localtrail's own deliveries, and the log files that they ride along with.
//!
//! The one rule that keeps deliveries from causing each other for ever: such a record asks for no cut and makes no
//! file. It is stored with the outcome of the step that it tells of, waits for each trail that takes it, and goes into
//! that trail's next file of its account and region that is cut for other events.

use super::events::insertion;
use super::outbox::Candidate;
use super::{Error, NewEvent, Tx};

/// Stores records of own deliveries in the transaction that ends their step. One that is there already, since the step
/// runs again, is not stored twice.
pub(super) async fn store(tx: &mut Tx, records: Vec<NewEvent>) -> Result<(), Error> {
    for mut record in records {
        // Not in the event's row: there they would ask for a cut.
        let takers = std::mem::take(&mut record.takers);
        insertion(&[&record], " on conflict (event_id) do nothing")
            .build()
            .execute(&mut **tx)
            .await?;
        for trail_id in takers {
            sqlx::query(
                "insert into rider (trail_id, event) select $1, id from event where event_id = $2
                 on conflict do nothing",
            )
            .bind(trail_id)
            .bind(&record.event_id)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
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
pub(super) async fn board(
    tx: &mut Tx,
    trail_id: i64,
    log_file_id: i64,
    events: &[i64],
) -> Result<(), Error> {
    for event in events {
        sqlx::query("update rider set log_file_id = $3 where trail_id = $1 and event = $2")
            .bind(trail_id)
            .bind(event)
            .bind(log_file_id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
