//! What the embedded services keep.
//!
//! Rows only: the content of objects lies in files, which the rows name and `embedded::s3` looks after. Documents
//! (attributes, settings, tags) are JSON that means nothing here.

mod s3;
mod sns;

pub(super) use s3::ALL_BLOBS;
pub use s3::*;
pub use sns::*;

use super::Store;

/// Whether a row was not written because what it belongs to (a bucket, a topic) has gone since it was looked up.
pub fn is_orphan(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_foreign_key_violation())
}

impl Store {
    /// The unique id of the role `arn`: `candidate` if it has none yet.
    pub async fn role_id(&self, arn: &str, candidate: &str) -> sqlx::Result<String> {
        let known = sqlx::query_scalar("select role_id from role where arn = $1")
            .bind(arn)
            .fetch_optional(&mut *self.connections.read().await?)
            .await?;
        if let Some(id) = known {
            return Ok(id);
        }
        let mut tx = self.begin().await?;
        // An update that changes nothing, so that `returning` gives the row of whoever came first.
        let id = sqlx::query_scalar(
            "insert into role (arn, role_id) values ($1, $2)
            on conflict (arn) do update set role_id = role_id
            returning role_id",
        )
        .bind(arn)
        .bind(candidate)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }
}
