//! What is forgotten: events that are older than the history, once everything that is to be done with them is done, and
//! the log files that held them.

use super::{Error, Store};

/// Events that are deleted at a time, while others wait to write.
const BATCH: i64 = 100;

impl Store {
    /// Deletes events whose slot had ended by `before_ms`, and what is known of log files of that time, as far as no step
    /// in the outbox needs them. Returns how many events.
    ///
    /// The newest event stays, so that no id is given twice.
    pub async fn prune(&self, before_ms: i64) -> Result<u64, Error> {
        // Steps to come are about later events only, so this need not be asked again.
        let keep_from: Option<i64> = sqlx::query_scalar(
            "with young as (
                 select id from event where slot_end_ms > $1 order by id limit 1
             ), needed (event) as (
                 select id from young
                 union all select max(id) from event
                 union all select step ->> '$.first_event' from outbox
                 union all select value from outbox, json_each(step, '$.events')
                 union all select f.first_event from outbox o join log_file f on f.id = o.step ->> '$.log_file_id'
                 union all select r.event from outbox o join rider r on r.log_file_id = o.step ->> '$.log_file_id'
                 union all select event from rider where log_file_id is null
             )
             select min(event) from needed",
        )
        .bind(before_ms)
        .fetch_one(&mut *self.connections.read().await?)
        .await?;
        let mut pruned = 0;
        loop {
            let done = sqlx::query(
                "delete from event where id in (select id from event where id < $1 order by id limit 0 + $2)",
            )
            .bind(keep_from)
            .bind(BATCH)
            .execute(&mut *self.connections.write().await?)
            .await?
            .rows_affected();
            if done == 0 {
                break;
            }
            pruned += done;
        }
        sqlx::query(
            "delete from log_file where slot_end_ms <= $1 and awaits is null
             and not exists (select 1 from outbox where step ->> '$.log_file_id' = log_file.id)",
        )
        .bind(before_ms)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(pruned)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::event::NamedResource;
    use crate::store::filling::tests::fill_up_to;
    use crate::store::search::tests::everything;
    use crate::store::{Due, Lifetime, NewEvent, Slot};

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    fn event(number: i64, takers: &[i64]) -> NewEvent {
        NewEvent {
            event_id: format!("event-{number}"),
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            time_ms: number * DAY_MS,
            source: "cloudtrail.amazonaws.com".to_owned(),
            name: "ListTrails".to_owned(),
            read_only: Some(true),
            category: "Management".to_owned(),
            user_name: None,
            access_key_id: None,
            resources: Vec::new(),
            record: "{}".to_owned(),
            takers: takers.to_vec(),
            slot: Slot::of(number * DAY_MS, 300_000),
        }
    }

    async fn kept(store: &Store) -> Vec<String> {
        let rows = store.event_page(&everything(), None, 50).await.unwrap();
        let mut kept: Vec<String> = rows.into_iter().map(|row| row.event_id).collect();
        kept.reverse();
        kept
    }

    #[tokio::test]
    async fn only_what_is_old_and_needed_by_no_step_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        let events = vec![
            event(0, &[]),
            event(1, &[]),
            event(2, &[7]),
            event(3, &[]),
            event(9, &[]),
        ];
        store.events_append(events).await.unwrap();
        assert_eq!(store.prune(DAY_MS).await.unwrap(), 1);
        assert_eq!(
            kept(&store).await,
            ["event-1", "event-2", "event-3", "event-9"]
        );
        // Event 2 waits to be cut into a log file.
        assert_eq!(store.prune(5 * DAY_MS).await.unwrap(), 1);
        assert_eq!(kept(&store).await, ["event-2", "event-3", "event-9"]);
        let Due::Now(due) = store.outbox_due(i64::MAX, 9).await.unwrap() else {
            panic!("nothing is due");
        };
        for item in due {
            store.outbox_done(&item).await.unwrap();
        }
        assert_eq!(store.prune(5 * DAY_MS).await.unwrap(), 2);
        // The newest stays, however old it is.
        assert_eq!(store.prune(99 * DAY_MS).await.unwrap(), 0);
        assert_eq!(kept(&store).await, ["event-9"]);
    }

    /// An event with something under each attribute that events are found by.
    fn full(number: i64) -> NewEvent {
        let resource = |index: i64| NamedResource {
            kind: Some(format!("kind-{index}")),
            name: format!("name-{index}"),
        };
        NewEvent {
            user_name: Some("alice".to_owned()),
            access_key_id: Some("key".to_owned()),
            resources: vec![resource(1), resource(number)],
            ..event(number, &[])
        }
    }

    /// What SQLite does, in its instructions, to forget 50 of so many events; and how many rows are left of what they
    /// are found by.
    async fn forgetting(count: i64) -> (u64, i64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.sqlite");
        let store = Store::open(&path, Lifetime::Temporary).await.unwrap();
        store
            .events_append((0..count).map(full).collect())
            .await
            .unwrap();
        let hundreds = Arc::new(AtomicU64::new(0));
        fill_up_to(&store, count).await;
        let mut writing = store.connections.write().await.unwrap();
        let counted = Arc::clone(&hundreds);
        let mut handle = writing.lock_handle().await.unwrap();
        handle.set_progress_handler(100, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        drop(handle);
        drop(writing);
        assert_eq!(store.prune(49 * DAY_MS + 300_000).await.unwrap(), 50);
        let left = sqlx::query_scalar("select count(*) from search")
            .fetch_one(&mut *store.connections.read().await.unwrap())
            .await
            .unwrap();
        (100 * hundreds.load(Ordering::Relaxed), left)
    }

    #[tokio::test]
    async fn to_forget_an_event_takes_no_longer_where_there_are_many() {
        let (few, left) = forgetting(100).await;
        // An event has ten rows: its resources have two types and two names.
        assert_eq!(left, 50 * 10);
        let (many, left) = forgetting(2_000).await;
        assert_eq!(left, 1_950 * 10);
        assert!(0 < few && many < 2 * few, "{few} and {many}");
    }
}
