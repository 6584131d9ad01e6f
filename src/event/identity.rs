//! `userIdentity`: who called, as the record's version and the kind of caller have it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Principal, PrincipalKind, Session};
use crate::aws::Params;

/// `access_key` is the id in the request's signature; `minor` the record's version, 9 for `1.09`.
pub(super) fn user_identity(principal: &Principal, access_key: Option<&str>, minor: u32) -> Value {
    use PrincipalKind as Kind;

    let mut identity = Params::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value {
            identity.insert(key.to_owned(), value.into());
        }
    };
    let kind = principal.kind;
    put("type", Some(kind_name(kind)));
    let provider = principal
        .session
        .as_ref()
        .and_then(|session| session.web_identity.as_ref())
        .map(|it| it.federated_provider.as_str());
    match kind {
        Kind::AWSService => {}
        // Another account's caller: the resource's owner learns no more than this.
        Kind::AWSAccount => {
            put("principalId", Some(&principal.principal_id));
            put("accountId", Some(&principal.account));
        }
        Kind::WebIdentityUser | Kind::SAMLUser => {
            put("principalId", Some(&principal.principal_id));
            put("userName", principal.user_name.as_deref());
            put("identityProvider", provider);
        }
        Kind::Root | Kind::IAMUser | Kind::AssumedRole | Kind::FederatedUser => {
            put("principalId", Some(&principal.principal_id));
            put("arn", principal.arn.as_deref());
            put("accountId", Some(&principal.account));
            put("accessKeyId", access_key);
            if matches!(kind, Kind::Root | Kind::IAMUser) {
                put("userName", principal.user_name.as_deref());
            }
            if let Some(session) = &principal.session {
                let context = session_context(session, minor);
                identity.insert("sessionContext".to_owned(), context);
            }
        }
    }
    if let Some(service) = &principal.invoked_by {
        identity.insert("invokedBy".to_owned(), service.as_str().into());
    }
    Value::Object(identity)
}

fn session_context(session: &Session, minor: u32) -> Value {
    // Before 1.09 both are there for every session, empty if need be.
    let keeps_empty = minor < 9;
    let mut context = Params::new();
    let issuer = session.issuer.as_ref().map(|issuer| json!(issuer));
    if let Some(issuer) = issuer.or_else(|| keeps_empty.then(|| json!({}))) {
        context.insert("sessionIssuer".to_owned(), issuer);
    }
    let web_identity = session
        .web_identity
        .as_ref()
        .map(|it| json!({"federatedProvider": it.federated_provider, "attributes": it.attributes}));
    if let Some(web_identity) = web_identity.or_else(|| keeps_empty.then(|| json!({}))) {
        context.insert("webIdFederationData".to_owned(), web_identity);
    }
    context.insert(
        "attributes".to_owned(),
        json!({
            "creationDate": seconds(session.created),
            "mfaAuthenticated": if session.mfa { "true" } else { "false" },
        }),
    );
    if let Some(source) = &session.source_identity {
        context.insert("sourceIdentity".to_owned(), source.as_str().into());
    }
    Value::Object(context)
}

fn kind_name(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::Root => "Root",
        PrincipalKind::IAMUser => "IAMUser",
        PrincipalKind::AssumedRole => "AssumedRole",
        PrincipalKind::FederatedUser => "FederatedUser",
        PrincipalKind::AWSAccount => "AWSAccount",
        PrincipalKind::AWSService => "AWSService",
        PrincipalKind::WebIdentityUser => "WebIdentityUser",
        PrincipalKind::SAMLUser => "SAMLUser",
    }
}

fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::super::{SessionIssuer, WebIdentity};
    use super::*;

    const ACCOUNT: &str = "111122223333";

    fn principal(kind: PrincipalKind, id: &str, arn: Option<&str>) -> Principal {
        Principal {
            kind,
            account: ACCOUNT.to_owned(),
            principal_id: id.to_owned(),
            arn: arn.map(str::to_owned),
            user_name: None,
            session: None,
            invoked_by: None,
        }
    }

    fn session() -> Session {
        Session {
            created: DateTime::from_timestamp(1_752_148_487, 0).unwrap(),
            mfa: false,
            issuer: None,
            web_identity: None,
            source_identity: None,
        }
    }

    fn check(principal: &Principal, key: Option<&str>, minor: u32, expected: &Value) {
        // Compared as text: the order of the keys counts.
        assert_eq!(
            user_identity(principal, key, minor).to_string(),
            expected.to_string()
        );
    }

    #[test]
    fn a_user_has_name_and_key() {
        let mut user = principal(
            PrincipalKind::IAMUser,
            "AIDAEXAMPLEUSER000001",
            Some("arn:aws:iam::111122223333:user/Alice"),
        );
        user.user_name = Some("Alice".to_owned());
        check(
            &user,
            Some("AKIAEXAMPLEKEY000001"),
            11,
            &json!({"type": "IAMUser", "principalId": "AIDAEXAMPLEUSER000001",
                "arn": "arn:aws:iam::111122223333:user/Alice", "accountId": ACCOUNT,
                "accessKeyId": "AKIAEXAMPLEKEY000001", "userName": "Alice"}),
        );
    }

    #[test]
    fn before_1_09_a_session_has_empty_issuer_and_federation() {
        let mut root = Principal::root(ACCOUNT, "aws");
        root.session = Some(Session {
            mfa: true,
            ..session()
        });
        let head = json!({"type": "Root", "principalId": ACCOUNT,
            "arn": "arn:aws:iam::111122223333:root", "accountId": ACCOUNT, "accessKeyId": "ASIAEXAMPLE000000001"});
        let attributes =
            json!({"creationDate": "2025-07-10T11:54:47Z", "mfaAuthenticated": "true"});
        for (minor, context) in [
            (11, json!({"attributes": attributes})),
            (
                8,
                json!({"sessionIssuer": {}, "webIdFederationData": {}, "attributes": attributes}),
            ),
        ] {
            let mut expected = head.clone();
            expected["sessionContext"] = context;
            check(&root, Some("ASIAEXAMPLE000000001"), minor, &expected);
        }
    }

    #[test]
    fn a_role_names_its_issuer_and_where_it_came_from() {
        let mut role = principal(
            PrincipalKind::AssumedRole,
            "AROAEXAMPLEROLE00001:s1",
            Some("arn:aws:sts::111122223333:assumed-role/Dev/s1"),
        );
        let mut attributes = Params::new();
        attributes.insert("accounts.example.com:aud".to_owned(), "app".into());
        role.session = Some(Session {
            issuer: Some(SessionIssuer {
                kind: "Role".to_owned(),
                principal_id: "AROAEXAMPLEROLE00001".to_owned(),
                arn: "arn:aws:iam::111122223333:role/path/Dev".to_owned(),
                account_id: ACCOUNT.to_owned(),
                user_name: Some("Dev".to_owned()),
            }),
            web_identity: Some(WebIdentity {
                federated_provider: "accounts.example.com".to_owned(),
                attributes,
            }),
            source_identity: Some("Admin".to_owned()),
            ..session()
        });
        role.invoked_by = Some("rds.amazonaws.com".to_owned());
        check(
            &role,
            None,
            11,
            &json!({"type": "AssumedRole", "principalId": "AROAEXAMPLEROLE00001:s1",
                "arn": "arn:aws:sts::111122223333:assumed-role/Dev/s1", "accountId": ACCOUNT,
                "sessionContext": {
                    "sessionIssuer": {"type": "Role", "principalId": "AROAEXAMPLEROLE00001",
                        "arn": "arn:aws:iam::111122223333:role/path/Dev", "accountId": ACCOUNT, "userName": "Dev"},
                    "webIdFederationData": {"federatedProvider": "accounts.example.com",
                        "attributes": {"accounts.example.com:aud": "app"}},
                    "attributes": {"creationDate": "2025-07-10T11:54:47Z", "mfaAuthenticated": "false"},
                    "sourceIdentity": "Admin"},
                "invokedBy": "rds.amazonaws.com"}),
        );
    }

    #[test]
    fn callers_without_credentials_of_the_account() {
        let mut anonymous = principal(PrincipalKind::AWSAccount, "", None);
        anonymous.account = "ANONYMOUS_PRINCIPAL".to_owned();
        check(
            &anonymous,
            None,
            11,
            &json!({"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}),
        );
        let mut service = principal(PrincipalKind::AWSService, "", None);
        service.invoked_by = Some("cloudtrail.amazonaws.com".to_owned());
        check(
            &service,
            None,
            11,
            &json!({"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}),
        );
        let mut web = principal(
            PrincipalKind::WebIdentityUser,
            "accounts.example.com:app:user",
            None,
        );
        web.user_name = Some("user".to_owned());
        web.session = Some(Session {
            web_identity: Some(WebIdentity {
                federated_provider: "accounts.example.com".to_owned(),
                attributes: Params::new(),
            }),
            ..session()
        });
        check(
            &web,
            None,
            11,
            &json!({"type": "WebIdentityUser", "principalId": "accounts.example.com:app:user",
                "userName": "user", "identityProvider": "accounts.example.com"}),
        );
    }
}
