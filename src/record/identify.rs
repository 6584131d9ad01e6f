//! Who called: access key → [`Principal`], learned from the answers of IAM and STS that pass by.
//!
//! Kept in memory for the path of every call, and in the store for the next start. Learns ids and names only; secrets
//! are not read, of a provider's token only whom it names. A key that was deleted stays its user's: AWS refuses calls
//! with it, and of an upstream that does not, this is still the truth about who called. A session is forgotten a day
//! after the longest that one may last: whoever is let in with its key later is recorded as root.
//!
//! Memory comes first: what the store fails to take is known for as long as the process lives.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sessions::{self, Answered};
use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::route::Call;
use crate::aws::sigv4::Signature;
use crate::event::{Outcome, Principal, PrincipalKind};
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

/// The longest that a session may last, and a day.
const SESSION_KEPT: TimeDelta = TimeDelta::hours(36 + 24);

/// Everyone known.
#[derive(Debug)]
pub struct Identities {
    store: Store,
    /// Accounts of access keys that are said at the start, whatever an upstream says of them.
    given: HashMap<String, String>,
    by_key: RwLock<HashMap<String, Arc<Principal>>>,
    /// By account and user name.
    users: RwLock<HashMap<(String, String), IamUser>>,
}

impl Identities {
    pub async fn load(store: Store, given: HashMap<String, String>) -> Result<Self, Error> {
        if !store.has_past() {
            return Ok(Self {
                store,
                given,
                by_key: RwLock::default(),
                users: RwLock::default(),
            });
        }
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
            given,
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
        if let Some(known) = self.known(access_key) {
            return known;
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
    pub fn principal(
        &self,
        call: &Call,
        caller: &Caller<'_>,
        params: Option<&Params>,
        outcome: &Outcome,
    ) -> Arc<Principal> {
        // Whom a provider vouches for counts even if the call is signed: AWS does not look at the signature.
        if &*call.service.id == "sts"
            && let Some(params) = params
            && let Some(principal) = sessions::federated(&call.operation.name, params, outcome)
        {
            return Arc::new(principal);
        }
        match caller.signature {
            Some(signature) => {
                self.of_key(&signature.access_key, caller.default_account, caller.region)
            }
            None => Arc::new(Principal::anonymous(&*call.service.id == "s3")),
        }
    }

    /// Takes from an answer of IAM or STS what it says of keys, users and sessions. Gives back whose session it made;
    /// the error is the store's alone.
    pub async fn learn(
        &self,
        call: &Call,
        caller: &Caller<'_>,
        principal: &Principal,
        params: Option<&Params>,
        outcome: &Outcome,
    ) -> (Option<Principal>, Result<(), Error>) {
        let service = &*call.service.id;
        let Outcome::Success(answer) = outcome else {
            return (None, Ok(()));
        };
        if !matches!(service, "iam" | "sts") {
            return (None, Ok(()));
        }
        let empty = Params::new();
        let call_seen = Answered {
            params: params.unwrap_or(&empty),
            answer: answer.as_ref().unwrap_or(&empty),
            now: caller.now,
            principal,
        };
        let stored = match (service, &*call.operation.name) {
            ("iam", operation) => self.learn_of_iam(operation, caller, &call_seen).await,
            ("sts", "GetCallerIdentity") => self.learn_caller(caller, &call_seen).await,
            (_, operation) => match sessions::made(operation, &call_seen) {
                Some((access_key, session)) => {
                    let stored = self.put(&access_key, session.clone()).await;
                    return (Some(session), stored);
                }
                None => Ok(()),
            },
        };
        (None, stored)
    }

    /// Forgets sessions that have ended long before `now`, and gives back their keys.
    pub fn forget_ended(&self, now: DateTime<Utc>) -> Vec<String> {
        let has_ended = |known: &Principal| {
            let session = known.session.as_ref();
            session.is_some_and(|session| now - session.created > SESSION_KEPT)
        };
        let mut ended = Vec::new();
        self.by_key
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|key, known| {
                let has_ended = has_ended(known);
                if has_ended {
                    ended.push(key.clone());
                }
                !has_ended
            });
        ended
    }

    async fn learn_of_iam(
        &self,
        operation: &str,
        caller: &Caller<'_>,
        call: &Answered<'_>,
    ) -> Result<(), Error> {
        let list = |name: &str| {
            let list = call.answer.get(name).and_then(Value::as_array);
            list.into_iter().flatten()
        };
        match operation {
            "CreateUser" | "GetUser" => self.learn_user(call.answer.get("User")).await,
            "ListUsers" => {
                let mut stored = Ok(());
                for user in list("Users") {
                    stored = stored.and(self.learn_user(Some(user)).await);
                }
                stored
            }
            "UpdateUser" => self.rename_user(call).await,
            "DeleteUser" => self.forget_user(call).await,
            "CreateAccessKey" => {
                let key = call.answer.get("AccessKey");
                self.learn_key(key, caller, call.principal).await
            }
            "ListAccessKeys" => {
                let mut stored = Ok(());
                for key in list("AccessKeyMetadata") {
                    stored = stored.and(self.learn_key(Some(key), caller, call.principal).await);
                }
                stored
            }
            _ => Ok(()),
        }
    }

    async fn put(&self, access_key: &str, principal: Principal) -> Result<(), Error> {
        let principal = Arc::new(principal);
        self.by_key
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(access_key.to_owned(), Arc::clone(&principal));
        self.store.identity_put(access_key, &principal).await
    }

    fn known(&self, access_key: &str) -> Option<Arc<Principal>> {
        self.by_key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(access_key)
            .map(Arc::clone)
    }

    /// Whether an upstream may say that a key is a user's of `account`: nobody has said before that it is someone else's.
    fn may_be_of(&self, access_key: &str, account: &str) -> bool {
        let given = self.given.get(access_key);
        let is_users = |known: &Principal| {
            known.kind == PrincipalKind::IAMUser
                && known.session.is_none()
                && known.account == account
        };
        given.is_none_or(|given| given == account)
            && self.known(access_key).is_none_or(|known| is_users(&known))
    }

    fn user(&self, account: &str, user_name: &str) -> Option<IamUser> {
        self.users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(account.to_owned(), user_name.to_owned()))
            .cloned()
    }

