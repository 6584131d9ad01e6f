//! Trails: what they are set to, their selectors and tags.
//!
//! Rows in, rows out; the one rule kept here is the one that needs a transaction: how many trails a region may have,
//! and how many tags a trail. Every change of a trail that may log moves [`Store::trails_version`] once
//! it is committed. A deleted trail is remembered, by its id alone, for as long as something of it may be delivered.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, Sqlite};

use super::digests::{Change, Ending, runs_follow};
use super::soon::soon;
use super::status::DeliveryStatus;
use super::{Error, Store, Tx, is_unique_violation};
use crate::aws::arn::{Arn, partition};
use crate::event::select::{InsightSelector, Selectors};

/// How long a deleted trail is remembered: its files are tried for 30 days, and the notifications after them as long.
const DELETED_TRAIL_DAYS: i64 = 61;

/// A trail, as it stands in its home region. Members that are missing in the JSON of one that was deleted by an older
/// version are read as their defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trail {
    /// Given by the store: 0 before the trail is inserted.
    pub id: i64,
    /// 12 digits.
    pub account: String,
    pub home_region: String,
    pub name: String,
    pub s3_bucket_name: String,
    pub s3_key_prefix: Option<String>,
    /// As the caller gave it: a name or an ARN.
    pub sns_topic_name: Option<String>,
    pub sns_topic_arn: Option<String>,
    pub include_global_service_events: bool,
    pub is_multi_region: bool,
    pub log_file_validation: bool,
    pub cloud_watch_logs_log_group_arn: Option<String>,
    pub cloud_watch_logs_role_arn: Option<String>,
    /// The key's ARN, or an alias's.
    pub kms_key_id: Option<String>,
    pub is_logging: bool,
    /// The last start and the last stop, in milliseconds since the epoch; both stay when the other comes.
    pub start_logging_ms: Option<i64>,
    pub stop_logging_ms: Option<i64>,
    /// The default ones where none were put.
    pub selectors: Selectors,
    pub has_custom_selectors: bool,
    /// Empty while Insights are off.
    pub insight_selectors: Vec<InsightSelector>,
    /// Whether it takes the events of CloudTrail's own deliveries.
    pub recursive_logging: bool,
    /// Of a trail that is found by its id alone, because something of it may still be delivered.
    pub is_deleted: bool,
    /// Of an organization trail; written by [`Store::trail_organization_put`] alone.
    pub organization_id: Option<String>,
}

/// A trail to be inserted, unless one of its regions has `limit` trails already.
#[derive(Clone, Debug)]
pub struct NewTrail {
    pub trail: Trail,
    pub limit: u32,
}

/// A tag: its key, and its value if it has one.
pub type Tag = (String, Option<String>);

/// Why a trail was not written.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error("the account has a trail of this name in this region")]
    NameTaken,
    /// `region` has as many trails as it may, those of other regions that cover it counted.
    #[error("{region} has as many trails as it may")]
    RegionFull { region: String },
    #[error(transparent)]
    Store(#[from] Error),
}

impl Trail {
    pub fn arn(&self) -> String {
        Self::arn_of(&self.account, &self.home_region, &self.name)
    }

    /// The ARN that such a trail has, or would have.
    pub fn arn_of(account: &str, home_region: &str, name: &str) -> String {
        let resource = format!("trail/{name}");
        Arn {
            partition: partition(home_region),
            service: "cloudtrail",
            region: home_region,
            account,
            resource: &resource,
        }
        .to_string()
    }

    /// The trail, to be inserted unless one of its regions has `limit` trails already.
    pub fn within(self, limit: u32) -> NewTrail {
        NewTrail { trail: self, limit }
    }

    /// Whether the trail is seen in `region`: at home, or as a shadow.
    pub fn covers(&self, region: &str) -> bool {
        self.is_multi_region || self.home_region == region
    }
}

