//! Who calls with which access key, and the users seen: learned from answers of IAM and STS. Holds no secrets.

use super::{Error, Store};
use crate::event::Principal;

/// An IAM user seen in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IamUser {
    pub account: String,
    pub user_name: String,
    /// `AIDA…`
    pub user_id: String,
    pub arn: String,
}

impl Store {
    /// Every principal known, by access key id.
    pub async fn identities(&self) -> Result<Vec<(String, Principal)>, Error> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("select access_key_id, principal from identity")
                .fetch_all(&mut *self.connections.write().await?)
                .await?;
        rows.into_iter()
            .map(|(key, text)| {
                Ok((
                    key,
                    serde_json::from_str(&text).map_err(|error| Error::Decode(Box::new(error)))?,
                ))
            })
            .collect()
    }

    pub async fn identity_put(
        &self,
        access_key_id: &str,
        principal: &Principal,
    ) -> Result<(), Error> {
        let text =
            serde_json::to_string(principal).map_err(|error| Error::Encode(Box::new(error)))?;
        sqlx::query("insert or replace into identity (access_key_id, principal) values ($1, $2)")
            .bind(access_key_id)
            .bind(text)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }

    pub async fn identities_delete(&self, access_key_ids: &[String]) -> Result<(), Error> {
        let keys = serde_json::to_string(access_key_ids)
            .map_err(|error| Error::Encode(Box::new(error)))?;
        sqlx::query(
            "delete from identity where access_key_id in (select value from json_each($1))",
        )
        .bind(keys)
        .execute(&mut *self.connections.write().await?)
        .await?;
        Ok(())
    }

    pub async fn iam_users(&self) -> Result<Vec<IamUser>, Error> {
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("select account, user_name, user_id, arn from iam_user")
                .fetch_all(&mut *self.connections.write().await?)
                .await?;
        Ok(rows
            .into_iter()
            .map(|(account, user_name, user_id, arn)| IamUser {
                account,
                user_name,
                user_id,
                arn,
            })
            .collect())
    }

    pub async fn iam_user_put(&self, user: &IamUser) -> Result<(), Error> {
        sqlx::query("insert or replace into iam_user (account, user_name, user_id, arn) values ($1, $2, $3, $4)")
            .bind(&user.account)
            .bind(&user.user_name)
            .bind(&user.user_id)
            .bind(&user.arn)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }

    pub async fn iam_user_delete(&self, account: &str, user_name: &str) -> Result<(), Error> {
        sqlx::query("delete from iam_user where account = $1 and user_name = $2")
            .bind(account)
            .bind(user_name)
            .execute(&mut *self.connections.write().await?)
            .await?;
        Ok(())
    }
}
