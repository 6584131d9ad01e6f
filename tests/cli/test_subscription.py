"""`aws cloudtrail create-subscription` and `update-subscription`, unmodified: by itself, and in front of moto."""

import json
import re

import pytest

from conftest import START, bucket_policy, log_files

ACCOUNTS = {"alone": "000000000000", "moto": "123456789012"}


@pytest.fixture(params=ACCOUNTS)
def server(request, start):
    upstream = () if request.param == "alone" else ("--upstream", request.getfixturevalue("moto"))
    server = start("--time", START, *upstream)
    server.account = ACCOUNTS[request.param]
    return server


def subscribe(server, *words, command="create-subscription", name="main"):
    """Runs the command; gives the trails that it prints, and its text."""
    text = server.aws("cloudtrail", command, "--name", name, *words, parse=False)
    described = re.search(r"CloudTrail configuration:\n(\{.*?\n\})", text, re.DOTALL)
    return json.loads(described.group(1))["trailList"], text


def refused(server, *words, name="main"):
    done = server.aws("cloudtrail", "create-subscription", "--name", name, *words, check=False)
    assert done.returncode != 0
    return done.stderr


def policy_of(server, bucket):
    return json.loads(json.loads(server.aws("s3api", "get-bucket-policy", "--bucket", bucket, parse=False))["Policy"])


def buckets(server):
    return [bucket["Name"] for bucket in server.client("s3", "test").list_buckets()["Buckets"]]


def topics(server, region="us-east-1"):
    return [topic["TopicArn"] for topic in server.client("sns", "test", region).list_topics()["Topics"]]


def test_a_new_bucket_and_a_new_topic(server):
    trails, text = subscribe(server, "--s3-new-bucket", "logs", "--sns-new-topic", "notes")
    trail, = trails
    topic = f"arn:aws:sns:us-east-1:{server.account}:notes"
    assert (trail["Name"], trail["S3BucketName"], trail["SnsTopicARN"]) == ("main", "logs", topic)
    assert text.startswith("Setting up new S3 bucket logs...\nSetting up new SNS topic notes...\n")
    assert text.endswith("Starting CloudTrail service...\nLogs will be delivered to logs:\n")
    resources = [statement["Resource"] for statement in policy_of(server, "logs")["Statement"]]
    assert resources == ["arn:aws:s3:::logs", f"arn:aws:s3:::logs/AWSLogs/{server.account}/*"]
    policy = json.loads(server.aws("sns", "get-topic-attributes", "--topic-arn", topic)["Attributes"]["Policy"])
    assert [statement["Resource"] for statement in policy["Statement"]] == [topic, topic]
    server.advance("PT5M")
    status = server.aws("cloudtrail", "get-trail-status", "--name", "main")
    assert status["IsLogging"] and status["LatestDeliveryTime"] and status["LatestNotificationTime"]
    key, = log_files(server.client("s3", "test"), "logs")
    assert key.startswith(f"AWSLogs/{server.account}/CloudTrail/us-east-1/")


def test_a_prefix(server):
    _, text = subscribe(server, "--s3-new-bucket", "logs", "--s3-prefix", "pre")
    assert text.endswith("Logs will be delivered to logs:pre\n")
    assert policy_of(server, "logs")["Statement"][1]["Resource"] == f"arn:aws:s3:::logs/pre/AWSLogs/{server.account}/*"
    server.advance("PT5M")
    key, = log_files(server.client("s3", "test"), "logs")
    assert key.startswith(f"pre/AWSLogs/{server.account}/CloudTrail/")


