//! `userIdentity`: who called, as the record's version and the kind of caller have it.
//!
//! Writes what is known of a principal and invents nothing; how principals become known is `record::identify`'s. Types
//! that no call through the door can have (`Role`, `Directory`, `IdentityCenterUser`) come with supplied records only.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{Principal, PrincipalKind, Session};
use crate::aws::Params;

/// Of a user, or of a session of one.
const USER: &[&str] = &[
    "principalId",
    "arn",
    "accountId",
    "accessKeyId",
    "userName",
    "sessionContext",
];
/// Of credentials that a role or a federation gave.
const SESSION: &[&str] = &[
    "principalId",
    "arn",
    "accountId",
    "accessKeyId",
    "sessionContext",
];
/// Of someone whom an identity provider vouches for.
const FEDERATED: &[&str] = &["principalId", "userName", "identityProvider"];

/// A type's name, and which members it has, in the order of the wire (facts 5.3). `invokedBy` may follow any.
fn shape(kind: PrincipalKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        PrincipalKind::Root => ("Root", USER),
        PrincipalKind::IAMUser => ("IAMUser", USER),
        PrincipalKind::AssumedRole => ("AssumedRole", SESSION),
        PrincipalKind::FederatedUser => ("FederatedUser", SESSION),
        // Another account's caller: whoever is called learns no more than this.
        PrincipalKind::AWSAccount => ("AWSAccount", &["principalId", "accountId"]),
        PrincipalKind::AWSService => ("AWSService", &[]),
        PrincipalKind::WebIdentityUser => ("WebIdentityUser", FEDERATED),
        PrincipalKind::SAMLUser => ("SAMLUser", FEDERATED),
        PrincipalKind::Unknown => ("Unknown", &["principalId", "accountId", "userName"]),
    }
}

/// `access_key` is the id in the request's signature; `minor` the record's version, 9 for `1.09`.
pub(super) fn user_identity(principal: &Principal, access_key: Option<&str>, minor: u32) -> Value {
    let text = |value: &str| Some(Value::from(value));
    let (kind, members) = shape(principal.kind);
    let mut identity = Params::new();
    identity.insert("type".to_owned(), kind.into());
    for &member in members {
        let value = match member {
            "principalId" => text(&principal.principal_id),
            "arn" => principal.arn.as_deref().and_then(text),
            "accountId" if principal.account.is_empty() => None,
            "accountId" => text(&principal.account),
            "accessKeyId" => access_key.and_then(text),
            "userName" => principal.user_name.as_deref().and_then(text),
            "identityProvider" => principal.identity_provider.as_deref().and_then(text),
            _ => principal
                .session
                .as_ref()
                .map(|session| session_context(session, minor)),
        };
        if let Some(value) = value {
            identity.insert(member.to_owned(), value);
        }
    }
    if let Some(service) = &principal.invoked_by {
        identity.insert("invokedBy".to_owned(), service.as_str().into());
    }
    Value::Object(identity)
}

