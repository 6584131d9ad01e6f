"""Gives AWS's own answers back through a running localtrail and compares the responseElements it records with AWS's.

    .venv/bin/python tests/score/answers.py --truth records.jsonl.gz

replay.py compares what was asked; this what was answered. The responseElements of each record are turned back into the
answer that they were made of, by botocore's model, and an upstream that knows nothing else answers the record's call
with it. What localtrail then writes should be what AWS wrote. Prints how many are the same, and for every pair that is
not its first differences: `-` AWS alone, `+` localtrail alone, `~` both, otherwise.

Not all differences are faults: members that no model has (AWS adds some of its own) cannot come back, records of several
years differ in how they write dates and in what they show, and S3 writes headers, which are not sent here.
"""

import argparse
import collections
import contextlib
import datetime
import http.server
import json
import os
import re
import threading
from xml.sax.saxutils import escape

import replay
from rebuild import SESSION, rebuild

DATES = ("%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ")
# Their records hold an answer's only structure without the member that it is.
UNWRAPPED = {"docdb", "elasticache", "neptune", "rds", "redshift"}
NOT_SENT = {"s3.amazonaws.com"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True, metavar="FILE", help="CloudTrail records, one a line")
    parser.add_argument("--services", metavar="A,B", help="only these, by their name in eventSource")
    parser.add_argument("--differences", type=int, default=6, metavar="N", help="lines a pair (6)")
    options = parser.parse_args()
    wanted = options.services and {f"{it}.amazonaws.com" for it in options.services.split(",")}
    records = [it for it in replay.load(options.truth) if is_answered(it) and (not wanted or it["eventSource"] in wanted)]
    same, differing, unsent = 0, collections.defaultdict(list), 0
    for record, recorded in send(records):
        if recorded is None:
            unsent += 1
            continue
        found = list(differences(record["responseElements"], recorded.get("responseElements")))
        if found:
            differing[record["eventSource"].removesuffix(".amazonaws.com"), record["eventName"]].append(found)
        else:
            same += 1
    for (source, name), found in sorted(differing.items()):
        print(f"{source} {name}: {len(found)}")
        for line in found[0][: options.differences]:
            print("   ", line[:160])
    print(f"{same} the same, {sum(map(len, differing.values()))} of {len(differing)} pairs differ, {unsent} could not be sent")


def is_answered(record):
    elements = record.get("responseElements")
    return isinstance(elements, dict) and elements and not record.get("errorCode") and record["eventSource"] not in NOT_SENT


def send(records):
    """Each record with what localtrail recorded of its call; with None where it could not be sent."""
    answers, sent, started = {}, [], []
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), upstream_of(answers))
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    program = os.environ.get("LOCALTRAIL_BIN", "target/debug/localtrail")
    arguments = [program, "serve", "--listen", "127.0.0.1:0", "--account-id", "111122223333"]
    arguments += ["--upstream", f"http://127.0.0.1:{upstream.server_port}"]
    with contextlib.ExitStack() as stack:
        endpoint = replay.start(arguments, r"^localtrail listening on (http://\S+)", started)
        for process in started:
            stack.callback(process.wait)
            stack.callback(process.kill)
        sender = replay.Sender(endpoint)
        for number, record in enumerate(records):
            tag = f"replay/{sender.run}-{number}"
            call = rebuild(record)
            with contextlib.suppress(Mismatch):
                if call is not None:
                    answers[tag] = answer(call, record["responseElements"])
                    sender.send(call, tag)
            sent.append((record, tag))
        by_tag = replay.recorded(endpoint)
    return [(record, by_tag.get(tag)) for record, tag in sent]


