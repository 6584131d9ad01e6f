"""Where trails deliver to besides S3, through moto: CloudWatch Logs, EventBridge; KMS for keys, Organizations for members."""

import json

import pytest

MOTO_ACCOUNT = "123456789012"
GROUP = f"arn:aws:logs:us-east-1:{MOTO_ACCOUNT}:log-group:CloudTrail/logs:*"
ROLE = f"arn:aws:iam::{MOTO_ACCOUNT}:role/logs"


@pytest.fixture
def server(start, moto):
    """In front of moto, by the machine's clock: moto has no other."""
    return start("--upstream", moto)


def flush(server):
    status, answer = server.control("flush", {})
    assert status == 200, answer
    return answer


def test_records_are_found_in_the_log_group_of_the_trail(server):
    aws = server.aws
    server.bucket("logs", "test")
    trail = ("--name", "main", "--s3-bucket-name", "logs", "--cloud-watch-logs-log-group-arn", GROUP, "--cloud-watch-logs-role-arn", ROLE)
    refused = aws("cloudtrail", "create-trail", *trail, check=False)
    assert "(InvalidCloudWatchLogsLogGroupArnException)" in refused.stderr
    assert "CloudTrail cannot validate the specified log group ARN." in refused.stderr
    aws("logs", "create-log-group", "--log-group-name", "CloudTrail/logs")
    assert aws("cloudtrail", "create-trail", *trail)["CloudWatchLogsLogGroupArn"] == GROUP
    aws("cloudtrail", "start-logging", "--name", "main")
    aws("iam", "create-user", "--user-name", "alice")
    assert flush(server)["failed"] == []

    found = aws("logs", "filter-log-events", "--log-group-name", "CloudTrail/logs")["events"]
    assert {event["logStreamName"] for event in found} == {f"{MOTO_ACCOUNT}_CloudTrail_us-east-1"}
    records = {record["eventName"]: record for record in (json.loads(event["message"]) for event in found)}
    assert records["CreateUser"]["requestParameters"] == {"userName": "alice"}
    status = aws("cloudtrail", "get-trail-status", "--name", "main")
    assert "LatestCloudWatchLogsDeliveryTime" in status and "LatestCloudWatchLogsDeliveryError" not in status

    aws("logs", "delete-log-group", "--log-group-name", "CloudTrail/logs")
    aws("iam", "delete-user", "--user-name", "alice")
    flush(server)
    status = aws("cloudtrail", "get-trail-status", "--name", "main")
    assert status["LatestCloudWatchLogsDeliveryError"] == "ResourceNotFoundException"


def rule(server, queue_name, pattern, **settings):
    """A rule on the default bus whose target is a queue; gives a function that receives what reaches it."""
    events, sqs = (server.client(name, "test") for name in ("events", "sqs"))
    events.put_rule(Name=queue_name, EventPattern=json.dumps(pattern), **settings)
    sqs.create_queue(QueueName=queue_name)
    events.put_targets(Rule=queue_name, Targets=[{"Id": "q", "Arn": f"arn:aws:sqs:us-east-1:{MOTO_ACCOUNT}:{queue_name}"}])
    url = f"{server.url}/{MOTO_ACCOUNT}/{queue_name}"

    def receive(wait_seconds=0):
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_seconds).get("Messages", [])
        for message in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in received]

    return receive


def logging_trail(server):
    server.bucket("logs", "test")
    trails = server.client("cloudtrail", "test")
    trails.create_trail(Name="main", S3BucketName="logs")
    trails.start_logging(Name="main")


def test_a_rule_on_request_parameters_reaches_its_queue_within_seconds(server):
    logging_trail(server)
    receive = rule(server, "alices", {
        "source": ["aws.iam"], "detail-type": ["AWS API Call via CloudTrail"],
        "detail": {"eventName": ["CreateUser"], "requestParameters": {"userName": ["alice"]}},
    })
    iam = server.client("iam", "test")
    iam.create_user(UserName="bob")
    iam.create_user(UserName="alice")
    # The worker sends it by itself; nobody flushes.
    event, = receive(wait_seconds=20)
    assert (event["source"], event["detail-type"], event["region"]) == ("aws.iam", "AWS API Call via CloudTrail", "us-east-1")
    assert event["resources"] == []
    assert event["detail"]["responseElements"]["user"]["userName"] == "alice"
    assert event["detail"] == server.events(eventName="CreateUser")[1]


