//! Who called: access key → [`Principal`], learned from the answers of IAM and STS that pass by.
//!
//! Kept in memory for the path of every call, and in the store for the next start. Learns ids and names only; secrets
//! and tokens pass by unread.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::route::Call;
use crate::aws::sigv4::Signature;
use crate::event::{Outcome, Principal, PrincipalKind, Session, SessionIssuer, WebIdentity};
use crate::store::{Error, IamUser, Store};

/// What a request says of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub signature: Option<&'a Signature>,
    /// Account of an access key that does not say.
    pub default_account: &'a str,
    pub region: &'a str,
    pub now: DateTime<Utc>,
}

/// Everyone known.
#[derive(Debug)]
pub struct Identities {
    store: Store,
    by_key: RwLock<HashMap<String, Arc<Principal>>>,
    /// By account and user name.
    users: RwLock<HashMap<(String, String), IamUser>>,
}

impl Identities {
    pub async fn load(store: Store) -> Result<Self, Error> {
        let by_key = store
            .identities()
            .await?
            .into_iter()
            .map(|(key, principal)| (key, Arc::new(principal)))
            .collect();
        let users = store.iam_users().await?;
        let users = users
            .into_iter()
            .map(|user| ((user.account.clone(), user.user_name.clone()), user))
            .collect();
        Ok(Self {
            store,
            by_key: RwLock::new(by_key),
            users: RwLock::new(users),
        })
    }

    /// Forgets everyone; the store is reset by itself.
    pub fn forget(&self) {
        self.by_key
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Whose access key it is. A key of twelve digits is an account; a key not known is its account's root.
    pub fn of_key(&self, access_key: &str, default_account: &str, region: &str) -> Arc<Principal> {
        if let Some(known) = self
            .by_key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(access_key)
        {
            return Arc::clone(known);
        }
        let is_account = access_key.len() == 12 && access_key.bytes().all(|b| b.is_ascii_digit());
        let account = if is_account {
            access_key
        } else {
            default_account
        };
        Arc::new(Principal::root(account, partition(region)))
    }

    /// Who made a call that has been answered.
    pub fn principal(&self, call: &Call, caller: &Caller<'_>, outcome: &Outcome) -> Arc<Principal> {
        if let Some(signature) = caller.signature {
            return self.of_key(&signature.access_key, caller.default_account, caller.region);
        }
        if &*call.service.id == "sts"
            && let Outcome::Success(Some(answer)) = outcome
            && let Some(principal) = federated(&call.operation.name, answer, caller)
        {
            return Arc::new(principal);
        }
        let mut principal = Principal::root(caller.default_account, partition(caller.region));
        if &*call.service.id == "s3" {
            principal = Principal {
                kind: PrincipalKind::AWSAccount,
                principal_id: String::new(),
                arn: None,
                ..principal
            };
        }
        Arc::new(principal)
    }

    /// Takes from an answer of IAM or STS what it says of keys, users and sessions.
    pub async fn learn(
        &self,
        call: &Call,
        caller: &Caller<'_>,
        principal: &Principal,
        params: Option<&Params>,
        outcome: &Outcome,
    ) -> Result<(), Error> {
        let Outcome::Success(Some(answer)) = outcome else {
            return Ok(());
        };
        let empty = Params::new();
        let params = params.unwrap_or(&empty);
        let learned = match (&*call.service.id, &*call.operation.name) {
            ("iam", "CreateUser" | "GetUser") => {
                return self.learn_user(answer.get("User")).await;
            }
            ("iam", "ListUsers") => {
                for user in answer
                    .get("Users")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    self.learn_user(Some(user)).await?;
                }
                return Ok(());
            }
            ("iam", "CreateAccessKey") => self.new_access_key(answer, principal),
            (
                "sts",
                "AssumeRole" | "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity" | "AssumeRoot",
            ) => new_role_session(params, answer, caller),
            ("sts", "GetSessionToken") => new_session(params, answer, caller, principal),
            ("sts", "GetFederationToken") => new_federated_user(answer, caller, principal),
            _ => return Ok(()),
        };
        let Some((access_key, learned)) = learned else {
            return Ok(());
        };
        self.store.identity_put(&access_key, &learned).await?;
        self.by_key
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(access_key, Arc::new(learned));
        Ok(())
    }

