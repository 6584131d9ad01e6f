//! The embedded STS: who am I, and temporary credentials.
//!
//! Any role may be assumed by anyone, whether it exists or not; tokens of identity providers are read and not
//! verified. Credentials are made up and not kept: the front learns them from the answers, as it does from those of
//! any STS. The rule: the same role has the same unique id every time.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use s3s::crypto::{Checksum, Sha1};
use serde::{Deserialize, Serialize};

use super::operations::Operations;
use super::{Caller, Error};
use crate::aws::Params;
use crate::aws::arn::{Arn, partition};
use crate::aws::jwt::{self, Claims};
use crate::aws::saml::Assertion;
use crate::clock::{Clock, Ids, alphabet};
use crate::store::Store;

const HOUR_S: i64 = 3600;

/// The embedded STS. Clones share everything.
#[derive(Clone, Debug)]
pub struct Sts {
    store: Store,
    clock: Clock,
    ids: Ids,
}

/// DecodeAuthorizationMessage and AssumeRoot are missing: nothing here encodes a message or has an organization.
static OPERATIONS: LazyLock<Operations<Sts>> = LazyLock::new(|| {
    Operations::new("STS")
        .on("AssumeRole", assume_role)
        .on("AssumeRoleWithSAML", assume_role_with_saml)
        .on("AssumeRoleWithWebIdentity", assume_role_with_web_identity)
        .on("GetAccessKeyInfo", get_access_key_info)
        .on("GetCallerIdentity", get_caller_identity)
        .on("GetFederationToken", get_federation_token)
        .on("GetSessionToken", get_session_token)
});

impl Sts {
    pub fn new(store: Store, clock: Clock, ids: Ids) -> Self {
        Self { store, clock, ids }
    }

    /// Runs an operation: `params` and the answer are by the model's member names.
    pub async fn call(
        &self,
        caller: &Caller,
        operation: &str,
        params: &Params,
    ) -> Result<Params, Error> {
        OPERATIONS
            .call(self.clone(), caller, operation, params)
            .await
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

impl Sts {
    fn credentials(&self, account: &str, duration_s: i64) -> Credentials {
        Credentials {
            access_key_id: access_key(account, self.ids.uuid().as_u128()),
            secret_access_key: self.ids.text(40, alphabet::ALPHANUMERIC),
            session_token: format!(
                "IQoJb3JpZ2luX2Vj{}",
                self.ids.text(340, alphabet::ALPHANUMERIC)
            ),
            expiration: self.clock.now().timestamp() + duration_s,
        }
    }

    async fn assumed(&self, role: &Role<'_>, session: &str) -> Result<AssumedRoleUser, Error> {
        let candidate = format!("AROA{}", self.ids.text(17, alphabet::BASE32));
        let role_id = self.store.role_id(role.text, &candidate).await;
        let role_id = role_id.map_err(Error::internal)?;
        let Role { arn, name, .. } = role;
        let resource = format!("assumed-role/{name}/{session}");
        let arn = Arn {
            service: "sts",
            resource: &resource,
            ..*arn
        };
        Ok(AssumedRoleUser {
            assumed_role_id: format!("{role_id}:{session}"),
            arn: arn.to_string(),
        })
    }
}

/// A role by its ARN.
struct Role<'a> {
    text: &'a str,
    arn: Arn<'a>,
    /// Without its path.
    name: &'a str,
}

impl<'a> Role<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let invalid = || Error::new("ValidationError", "Request ARN is invalid");
        let arn = Arn::parse(text).ok_or_else(invalid)?;
        let is_account = arn.account.len() == 12 && arn.account.bytes().all(|b| b.is_ascii_digit());
        let path = arn.resource.strip_prefix("role/").ok_or_else(invalid)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        if arn.service != "iam" || !arn.region.is_empty() || !is_account || name.is_empty() {
            return Err(invalid());
        }
        Ok(Self { text, arn, name })
    }
}

/// An access key of a session, which tells its account as AWS's own do: bits 39 to 78 of the 80 after `ASIA`.
fn access_key(account: &str, random: u128) -> String {
    let account: u128 = account.parse().unwrap_or_default();
    let bits = (1 << 79) | ((account & ((1 << 40) - 1)) << 39) | (random & ((1 << 39) - 1));
    let digits = (0..16).rev().map(|place| {
        let digit = usize::try_from((bits >> (place * 5)) & 31).unwrap_or_default();
        char::from(alphabet::BASE32.get(digit).copied().unwrap_or(b'A'))
    });
    "ASIA".chars().chain(digits).collect()
}

