"""Starts the program (LOCALTRAIL_BIN) and moto_server on free ports; drives them with the aws CLI and boto3."""

import gzip
import json
import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import boto3
import botocore.config
import pytest

BIN = os.environ.get("LOCALTRAIL_BIN", "target/debug/localtrail")
ACCOUNT = "111122223333"
START = "2026-11-22T15:01:30Z"


def bucket_policy(bucket, prefix=""):
    """What lets CloudTrail write to a bucket, as its user guide has it, for every account and trail."""
    service = {"Service": "cloudtrail.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "AWSCloudTrailAclCheck20150319", "Effect": "Allow", "Principal": service,
             "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{bucket}"},
            {"Sid": "AWSCloudTrailWrite20150319", "Effect": "Allow", "Principal": service,
             "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/{prefix}AWSLogs/*",
             "Condition": {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}},
        ],
    }


def topic_policy(arn):
    """What lets CloudTrail publish to a topic."""
    statement = {"Sid": "AWSCloudTrailSNSPolicy20150319", "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
                 "Action": "SNS:Publish", "Resource": arn}
    return {"Version": "2012-10-17", "Statement": [statement]}


def clean_environment():
    """The environment without what would point the clients elsewhere."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LOCALTRAIL_"))}
    return kept | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "PATH": str(pathlib.Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]}


class Program:
    """A child process whose first line matching `ready` tells its URL."""

    def __init__(self, arguments, ready, environment=None):
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment or clean_environment()
        )
        self.lines = []
        found = queue.Queue()
        threading.Thread(target=self._read, args=(ready, found), daemon=True).start()
        try:
            self.url = found.get(timeout=60)
        except queue.Empty:
            self.url = None
        if self.url is None:
            self.process.kill()
            raise RuntimeError("did not start:\n" + "".join(self.lines))

    def _read(self, ready, found):
        for line in self.process.stdout:
            self.lines.append(line)
            if match := re.search(ready, line):
                found.put(match.group(1))
        found.put(None)

    @property
    def log(self):
        return "".join(self.lines)

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=20)


class Localtrail(Program):
    def __init__(self, *arguments):
        super().__init__([BIN, "serve", "--listen", "127.0.0.1:0", *arguments], r"^localtrail listening on (http://\S+)")

    def client(self, service, access_key=ACCOUNT, region="us-east-1", token=None, secret="secret", **config):
        config = {"retries": {"max_attempts": 0}, "s3": {"addressing_style": "path"}, "inject_host_prefix": False} | config
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=botocore.config.Config(**config),
        )

    def bucket(self, name, access_key=ACCOUNT):
        """Makes a bucket that CloudTrail may write to."""
        s3 = self.client("s3", access_key)
        s3.create_bucket(Bucket=name)
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(bucket_policy(name)))

    def aws(self, *words, check=True, access_key="test", stdin=None, parse=True):
        """Runs the aws CLI against this server as a user would; gives its JSON, or its text where it is none."""
        environment = clean_environment() | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        done = subprocess.run(["aws", *words], env=environment, input=stdin, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"aws {' '.join(words)}: {done.stderr}")
        if not check:
            return done
        try:
            return json.loads(done.stdout) if parse else done.stdout
        except ValueError:
            return done.stdout

    def control(self, call, body=None, method=None, headers=None):
        """A call of the control API: (status, JSON)."""
        data = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        request = urllib.request.Request(f"{self.url}/_localtrail/{call}", data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode()

    def events(self, **filters):
        query = "&".join(f"{k}={v}" for k, v in filters.items())
        return self.control(f"events?{query}")[1]["Records"]

    def advance(self, by):
        status, answer = self.control("clock", {"advance": by})
        assert status == 200, answer
        return answer

    def raw(self, data, timeout=10):
        """Sends bytes as they are and returns all that comes back."""
        host, port = self.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            connection.settimeout(timeout)
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):
                return answer if "answer" in locals() else b""
            return answer


def log_files(s3, bucket):
    """Every log file in a bucket: {key: records}."""
    files = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            if "/CloudTrail/" in entry["Key"]:
                body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                files[entry["Key"]] = json.loads(gzip.decompress(body))["Records"]
    return files


@pytest.fixture
def start():
    """Starts servers; they are stopped after the test."""
    running = []

    def start(*arguments):
        running.append(Localtrail(*arguments))
        return running[-1]

    yield start
    for server in running:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def server(start):
    """A server by itself, its clock standing at START."""
    return start("--time", START)


@pytest.fixture(scope="session")
def moto_url():
    moto = Program(
        [shutil.which("moto_server", path=clean_environment()["PATH"]), "-H", "127.0.0.1", "-p", "0"], r"Running on (http://127\S+)"
    )
    yield moto.url
    moto.stop(signal.SIGKILL)


@pytest.fixture
def moto(moto_url):
    """A real moto_server, emptied."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")).read()
    return moto_url