/// Versions differ as real records do: before 1.08 the attributes come first; 1.08 keeps an issuer and federation data
/// that are empty, which 1.09 dropped.
fn session_context(session: &Session, minor: u32) -> Value {
    let created = session.created.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mfa = if session.mfa { "true" } else { "false" };
    let attributes = if minor < 8 {
        json!({"mfaAuthenticated": mfa, "creationDate": created})
    } else {
        json!({"creationDate": created, "mfaAuthenticated": mfa})
    };
    let empty = || (minor == 8).then(|| json!({}));
    let issuer = session.issuer.as_ref().map(|issuer| json!(issuer));
    let issuer = ("sessionIssuer", issuer.or_else(empty));
    let federation = session.web_identity.as_ref().map(|data| json!(data));
    let federation = ("webIdFederationData", federation.or_else(empty));
    let attributes = ("attributes", Some(attributes));
    let members = if minor < 8 {
        [attributes, issuer, federation]
    } else {
        [issuer, federation, attributes]
    };
    let mut context: Params = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    // Source identities came in 2021, root sessions in 2024; 1.08 is of 2020.
    if let Some(source) = session.source_identity.as_deref().filter(|_| minor >= 8) {
        context.insert("sourceIdentity".to_owned(), source.into());
    }
    if session.assumed_root && minor >= 8 {
        context.insert("assumedRoot".to_owned(), "true".into());
    }
    Value::Object(context)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::{SessionIssuer, WebIdentity};
    use super::*;

    const ACCOUNT: &str = "111122223333";
    const KEY: &str = "ASIAEXAMPLEKEY000001";

    fn principal(kind: PrincipalKind, id: &str, arn: &str) -> Principal {
        Principal {
            kind,
            principal_id: id.to_owned(),
            arn: Some(arn.to_owned()),
            ..Principal::root(ACCOUNT, "aws")
        }
    }

    fn session() -> Session {
        Session::new(DateTime::from_timestamp(1_752_148_487, 0).unwrap(), false)
    }

    fn issuer(kind: &str, id: &str, arn: &str, user_name: Option<&str>) -> Option<SessionIssuer> {
        Some(SessionIssuer {
            kind: kind.to_owned(),
            principal_id: id.to_owned(),
            arn: arn.to_owned(),
            account_id: ACCOUNT.to_owned(),
            user_name: user_name.map(ToOwned::to_owned),
        })
    }

    fn user(session: Option<Session>) -> Principal {
        Principal {
            user_name: Some("Alice".to_owned()),
            session,
            ..principal(
                PrincipalKind::IAMUser,
                "AIDAEXAMPLEUSER000001",
                "arn:aws:iam::111122223333:user/staff/Alice",
            )
        }
    }

    fn role() -> Principal {
        let issuer = issuer(
            "Role",
            "AROAEXAMPLEROLE00001",
            "arn:aws:iam::111122223333:role/path/Dev",
            Some("Dev"),
        );
        Principal {
            session: Some(Session {
                issuer,
                ..session()
            }),
            ..principal(
                PrincipalKind::AssumedRole,
                "AROAEXAMPLEROLE00001:s1",
                "arn:aws:sts::111122223333:assumed-role/Dev/s1",
            )
        }
    }

    fn by_provider(kind: PrincipalKind, id: &str, name: &str, provider: &str) -> Principal {
        Principal {
            user_name: Some(name.to_owned()),
            identity_provider: Some(provider.to_owned()),
            ..principal(kind, id, "")
        }
    }

    #[test]
    fn each_type_has_its_members_in_awss_order() {
        let service = Principal {
            invoked_by: Some("cloudtrail.amazonaws.com".to_owned()),
            ..principal(PrincipalKind::AWSService, "", "")
        };
        let federated = Principal {
            session: Some(Session {
                issuer: issuer(
                    "IAMUser",
                    "AIDAEXAMPLEUSER000002",
                    "arn:aws:iam::111122223333:user/Bob",
                    Some("Bob"),
                ),
                ..session()
            }),
            ..principal(
                PrincipalKind::FederatedUser,
                "111122223333:Carol",
                "arn:aws:sts::111122223333:federated-user/Carol",
            )
        };
        let by_service = Principal {
            invoked_by: Some("rds.amazonaws.com".to_owned()),
            ..role()
        };
        let assumed_root = Principal {
            session: Some(Session {
                assumed_root: true,
                ..session()
            }),
            ..Principal::root(ACCOUNT, "aws")
        };
        let other_account = Principal {
            account: "777788889999".to_owned(),
            ..principal(
                PrincipalKind::AWSAccount,
                "AIDAEXAMPLEUSER000001",
                "arn:aws:iam::777788889999:user/Eve",
            )
        };
        // Compared as text: the order of the members counts.
        for (principal, key, expected) in [
            (
                Principal::root(ACCOUNT, "aws"),
                Some(KEY),
                r#"{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"ASIAEXAMPLEKEY000001"}"#,
            ),
            (
                assumed_root,
                Some(KEY),
                r#"{"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"ASIAEXAMPLEKEY000001","sessionContext":{"attributes":{"creationDate":"2025-07-10T11:54:47Z","mfaAuthenticated":"false"},"assumedRoot":"true"}}"#,
            ),
            (
                user(None),
                Some("AKIAEXAMPLEKEY000001"),
                r#"{"type":"IAMUser","principalId":"AIDAEXAMPLEUSER000001","arn":"arn:aws:iam::111122223333:user/staff/Alice","accountId":"111122223333","accessKeyId":"AKIAEXAMPLEKEY000001","userName":"Alice"}"#,
            ),
            (
                by_service,
                None,
                r#"{"type":"AssumedRole","principalId":"AROAEXAMPLEROLE00001:s1","arn":"arn:aws:sts::111122223333:assumed-role/Dev/s1","accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLEROLE00001","arn":"arn:aws:iam::111122223333:role/path/Dev","accountId":"111122223333","userName":"Dev"},"attributes":{"creationDate":"2025-07-10T11:54:47Z","mfaAuthenticated":"false"}},"invokedBy":"rds.amazonaws.com"}"#,
            ),
            (
                federated,
                Some(KEY),
                r#"{"type":"FederatedUser","principalId":"111122223333:Carol","arn":"arn:aws:sts::111122223333:federated-user/Carol","accountId":"111122223333","accessKeyId":"ASIAEXAMPLEKEY000001","sessionContext":{"sessionIssuer":{"type":"IAMUser","principalId":"AIDAEXAMPLEUSER000002","arn":"arn:aws:iam::111122223333:user/Bob","accountId":"111122223333","userName":"Bob"},"attributes":{"creationDate":"2025-07-10T11:54:47Z","mfaAuthenticated":"false"}}}"#,
            ),
            (
                other_account,
                Some(KEY),
                r#"{"type":"AWSAccount","principalId":"AIDAEXAMPLEUSER000001","accountId":"777788889999"}"#,
            ),
            (
                Principal::anonymous(true),
                None,
                r#"{"type":"AWSAccount","principalId":"","accountId":"ANONYMOUS_PRINCIPAL"}"#,
            ),
            (
                Principal::anonymous(false),
                None,
                r#"{"type":"Unknown","principalId":"Anonymous"}"#,
            ),
            (
                service,
                None,
                r#"{"type":"AWSService","invokedBy":"cloudtrail.amazonaws.com"}"#,
            ),
            (
                by_provider(
                    PrincipalKind::WebIdentityUser,
                    "accounts.google.com:app:user",
                    "user",
                    "accounts.google.com",
                ),
                None,
                r#"{"type":"WebIdentityUser","principalId":"accounts.google.com:app:user","userName":"user","identityProvider":"accounts.google.com"}"#,
            ),
            (
                by_provider(
                    PrincipalKind::SAMLUser,
                    "qualifier=:bob",
                    "bob",
                    "qualifier=",
                ),
                None,
                r#"{"type":"SAMLUser","principalId":"qualifier=:bob","userName":"bob","identityProvider":"qualifier="}"#,
            ),
        ] {
            assert_eq!(user_identity(&principal, key, 11).to_string(), expected);
        }
    }

    #[test]
    fn sessions_are_laid_out_as_the_version_has_them() {
        let attributes = r#"{"creationDate":"2025-07-10T11:54:47Z","mfaAuthenticated":"false"}"#;
        let old = r#"{"mfaAuthenticated":"false","creationDate":"2025-07-10T11:54:47Z"}"#;
        let issuer = r#"{"type":"Role","principalId":"AROAEXAMPLEROLE00001","arn":"arn:aws:iam::111122223333:role/path/Dev","accountId":"111122223333","userName":"Dev"}"#;
        for (minors, of_user, of_role) in [
            (
                2..=7,
                format!(r#"{{"attributes":{old}}}"#),
                format!(r#"{{"attributes":{old},"sessionIssuer":{issuer}}}"#),
            ),
            (
                8..=8,
                format!(
                    r#"{{"sessionIssuer":{{}},"webIdFederationData":{{}},"attributes":{attributes}}}"#
                ),
                format!(
                    r#"{{"sessionIssuer":{issuer},"webIdFederationData":{{}},"attributes":{attributes}}}"#
                ),
            ),
            (
                9..=11,
                format!(r#"{{"attributes":{attributes}}}"#),
                format!(r#"{{"sessionIssuer":{issuer},"attributes":{attributes}}}"#),
            ),
        ] {
            for minor in minors {
                for (principal, expected) in [(user(Some(session())), &of_user), (role(), &of_role)]
                {
                    let identity = user_identity(&principal, Some(KEY), minor);
                    assert_eq!(
                        &identity["sessionContext"].to_string(),
                        expected,
                        "1.{minor:02}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_session_tells_its_federation_and_source_identity() {
        let mut role = role();
        let mut attributes = Params::new();
        attributes.insert("accounts.google.com:aud".to_owned(), "app".into());
        let session = role.session.as_mut().unwrap();
        session.web_identity = Some(WebIdentity {
            federated_provider: "accounts.google.com".to_owned(),
            attributes,
        });
        session.source_identity = Some("Admin".to_owned());
        session.mfa = true;
        for (minor, source) in [(7, None), (8, Some("Admin")), (11, Some("Admin"))] {
            let context = user_identity(&role, Some(KEY), minor)["sessionContext"].clone();
            assert_eq!(
                context["webIdFederationData"],
                json!({"federatedProvider": "accounts.google.com", "attributes": {"accounts.google.com:aud": "app"}})
            );
            assert_eq!(context["attributes"]["mfaAuthenticated"], "true");
            assert_eq!(
                context.get("sourceIdentity").and_then(Value::as_str),
                source,
                "1.{minor:02}"
            );
        }
    }
}
