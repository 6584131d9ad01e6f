//! Topics, subscriptions and messages.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use crate::store::Store;

/// How many messages are kept, over all topics.
const MESSAGES_KEPT: i64 = 10_000;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub arn: String,
    pub account: String,
    pub region: String,
    pub created_ms: i64,
    pub attributes: String,
    pub tags: String,
}

/// A subscription to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub arn: String,
    pub topic: String,
    pub account: String,
    pub region: String,
    pub protocol: String,
    pub endpoint: String,
    /// What confirms it; `None`: it is confirmed.
    pub token: Option<String>,
    pub attributes: String,
}

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    pub message_id: String,
    pub topic: String,
    pub subject: Option<String>,
    pub body: String,
    pub published_ms: i64,
}

impl FromRow<'_, SqliteRow> for Topic {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            arn: row.try_get("arn")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            created_ms: row.try_get("created_ms")?,
            attributes: row.try_get("attributes")?,
            tags: row.try_get("tags")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Subscription {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            arn: row.try_get("arn")?,
            topic: row.try_get("topic")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            protocol: row.try_get("protocol")?,
            endpoint: row.try_get("endpoint")?,
            token: row.try_get("token")?,
            attributes: row.try_get("attributes")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for StoredMessage {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            message_id: row.try_get("message_id")?,
            topic: row.try_get("topic")?,
            subject: row.try_get("subject")?,
            body: row.try_get("body")?,
            published_ms: row.try_get("published_ms")?,
        })
    }
}

impl Store {
    /// Adds a topic, or leaves the one that is there.
    pub async fn topic_insert(&self, topic: &Topic) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "insert into topic (arn, account, region, created_ms, attributes, tags)
            values ($1, $2, $3, $4, $5, $6) on conflict (arn) do nothing",
        )
        .bind(&topic.arn)
        .bind(&topic.account)
        .bind(&topic.region)
        .bind(topic.created_ms)
        .bind(&topic.attributes)
        .bind(&topic.tags)
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    pub async fn topic_get(&self, arn: &str) -> sqlx::Result<Option<Topic>> {
        sqlx::query_as("select * from topic where arn = $1")
            .bind(arn)
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// Topics of an account in a region after the ARN `after`, by ARN.
    pub async fn topic_page(
        &self,
        account: &str,
        region: &str,
        after: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<Topic>> {
        sqlx::query_as(
            "select * from topic where account = $1 and region = $2 and arn > $3
            order by arn limit 0 + $4",
        )
        .bind(account)
        .bind(region)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Writes the attributes and tags of a topic that is there.
    pub async fn topic_update(&self, arn: &str, attributes: &str, tags: &str) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("update topic set attributes = $2, tags = $3 where arn = $1")
            .bind(arn)
            .bind(attributes)
            .bind(tags)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Deletes a topic with its subscriptions and messages.
    pub async fn topic_delete(&self, arn: &str) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from topic where arn = $1")
            .bind(arn)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Adds a subscription to an existing topic, or gives the one to the same endpoint.
    pub async fn subscription_insert(
        &self,
        subscription: &Subscription,
    ) -> sqlx::Result<Subscription> {
        let mut tx = self.begin().await?;
        let kept = sqlx::query_as(
            "insert into subscription (arn, topic, account, region, protocol, endpoint, token, attributes)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict (topic, protocol, endpoint) do update set arn = arn
            returning *",
        )
        .bind(&subscription.arn)
        .bind(&subscription.topic)
        .bind(&subscription.account)
        .bind(&subscription.region)
        .bind(&subscription.protocol)
        .bind(&subscription.endpoint)
        .bind(&subscription.token)
        .bind(&subscription.attributes)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(kept)
    }

    pub async fn subscription_get(&self, arn: &str) -> sqlx::Result<Option<Subscription>> {
        sqlx::query_as("select * from subscription where arn = $1")
            .bind(arn)
            .fetch_optional(&mut *self.connections.read().await?)
            .await
    }

    /// Subscriptions of an account in a region after the ARN `after`, by ARN.
    pub async fn subscription_page(
        &self,
        account: &str,
        region: &str,
        after: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<Subscription>> {
        sqlx::query_as(
            "select * from subscription where account = $1 and region = $2 and arn > $3
            order by arn limit 0 + $4",
        )
        .bind(account)
        .bind(region)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Subscriptions to a topic after the ARN `after`, by ARN.
    pub async fn subscription_page_by_topic(
        &self,
        topic: &str,
        after: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<Subscription>> {
        sqlx::query_as(
            "select * from subscription where topic = $1 and arn > $2 order by arn limit 0 + $3",
        )
        .bind(topic)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// Confirms the subscription to `topic` that waits for `token`.
    pub async fn subscription_confirm(
        &self,
        topic: &str,
        token: &str,
    ) -> sqlx::Result<Option<Subscription>> {
        let mut tx = self.begin().await?;
        let confirmed = sqlx::query_as(
            "update subscription set token = null where topic = $1 and token = $2 returning *",
        )
        .bind(topic)
        .bind(token)
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(confirmed)
    }

    /// Writes the attributes of a subscription that is there.
    pub async fn subscription_update(&self, arn: &str, attributes: &str) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("update subscription set attributes = $2 where arn = $1")
            .bind(arn)
            .bind(attributes)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    pub async fn subscription_delete(&self, arn: &str) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("delete from subscription where arn = $1")
            .bind(arn)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Keeps a message of an existing topic, and forgets those past the newest 10,000.
    pub async fn message_insert(&self, message: &StoredMessage) -> sqlx::Result<()> {
        let mut tx = self.begin().await?;
        let id: i64 = sqlx::query_scalar(
            "insert into message (message_id, topic, subject, body, published_ms)
            values ($1, $2, $3, $4, $5) returning id",
        )
        .bind(&message.message_id)
        .bind(&message.topic)
        .bind(&message.subject)
        .bind(&message.body)
        .bind(message.published_ms)
        .fetch_one(&mut *tx)
        .await?;
        sqlx::query("delete from message where id <= $1")
            .bind(id - MESSAGES_KEPT)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// The newest messages of a topic, or of all, the newest first.
    pub async fn message_page(
        &self,
        topic: Option<&str>,
        limit: u32,
    ) -> sqlx::Result<Vec<StoredMessage>> {
        sqlx::query_as(
            "select * from message where topic = coalesce($1, topic) order by id desc limit 0 + $2",
        )
        .bind(topic)
        .bind(limit)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }
}
