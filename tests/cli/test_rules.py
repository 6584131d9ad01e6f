"""Rules of trails, as the aws CLI and boto3 show them."""

import json

import botocore.exceptions
import pytest
from conftest import ACCOUNT, log_files

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


def make(server, *more):
    server.bucket("logs")
    return server.aws("cloudtrail", "create-trail", "--name", "main", "--s3-bucket-name", "logs", *more, access_key=ACCOUNT)


def test_insights_are_turned_on_and_off_with_the_cli(server):
    make(server)

    def cloudtrail(*words, **options):
        return server.aws("cloudtrail", *words, "--trail-name", "main", access_key=ACCOUNT, **options)

    off = cloudtrail("get-insight-selectors", check=False)
    assert (
        f"An error occurred (InsightNotEnabledException) when calling the GetInsightSelectors operation: Trail {ARN} does not have "
        "Insights enabled. Edit the trail settings to enable Insights, and then try the operation again." in off.stderr
    )
    selectors = [{"InsightType": "ApiCallRateInsight"}, {"InsightType": "ApiErrorRateInsight", "EventCategories": ["Management"]}]
    put = cloudtrail("put-insight-selectors", "--insight-selectors", json.dumps(selectors))
    assert put == {"TrailARN": ARN, "InsightSelectors": selectors}
    assert cloudtrail("get-insight-selectors") == put
    cloudtrail("put-insight-selectors", "--insight-selectors", "[]")
    assert "InsightNotEnabledException" in cloudtrail("get-insight-selectors", check=False).stderr


def test_a_trail_of_another_region_is_changed_at_home_alone(server):
    make(server, "--is-multi-region-trail")
    away = server.client("cloudtrail", region="eu-west-1")
    assert [trail["HomeRegion"] for trail in away.describe_trails()["trailList"]] == ["us-east-1"]
    assert away.get_trail_status(Name=ARN)["IsLogging"] is False
    with pytest.raises(away.exceptions.InvalidHomeRegionException):
        away.start_logging(Name=ARN)
    with pytest.raises(away.exceptions.TrailNotFoundException) as error:
        away.start_logging(Name="main")
    assert f"arn:aws:cloudtrail:eu-west-1:{ACCOUNT}:trail/main for the user: {ACCOUNT}" in str(error.value)


def test_what_a_deleted_trail_took_is_delivered(server):
    make(server)
    cloudtrail = server.client("cloudtrail")
    cloudtrail.start_logging(Name="main")
    cloudtrail.delete_trail(Name="main")
    cloudtrail.list_trails()
    server.advance("PT5M")
    records = [record["eventName"] for file in log_files(server.client("s3"), "logs").values() for record in file]
    assert records == ["StartLogging", "DeleteTrail"]


def test_an_unsupported_operation_is_named_once_its_request_is_right(server):
    cloudtrail = server.client("cloudtrail")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        cloudtrail.start_query(QueryStatement="SELECT 1 FROM x")
    assert error.value.response["Error"] == {
        "Code": "UnsupportedOperationException",
        "Message": "The operation StartQuery is not supported.",
    }
