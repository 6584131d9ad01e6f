"""Bucket and topic policies, with the real aws CLI: by itself, and in front of moto."""

import json

import pytest

from conftest import START, bucket_policy, log_files, topic_policy


@pytest.fixture(params=["alone", "moto"])
def server(request, start):
    if request.param == "alone":
        return start("--time", START)
    return start("--time", START, "--upstream", request.getfixturevalue("moto"))


def set_bucket_policy(server, policy):
    server.aws("s3api", "put-bucket-policy", "--bucket", "logs", "--policy", json.dumps(policy))


def set_topic_policy(server, arn, policy):
    server.aws("sns", "set-topic-attributes", "--topic-arn", arn, "--attribute-name", "Policy", "--attribute-value", json.dumps(policy))


def status(server):
    return server.aws("cloudtrail", "get-trail-status", "--name", "main")


def refusal(server, *words):
    done = server.aws("cloudtrail", *words, check=False)
    assert done.returncode != 0
    return done.stderr


def test_what_a_new_bucket_and_topic_allow_is_not_enough(server):
    server.aws("s3", "mb", "s3://logs")
    arn = server.aws("sns", "create-topic", "--name", "notes")["TopicArn"]
    make = "create-trail", "--name", "main", "--s3-bucket-name", "logs", "--sns-topic-name", "notes"
    expected = "(InsufficientS3BucketPolicyException) when calling the CreateTrail operation: Incorrect S3 bucket policy is detected for bucket: logs"
    assert expected in refusal(server, *make)
    set_bucket_policy(server, bucket_policy("logs", "pre/"))
    assert expected in refusal(server, *make)
    set_bucket_policy(server, bucket_policy("logs"))
    expected = "(InsufficientSnsTopicPolicyException) when calling the CreateTrail operation: SNS Topic does not exist or the topic policy is incorrect!"
    assert expected in refusal(server, *make)
    set_topic_policy(server, arn, topic_policy(arn))
    assert server.aws("cloudtrail", *make)["SnsTopicARN"] == arn
    assert "InsufficientS3BucketPolicy" in refusal(server, "update-trail", "--name", "main", "--s3-key-prefix", "pre")


def test_a_broken_policy_holds_deliveries_up(server):
    server.aws("s3", "mb", "s3://logs")
    set_bucket_policy(server, bucket_policy("logs"))
    arn = server.aws("sns", "create-topic", "--name", "notes")["TopicArn"]
    default = server.aws("sns", "get-topic-attributes", "--topic-arn", arn)["Attributes"]["Policy"]
    set_topic_policy(server, arn, topic_policy(arn))
    server.aws("cloudtrail", "create-trail", "--name", "main", "--s3-bucket-name", "logs", "--sns-topic-name", "notes")
    server.aws("cloudtrail", "start-logging", "--name", "main")

    denying = bucket_policy("logs")
    denying["Statement"].append({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::logs/*"})
    set_bucket_policy(server, denying)
    server.advance("PT5M")
    broken = status(server)
    assert broken["LatestDeliveryError"] == "AccessDenied" and "LatestDeliveryTime" not in broken

    server.aws("s3api", "delete-bucket-policy", "--bucket", "logs")
    set_topic_policy(server, arn, json.loads(default))
    server.advance("PT2H")
    broken = status(server)
    assert broken["LatestDeliveryError"] == "AccessDenied" and "LatestDeliveryTime" not in broken
    assert log_files(server.client("s3", "test"), "logs") == {}

    set_bucket_policy(server, bucket_policy("logs"))
    server.advance("PT2H")
    mended = status(server)
    assert "LatestDeliveryError" not in mended and mended["LatestDeliveryTime"]
    assert mended["LatestNotificationError"] == "AuthorizationError"
    set_topic_policy(server, arn, topic_policy(arn))
    server.advance("PT2H")
    mended = status(server)
    assert "LatestNotificationError" not in mended and mended["LatestNotificationTime"]
    names = [record["eventName"] for records in log_files(server.client("s3", "test"), "logs").values() for record in records]
    assert names.count("StartLogging") == 1 and names.count("DeleteBucketPolicy") == 1