def test_another_source_prefix_is_for_a_bus_that_keeps_awss(start, moto):
    server = start("--upstream", moto, "--event-source-prefix", "local")
    logging_trail(server)
    receive = rule(server, "all", {"source": ["local.iam"]})
    server.client("iam", "test").create_user(UserName="alice")
    flush(server)
    event, = receive()
    assert event["source"] == "local.iam"


def test_reads_reach_a_bus_with_a_rule_for_all_management_events(server):
    logging_trail(server)
    receive = rule(server, "some", {"source": ["aws.iam"]})
    iam = server.client("iam", "test")
    iam.list_users()
    iam.create_user(UserName="alice")
    flush(server)
    assert [event["detail"]["eventName"] for event in receive()] == ["CreateUser"]
    rule(server, "every", {"source": ["aws.iam"]}, State="ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS")
    iam.list_users()
    flush(server)
    assert [event["detail"]["eventName"] for event in receive()] == ["ListUsers"]


def test_log_files_are_encrypted_with_the_key_of_the_trail(server):
    aws = server.aws
    server.bucket("logs", "test")
    key = aws("kms", "create-key")["KeyMetadata"]
    aws("kms", "create-alias", "--alias-name", "alias/trails", "--target-key-id", key["KeyId"])
    trail = aws("cloudtrail", "create-trail", "--name", "main", "--s3-bucket-name", "logs", "--kms-key-id", "alias/trails")
    assert trail["KmsKeyId"] == key["Arn"]
    aws("cloudtrail", "start-logging", "--name", "main")
    (file,) = flush(server)["logFiles"]
    head = aws("s3api", "head-object", "--bucket", "logs", "--key", file["key"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key["Arn"])

    update = ("cloudtrail", "update-trail", "--name", "main", "--kms-key-id")
    rsa = aws("kms", "create-key", "--key-spec", "RSA_2048", "--key-usage", "ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    for given, code in (
        ("alias/nope", "KmsKeyNotFoundException"),
        (key["Arn"].replace("us-east-1", "eu-west-1"), "KmsKeyNotFoundException"),
        (rsa, "InvalidKmsKeyIdException"),
    ):
        assert f"({code})" in aws(*update, given, check=False).stderr
    aws("kms", "disable-key", "--key-id", key["KeyId"])
    assert "(KmsKeyDisabledException)" in aws(*update, key["KeyId"], check=False).stderr


def test_an_organization_trail_logs_the_members_that_the_upstream_tells_of(server):
    aws = server.aws
    server.bucket("logs", "test")
    trail = ("cloudtrail", "create-trail", "--name", "all", "--s3-bucket-name", "logs", "--is-organization-trail")
    assert "(OrganizationsNotInUseException)" in aws(*trail, check=False).stderr
    organization = aws("organizations", "create-organization", "--feature-set", "ALL")["Organization"]["Id"]
    aws("organizations", "create-account", "--email", "member@example.com", "--account-name", "member")
    member = next(a["Id"] for a in aws("organizations", "list-accounts")["Accounts"] if a["Name"] == "member")
    assert "(CloudTrailAccessNotEnabledException)" in aws(*trail, check=False).stderr
    aws("organizations", "enable-aws-service-access", "--service-principal", "cloudtrail.amazonaws.com")
    arn = aws(*trail)["TrailARN"]
    aws("cloudtrail", "start-logging", "--name", "all")
    assert [t["TrailARN"] for t in aws("cloudtrail", "describe-trails", access_key=member)["trailList"]] == [arn]
    stopped = aws("cloudtrail", "stop-logging", "--name", arn, access_key=member, check=False)
    assert "(NotOrganizationMasterAccountException)" in stopped.stderr
    keys = [file["key"] for file in flush(server)["logFiles"]]
    assert {key.rsplit("/CloudTrail/")[0] for key in keys} == {
        f"AWSLogs/{organization}/{account}" for account in (MOTO_ACCOUNT, member)
    }
    aws("cloudtrail", "register-organization-delegated-admin", "--member-account-id", member)
    aws("cloudtrail", "stop-logging", "--name", arn, access_key=member)
