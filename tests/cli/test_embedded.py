"""The embedded S3, SNS and STS, as the aws CLI and boto3 use them."""

import http.server
import json
import queue
import threading
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from conftest import ACCOUNT


def code_of(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def test_the_cli_moves_files(server, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "a.txt").write_text("a")
    (tree / "deep" / "é +.txt").write_text("b")
    server.aws("s3", "mb", "s3://data")
    server.aws("s3", "sync", str(tree), "s3://data/tree")
    listed = server.aws("s3", "ls", "--recursive", "s3://data")
    assert "tree/a.txt" in listed and "tree/deep/é +.txt" in listed
    back = tmp_path / "back"
    server.aws("s3", "sync", "s3://data/tree", str(back))
    assert (back / "deep" / "é +.txt").read_text() == "b"
    server.aws("s3", "cp", "s3://data/tree/a.txt", "s3://data/copy.txt")
    server.aws("s3", "mv", "s3://data/copy.txt", "s3://data/moved.txt")
    assert server.aws("s3", "cp", "s3://data/moved.txt", "-") == "a"
    assert server.aws("s3", "rb", "s3://data", check=False).returncode != 0
    server.aws("s3", "rm", "--recursive", "s3://data")
    server.aws("s3", "rb", "s3://data")
    assert server.aws("s3", "ls") == ""


def test_large_files_go_in_parts(server, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 80_000)
    server.aws("s3", "mb", "s3://data")
    server.aws("s3", "cp", str(file), "s3://data/large")
    server.aws("s3", "cp", "s3://data/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == file.read_bytes()
    assert server.client("s3").head_object(Bucket="data", Key="large")["ETag"].endswith('-3"')


def test_objects_keep_what_they_were_given(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="../x//y", Body=b"0123456789", ContentType="text/plain", ContentEncoding="gzip", Metadata={"owner": "me"}, ACL="bucket-owner-full-control")
    found = s3.get_object(Bucket="data", Key="../x//y", Range="bytes=2-4")
    assert found["Body"].read() == b"234" and found["ContentRange"] == "bytes 2-4/10"
    assert (found["ContentType"], found["ContentEncoding"], found["Metadata"]) == ("text/plain", "gzip", {"owner": "me"})
    assert code_of(s3.get_object, Bucket="data", Key="none") == "NoSuchKey"
    assert code_of(s3.get_object, Bucket="none", Key="none") == "NoSuchBucket"
    assert code_of(s3.delete_bucket, Bucket="data") == "BucketNotEmpty"
    assert code_of(s3.get_bucket_policy, Bucket="data") == "NoSuchBucketPolicy"


def test_presigned_urls_need_no_signature_header(server):
    for version in ("s3v4", "s3"):
        s3 = server.client("s3", signature_version=version)
        s3.create_bucket(Bucket=f"data-{version}")
        put = s3.generate_presigned_url("put_object", Params={"Bucket": f"data-{version}", "Key": "k"})
        urllib.request.urlopen(urllib.request.Request(put, data=b"hello", method="PUT"))
        get = s3.generate_presigned_url("get_object", Params={"Bucket": f"data-{version}", "Key": "k"})
        assert urllib.request.urlopen(get).read() == b"hello"
    event = server.events(eventName="GetObject")[0]
    assert event["additionalEventData"]["AuthenticationMethod"] == "QueryString"
    assert event["userIdentity"]["accessKeyId"] == ACCOUNT
    text = json.dumps(server.events())
    for url in (put, get):
        assert url.split("Signature=")[1].split("&")[0] not in text


def test_buckets_may_be_in_the_host_name(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"hello")
    request = urllib.request.Request(f"{server.url}/k", headers={"Host": "data.localhost"})
    assert urllib.request.urlopen(request).read() == b"hello"
    event = server.events(eventName="GetObject")[-1]
    assert event["requestParameters"]["bucketName"] == "data" and event["requestParameters"]["key"] == "k"


def test_checksummed_chunks_are_stored_without_their_framing(server):
    server.client("s3").create_bucket(Bucket="data")
    body = b"5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "5", "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
               "x-amz-trailer": "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm": "CRC32"}
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/data/k", data=body, headers=headers, method="PUT"))
    found = server.client("s3").get_object(Bucket="data", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == b"hello" and found["ChecksumCRC32"] == "NhCmhg=="
    wrong = body.replace(b"NhCmhg==", b"AAAAAA==")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/data/k", data=wrong, headers=headers, method="PUT"))
    assert b"BadDigest" in error.value.read()


def test_object_calls_are_data_events(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"hello")
    event, = server.events(eventName="PutObject")
    assert event["managementEvent"] is False and event["eventCategory"] == "Data" and event["readOnly"] is False
    assert {resource["type"]: resource["ARN"] for resource in event["resources"]} == {
        "AWS::S3::Object": "arn:aws:s3:::data/k", "AWS::S3::Bucket": "arn:aws:s3:::data"}
    names = [found["EventName"] for found in server.client("cloudtrail").lookup_events()["Events"]]
    assert names == ["CreateBucket"]


@pytest.fixture
def subscriber():
    """An HTTP endpoint: the bodies posted to it come out of its queue."""
    inbox = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.put((dict(self.headers), json.loads(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    inbox.url = f"http://127.0.0.1:{endpoint.server_port}/notes"
    yield inbox
    endpoint.shutdown()


def test_notifications_reach_http_subscribers(server, subscriber):
    sns = server.client("sns")
    topic = sns.create_topic(Name="deliveries")["TopicArn"]
    assert topic == f"arn:aws:sns:us-east-1:{ACCOUNT}:deliveries"
    pending = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)["SubscriptionArn"]
    assert pending == "pending confirmation"
    headers, confirmation = subscriber.get(timeout=20)
    assert confirmation["Type"] == "SubscriptionConfirmation" and headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    urllib.request.urlopen(confirmation["SubscribeURL"]).read()
    sent = sns.publish(TopicArn=topic, Message="hello", Subject="greeting")
    headers, notification = subscriber.get(timeout=20)
    assert notification["Type"] == "Notification" and notification["MessageId"] == sent["MessageId"]
    assert (notification["Message"], notification["Subject"], notification["TopicArn"]) == ("hello", "greeting", topic)
    assert server.control(f"sns/messages?topicArn={topic}")[1]["Messages"][0]["Message"] == "hello"
    assert code_of(sns.publish, TopicArn=topic + "x", Message="m") == "NotFound"
    server.aws("sns", "list-topics")


def test_a_subscriber_does_not_lead_elsewhere(server, subscriber):
    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.put(self.path)
            self.send_response(307)
            self.send_header("Location", subscriber.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    asked = queue.Queue()
    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    sns = server.client("sns")
    topic = sns.create_topic(Name="deliveries")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{endpoint.server_port}/away")
    for _ in range(3):  # as often as it is tried
        assert asked.get(timeout=20) == "/away"
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://169.254.169.254/latest/meta-data")
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=subscriber.url)
    assert subscriber.get(timeout=20)[1]["Type"] == "SubscriptionConfirmation"
    assert subscriber.empty()
    endpoint.shutdown()
    assert "no notification to 169.254.169.254" in server.log


def test_sts_gives_keys_that_say_who_calls(server):
    sts = server.client("sts")
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    role = f"arn:aws:iam::{ACCOUNT}:role/ops/audit"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="night")
    keys = assumed["Credentials"]
    as_role = server.client("sts", keys["AccessKeyId"], token=keys["SessionToken"])
    assert as_role.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/audit/night"
    identity = server.events(eventName="GetCallerIdentity")[-1]["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["sessionContext"]["sessionIssuer"]["arn"] == role
    event, = server.events(eventName="AssumeRole")
    assert event["readOnly"] is True and event["resources"][0]["ARN"] == role

    session = sts.get_session_token()["Credentials"]
    server.client("sts", session["AccessKeyId"], token=session["SessionToken"]).get_caller_identity()
    identity = server.events(eventName="GetCallerIdentity")[-1]["userIdentity"]
    assert identity["type"] == "Root" and identity["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"

    federated = sts.get_federation_token(Name="carol")["Credentials"]
    server.client("sts", federated["AccessKeyId"], token=federated["SessionToken"]).get_caller_identity()
    identity = server.events(eventName="GetCallerIdentity")[-1]["userIdentity"]
    assert identity["type"] == "FederatedUser" and identity["arn"].endswith(":federated-user/carol")
    text = json.dumps(server.events())
    for given in (keys, session, federated):
        assert given["SecretAccessKey"] not in text and given["SessionToken"] not in text

    assert code_of(sts.assume_role, RoleArn="nonsense-nonsense-nonsense", RoleSessionName="night") == "ValidationError"


def test_a_web_identity_needs_no_signature(server):
    import botocore

    claims = "eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlIiwiYXVkIjoiYXBwIiwic3ViIjoiY2Fyb2wifQ"
    role = f"arn:aws:iam::{ACCOUNT}:role/web"
    unsigned = server.client("sts", signature_version=botocore.UNSIGNED)
    answer = unsigned.assume_role_with_web_identity(RoleArn=role, RoleSessionName="web", WebIdentityToken=f"e30.{claims}.x")
    event, = server.events(eventName="AssumeRoleWithWebIdentity")
    assert event["userIdentity"]["type"] == "WebIdentityUser" and event["userIdentity"]["userName"] == "carol"
    server.client("sts", answer["Credentials"]["AccessKeyId"]).get_caller_identity()
    identity = server.events(eventName="GetCallerIdentity")[-1]["userIdentity"]
    assert identity["sessionContext"]["webIdFederationData"]["federatedProvider"]
    assert claims not in json.dumps(server.events())


def test_a_form_is_refused_where_signatures_are_verified(start, tmp_path):
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id = {ACCOUNT}\naws_secret_access_key = secret\n")
    server = start("--verify-signatures", "--credentials", str(credentials))
    s3 = server.client("s3")
    s3.create_bucket(Bucket="data")
    body = (b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n')
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    signed = AWSRequest("POST", f"{server.url}/data", headers, body)
    S3SigV4Auth(Credentials(ACCOUNT, "secret"), "s3", "us-east-1").add_auth(signed)
    for given in (headers, dict(signed.headers)):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(urllib.request.Request(f"{server.url}/data", body, given))
        assert error.value.code == 403 and b"<Code>AccessDenied</Code>" in error.value.read()
    assert "Contents" not in s3.list_objects_v2(Bucket="data")


def test_identities_outlive_a_restart(start, tmp_path):
    server = start("--data-dir", str(tmp_path))
    keys = server.client("sts").get_federation_token(Name="carol")["Credentials"]
    server.stop()
    server = start("--data-dir", str(tmp_path))
    server.client("sts", keys["AccessKeyId"]).get_caller_identity()
    assert server.events(eventName="GetCallerIdentity")[-1]["userIdentity"]["type"] == "FederatedUser"