    async fn learn_user(&self, user: Option<&Value>) -> Result<(), Error> {
        let text = |name: &str| user.and_then(|user| user.get(name)?.as_str());
        let (Some(user_name), Some(user_id), Some(arn)) =
            (text("UserName"), text("UserId"), text("Arn"))
        else {
            return Ok(());
        };
        let Some(account) = Arn::parse(arn).map(|arn| arn.account.to_owned()) else {
            return Ok(());
        };
        let user = IamUser {
            account,
            user_name: user_name.to_owned(),
            user_id: user_id.to_owned(),
            arn: arn.to_owned(),
        };
        let place = (user.account.clone(), user.user_name.clone());
        if self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            == Some(&user)
        {
            return Ok(());
        }
        self.store.iam_user_put(&user).await?;
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place, user);
        Ok(())
    }

    fn new_access_key(&self, answer: &Params, caller: &Principal) -> Option<(String, Principal)> {
        let key = answer.get("AccessKey")?;
        let (access_key, user_name) = (
            key.get("AccessKeyId")?.as_str()?,
            key.get("UserName")?.as_str()?,
        );
        let place = (caller.account.clone(), user_name.to_owned());
        let known = self
            .users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&place)
            .cloned();
        let arn = format!("arn:aws:iam::{}:user/{user_name}", caller.account);
        let (user_id, arn) = known.map_or_else(
            || (derived_id("AIDA", &arn), arn),
            |user| (user.user_id, user.arn),
        );
        let principal = Principal {
            kind: PrincipalKind::IAMUser,
            account: caller.account.clone(),
            principal_id: user_id,
            arn: Some(arn),
            user_name: Some(user_name.to_owned()),
            session: None,
            invoked_by: None,
        };
        Some((access_key.to_owned(), principal))
    }
}

fn access_key(answer: &Params) -> Option<String> {
    Some(
        answer
            .get("Credentials")?
            .get("AccessKeyId")?
            .as_str()?
            .to_owned(),
    )
}

/// Whether the call came with a code of an MFA device; that makes its session one with MFA.
fn with_mfa(params: &Params) -> bool {
    params.contains_key("SerialNumber") && params.contains_key("TokenCode")
}

fn new_role_session(
    params: &Params,
    answer: &Params,
    caller: &Caller<'_>,
) -> Option<(String, Principal)> {
    let assumed = answer.get("AssumedRoleUser")?;
    let (id, arn) = (
        assumed.get("AssumedRoleId")?.as_str()?,
        assumed.get("Arn")?.as_str()?,
    );
    let account = Arn::parse(arn)?.account.to_owned();
    // The session's ARN has no path; the role's own, which the caller sent, has.
    let role_arn = params.get("RoleArn").and_then(Value::as_str)?;
    let role_name = role_arn.rsplit('/').next()?;
    let web_identity = web_identity(answer);
    let text = |members: &Params, name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    };
    let principal = Principal {
        kind: PrincipalKind::AssumedRole,
        principal_id: id.to_owned(),
        arn: Some(arn.to_owned()),
        user_name: None,
        session: Some(Session {
            created: caller.now,
            mfa: with_mfa(params),
            issuer: Some(SessionIssuer {
                kind: "Role".to_owned(),
                principal_id: id.split(':').next().unwrap_or(id).to_owned(),
                arn: role_arn.to_owned(),
                account_id: account.clone(),
                user_name: Some(role_name.to_owned()),
            }),
            web_identity,
            source_identity: text(answer, "SourceIdentity")
                .or_else(|| text(params, "SourceIdentity")),
        }),
        invoked_by: None,
        account,
    };
    Some((access_key(answer)?, principal))
}