    async fn put_user(&self, user: IamUser) -> Result<(), Error> {
        if self.user(&user.account, &user.user_name).as_ref() == Some(&user) {
            return Ok(());
        }
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((user.account.clone(), user.user_name.clone()), user.clone());
        self.store.iam_user_put(&user).await
    }

    async fn remove_user(&self, account: &str, user_name: &str) -> Result<(), Error> {
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&(account.to_owned(), user_name.to_owned()));
        self.store.iam_user_delete(account, user_name).await
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
        self.put_user(IamUser {
            account,
            user_name: user_name.to_owned(),
            user_id: user_id.to_owned(),
            arn: arn.to_owned(),
        })
        .await
    }

    /// A user has got a name or a path: its keys are those of the same user, as it is called now.
    async fn rename_user(&self, call: &Answered<'_>) -> Result<(), Error> {
        let Some(user) = call
            .param("UserName")
            .and_then(|name| self.user(&call.principal.account, name))
        else {
            return Ok(());
        };
        let renamed = renamed(&user, call.param("NewUserName"), call.param("NewPath"));
        let mut stored = self.remove_user(&user.account, &user.user_name).await;
        let keys: Vec<(String, Principal)> = self
            .by_key
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter(|(_, known)| {
                known.kind == PrincipalKind::IAMUser && known.principal_id == user.user_id
            })
            .map(|(key, known)| {
                let known = Principal {
                    arn: Some(renamed.arn.clone()),
                    user_name: Some(renamed.user_name.clone()),
                    ..Principal::clone(known)
                };
                (key.clone(), known)
            })
            .collect();
        for (key, known) in keys {
            stored = stored.and(self.put(&key, known).await);
        }
        stored.and(self.put_user(renamed).await)
    }

    /// Another user may take the name. What the deleted one did, and still does with its keys, stays its own.
    async fn forget_user(&self, call: &Answered<'_>) -> Result<(), Error> {
        match call.param("UserName") {
            Some(name) => self.remove_user(&call.principal.account, name).await,
            None => Ok(()),
        }
    }

    /// `key` names an access key and its user. One that is known as a session's or another account's stays as it is.
    async fn learn_key(
        &self,
        key: Option<&Value>,
        caller: &Caller<'_>,
        principal: &Principal,
    ) -> Result<(), Error> {
        let text = |name: &str| key.and_then(|key| key.get(name)?.as_str());
        let (Some(access_key), Some(user_name)) = (text("AccessKeyId"), text("UserName")) else {
            return Ok(());
        };
        let account = &principal.account;
        if !self.may_be_of(access_key, account) {
            return Ok(());
        }
        let user = self.user(account, user_name).unwrap_or_else(|| {
            let partition = partition(caller.region);
            let arn = format!("arn:{partition}:iam::{account}:user/{user_name}");
            IamUser {
                account: account.clone(),
                user_name: user_name.to_owned(),
                user_id: derived_id("AIDA", &arn),
                arn,
            }
        });
        let known = user_principal(user);
        if self.known(access_key).as_deref() == Some(&known) {
            return Ok(());
        }
        self.put(access_key, known).await
    }

    /// The upstream says whose key it is that nobody has seen being made.
    async fn learn_caller(&self, caller: &Caller<'_>, call: &Answered<'_>) -> Result<(), Error> {
        let Some(access_key) = caller.signature.map(|signature| &signature.access_key) else {
            return Ok(());
        };
        let (Some(user_id), Some(arn)) = (call.answered("UserId"), call.answered("Arn")) else {
            return Ok(());
        };
        let user = Arn::parse(arn)
            .filter(|arn| arn.service == "iam" && self.known(access_key).is_none())
            .filter(|arn| self.may_be_of(access_key, arn.account))
            .and_then(|parsed| {
                let path = parsed.resource.strip_prefix("user/")?;
                Some(IamUser {
                    account: parsed.account.to_owned(),
                    user_name: path.rsplit('/').next()?.to_owned(),
                    user_id: user_id.to_owned(),
                    arn: arn.to_owned(),
                })
            });
        match user {
            Some(user) => self.put(access_key, user_principal(user)).await,
            None => Ok(()),
        }
    }
}

