//! Organizations: which trails are of one, which accounts are in one, who administers CloudTrail for one.

use super::{Error, Store, Trail};

impl Store {
    /// Makes the trail one of an organization with these accounts, or one of its own account again.
    pub async fn trail_organization_put(
        &self,
        trail_id: i64,
        organization: Option<(&str, &[String])>,
    ) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        sqlx::query("update trail set organization_id = $2 where trail_id = $1")
            .bind(trail_id)
            .bind(organization.map(|(id, _)| id))
            .execute(&mut *tx)
            .await?;
        if let Some((id, accounts)) = organization {
            sqlx::query("delete from organization_account where organization_id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            for account in accounts {
                sqlx::query(
                    "insert into organization_account (organization_id, account) values ($1, $2)
                     on conflict do nothing",
                )
                .bind(id)
                .bind(account)
                .execute(&mut *tx)
                .await?;
            }
        }
        self.trails_commit(tx).await
    }

    /// The accounts of an organization that has trails.
    pub async fn organization_accounts(&self, id: &str) -> Result<Vec<String>, Error> {
        sqlx::query_scalar(
            "select account from organization_account where organization_id = $1 order by account",
        )
        .bind(id)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// The organization trails of other accounts that log this one, the oldest first.
    pub async fn organization_trails(&self, account: &str) -> Result<Vec<Trail>, Error> {
        sqlx::query_as(
            "select trail.* from trail
             join organization_account on organization_account.organization_id = trail.organization_id
             where organization_account.account = $1 and trail.account <> $1 order by trail_id",
        )
        .bind(account)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    /// CloudTrail's delegated administrators in an organization that keeps none itself.
    pub async fn delegated_administrators(
        &self,
        organization_id: &str,
    ) -> Result<Vec<String>, Error> {
        sqlx::query_scalar(
            "select account from delegated_administrator where organization_id = $1 order by account",
        )
        .bind(organization_id)
        .fetch_all(&mut *self.connections.read().await?)
        .await
    }

    pub async fn delegated_administrator_put(
        &self,
        organization_id: &str,
        account: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "insert into delegated_administrator (organization_id, account) values ($1, $2) on conflict do nothing",
        )
        .bind(organization_id)
        .bind(account)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(())
    }

    pub async fn delegated_administrator_delete(
        &self,
        organization_id: &str,
        account: &str,
    ) -> Result<(), Error> {
        sqlx::query(
            "delete from delegated_administrator where organization_id = $1 and account = $2",
        )
        .bind(organization_id)
        .bind(account)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(())
    }
}
