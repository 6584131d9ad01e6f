//! What an answer of STS says of the session that it made, and whom an identity provider vouched for. Pure.
//!
//! Reads ids and names; of a provider's token, the claims that say who it is, and only where the answer does not say.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::aws::Params;
use crate::aws::arn::Arn;
use crate::aws::jwt::{self, Claims};
use crate::event::{Outcome, Principal, PrincipalKind, Session, SessionIssuer, WebIdentity};

/// A call that succeeded, and who made it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered<'a> {
    pub(super) params: &'a Params,
    pub(super) answer: &'a Params,
    pub(super) now: DateTime<Utc>,
    pub(super) principal: &'a Principal,
}

impl<'a> Answered<'a> {
    pub(super) fn param(&self, name: &str) -> Option<&'a str> {
        text(self.params, name)
    }

    pub(super) fn answered(&self, name: &str) -> Option<&'a str> {
        text(self.answer, name)
    }

    /// Whether the call came with a code of an MFA device; that makes its session one with MFA.
    fn has_mfa_code(&self) -> bool {
        self.params.contains_key("SerialNumber") && self.params.contains_key("TokenCode")
    }
}

/// The access key of the session that a call made, and who calls with it; `None`: it made none.
pub(super) fn made(operation: &str, call: &Answered<'_>) -> Option<(String, Principal)> {
    let session = match operation {
        "AssumeRole" | "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity" => role_session(call),
        "AssumeRoot" => root_session(call),
        "GetSessionToken" => Some(own_session(call)),
        "GetFederationToken" => federated_user(call),
        _ => None,
    }?;
    let access_key = call.answer.get("Credentials")?.get("AccessKeyId")?;
    Some((access_key.as_str()?.to_owned(), session))
}

fn role_session(call: &Answered<'_>) -> Option<Principal> {
    let assumed = call.answer.get("AssumedRoleUser")?;
    let (id, arn) = (
        assumed.get("AssumedRoleId")?.as_str()?,
        assumed.get("Arn")?.as_str()?,
    );
    let account = Arn::parse(arn)?.account;
    // The session's ARN has no path; the role's own, which the caller sent, has.
    let role_arn = call.param("RoleArn")?;
    let role_name = role_arn.rsplit('/').next()?;
    // A user's MFA is that of the role it takes. From role to role it is not handed on; a source identity is.
    let before = call.principal.session.as_ref();
    let is_user = matches!(
        call.principal.kind,
        PrincipalKind::Root | PrincipalKind::IAMUser
    );
    let mfa = call.has_mfa_code() || (is_user && before.is_some_and(|session| session.mfa));
    let source_identity = call
        .answered("SourceIdentity")
        .or_else(|| call.param("SourceIdentity"))
        .or_else(|| before?.source_identity.as_deref());
    Some(Principal {
        kind: PrincipalKind::AssumedRole,
        principal_id: id.to_owned(),
        arn: Some(arn.to_owned()),
        session: Some(Session {
            issuer: Some(SessionIssuer {
                kind: "Role".to_owned(),
                principal_id: id.split(':').next().unwrap_or(id).to_owned(),
                arn: role_arn.to_owned(),
                account_id: account.to_owned(),
                user_name: Some(role_name.to_owned()),
            }),
            web_identity: Vouched::of(call.params, Some(call.answer)).map(Vouched::federation),
            source_identity: source_identity.map(ToOwned::to_owned),
            ..Session::new(call.now, mfa)
        }),
        ..Principal::root(account, "")
    })
}

/// `TargetPrincipal` is a member account, or its root by ARN.
fn root_session(call: &Answered<'_>) -> Option<Principal> {
    let target = call.param("TargetPrincipal")?;
    let (account, partition) =
        Arn::parse(target).map_or((target, "aws"), |arn| (arn.account, arn.partition));
    Some(Principal {
        session: Some(Session {
            source_identity: call.answered("SourceIdentity").map(ToOwned::to_owned),
            assumed_root: true,
            ..Session::new(call.now, false)
        }),
        ..Principal::root(account, partition)
    })
}

/// Whoever calls, with a session: a user stays a user, root stays root.
fn own_session(call: &Answered<'_>) -> Principal {
    let mut principal = call.principal.clone();
    let mfa = call.has_mfa_code();
    principal.session = Some(match principal.session.take() {
        // AWS gives sessions no further session; emulators do.
        Some(before) => Session {
            created: call.now,
            mfa: mfa || before.mfa,
            ..before
        },
        None => Session::new(call.now, mfa),
    });
    principal
}

