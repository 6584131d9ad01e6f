"""What a month of clock costs: a trail of all regions with digests, an event an hour in each of four regions.

Prints seconds and memory, once with the events brought in beforehand, each delivered in its hour, and once with quiet
hours that have digests alone. Asserts nothing. Takes the program as argument.
"""

import datetime
import json
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


def month(name, with_events):
    process, port, _ = start("--time", BEGIN.isoformat())
    caller = Caller(port)
    caller.send("PUT", "/logs", service="s3")
    caller.cloudtrail("CreateTrail", Name="main", S3BucketName="logs", IsMultiRegionTrail=True, EnableLogFileValidation=True)
    caller.cloudtrail("StartLogging", Name="main")
    records = [record(region, hour) for hour in range(HOURS if with_events else 1) for region in REGIONS]
    control(caller, "events", {"Records": records})
    before = rss_mib(process)
    began = time.perf_counter()
    control(caller, "clock", {"advance": "P30D"})
    took = time.perf_counter() - began
    _, metrics = caller.send("GET", "/_localtrail/metrics")
    counts = dict(line.split() for line in metrics.decode().splitlines() if not line.startswith("#"))
    files, digests = (int(counts[f"localtrail_{what}_delivered_total"]) for what in ("log_files", "digests"))
    print(
        f"{name:<46} {took:6.2f} s   {files} log files, {digests} digests   "
        f"memory {before:.1f} MiB before, {rss_mib(process, 'VmHWM'):.1f} MiB at most"
    )
    stop(process)


if __name__ == "__main__":
    month("30 days, an event an hour in four regions", True)
    month("30 days, quiet, digests of four regions", False)
