//! Organization trails, and who may make and change them (facts 2.8).
//!
//! A trail of an organization belongs to its management account, whoever made it, and logs all accounts. The others see
//! it as they see shadows, by its ARN, and cannot change it; CloudTrail's delegated administrators can. Which accounts
//! are in the organization is asked when the trail is made or updated, and is what it logs until the next time.

use serde::Deserialize;

use super::error::{Error, Result};
use super::forms::TrailName;
use super::trails::Reach;
use super::{Cx, Empty};
use crate::store::Trail;
use crate::targets::Organization;

/// Delegated administrators that an organization may have.
const DELEGATED: usize = 3;

/// The organization of the caller.
async fn organization(cx: &Cx) -> Result<Organization> {
    let unreachable = |error| Error::target_unreachable("organization", error);
    let found = cx.targets.organization(&cx.account).await;
    found
        .map_err(unreachable)?
        .ok_or_else(Error::no_organization)
}

async fn delegated(cx: &Cx, organization: &Organization) -> Result<Vec<String>> {
    match &organization.delegated {
        Some(delegated) => Ok(delegated.clone()),
        None => Ok(cx.store.delegated_administrators(&organization.id).await?),
    }
}

fn check_ready(organization: &Organization) -> Result<()> {
    if !organization.all_features {
        return Err(Error::organization_without_all_features());
    }
    if !organization.trusts_cloudtrail {
        return Err(Error::no_trusted_access());
    }
    Ok(())
}

/// The organization whose trails the caller may make and change.
pub(super) async fn administered(cx: &Cx) -> Result<Organization> {
    let organization = organization(cx).await?;
    if organization.management_account != cx.account
        && !delegated(cx, &organization).await?.contains(&cx.account)
    {
        return Err(Error::not_master_account());
    }
    check_ready(&organization)?;
    Ok(organization)
}

/// What UpdateTrail makes of `trail`: one of the organization given, one of its own account again (`Some(None)`), or
/// what it was. Only the management account turns one into the other.
pub(super) async fn change(
    cx: &Cx,
    trail: &Trail,
    wanted: Option<bool>,
) -> Result<Option<Option<Organization>>> {
    let is = trail.organization_id.is_some();
    let wanted = wanted.unwrap_or(is);
    if !is && !wanted {
        return Ok(None);
    }
    let organization = administered(cx).await?;
    if is != wanted && organization.management_account != cx.account {
        return Err(Error::not_master_account());
    }
    Ok(Some(wanted.then_some(organization)))
}

/// Writes down of which organization a trail is.
pub(super) async fn put(
    cx: &Cx,
    trail: &mut Trail,
    organization: Option<Organization>,
) -> Result<()> {
    let of = organization
        .as_ref()
        .map(|organization| (organization.id.as_str(), organization.accounts.as_slice()));
    cx.store.trail_organization_put(trail.id, of).await?;
    trail.organization_id = organization.map(|organization| organization.id);
    Ok(())
}

/// The organization trail of another account that the caller, one of its accounts, means by an ARN. `None` where the ARN
/// is the caller's own, or of a trail that the caller cannot see.
pub(super) async fn trail_by_arn(cx: &Cx, text: &str, reach: Reach) -> Result<Option<Trail>> {
    let TrailName::Arn { arn, name } = TrailName::parse(text)? else {
        return Ok(None);
    };
    if arn.account == cx.account {
        return Ok(None);
    }
    let Some(trail) = cx.store.trail_get(arn.account, arn.region, name).await? else {
        return Ok(None);
    };
    let Some(id) = &trail.organization_id else {
        return Ok(None);
    };
    if !cx
        .store
        .organization_accounts(id)
        .await?
        .contains(&cx.account)
    {
        return Ok(None);
    }
    match reach {
        Reach::Home => {
            // It may have left the one that the trail is of, and administer another.
            if administered(cx).await?.id != *id {
                return Ok(None);
            }
            match arn.region == cx.region {
                true => Ok(Some(trail)),
                false => Err(Error::home_region(text, arn.region)),
            }
        }
        Reach::Shadow => Ok(Some(trail).filter(|trail| trail.covers(&cx.region))),
        Reach::Anywhere => Ok(Some(trail)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RegisterInput {
    member_account_id: String,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_RegisterOrganizationDelegatedAdmin.html>
pub(super) async fn register_organization_delegated_admin(
    cx: Cx,
    input: RegisterInput,
) -> Result<Empty> {
    let account = input.member_account_id;
    let organization = managed(&cx, &account).await?;
    if account == organization.management_account {
        return Err(Error::cannot_delegate_management_account());
    }
    let delegated = delegated(&cx, &organization).await?;
    if delegated.contains(&account) {
        return Err(Error::account_registered(&account));
    }
    if delegated.len() >= DELEGATED {
        return Err(Error::too_many_delegated(DELEGATED));
    }
    delegate(&cx, &organization, &account, true).await
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeregisterInput {
    delegated_admin_account_id: String,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_DeregisterOrganizationDelegatedAdmin.html>
pub(super) async fn deregister_organization_delegated_admin(
    cx: Cx,
    input: DeregisterInput,
) -> Result<Empty> {
    let account = input.delegated_admin_account_id;
    let organization = managed(&cx, &account).await?;
    if !delegated(&cx, &organization).await?.contains(&account) {
        return Err(Error::account_not_registered(&account));
    }
    delegate(&cx, &organization, &account, false).await
}

/// The organization that the caller manages and `account` is in.
async fn managed(cx: &Cx, account: &String) -> Result<Organization> {
    let organization = organization(cx).await?;
    if organization.management_account != cx.account {
        return Err(Error::not_management_account());
    }
    check_ready(&organization)?;
    match organization.accounts.contains(account) {
        true => Ok(organization),
        false => Err(Error::account_not_found(account)),
    }
}

async fn delegate(
    cx: &Cx,
    organization: &Organization,
    account: &str,
    is_delegated: bool,
) -> Result<Empty> {
    let id = &organization.id;
    match (&organization.delegated, is_delegated) {
        (Some(_), _) => cx
            .targets
            .delegate(organization, account, is_delegated)
            .await
            .map_err(|error| Error::target_unreachable("organization", error))?,
        (None, true) => cx.store.delegated_administrator_put(id, account).await?,
        (None, false) => cx.store.delegated_administrator_delete(id, account).await?,
    }
    Ok(Empty {})
}
