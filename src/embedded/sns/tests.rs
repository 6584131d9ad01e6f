//! SNS as its clients see it, against a store in a folder of its own.

use chrono::DateTime;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{HttpDelivery, Sns};
use crate::aws::Params;
use crate::clock::{Clock, Ids};
use crate::embedded::{Caller, Error};
use crate::store::Store;

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:alerts";

/// An SNS of its own, at 2027-01-15T08:00:00Z.
struct World {
    sns: Sns,
    caller: Caller,
    sent: mpsc::Receiver<HttpDelivery>,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let store = Store::open(&folder.path().join("db"), crate::store::Lifetime::Temporary)
            .await
            .expect("a store");
        let clock = Clock::frozen(DateTime::from_timestamp(1_800_000_000, 0).expect("a time"));
        let (deliver, sent) = mpsc::channel(4);
        Self {
            sns: Sns::new(
                store,
                clock,
                Ids::seeded(1),
                deliver,
                "http://127.0.0.1:4566",
            ),
            caller: Caller {
                account: "111122223333".to_owned(),
                region: "us-east-1".to_owned(),
                principal_id: "111122223333".to_owned(),
                arn: None,
                access_key: None,
            },
            sent,
            _folder: folder,
        }
    }

    /// With the topic `alerts`.
    async fn with_topic() -> Self {
        let world = Self::new().await;
        world.ok("CreateTopic", json!({"Name": "alerts"})).await;
        world
    }

    async fn call(&self, operation: &str, params: Value) -> Result<Value, Error> {
        let params: Params = serde_json::from_value(params).expect("params are an object");
        let output = self.sns.call(&self.caller, operation, &params).await?;
        Ok(Value::Object(output))
    }

    async fn ok(&self, operation: &str, params: Value) -> Value {
        let output = self.call(operation, params).await;
        output.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Code and message.
    async fn error(&self, operation: &str, params: Value) -> (String, String) {
        let error = self.call(operation, params).await.expect_err(operation);
        (error.code.into_owned(), error.message)
    }

    /// Subscribes an HTTP endpoint and confirms it.
    async fn subscribed(&mut self, attributes: Value) -> String {
        let subscribe = json!({
            "TopicArn": TOPIC,
            "Protocol": "http",
            "Endpoint": "http://127.0.0.1:9000/hook",
            "Attributes": attributes,
        });
        self.ok("Subscribe", subscribe).await;
        let delivery = self.sent.try_recv().expect("a confirmation");
        let body: Value = serde_json::from_str(&delivery.body).expect("JSON");
        let confirm = json!({"TopicArn": TOPIC, "Token": body["Token"]});
        let confirmed = self.ok("ConfirmSubscription", confirm).await;
        confirmed["SubscriptionArn"]
            .as_str()
            .expect("an ARN")
            .to_owned()
    }
}

#[tokio::test]
async fn a_topic_is_made_once() {
    let world = World::new().await;
    let create = json!({"Name": "alerts", "Attributes": {"DisplayName": "A"}, "Tags": [{"Key": "k", "Value": "v"}]});
    for _ in 0..2 {
        assert_eq!(
            world.ok("CreateTopic", create.clone()).await,
            json!({"TopicArn": TOPIC})
        );
    }
    assert_eq!(
        world.ok("CreateTopic", json!({"Name": "alerts"})).await,
        json!({"TopicArn": TOPIC})
    );
    let (code, message) = world
        .error(
            "CreateTopic",
            json!({"Name": "alerts", "Attributes": {"DisplayName": "B"}}),
        )
        .await;
    assert_eq!(code, "InvalidParameter");
    assert!(
        message.ends_with("Topic already exists with different attributes"),
        "{message}"
    );
    assert_eq!(
        world.ok("ListTopics", json!({})).await,
        json!({"Topics": [{"TopicArn": TOPIC}]})
    );
    for _ in 0..2 {
        world.ok("DeleteTopic", json!({"TopicArn": TOPIC})).await;
    }
    assert!(!world.sns.topic_exists(TOPIC).await.unwrap());
}