fn federated_user(call: &Answered<'_>) -> Option<Principal> {
    let user = call.answer.get("FederatedUser")?;
    let (id, arn) = (
        user.get("FederatedUserId")?.as_str()?,
        user.get("Arn")?.as_str()?,
    );
    let by = call.principal;
    let kind = match by.kind {
        PrincipalKind::Root => "Root",
        _ => "IAMUser",
    };
    Some(Principal {
        kind: PrincipalKind::FederatedUser,
        principal_id: id.to_owned(),
        arn: Some(arn.to_owned()),
        session: Some(Session {
            issuer: Some(SessionIssuer {
                kind: kind.to_owned(),
                principal_id: by.principal_id.clone(),
                arn: by.arn.clone().unwrap_or_default(),
                account_id: by.account.clone(),
                user_name: by.user_name.clone(),
            }),
            ..Session::new(call.now, false)
        }),
        ..Principal::root(&by.account, "")
    })
}

/// The caller of an AssumeRoleWith…: whom the provider vouched for (facts 5.3). `None`: another operation, or nobody
/// says.
pub(super) fn federated(operation: &str, params: &Params, outcome: &Outcome) -> Option<Principal> {
    let answer = match outcome {
        Outcome::Success(answer) => answer.as_ref(),
        Outcome::Failure(_) => None,
    };
    let (kind, principal_id, user_name, provider) = match operation {
        "AssumeRoleWithWebIdentity" => {
            let Vouched {
                provider,
                audience,
                subject,
            } = Vouched::of(params, answer)?;
            let id = format!("{provider}:{audience}:{subject}");
            (PrincipalKind::WebIdentityUser, id, subject, provider)
        }
        "AssumeRoleWithSAML" => {
            let subject = text(answer?, "Subject")?.to_owned();
            let qualifier = text(answer?, "NameQualifier")?.to_owned();
            let id = format!("{qualifier}:{subject}");
            (PrincipalKind::SAMLUser, id, subject, qualifier)
        }
        _ => return None,
    };
    // The role's account is where it happens.
    let role = Arn::parse(text(params, "RoleArn")?)?;
    Some(Principal {
        kind,
        principal_id,
        arn: None,
        user_name: Some(user_name),
        identity_provider: Some(provider),
        ..Principal::root(role.account, "")
    })
}

/// Whom an OpenID provider vouches for.
struct Vouched {
    /// A built-in provider's host, or the provider's ARN.
    provider: String,
    audience: String,
    subject: String,
}

impl Vouched {
    fn of(params: &Params, answer: Option<&Params>) -> Option<Self> {
        let role = Arn::parse(text(params, "RoleArn")?)?;
        let answered = answer.and_then(|answer| {
            Some(Claims {
                issuer: text(answer, "Provider")?.to_owned(),
                subject: text(answer, "SubjectFromWebIdentityToken")?.to_owned(),
                audience: text(answer, "Audience").unwrap_or_default().to_owned(),
            })
        });
        let claimed = || Claims::parse(text(params, "WebIdentityToken")?);
        let Claims {
            issuer,
            subject,
            audience,
        } = answered.or_else(claimed)?;
        Some(Self {
            provider: jwt::provider(&issuer, role.account, role.partition),
            audience,
            subject,
        })
    }

    /// Built-in providers name the application and the user; records of others have no attributes.
    fn federation(self) -> WebIdentity {
        let mut attributes = Params::new();
        if let Some((application, user)) = jwt::attribute_names(&self.provider) {
            let host = &self.provider;
            attributes.insert(format!("{host}:{application}"), self.audience.into());
            attributes.insert(format!("{host}:{user}"), self.subject.into());
        }
        WebIdentity {
            federated_provider: self.provider,
            attributes,
        }
    }
}

fn text<'a>(members: &'a Params, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Nothing here answers AssumeRoot; an upstream may.
    #[test]
    fn a_root_session_is_of_the_member_account() {
        let answer = json!({"Credentials": {"AccessKeyId": "ASIAEXAMPLEKEY000001"}, "SourceIdentity": "Admin"});
        let caller = Principal::root("111122223333", "aws");
        for target in ["444455556666", "arn:aws:iam::444455556666:root"] {
            let params = json!({"TargetPrincipal": target});
            let call = Answered {
                params: params.as_object().unwrap(),
                answer: answer.as_object().unwrap(),
                now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
                principal: &caller,
            };
            let (key, principal) = made("AssumeRoot", &call).unwrap();
            assert_eq!(key, "ASIAEXAMPLEKEY000001");
            let session = principal.session.clone().unwrap();
            assert!(session.assumed_root);
            assert_eq!(session.source_identity.as_deref(), Some("Admin"));
            let root = Principal::root("444455556666", "aws");
            assert_eq!(
                Principal {
                    session: None,
                    ..principal
                },
                root
            );
        }
    }
}
