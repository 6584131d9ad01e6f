"""Kills the program with SIGKILL, again and again, while it is called; then counts what is lost and what is doubled.

    python tests/crash/kills.py --bin target/release/localtrail --kills 1000

Each round starts the program on the same data folder, calls it over several connections and kills it at a random
moment: in a call, in a commit, while it cuts or writes a log file or a digest, or while it starts. Every call that was
answered, and whose answer was read to its end, must then be in the event export once, and in one log file of the trail
once. A call that was cut off may be there or not, but never twice. `aws cloudtrail validate-logs`, as it is installed,
must find every digest and every log file of the whole run valid. Prints one line of figures; exits with 1 if anything
is lost, doubled, invalid or left over.

This is about the death of the process. It says nothing about power loss: see `--durability`, which can be given here too.
"""

import argparse
import collections
import contextlib
import datetime
import gzip
import json
import os
import pathlib
import queue
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ACCOUNT = "111122223333"
BUCKET = "logs"
SIGNED = (
    f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20261122/us-east-1/{{}}/aws4_request, SignedHeaders=host, Signature=0"
)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": action, "Resource": resource}
        for action, resource in [
            ("s3:GetBucketAcl", f"arn:aws:s3:::{BUCKET}"),
            ("s3:PutObject", f"arn:aws:s3:::{BUCKET}/AWSLogs/{ACCOUNT}/*"),
        ]
    ],
}
SELECTORS = [
    {
        "ReadWriteType": "All",
        "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/"]}],
    }
]
TIMEOUT_SECONDS = 30
FAULTS = (
    "lost", "doubled", "undelivered", "delivered twice", "log files not validated", "files left over", "files gone", "errors"
)