fn user_principal(user: IamUser) -> Principal {
    Principal {
        kind: PrincipalKind::IAMUser,
        principal_id: user.user_id,
        arn: Some(user.arn),
        user_name: Some(user.user_name),
        ..Principal::root(&user.account, "")
    }
}

/// `user` by a new name or path; its id stays.
fn renamed(user: &IamUser, name: Option<&str>, path: Option<&str>) -> IamUser {
    let old_path = || {
        let resource = user.arn.split(":user").nth(1)?;
        resource.strip_suffix(user.user_name.as_str())
    };
    let name = name.unwrap_or(&user.user_name);
    let path = path.or_else(old_path).unwrap_or("/");
    let before = user.arn.split(":user/").next().unwrap_or_default();
    IamUser {
        arn: format!("{before}:user{path}{name}"),
        user_name: name.to_owned(),
        ..user.clone()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renamed_user_keeps_its_id_and_what_was_not_changed() {
        let user = |user_name: &str, arn: &str| IamUser {
            account: "111122223333".to_owned(),
            user_name: user_name.to_owned(),
            user_id: "AIDAEXAMPLEUSER000001".to_owned(),
            arn: arn.to_owned(),
        };
        let alice = user("alice", "arn:aws:iam::111122223333:user/staff/alice");
        for (name, path, new_name, arn) in [
            (
                Some("bob"),
                None,
                "bob",
                "arn:aws:iam::111122223333:user/staff/bob",
            ),
            (
                None,
                Some("/a/b/"),
                "alice",
                "arn:aws:iam::111122223333:user/a/b/alice",
            ),
            (
                Some("bob"),
                Some("/"),
                "bob",
                "arn:aws:iam::111122223333:user/bob",
            ),
        ] {
            assert_eq!(renamed(&alice, name, path), user(new_name, arn));
        }
    }
}