#[tokio::test]
async fn names_follow_the_rules_of_topics() {
    let world = World::new().await;
    let long = "a".repeat(256);
    let too_long = "a".repeat(257);
    for (name, attributes, is_valid) in [
        ("a", json!({}), true),
        ("A-b_9", json!({}), true),
        (&long, json!({}), true),
        ("queue.fifo", json!({"FifoTopic": "true"}), true),
        ("", json!({}), false),
        (&too_long, json!({}), false),
        ("a b", json!({}), false),
        ("é", json!({}), false),
        ("queue.fifo", json!({}), false),
        ("queue", json!({"FifoTopic": "true"}), false),
    ] {
        let create = json!({"Name": name, "Attributes": attributes});
        assert_eq!(
            world.call("CreateTopic", create).await.is_ok(),
            is_valid,
            "{name}"
        );
    }
}

#[tokio::test]
async fn topics_are_listed_by_a_hundred() {
    let world = World::new().await;
    for i in 0..101 {
        world
            .ok("CreateTopic", json!({"Name": format!("t{i:03}")}))
            .await;
    }
    let first = world.ok("ListTopics", json!({})).await;
    assert_eq!(first["Topics"].as_array().unwrap().len(), 100);
    let rest = world
        .ok("ListTopics", json!({"NextToken": first["NextToken"]}))
        .await;
    assert_eq!(
        rest,
        json!({"Topics": [{"TopicArn": "arn:aws:sns:us-east-1:111122223333:t100"}]})
    );
    assert_eq!(
        world.error("ListTopics", json!({"NextToken": "é"})).await.0,
        "InvalidParameter"
    );
}