/// The account that an access key tells; `None`: it is not a key of AWS's form.
fn account_of(access_key: &str) -> Option<String> {
    let digits = access_key.get(4..).filter(|digits| digits.len() == 16)?;
    let bits = digits.bytes().try_fold(0_u128, |bits, digit| {
        let value = alphabet::BASE32.iter().position(|known| *known == digit)?;
        Some(bits << 5 | value as u128)
    })?;
    let account = (bits >> 39) & ((1 << 40) - 1);
    (account < 1_000_000_000_000).then(|| format!("{account:012}"))
}

/// Constraints that the input does not satisfy, worded and gathered as AWS does.
#[derive(Default)]
struct Checks(Vec<String>);

impl Checks {
    fn fail(&mut self, value: &str, member: &str, constraint: &str) {
        self.0.push(format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
        ));
    }

    /// A name of `least` to `most` characters out of `[\w+=,.@-]`.
    fn name(&mut self, value: &str, member: &str, least: usize, most: usize) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
        if !value.chars().all(is_plain) {
            self.fail(
                value,
                member,
                r"satisfy regular expression pattern: [\w+=,.@-]*",
            );
        }
        self.length(value, member, least, most);
    }

    fn length(&mut self, value: &str, member: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if length < least {
            let constraint = format!("have length greater than or equal to {least}");
            self.fail(value, member, &constraint);
        }
        if length > most {
            let constraint = format!("have length less than or equal to {most}");
            self.fail(value, member, &constraint);
        }
    }

    /// DurationSeconds: from 900 to `most`.
    fn duration(&mut self, value: i64, most: i64) {
        let member = "durationSeconds";
        if value < 900 {
            self.fail(
                &value.to_string(),
                member,
                "have value greater than or equal to 900",
            );
        }
        if value > most {
            let constraint = format!("have value less than or equal to {most}");
            self.fail(&value.to_string(), member, &constraint);
        }
    }

    fn finish(self) -> Result<(), Error> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        let failures = self.0.join("; ");
        let message = format!("{count} validation error{plural} detected: {failures}");
        Err(Error::new("ValidationError", message))
    }
}