def test_policies_of_the_users_own(server, tmp_path):
    accounts = {"AWS": ["arn:aws:iam::903692715234:root", "arn:aws:iam::086441151436:root"]}
    bucket = tmp_path / "bucket.json"
    bucket.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
        {"Sid": "AWSCloudTrailAclCheck20131101", "Effect": "Allow", "Principal": accounts, "Action": "s3:GetBucketAcl",
         "Resource": "arn:aws:s3:::<BucketName>"},
        {"Sid": "AWSCloudTrailWrite20131101", "Effect": "Allow", "Principal": accounts, "Action": "s3:PutObject",
         "Resource": "arn:aws:s3:::<BucketName>/<Prefix>/AWSLogs/<CustomerAccountID>/*",
         "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}},
    ]}))
    topic = tmp_path / "topic.json"
    topic.write_text(json.dumps({"Statement": [
        {"Sid": "AWSCloudTrailSNSPolicy20131101", "Effect": "Allow", "Principal": accounts, "Action": "SNS:Publish",
         "Resource": "arn:aws:sns:<Region>:<SNSTopicOwnerAccountId>:<SNSTopicName>"},
    ]}))
    subscribe(server, "--s3-new-bucket", "logs", "--sns-new-topic", "notes",
              "--s3-custom-policy", f"file://{bucket}", "--sns-custom-policy", f"file://{topic}")
    server.advance("PT5M")
    status = server.aws("cloudtrail", "get-trail-status", "--name", "main")
    assert status["LatestDeliveryTime"] and status["LatestNotificationTime"]


def test_a_bucket_that_is_there(server):
    server.aws("s3", "mb", "s3://logs")
    assert "InsufficientS3BucketPolicyException" in refused(server, "--s3-use-bucket", "logs")
    server.aws("s3api", "put-bucket-policy", "--bucket", "logs", "--policy", json.dumps(bucket_policy("logs")))
    subscribe(server, "--s3-use-bucket", "logs")
    server.advance("PT5M")
    assert len(log_files(server.client("s3", "test"), "logs")) == 1
    assert "Bucket logs already exists" in refused(server, "--s3-new-bucket", "logs", name="second")


def test_another_region(server):
    trails, _ = subscribe(server, "--s3-new-bucket", "logs", "--sns-new-topic", "notes", "--region", "eu-west-1")
    assert trails[0]["HomeRegion"] == "eu-west-1"
    assert trails[0]["SnsTopicARN"] == f"arn:aws:sns:eu-west-1:{server.account}:notes"
    assert server.aws("s3api", "get-bucket-location", "--bucket", "logs")["LocationConstraint"] == "eu-west-1"
    server.advance("PT5M")
    status = server.aws("cloudtrail", "get-trail-status", "--name", "main", "--region", "eu-west-1")
    assert status["LatestDeliveryTime"] and status["LatestNotificationTime"]
    key, = log_files(server.client("s3", "test"), "logs")
    assert "/CloudTrail/eu-west-1/" in key


def test_what_was_made_is_gone_when_the_trail_is_refused(server, tmp_path):
    both = "--s3-new-bucket", "logs", "--sns-new-topic", "notes"
    assert "InvalidTrailNameException" in refused(server, *both, name="no")
    assert (buckets(server), topics(server)) == ([], [])
    useless = tmp_path / "useless.json"
    useless.write_text(json.dumps(topic_for("config.amazonaws.com")))
    assert "InsufficientSnsTopicPolicyException" in refused(server, *both, "--sns-custom-policy", f"file://{useless}")
    assert (buckets(server), topics(server)) == ([], [])
    assert server.aws("cloudtrail", "describe-trails")["trailList"] == []
    subscribe(server, *both)


def topic_for(service):
    return {"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "SNS:Publish",
                           "Resource": "arn:aws:sns:<Region>:<SNSTopicOwnerAccountId>:<SNSTopicName>"}]}


def test_an_update_moves_a_trail(server):
    subscribe(server, "--s3-new-bucket", "logs", "--s3-prefix", "pre")
    trails, text = subscribe(server, "--s3-new-bucket", "more", "--sns-new-topic", "notes", command="update-subscription")
    trail, = trails
    # The command looks up the prefix by itself.
    assert (trail["S3BucketName"], trail["S3KeyPrefix"], trail["SnsTopicName"]) == ("more", "pre", "notes")
    assert "Starting CloudTrail service" not in text
    server.advance("PT5M")
    key, = log_files(server.client("s3", "test"), "more")
    assert key.startswith("pre/")


def test_the_templates_can_be_looked_at(server):
    url = "s3://awscloudtrail-policy-us-east-1/policy/S3/AWSCloudTrail-S3BucketPolicy-2014-12-17.json"
    template = server.aws("s3", "cp", url, "-")
    assert template["Statement"][0]["Resource"] == "arn:aws:s3:::<BucketName>"
