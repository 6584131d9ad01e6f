"""`aws cloudtrail validate-logs`, unmodified, over what localtrail delivers: all valid, and every tampering found."""

import gzip
import hashlib
import json
import re
import signal

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from conftest import ACCOUNT, START, Localtrail, bucket_policy

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"


def validated_trail(server, **more):
    server.bucket("logs")
    if prefix := more.get("S3KeyPrefix"):
        policy = bucket_policy("logs", prefix + "/")
        server.client("s3").put_bucket_policy(Bucket="logs", Policy=json.dumps(policy))
    trails = server.client("cloudtrail")
    trails.create_trail(Name="main", S3BucketName="logs", EnableLogFileValidation=True, **more)
    trails.start_logging(Name="main")
    return trails


def validate(server, region="us-east-1", start=START, end="2026-12-31T00:00:00Z", arn=ARN, *more):
    """Runs validate-logs: (exit code, its text)."""
    words = ["cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", start, "--end-time", end, "--region", region, *more]
    done = server.aws(*words, check=False, access_key=ACCOUNT)
    print(done.stdout, done.stderr)
    return done.returncode, done.stdout + done.stderr


def keys(server, kind, bucket="logs", region="us-east-1"):
    pages = server.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return [key for key in found if f"/{kind}/{region}/" in key]


