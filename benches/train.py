"""A little of all that the program does, for the profile that `docker/release` optimises it by.

    python3 benches/train.py target/profiled/x86_64-unknown-linux-gnu/release/localtrail

Starts; calls through the door of several protocols, recorded and not, from one connection and from sixteen; CloudTrail's own
calls and lookups of a history; a day's log files and digests. Needs Python 3 and nothing else. Prints what it is at.
"""

import datetime
import json
import tempfile
import threading

import history
import wire
from load import POLICY
from month import control
from serve import ACCOUNT, Caller, start, stop

BEGIN = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
CONNECTIONS = 16
EVENTS = 20_000

JSON = {"X_Amz_Target": "DynamoDB_20120810.GetItem", "Content_Type": "application/x-amz-json-1.0"}
# What the embedded services have is answered, the rest is refused by them: both are recorded, but for the operation that
# no service has.
CALLS = [
    wire.query("sts", "GetCallerIdentity", "2011-06-15"),
    wire.query("sns", "ListTopics", "2010-03-31"),
    wire.query("ec2", "DescribeInstances", "2016-11-15", **{"InstanceId.1": "i-1234567890abcdef0", "MaxResults": 50}),
    wire.query("ec2", "DescribeNothings", "2016-11-15"),
    wire.request("dynamodb", "POST", "/", b'{"TableName":"table","Key":{"id":{"S":"1"}}}', **JSON),
    wire.request("lambda", "GET", "/2015-03-31/functions/one"),
    wire.request("s3", "GET", "/logs?list-type=2"),
    wire.request("s3", "PUT", "/logs/object", b"object" * 100, Content_Type="text/plain"),
    wire.request("s3", "GET", "/logs/object"),
]


def serving(*arguments):
    """The program with a bucket that trails may log to."""
    process, port, _ = start("--account-id", str(ACCOUNT), *arguments)
    caller = Caller(port)
    caller.send("PUT", "/logs", service="s3")
    caller.send("PUT", "/logs?policy", json.dumps(POLICY), service="s3")
    return process, caller, port


def call(port, rounds):
    line = wire.Wire(port)
    for _ in range(rounds):
        for one in CALLS:
            line.call(one.bytes)


def starting():
    for _ in range(10):
        process, port, _ = start()
        Caller(port).cloudtrail("ListTrails")
        stop(process)


def at_the_door(rounds, *arguments):
    upstream, _, behind = serving()
    process, _, port = serving("--upstream", f"http://127.0.0.1:{behind}", *arguments)
    call(port, rounds)
    threads = [threading.Thread(target=call, args=(port, rounds)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop(process)
    stop(upstream)


def calling(count):
    process, caller, _ = serving()
    history.bring_in(caller, 0, EVENTS, datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2))
    for number in range(count):
        account = ACCOUNT + number
        caller.cloudtrail("CreateTrail", account, Name=f"trail-{number}", S3BucketName="logs")
        caller.cloudtrail("GetTrailStatus", account, Name=f"trail-{number}")
        caller.cloudtrail("ListTrails", account)
        for pair in history.LOOKUPS.values():
            attributes = [{"AttributeKey": pair[0], "AttributeValue": pair[1]}] if pair else []
            caller.cloudtrail("LookupEvents", LookupAttributes=attributes)
    stop(process)


def delivering(folder):
    process, caller, port = serving("--data-dir", folder, "--time", BEGIN.isoformat())
    caller.cloudtrail("CreateTrail", Name="main", S3BucketName="logs", EnableLogFileValidation=True)
    caller.cloudtrail("StartLogging", Name="main")
    history.bring_in(caller, 0, EVENTS, BEGIN)
    call(port, 20)
    control(caller, "clock", {"advance": "P1DT10M"})
    stop(process)


def main():
    print("starts", flush=True)
    starting()
    with tempfile.TemporaryDirectory() as folder:
        print("the door", flush=True)
        at_the_door(150)
        at_the_door(50, "--data-dir", f"{folder}/door")
        print("calls", flush=True)
        calling(200)
        print("delivery", flush=True)
        delivering(f"{folder}/delivery")


if __name__ == "__main__":
    main()