#[derive(Debug, Deserialize)]
struct GetCallerIdentityInput {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetCallerIdentityOutput {
    user_id: String,
    account: String,
    arn: String,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>
async fn get_caller_identity(
    _: Sts,
    caller: Caller,
    _: GetCallerIdentityInput,
) -> Result<GetCallerIdentityOutput, Error> {
    let partition = partition(&caller.region);
    let root = || format!("arn:{partition}:iam::{}:root", caller.account);
    Ok(GetCallerIdentityOutput {
        arn: caller.arn.clone().unwrap_or_else(root),
        user_id: caller.principal_id,
        account: caller.account,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleInput {
    #[serde(default)]
    role_arn: String,
    #[serde(default)]
    role_session_name: String,
    duration_seconds: Option<i64>,
    source_identity: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleOutput {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
async fn assume_role(
    sts: Sts,
    _: Caller,
    input: AssumeRoleInput,
) -> Result<AssumeRoleOutput, Error> {
    let duration_s = input.duration_seconds.unwrap_or(HOUR_S);
    let session = &input.role_session_name;
    let mut checks = Checks::default();
    checks.name(session, "roleSessionName", 2, 64);
    checks.length(&input.role_arn, "roleArn", 20, 2048);
    checks.duration(duration_s, 12 * HOUR_S);
    if let Some(identity) = &input.source_identity {
        checks.name(identity, "sourceIdentity", 2, 64);
    }
    checks.finish()?;
    let role = Role::parse(&input.role_arn)?;
    Ok(AssumeRoleOutput {
        credentials: sts.credentials(role.arn.account, duration_s),
        assumed_role_user: sts.assumed(&role, session).await?,
        source_identity: input.source_identity,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithWebIdentityInput {
    #[serde(default)]
    role_arn: String,
    #[serde(default)]
    role_session_name: String,
    #[serde(default)]
    web_identity_token: String,
    duration_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithWebIdentityOutput {
    credentials: Credentials,
    subject_from_web_identity_token: String,
    assumed_role_user: AssumedRoleUser,
    provider: String,
    audience: String,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
async fn assume_role_with_web_identity(
    sts: Sts,
    _: Caller,
    input: AssumeRoleWithWebIdentityInput,
) -> Result<AssumeRoleWithWebIdentityOutput, Error> {
    let duration_s = input.duration_seconds.unwrap_or(HOUR_S);
    let session = &input.role_session_name;
    let mut checks = Checks::default();
    checks.name(session, "roleSessionName", 2, 64);
    checks.length(&input.role_arn, "roleArn", 20, 2048);
    checks.length(&input.web_identity_token, "webIdentityToken", 4, 20_000);
    checks.duration(duration_s, 12 * HOUR_S);
    checks.finish()?;
    let role = Role::parse(&input.role_arn)?;
    let claims = Claims::parse(&input.web_identity_token).ok_or_else(|| {
        Error::new(
            "InvalidIdentityToken",
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        )
    })?;
    Ok(AssumeRoleWithWebIdentityOutput {
        credentials: sts.credentials(role.arn.account, duration_s),
        subject_from_web_identity_token: claims.subject,
        assumed_role_user: sts.assumed(&role, session).await?,
        provider: jwt::provider(&claims.issuer, role.arn.account, role.arn.partition),
        audience: claims.audience,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithSamlInput {
    #[serde(default)]
    role_arn: String,
    #[serde(default)]
    principal_arn: String,
    #[serde(default, rename = "SAMLAssertion")]
    saml_assertion: String,
    duration_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleWithSamlOutput {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
    subject: String,
    subject_type: String,
    issuer: String,
    audience: String,
    name_qualifier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_identity: Option<String>,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html>
async fn assume_role_with_saml(
    sts: Sts,
    _: Caller,
    input: AssumeRoleWithSamlInput,
) -> Result<AssumeRoleWithSamlOutput, Error> {
    let duration_s = input.duration_seconds.unwrap_or(HOUR_S);
    let mut checks = Checks::default();
    checks.length(&input.role_arn, "roleArn", 20, 2048);
    checks.length(&input.principal_arn, "principalArn", 20, 2048);
    checks.length(&input.saml_assertion, "sAMLAssertion", 4, 100_000);
    checks.duration(duration_s, 12 * HOUR_S);
    checks.finish()?;
    let role = Role::parse(&input.role_arn)?;
    let invalid = || Error::new("InvalidIdentityToken", "Invalid SAML response");
    let assertion = Assertion::read(&input.saml_assertion).ok_or_else(invalid)?;
    let provider = input.principal_arn.rsplit('/').next().unwrap_or_default();
    let account = role.arn.account;
    Ok(AssumeRoleWithSamlOutput {
        credentials: sts.credentials(account, duration_s),
        assumed_role_user: sts.assumed(&role, &assertion.session).await?,
        name_qualifier: name_qualifier(&assertion.issuer, account, provider),
        subject: assertion.subject,
        subject_type: assertion.subject_type,
        issuer: assertion.issuer,
        audience: assertion.recipient,
        source_identity: assertion.source_identity,
    })
}

/// `BASE64 ( SHA1 ( "https://example.com/saml" + "123456789012" + "/MySAMLIdP" ) )`, as AWS documents it.
fn name_qualifier(issuer: &str, account: &str, provider: &str) -> String {
    let text = format!("{issuer}{account}/{provider}");
    BASE64_STANDARD.encode(Sha1::checksum(text.as_bytes()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetSessionTokenInput {
    duration_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetSessionTokenOutput {
    credentials: Credentials,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>
async fn get_session_token(
    sts: Sts,
    caller: Caller,
    input: GetSessionTokenInput,
) -> Result<GetSessionTokenOutput, Error> {
    let duration_s = input.duration_seconds.unwrap_or(12 * HOUR_S);
    let mut checks = Checks::default();
    checks.duration(duration_s, 36 * HOUR_S);
    checks.finish()?;
    Ok(GetSessionTokenOutput {
        credentials: sts.credentials(&caller.account, duration_s),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetFederationTokenInput {
    #[serde(default)]
    name: String,
    duration_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetFederationTokenOutput {
    credentials: Credentials,
    federated_user: FederatedUser,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FederatedUser {
    federated_user_id: String,
    arn: String,
}

/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>
async fn get_federation_token(
    sts: Sts,
    caller: Caller,
    input: GetFederationTokenInput,
) -> Result<GetFederationTokenOutput, Error> {
    let duration_s = input.duration_seconds.unwrap_or(12 * HOUR_S);
    let name = &input.name;
    let mut checks = Checks::default();
    checks.name(name, "name", 2, 32);
    checks.duration(duration_s, 36 * HOUR_S);
    checks.finish()?;
    let account = &caller.account;
    let partition = partition(&caller.region);
    Ok(GetFederationTokenOutput {
        credentials: sts.credentials(account, duration_s),
        federated_user: FederatedUser {
            federated_user_id: format!("{account}:{name}"),
            arn: format!("arn:{partition}:sts::{account}:federated-user/{name}"),
        },
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetAccessKeyInfoInput {
    #[serde(default)]
    access_key_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetAccessKeyInfoOutput {
    account: String,
}

/// Of a key that does not tell its account, the caller's.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html>
async fn get_access_key_info(
    _: Sts,
    caller: Caller,
    input: GetAccessKeyInfoInput,
) -> Result<GetAccessKeyInfoOutput, Error> {
    let mut checks = Checks::default();
    checks.length(&input.access_key_id, "accessKeyId", 16, 128);
    checks.finish()?;
    Ok(GetAccessKeyInfoOutput {
        account: account_of(&input.access_key_id).unwrap_or(caller.account),
    })
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use chrono::DateTime;
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    const ROLE: &str = "arn:aws:iam::444455556666:role/path/Auditor";

    async fn sts() -> (Sts, TempDir) {
        let folder = TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("db"), crate::store::Lifetime::Temporary)
            .await
            .unwrap();
        let clock = Clock::frozen(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        (Sts::new(store, clock, Ids::seeded(1)), folder)
    }

    async fn call(sts: &Sts, operation: &str, params: Value) -> Result<Value, Error> {
        let caller = Caller {
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
            principal_id: "AIDAEXAMPLE".to_owned(),
            arn: None,
            access_key: None,
        };
        let params: Params = serde_json::from_value(params).unwrap();
        sts.call(&caller, operation, &params)
            .await
            .map(Value::Object)
    }

    #[tokio::test]
    async fn callers_learn_who_they_are() {
        let (sts, _folder) = sts().await;
        let identity = call(&sts, "GetCallerIdentity", json!({})).await.unwrap();
        assert_eq!(
            identity,
            json!({
                "UserId": "AIDAEXAMPLE",
                "Account": "111122223333",
                "Arn": "arn:aws:iam::111122223333:root",
            })
        );
    }

    #[tokio::test]
    async fn an_assumed_role_keeps_its_id() {
        let (sts, _folder) = sts().await;
        let assume = |session: &str| json!({"RoleArn": ROLE, "RoleSessionName": session});
        let first = call(&sts, "AssumeRole", assume("one")).await.unwrap();
        let second = call(&sts, "AssumeRole", assume("two")).await.unwrap();
        let user = &first["AssumedRoleUser"];
        assert_eq!(
            user["Arn"],
            "arn:aws:sts::444455556666:assumed-role/Auditor/one"
        );
        let id = |answer: &Value| {
            let id = answer["AssumedRoleUser"]["AssumedRoleId"].as_str();
            id.unwrap().split_once(':').unwrap().0.to_owned()
        };
        assert_eq!(id(&first), id(&second));
        assert!(id(&first).starts_with("AROA") && id(&first).len() == 21);
        let credentials = &first["Credentials"];
        assert_eq!(credentials["Expiration"], 1_800_003_600);
        let length = |name: &str| credentials[name].as_str().unwrap().len();
        assert_eq!((length("AccessKeyId"), length("SecretAccessKey")), (20, 40));
        assert!(length("SessionToken") > 300);
        let key = json!({"AccessKeyId": credentials["AccessKeyId"]});
        let account = call(&sts, "GetAccessKeyInfo", key).await.unwrap();
        assert_eq!(account, json!({"Account": "444455556666"}));
    }

    #[tokio::test]
    async fn constraints_are_worded_as_aws_words_them() {
        let (sts, _folder) = sts().await;
        let rows = [
            (
                json!({"RoleArn": ROLE, "RoleSessionName": "a b"}),
                r"1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
            ),
            (
                json!({"RoleArn": ROLE, "RoleSessionName": "a", "DurationSeconds": 899}),
                "2 validation errors detected: Value 'a' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2; Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900",
            ),
            (
                json!({"RoleArn": ROLE, "RoleSessionName": "ab", "DurationSeconds": 43_201}),
                "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200",
            ),
            (
                json!({"RoleArn": "role", "RoleSessionName": "ab"}),
                "1 validation error detected: Value 'role' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20",
            ),
            (
                json!({"RoleArn": "arn:aws:iam::444455556666:user/Auditor", "RoleSessionName": "ab"}),
                "Request ARN is invalid",
            ),
        ];
        for (params, message) in rows {
            let error = call(&sts, "AssumeRole", params).await.unwrap_err();
            assert_eq!(
                (error.code.as_ref(), error.status),
                ("ValidationError", 400)
            );
            assert_eq!(error.message, message);
        }
    }

    #[tokio::test]
    async fn sessions_of_users_last_half_a_day() {
        let (sts, _folder) = sts().await;
        let session = call(&sts, "GetSessionToken", json!({})).await.unwrap();
        assert_eq!(session["Credentials"]["Expiration"], 1_800_043_200);
        let federated = call(&sts, "GetFederationToken", json!({"Name": "bob"})).await;
        assert_eq!(
            federated.unwrap()["FederatedUser"],
            json!({
                "FederatedUserId": "111122223333:bob",
                "Arn": "arn:aws:sts::111122223333:federated-user/bob",
            })
        );
        let long = json!({"Name": "b".repeat(33)});
        assert!(call(&sts, "GetFederationToken", long).await.is_err());
        let days = json!({"DurationSeconds": 129_601});
        assert!(call(&sts, "GetSessionToken", days).await.is_err());
    }

    #[tokio::test]
    async fn a_web_identity_is_read_from_its_token() {
        let (sts, _folder) = sts().await;
        let claims = json!({"iss": "https://id.example.com", "sub": "u-1", "aud": ["app"]});
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let assume = |token: String| json!({"RoleArn": ROLE, "RoleSessionName": "web", "WebIdentityToken": token});
        let answer = call(
            &sts,
            "AssumeRoleWithWebIdentity",
            assume(format!("e30.{claims}.c2ln")),
        );
        let answer = answer.await.unwrap();
        for (name, value) in [
            ("SubjectFromWebIdentityToken", "u-1"),
            (
                "Provider",
                "arn:aws:iam::444455556666:oidc-provider/id.example.com",
            ),
            ("Audience", "app"),
        ] {
            assert_eq!(answer[name], value, "{name}");
        }
        for bad in ["nothing", "a.b.c", "e30.e30.e30"] {
            let error = call(&sts, "AssumeRoleWithWebIdentity", assume(bad.to_owned())).await;
            assert_eq!(error.unwrap_err().code, "InvalidIdentityToken", "{bad}");
        }
    }

    #[tokio::test]
    async fn a_saml_response_names_the_session() {
        let (sts, _folder) = sts().await;
        let response = r#"<samlp:Response xmlns:samlp="p" xmlns:saml="a"><saml:Assertion>
            <saml:Issuer>https://example.com/saml</saml:Issuer>
            <saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">bob</saml:NameID>
            <saml:SubjectConfirmation><saml:SubjectConfirmationData Recipient="https://signin.aws.amazon.com/saml"/>
            </saml:SubjectConfirmation></saml:Subject><saml:AttributeStatement>
            <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role">
            <saml:AttributeValue>other</saml:AttributeValue></saml:Attribute>
            <saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/RoleSessionName">
            <saml:AttributeValue>bob@example.com</saml:AttributeValue></saml:Attribute>
            </saml:AttributeStatement></saml:Assertion></samlp:Response>"#;
        let assume = |assertion: &[u8]| {
            json!({
                "RoleArn": ROLE,
                "PrincipalArn": "arn:aws:iam::444455556666:saml-provider/MySAMLIdP",
                "SAMLAssertion": BASE64_STANDARD.encode(assertion),
            })
        };
        let answer = call(&sts, "AssumeRoleWithSAML", assume(response.as_bytes())).await;
        let answer = answer.unwrap();
        for (name, value) in [
            ("Subject", "bob"),
            ("SubjectType", "persistent"),
            ("Issuer", "https://example.com/saml"),
            ("Audience", "https://signin.aws.amazon.com/saml"),
        ] {
            assert_eq!(answer[name], value, "{name}");
        }
        assert_eq!(
            answer["AssumedRoleUser"]["Arn"],
            "arn:aws:sts::444455556666:assumed-role/Auditor/bob@example.com"
        );
        for bad in [&b"<a/>"[..], b"<a", b"\xff\xff\xff\xff"] {
            let error = call(&sts, "AssumeRoleWithSAML", assume(bad)).await;
            assert_eq!(error.unwrap_err().code, "InvalidIdentityToken");
        }
    }

    #[tokio::test]
    async fn what_nothing_encoded_is_not_decoded() {
        let (sts, _folder) = sts().await;
        let params = json!({"EncodedMessage": "x"});
        let error = call(&sts, "DecodeAuthorizationMessage", params).await;
        assert_eq!(error.unwrap_err().code, "NotImplemented");
    }
}
