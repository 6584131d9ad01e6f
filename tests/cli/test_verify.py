"""--verify-signatures against clients that sign by themselves: boto3, the aws CLI, and chunks signed by hand."""

import contextlib
import datetime
import hashlib
import hmac
import http.client
import io
import json
import sqlite3
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from conftest import ACCOUNT

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = f"""
[default]
aws_access_key_id = test
aws_secret_access_key = test
[account]
aws_access_key_id = {ACCOUNT}
aws_secret_access_key = {SECRET}
[alice]
aws_access_key_id = AKIDALICE
aws_secret_access_key = {SECRET}
account_id = 444455556666
"""


@pytest.fixture
def verifying(start, tmp_path):
    """Starts a server that verifies; `client` and `aws` of it sign with what its file says."""
    path = tmp_path / "credentials"
    path.write_text(CREDENTIALS)

    def verifying(*arguments):
        server = start("--verify-signatures", "--credentials", str(path), *arguments)
        server.signed = lambda service, key=ACCOUNT, secret=SECRET, **more: server.client(service, access_key=key, secret=secret, **more)
        return server

    return verifying


def code_of(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def http_error(request):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    return error.value.code, error.value.read().decode()


KEYS = ["plain", "a b/c d", "ü/é ñ", "a+b&c=d?e#f", "(a)[b]{c}'d\"e", "..a//b/./c", "a%20b%2Fc", "~tilde_-.", "日本/語", "x" * 1000]


def test_boto3_is_let_in_with_every_kind_of_call(verifying):
    server = verifying()
    s3 = server.signed("s3")
    s3.create_bucket(Bucket="data")
    for key in KEYS:
        s3.put_object(Bucket="data", Key=key, Body=key.encode(), Metadata={"own": " two  words "})
        assert s3.get_object(Bucket="data", Key=key)["Body"].read() == key.encode(), key
        s3.list_objects_v2(Bucket="data", Prefix=key, Delimiter="/")
        s3.copy_object(Bucket="data", Key=key + "2", CopySource={"Bucket": "data", "Key": key})
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256"):
        if algorithm != "CRC32C":  # botocore needs the CRT for it
            s3.put_object(Bucket="data", Key=algorithm, Body=b"hello", ChecksumAlgorithm=algorithm)
            s3.put_object(Bucket="data", Key=algorithm + "-stream", Body=io.BytesIO(b"hello" * 100_000), ChecksumAlgorithm=algorithm)
    s3.upload_fileobj(io.BytesIO(b"x" * (20 << 20)), "data", "large")
    assert s3.head_object(Bucket="data", Key="large")["ContentLength"] == 20 << 20
    s3.delete_objects(Bucket="data", Delete={"Objects": [{"Key": key} for key in KEYS]})
    s3.put_bucket_tagging(Bucket="data", Tagging={"TagSet": [{"Key": "k", "Value": "v w"}]})
    unsigned = server.signed("s3", s3={"addressing_style": "path", "payload_signing_enabled": False})
    unsigned.put_object(Bucket="data", Key="unsigned", Body=b"x")
    signed = server.signed("s3", s3={"addressing_style": "path", "payload_signing_enabled": True})
    signed.put_object(Bucket="data", Key="signed", Body=b"x")
    sns = server.signed("sns")
    topic = sns.create_topic(Name="t", Tags=[{"Key": "a b", "Value": "c+d"}])["TopicArn"]
    sns.publish(TopicArn=topic, Message="ü & + = %")
    trails = server.signed("cloudtrail")
    assert trails.list_trails()["Trails"] == []
    trails.lookup_events()
    assert server.signed("sts", key="AKIDALICE").get_caller_identity()["Account"] == "444455556666"


def test_boto3_is_refused_with_another_secret_key_or_token(verifying):
    server = verifying()
    calls = [("s3", "list_buckets"), ("sns", "list_topics"), ("cloudtrail", "list_trails"), ("sts", "get_caller_identity")]
    faults = [
        ({"secret": "wrong"}, ["SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException", "SignatureDoesNotMatch"]),
        ({"key": "AKIDNOBODY"}, ["InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidClientTokenId"]),
        ({"token": "mine"}, ["InvalidToken", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidClientTokenId"]),
    ]
    for arguments, codes in faults:
        for (service, call), code in zip(calls, codes):
            assert code_of(getattr(server.signed(service, **arguments), call)) == code, (service, arguments)
    assert server.events() == []
    # In each protocol that a service speaks.
    assert code_of(server.signed("ec2", secret="wrong").describe_vpcs) == "AuthFailure"
    assert code_of(server.signed("dynamodb", secret="wrong").list_tables) == "InvalidSignatureException"
    assert code_of(server.signed("lambda", secret="wrong").list_functions) == "InvalidSignatureException"
    assert code_of(server.signed("route53", secret="wrong").list_hosted_zones) == "SignatureDoesNotMatch"


def test_the_cli_is_let_in_and_refused(verifying, tmp_path):
    server = verifying()
    file = tmp_path / "a file (1).bin"
    file.write_bytes(b"x" * (9 << 20))
    server.aws("s3", "mb", "s3://data")
    server.aws("s3", "cp", str(file), "s3://data/a key/ü")
    server.aws("s3", "cp", "-", "s3://data/piped", stdin="hello")
    assert server.aws("s3", "cp", "s3://data/piped", "-", parse=False) == "hello"
    assert server.aws("s3", "cp", "s3://data/a key/ü", str(tmp_path / "back"), parse=False) and (tmp_path / "back").stat().st_size == 9 << 20
    server.aws("sns", "create-topic", "--name", "t")
    server.aws("cloudtrail", "lookup-events")
    server.aws("sts", "get-caller-identity")
    for words, code in [
        (["s3api", "list-buckets"], "SignatureDoesNotMatch"),
        (["cloudtrail", "list-trails"], "InvalidSignatureException"),
        (["sts", "get-caller-identity"], "SignatureDoesNotMatch"),
    ]:
        done = server.aws(*words, check=False, access_key="AKIDALICE")
        assert done.returncode != 0 and code in done.stderr, done.stderr


def test_presigned_urls_hold_until_they_expire_and_as_they_are(verifying):
    server = verifying()
    s3 = server.signed("s3", signature_version="s3v4")
    s3.create_bucket(Bucket="data")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "data", "Key": "a b"}, ExpiresIn=600)
    urllib.request.urlopen(urllib.request.Request(put, data=b"hello", method="PUT"))
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "data", "Key": "a b", "ResponseContentType": "a/b+c"}, ExpiresIn=3600)
    assert urllib.request.urlopen(get).read() == b"hello"
    for wrong in (get.replace("a%20b?", "other?"), get.replace("Expires=3600", "Expires=7200"), get[:-1] + ("0" if get[-1] != "0" else "1"), get + "&versionId=null"):
        status, text = http_error(wrong)
        assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text, wrong
    status, text = http_error(get.replace("Expires=3600", "Expires=700000"))
    assert status == 400 and "<Code>AuthorizationQueryParametersError</Code>" in text
    assert http_error(urllib.request.Request(get, data=b"x", method="PUT"))[0] == 403
    # A URL of STS, too: its parameters stand beside the signature's.
    url = server.signed("sts").generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    assert ACCOUNT in urllib.request.urlopen(urllib.request.Request(url)).read().decode()
    server.advance("PT20M")
    assert urllib.request.urlopen(get).read() == b"hello"
    status, text = http_error(urllib.request.Request(put, data=b"again", method="PUT"))
    assert status == 403 and "<Code>AccessDenied</Code><Message>Request has expired</Message>" in text
    assert "<Code>SignatureDoesNotMatch</Code>" in http_error(url)[1]
    server.advance("PT41M")
    assert "Request has expired" in http_error(get)[1]


