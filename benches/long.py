"""A long run: calls of several services at a steady rate while the clock is moved on, with log files and digests.

    python benches/long.py target/release/localtrail --hours 2 --rate 500

The clock goes through `--days` in steps, so that the 90 days of event history are full before half the run is over: what
grows then, grows for ever. Log files of more than 90 days are deleted, as a bucket's lifecycle rule does at AWS. Prints
what is measured, a line a sample, and at the end how it has changed over the last half of the run; exits with 1 where
memory, database or file handles have grown, or a call has failed. With nginx installed, calls of further services go
through the door to it.
"""

import argparse
import collections
import datetime
import itertools
import json
import os
import pathlib
import random
import re
import signal
import statistics
import sys
import tempfile
import threading
import time

import wire
from month import control
from others import missing, nginx
from serve import ACCOUNT, Caller, rss_mib, start, stop

BUCKET = "logs"
STEP_SECONDS = 10
KEPT = datetime.timedelta(days=90)
SELECTORS = [{
    "ReadWriteType": "All",
    "IncludeManagementEvents": True,
    "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/"]}],
}]
# Growth over the last half of the run, as a share of the mean, that still counts as flat; and where a share says
# nothing because the figure is so small, in units of its own.
FLAT, LEAST = 0.05, {"RSS MiB": 1, "database MiB": 1, "handles": 3}


def calls(with_upstream):
    """The bytes of requests, and how often each is made together with those before it."""
    found = [
        (15, wire.query("sts", "GetCallerIdentity", "2011-06-15")),
        (5, wire.query("sts", "AssumeRole", "2011-06-15", RoleArn=f"arn:aws:iam::{ACCOUNT}:role/deploy", RoleSessionName="ci")),
        (10, wire.cloudtrail("GetTrailStatus", Name="main")),
        (5, wire.cloudtrail("GetTrail", Name="none-such")),
        (5, wire.cloudtrail("LookupEvents", LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "GetTrail"}])),
    ]
    for number in range(20):
        found.append((1, wire.request("s3", "PUT", f"/data/{number}", b"x" * 400 * number)))
        found.append((1, wire.request("s3", "GET", f"/data/{number}")))
    if with_upstream:
        found += [
            (10, wire.query("ec2", "DescribeInstances", "2016-11-15", MaxResults=50)),
            (10, wire.query("iam", "GetUser", "2010-05-08", UserName="alice")),
            (5, wire.request("lambda", "GET", "/2015-03-31/functions/")),
        ]
    return [call.bytes for _, call in found], list(itertools.accumulate(share for share, _ in found))


class Load:
    """Callers that call at a steady rate, each over its own connection, until they are told to stop."""

    def __init__(self, port, rate, connections, mix):
        self.port, self.mix, self.pause = port, mix, connections / rate
        self.times, self.failures, self.over = collections.deque(), collections.Counter(), threading.Event()
        self.threads = [threading.Thread(target=self._call, args=(seed,)) for seed in range(connections)]
        for thread in self.threads:
            thread.start()

    def _call(self, seed):
        line, chance = wire.Wire(self.port), random.Random(seed)
        due = time.monotonic() + self.pause * chance.random()
        # Who is late does not make up for it in a burst of more than a second.
        while not self.over.wait(max(0, due - time.monotonic())):
            data = chance.choices(self.mix[0], cum_weights=self.mix[1])[0]
            began = time.perf_counter()
            try:
                status, _ = line.call(data)
            except OSError as error:
                status, line = repr(error), wire.Wire(self.port)
            self.times.append(time.perf_counter() - began)
            if status != (400 if b"none-such" in data else 200):
                self.failures[status] += 1
            due = max(due + self.pause, time.monotonic() - 1)

    def taken(self):
        """The times of the calls since it was last asked."""
        return [self.times.popleft() for _ in range(len(self.times))]

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def set_up(caller):
    policy = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:*",
              "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]}
    for path, body in [(f"/{BUCKET}", b""), ("/data", b""), (f"/{BUCKET}?policy", json.dumps({"Version": "2012-10-17", "Statement": [policy]}).encode())]:
        status, answer = caller.send("PUT", path, body, service="s3")
        assert status in (200, 204), answer
    for number in range(20):
        caller.send("PUT", f"/data/{number}", b"x", service="s3")
    caller.cloudtrail("CreateTrail", Name="main", S3BucketName=BUCKET, EnableLogFileValidation=True)
    caller.cloudtrail("PutEventSelectors", TrailName="main", EventSelectors=SELECTORS)
    caller.cloudtrail("StartLogging", Name="main")


def expire(caller, day):
    """Deletes what was delivered on `day`."""
    for kind in ("CloudTrail", "CloudTrail-Digest"):
        prefix, truncated = f"AWSLogs/{ACCOUNT}/{kind}/us-east-1/{day:%Y/%m/%d}/", True
        while truncated:
            _, listing = caller.send("GET", f"/{BUCKET}?prefix={prefix}", service="s3")
            for key in re.findall(r"<Key>([^<]+)</Key>", listing.decode()):
                caller.send("DELETE", f"/{BUCKET}/{key}", service="s3")
            truncated = b"<IsTruncated>true</IsTruncated>" in listing