fn web_identity(answer: &Params) -> Option<WebIdentity> {
    let subject = answer.get("SubjectFromWebIdentityToken")?.as_str()?;
    let provider = answer
        .get("Provider")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // The attributes are named after the provider's host, also where the provider is an ARN.
    let host = provider
        .rsplit_once("oidc-provider/")
        .map_or(provider, |(_, host)| host);
    let mut attributes = Params::new();
    if let Some(audience) = answer.get("Audience").and_then(Value::as_str) {
        attributes.insert(format!("{host}:aud"), audience.into());
    }
    attributes.insert(format!("{host}:sub"), subject.into());
    Some(WebIdentity {
        federated_provider: provider.to_owned(),
        attributes,
    })
}

fn new_session(
    params: &Params,
    answer: &Params,
    caller: &Caller<'_>,
    principal: &Principal,
) -> Option<(String, Principal)> {
    let session = Session {
        created: caller.now,
        mfa: with_mfa(params),
        issuer: None,
        web_identity: None,
        source_identity: None,
    };
    Some((
        access_key(answer)?,
        Principal {
            session: Some(session),
            ..principal.clone()
        },
    ))
}

fn new_federated_user(
    answer: &Params,
    caller: &Caller<'_>,
    principal: &Principal,
) -> Option<(String, Principal)> {
    let user = answer.get("FederatedUser")?;
    let (id, arn) = (
        user.get("FederatedUserId")?.as_str()?,
        user.get("Arn")?.as_str()?,
    );
    let kind = if principal.kind == PrincipalKind::Root {
        "Root"
    } else {
        "IAMUser"
    };
    let federated = Principal {
        kind: PrincipalKind::FederatedUser,
        account: principal.account.clone(),
        principal_id: id.to_owned(),
        arn: Some(arn.to_owned()),
        user_name: None,
        session: Some(Session {
            created: caller.now,
            mfa: false,
            issuer: Some(SessionIssuer {
                kind: kind.to_owned(),
                principal_id: principal.principal_id.clone(),
                arn: principal.arn.clone().unwrap_or_default(),
                account_id: principal.account.clone(),
                user_name: principal.user_name.clone(),
            }),
            web_identity: None,
            source_identity: None,
        }),
        invoked_by: None,
    };
    Some((access_key(answer)?, federated))
}

/// The caller of an unsigned AssumeRoleWith…: the answer says whom the provider vouched for (facts 5.3).
fn federated(operation: &str, answer: &Params, caller: &Caller<'_>) -> Option<Principal> {
    let text = |name: &str| {
        answer
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, principal_id, user_name) = match operation {
        "AssumeRoleWithWebIdentity" => {
            let subject = text("SubjectFromWebIdentityToken");
            let id = format!("{}:{}:{subject}", text("Provider"), text("Audience"));
            (PrincipalKind::WebIdentityUser, id, subject)
        }
        "AssumeRoleWithSAML" => {
            let subject = text("Subject");
            (
                PrincipalKind::SAMLUser,
                format!("{}:{subject}", text("NameQualifier")),
                subject,
            )
        }
        _ => return None,
    };
    let assumed = answer.get("AssumedRoleUser")?.get("Arn")?.as_str()?;
    let account = Arn::parse(assumed)
        .map_or(caller.default_account, |arn| arn.account)
        .to_owned();
    Some(Principal {
        kind,
        account,
        principal_id,
        arn: None,
        user_name: Some(user_name),
        session: None,
        invoked_by: None,
    })
}

/// An id for someone whose own was never seen: the same one each time, in the form of AWS's.
fn derived_id(prefix: &str, arn: &str) -> String {
    const BASE32: &[u8] = crate::clock::alphabet::BASE32;
    let digest = Sha256::digest(arn.as_bytes());
    let letters = digest
        .iter()
        .take(17)
        .map(|byte| char::from(BASE32[usize::from(byte % 32)]));
    prefix.chars().chain(letters).collect()
}
