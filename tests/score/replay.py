"""Replays real CloudTrail records through a running localtrail and scores what it recorded against AWS's own.

    .venv/bin/python tests/score/replay.py --truth records.jsonl.gz

FILE has one record a line, gzipped or not; no such collection is part of this repository. Each record's call is rebuilt
(rebuild.py), sent with botocore, found again by a tag in its User-Agent and compared (compare.py). Without --endpoint,
moto_server and the program (LOCALTRAIL_BIN, else target/debug/localtrail) are started for it. An error that the upstream
answers is fine: the parameters are recorded all the same.

Printed are the figures of every service and of all, and beside the score the one without the pairs of
tests/data/truth-exceptions.json, each of which has its reason there. --worst N adds the records that cost most.

What a plain replay gets wrong and this one does not:
- Records are read from the control API, not from LookupEvents, which shows neither data events nor regions that were not
  asked for (Global Accelerator's are in us-west-2).
- S3 Control puts the account before the endpoint's host name, which does not resolve: every request is sent to the
  endpoint itself.
- Directory buckets would have the SDK open a session first: their calls are signed as any other.
- An operation that S3 and S3 Control both have is S3's.
- Idempotency tokens that botocore adds count as made up.
- Only in DynamoDB is a shape called AttributeValue a typed value.
- The one element of a list in XML (`"TagSet":{"Tag":{…}}`) is that element.
- Numbers are compared as numbers: 70 is 70.0.
- S3's query values were arrays in records before 1.05: what they hold is compared.
- A call that the upstream denies, though AWS did not, has its parameters left out as it should: they are not compared.
"""

import argparse
import collections
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import uuid

import botocore.config
import botocore.exceptions
from compare import WEIGHTS, compare
from rebuild import SESSION, rebuild

EXCEPTIONS = pathlib.Path(__file__).parent.parent / "data/truth-exceptions.json"
REGION = "us-east-1"


def main():
    options = parse_arguments()
    records = load(options.truth)
    if options.services:
        wanted = {f"{service}.amazonaws.com" for service in options.services.split(",")}
        records = [record for record in records if record["eventSource"] in wanted]
    started = []
    try:
        endpoint = options.endpoint or start_programs(started)
        results = replay(records, endpoint)
    finally:
        for process in started:
            process.kill()
            process.wait()
    report(results, excepted_pairs())
    if options.worst:
        report_worst(results, options.worst)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True, metavar="FILE", help="CloudTrail records, one a line")
    parser.add_argument("--endpoint", metavar="URL", help="a localtrail that runs already")
    parser.add_argument("--services", metavar="A,B", help="only these, by their name in eventSource")
    parser.add_argument("--worst", type=int, metavar="N", help="print the N pairs that cost most, and why")
    return parser.parse_args()


def load(path):
    opened = gzip.open(path, "rt") if path.endswith(".gz") else open(path)
    with opened as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    return [record for record in records if not record.get("_synthetic") and record.get("eventType") in ("AwsApiCall", None)]


def excepted_pairs():
    return {(it["eventSource"], it["eventName"]) for it in json.loads(EXCEPTIONS.read_text())}


def start_programs(started):
    """Starts moto and localtrail in front of it; gives localtrail's URL."""
    here = str(pathlib.Path(sys.executable).parent)
    moto = shutil.which("moto_server", path=here + os.pathsep + os.environ["PATH"])
    upstream = start([moto, "-H", "127.0.0.1", "-p", "0"], r"Running on (http://127\S+)", started)
    program = os.environ.get("LOCALTRAIL_BIN", "target/debug/localtrail")
    arguments = [program, "serve", "--listen", "127.0.0.1:0", "--upstream", upstream]
    return start(arguments, r"^localtrail listening on (http://\S+)", started)