def mib(paths):
    return sum(path.stat().st_size for path in paths if path.is_file()) / (1 << 20)


def sample(process, caller, folder, load, seconds, now):
    """What the program takes at the moment, and how it has answered in the last `seconds`."""
    times = sorted(load.taken())
    metrics = caller.send("GET", "/_localtrail/metrics")[1].decode()
    counts = {name: int(value) for name, value in re.findall(r"^(localtrail_\w+) (\d+)$", metrics, re.M)}
    objects = list((folder / "objects").rglob("*"))
    database = [path for path in folder.iterdir() if path.is_file()]
    return {
        "clock": f"{now:%Y-%m-%d}",
        "calls/s": len(times) / seconds,
        "p50 ms": statistics.median(times) * 1e3,
        "p99 ms": times[int(len(times) * 0.99)] * 1e3,
        "RSS MiB": rss_mib(process),
        "database MiB": mib(path for path in database if not path.name.endswith("-wal")),
        "its log MiB": mib(path for path in database if path.name.endswith("-wal")),
        "objects": len(objects),
        "objects MiB": mib(objects),
        "handles": len(os.listdir(f"/proc/{process.pid}/fd")),
        "log files": counts["localtrail_log_files_delivered_total"],
        "digests": counts["localtrail_digests_delivered_total"],
        "waiting": counts["localtrail_events_waiting"],
    }


def growth(values):
    """By how much a line through `values`, evenly spaced, rises from the first to the last."""
    return statistics.linear_regression(range(len(values)), values).slope * (len(values) - 1) if len(values) > 1 else 0.0


def run(given, folder, upstream):
    """Calls and moves the clock for the whole time; samples, and failures of calls by what they were."""
    arguments = ["--data-dir", str(folder), "--account-id", str(ACCOUNT)]
    if upstream:
        arguments += ["--upstream", f"http://127.0.0.1:{upstream}", "--embedded", "s3,sns,sts"]
    process, port, _ = start(*arguments)
    caller, samples = Caller(port), []
    set_up(caller)
    first = clock(caller)
    expired = first.date()
    load, began = Load(port, given.rate, given.connections, calls(upstream)), time.monotonic()
    last, share = began, 0
    try:
        while share < 1:
            time.sleep(STEP_SECONDS)
            # A step that took long is made up for by the next one, so the days pass in the time given.
            share = min(1, (time.monotonic() - began) / (given.hours * 3600))
            control(caller, "clock", {"set": (first + share * datetime.timedelta(days=given.days)).isoformat()})
            now = clock(caller)
            while expired < (now - KEPT).date():
                expire(caller, expired)
                expired += datetime.timedelta(days=1)
            if time.monotonic() - last >= given.sample or share == 1:
                seconds, last = time.monotonic() - last, time.monotonic()
                samples.append(sample(process, caller, folder, load, seconds, now))
                show((last - began) / 60, samples)
    finally:
        load.stop()
        stop(process)
    return samples, load.failures


def clock(caller):
    _, answer = caller.send("GET", "/_localtrail/clock")
    return datetime.datetime.fromisoformat(json.loads(answer)["now"].replace("Z", "+00:00"))


def show(minutes, samples):
    if len(samples) == 1:
        print("   min  " + "  ".join(f"{name:>10}" for name in samples[0]))
    cells = (f"{value:10.2f}" if isinstance(value, float) else f"{value:>10}" for value in samples[-1].values())
    print(f"{minutes:6.1f}  " + "  ".join(f"{cell:>{max(10, len(name))}}" for name, cell in zip(samples[-1], cells)), flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("--hours", type=float, default=2)
    arguments.add_argument("--rate", type=float, default=500, help="calls a second")
    arguments.add_argument("--connections", type=int, default=8)
    arguments.add_argument("--days", type=float, default=200, help="that pass on the clock")
    arguments.add_argument("--sample", type=float, default=60, help="seconds between samples")
    given = arguments.parse_args()
    # Who is stopped from outside stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    scratch = pathlib.Path(__file__).resolve().parent.parent / "target" / "benches"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as temporary:
        folder = pathlib.Path(temporary)
        behind = None if missing("nginx") else nginx(folder / "upstream")
        try:
            samples, failures = run(given, folder / "data", behind and behind[1])
        finally:
            if behind:
                stop(behind[0])
    half, flat = samples[len(samples) // 2 :], True
    print(f"over the last half, from {half[0]['clock']} to {half[-1]['clock']}:")
    for name, least in LEAST.items():
        values = [one[name] for one in half]
        rise, mean = growth(values), statistics.mean(values)
        holds = rise <= max(FLAT * mean, least)
        flat = flat and holds
        print(f"  {name:<13} mean {mean:8.1f}, change {rise:+8.1f} ({rise / mean:+.1%})  {'flat' if holds else 'NOT FLAT'}")
    print(f"  failed calls: {dict(failures) or 'none'}")
    return not flat or bool(failures)


if __name__ == "__main__":
    sys.exit(main())