impl Store {
    /// Inserts a trail with its tags, and gives its id.
    pub async fn trail_insert(&self, new: &NewTrail, tags: &[Tag]) -> Result<i64, TrailError> {
        let mut tx = self.begin().await?;
        let mut query = QueryBuilder::new("");
        insert(&mut query, new);
        let inserted = query.build().execute(&mut *tx).await;
        let id = match inserted {
            Ok(done) => done.last_insert_rowid(),
            Err(error) if is_unique_violation(&error) => return Err(TrailError::NameTaken),
            Err(error) => {
                return Err(match full_region(&mut tx, &new.trail, new.limit).await? {
                    Some(region) => TrailError::RegionFull { region },
                    None => error.into(),
                });
            }
        };
        tags_write(&mut tx, id, tags).await?;
        tx.commit().await?;
        self.trails_inserted();
        Ok(id)
    }

    /// The trail of this name whose home is `home_region`.
    pub async fn trail_get(
        &self,
        account: &str,
        home_region: &str,
        name: &str,
    ) -> Result<Option<Trail>, Error> {
        let mut connection = self.connections.read().await?;
        let trail = sqlx::query_as(
            "select * from trail where account = $1 and home_region = $2 and name = $3",
        )
        .bind(account)
        .bind(home_region)
        .bind(name)
        .fetch_optional(&mut *connection);
        soon(trail).await
    }

    /// [`Self::trail_get`], with how its delivery from `region` fares; all empty where nothing was tried yet.
    pub async fn trail_get_with_status(
        &self,
        account: &str,
        home_region: &str,
        name: &str,
        region: &str,
    ) -> Result<Option<(Trail, DeliveryStatus)>, Error> {
        let mut connection = self.connections.read().await?;
        // Both tables have a `trail_id`, and the later one is read: that of the trail, which is never null.
        let row = sqlx::query(
            "
            select delivery_status.*, trail.* from trail
            left join delivery_status on delivery_status.trail_id = trail.trail_id and delivery_status.region = $4
            where account = $1 and home_region = $2 and name = $3",
        )
        .bind(account)
        .bind(home_region)
        .bind(name)
        .bind(region)
        .fetch_optional(&mut *connection);
        let row = soon(row).await?;
        row.map(|row| Ok((Trail::from_row(&row)?, DeliveryStatus::from_row(&row)?)))
            .transpose()
    }

    /// The trail with this id, also if it has been deleted and something of it may still be to be delivered.
    pub async fn trail_by_id(&self, id: i64) -> Result<Option<Trail>, Error> {
        if let Some(trail) = self.trails.get(&id) {
            return Ok(Some(trail));
        }
        let version = self.trails.version();
        let mut connection = self.connections.read().await?;
        let trail: Option<Trail> = sqlx::query_as("select * from trail where trail_id = $1")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(trail) = trail {
            self.trails.keep(version, id, trail.clone());
            return Ok(Some(trail));
        }
        let deleted: Option<String> =
            sqlx::query_scalar("select trail from deleted_trail where trail_id = $1")
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
        let trail: Option<Trail> = deleted.as_deref().map(from_json).transpose()?;
        Ok(trail.map(|trail| Trail {
            is_deleted: true,
            ..trail
        }))
    }

    /// Every trail of every account, the oldest first.
    pub async fn trails_all(&self) -> Result<Vec<Trail>, Error> {
        sqlx::query_as("select * from trail order by trail_id")
            .fetch_all(&mut *self.connections.read().await?)
            .await
    }

    /// The account's trails in all regions, the oldest first.
    pub async fn trail_list(&self, account: &str) -> Result<Arc<[Trail]>, Error> {
        let account = account.to_owned();
        if let Some(trails) = self.account_trails.get(&account) {
            return Ok(trails);
        }
        let version = self.account_trails.version();
        let trails: Vec<Trail> =
            sqlx::query_as("select * from trail where account = $1 order by trail_id")
                .bind(&account)
                .fetch_all(&mut *self.connections.read().await?)
                .await?;
        let trails: Arc<[Trail]> = trails.into();
        self.account_trails
            .keep(version, account, Arc::clone(&trails));
        Ok(trails)
    }

