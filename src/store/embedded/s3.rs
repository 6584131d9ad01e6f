//! Buckets, objects and multipart uploads.

use std::collections::HashSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row, SqliteConnection};

use super::is_orphan;
use crate::store::{Store, Tx};

pub(in crate::store) const ALL_BLOBS: &str = "select blob from object where blob is not null
    union all select blob from part where blob is not null";

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    pub account: String,
    pub region: String,
    pub created_ms: i64,
    /// Its default encryption, where one was set: the document of the setting `encryption`.
    pub encryption: Option<String>,
}

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub bucket: String,
    pub key: String,
    pub size_bytes: i64,
    /// Without its quotes.
    pub etag: String,
    pub modified_ms: i64,
    /// Its content, if that lies in the row. Left out of listings.
    pub content: Option<Vec<u8>>,
    /// The file with its content, if that lies in one. Neither this nor `content`: it is empty.
    pub blob: Option<String>,
    pub attributes: String,
    pub acl: String,
    pub tags: String,
}

/// A multipart upload in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    pub id: String,
    pub bucket: String,
    pub key: String,
    pub account: String,
    pub created_ms: i64,
    pub attributes: String,
    pub acl: String,
    pub tags: String,
}

/// An uploaded part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    pub number: i64,
    pub size_bytes: i64,
    pub etag: String,
    pub checksum: String,
    pub modified_ms: i64,
    pub blob: Option<String>,
}

/// What must hold of a key for a write to it to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    None,
    /// There is no object.
    Absent,
    /// There is an object.
    Present,
    /// There is an object with this ETag.
    Etag(String),
}

/// What became of a write to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done; no row names these blobs any longer.
    Done(Vec<String>),
    NoBucket,
    /// The precondition asks for an object, and there is none.
    NoObject,
    /// The precondition does not hold.
    Refused,
    /// The upload ended meanwhile.
    NoUpload,
}

/// What became of a bucket to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketDeleted {
    /// Done; these are the blobs of its unfinished uploads.
    Done(Vec<String>),
    NoBucket,
    NotEmpty,
}

/// Where a listing goes on: keys are compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be listed; itself included unless `after`.
    pub from: Vec<u8>,
    pub after: bool,
    /// The first key that may not; `None`: to the end.
    pub until: Option<Vec<u8>>,
}

impl FromRow<'_, SqliteRow> for Bucket {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            created_ms: row.try_get("created_ms")?,
            encryption: row.try_get("encryption")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for StoredObject {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            bucket: row.try_get("bucket")?,
            key: key(row)?,
            size_bytes: row.try_get("size_bytes")?,
            etag: row.try_get("etag")?,
            modified_ms: row.try_get("modified_ms")?,
            content: row.try_get("content")?,
            blob: row.try_get("blob")?,
            attributes: row.try_get("attributes")?,
            acl: row.try_get("acl")?,
            tags: row.try_get("tags")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Upload {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            bucket: row.try_get("bucket")?,
            key: key(row)?,
            account: row.try_get("account")?,
            created_ms: row.try_get("created_ms")?,
            attributes: row.try_get("attributes")?,
            acl: row.try_get("acl")?,
            tags: row.try_get("tags")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for StoredPart {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            size_bytes: row.try_get("size_bytes")?,
            etag: row.try_get("etag")?,
            checksum: row.try_get("checksum")?,
            modified_ms: row.try_get("modified_ms")?,
            blob: row.try_get("blob")?,
        })
    }
}

