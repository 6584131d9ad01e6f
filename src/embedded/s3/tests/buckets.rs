//! Buckets of the embedded S3 and what they are set to.

use super::World;
use crate::embedded::Caller;

#[tokio::test]
async fn a_bucket_is_made_listed_and_deleted() {
    let world = World::new().await;
    let made = world.put("/logs", "").await;
    assert_eq!(
        (made.status.as_u16(), made.header("location")),
        (200, "/logs")
    );
    let list = world.get("/").await;
    assert_eq!(list.all("Name"), ["logs"]);
    assert_eq!(list.all("CreationDate"), ["2027-01-15T08:00:00.000Z"]);
    let head = world.send("HEAD", "/logs", &[], "").await;
    assert_eq!(head.header("x-amz-bucket-region"), "us-east-1");
    assert_eq!(world.delete("/logs").await.status, 204);
    let head = world.send("HEAD", "/logs", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    assert_eq!(
        world.delete("/logs").await.error(),
        (404, "NoSuchBucket".into())
    );
}

#[tokio::test]
async fn names_follow_the_rules_of_buckets() {
    let world = World::new().await;
    let long = "a".repeat(63);
    let too_long = "a".repeat(64);
    for (name, status) in [
        ("abc", 200),
        ("a.b-1", 200),
        (long.as_str(), 200),
        ("ab", 400),
        (too_long.as_str(), 400),
        ("Upper", 400),
        ("under_score", 400),
        ("-start", 400),
        ("end-", 400),
        ("two..dots", 400),
        ("192.0.2.1", 400),
        ("xn--abc", 400),
    ] {
        let answer = world.put(&format!("/{name}"), "").await;
        assert_eq!(answer.status, status, "{name}");
        if status == 400 {
            assert_eq!(answer.first("Code"), "InvalidBucketName", "{name}");
            assert_eq!(
                answer.first("Message"),
                "The specified bucket is not valid."
            );
        }
    }
}

#[tokio::test]
async fn a_bucket_is_made_again_in_us_east_1_only() {
    let world = World::with_bucket().await;
    assert_eq!(world.put("/logs", "").await.status, 200);
    let elsewhere = Caller {
        region: "eu-west-1".to_owned(),
        ..world.caller.clone()
    };
    let body = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    let first = world.send_as(&elsewhere, "PUT", "/west", &[], body).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let again = world.send_as(&elsewhere, "PUT", "/west", &[], body).await;
    assert_eq!(again.error(), (409, "BucketAlreadyOwnedByYou".into()));
    let other = Caller {
        account: "444455556666".to_owned(),
        ..world.caller.clone()
    };
    let taken = world.send_as(&other, "PUT", "/logs", &[], "").await;
    assert_eq!(taken.error(), (409, "BucketAlreadyExists".into()));
    let missing = world.send_as(&elsewhere, "PUT", "/east", &[], "").await;
    assert_eq!(
        missing.error(),
        (400, "IllegalLocationConstraintException".into())
    );
    assert!(
        world
            .get("/west?location")
            .await
            .text()
            .contains(">eu-west-1<")
    );
    assert!(
        !world
            .get("/logs?location")
            .await
            .text()
            .contains("us-east-1")
    );
}

#[tokio::test]
async fn a_bucket_with_objects_stays() {
    let world = World::with_bucket().await;
    world.put("/logs/a", "x").await;
    let refused = world.delete("/logs").await;
    assert_eq!(refused.error(), (409, "BucketNotEmpty".into()));
    assert_eq!(
        refused.first("Message"),
        "The bucket you tried to delete is not empty"
    );
    world.delete("/logs/a").await;
    assert_eq!(world.delete("/logs").await.status, 204);
}

#[tokio::test]
async fn a_policy_is_kept_as_it_was_written() {
    let world = World::with_bucket().await;
    let none = world.get("/logs?policy").await;
    assert_eq!(none.error(), (404, "NoSuchBucketPolicy".into()));
    let policy = "{ \"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\", \"Principal\": \"*\", \
        \"Action\": \"s3:GetBucketAcl\", \"Resource\": \"arn:aws:s3:::logs\"}] }";
    assert_eq!(world.put("/logs?policy", policy).await.status, 204);
    assert_eq!(world.get("/logs?policy").await.text(), policy);
    assert_eq!(
        world.s3.bucket_policy("logs").await.unwrap().as_deref(),
        Some(policy)
    );
    for bad in [
        "",
        "no json",
        "[]",
        "{}",
        r#"{"Statement":[{"Effect":"Perhaps"}]}"#,
    ] {
        let answer = world.put("/logs?policy", bad).await;
        assert_eq!(answer.error(), (400, "MalformedPolicy".into()), "{bad}");
    }
    assert_eq!(world.delete("/logs?policy").await.status, 204);
    assert_eq!(world.s3.bucket_policy("logs").await.unwrap(), None);
    let missing = world.s3.bucket_policy("nowhere").await.unwrap_err();
    assert_eq!(
        (missing.code.as_ref(), missing.status),
        ("NoSuchBucket", 404)
    );
}

#[tokio::test]
async fn documents_are_kept_and_given_back() {
    let world = World::with_bucket().await;
    let rows = [
        (
            "tagging",
            "NoSuchTagSet",
            "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
            "<Key>a</Key><Value>b</Value>",
        ),
        (
            "lifecycle",
            "NoSuchLifecycleConfiguration",
            "<LifecycleConfiguration><Rule><ID>old</ID><Status>Enabled</Status><Filter><Prefix>x/</Prefix></Filter>\
            <Expiration><Days>9</Days></Expiration></Rule></LifecycleConfiguration>",
            "<Days>9</Days>",
        ),
        (
            "cors",
            "NoSuchCORSConfiguration",
            "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>\
            </CORSRule></CORSConfiguration>",
            "<AllowedMethod>GET</AllowedMethod>",
        ),
    ];
    for (name, code, document, expected) in rows {
        let path = format!("/logs?{name}");
        assert_eq!(world.get(&path).await.error(), (404, code.into()), "{name}");
        let put = world.put(&path, document).await;
        assert!(put.status.is_success(), "{name}: {}", put.text());
        let got = world.get(&path).await.text();
        assert!(got.contains(expected), "{name}: {got}");
        assert_eq!(world.delete(&path).await.status, 204, "{name}");
        assert_eq!(world.get(&path).await.error(), (404, code.into()), "{name}");
    }
}

#[tokio::test]
async fn a_new_bucket_has_the_settings_of_a_new_bucket() {
    let world = World::with_bucket().await;
    let block = world.get("/logs?publicAccessBlock").await;
    assert_eq!(block.first("BlockPublicAcls"), "true");
    let encryption = world.get("/logs?encryption").await;
    assert_eq!(encryption.first("SSEAlgorithm"), "AES256");
    let ownership = world.get("/logs?ownershipControls").await;
    assert_eq!(ownership.first("ObjectOwnership"), "BucketOwnerEnforced");
    assert_eq!(world.get("/logs?versioning").await.status, 200);
    world.delete("/logs?publicAccessBlock").await;
    let block = world.get("/logs?publicAccessBlock").await;
    assert_eq!(
        block.error(),
        (404, "NoSuchPublicAccessBlockConfiguration".into())
    );
    let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let versions = world.put("/logs?versioning", body).await;
    assert_eq!(versions.error(), (501, "NotImplemented".into()));
    assert!(versions.first("Message").contains("PutBucketVersioning"));
}

#[tokio::test]
async fn acls_come_back_as_grants() {
    let world = World::with_bucket().await;
    let private = world.get("/logs?acl").await;
    assert_eq!(private.all("Permission"), ["FULL_CONTROL"]);
    assert_eq!(private.first("ID").len(), 64);
    let headers = [("x-amz-acl", "log-delivery-write")];
    assert_eq!(
        world.send("PUT", "/logs?acl", &headers, "").await.status,
        200
    );
    let log_delivery = world.get("/logs?acl").await;
    assert_eq!(
        log_delivery.all("Permission"),
        ["FULL_CONTROL", "WRITE", "READ_ACP"]
    );
    let headers = [(
        "x-amz-grant-read",
        "id=\"0a0b\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"",
    )];
    assert_eq!(
        world.send("PUT", "/logs?acl", &headers, "").await.status,
        200
    );
    let grants = world.get("/logs?acl").await;
    assert_eq!(grants.all("Permission"), ["READ", "READ"]);
    // The policy that came out goes in again.
    let policy = grants.text();
    assert_eq!(world.put("/logs?acl", policy).await.status, 200);
    assert_eq!(world.get("/logs?acl").await.text(), grants.text());
    let headers = [("x-amz-acl", "no-such-acl")];
    let unknown = world.send("PUT", "/logs?acl", &headers, "").await;
    assert_eq!(unknown.error(), (400, "InvalidArgument".into()));
}

#[tokio::test]
async fn every_account_may_call_but_lists_its_own_buckets() {
    let world = World::with_bucket().await;
    let other = Caller {
        account: "444455556666".to_owned(),
        ..world.caller.clone()
    };
    let list = world.send_as(&other, "GET", "/", &[], "").await;
    assert!(list.all("Name").is_empty());
    assert_eq!(
        world
            .send_as(&other, "PUT", "/logs/a", &[], "x")
            .await
            .status,
        200
    );
    let headers = [("x-amz-expected-bucket-owner", "444455556666")];
    let refused = world.send("GET", "/logs", &headers, "").await;
    assert_eq!(refused.error(), (403, "AccessDenied".into()));
}

#[tokio::test]
async fn buckets_are_listed_by_pages() {
    let world = World::new().await;
    for name in ["aaa", "bbb", "ccc", "bbc"] {
        world.put(&format!("/{name}"), "").await;
    }
    let first = world.get("/?max-buckets=1&prefix=bb").await;
    assert_eq!(first.all("Name"), ["bbb"]);
    let token = first.first("ContinuationToken");
    let rest = world
        .get(&format!(
            "/?max-buckets=1&prefix=bb&continuation-token={token}"
        ))
        .await;
    assert_eq!(rest.all("Name"), ["bbc"]);
    assert_eq!(rest.first("ContinuationToken"), "");
}

#[tokio::test]
async fn what_is_missing_says_so() {
    let world = World::with_bucket().await;
    let answer = world.get("/logs?replication").await;
    assert_eq!(answer.error(), (501, "NotImplemented".into()));
    assert_eq!(answer.first("Resource"), "/logs");
    assert!(!answer.first("Message").is_empty());
}