def quiet_days(server, days, calls_every=4):
    """Lets days pass, with a call in both regions every few hours."""
    for _ in range(days * 24 // calls_every):
        for region in ("us-east-1", "eu-west-1"):
            server.client("sns", region=region).list_topics()
        server.advance(f"PT{calls_every}H")


@pytest.fixture(scope="module")
def untouched():
    """Three days of a trail of all regions, with calls in two."""
    server = Localtrail("--time", START)
    validated_trail(server, IsMultiRegionTrail=True)
    quiet_days(server, 3)
    yield server
    server.stop()


@pytest.fixture
def three_days(untouched):
    """The same; after the test what it did to the bucket is undone."""
    s3 = untouched.client("s3")
    before = {entry["Key"]: entry["ETag"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="logs") for entry in page["Contents"]}
    saved = {key: s3.get_object(Bucket="logs", Key=key) for key in tampered_keys(untouched)}
    saved = {key: (got["Body"].read(), got["Metadata"]) for key, got in saved.items()}
    yield untouched
    for key, (body, metadata) in saved.items():
        s3.put_object(Bucket="logs", Key=key, Body=body, Metadata=metadata)
    after = {entry["Key"]: entry["ETag"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="logs") for entry in page["Contents"]}
    for key in after.keys() - before.keys():
        s3.delete_object(Bucket="logs", Key=key)
    assert before == {key: etag for key, etag in after.items() if key in before}


def tampered_keys(server):
    """The log file and the digest that tests do something to."""
    return keys(server, "CloudTrail")[4], keys(server, "CloudTrail-Digest")[20]


def test_three_days_in_two_regions_are_valid(three_days):
    assert validate(three_days, "us-east-1") == (
        0,
        f"Validating log files for trail {ARN} between {START} and 2026-12-31T00:00:00Z\n\n"
        f"Results requested for {START} to 2026-12-31T00:00:00Z\n"
        f"Results found for {START} to 2026-11-25T15:01:30Z:\n\n"
        "72/72 digest files valid\n18/18 log files valid\n",
    )
    code, text = validate(three_days, "eu-west-1")
    assert code == 0 and "72/72 digest files valid\n18/18 log files valid" in text
    code, text = validate(three_days, "eu-north-1")
    assert code == 0 and "No digests found" in text
    code, text = validate(three_days, "us-east-1", "2026-11-23T10:00:00Z", "2026-11-23T20:00:00Z")
    assert code == 0 and "11/11 digest files valid" in text


def test_a_changed_log_file_is_found(three_days):
    s3, key = three_days.client("s3"), tampered_keys(three_days)[0]
    body = gzip.decompress(s3.get_object(Bucket="logs", Key=key)["Body"].read())
    s3.put_object(Bucket="logs", Key=key, Body=gzip.compress(body.replace(b"ListTopics", b"LostTopics")))
    code, text = validate(three_days)
    assert code == 1 and f"Log file\ts3://logs/{key}\tINVALID: hash value doesn't match" in text
    assert "72/72 digest files valid\n17/18 log files valid, 1/18 log files INVALID" in text


def test_a_deleted_log_file_is_found(three_days):
    key = tampered_keys(three_days)[0]
    three_days.client("s3").delete_object(Bucket="logs", Key=key)
    code, text = validate(three_days)
    assert code == 1 and f"Log file\ts3://logs/{key}\tINVALID: not found" in text
    assert "17/18 log files valid, 1/18 log files INVALID" in text


def test_a_moved_log_file_is_found(three_days):
    s3, key = three_days.client("s3"), tampered_keys(three_days)[0]
    s3.copy_object(Bucket="logs", CopySource={"Bucket": "logs", "Key": key}, Key="elsewhere/" + key)
    s3.delete_object(Bucket="logs", Key=key)
    code, text = validate(three_days)
    assert code == 1 and f"Log file\ts3://logs/{key}\tINVALID: not found" in text


def test_a_changed_digest_is_found(three_days):
    s3, key = three_days.client("s3"), tampered_keys(three_days)[1]
    digest = s3.get_object(Bucket="logs", Key=key)
    body = json.loads(gzip.decompress(digest["Body"].read())) | {"logFiles": []}
    body["oldestEventTime"] = "2026-11-22T00:00:00Z"
    s3.put_object(Bucket="logs", Key=key, Body=gzip.compress(json.dumps(body).encode()), Metadata=digest["Metadata"])
    code, text = validate(three_days)
    assert code == 1 and f"Digest file\ts3://logs/{key}\tINVALID: signature verification failed" in text
    assert "71/72 digest files valid, 1/72 digest files INVALID" in text


def test_a_deleted_digest_is_found(three_days):
    key = tampered_keys(three_days)[1]
    three_days.client("s3").delete_object(Bucket="logs", Key=key)
    code, text = validate(three_days)
    assert code == 1 and f"Digest file\ts3://logs/{key}\tINVALID: not found" in text
    assert "71/72 digest files valid, 1/72 digest files INVALID" in text


def test_a_digest_in_another_s_place_is_found(three_days):
    s3, all_keys = three_days.client("s3"), keys(three_days, "CloudTrail-Digest")
    s3.copy_object(Bucket="logs", CopySource={"Bucket": "logs", "Key": all_keys[19]}, Key=all_keys[20])
    code, text = validate(three_days)
    assert code == 1 and f"Digest file\ts3://logs/{all_keys[20]}\tINVALID: has been moved from its original location" in text


def test_a_digest_signed_by_another_key_is_found(three_days):
    private = rsa.generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    s3, key = three_days.client("s3"), tampered_keys(three_days)[1]
    digest = s3.get_object(Bucket="logs", Key=key)
    body = json.loads(gzip.decompress(digest["Body"].read())) | {"logFiles": []}
    original = body["digestPublicKeyFingerprint"]
    for fingerprint, found in [
        (original, "signature verification failed"),
        (hashlib.md5(public).hexdigest(), "public key not found in region us-east-1 for fingerprint"),
    ]:
        body["digestPublicKeyFingerprint"] = fingerprint
        text = json.dumps(body).encode()
        signed = "\n".join([body["digestEndTime"], f"logs/{key}", hashlib.sha256(text).hexdigest(), body["previousDigestSignature"]])
        signature = private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        s3.put_object(Bucket="logs", Key=key, Body=gzip.compress(text), Metadata={"signature": signature, "signature-algorithm": "SHA256withRSA"})
        code, output = validate(three_days)
        assert code == 1 and f"Digest file\ts3://logs/{key}\tINVALID: {found}" in output
        assert "71/72 digest files valid, 1/72 digest files INVALID" in output


def test_the_chain_outlives_restarts_and_keys(start, tmp_path):
    arguments = ("--time", START, "--data-dir", str(tmp_path))
    server = start(*arguments)
    validated_trail(server, S3KeyPrefix="team/a")
    server.client("sns").list_topics()
    server.advance("P10D")
    assert server.stop() == 0
    # The clock goes back to --time with a start, so it is given anew.
    server = start("--time", "2026-12-02T15:01:30Z", *arguments[2:])
    server.client("sns").list_topics()
    server.advance("P12DT30M")
    server.stop(signal.SIGKILL)
    server = start("--time", "2026-12-14T15:31:30Z", *arguments[2:])
    server.client("sns").list_topics()
    server.advance("P12D")
    assert len(server.client("cloudtrail").list_public_keys(StartTime=START, EndTime="2026-12-26T00:00:00Z")["PublicKeyList"]) == 2
    now = server.client("cloudtrail").list_public_keys()["PublicKeyList"]
    assert len(now) == 1 and now[0]["Value"].startswith(b"0\x82\x01\n\x02\x82\x01\x01\x00")
    code, text = validate(server)
    assert code == 0 and "816/816 digest files valid\n3/3 log files valid" in text
    assert all(key.startswith("team/a/AWSLogs/") for key in keys(server, "CloudTrail-Digest"))
    assert "PRIVATE" not in server.log


def test_an_outage_leaves_a_chain_that_is_valid(server):
    trails = validated_trail(server)
    server.client("sns").list_topics()
    s3 = server.client("s3")
    s3.delete_bucket(Bucket="logs")
    server.advance("PT3H")
    assert trails.get_trail_status(Name="main")["LatestDigestDeliveryError"] == "NoSuchBucket"
    server.bucket("logs")
    server.advance("PT2H")
    status = trails.get_trail_status(Name="main")
    assert "LatestDigestDeliveryError" not in status and status["LatestDigestDeliveryTime"]
    code, text = validate(server)
    assert code == 0 and "5/5 digest files valid" in text and "log files INVALID" not in text


def test_backfill_digests_and_gaps_are_valid(server):
    trails = validated_trail(server)
    s3 = server.client("s3")
    s3.delete_bucket(Bucket="logs")
    trails.stop_logging(Name="main")
    server.advance("PT30M")
    server.bucket("logs")
    server.advance("PT3H")
    trails.start_logging(Name="main")
    server.advance("PT2H")
    code, text = validate(server)
    assert code == 0
    assert "3/3 digest files valid\n1/1 backfill digest files valid\n2/2 log files valid" in text
    assert re.search(r"No log files were delivered by CloudTrail between \S+ and \S+", text)


def test_flushed_digests_are_valid(server):
    trails = validated_trail(server)
    for _ in range(3):
        trails.list_trails()
        status, answer = server.control("flush", {"digests": True})
        assert status == 200 and len(answer["digests"]) == 1 and answer["failed"] == []
    code, text = validate(server)
    assert code == 0 and "3/3 digest files valid\n3/3 log files valid" in text


def test_digests_go_to_a_real_upstream(start, moto):
    server = start("--time", START, "--upstream", moto, "--account-id", ACCOUNT)
    s3 = server.client("s3", region="eu-west-1")
    s3.create_bucket(Bucket="logs", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps(bucket_policy("logs")))
    trails = server.client("cloudtrail")
    trails.create_trail(Name="main", S3BucketName="logs", EnableLogFileValidation=True, IsMultiRegionTrail=True)
    trails.start_logging(Name="main")
    quiet_days(server, 1)
    for region in ("us-east-1", "eu-west-1"):
        code, text = validate(server, region)
        assert code == 0 and "24/24 digest files valid\n6/6 log files valid" in text
