"""What a month of clock costs that is moved in one call: a trail of all regions, digests in four of them.

Prints seconds and memory for quiet hours that have digests alone, an event an hour in one region after the other, and an
event an hour in each. The events are brought in beforehand, each is delivered in its hour. Asserts nothing. Takes the
program as argument.
"""

import datetime
import json
import os
import sys
import time

from serve import ACCOUNT, Caller, rss_mib, start, stop

BEGIN = datetime.datetime(2026, 11, 22, 15, 1, 30, tzinfo=datetime.UTC)
REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1"]
HOURS = 30 * 24


def control(caller, call, body):
    status, answer = caller.send("POST", f"/_localtrail/{call}", json.dumps(body).encode())
    assert status == 200, answer
    return json.loads(answer)


def record(region, hour):
    moment = BEGIN + datetime.timedelta(hours=hour, minutes=20)
    identity = {"type": "IAMUser", "principalId": "AIDAEXAMPLE", "arn": f"arn:aws:iam::{ACCOUNT}:user/alice", "accountId": str(ACCOUNT), "userName": "alice"}
    return {
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": region,
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "userIdentity": identity,
        "requestParameters": {"instancesSet": {"items": [{"imageId": "ami-0abcdef", "minCount": 1, "maxCount": 1}]}, "instanceType": "t3.micro"},
    }


def cpu_seconds(process):
    """Time on the processor of all its threads: on a machine that does other things too, what is the program's own."""
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def month(name, records):
    process, port, _ = start("--time", BEGIN.isoformat(), "--bucket-policy-check", "off")
    caller = Caller(port)
    caller.send("PUT", "/logs", service="s3")
    caller.cloudtrail("CreateTrail", Name="main", S3BucketName="logs", IsMultiRegionTrail=True, EnableLogFileValidation=True)
    caller.cloudtrail("StartLogging", Name="main")
    control(caller, "events", {"Records": records})
    before = rss_mib(process)
    busy, began = cpu_seconds(process), time.perf_counter()
    control(caller, "clock", {"advance": "P30D"})
    took, busy = time.perf_counter() - began, cpu_seconds(process) - busy
    _, metrics = caller.send("GET", "/_localtrail/metrics")
    counts = dict(line.split() for line in metrics.decode().splitlines() if not line.startswith("#"))
    files, digests = (int(counts[f"localtrail_{what}_delivered_total"]) for what in ("log_files", "digests"))
    print(
        f"{name:<46} {took:6.2f} s ({busy:.2f} s of CPU)   {files} log files, {digests} digests   "
        f"memory {before:.1f} MiB before, {rss_mib(process, 'VmHWM'):.1f} MiB at most"
    )
    stop(process)


if __name__ == "__main__":
    # A region has digests from its first log file on.
    first = [record(region, 0) for region in REGIONS]
    month("30 days, quiet", first)
    month("30 days, an event an hour", first + [record(REGIONS[hour % 4], hour) for hour in range(1, HOURS)])
    month("30 days, an event an hour in each region", [record(region, hour) for hour in range(HOURS) for region in REGIONS])
