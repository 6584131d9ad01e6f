"""The session of the README, with the real aws CLI: by itself, and in front of moto."""

import json

from conftest import bucket_policy, log_files, topic_policy


def session(server, tmp_path, account):
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(bucket_policy("logs")))
    readme = tmp_path / "README.md"
    readme.write_text("# hello\n")

    server.aws("s3", "mb", "s3://logs")
    server.aws("s3api", "put-bucket-policy", "--bucket", "logs", "--policy", f"file://{policy}")
    topic = server.aws("sns", "create-topic", "--name", "deliveries")["TopicArn"]
    server.aws("sns", "set-topic-attributes", "--topic-arn", topic, "--attribute-name", "Policy", "--attribute-value", json.dumps(topic_policy(topic)))
    trail = server.aws("cloudtrail", "create-trail", "--name", "main", "--s3-bucket-name", "logs", "--sns-topic-name", "deliveries")
    assert trail["TrailARN"] == f"arn:aws:cloudtrail:us-east-1:{account}:trail/main"
    assert trail["SnsTopicARN"] == f"arn:aws:sns:us-east-1:{account}:deliveries"
    server.aws("cloudtrail", "start-logging", "--name", "main")
    assert server.aws("sts", "get-caller-identity")["Account"] == account
    server.aws("s3", "cp", str(readme), "s3://logs/x")

    names = [event["EventName"] for event in server.aws("cloudtrail", "lookup-events")["Events"]]
    assert names == ["GetCallerIdentity", "StartLogging", "CreateTrail", "GetBucketAcl", "SetTopicAttributes", "CreateTopic", "PutBucketPolicy", "CreateBucket"]

    server.advance("PT5M")
    listed = server.aws("s3", "ls", "--recursive", "s3://logs")
    assert f"AWSLogs/{account}/CloudTrail/us-east-1/2026/11/22/{account}_CloudTrail_us-east-1_20261122T1505Z_" in listed
    status = server.aws("cloudtrail", "get-trail-status", "--name", "main")
    assert status["IsLogging"] is True
    assert status["LatestDeliveryTime"] and status["LatestNotificationTime"]
    assert "LatestDeliveryError" not in status and "LatestNotificationError" not in status

    (key, records), = log_files(server.client("s3", "test"), "logs").items()
    assert key.endswith(".json.gz")
    # StartLogging itself is the first that the trail takes; the S3 object calls are data events.
    assert [record["eventName"] for record in records] == ["StartLogging", "GetCallerIdentity", "LookupEvents"]
    return key


def test_the_readme_session_by_itself(server, tmp_path):
    key = session(server, tmp_path, "000000000000")
    messages = server.control("sns/messages")[1]["Messages"]
    assert json.loads(messages[0]["Message"]) == {"s3Bucket": "logs", "s3ObjectKey": [key]}
    assert messages[1]["Message"] == "CloudTrail validation message."


def test_the_readme_session_in_front_of_moto(start, moto, tmp_path):
    server = start("--time", "2026-11-22T15:01:30Z", "--upstream", moto)
    sqs = server.client("sqs", "test")
    queue = sqs.create_queue(QueueName="notes")["QueueUrl"].replace("https://queue.amazonaws.com", server.url)
    server.client("sns", "test").create_topic(Name="deliveries")
    server.client("sns", "test").subscribe(
        TopicArn="arn:aws:sns:us-east-1:123456789012:deliveries", Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:notes"
    )
    server.control("reset", {})
    key = session(server, tmp_path, "123456789012")
    received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    messages = [json.loads(message["Body"])["Message"] for message in received]
    assert messages[0] == "CloudTrail validation message."
    assert json.loads(messages[-1]) == {"s3Bucket": "logs", "s3ObjectKey": [key]}
