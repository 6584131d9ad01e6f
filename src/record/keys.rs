//! Secrets of callers' access keys: from a credentials file, and from the answers of IAM and STS that pass by.
//!
//! In memory only: never in the store, a record or a log line. After a restart, keys that were learned must be made
//! anew. Nothing is learned unless signatures are verified. A session's key proves no more than was proved when it was
//! made: nobody here verifies a provider's token or decides who may take a role, so that only sessions of the account of
//! whoever signed for them count, unless all are to be trusted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::aws::Params;
use crate::aws::route::Call;
use crate::aws::verify::Key;
use crate::event::{Outcome, Principal};

/// Answers that issue a key, and the member of theirs that has it: service, operation, member.
const ISSUED: &[(&str, &str, &str)] = &[
    ("iam", "CreateAccessKey", "AccessKey"),
    ("sts", "AssumeRole", "Credentials"),
    ("sts", "AssumeRoleWithSAML", "Credentials"),
    ("sts", "AssumeRoleWithWebIdentity", "Credentials"),
    ("sts", "AssumeRoot", "Credentials"),
    ("sts", "GetFederationToken", "Credentials"),
    ("sts", "GetSessionToken", "Credentials"),
];

/// Which keys are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    Nothing,
    /// Users' keys, and those of sessions of the account of whoever signed for them.
    Proven,
    /// The keys of all sessions too.
    All,
}

/// Every key whose secret is known.
pub struct Keys {
    /// Those of the file.
    given: HashMap<String, Given>,
    learned: RwLock<HashMap<String, Learned>>,
    learns: Learns,
}

struct Given {
    key: Key,
    account: Option<String>,
}

struct Learned {
    key: Key,
    /// Whose callers can switch it off, and delete it: an emulator may let others try.
    account: String,
    /// `UpdateAccessKey` can switch a key off and on.
    is_active: bool,
}

impl Learned {
    fn is_of(&self, account: Option<&str>) -> bool {
        account == Some(self.account.as_str())
    }
}

/// Why a credentials file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct CredentialsError {
    line: usize,
    reason: &'static str,
}

impl Keys {
    /// The keys of a credentials file's text; `learns`: which of those that will be issued too.
    pub fn new(credentials: &str, learns: Learns) -> Result<Self, CredentialsError> {
        Ok(Self {
            given: parse(credentials)?,
            learned: RwLock::default(),
            learns,
        })
    }

    /// What belongs to an access key, unless it is unknown or switched off.
    pub fn get(&self, access_key: &str) -> Option<Key> {
        if let Some(given) = self.given.get(access_key) {
            return Some(given.key.clone());
        }
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let learned = learned.get(access_key).filter(|learned| learned.is_active);
        learned.map(|learned| learned.key.clone())
    }

    /// The accounts that the file says keys are of.
    pub fn accounts(&self) -> HashMap<String, String> {
        let of_key = |(key, given): (&String, &Given)| Some((key.clone(), given.account.clone()?));
        self.given.iter().filter_map(of_key).collect()
    }

    /// The account that the file says a key is of.
    pub fn account(&self, access_key: &str) -> Option<&str> {
        self.given.get(access_key)?.account.as_deref()
    }

    /// Takes from a call what it says of keys: issued; of the signer's account, switched off or on, or deleted. `signer`
    /// tells the account of who signed it, `session` is whose session it has made.
    pub fn learn(
        &self,
        call: &Call,
        params: Option<&Params>,
        outcome: &Outcome,
        signer: impl Fn() -> Option<String>,
        session: Option<&Principal>,
    ) {
        let Outcome::Success(answer) = outcome else {
            return;
        };
        if self.learns == Learns::Nothing {
            return;
        }
        let (service, operation) = (&*call.service.id, &*call.operation.name);
        let text = |name: &str| params.and_then(|params| params.get(name)?.as_str());
        match (service, operation, text("AccessKeyId")) {
            ("iam", "DeleteAccessKey", Some(access_key)) => {
                let signer = signer();
                self.change(|learned| {
                    learned.retain(|key, it| key != access_key || !it.is_of(signer.as_deref()));
                });
            }
            ("iam", "UpdateAccessKey", Some(access_key)) => {
                let signer = signer();
                self.change(|learned| {
                    let known = learned.get_mut(access_key);
                    if let Some(learned) = known.filter(|it| it.is_of(signer.as_deref())) {
                        learned.is_active = text("Status") != Some("Inactive");
                    }
                });
            }
            // Without knowing whose it is, it would be taken for root's.
            ("sts", _, _) if !session.is_some_and(|it| self.is_proven(it, &signer)) => {}
            _ => {
                let member = ISSUED
                    .iter()
                    .find(|(s, o, _)| (*s, *o) == (service, operation));
                let issued = member
                    .and_then(|(_, _, member)| answer.as_ref()?.get(*member))
                    .and_then(issued);
                let account = || session.map_or_else(&signer, |it| Some(it.account.clone()));
                if let Some((access_key, key)) = issued
                    && let Some(account) = account()
                {
                    let learned = Learned {
                        key,
                        account,
                        is_active: true,
                    };
                    self.change(|keys| drop(keys.insert(access_key, learned)));
                }
            }
        }
    }

