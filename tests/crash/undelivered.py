"""Brings in very many events that cannot be delivered, then lets them be: how much memory that takes, and that all arrive.

    python tests/crash/undelivered.py --bin target/release/localtrail --events 1000000

The events come in by `POST /_localtrail/events`, from many regions and in many slots, while the bucket of the trail is
gone; deliveries fail and are tried again for hours of the clock. Then the bucket is made again. Prints one line of
figures; exits with 1 if an event is not in a log file once, or the program's memory (its peak RSS) was more than
`--most-mb`.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import sys
import tempfile
import time

import kills

BATCH = 10_000
REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"]


def record(number):
    """About a kilobyte, as such records have."""
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser", "principalId": "AIDAEXAMPLEEXAMPLE00", "arn": f"arn:aws:iam::{kills.ACCOUNT}:user/user-{number % 977}",
            "accountId": kills.ACCOUNT, "accessKeyId": "AKIAEXAMPLEEXAMPLE00", "userName": f"user-{number % 977}",
        },
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances" if number % 3 else "DescribeInstances",
        "awsRegion": REGIONS[number % len(REGIONS)],
        "sourceIPAddress": f"192.0.2.{number % 256}",
        "userAgent": "aws-cli/2.27.0",
        "requestParameters": {"instancesSet": {"items": [{"instanceId": f"i-{number:017x}", "note": "x" * 300}]}, "filterSet": {}},
        "responseElements": None,
        "eventID": f"{number:08x}-0000-4000-8000-{number:012x}",
    }


def peak_mb(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M).group(1)) / 1024


def run(binary, events, folder, hours, slots=20):
    program = kills.Program(binary, folder, ("--time", "2026-11-22T15:01:30Z"), interval=300)

    def call(*words):
        status, _, answer = kills.Connection(program.port).call("s3", *words)
        assert status in (200, 204), answer

    def make_bucket():
        call("PUT", f"/{kills.BUCKET}")
        call("PUT", f"/{kills.BUCKET}?policy", json.dumps(kills.POLICY).encode())

    make_bucket()
    for operation, members in [
        ("CreateTrail", {"Name": "main", "S3BucketName": kills.BUCKET, "IsMultiRegionTrail": True}),
        ("StartLogging", {"Name": "main"}),
    ]:
        status, _, answer = kills.Connection(program.port).cloudtrail(operation, **members)
        assert status == 200, answer
    call("DELETE", f"/{kills.BUCKET}")
    idle = peak_mb(program.process)

    began = time.monotonic()
    for batch in range(0, events, BATCH):
        records = [record(number) for number in range(batch, min(batch + BATCH, events))]
        answer = program.control("events", {"Records": records})
        assert len(answer["recorded"]) == len(records)
        # Half of all events come in one slot: the largest file-making there is.
        if batch >= events / 2 and batch // BATCH % max(1, events // 2 // BATCH // slots) == 0:
            program.control("clock", {"advance": "PT5M"})
    imported, after_import = time.monotonic() - began, peak_mb(program.process)

    began = time.monotonic()
    program.control("clock", {"advance": f"PT{hours}H"})
    failing, after_failing = time.monotonic() - began, peak_mb(program.process)
    waiting = program.control("status")["trails"][0]["backlog"]["events"]

    make_bucket()
    began = time.monotonic()
    flushed = program.control("flush", {})
    delivering, after_delivery = time.monotonic() - began, peak_mb(program.process)
    assert flushed["failed"] == []

    counts = collections.Counter()
    for file in flushed["logFiles"]:
        connection = kills.Connection(program.port)
        _, _, body = connection.call("s3", "GET", f"/{kills.BUCKET}/{file['key']}")
        ids = re.findall(rb'"eventID":"([0-9a-f]{8})-0000-4000-8000-', gzip.decompress(body))
        counts.update(int(number, 16) for number in ids)
    program.process.terminate()
    program.process.wait()
    return {
        "events": events,
        "waiting": waiting,
        "log files": len(flushed["logFiles"]),
        "lost": sum(number not in counts for number in range(events)),
        "doubled": sum(count > 1 for count in counts.values()),
        "MB at first": round(idle),
        "MB after import": round(after_import),
        "MB after failing": round(after_failing),
        "MB after delivery": round(after_delivery),
        "s of import": round(imported),
        "s of failing": round(failing),
        "s of delivery": round(delivering),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bin", default="target/release/localtrail")
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--most-mb", type=int, default=400)
    arguments.add_argument("--hours", type=int, default=24, help="of the clock, in which deliveries fail")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.bin, given.events, pathlib.Path(folder), given.hours)
    print(", ".join(f"{what} {value}" for what, value in found.items()))
    most = max(value for what, value in found.items() if what.startswith("MB"))
    return bool(found["lost"] or found["doubled"] or found["waiting"] < found["events"] or most > given.most_mb)


if __name__ == "__main__":
    sys.exit(main())