def start(arguments, ready, started):
    """Starts a program that prints its URL in a line like `ready`; what else it prints is thrown away."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    started.append(process)
    for line in process.stdout:
        if found := re.search(ready, line):
            threading.Thread(target=collections.deque, args=(process.stdout, 0), daemon=True).start()
            return found.group(1)
    raise RuntimeError(f"{arguments[0]} did not start")


def replay(records, endpoint):
    """A result for every record that can be sent: {"truth", "produced", "call", "error", "figures"}."""
    sender = Sender(endpoint)
    results = []
    for number, record in enumerate(records, 1):
        call = rebuild(record)
        if call is not None:
            tag = f"replay/{sender.run}-{number}"
            results.append({"truth": record, "call": call, "tag": tag, "error": sender.send(call, tag)})
        if sys.stderr.isatty():
            print(f"\r{number}/{len(records)}", end="", file=sys.stderr)
    print(f"{len(results)} of {len(records)} records sent again; botocore has no operation for the others.")
    by_tag = recorded(endpoint)
    for result in results:
        result["produced"] = by_tag.get(result["tag"])
        result["figures"] = compare(result["truth"], result["produced"], result["call"].dummies)
    return results


class Sender:
    """Sends calls to one endpoint, with a tag in the User-Agent."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.run = uuid.uuid4().hex[:8]
        self._tag = ""
        self._clients = {}

    def send(self, call, tag):
        """Sends a call; gives what went wrong on this side, if something did."""
        client, methods = self._client(call.service)
        self._tag = tag
        try:
            getattr(client, methods[call.operation])(**call.params)
        except botocore.exceptions.ClientError:
            return None
        # What botocore cannot serialise fails in many ways; the record then counts as missing.
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:200]
        return None

    def _client(self, service):
        if service not in self._clients:
            config = botocore.config.Config(
                parameter_validation=False,
                retries={"max_attempts": 0, "mode": "standard"},
                connect_timeout=5,
                read_timeout=15,
                s3={"addressing_style": "path"},
                inject_host_prefix=False,
                request_checksum_calculation="when_required",
            )
            client = SESSION.create_client(
                service,
                region_name=REGION,
                endpoint_url=self.endpoint,
                aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                aws_secret_access_key="secret",
                config=config,
            )
            client.meta.events.register_first("choose-signer.s3", lambda **_: "s3v4")
            client.meta.events.register("before-sign.*.*", self._before_sign)
            client.meta.events.register("before-send.*.*", self._before_send)
            methods = {operation: method for method, operation in client.meta.method_to_api_mapping.items()}
            self._clients[service] = client, methods
        return self._clients[service]

    def _before_sign(self, request, **_):
        agent = request.headers.get("User-Agent", "botocore")
        request.headers["User-Agent"] = f"{agent.decode() if isinstance(agent, bytes) else agent} {self._tag}"

    def _before_send(self, request, **_):
        host = urllib.parse.urlsplit(self.endpoint).netloc
        request.url = urllib.parse.urlsplit(request.url)._replace(netloc=host).geturl()


def recorded(endpoint):
    """What localtrail recorded of this and earlier replays, by tag."""
    by_tag = {}
    page = {"Records": [], "nextToken": "0"}
    while token := page.get("nextToken"):
        with urllib.request.urlopen(f"{endpoint}/_localtrail/events?limit=1000&nextToken={token}") as answer:
            page = json.load(answer)
        for record in page["Records"]:
            if tag := re.search(r"replay/[0-9a-f]+-\d+", str(record.get("userAgent"))):
                by_tag[tag.group()] = record
    return by_tag


def pair(result):
    return result["truth"]["eventSource"], result["truth"]["eventName"]


def mean(results, name):
    figures = [it["figures"][name] for it in results if it["figures"].get(name) is not None]
    return sum(figures) / len(figures) if figures else None


def report(results, excepted):
    """The table of services and of all: plain, and without the excepted pairs."""
    by_service = collections.defaultdict(list)
    for result in results:
        by_service[result["truth"]["eventSource"].removesuffix(".amazonaws.com")].append(result)
    head = ("service", "pairs", "records", "missing", "score", "without*", *WEIGHTS)
    rows = [row(name, found, excepted) for name, found in sorted(by_service.items())]
    rows.append(row("ALL", results, excepted))
    kept = [result for result in results if pair(result) not in excepted]
    rows.append(row("ALL without*", kept, excepted))
    widths = [max(len(line[at]) for line in [head, *rows]) for at in range(len(head))]
    for line in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print(f"* without {len(excepted)} pairs of {EXCEPTIONS.name}")


def row(name, results, excepted):
    kept = [result for result in results if pair(result) not in excepted]
    missing = sum("missing" in result["figures"] for result in results)
    counts = (len({pair(result) for result in results}), len(results), missing)
    figures = (mean(results, "score"), mean(kept, "score"), *(mean(results, column) for column in WEIGHTS))
    return (name, *map(str, counts), *("-" if it is None else f"{it:.3f}" for it in figures))


def report_worst(results, count):
    """The pairs that cost most, each with its worst record: what differs, AWS's parameters and ours."""
    by_pair = collections.defaultdict(list)
    for result in results:
        by_pair[pair(result)].append(result)
    cost = {it: sum(1 - result["figures"]["score"] for result in found) for it, found in by_pair.items()}
    for it in sorted(cost, key=cost.get, reverse=True)[:count]:
        result = min(by_pair[it], key=lambda it: it["figures"]["score"])
        truth, produced = result["truth"], result["produced"] or {}
        print(f"\n{it[0]} {it[1]}: {len(by_pair[it])} records, lost {cost[it]:.2f}; sent {result['call'].service} {result['call'].operation}")
        print("  figures ", json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in result["figures"].items()}))
        print("  AWS     ", shown(truth))
        print("  produced", shown(produced))
        if result["error"]:
            print("  not sent", result["error"])


def shown(record):
    frame = {key: record.get(key) for key in ("eventSource", "eventName", "readOnly", "managementEvent", "errorCode")}
    return json.dumps(frame | {"requestParameters": record.get("requestParameters")})[:1500]


if __name__ == "__main__":
    main()