    fn is_proven(&self, session: &Principal, signer: impl FnOnce() -> Option<String>) -> bool {
        self.learns == Learns::All || signer().is_some_and(|account| account == session.account)
    }

    /// Forgets these of the keys learned.
    pub fn forget_these(&self, access_keys: &[String]) {
        self.change(|learned| {
            for access_key in access_keys {
                learned.remove(access_key);
            }
        });
    }

    /// Forgets the keys learned.
    pub fn forget(&self) {
        self.change(HashMap::clear);
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, Learned>)) {
        change(&mut self.learned.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Without a secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("learns", &self.learns)
            .finish_non_exhaustive()
    }
}

/// A key as IAM and STS issue it.
fn issued(member: &Value) -> Option<(String, Key)> {
    let text = |name: &str| Some(member.get(name)?.as_str()?.to_owned());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a second is dropped"
    )]
    let seconds = |value: &Value| value.as_f64().map(|seconds| seconds as i64);
    let expires = member.get("Expiration").and_then(seconds);
    let key = Key {
        secret: text("SecretAccessKey")?,
        token: text("SessionToken"),
        expires: expires.and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0)),
    };
    Some((text("AccessKeyId")?, key))
}

/// A profile under way: what it has said so far, and where it began.
#[derive(Default)]
struct Profile {
    line: usize,
    access_key: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    account: Option<String>,
}

/// Keys of a credentials file, as the aws CLI reads it: `[profile]`, `name = value`, comments after `#` or `;`. Other
/// settings are left alone, a profile without a key too.
fn parse(text: &str) -> Result<HashMap<String, Given>, CredentialsError> {
    let mut keys = HashMap::new();
    let mut profile = Profile::default();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim();
        let error = |reason| CredentialsError {
            line: index + 1,
            reason,
        };
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with('[') {
            if !line.ends_with(']') {
                return Err(error("a profile's name ends with ]"));
            }
            add(std::mem::take(&mut profile), &mut keys)?;
            profile.line = index + 1;
            continue;
        }
        // An indented line goes on with a setting that has several, none of which is ours.
        if raw.starts_with([' ', '\t']) {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| error("neither [profile] nor name = value"))?;
        if profile.line == 0 {
            return Err(error("a setting stands before the first [profile]"));
        }
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => profile.access_key = value,
            "aws_secret_access_key" => profile.secret = value,
            "aws_session_token" => profile.token = value,
            "account_id" | "aws_account_id" => {
                let is_account =
                    |it: &String| it.len() == 12 && it.bytes().all(|b| b.is_ascii_digit());
                if !value.as_ref().is_some_and(is_account) {
                    return Err(error("an account id has 12 digits"));
                }
                profile.account = value;
            }
            _ => {}
        }
    }
    add(profile, &mut keys)?;
    Ok(keys)
}

fn add(profile: Profile, keys: &mut HashMap<String, Given>) -> Result<(), CredentialsError> {
    let (access_key, secret) = match (profile.access_key, profile.secret) {
        (Some(access_key), Some(secret)) => (access_key, secret),
        (None, None) => return Ok(()),
        (Some(_), None) | (None, Some(_)) => {
            return Err(CredentialsError {
                line: profile.line,
                reason: "a profile has one of aws_access_key_id and aws_secret_access_key, not both",
            });
        }
    };
    let key = Key {
        secret,
        token: profile.token,
        expires: None,
    };
    let account = profile.account;
    keys.insert(access_key, Given { key, account });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_is_read_as_the_cli_reads_it() {
        let text = "# mine\n[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key=a/b+c=d\n\
                    region = eu-west-1\ns3 =\n    signature_version = s3v4\n\n\
                    [profile session]\n; a session\nAWS_ACCESS_KEY_ID=ASIAEXAMPLE\naws_secret_access_key = s2\n\
                    aws_session_token = t2\naccount_id = 111122223333\n[sso]\nsso_session = x\n";
        let keys = Keys::new(text, Learns::Nothing).unwrap();
        let told = |name: &str| {
            let key = keys.get(name).unwrap();
            (key.secret, key.token, keys.account(name))
        };
        assert_eq!(told("AKIDEXAMPLE"), ("a/b+c=d".to_owned(), None, None));
        let token = Some("t2".to_owned());
        assert_eq!(
            told("ASIAEXAMPLE"),
            ("s2".to_owned(), token, Some("111122223333"))
        );
        assert!(keys.get("AKIDOTHER").is_none());
        assert!(!format!("{keys:?}").contains("s2"));
    }

    #[test]
    fn a_broken_credentials_file_is_refused_by_its_line() {
        for (text, line) in [
            ("aws_access_key_id = a", 1),
            ("[a]\nnonsense", 2),
            ("[a", 1),
            ("[a]\naws_access_key_id = a\n[b]\n", 1),
            ("\n[a]\naws_secret_access_key = secret", 2),
            ("[a]\naccount_id = 12", 2),
        ] {
            let error = Keys::new(text, Learns::Nothing).err().unwrap();
            assert_eq!(error.line, line, "{text}");
            assert!(!error.to_string().contains("secret ="), "{error}");
        }
    }
}
