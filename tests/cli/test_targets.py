"""Where trails deliver to besides S3, through moto: CloudWatch Logs."""

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
    aws("s3", "mb", "s3://logs")
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
