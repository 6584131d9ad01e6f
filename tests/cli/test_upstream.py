"""In front of an upstream: calls pass byte for byte, and are recorded."""

import gzip
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.request

import botocore.exceptions
import pytest

from conftest import log_files

MOTO_ACCOUNT = "123456789012"


@pytest.fixture
def echo():
    """An upstream that answers what a test tells it to: echo.answer = (status, headers, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            length = self.headers.get("Content-Length")
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body, left = [], int(length or 0)
                while left:
                    piece = self.rfile.read(min(left, 1 << 20))
                    body.append(piece) if left < 1 << 24 else None
                    left -= len(piece)
                body = b"".join(body)
            server.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, answer = server.answer
            if status is None:
                server.release.wait(30)
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.answer, server.release = [], (200, {"x-amzn-RequestId": "11111111-2222-3333-4444-555555555555"}, b"{}"), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()


def test_calls_of_every_protocol_are_recorded(start, moto):
    server = start("--upstream", moto)
    iam, ec2, sqs = (server.client(name, "test") for name in ("iam", "ec2", "sqs"))
    iam.create_user(UserName="alice", Path="/staff/")
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    queue = sqs.create_queue(QueueName="work")["QueueUrl"]
    server.client("dynamodb", "test").create_table(
        TableName="songs",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    server.client("lambda", "test").list_functions()
    server.client("s3", "test").create_bucket(Bucket="data")
    server.client("cloudwatch", "test").put_metric_alarm(
        AlarmName="high", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, MetricName="m", Namespace="n",
        Period=60, Statistic="Sum", Threshold=1.0,
    )
    events = {event["eventName"]: event for event in server.events()}
    assert {name: event["eventSource"].split(".")[0] for name, event in events.items()} == {
        "CreateUser": "iam", "CreateVpc": "ec2", "CreateQueue": "sqs", "CreateTable": "dynamodb",
        "ListFunctions20150331": "lambda", "CreateBucket": "s3", "PutMetricAlarm": "monitoring",
    }
    assert events["CreateUser"]["requestParameters"] == {"userName": "alice", "path": "/staff/"}
    assert events["CreateUser"]["responseElements"]["user"]["arn"] == f"arn:aws:iam::{MOTO_ACCOUNT}:user/staff/alice"
    assert events["CreateQueue"]["requestParameters"]["queueName"] == "work"
    assert events["CreateQueue"]["responseElements"] == {"queueUrl": queue}
    assert events["CreateTable"]["requestParameters"]["tableName"] == "songs"
    assert events["CreateBucket"]["requestParameters"]["bucketName"] == "data"
    assert events["PutMetricAlarm"]["requestParameters"]["alarmName"] == "high"
    assert all(event["userIdentity"]["type"] == "Root" for event in events.values())
    assert all(event["recipientAccountId"] == MOTO_ACCOUNT for event in events.values())


def test_answers_and_requests_pass_byte_for_byte(start, echo):
    server = start("--upstream", echo.url, "--account-id", "111122223333")
    body = gzip.compress(b'{"Items":[]}')
    echo.answer = (200, {"Content-Type": "application/x-amz-json-1.0", "Content-Encoding": "gzip", "X-Odd": "a  b"}, body)
    path = "/%2e%2e/a%2Fb//c?x=1&x=%20&y"
    request = urllib.request.Request(server.url + path, data=b"\x00\xff", headers={"X-Own": "v", "Host": "things.example"}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == body
        assert answer.headers["X-Odd"] == "a  b" and answer.headers["Content-Encoding"] == "gzip"
    method, seen_path, headers, seen_body = echo.seen[-1]
    assert (method, seen_path, seen_body) == ("PUT", path, b"\x00\xff")
    assert headers["host"] == "things.example" and headers["x-own"] == "v"


def test_moto_answers_the_same_through_the_door(start, moto):
    server = start("--upstream", moto)
    server.client("kms", "test").create_key()
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20261122T150130Z", "X-Amz-Target": "TrentService.ListKeys", "Content-Type": "application/x-amz-json-1.1",
    }
    through, direct = (
        urllib.request.urlopen(urllib.request.Request(url, data=b"{}", headers=headers)).read() for url in (server.url, moto)
    )
    assert json.loads(direct)["Keys"] and through == direct


def test_an_error_of_the_upstream_is_recorded(start, moto):
    server = start("--upstream", moto)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("iam", "test").get_user(UserName="nobody")
    assert error.value.response["Error"]["Code"] == "NoSuchEntity"
    event, = server.events(eventName="GetUser")
    assert event["errorCode"] == "NoSuchEntityException"
    assert event["requestID"] == error.value.response["ResponseMetadata"]["RequestId"]


def test_keys_learned_from_answers_say_who_calls(start, moto):
    server = start("--upstream", moto)
    iam = server.client("iam", "test")
    user = iam.create_user(UserName="alice", Path="/staff/")["User"]
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    role = iam.create_role(RoleName="audit", Path="/ops/", AssumeRolePolicyDocument="{}")["Role"]
    alice = server.client("sts", key["AccessKeyId"])
    session = alice.assume_role(RoleArn=role["Arn"], RoleSessionName="night")
    credentials = session["Credentials"]
    server.client("sqs", credentials["AccessKeyId"], token=credentials["SessionToken"]).list_queues()

    assumed, = server.events(eventName="AssumeRole")
    identity = assumed["userIdentity"]
    assert identity == {
        "type": "IAMUser", "principalId": user["UserId"], "arn": user["Arn"], "accountId": MOTO_ACCOUNT,
        "accessKeyId": key["AccessKeyId"], "userName": "alice",
    }
    listed, = server.events(eventName="ListQueues")
    identity = listed["userIdentity"]
    assert identity["type"] == "AssumedRole" and identity["arn"] == session["AssumedRoleUser"]["Arn"]
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert issuer["arn"] == role["Arn"] and issuer["userName"] == "audit"
    assert identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    looked_up = server.client("cloudtrail", "test").lookup_events(
        LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "night"}]
    )["Events"]
    assert [event["EventName"] for event in looked_up] == ["ListQueues"]
    everything = json.dumps(server.events())
    for secret in (key["SecretAccessKey"], credentials["SecretAccessKey"], credentials["SessionToken"]):
        assert secret not in everything


def test_a_body_over_the_limit_passes_whole_and_is_recorded(start, echo):
    server = start("--upstream", echo.url, "--max-recorded-body", "1000", "--account-id", "111122223333")
    echo.answer = (200, {"ETag": '"0"'}, b"")
    server.client("s3", request_checksum_calculation="when_required").put_object(Bucket="data", Key="big", Body=b"x" * 5_000_000)
    assert len(echo.seen[-1][3]) == 5_000_000
    event, = server.events(eventName="PutObject")
    assert event["requestParameters"]["bucketName"] == "data" and event["requestParameters"]["key"] == "big"
    assert event["additionalEventData"]["bytesTransferredIn"] == 5_000_000


def test_a_service_that_nobody_answers_names_the_option(server):
    for service, call, arguments in [("sqs", "list_queues", {}), ("iam", "list_users", {}), ("ec2", "describe_vpcs", {}),
                                     ("lambda", "list_functions", {}), ("route53", "list_hosted_zones", {}), ("cloudwatch", "list_metrics", {})]:
        with pytest.raises(botocore.exceptions.ClientError) as error:
            getattr(server.client(service), call)(**arguments)
        assert error.value.response["Error"]["Code"] == "ServiceUnavailable"
        assert "--upstream" in error.value.response["Error"]["Message"]
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    event, = server.events(eventName="ListQueues")
    assert event["errorCode"] == "ServiceUnavailable"


def test_an_upstream_that_is_down_gives_a_502(start):
    server = start("--upstream", "http://127.0.0.1:9", "--account-id", "111122223333")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("dynamodb").list_tables()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    assert error.value.response["Error"]["Code"] == "ServiceUnavailable"
    event, = server.events()
    assert event["eventName"] == "ListTables" and event["errorCode"] == "ServiceUnavailable"


def test_an_upstream_that_hangs_gives_a_504_in_time(start, echo):
    echo.answer = (None, {}, b"")
    # Nobody says which account it is, so that this is asked of the upstream, which hangs as well.
    server = start("--upstream", echo.url, "--upstream-timeout", "1")
    began = time.monotonic()
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("iam").list_users()
    assert time.monotonic() - began < 20
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 504
    assert [event["errorCode"] for event in server.events()] == ["ServiceUnavailable"]


def test_an_answer_that_stops_half_way_breaks_off_and_is_recorded(start):
    silent = socket.create_server(("127.0.0.1", 0))

    def half():
        connection, _ = silent.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70000)
        connection.recv(1)

    threading.Thread(target=half, daemon=True).start()
    server = start("--upstream", f"http://127.0.0.1:{silent.getsockname()[1]}", "--upstream-timeout", "1", "--account-id", "111122223333")
    with pytest.raises((botocore.exceptions.HTTPClientError, botocore.exceptions.ClientError)):
        server.client("s3").get_object(Bucket="data", Key="k")["Body"].read()
    assert [event["eventName"] for event in server.events()] == ["GetObject"]


def test_http2_without_tls_works(start, moto):
    if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this curl speaks no HTTP/2")
    server = start("--upstream", moto)
    done = subprocess.run(
        ["curl", "-s", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-H", "X-Amz-Target: DynamoDB_20120810.ListTables",
         "-H", "Authorization: AWS4-HMAC-SHA256 Credential=test/20261122/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
         "-H", "X-Amz-Date: 20261122T150130Z", "-H", "Content-Type: application/x-amz-json-1.0", "-d", "{}", server.url],
        capture_output=True, text=True,
    )
    assert done.stdout == '{"TableNames": []}2 200'
    assert [event["eventName"] for event in server.events()] == ["ListTables"]


def test_an_https_upstream_with_a_private_certificate(start, echo, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True, capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    echo.socket = context.wrap_socket(echo.socket, server_side=True)
    url = echo.url.replace("http://", "https://")
    trusting = start("--upstream", url, "--upstream-ca", str(certificate), "--account-id", "111122223333")
    trusting.client("dynamodb").list_tables()
    doubting = start("--upstream", url, "--account-id", "111122223333")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        doubting.client("dynamodb").list_tables()
    assert "certificate" in error.value.response["Error"]["Message"]


def test_deliveries_are_signed_in_the_machines_time(start, echo):
    server = start("--upstream", echo.url, "--account-id", "111122223333", "--time", "2031-01-01T00:00:00Z", "--bucket-policy-check", "off")
    echo.answer = (200, {}, b"")
    trails = server.client("cloudtrail")
    trails.create_trail(Name="main", S3BucketName="logs")
    trails.start_logging(Name="main")
    assert server.control("flush", {})[1]["failed"] == []
    method, path, headers, _ = echo.seen[-1]
    assert method == "PUT" and "/2031/01/01/" in path
    assert headers["x-amz-date"].startswith(time.strftime("%Y", time.gmtime())) and headers["x-amz-acl"] == "bucket-owner-full-control"


def test_log_files_wait_while_the_bucket_is_gone(start, moto):
    server = start("--upstream", moto, "--time", "2026-11-22T15:01:30Z")
    s3, trails = server.client("s3", "test"), server.client("cloudtrail", "test")
    server.bucket("logs", "test")
    trails.create_trail(Name="main", S3BucketName="logs")
    trails.start_logging(Name="main")
    s3.delete_bucket(Bucket="logs")
    server.advance("PT5M")
    status = trails.get_trail_status(Name="main")
    assert status["LatestDeliveryError"] == "NoSuchBucket" and "LatestDeliveryTime" not in status
    server.bucket("logs", "test")
    server.advance("PT1H")
    status = trails.get_trail_status(Name="main")
    assert "LatestDeliveryError" not in status and status["LatestDeliveryTime"]
    names = [record["eventName"] for records in log_files(s3, "logs").values() for record in records]
    assert names.count("StartLogging") == 1 and names.count("DeleteBucket") == 1