    /// Every trail of every account that is logging, the oldest first.
    pub async fn trails_logging(&self) -> Result<Vec<Trail>, Error> {
        sqlx::query_as("select * from trail where is_logging order by trail_id")
            .fetch_all(&mut *self.connections.read().await?)
            .await
    }

    /// Applies `change` to what the trail is set to, in one transaction, and gives the result; `None` if it is gone.
    ///
    /// Name, logging and selectors are not written: they have their own methods. If validation ends, the running hour
    /// is digested still.
    pub async fn trail_update(
        &self,
        id: i64,
        limit: u32,
        at: Change,
        change: impl FnOnce(&mut Trail),
    ) -> Result<Option<Trail>, TrailError> {
        let mut tx = self.begin().await?;
        let before: Option<Trail> = sqlx::query_as("select * from trail where trail_id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(mut trail) = before else {
            return Ok(None);
        };
        let was_multi_region = trail.is_multi_region;
        change(&mut trail);
        if trail.is_multi_region
            && !was_multi_region
            && let Some(region) = full_region(&mut tx, &trail, limit).await?
        {
            return Err(TrailError::RegionFull { region });
        }
        sqlx::query(
            "
            update trail set
                s3_bucket_name = $2, s3_key_prefix = $3, sns_topic_name = $4, sns_topic_arn = $5,
                include_global_service_events = $6, is_multi_region = $7, log_file_validation = $8,
                cloud_watch_logs_log_group_arn = $9, cloud_watch_logs_role_arn = $10, kms_key_id = $11,
                recursive_logging = $12
            where trail_id = $1",
        )
        .bind(id)
        .bind(&trail.s3_bucket_name)
        .bind(&trail.s3_key_prefix)
        .bind(&trail.sns_topic_name)
        .bind(&trail.sns_topic_arn)
        .bind(trail.include_global_service_events)
        .bind(trail.is_multi_region)
        .bind(trail.log_file_validation)
        .bind(&trail.cloud_watch_logs_log_group_arn)
        .bind(&trail.cloud_watch_logs_role_arn)
        .bind(&trail.kms_key_id)
        .bind(trail.recursive_logging)
        .execute(&mut *tx)
        .await?;
        let is_digested = trail.is_logging && trail.log_file_validation;
        runs_follow(&mut tx, id, is_digested, at, Ending::WithItsHour).await?;
        self.trails_commit(tx).await?;
        Ok(Some(trail))
    }