def upstream_of(answers):
    class Upstream(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            tag = re.search(r"replay/[0-9a-f]+-\d+", self.headers.get("user-agent", ""))
            kind, body = answers.get(tag and tag.group(), ("text/plain", ""))
            body = body.encode()
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-amzn-requestid", "request-1")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = answer

        def log_message(self, *_):
            pass

    return Upstream


class Mismatch(Exception):
    """What was recorded is not of the model's shape."""


def answer(call, elements):
    """Content type and body of the answer whose record has these responseElements."""
    model = SESSION.get_service_model(call.service)
    output = model.operation_model(call.operation).output_shape
    protocol = "json" if call.service == "cloudwatch" else model.metadata["protocol"]
    if call.service == "ec2":
        elements = without_ec2s_frame(elements)
    payload = output and output.serialization.get("payload")
    members = {} if output is None else members_of(output, wrapped(call.service, output, payload, elements))
    if protocol in ("json", "rest-json"):
        body = {} if output is None else as_json(output, members)
        if payload:
            body = body.get(wire(output, payload), {})
        return "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1", json.dumps(body)
    name = f"{call.operation}Response"
    if protocol == "rest-xml" and payload:
        return "text/xml", as_xml(wire(output, payload), output.members[payload], members.get(payload, {}))
    inner = "".join(as_xml(wire(output, key), output.members[key], value) for key, value in members.items())
    if protocol == "ec2":
        inner = "<requestId>request-1</requestId>" + (inner or "<return>true</return>")
    if protocol == "query" and output is not None and (wrapper := output.serialization.get("resultWrapper")):
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    return "text/xml", f"<{name}>{inner}</{name}>"


def without_ec2s_frame(elements):
    """Without the request id and, in the newer layout, what stands around it all."""
    if len(elements) == 1 and next(iter(elements)).endswith("Response"):
        elements = next(iter(elements.values()))
    names = {"_return": "return"}
    return {names.get(key, key): value for key, value in elements.items() if key not in ("requestId", "xmlns")}


def wrapped(service, output, payload, elements):
    """With the member that the record leaves out: the only structure, or the payload."""
    only = payload or (next(iter(output.members)) if service in UNWRAPPED and len(output.members) == 1 else None)
    if only and output.members[only].type_name == "structure" and not any(same_name(key, only) for key in elements):
        return {only: elements}
    return elements


def wire(shape, name):
    return shape.members[name].serialization.get("name", name)


def same_name(one, other):
    return one[1:] == other[1:] and one[:1].lower() == other[:1].lower()


def members_of(shape, elements):
    """A structure's members by the model's names."""
    members = {}
    for key, value in elements.items():
        for name, of in shape.members.items():
            if (same_name(key, name) or same_name(key, wire(shape, name))) and value is not None:
                members[name] = value_of(of, value)
                break
    return members


def value_of(shape, value):
    """A value as the model has it: lists bare, dates as seconds."""
    kind = shape.type_name
    if kind == "structure":
        return members_of(shape, of_type(dict, value or {}))
    if kind == "list":
        if isinstance(value, dict):
            # EC2's {"items": […]} and {"item": …}
            value = next(iter(value.values()), []) if len(value) < 2 else None
            value = value if isinstance(value, list) else [value]
        return [value_of(shape.member, item) for item in of_type(list, value or [])]
    if kind == "map":
        return {key: value_of(shape.value, item) for key, item in of_type(dict, value).items()}
    if kind == "timestamp":
        return seconds(value)
    if kind == "blob":
        return value if isinstance(value, str) else "AAE="
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            if kind in ("integer", "long"):
                return int(value)
            if kind in ("float", "double"):
                return float(value)
        return value.lower() == "true" if kind == "boolean" else value
    return json.dumps(value) if kind == "string" else value


def of_type(kind, value):
    if not isinstance(value, kind):
        raise Mismatch
    return value


def seconds(value):
    if isinstance(value, (int, float)):
        # Some services write milliseconds.
        return value / 1000 if value > 1e11 else value
    for date in DATES:
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(value.replace("\u202f", " "), date).replace(tzinfo=datetime.timezone.utc).timestamp()
    return value


def iso(value):
    if not isinstance(value, (int, float)):
        return value
    return datetime.datetime.fromtimestamp(value, datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def as_json(shape, value):
    kind = shape.type_name
    if kind == "structure":
        return {wire(shape, key): as_json(shape.members[key], item) for key, item in value.items()}
    if kind == "list":
        return [as_json(shape.member, item) for item in value]
    if kind == "map":
        return {key: as_json(shape.value, item) for key, item in value.items()}
    if kind == "timestamp" and shape.serialization.get("timestampFormat") == "iso8601":
        return iso(value)
    return value


def as_xml(name, shape, value):
    kind = shape.type_name
    if kind == "list" and shape.serialization.get("flattened"):
        return "".join(as_xml(name, shape.member, item) for item in value)
    if kind == "structure":
        inner = "".join(as_xml(wire(shape, key), shape.members[key], item) for key, item in value.items())
    elif kind == "list":
        of = shape.member.serialization.get("name", "member")
        inner = "".join(as_xml(of, shape.member, item) for item in value)
    elif kind == "map":
        key_name, value_name = (it.serialization.get("name", default) for it, default in ((shape.key, "key"), (shape.value, "value")))
        inner = "".join(
            f"<entry><{key_name}>{escape(key)}</{key_name}>{as_xml(value_name, shape.value, item)}</entry>" for key, item in value.items()
        )
    elif kind == "boolean":
        inner = str(value).lower()
    else:
        inner = escape(str(iso(value) if kind == "timestamp" else value))
    return f"<{name}>{inner}</{name}>"


def differences(theirs, ours):
    theirs, ours = dict(leaves(theirs)), dict(leaves(ours))
    for path in sorted(theirs.keys() | ours.keys()):
        if path.endswith(".requestId"):
            continue
        if path not in ours:
            yield f"- {path} {theirs[path]}"
        elif path not in theirs:
            yield f"+ {path} {ours[path]}"
        elif str(theirs[path]) != str(ours[path]):
            yield f"~ {path} {theirs[path]} | {ours[path]}"


def leaves(value, path=""):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for at, item in enumerate(value):
            yield from leaves(item, f"{path}[{at}]")
    else:
        yield path, value


if __name__ == "__main__":
    main()