#[tokio::test]
async fn attributes_have_the_defaults_of_sns() {
    let world = World::with_topic().await;
    let got = world
        .ok("GetTopicAttributes", json!({"TopicArn": TOPIC}))
        .await;
    let attributes = &got["Attributes"];
    for (name, value) in [
        ("TopicArn", TOPIC),
        ("Owner", "111122223333"),
        ("SubscriptionsConfirmed", "0"),
        ("SubscriptionsPending", "0"),
        ("DisplayName", ""),
    ] {
        assert_eq!(attributes[name], value, "{name}");
    }
    let policy: Value = serde_json::from_str(attributes["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        policy["Statement"][0]["Condition"]["StringEquals"]["AWS:SourceOwner"],
        "111122223333"
    );
    let set = json!({"TopicArn": TOPIC, "AttributeName": "Policy", "AttributeValue": "{\"Statement\":[]}"});
    world.ok("SetTopicAttributes", set).await;
    assert_eq!(
        world.sns.topic_policy(TOPIC).await.unwrap(),
        "{\"Statement\":[]}"
    );
    for (name, value) in [("Policy", "no json"), ("Owner", "x")] {
        let set = json!({"TopicArn": TOPIC, "AttributeName": name, "AttributeValue": value});
        assert_eq!(
            world.error("SetTopicAttributes", set).await.0,
            "InvalidParameter",
            "{name}"
        );
    }
    let missing = world
        .error(
            "GetTopicAttributes",
            json!({"TopicArn": format!("{TOPIC}2")}),
        )
        .await;
    assert_eq!(
        missing,
        ("NotFound".to_owned(), "Topic does not exist".to_owned())
    );
}

#[tokio::test]
async fn permissions_are_statements_of_the_policy() {
    let world = World::with_topic().await;
    let add = json!({
        "TopicArn": TOPIC, "Label": "trail", "AWSAccountId": ["444455556666"], "ActionName": ["Publish"],
    });
    world.ok("AddPermission", add.clone()).await;
    let policy: Value =
        serde_json::from_str(&world.sns.topic_policy(TOPIC).await.unwrap()).unwrap();
    assert_eq!(policy["Statement"][1]["Action"], json!(["SNS:Publish"]));
    assert_eq!(
        world.error("AddPermission", add).await.0,
        "InvalidParameter"
    );
    world
        .ok(
            "RemovePermission",
            json!({"TopicArn": TOPIC, "Label": "trail"}),
        )
        .await;
    let policy: Value =
        serde_json::from_str(&world.sns.topic_policy(TOPIC).await.unwrap()).unwrap();
    assert_eq!(policy["Statement"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tags_are_added_replaced_and_removed() {
    let world = World::with_topic().await;
    let tags = json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]);
    world
        .ok("TagResource", json!({"ResourceArn": TOPIC, "Tags": tags}))
        .await;
    world
        .ok(
            "TagResource",
            json!({"ResourceArn": TOPIC, "Tags": [{"Key": "a", "Value": "3"}]}),
        )
        .await;
    world
        .ok(
            "UntagResource",
            json!({"ResourceArn": TOPIC, "TagKeys": ["b", "none"]}),
        )
        .await;
    let got = world
        .ok("ListTagsForResource", json!({"ResourceArn": TOPIC}))
        .await;
    assert_eq!(got, json!({"Tags": [{"Key": "a", "Value": "3"}]}));
    let missing = world
        .error(
            "ListTagsForResource",
            json!({"ResourceArn": "arn:aws:sns:::x"}),
        )
        .await;
    assert_eq!(missing.0, "ResourceNotFound");
}

#[tokio::test]
async fn what_is_published_is_kept() {
    let world = World::with_topic().await;
    let output = world
        .ok(
            "Publish",
            json!({"TopicArn": TOPIC, "Message": "é", "Subject": "S"}),
        )
        .await;
    world.sns.publish(TOPIC, "from the trail").await.unwrap();
    let json_message = r#"{"default": "plain", "sqs": "for queues"}"#;
    let structured =
        json!({"TargetArn": TOPIC, "Message": json_message, "MessageStructure": "json"});
    world.ok("Publish", structured).await;
    let messages = world.sns.messages(Some(TOPIC), 10).await.unwrap();
    let bodies: Vec<&str> = messages
        .iter()
        .map(|message| message.message.as_str())
        .collect();
    assert_eq!(bodies, ["plain", "from the trail", "é"]);
    let oldest = &messages[2];
    assert_eq!(output["MessageId"], oldest.message_id);
    assert_eq!(
        (oldest.subject.as_deref(), oldest.timestamp.as_str()),
        (Some("S"), "2027-01-15T08:00:00.000Z")
    );
    assert_eq!(world.sns.messages(Some(TOPIC), 1).await.unwrap().len(), 1);
    let missing = world
        .sns
        .publish("arn:aws:sns:us-east-1:111122223333:none", "x")
        .await
        .unwrap_err();
    assert_eq!((missing.code.as_ref(), missing.status), ("NotFound", 404));
}

#[tokio::test]
async fn what_sns_would_not_publish_is_refused() {
    let world = World::with_topic().await;
    let long = "x".repeat(256 * 1024);
    world
        .ok("Publish", json!({"TopicArn": TOPIC, "Message": long}))
        .await;
    let string_attribute = json!({"a": {"DataType": "String"}});
    for (params, code) in [
        (
            json!({"TopicArn": TOPIC, "Message": format!("{long}x")}),
            "InvalidParameter",
        ),
        (
            json!({"TopicArn": TOPIC, "Message": ""}),
            "InvalidParameter",
        ),
        (json!({"Message": "x"}), "InvalidParameter"),
        (
            json!({"PhoneNumber": "+100", "Message": "x"}),
            "InvalidParameter",
        ),
        (
            json!({"TopicArn": TOPIC, "Message": "x", "Subject": "a\nb"}),
            "InvalidParameter",
        ),
        (
            json!({"TopicArn": TOPIC, "Message": "x", "MessageStructure": "json"}),
            "InvalidParameter",
        ),
        (
            json!({"TopicArn": TOPIC, "Message": "{}", "MessageStructure": "json"}),
            "InvalidParameter",
        ),
        (
            json!({"TopicArn": TOPIC, "Message": "x", "MessageAttributes": string_attribute}),
            "ParameterValueInvalid",
        ),
    ] {
        assert_eq!(
            world.error("Publish", params.clone()).await.0,
            code,
            "{params}"
        );
    }
}

#[tokio::test]
async fn a_batch_tells_which_entries_failed() {
    let world = World::with_topic().await;
    let entries = json!([{"Id": "1", "Message": "a"}, {"Id": "2", "Message": ""}]);
    let output = world
        .ok(
            "PublishBatch",
            json!({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries}),
        )
        .await;
    assert_eq!(output["Successful"][0]["Id"], "1");
    assert_eq!(output["Failed"][0]["Code"], "InvalidParameter");
    let eleven: Vec<Value> = (0..11)
        .map(|i| json!({"Id": i.to_string(), "Message": "a"}))
        .collect();
    let twice = json!([{"Id": "1", "Message": "a"}, {"Id": "1", "Message": "b"}]);
    for (entries, code) in [
        (json!([]), "EmptyBatchRequest"),
        (json!(eleven), "TooManyEntriesInBatchRequest"),
        (twice, "BatchEntryIdsNotDistinct"),
    ] {
        let params = json!({"TopicArn": TOPIC, "PublishBatchRequestEntries": entries});
        assert_eq!(world.error("PublishBatch", params).await.0, code);
    }
}

#[tokio::test]
async fn an_http_endpoint_confirms_and_is_notified() {
    let mut world = World::with_topic().await;
    let subscribe =
        json!({"TopicArn": TOPIC, "Protocol": "http", "Endpoint": "http://127.0.0.1:9000/hook"});
    let pending = world.ok("Subscribe", subscribe).await;
    assert_eq!(pending, json!({"SubscriptionArn": "pending confirmation"}));
    let confirmation = world.sent.try_recv().unwrap();
    assert_eq!(confirmation.url, "http://127.0.0.1:9000/hook");
    assert!(confirmation.headers.contains(&(
        "x-amz-sns-message-type",
        "SubscriptionConfirmation".to_owned()
    )));
    let body: Value = serde_json::from_str(&confirmation.body).unwrap();
    let token = body["Token"].as_str().unwrap();
    let url = "http://127.0.0.1:4566/?Action=ConfirmSubscription&Version=2010-03-31\
        &TopicArn=arn%3Aaws%3Asns%3Aus%2Deast%2D1%3A111122223333%3Aalerts&Token=";
    assert_eq!(body["SubscribeURL"], format!("{url}{token}"));

    // Nothing before the confirmation.
    world
        .ok("Publish", json!({"TopicArn": TOPIC, "Message": "early"}))
        .await;
    assert!(world.sent.try_recv().is_err());
    let listed = world.ok("ListSubscriptions", json!({})).await;
    assert_eq!(
        listed["Subscriptions"][0]["SubscriptionArn"],
        "PendingConfirmation"
    );
    let wrong = world
        .error(
            "ConfirmSubscription",
            json!({"TopicArn": TOPIC, "Token": "x"}),
        )
        .await;
    assert_eq!(wrong.0, "InvalidParameter");
    let confirmed = world
        .ok(
            "ConfirmSubscription",
            json!({"TopicArn": TOPIC, "Token": token}),
        )
        .await;
    let arn = confirmed["SubscriptionArn"].as_str().unwrap();
    assert!(arn.starts_with(TOPIC));

    let attributes = json!({"n": {"DataType": "Number", "StringValue": "7"}});
    let publish = json!({"TopicArn": TOPIC, "Message": "now", "Subject": "S", "MessageAttributes": attributes});
    let published = world.ok("Publish", publish).await;
    let delivery = world.sent.try_recv().unwrap();
    for header in [
        ("x-amz-sns-message-type", "Notification"),
        ("x-amz-sns-topic-arn", TOPIC),
        ("x-amz-sns-subscription-arn", arn),
        ("content-type", "text/plain; charset=UTF-8"),
    ] {
        assert!(
            delivery.headers.contains(&(header.0, header.1.to_owned())),
            "{header:?}"
        );
    }
    let body: Value = serde_json::from_str(&delivery.body).unwrap();
    for (name, value) in [
        ("Type", json!("Notification")),
        ("MessageId", published["MessageId"].clone()),
        ("TopicArn", json!(TOPIC)),
        ("Subject", json!("S")),
        ("Message", json!("now")),
        ("Timestamp", json!("2027-01-15T08:00:00.000Z")),
        ("SignatureVersion", json!("1")),
        (
            "MessageAttributes",
            json!({"n": {"Type": "Number", "Value": "7"}}),
        ),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    world
        .ok("Unsubscribe", json!({"SubscriptionArn": arn}))
        .await;
    world
        .ok("Publish", json!({"TopicArn": TOPIC, "Message": "late"}))
        .await;
    assert!(world.sent.try_recv().is_err());
}

#[tokio::test]
async fn raw_delivery_is_the_message_alone() {
    let mut world = World::with_topic().await;
    let arn = world.subscribed(json!({})).await;
    let set = json!({"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery", "AttributeValue": "true"});
    world.ok("SetSubscriptionAttributes", set).await;
    let got = world
        .ok("GetSubscriptionAttributes", json!({"SubscriptionArn": arn}))
        .await;
    assert_eq!(got["Attributes"]["RawMessageDelivery"], "true");
    assert_eq!(got["Attributes"]["PendingConfirmation"], "false");
    let message = r#"{"default": "a", "http": "b"}"#;
    let publish = json!({"TopicArn": TOPIC, "Message": message, "MessageStructure": "json"});
    world.ok("Publish", publish).await;
    let delivery = world.sent.try_recv().unwrap();
    assert_eq!(delivery.body, "b");
    assert!(
        delivery
            .headers
            .contains(&("x-amz-sns-rawdelivery", "true".to_owned()))
    );
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_dropped() {
    let mut world = World::with_topic().await;
    world.subscribed(json!({})).await;
    for i in 0..10 {
        world
            .ok(
                "Publish",
                json!({"TopicArn": TOPIC, "Message": i.to_string()}),
            )
            .await;
    }
    let mut received = 0;
    while world.sent.try_recv().is_ok() {
        received += 1;
    }
    assert_eq!(received, 4);
    assert_eq!(
        world.sns.messages(Some(TOPIC), 100).await.unwrap().len(),
        10
    );
}

#[tokio::test]
async fn other_protocols_are_confirmed_at_once() {
    let world = World::with_topic().await;
    let queue = "arn:aws:sqs:us-east-1:111122223333:q";
    let subscribe = json!({"TopicArn": TOPIC, "Protocol": "sqs", "Endpoint": queue});
    let first = world.ok("Subscribe", subscribe.clone()).await;
    assert!(
        first["SubscriptionArn"]
            .as_str()
            .unwrap()
            .starts_with(TOPIC)
    );
    assert_eq!(world.ok("Subscribe", subscribe).await, first);
    let listed = world
        .ok("ListSubscriptionsByTopic", json!({"TopicArn": TOPIC}))
        .await;
    assert_eq!(
        listed,
        json!({"Subscriptions": [{
            "SubscriptionArn": first["SubscriptionArn"],
            "Owner": "111122223333",
            "Protocol": "sqs",
            "Endpoint": queue,
            "TopicArn": TOPIC,
        }]})
    );
    for (protocol, endpoint) in [
        ("carrier-pigeon", "x"),
        ("sqs", "https://x"),
        ("http", "https://x"),
        ("email", ""),
    ] {
        let subscribe = json!({"TopicArn": TOPIC, "Protocol": protocol, "Endpoint": endpoint});
        assert_eq!(
            world.error("Subscribe", subscribe).await.0,
            "InvalidParameter",
            "{protocol}"
        );
    }
    let gone = format!("{TOPIC}:00000000-0000-0000-0000-000000000000");
    let missing = world
        .error(
            "GetSubscriptionAttributes",
            json!({"SubscriptionArn": gone}),
        )
        .await;
    assert_eq!(missing.0, "NotFound");
}

#[tokio::test]
async fn a_topic_that_is_deleted_meanwhile_is_not_found() {
    let world = World::with_topic().await;
    for _ in 0..50 {
        world.ok("CreateTopic", json!({"Name": "alerts"})).await;
        let subscribe = json!({"TopicArn": TOPIC, "Protocol": "sqs",
                               "Endpoint": "arn:aws:sqs:us-east-1:111122223333:queue"});
        let (published, subscribed, _) = tokio::join!(
            world.call("Publish", json!({"TopicArn": TOPIC, "Message": "m"})),
            world.call("Subscribe", subscribe),
            world.call("DeleteTopic", json!({"TopicArn": TOPIC})),
        );
        for error in [published.err(), subscribed.err()].into_iter().flatten() {
            assert_eq!((error.code.as_ref(), error.status), ("NotFound", 404));
        }
    }
}

#[tokio::test]
async fn an_operation_that_is_missing_is_named() {
    let world = World::new().await;
    let error = world
        .call("CreatePlatformApplication", json!({}))
        .await
        .unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("NotImplemented", 501));
    assert!(
        error.message.contains("CreatePlatformApplication") && error.message.contains("--upstream")
    );
}
