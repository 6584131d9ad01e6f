//! Organization trails: whose they are, who sees them, what they log, where it goes.

use aws_sdk_cloudtrail::error::ProvideErrorMetadata;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::stub::{Call, Stub, error};
use crate::support::{ACCOUNT, REGION, TestApp, names};

const MEMBER: &str = "444455556666";
const OTHER: &str = "777788889999";
const STRANGER: &str = "123412341234";
const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/all";
const OPTION: &str = "--organization o-exampleorgid:111122223333,444455556666,777788889999";

/// An organization trail `all` that logs.
async fn organization_trail(app: &TestApp) {
    app.bucket("logs").await;
    let sdk = app.sdk();
    let made = sdk
        .create_trail()
        .name("all")
        .s3_bucket_name("logs")
        .is_multi_region_trail(true)
        .is_organization_trail(true)
        .send()
        .await
        .unwrap();
    assert_eq!(made.trail_arn(), Some(ARN));
    assert_eq!(made.is_organization_trail(), Some(true));
    sdk.start_logging().name("all").send().await.unwrap();
}

#[tokio::test]
async fn every_account_is_logged_below_the_organization() {
    let app = TestApp::with(OPTION).await;
    organization_trail(&app).await;
    for account in [MEMBER, STRANGER] {
        app.sdk_of(account, "eu-west-1")
            .list_trails()
            .send()
            .await
            .unwrap();
    }
    app.advance(TimeDelta::minutes(5)).await;
    let files = app.log_files("logs").await;
    let found: Vec<_> = files
        .iter()
        .map(|(key, records)| (key.rsplit_once("/2026/").unwrap().0, names(records)))
        .collect();
    assert_eq!(
        found,
        [
            (
                "AWSLogs/o-exampleorgid/111122223333/CloudTrail/us-east-1",
                vec!["StartLogging"]
            ),
            (
                "AWSLogs/o-exampleorgid/444455556666/CloudTrail/eu-west-1",
                vec!["ListTrails"]
            ),
        ]
    );
}

#[tokio::test]
async fn members_see_the_trail_and_cannot_change_it() {
    let app = TestApp::with(OPTION).await;
    organization_trail(&app).await;
    let member = app.sdk_of(MEMBER, REGION);
    for (shadows, seen) in [(true, 1), (false, 0)] {
        let described = member.describe_trails().include_shadow_trails(shadows);
        let trails = described.send().await.unwrap().trail_list.unwrap();
        assert_eq!(trails.len(), seen);
        assert!(trails.iter().all(|trail| trail.trail_arn() == Some(ARN)
            && trail.is_organization_trail() == Some(true)
            && trail.home_region() == Some(REGION)));
    }
    let status = member.get_trail_status().name(ARN).send().await.unwrap();
    assert_eq!(status.is_logging(), Some(true));
    member.get_trail().name(ARN).send().await.unwrap();
    // By its name it is nobody's here.
    assert!(member.get_trail().name("all").send().await.is_err());
    let stopped = member.stop_logging().name(ARN).send().await.unwrap_err();
    assert_eq!(
        stopped.code(),
        Some("NotOrganizationMasterAccountException")
    );
    let deleted = member.delete_trail().name(ARN).send().await.unwrap_err();
    assert_eq!(
        deleted.code(),
        Some("NotOrganizationMasterAccountException")
    );
    let stranger = app.sdk_of(STRANGER, REGION);
    let stopped = stranger.stop_logging().name(ARN).send().await.unwrap_err();
    assert_eq!(stopped.code(), Some("TrailNotFoundException"));
    let described = stranger.describe_trails().send().await.unwrap();
    assert!(described.trail_list().is_empty());
}

#[tokio::test]
async fn only_those_who_administer_an_organization_make_its_trails() {
    let app = TestApp::with(OPTION).await;
    let alone = TestApp::new().await;
    for (app, account, code) in [
        (&app, MEMBER, "NotOrganizationMasterAccountException"),
        (&app, STRANGER, "OrganizationsNotInUseException"),
        (&alone, ACCOUNT, "OrganizationsNotInUseException"),
    ] {
        let made = app.sdk_of(account, REGION).create_trail();
        let made = made
            .name("all")
            .s3_bucket_name("logs")
            .is_organization_trail(true);
        assert_eq!(made.send().await.unwrap_err().code(), Some(code));
    }

    // A delegated administrator makes it for the management account, and may change it.
    app.bucket("logs").await;
    app.sdk()
        .register_organization_delegated_admin()
        .member_account_id(MEMBER)
        .send()
        .await
        .unwrap();
    let delegated = app.sdk_of(MEMBER, REGION);
    let made = delegated
        .create_trail()
        .name("all")
        .s3_bucket_name("logs")
        .is_organization_trail(true);
    assert_eq!(made.send().await.unwrap().trail_arn(), Some(ARN));
    delegated.start_logging().name(ARN).send().await.unwrap();
    let back = delegated
        .update_trail()
        .name(ARN)
        .is_organization_trail(false);
    assert_eq!(
        back.send().await.unwrap_err().code(),
        Some("NotOrganizationMasterAccountException")
    );
    let back = app
        .sdk()
        .update_trail()
        .name("all")
        .is_organization_trail(false);
    assert_eq!(
        back.send().await.unwrap().is_organization_trail(),
        Some(false)
    );
    assert!(delegated.get_trail().name(ARN).send().await.is_err());
}

