"""What is wrong gets the error that AWS gives; nothing of it is stored and nothing breaks."""

import json
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

SIGNED = "AWS4-HMAC-SHA256 Credential=111122223333/20261122/us-east-1/cloudtrail/aws4_request, SignedHeaders=host, Signature=0"


def post(server, target, body, authorization=SIGNED):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, "X-Amz-Date": "20261122T150130Z"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        with urllib.request.urlopen(urllib.request.Request(server.url, data=body, headers=headers), timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


PREFIXES = ("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.", "CloudTrail_20131101.")


def test_both_target_prefixes_work(server):
    for prefix in PREFIXES:
        assert post(server, prefix + "ListTrails", b"{}") == (200, {"Trails": []})
    assert post(server, PREFIXES[0] + "ListTrails", b"")[0] == 200


@pytest.mark.parametrize(
    "target, body, authorization, status, code",
    [
        ("CloudTrail_20131101.CreateTrail", b"{", SIGNED, 400, "SerializationException"),
        ("CloudTrail_20131101.CreateTrail", b"[]", SIGNED, 400, "SerializationException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":7,"S3BucketName":"b"}', SIGNED, 400, "SerializationException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":"\xff"}', SIGNED, 400, "SerializationException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":' * 5000, SIGNED, 400, "SerializationException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":"' + b"x" * 10_000_000 + b'"}', SIGNED, 413, "RequestEntityTooLargeException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":"a\\u0000b","S3BucketName":"logs"}', SIGNED, 400, "InvalidTrailNameException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":"main","S3BucketName":"../../etc"}', SIGNED, 400, "InvalidS3BucketNameException"),
        ("CloudTrail_20131101.CreateTrail", b'{"Name":"main","S3BucketName":"nowhere"}', SIGNED, 400, "S3BucketDoesNotExistException"),
        ("CloudTrail_20131101.Nothing", b"{}", SIGNED, 400, "UnknownOperationException"),
        ("CloudTrail_20131101.StartQuery", b"{}", SIGNED, 400, "UnsupportedOperationException"),
        ("CloudTrail_20131101.GetTrail", b'{"Name":"unknown"}', SIGNED, 400, "TrailNotFoundException"),
        ("CloudTrail_20131101.LookupEvents", b'{"NextToken":"Zm9yZWlnbg=="}', SIGNED, 400, "InvalidNextTokenException"),
        ("CloudTrail_20131101.ListTrails", b"{}", None, 400, "MissingAuthenticationTokenException"),
        ("CloudTrail_20131101.ListTrails", b"{}", "AWS4-HMAC-SHA256 nonsense", 400, "IncompleteSignatureException"),
        ("CloudTrail_20131101.ListTrails", b"{}", "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=0", 400, "IncompleteSignatureException"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_calls_get_their_error(server, target, body, authorization, status, code):
    got, answer = post(server, target, body, authorization)
    assert (got, answer["__type"]) == (status, code), answer
    assert server.client("cloudtrail").list_trails()["Trails"] == []
    assert "panicked" not in server.log


def test_unsupported_operations_say_their_name(server):
    _, answer = post(server, PREFIXES[0] + "StartQuery", b"{}")
    assert "StartQuery" in answer["Message"]


def test_calls_that_never_reached_cloudtrail_leave_no_event(server):
    post(server, PREFIXES[0] + "CreateTrail", b"{")
    post(server, PREFIXES[0] + "Nothing", b"{}")
    post(server, PREFIXES[0] + "ListTrails", b"{}", None)
    assert server.events() == []
    post(server, PREFIXES[0] + "GetTrail", b'{"Name":"unknown"}')
    event, = server.events()
    assert event["errorCode"] == "TrailNotFoundException" and event["eventName"] == "GetTrail"


def test_a_head_of_10_mb_is_refused(server):
    answer = server.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Large: " + b"x" * 10_000_000 + b"\r\n\r\n")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    assert server.control("health")[0] == 200


def test_garbage_is_refused(server):
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET /\x00 HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                    b"PUT /%zz HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", b"GET /?X-Amz-Credential=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n"):
        server.raw(garbage)
        assert server.control("health")[0] == 200, garbage
    assert "panicked" not in server.log


def test_keys_never_leave_the_object_folder(start, tmp_path):
    server = start("--data-dir", str(tmp_path / "data"))
    s3 = server.client("s3")
    s3.create_bucket(Bucket="data")
    for key in ("../../../escape", "/etc/escape", "..", ".", "a/../../escape", "escape\\..\\x"):
        s3.put_object(Bucket="data", Key=key, Body=b"x")
    assert len(s3.list_objects_v2(Bucket="data")["Contents"]) == 6
    assert [path for path in tmp_path.rglob("*escape*")] == []
    for bucket in ("..", "../up", "UPPER", "a", "x" * 64, "192.0.2.1", "a..b"):
        with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.ParamValidationError)):
            s3.create_bucket(Bucket=bucket)