def test_sigv2_is_not_taken(verifying):
    server = verifying()
    url = server.signed("s3", signature_version="s3").generate_presigned_url("list_buckets")
    status, text = http_error(url)
    assert status == 400 and "<Code>InvalidRequest</Code>" in text and "AWS4-HMAC-SHA256" in text


def test_a_moved_clock_refuses_who_does_not_follow(verifying):
    server = verifying()
    server.advance("PT14M")
    server.signed("s3").list_buckets()
    server.advance("PT2M")
    assert code_of(server.signed("s3").list_buckets) == "RequestTimeTooSkewed"
    assert code_of(server.signed("cloudtrail").list_trails) == "InvalidSignatureException"
    assert code_of(server.signed("sns").list_topics) == "SignatureDoesNotMatch"
    server.control("reset", {})
    server.signed("s3").list_buckets()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def chunked_put(server, path, chunks, trailer=None, spoil=None, secret=SECRET):
    """PutObject in signed chunks, written from AWS's description alone. `spoil` changes the framed body."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    scope = f"{day}/us-east-1/s3/aws4_request"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    sign = lambda text: hmac.new(key, text.encode(), "sha256").hexdigest()
    kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("-TRAILER" if trailer else "")
    headers = {
        "content-encoding": "aws-chunked",
        "host": server.url.removeprefix("http://"),
        "x-amz-content-sha256": kind,
        "x-amz-date": stamp,
        "x-amz-decoded-content-length": str(sum(map(len, chunks))),
    }
    if trailer:
        headers["x-amz-trailer"] = trailer[0]
    names = ";".join(sorted(headers))
    canonical = "\n".join(["PUT", path, "", *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, kind])
    previous = sign("\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha256(canonical.encode())]))
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/{scope}, SignedHeaders={names}, Signature={previous}"
    body = b""
    for chunk in [*chunks, b""]:
        previous = sign("\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, sha256(b""), sha256(chunk)]))
        body += f"{len(chunk):x};chunk-signature={previous}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    if trailer:
        name, value = trailer
        signature = sign("\n".join(["AWS4-HMAC-SHA256-TRAILER", stamp, scope, previous, sha256(f"{name}:{value}\n".encode())]))
        body += f"{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n".encode()
    body += b"\r\n"
    body = spoil(body) if spoil else body
    connection = http.client.HTTPConnection(headers["host"], timeout=30)
    connection.request("PUT", path, body=body, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def swap(body):
    """The first two chunks, of equal length, in the other order."""
    first = body.index(b"\r\n") + 2 + 65_536 + 2
    return body[first : 2 * first] + body[:first] + body[2 * first :]


CHUNKS = [b"a" * 65_536, b"b" * 65_536, b"c" * 100]
SPOILT = {
    "data": lambda body: body.replace(b"ccccc", b"ccccd", 1),
    "signature": lambda body: body.replace(b"signature=", b"signature=0", 1),
    "order": swap,
    "left out": lambda body: body[body.index(b"\r\n") + 2 + 65_536 + 2 :],
    "unsigned": lambda body: body.replace(b";chunk-signature=", b";x=", 1),
    "end": lambda body: body[: body.rindex(b"0;chunk-signature=")] + b"0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n",
}
CRC = ("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")  # of b"hello"


@pytest.mark.parametrize("upstream", [False, True], ids=["embedded", "moto"])
def test_signed_chunks_are_checked_one_by_one(verifying, moto, upstream):
    server = verifying(*(("--upstream", moto) if upstream else ()))
    s3 = server.signed("s3")
    s3.create_bucket(Bucket="data")
    status, text = chunked_put(server, "/data/good", CHUNKS)
    assert status == 200, text
    assert s3.get_object(Bucket="data", Key="good")["Body"].read() == b"".join(CHUNKS)
    for name, spoil in SPOILT.items():
        status, text = chunked_put(server, "/data/bad", CHUNKS, spoil=spoil)
        assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text, (name, text)
        assert code_of(s3.head_object, Bucket="data", Key="bad") == "404", name
    status, text = chunked_put(server, "/data/bad", CHUNKS, secret="wrong")
    assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text
    assert chunked_put(server, "/data/trailed", [b"hello"], trailer=CRC)[0] == 200
    assert s3.get_object(Bucket="data", Key="trailed")["Body"].read() == b"hello"
    for spoil in (lambda body: body.replace(b"LPJNul", b"LPJNum"), lambda body: body.replace(b"trailer-signature:", b"trailer-signature:0")):
        status, text = chunked_put(server, "/data/bad", [b"hello"], trailer=CRC, spoil=spoil)
        assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in text, text
    # Trailers that the head did not announce are signed by nobody.
    status, text = chunked_put(server, "/data/bad", [b"hello"], spoil=lambda body: body[:-2] + b"x-amz-checksum-crc32:NhCmhg==\r\n\r\n")
    assert status == 403, text
    assert code_of(s3.head_object, Bucket="data", Key="bad") == "404"
    assert {event["eventName"] for event in server.events()} <= {"CreateBucket", "PutObject", "GetObject", "HeadObject"}
    assert len(server.events(eventName="PutObject")) == 2


@pytest.mark.parametrize("upstream", [False, True], ids=["embedded", "moto"])
def test_an_object_that_is_not_what_its_hash_says_is_not_kept(verifying, moto, upstream):
    server = verifying(*(("--upstream", moto) if upstream else ()))
    s3 = server.signed("s3", s3={"addressing_style": "path", "payload_signing_enabled": True}, request_checksum_calculation="when_required")
    s3.create_bucket(Bucket="data")

    def other_body(request, **_):
        request.body = bytes(int(request.headers["Content-Length"]) - 1) + b"!"

    for size in (10, 5 << 20):
        s3.put_object(Bucket="data", Key="good", Body=bytes(size))
        s3.meta.events.register("before-send.s3.PutObject", other_body)
        assert code_of(s3.put_object, Bucket="data", Key="bad", Body=bytes(size)) == "XAmzContentSHA256Mismatch"
        s3.meta.events.unregister("before-send.s3.PutObject", other_body)
        assert code_of(s3.head_object, Bucket="data", Key="bad") == "404"
    assert len(server.events(eventName="PutObject")) == 2


def test_keys_that_an_upstream_issues_are_learned(verifying, moto):
    server = verifying("--upstream", moto)
    iam = server.signed("iam")
    iam.create_user(UserName="alice")
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    alice = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    server.signed("sqs", **alice).create_queue(QueueName="q")
    server.signed("dynamodb", **alice).list_tables()
    assert code_of(server.signed("sqs", **alice | {"secret": "wrong"}).list_queues)
    assert server.events(eventName="CreateQueue")[0]["userIdentity"]["userName"] == "alice"
    iam.update_access_key(UserName="alice", AccessKeyId=alice["key"], Status="Inactive")
    assert code_of(server.signed("sts", **alice).get_caller_identity) == "InvalidClientTokenId"
    iam.update_access_key(UserName="alice", AccessKeyId=alice["key"], Status="Active")
    server.signed("sts", **alice).get_caller_identity()
    iam.delete_access_key(UserName="alice", AccessKeyId=alice["key"])
    assert code_of(server.signed("sts", **alice).get_caller_identity) == "InvalidClientTokenId"

    issued = server.signed("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="session")["Credentials"]
    session = {"key": issued["AccessKeyId"], "secret": issued["SecretAccessKey"]}
    server.signed("s3", **session, token=issued["SessionToken"]).list_buckets()
    assert code_of(server.signed("s3", **session).list_buckets) == "InvalidAccessKeyId"
    assert code_of(server.signed("s3", **session, token="other").list_buckets) == "InvalidToken"
    for secret in (key["SecretAccessKey"], issued["SecretAccessKey"], issued["SessionToken"], SECRET):
        assert secret not in json.dumps(server.events()) and secret not in server.log


def test_what_the_store_fails_to_take_is_known_all_the_same(verifying, tmp_path):
    folder = tmp_path / "data"
    server = verifying("--data-dir", str(folder))
    with contextlib.closing(sqlite3.connect(folder / "localtrail.sqlite", isolation_level=None)) as database:
        database.execute("create trigger full before insert on identity begin select raise(fail, 'full'); end")
    issued = server.signed("sts").get_session_token()["Credentials"]
    session = server.signed("sns", issued["AccessKeyId"], issued["SecretAccessKey"], token=issued["SessionToken"])
    session.list_topics()
    made, used = server.events()
    assert made["eventName"] == "GetSessionToken"
    assert "sessionContext" in used["userIdentity"]
    (warning,) = [line for line in server.log.splitlines() if "WARN" in line]
    assert "GetSessionToken" in warning and issued["AccessKeyId"] not in warning


def test_calls_without_a_signature_are_refused(verifying, moto):
    server = verifying("--upstream", moto)
    assert http_error(server.url)[0] == 403
    assert http_error(f"{server.url}/moto-api/data.json")[0] == 403
    assert "AccessDenied" in http_error(f"{server.url}/data/k")[1]
    assert server.events() == []
    assert server.control("health")[0] == 200


def test_a_file_of_credentials_that_cannot_be_read_stops_the_start(start, tmp_path):
    path = tmp_path / "credentials"
    path.write_text("[a]\naws_access_key_id = x\n")
    for words, reason in [(["--credentials", str(path)], "line 1"), (["--credentials", str(tmp_path / "none")], "credentials"), (["--verify-signatures"], "--credentials")]:
        with pytest.raises(RuntimeError) as error:
            start(*words)
        assert reason in str(error.value)