fn key(row: &SqliteRow) -> sqlx::Result<String> {
    String::from_utf8(row.try_get("key")?).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

impl Store {
    /// Adds a bucket with `settings` (name, document); false: there is one of that name.
    pub async fn bucket_insert(
        &self,
        bucket: &Bucket,
        settings: &[(&str, &str)],
    ) -> sqlx::Result<bool> {
        let mut tx = self.begin().await?;
        let done = sqlx::query(
            "insert into bucket (name, account, region, created_ms) values ($1, $2, $3, $4)
            on conflict (name) do nothing",
        )
        .bind(&bucket.name)
        .bind(&bucket.account)
        .bind(&bucket.region)
        .bind(bucket.created_ms)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        for &(name, value) in settings {
            setting_put(&mut tx, &bucket.name, name, value).await?;
        }
        tx.commit().await?;
        self.buckets_changed();
        Ok(true)
    }

    pub async fn bucket_get(&self, name: &str) -> sqlx::Result<Option<Bucket>> {
        let key = name.to_owned();
        if let Some(bucket) = self.buckets.get(&key) {
            return Ok(Some(bucket));
        }
        let version = self.buckets.version();
        let bucket: Option<Bucket> = sqlx::query_as(
            "select name, account, region, created_ms,
                (select value from bucket_setting s where s.bucket = b.name and s.name = 'encryption') as encryption
            from bucket b where name = $1",
        )
        .bind(name)
        .fetch_optional(&mut *self.connections.read().await?)
        .await?;
        if let Some(bucket) = &bucket {
            self.buckets.keep(version, key, bucket.clone());
        }
        Ok(bucket)
    }

    /// Buckets, or documents of theirs, have changed, and that is committed.
    pub(in crate::store) fn buckets_changed(&self) {
        self.buckets.changed();
        self.bucket_settings.changed();
    }

    /// The account's buckets after the name `after`, by name.
    pub async fn bucket_page(
        &self,
        account: &str,
        after: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<Bucket>> {
        sqlx::query_as(
            "select name, account, region, created_ms, null as encryption
            from bucket where account = $1 and name > $2 order by name limit 0 + $3",
        )
        .bind(account)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Deletes a bucket without objects, its unfinished uploads included.
    pub async fn bucket_delete(&self, name: &str) -> sqlx::Result<BucketDeleted> {
        let mut tx = self.begin().await?;
        let used: Option<i64> =
            sqlx::query_scalar("select 1 from object where bucket = $1 limit 1")
                .bind(name)
                .fetch_optional(&mut *tx)
                .await?;
        if used.is_some() {
            return Ok(BucketDeleted::NotEmpty);
        }
        let blobs = sqlx::query_scalar(
            "select blob from part join upload on upload.id = part.upload
            where upload.bucket = $1 and blob is not null",
        )
        .bind(name)
        .fetch_all(&mut *tx)
        .await?;
        let done = sqlx::query("delete from bucket where name = $1")
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(BucketDeleted::NoBucket);
        }
        tx.commit().await?;
        self.buckets_changed();
        Ok(BucketDeleted::Done(blobs))
    }

    /// A document of a bucket, if it has that; `None`: there is no bucket.
    pub async fn bucket_setting_get(
        &self,
        bucket: &str,
        name: &str,
    ) -> sqlx::Result<Option<Option<String>>> {
        let key = (bucket.to_owned(), name.to_owned());
        if let Some(value) = self.bucket_settings.get(&key) {
            return Ok(Some(value));
        }
        let version = self.bucket_settings.version();
        let value: Option<Option<String>> = sqlx::query_scalar(
            "select (select value from bucket_setting s where s.bucket = b.name and s.name = $2)
            from bucket b where name = $1",
        )
        .bind(bucket)
        .bind(name)
        .fetch_optional(&mut *self.connections.read().await?)
        .await?;
        if let Some(value) = &value {
            self.bucket_settings.keep(version, key, value.clone());
        }
        Ok(value)
    }

    /// Sets a document of an existing bucket.
    pub async fn bucket_setting_put(
        &self,
        bucket: &str,
        name: &str,
        value: &str,
    ) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        setting_put(&mut tx, bucket, name, value).await?;
        tx.commit().await?;
        self.buckets_changed();
        Ok(())
    }

    pub async fn bucket_setting_delete(&self, bucket: &str, name: &str) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from bucket_setting where bucket = $1 and name = $2")
            .bind(bucket)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        self.buckets_changed();
        Ok(())
    }

    pub async fn object_get(&self, bucket: &str, key: &str) -> sqlx::Result<Option<StoredObject>> {
        sqlx::query_as("select * from object where bucket = $1 and key = $2")
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// Objects of a bucket in the order of their keys.
    pub async fn object_page(
        &self,
        bucket: &str,
        range: &KeyRange,
        limit: i64,
    ) -> sqlx::Result<Vec<StoredObject>> {
        sqlx::query_as(
            "select bucket, key, size_bytes, etag, modified_ms, null as content, blob, attributes, acl, tags from object
            where bucket = $1 and key >= $2 and ($3 = 0 or key > $2) and ($4 is null or key < $4)
            order by key limit 0 + $5",
        )
        .bind(bucket)
        .bind(&range.from)
        .bind(range.after)
        .bind(&range.until)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Writes an object, over one that is there.
    pub async fn object_put(
        &self,
        object: &StoredObject,
        precondition: &Precondition,
    ) -> sqlx::Result<Written> {
        if let Precondition::None | Precondition::Absent = precondition {
            // Most often there is none, and one statement is its own transaction.
            let mut writer = self.connections.write().await?;
            let written = object_insert(&mut writer, object, "insert or ignore into").await?;
            match written {
                Inserted::Done => return Ok(Written::Done(Vec::new())),
                Inserted::NoBucket => return Ok(Written::NoBucket),
                Inserted::IsThere => {}
            }
        }
        let mut tx = self.begin().await?;
        match object_write(&mut tx, object, precondition).await? {
            Written::Done(blobs) => {
                tx.commit().await?;
                Ok(Written::Done(blobs))
            }
            refused => Ok(refused),
        }
    }

    /// Deletes an object; without one there is nothing to do.
    pub async fn object_delete(
        &self,
        bucket: &str,
        key: &str,
        precondition: &Precondition,
    ) -> sqlx::Result<Written> {
        let mut tx = self.begin().await?;
        let old = match object_check(&mut tx, bucket, key, precondition).await? {
            Ok(old) => old,
            Err(refused) => return Ok(refused),
        };
        sqlx::query("delete from object where bucket = $1 and key = $2")
            .bind(bucket)
            .bind(key.as_bytes())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Written::Done(old))
    }

    /// Sets the ACL of an object; false: there is none.
    pub async fn object_set_acl(&self, bucket: &str, key: &str, acl: &str) -> sqlx::Result<bool> {
        let update = sqlx::query("update object set acl = $3 where bucket = $1 and key = $2");
        let mut tx = self.begin().await?;
        let done = update
            .bind(bucket)
            .bind(key.as_bytes())
            .bind(acl)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Sets the tags of an object; false: there is none.
    pub async fn object_set_tags(&self, bucket: &str, key: &str, tags: &str) -> sqlx::Result<bool> {
        let update = sqlx::query("update object set tags = $3 where bucket = $1 and key = $2");
        let mut tx = self.begin().await?;
        let done = update
            .bind(bucket)
            .bind(key.as_bytes())
            .bind(tags)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Adds an upload to an existing bucket.
    pub async fn upload_insert(&self, upload: &Upload) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "insert into upload (id, bucket, key, account, created_ms, attributes, acl, tags)
            values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&upload.id)
        .bind(&upload.bucket)
        .bind(upload.key.as_bytes())
        .bind(&upload.account)
        .bind(upload.created_ms)
        .bind(&upload.attributes)
        .bind(&upload.acl)
        .bind(&upload.tags)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    pub async fn upload_get(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> sqlx::Result<Option<Upload>> {
        sqlx::query_as("select * from upload where id = $1 and bucket = $2 and key = $3")
            .bind(id)
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// Uploads in the order of their keys and ids. With `after_id`, those at `range.from` with a greater id come too.
    pub async fn upload_page(
        &self,
        bucket: &str,
        range: &KeyRange,
        after_id: Option<&str>,
        limit: i64,
    ) -> sqlx::Result<Vec<Upload>> {
        sqlx::query_as(
            "select * from upload
            where bucket = $1 and key >= $2 and ($3 = 0 or key > $2 or id > $4) and ($5 is null or key < $5)
            order by key, id limit 0 + $6",
        )
        .bind(bucket)
        .bind(&range.from)
        .bind(range.after)
        .bind(after_id)
        .bind(&range.until)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Forgets an upload; gives the blobs of its parts, or `None` if there is no such upload.
    pub async fn upload_delete(&self, id: &str) -> sqlx::Result<Option<Vec<String>>> {
        let mut tx = self.begin().await?;
        let blobs = upload_take(&mut tx, id).await?;
        tx.commit().await?;
        Ok(blobs)
    }

    /// Turns an upload into `object`. The blobs that no row names any longer are those of the parts and of the object
    /// that was there.
    pub async fn upload_complete(
        &self,
        id: &str,
        object: &StoredObject,
        precondition: &Precondition,
    ) -> sqlx::Result<Written> {
        let mut tx = self.begin().await?;
        let Some(mut blobs) = upload_take(&mut tx, id).await? else {
            return Ok(Written::NoUpload);
        };
        match object_write(&mut tx, object, precondition).await? {
            Written::Done(replaced) => {
                tx.commit().await?;
                blobs.extend(replaced);
                Ok(Written::Done(blobs))
            }
            refused => Ok(refused),
        }
    }

    /// Writes a part, over one of the same number.
    pub async fn part_put(&self, upload: &str, part: &StoredPart) -> sqlx::Result<Written> {
        let mut tx = self.begin().await?;
        let known: Option<i64> = sqlx::query_scalar("select 1 from upload where id = $1")
            .bind(upload)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return Ok(Written::NoUpload);
        }
        let replaced: Option<Option<String>> =
            sqlx::query_scalar("delete from part where upload = $1 and number = $2 returning blob")
                .bind(upload)
                .bind(part.number)
                .fetch_optional(&mut *tx)
                .await?;
        sqlx::query(
            "insert into part (upload, number, size_bytes, etag, checksum, modified_ms, blob)
            values ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(upload)
        .bind(part.number)
        .bind(part.size_bytes)
        .bind(&part.etag)
        .bind(&part.checksum)
        .bind(part.modified_ms)
        .bind(&part.blob)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Written::Done(replaced.into_iter().flatten().collect()))
    }

    /// Parts of an upload with numbers above `after`, in order.
    pub async fn part_page(
        &self,
        upload: &str,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<StoredPart>> {
        sqlx::query_as(
            "select * from part where upload = $1 and number > $2 order by number limit 0 + $3",
        )
        .bind(upload)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// All buckets: name, account, region.
    pub async fn bucket_places(&self) -> sqlx::Result<Vec<(String, String, String)>> {
        sqlx::query_as("select name, account, region from bucket")
            .fetch_all(&mut *self.connections.write().await?)
            .await
    }

    /// Every blob that a row names.
    pub async fn blob_all(&self) -> sqlx::Result<HashSet<String>> {
        let blobs: Vec<String> = sqlx::query_scalar(ALL_BLOBS)
            .fetch_all(&mut *self.connections.write().await?)
            .await?;
        Ok(blobs.into_iter().collect())
    }
}

async fn setting_put(tx: &mut Tx, bucket: &str, name: &str, value: &str) -> sqlx::Result<()> {
    sqlx::query(
        "insert into bucket_setting (bucket, name, value) values ($1, $2, $3)
        on conflict (bucket, name) do update set value = excluded.value",
    )
    .bind(bucket)
    .bind(name)
    .bind(value)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// The blob of the object at `key`, if the precondition holds.
async fn object_check(
    tx: &mut Tx,
    bucket: &str,
    key: &str,
    precondition: &Precondition,
) -> sqlx::Result<Result<Vec<String>, Written>> {
    let old: Option<(String, Option<String>)> =
        sqlx::query_as("select etag, blob from object where bucket = $1 and key = $2")
            .bind(bucket)
            .bind(key.as_bytes())
            .fetch_optional(&mut **tx)
            .await?;
    let refused = match (precondition, &old) {
        (Precondition::Absent, Some(_)) => Some(Written::Refused),
        (Precondition::Present | Precondition::Etag(_), None) => Some(Written::NoObject),
        (Precondition::Etag(wanted), Some((etag, _))) if wanted != etag => Some(Written::Refused),
        _ => None,
    };
    Ok(match refused {
        Some(refused) => Err(refused),
        None => Ok(old.and_then(|(_, blob)| blob).into_iter().collect()),
    })
}

async fn object_write(
    tx: &mut Tx,
    object: &StoredObject,
    precondition: &Precondition,
) -> sqlx::Result<Written> {
    let replaced = match object_check(tx, &object.bucket, &object.key, precondition).await? {
        Ok(blobs) => blobs,
        Err(refused) => return Ok(refused),
    };
    Ok(
        match object_insert(tx, object, "insert or replace into").await? {
            Inserted::Done | Inserted::IsThere => Written::Done(replaced),
            Inserted::NoBucket => Written::NoBucket,
        },
    )
}

/// What became of the row of an object.
enum Inserted {
    Done,
    IsThere,
    NoBucket,
}

async fn object_insert(
    to: &mut SqliteConnection,
    object: &StoredObject,
    insert_into: &'static str,
) -> sqlx::Result<Inserted> {
    let mut query = QueryBuilder::new(insert_into);
    query.push(
        " object (bucket, key, size_bytes, etag, modified_ms, content, blob, attributes, acl, tags) ",
    );
    query.push_values([object], |mut row, object| {
        row.push_bind(&object.bucket)
            .push_bind(object.key.as_bytes())
            .push_bind(object.size_bytes)
            .push_bind(&object.etag)
            .push_bind(object.modified_ms)
            .push_bind(&object.content)
            .push_bind(&object.blob)
            .push_bind(&object.attributes)
            .push_bind(&object.acl)
            .push_bind(&object.tags);
    });
    match query.build().execute(to).await {
        Ok(done) if done.rows_affected() == 0 => Ok(Inserted::IsThere),
        Ok(_) => Ok(Inserted::Done),
        // Its only reference is the bucket.
        Err(e) if is_orphan(&e) => Ok(Inserted::NoBucket),
        Err(e) => Err(e),
    }
}

/// Deletes an upload with its parts; gives their blobs.
async fn upload_take(tx: &mut Tx, id: &str) -> sqlx::Result<Option<Vec<String>>> {
    let blobs = sqlx::query_scalar("select blob from part where upload = $1 and blob is not null")
        .bind(id)
        .fetch_all(&mut **tx)
        .await?;
    let done = sqlx::query("delete from upload where id = $1")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok((done.rows_affected() > 0).then_some(blobs))
}