class Connection:
    """One keep-alive connection to the door. Nothing but a socket: it must notice a kill at once."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, service, method, path, body=b"", **headers):
        """Status, request id and body of the answer; `OSError` where it did not come to its end."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: {SIGNED.format(service)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += ["X-Amz-Date: 20261122T150130Z", f"Content-Length: {len(body)}", "", ""]
        self.socket.sendall("\r\n".join(lines).encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, answer = answer.split(b"\r\n\r\n", 1)
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while length and len(answer) < int(length.group(1)):
            answer += self._more()
        request_id = re.search(rb"x-amzn?-request-?id: (\S+)", head, re.I)
        return int(head[9:12]), request_id and request_id.group(1).decode(), answer

    def _more(self):
        received = self.socket.recv(65_536)
        if not received:
            raise ConnectionError("the answer ended early")
        return received

    def cloudtrail(self, operation, **members):
        target = "CloudTrail_20131101." + operation
        body = json.dumps(members).encode()
        return self.call("cloudtrail", "POST", "/", body, X_Amz_Target=target, Content_Type="application/x-amz-json-1.1")

    def query(self, service, action):
        body = f"Action={action}&Version=2011-06-15".encode()
        return self.call(service, "POST", "/", body, Content_Type="application/x-www-form-urlencoded")


def command(binary, folder, options, interval=1):
    fixed = ("--listen", "127.0.0.1:0", "--data-dir", str(folder), "--delivery-interval", str(interval))
    return [binary, "serve", *fixed, *options]


class Program:
    def __init__(self, binary, folder, options=(), interval=1):
        self.process = subprocess.Popen(
            command(binary, folder, options, interval), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.errors = queue.SimpleQueue()
        threading.Thread(target=self._read_errors, daemon=True).start()
        line = self.process.stdout.readline()
        listening = re.search(r":(\d+)$", line.strip())
        self.port = listening and int(listening.group(1))

    def _read_errors(self):
        for line in self.process.stderr:
            if "panicked" in line or " ERROR " in line:
                self.errors.put(line.strip())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_localtrail/{path}", data, timeout=600) as answer:
            return json.load(answer)


def hammer(port, seed, answered):
    """Calls until the program dies; puts the request ids of the calls answered into `answered`."""
    chance = random.Random(seed)
    calls = [
        lambda connection: connection.cloudtrail("GetTrailStatus", Name="main"),
        lambda connection: connection.cloudtrail("GetTrail", Name="none-such"),
        lambda connection: connection.query("sts", "GetCallerIdentity"),
        lambda connection: connection.call("s3", "PUT", f"/data/{chance.randrange(50)}", b"x" * chance.randrange(9_000)),
        lambda connection: connection.call("s3", "GET", f"/data/{chance.randrange(50)}"),
    ]
    try:
        connection = Connection(port)
        while True:
            status, request_id, _ = chance.choice(calls)(connection)
            assert status < 500, status
            answered.append(request_id)
    except OSError:
        pass


def digest(program):
    """Asks for digests until the program dies: more often than once an hour, so that kills meet them."""
    with contextlib.suppress(OSError, ValueError):
        while True:
            program.control("flush", {"digests": True})
            time.sleep(0.1)


def set_up(program):
    connection = Connection(program.port)
    done = [connection.call("s3", "PUT", f"/{bucket}") for bucket in (BUCKET, "data")]
    done += [
        connection.call("s3", "PUT", f"/{BUCKET}?policy", json.dumps(POLICY).encode()),
        connection.cloudtrail("CreateTrail", Name="main", S3BucketName=BUCKET, EnableLogFileValidation=True),
        connection.cloudtrail("PutEventSelectors", TrailName="main", EventSelectors=SELECTORS),
        connection.cloudtrail("StartLogging", Name="main"),
    ]
    assert all(status in (200, 204) for status, _, _ in done), done


def exported(program):
    """How often each request id is in the event export."""
    counts, token = collections.Counter(), None
    while True:
        page = program.control("events?limit=1000" + (f"&nextToken={token}" if token else ""))
        counts.update(record.get("requestID") for record in page["Records"])
        token = page.get("nextToken")
        if not token:
            return counts


def delivered(program):
    """How often each request id is in the log files, and how many files there are."""
    connection, keys, marker = Connection(program.port), [], ""
    while True:
        _, _, listing = connection.call("s3", "GET", f"/{BUCKET}?prefix=AWSLogs/&marker={marker}")
        page = re.findall(r"<Key>([^<]+)</Key>", listing.decode())
        keys += [key for key in page if "/CloudTrail/" in key]
        if b"<IsTruncated>true</IsTruncated>" not in listing:
            break
        marker = page[-1]
    counts = collections.Counter()
    for key in keys:
        _, _, body = connection.call("s3", "GET", f"/{BUCKET}/{key}")
        counts.update(record.get("requestID") for record in json.loads(gzip.decompress(body))["Records"])
    return counts, len(keys)


def validated(program, began):
    """How many log files `aws cloudtrail validate-logs` finds valid, and how many digests; fails if one is not."""
    keys = {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= keys | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{program.port}", "AWS_EC2_METADATA_DISABLED": "true"}
    trail = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    times = ("--start-time", began.isoformat(), "--end-time", end.isoformat())
    aws = pathlib.Path(sys.executable).with_name("aws")
    done = subprocess.run(
        [aws, "cloudtrail", "validate-logs", "--trail-arn", trail, *times], env=environment, capture_output=True, text=True
    )
    figures = [re.search(rf"^(\d+)/(\d+) {kind} files valid$", done.stdout, re.M) for kind in ("log", "digest")]
    assert done.returncode == 0 and all(figures), done.stdout + done.stderr
    return [int(figure.group(1)) for figure in figures]


def objects(folder):
    """Files in the object folder that no row names, and files named by a row that are not there."""
    with contextlib.closing(sqlite3.connect(folder / "localtrail.sqlite")) as database:
        tables = [row[0] for row in database.execute("select name from pragma_table_list where type = 'table'")]
        having = [t for t in tables if database.execute("select 1 from pragma_table_info(?) where name = 'blob'", (t,)).fetchone()]
        named = {row[0] for table in having for row in database.execute(f"select blob from {table} where blob is not null")}
    found = {path.name for path in (folder / "objects").rglob("*") if path.is_file()}
    other = {path.name for path in folder.iterdir()} - {"objects", "lock", *(f"localtrail.sqlite{end}" for end in ("", "-wal", "-shm"))}
    return len(found - named) + len(other), len(named - found)


def run(binary, kills, connections, seed, folder, options=()):
    """Kills the program `kills` times and gives what was found as a dictionary."""
    chance = random.Random(seed)
    answered, panics = [], []
    began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    program = Program(binary, folder, options)
    set_up(program)
    for _ in range(kills):
        if chance.random() < 0.1:
            # While it starts, perhaps before it listens.
            program.kill()
            starting = Program.__new__(Program)
            starting.process = subprocess.Popen(
                command(binary, folder, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(chance.uniform(0, 0.02))
            starting.kill()
        else:
            threads = [
                threading.Thread(target=hammer, args=(program.port, chance.random(), answered)) for _ in range(connections)
            ]
            if chance.random() < 0.3:
                threads.append(threading.Thread(target=digest, args=(program,)))
            [thread.start() for thread in threads]
            time.sleep(chance.uniform(0.01, 0.8))
            program.kill()
            [thread.join() for thread in threads]
        while not program.errors.empty():
            panics.append(program.errors.get())
        program = Program(binary, folder, options)
        assert program.port, "it did not start again"
    # A last start, after which nothing is called: what is left over of the killed ones must be gone then.
    program.control("flush", {"digests": True})
    stored, (filed, files) = exported(program), delivered(program)
    valid, digests = validated(program, began)
    program.process.terminate()
    program.process.wait()
    left_over, gone = objects(folder)
    found = {
        "kills": kills,
        "answered": len(answered),
        "stored": sum(stored.values()),
        "log files": files,
        "digests": digests,
        "lost": sum(not stored[request] for request in answered),
        "doubled": sum(count > 1 for request, count in stored.items() if request),
        "undelivered": sum(not filed[request] for request in answered),
        "delivered twice": sum(count > 1 for request, count in filed.items() if request),
        "log files not validated": files - valid,
        "files left over": left_over,
        "files gone": gone,
        "errors": panics,
    }
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", default="target/release/localtrail")
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--connections", type=int, default=4)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--data-dir", type=pathlib.Path, help="kept after the run; else a temporary folder")
    arguments.add_argument("--durability", choices=("normal", "full"), default="normal")
    given = arguments.parse_args()
    options = ("--durability", given.durability)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data_dir or pathlib.Path(temporary)
        found = run(given.bin, given.kills, given.connections, given.seed, folder, options)
    print(", ".join(f"{what} {value}" for what, value in found.items()), f"({time.monotonic() - began:.0f} s)")
    return any(found[fault] for fault in FAULTS)


if __name__ == "__main__":
    sys.exit(main())
