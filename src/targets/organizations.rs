//! The organization that an account is in, from Organizations at the upstream or from configuration.

use serde_json::{Value, json};

use super::{JsonCall, TargetError, Targets};

/// CloudTrail as a service that an organization trusts.
const PRINCIPAL: &str = "cloudtrail.amazonaws.com";
/// Organizations is a global service.
const REGION: &str = "us-east-1";

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// `o-exampleorgid`
    pub id: String,
    pub management_account: String,
    /// All of its accounts, the management account included.
    pub accounts: Vec<String>,
    pub all_features: bool,
    /// CloudTrail has trusted access.
    pub trusts_cloudtrail: bool,
    /// CloudTrail's delegated administrators; `None` where nobody else keeps them, so that localtrail does.
    pub delegated: Option<Vec<String>>,
}

impl Targets {
    /// The organization of `account`, if it is in one. A service that is there but knows nothing of organizations
    /// counts as none.
    pub async fn organization(&self, account: &str) -> Result<Option<Organization>, TargetError> {
        if let Some(configured) = &self.0.endpoints.organization {
            let accounts: Vec<String> = std::iter::once(&configured.management_account)
                .chain(&configured.member_accounts)
                .cloned()
                .collect();
            return Ok(accounts
                .iter()
                .any(|it| it == account)
                .then(|| Organization {
                    id: configured.id.clone(),
                    management_account: configured.management_account.clone(),
                    accounts,
                    all_features: true,
                    trusts_cloudtrail: true,
                    delegated: None,
                }));
        }
        if self.0.endpoints.organizations.is_none() {
            return Ok(None);
        }
        let described = match self
            .organizations(account, "DescribeOrganization", &json!({}))
            .await
        {
            Ok(described) => described,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => return Ok(None),
        };
        let described = &described["Organization"];
        let (Some(id), Some(management)) = (
            described["Id"].as_str(),
            described["MasterAccountId"].as_str(),
        ) else {
            return Ok(None);
        };
        let none = json!({});
        let of_cloudtrail = json!({ "ServicePrincipal": PRINCIPAL });
        let accounts = self
            .list(management, ("ListAccounts", &none), ("Accounts", "Id"))
            .await?;
        let services = ("EnabledServicePrincipals", "ServicePrincipal");
        let trusted = self
            .list(
                management,
                ("ListAWSServiceAccessForOrganization", &none),
                services,
            )
            .await?;
        let asked = self
            .list(
                management,
                ("ListDelegatedAdministrators", &of_cloudtrail),
                ("DelegatedAdministrators", "Id"),
            )
            .await;
        let delegated = match asked {
            Ok(delegated) => Some(delegated),
            Err(error) if error.is_transient() => return Err(error),
            // moto does not know CloudTrail as a service that can be delegated.
            Err(_) => None,
        };
        if !accounts.iter().any(|it| it == account) {
            return Ok(None);
        }
        Ok(Some(Organization {
            id: id.to_owned(),
            management_account: management.to_owned(),
            accounts,
            all_features: described["FeatureSet"] == "ALL",
            trusts_cloudtrail: trusted.iter().any(|it| it == PRINCIPAL),
            delegated,
        }))
    }

    /// Makes `account` a delegated administrator of CloudTrail at the upstream, or no longer one.
    pub async fn delegate(
        &self,
        organization: &Organization,
        account: &str,
        is_delegated: bool,
    ) -> Result<(), TargetError> {
        let operation = match is_delegated {
            true => "RegisterDelegatedAdministrator",
            false => "DeregisterDelegatedAdministrator",
        };
        let input = json!({ "AccountId": account, "ServicePrincipal": PRINCIPAL });
        self.organizations(&organization.management_account, operation, &input)
            .await
            .map(drop)
    }

    /// One member of each element of a list, from all its pages.
    async fn list(
        &self,
        account: &str,
        (operation, input): (&'static str, &Value),
        (list, member): (&str, &str),
    ) -> Result<Vec<String>, TargetError> {
        let mut found = Vec::new();
        let mut input = input.clone();
        loop {
            let mut page = self.organizations(account, operation, &input).await?;
            let elements = page[list].as_array().into_iter().flatten();
            found.extend(
                elements
                    .filter_map(|it| it[member].as_str())
                    .map(ToOwned::to_owned),
            );
            let next = page["NextToken"].take();
            if next.is_null() || next == input["NextToken"] {
                return Ok(found);
            }
            input["NextToken"] = next;
        }
    }

    async fn organizations(
        &self,
        account: &str,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, TargetError> {
        let call = JsonCall {
            service: "organizations",
            operation,
            endpoint: self.0.endpoints.organizations.as_ref(),
            account,
            region: REGION,
        };
        self.call_json(call, input).await
    }
}