#[tokio::test]
async fn delegated_administrators_are_members_and_at_most_three() {
    let option = "--organization \
                  o-exampleorgid:111122223333,000000000001,000000000002,000000000003,000000000004";
    let app = TestApp::with(option).await;
    let register = async |by: &str, account: &str| {
        let call = app.sdk_of(by, REGION);
        let call = call
            .register_organization_delegated_admin()
            .member_account_id(account);
        let refused = call.send().await.err();
        refused.map(|error| error.code().unwrap().to_owned())
    };
    let one = "000000000001";
    for (by, account, refused) in [
        (STRANGER, one, Some("OrganizationsNotInUseException")),
        (one, one, Some("NotOrganizationManagementAccountException")),
        (
            ACCOUNT,
            ACCOUNT,
            Some("CannotDelegateManagementAccountException"),
        ),
        (ACCOUNT, STRANGER, Some("AccountNotFoundException")),
        (ACCOUNT, one, None),
        (ACCOUNT, one, Some("AccountRegisteredException")),
        (ACCOUNT, "000000000002", None),
        (ACCOUNT, "000000000003", None),
        (
            ACCOUNT,
            "000000000004",
            Some("DelegatedAdminAccountLimitExceededException"),
        ),
    ] {
        assert_eq!(register(by, account).await.as_deref(), refused, "{account}");
    }
    for refused in [None, Some("AccountNotRegisteredException")] {
        let call = app.sdk().deregister_organization_delegated_admin();
        let call = call.delegated_admin_account_id(one).send().await;
        let code = call.err().and_then(|error| error.code().map(str::to_owned));
        assert_eq!(code.as_deref(), refused);
    }
}

/// What Organizations at the upstream says.
fn organizations(call: &Call, features: &str, trusted: &[&str]) -> (u16, Value) {
    let trusted: Vec<_> = trusted
        .iter()
        .map(|name| json!({ "ServicePrincipal": name }))
        .collect();
    match call.operation.as_str() {
        "DescribeOrganization" => (
            200,
            json!({ "Organization": { "Id": "o-exampleorgid", "MasterAccountId": ACCOUNT, "FeatureSet": features } }),
        ),
        // In two pages.
        "ListAccounts" if call.input["NextToken"].is_null() => (
            200,
            json!({ "Accounts": [{ "Id": ACCOUNT }], "NextToken": "2" }),
        ),
        "ListAccounts" => (
            200,
            json!({ "Accounts": [{ "Id": MEMBER }, { "Id": OTHER }] }),
        ),
        "ListAWSServiceAccessForOrganization" => {
            (200, json!({ "EnabledServicePrincipals": trusted }))
        }
        "ListDelegatedAdministrators" => {
            (200, json!({ "DelegatedAdministrators": [{ "Id": OTHER }] }))
        }
        "RegisterDelegatedAdministrator" => (200, Value::Null),
        _ => error("UnknownOperationException"),
    }
}

#[tokio::test]
async fn the_upstream_tells_of_its_organization() {
    let trusts = &["cloudtrail.amazonaws.com"];
    let upstream = Stub::start(move |call| organizations(call, "ALL", trusts)).await;
    let options = format!(
        "--upstream {} --embedded s3 --account-id {ACCOUNT}",
        upstream.url
    );
    let app = TestApp::with(&options).await;
    organization_trail(&app).await;
    let other = app.sdk_of(OTHER, REGION);
    other.stop_logging().name(ARN).send().await.unwrap();
    let stopped = app.sdk_of(MEMBER, REGION).stop_logging().name(ARN).send();
    assert_eq!(
        stopped.await.unwrap_err().code(),
        Some("NotOrganizationMasterAccountException")
    );
    // Whoever administers an organization does not administer every one.
    upstream.answer(move |call| {
        let (status, members) = organizations(call, "ALL", trusts);
        let text = members.to_string();
        let moved = text.replace("o-exampleorgid", "o-anotherorgid");
        (status, serde_json::from_str(&moved).unwrap())
    });
    let stopped = other.stop_logging().name(ARN).send();
    assert_eq!(
        stopped.await.unwrap_err().code(),
        Some("TrailNotFoundException")
    );
    upstream.answer(move |call| organizations(call, "ALL", trusts));
    app.sdk()
        .register_organization_delegated_admin()
        .member_account_id(MEMBER)
        .send()
        .await
        .unwrap();
    let registered = upstream.take("RegisterDelegatedAdministrator");
    assert_eq!(
        registered[0].input,
        json!({ "AccountId": MEMBER, "ServicePrincipal": "cloudtrail.amazonaws.com" })
    );

    let make = async || {
        let made = app.sdk().create_trail();
        let made = made
            .name("more")
            .s3_bucket_name("logs")
            .is_organization_trail(true);
        made.send().await.unwrap_err().code().map(str::to_owned)
    };
    upstream.answer(|call| organizations(call, "ALL", &["config.amazonaws.com"]));
    assert_eq!(
        make().await.as_deref(),
        Some("CloudTrailAccessNotEnabledException")
    );
    upstream.answer(move |call| organizations(call, "CONSOLIDATED_BILLING", trusts));
    assert_eq!(
        make().await.as_deref(),
        Some("OrganizationNotInAllFeaturesModeException")
    );
    upstream.answer(|_| error("AWSOrganizationsNotInUseException"));
    assert_eq!(
        make().await.as_deref(),
        Some("OrganizationsNotInUseException")
    );
}
