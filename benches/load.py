"""Very many calls at once through the door, all recorded, with a trail that delivers them meanwhile.

    python benches/load.py target/release/localtrail --calls 1000000 --connections 64

`wrk` calls nginx through the door (both must be installed) while as many connections stand idle as `--idle` says, and
the clock is moved on by a log file's time now and then. Prints how fast calls were answered, how memory went, and what
has become of each: exits with 1 where an answered call has no event, or an event is not in a log file once.
"""

import argparse
import collections
import contextlib
import gzip
import json
import pathlib
import re
import socket
import sys
import tempfile

import wire
from compare import RECORDED, running
from month import control
from others import missing, nginx
from serve import ACCOUNT, Caller, rss_mib, start, stop

TURN_SECONDS = 20
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"},
        "Action": ["s3:GetBucketAcl", "s3:PutObject"], "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"],
    }],
}


def stored(caller):
    """How many of the calls have an event."""
    text = caller.send("GET", "/_localtrail/metrics")[1].decode()
    return int(re.search(r"^localtrail_calls_recorded_total (\d+)", text, re.M).group(1))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("--calls", type=int, default=1_000_000)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--idle", type=int, default=2_000, help="connections that stand idle")
    given = arguments.parse_args()
    if lacks := missing("wrk", "nginx"):
        sys.exit(f"not installed: {lacks}")
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(running(*nginx(folder / "upstream")))
        options = ["--upstream", f"http://127.0.0.1:{upstream}", "--embedded", "s3"]
        process, port, _ = start(*options, "--account-id", str(ACCOUNT), "--data-dir", str(folder / "data"))
        stack.callback(stop, process)
        caller = Caller(port)
        caller.send("PUT", "/logs", service="s3")
        caller.send("PUT", "/logs?policy", json.dumps(POLICY), service="s3")
        caller.cloudtrail("CreateTrail", Name="main", S3BucketName="logs")
        caller.cloudtrail("StartLogging", Name="main")
        for _ in range(given.idle):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        before, answered, seconds = stored(caller), 0, 0
        idle = rss_mib(process)
        while answered < given.calls:
            answered += round(wire.wrk(port, RECORDED, given.connections, TURN_SECONDS) * TURN_SECONDS)
            seconds += TURN_SECONDS
            control(caller, "clock", {"advance": "PT5M"})
            print(f"{answered:>9} answered, {rss_mib(process):6.1f} MiB", flush=True)
        with_event = stored(caller) - before
        control(caller, "flush", {})
        counts = collections.Counter()
        listing = caller.send("GET", "/logs?list-type=2&prefix=AWSLogs/", service="s3")[1].decode()
        for key in re.findall("<Key>([^<]+[.]gz)</Key>", listing):
            body = gzip.decompress(caller.send("GET", f"/logs/{key}", service="s3")[1])
            counts.update(re.findall(rb'"eventName":"DescribeInstances".*?"eventID":"([0-9a-f-]{36})"', body))
        print(f"{answered / seconds:.0f} calls a second over {given.connections} connections, {given.idle} more idle")
        print(f"memory: {idle:.1f} MiB before, {rss_mib(process, 'VmHWM'):.1f} MiB at most")
        doubled = sum(count > 1 for count in counts.values())
        lost = max(answered, with_event) - len(counts)
        print(f"answered {answered}, with an event {with_event}, in log files {len(counts)}, lost {lost}, doubled {doubled}")
        return lost > 0 or doubled > 0


if __name__ == "__main__":
    sys.exit(main())