    /// Deletes the trail with its tags and status; `false` if it was gone. Where its events are to go is remembered:
    /// some of them may not be cut into files, or delivered, yet.
    pub async fn trail_delete(&self, id: i64, at: Change) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let deleted: Option<Trail> =
            sqlx::query_as("delete from trail where trail_id = $1 returning *")
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(trail) = &deleted {
            sqlx::query("delete from deleted_trail where deleted_ms < $1")
                .bind(at.now_ms - DELETED_TRAIL_DAYS * 24 * 60 * 60 * 1000)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "insert into deleted_trail (trail_id, deleted_ms, trail) values ($1, $2, $3)",
            )
            .bind(id)
            .bind(at.now_ms)
            .bind(to_json(trail)?)
            .execute(&mut *tx)
            .await?;
            runs_follow(&mut tx, id, false, at, Ending::WithItsSlot).await?;
        }
        self.trails_commit(tx).await?;
        Ok(deleted.is_some())
    }

    /// Starts logging, or marks a new start of it; `false` if the trail is gone.
    pub async fn trail_logging_start(&self, id: i64, at: Change) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let is_validated: Option<bool> = sqlx::query_scalar(
            "update trail set is_logging = 1, start_logging_ms = $2 where trail_id = $1
             returning log_file_validation",
        )
        .bind(id)
        .bind(at.now_ms)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(is_validated) = is_validated {
            runs_follow(&mut tx, id, is_validated, at, Ending::WithItsSlot).await?;
        }
        self.trails_commit(tx).await?;
        Ok(is_validated.is_some())
    }

    /// Stops logging, or marks a new stop of it, and turns Insights off; `false` if the trail is gone. The
    /// last digest comes with the last delivery.
    pub async fn trail_logging_stop(&self, id: i64, at: Change) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "update trail set is_logging = 0, stop_logging_ms = $2, insight_selectors = null where trail_id = $1",
        )
        .bind(id)
        .bind(at.now_ms)
        .execute(&mut *tx)
        .await?;
        runs_follow(&mut tx, id, false, at, Ending::WithItsSlot).await?;
        self.trails_commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Puts the trail's selectors in the place of those it has; `false` if the trail is gone.
    pub async fn trail_selectors_put(&self, id: i64, selectors: &Selectors) -> Result<bool, Error> {
        let json = to_json(selectors)?;
        let mut tx = self.begin().await?;
        let done = sqlx::query("update trail set selectors = $2 where trail_id = $1")
            .bind(id)
            .bind(json)
            .execute(&mut *tx)
            .await?;
        self.trails_commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Turns the trail's Insights on as `selectors` say, or off if there are none; `false` if the trail is gone.
    pub async fn trail_insight_selectors_put(
        &self,
        id: i64,
        selectors: &[InsightSelector],
    ) -> Result<bool, Error> {
        let json = match selectors {
            [] => None,
            selectors => Some(to_json(&selectors)?),
        };
        let mut tx = self.begin().await?;
        let done = sqlx::query("update trail set insight_selectors = $2 where trail_id = $1")
            .bind(id)
            .bind(json)
            .execute(&mut *tx)
            .await?;
        self.trails_commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Adds tags, a known key getting the new value, unless the trail would have more than `limit`: then `false`.
    pub async fn trail_tags_add(&self, id: i64, tags: &[Tag], limit: u32) -> Result<bool, Error> {
        let mut tx = self.begin().await?;
        tags_write(&mut tx, id, tags).await?;
        let count: u32 = sqlx::query_scalar("select count(*) from trail_tag where trail_id = $1")
            .bind(id)
            .fetch_one(&mut *tx)
            .await?;
        if count > limit {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Removes the tags with these keys, as far as there are any.
    pub async fn trail_tags_remove(&self, id: i64, keys: &[String]) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        for key in keys {
            sqlx::query("delete from trail_tag where trail_id = $1 and key = $2")
                .bind(id)
                .bind(key)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    /// The trail's tags in the order they were added.
    pub async fn trail_tags_list(&self, id: i64) -> Result<Vec<Tag>, Error> {
        sqlx::query_as("select key, value from trail_tag where trail_id = $1 order by trail_tag_id")
            .bind(id)
            .fetch_all(&mut *self.connections.read().await?)
            .await
    }

    /// Commits a change of trails and tells those who keep them in memory.
    pub(super) async fn trails_commit(&self, tx: Tx) -> Result<(), Error> {
        tx.commit().await?;
        self.trails_changed();
        Ok(())
    }

    /// Trails have changed.
    pub(super) fn trails_changed(&self) {
        self.trails.changed();
        self.account_trails.changed();
    }

    /// There is a new trail. It does not log yet, so `trails_version` stays.
    pub(super) fn trails_inserted(&self) {
        self.account_trails.changed();
    }
}

/// Adds `with full as …`: the regions of the trail that have `limit` others, the fullest first. A trail counts in every
/// region it covers, a new multi-region trail therefore in the fullest.
fn with_full<'q>(
    query: &'q mut QueryBuilder<Sqlite>,
    trail: &Trail,
    limit: u32,
) -> &'q mut QueryBuilder<Sqlite> {
    query
        .push("with multi as (select count(*) as count from trail where is_multi_region and account = ")
        .push_bind(&trail.account)
        .push(" and trail_id <> ")
        .push_bind(trail.id)
        .push("), region as (select ")
        .push_bind(&trail.home_region)
        .push(
            " as home_region, 0 as count
             union all
             select home_region, count(*) from trail where not is_multi_region and account = ",
        )
        .push_bind(&trail.account)
        .push(" and trail_id <> ")
        .push_bind(trail.id)
        .push(" and (home_region = ")
        .push_bind(&trail.home_region)
        .push(" or ")
        .push_bind(trail.is_multi_region)
        .push(
            ") group by home_region
             ), full as (
                 select region.home_region from region, multi where region.count + multi.count >= ",
        )
        .push_bind(limit)
        .push(" order by region.count desc, region.home_region <> ")
        .push_bind(&trail.home_region)
        .push(") ")
}

/// Adds the statement that inserts a trail. Where one of its regions is full it has no home to insert, which is an error,
/// so that nothing of its transaction stays; a row of an answer would wake the caller before the commit and again after
/// it.
pub(super) fn insert(query: &mut QueryBuilder<Sqlite>, new: &NewTrail) {
    let trail = &new.trail;
    with_full(query, trail, new.limit).push(
        "insert into trail (
             home_region, account, name, is_multi_region, s3_bucket_name, s3_key_prefix, sns_topic_name, sns_topic_arn,
             include_global_service_events, log_file_validation,
             cloud_watch_logs_log_group_arn, cloud_watch_logs_role_arn, kms_key_id, recursive_logging, is_logging)
         select iif(exists (select 1 from full), null, ",
    );
    query.push_bind(&trail.home_region).push("), ");
    let mut values = query.separated(", ");
    values
        .push_bind(&trail.account)
        .push_bind(&trail.name)
        .push_bind(trail.is_multi_region)
        .push_bind(&trail.s3_bucket_name)
        .push_bind(&trail.s3_key_prefix)
        .push_bind(&trail.sns_topic_name)
        .push_bind(&trail.sns_topic_arn)
        .push_bind(trail.include_global_service_events)
        .push_bind(trail.log_file_validation)
        .push_bind(&trail.cloud_watch_logs_log_group_arn)
        .push_bind(&trail.cloud_watch_logs_role_arn)
        .push_bind(&trail.kms_key_id)
        .push_bind(trail.recursive_logging)
        .push("0");
}

/// The region of a trail that has `limit` others, if one has.
async fn full_region(tx: &mut Tx, trail: &Trail, limit: u32) -> Result<Option<String>, Error> {
    with_full(&mut QueryBuilder::new(""), trail, limit)
        .push("select home_region from full limit 1")
        .build_query_scalar()
        .fetch_optional(&mut **tx)
        .await
}

/// A trail that was deleted meanwhile gets no tags.
async fn tags_write(tx: &mut Tx, trail_id: i64, tags: &[Tag]) -> Result<(), Error> {
    for (key, value) in tags {
        sqlx::query(
            "
            insert into trail_tag (trail_id, key, value) select trail_id, $2, $3 from trail where trail_id = $1
            on conflict (trail_id, key) do update set value = excluded.value",
        )
        .bind(trail_id)
        .bind(key)
        .bind(value)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Encode(error.into()))
}

fn from_json<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    serde_json::from_str(json).map_err(|error| Error::Decode(error.into()))
}

impl FromRow<'_, SqliteRow> for Trail {
    fn from_row(row: &SqliteRow) -> Result<Self, Error> {
        let selectors: Option<&str> = row.try_get("selectors")?;
        let insight_selectors: Option<&str> = row.try_get("insight_selectors")?;
        Ok(Self {
            id: row.try_get("trail_id")?,
            account: row.try_get("account")?,
            home_region: row.try_get("home_region")?,
            name: row.try_get("name")?,
            s3_bucket_name: row.try_get("s3_bucket_name")?,
            s3_key_prefix: row.try_get("s3_key_prefix")?,
            sns_topic_name: row.try_get("sns_topic_name")?,
            sns_topic_arn: row.try_get("sns_topic_arn")?,
            include_global_service_events: row.try_get("include_global_service_events")?,
            is_multi_region: row.try_get("is_multi_region")?,
            log_file_validation: row.try_get("log_file_validation")?,
            cloud_watch_logs_log_group_arn: row.try_get("cloud_watch_logs_log_group_arn")?,
            cloud_watch_logs_role_arn: row.try_get("cloud_watch_logs_role_arn")?,
            kms_key_id: row.try_get("kms_key_id")?,
            is_logging: row.try_get("is_logging")?,
            start_logging_ms: row.try_get("start_logging_ms")?,
            stop_logging_ms: row.try_get("stop_logging_ms")?,
            has_custom_selectors: selectors.is_some(),
            selectors: selectors.map(from_json).transpose()?.unwrap_or_default(),
            insight_selectors: insight_selectors
                .map(from_json)
                .transpose()?
                .unwrap_or_default(),
            recursive_logging: row.try_get("recursive_logging")?,
            is_deleted: false,
            organization_id: row.try_get("organization_id")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::search::tests::event;

    async fn store() -> (Store, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(
            &folder.path().join("test.db"),
            crate::store::Lifetime::Temporary,
        )
        .await
        .unwrap();
        (store, folder)
    }

    fn trail(home_region: &str, name: &str, is_multi_region: bool) -> Trail {
        Trail {
            account: "111122223333".to_owned(),
            home_region: home_region.to_owned(),
            name: name.to_owned(),
            s3_bucket_name: "logs".to_owned(),
            s3_key_prefix: Some("pre".to_owned()),
            include_global_service_events: true,
            is_multi_region,
            log_file_validation: true,
            recursive_logging: true,
            ..Trail::default()
        }
    }

    fn at(now_ms: i64) -> Change {
        Change {
            now_ms,
            slot_end_ms: 300_000,
        }
    }

    fn new(trail: &Trail, limit: u32) -> NewTrail {
        trail.clone().within(limit)
    }

    fn tag(key: &str, value: Option<&str>) -> Tag {
        (key.to_owned(), value.map(str::to_owned))
    }

    #[tokio::test]
    async fn a_trail_is_read_as_it_was_written() {
        let (store, _folder) = store().await;
        let mut written = trail("us-east-1", "main", false);
        written.id = store.trail_insert(&new(&written, 5), &[]).await.unwrap();
        let get = || store.trail_get("111122223333", "us-east-1", "main");
        assert_eq!(get().await.unwrap(), Some(written.clone()));
        assert_eq!(
            store
                .trail_get("111122223333", "us-east-2", "main")
                .await
                .unwrap(),
            None
        );
        assert_eq!(
            store
                .trail_get("444455556666", "us-east-1", "main")
                .await
                .unwrap(),
            None
        );

        let advanced = Selectors::Advanced(Vec::new());
        assert!(
            store
                .trail_selectors_put(written.id, &advanced)
                .await
                .unwrap()
        );
        let read = get().await.unwrap().unwrap();
        assert_eq!(
            (read.selectors, read.has_custom_selectors),
            (advanced, true)
        );
    }

    #[tokio::test]
    async fn names_are_unique_within_account_and_home_region() {
        let (store, _folder) = store().await;
        let main = trail("us-east-1", "main", false);
        store.trail_insert(&new(&main, 5), &[]).await.unwrap();
        let again = store.trail_insert(&new(&main, 5), &[]).await;
        assert!(matches!(again, Err(TrailError::NameTaken)), "{again:?}");
        store
            .trail_insert(&new(&trail("eu-west-1", "main", false), 5), &[])
            .await
            .unwrap();
        let account = "444455556666".to_owned();
        store
            .trail_insert(&new(&Trail { account, ..main }, 5), &[])
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_region_is_full_when_trails_of_its_own_and_of_all_regions_reach_the_limit() {
        let (store, _folder) = store().await;
        let full = |region: &str| format!("Err(RegionFull {{ region: \"{region}\" }})");
        let insert = async |home_region, name, is_multi_region| {
            let trail = trail(home_region, name, is_multi_region);
            store.trail_insert(&new(&trail, 2), &[]).await
        };
        insert("us-east-1", "a", false).await.unwrap();
        let id = insert("us-east-1", "b", false).await.unwrap();
        assert_eq!(
            format!("{:?}", insert("us-east-1", "c", false).await),
            full("us-east-1")
        );
        // A multi-region trail would be the third in us-east-1, wherever its home is.
        assert_eq!(
            format!("{:?}", insert("eu-west-1", "c", true).await),
            full("us-east-1")
        );
        // A trail that is counted already may come to cover all regions.
        let multi = store
            .trail_update(id, 2, at(5), |trail| trail.is_multi_region = true)
            .await;
        assert!(multi.unwrap().unwrap().is_multi_region);
        insert("eu-west-1", "c", false).await.unwrap();
        assert_eq!(
            format!("{:?}", insert("eu-west-1", "d", false).await),
            full("eu-west-1")
        );
        insert("eu-north-1", "c", false).await.unwrap();
    }

    #[tokio::test]
    async fn a_trail_is_stored_with_the_events_of_its_call_or_neither_is() {
        let (store, _folder) = store().await;
        let append = async |name, number| {
            let new = trail("us-east-1", name, false).within(2);
            let events = vec![event(number)];
            store.events_append_with_trail(events, &new).await
        };
        let stored = async || {
            let trails = store.trail_list("111122223333").await.unwrap();
            let names: Vec<String> = trails.iter().map(|trail| trail.name.clone()).collect();
            (names.join(" "), store.event_count().await.unwrap())
        };
        assert_eq!(stored().await, (String::new(), 0));
        append("a", 1).await.unwrap();
        assert_eq!(stored().await, ("a".to_owned(), 1));
        append("a", 2).await.unwrap_err();
        append("b", 1).await.unwrap_err();
        assert_eq!(stored().await, ("a".to_owned(), 1));
        append("b", 2).await.unwrap();
        append("c", 3).await.unwrap_err();
        assert_eq!(stored().await, ("a b".to_owned(), 2));
    }

    #[tokio::test]
    async fn tags_are_kept_in_order_up_to_the_limit_and_go_with_their_trail() {
        let (store, _folder) = store().await;
        let tags = [tag("b", Some("1")), tag("a", None)];
        let id = store
            .trail_insert(&new(&trail("us-east-1", "main", false), 5), &tags)
            .await
            .unwrap();
        assert_eq!(store.trail_tags_list(id).await.unwrap(), tags);

        let more = [tag("a", Some("")), tag("c", None)];
        assert!(!store.trail_tags_add(id, &more, 2).await.unwrap());
        assert_eq!(store.trail_tags_list(id).await.unwrap(), tags);
        assert!(store.trail_tags_add(id, &more, 3).await.unwrap());
        store
            .trail_tags_remove(id, &["b".to_owned(), "none".to_owned()])
            .await
            .unwrap();
        assert_eq!(store.trail_tags_list(id).await.unwrap(), more);

        store.delivery_succeeded(id, "us-east-1", 5).await.unwrap();
        assert!(store.trail_delete(id, at(7)).await.unwrap());
        assert!(!store.trail_delete(id, at(7)).await.unwrap());
        assert_eq!(store.trail_tags_list(id).await.unwrap(), []);
        // What comes late for a deleted trail is dropped.
        store
            .delivery_failed(id, "us-east-1", 6, "NoSuchBucket")
            .await
            .unwrap();
        assert_eq!(
            store.delivery_status_get(id, "us-east-1").await.unwrap(),
            DeliveryStatus::default()
        );
    }

    #[tokio::test]
    async fn a_deleted_trail_is_found_by_its_id_as_long_as_something_may_be_delivered() {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let (store, _folder) = store().await;
        let mut trails = Vec::new();
        for name in ["one", "two", "three"] {
            let mut trail = trail("us-east-1", name, true);
            trail.id = store.trail_insert(&new(&trail, 5), &[]).await.unwrap();
            trails.push(trail);
        }
        for (trail, day) in trails.iter().zip([0, 61, 62]) {
            assert!(
                store
                    .trail_delete(trail.id, at(day * DAY_MS))
                    .await
                    .unwrap()
            );
            let found = store.trail_by_id(trail.id).await.unwrap();
            let is_deleted = true;
            let expected = Trail {
                is_deleted,
                ..trail.clone()
            };
            assert_eq!(found, Some(expected));
        }
        assert_eq!(store.trails_all().await.unwrap(), []);
        assert_eq!(store.trail_by_id(trails[0].id).await.unwrap(), None);
        assert!(store.trail_by_id(trails[1].id).await.unwrap().is_some());
        // Its name is free again, and a new trail is another one.
        let again = store.trail_insert(&new(&trails[2], 5), &[]).await.unwrap();
        assert_ne!(again, trails[2].id);
    }

    #[tokio::test]
    async fn insights_are_on_until_they_are_put_off_or_logging_stops() {
        let (store, _folder) = store().await;
        let id = store
            .trail_insert(&new(&trail("us-east-1", "main", false), 5), &[])
            .await
            .unwrap();
        let rate: InsightSelector =
            serde_json::from_str(r#"{"InsightType":"ApiCallRateInsight"}"#).unwrap();
        let selectors = async || {
            store
                .trail_by_id(id)
                .await
                .unwrap()
                .unwrap()
                .insight_selectors
        };
        let put = async |selectors: &[_]| {
            let put = store.trail_insight_selectors_put(id, selectors).await;
            assert!(put.unwrap());
        };
        let on = std::slice::from_ref(&rate);
        put(on).await;
        assert_eq!(selectors().await, on);
        put(&[]).await;
        assert_eq!(selectors().await, []);
        put(on).await;
        store.trail_logging_stop(id, at(5)).await.unwrap();
        assert_eq!(selectors().await, []);
        assert!(!store.trail_insight_selectors_put(99, on).await.unwrap());
    }

    #[tokio::test]
    async fn a_trail_is_read_together_with_its_status_in_a_region() {
        let (store, _folder) = store().await;
        let mut trail = trail("us-east-1", "main", true);
        trail.id = store.trail_insert(&new(&trail, 5), &[]).await.unwrap();
        store
            .delivery_failed(trail.id, "eu-west-1", 5, "X")
            .await
            .unwrap();
        for region in ["us-east-1", "eu-west-1"] {
            let status = store.delivery_status_get(trail.id, region).await.unwrap();
            let both = store
                .trail_get_with_status("111122223333", "us-east-1", "main", region)
                .await;
            assert_eq!(both.unwrap(), Some((trail.clone(), status)), "{region}");
        }
        let none = store
            .trail_get_with_status("111122223333", "eu-west-1", "main", "eu-west-1")
            .await;
        assert_eq!(none.unwrap(), None);
    }

    #[tokio::test]
    async fn the_version_moves_with_every_change_of_a_trail_that_may_log() {
        let (store, _folder) = store().await;
        let id = store
            .trail_insert(&new(&trail("us-east-1", "main", false), 5), &[])
            .await
            .unwrap();
        let mut last = store.trails_version();
        assert_eq!(last, 0, "a new trail does not log yet");
        let mut has_moved = |now: u64| std::mem::replace(&mut last, now) != now;

        store.trail_logging_start(id, at(5)).await.unwrap();
        assert!(has_moved(store.trails_version()));
        assert_eq!(store.trails_logging().await.unwrap().len(), 1);
        store
            .trail_update(id, 5, at(5), |trail| trail.s3_key_prefix = None)
            .await
            .unwrap();
        assert!(has_moved(store.trails_version()));
        store
            .trail_selectors_put(id, &Selectors::default())
            .await
            .unwrap();
        assert!(has_moved(store.trails_version()));
        store.delivery_succeeded(id, "us-east-1", 5).await.unwrap();
        store
            .trail_tags_add(id, &[tag("a", None)], 50)
            .await
            .unwrap();
        assert!(!has_moved(store.trails_version()));
        store.trail_logging_stop(id, at(6)).await.unwrap();
        assert!(has_moved(store.trails_version()));
        assert_eq!(store.trails_logging().await.unwrap(), []);
        store.trail_delete(id, at(7)).await.unwrap();
        assert!(has_moved(store.trails_version()));
    }
}
