"""What the service model demands of a request, for every operation: botocore's own copy of the model says what is
wrong, and how many things are; the program must say so in the framework's words (facts 1.2), before anything else."""

import json
import re
import urllib.error
import urllib.request

import botocore.session
import pytest
from conftest import ACCOUNT, START, Localtrail

MODEL = botocore.session.get_session().get_service_model("cloudtrail")
OPERATIONS = sorted(MODEL.operation_names)
# How much of a value the program repeats; AWS is not known to stop anywhere.
LONGEST = 2500
# Values that satisfy the model's patterns.
SAMPLES = [
    "abc",
    "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x",
    "1234abcd-12ab-34cd-56ef-1234567890ab",
    ACCOUNT,
    "iam.amazonaws.com",
    "s3://bucket/key",
    "10:30",
]


def call(url, operation, body):
    """Status, code and message of a raw call, which no SDK checks first."""
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}",
            "X-Amz-Date": "20261122T150130Z",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20261122/us-east-1/cloudtrail/aws4_request, "
            "SignedHeaders=host, Signature=0",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, "", ""
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
        return error.code, answer["__type"], answer.get("Message") or answer.get("message") or ""


def lower(name):
    return name[0].lower() + name[1:]


def demands(shape):
    """All that the model demands of a shape, in the framework's words and order."""
    what = "value" if shape.type_name in ("integer", "long", "float", "double") else "length"
    found = []
    if "max" in shape.metadata:
        found.append(f"Member must have {what} less than or equal to {shape.metadata['max']}")
    if "min" in shape.metadata:
        found.append(f"Member must have {what} greater than or equal to {shape.metadata['min']}")
    if "pattern" in shape.metadata:
        found.append(f"Member must satisfy regular expression pattern: {shape.metadata['pattern']}")
    if getattr(shape, "enum", None):
        found.append(f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    return found


def broken(shape, value):
    """Those of a shape's demands that a value does not meet."""
    size = value if isinstance(value, int) else len(value)
    low, high = shape.metadata.get("min", size), shape.metadata.get("max", size)
    pattern, enum = shape.metadata.get("pattern"), getattr(shape, "enum", None)
    missed = []
    for demand in demands(shape):
        if (
            ("less than" in demand and size > high)
            or ("greater than" in demand and size < low)
            or ("pattern" in demand and not re.fullmatch(pattern, value))
            or ("enum" in demand and value not in enum)
        ):
            missed.append(demand)
    return missed


def good(shape):
    """A value that the model has nothing against, with what it requires alone."""
    kind = shape.type_name
    if kind == "structure":
        return {wire(shape, name): good(shape.members[name]) for name in shape.required_members}
    if kind == "list":
        return [good(shape.member)] * max(1, shape.metadata.get("min", 0))
    if kind == "map":
        return {good(shape.key): good(shape.value)}
    if kind == "string":
        samples = shape.enum or [*SAMPLES, "a" * shape.metadata.get("min", 1)]
        return next(sample for sample in samples if not broken(shape, sample))
    return {"boolean": True, "timestamp": 1.5}.get(kind, shape.metadata.get("min", 60))


def wire(shape, name):
    return shape.members[name].serialization.get("name", name)


def bad(shape):
    """Values that break one demand or several."""
    meta, kind = shape.metadata, shape.type_name
    if kind == "string":
        values = ["", "x" * (meta.get("max", 0) + 1), "é ü", "\n", "nothing"]
    elif kind in ("integer", "long"):
        values = [meta.get("min", 0) - 1, meta.get("max", 0) + 1]
    elif kind == "list" and not broken_inside(shape.member):
        values = [[], [good(shape.member)] * (meta.get("max", 0) + 1)]
    else:
        values = []
    return [value for value in values if broken(shape, value)]


def broken_inside(shape):
    return shape.type_name not in ("structure", "list", "map", "string")


def java(value):
    """A value as Java prints it."""
    if isinstance(value, list):
        return f"[{', '.join(map(java, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}={java(v)}' for k, v in value.items())}}}"
    return str(value)


def violation(value, path, demand):
    shown = "null" if value is None else f"'{java(value)[:LONGEST]}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {demand}"


def cases(shape, path=""):
    """(what is sent, the violations in it) for every constraint below a structure."""
    for name, member in shape.members.items():
        at = f"{path}.{lower(wire(shape, name))}" if path else lower(wire(shape, name))
        base, key, kind = good(shape), wire(shape, name), member.type_name
        for value in bad(member):
            if kind == "list" and any(isinstance(it, dict) for it in value):
                continue  # What is shown of structures is unverified.
            yield base | {key: value}, [violation(value, at, it) for it in broken(member, value)]
        if kind == "structure":
            for value, violations in cases(member, at):
                yield base | {key: value}, violations
        elif kind == "list" and member.member.type_name == "structure":
            for value, violations in cases(member.member, f"{at}.1.member"):
                yield base | {key: [value]}, violations
        elif kind == "list":
            for value in bad(member.member):
                inner = f"Member must satisfy constraint: [{', '.join(demands(member.member))}]"
                yield base | {key: [value]}, [violation([value], at, inner)]
        elif kind == "map":
            for which, part in (("keys", member.key), ("value", member.value)):
                for value in bad(part):
                    entry = {value: good(member.value)} if which == "keys" else {good(member.key): value}
                    inner = f"Map {which} must satisfy constraint: [{', '.join(demands(part))}]"
                    yield base | {key: entry}, [violation(entry, at, inner)]


def said(violations):
    count = len(violations)
    return f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(violations)}"


def test_there_are_sixty_operations_and_hundreds_of_ways_to_break_their_constraints():
    assert len(OPERATIONS) == 60
    counts = [len(list(cases(MODEL.operation_model(it).input_shape))) for it in OPERATIONS]
    assert sum(counts) > 300, sum(counts)


@pytest.fixture(scope="module")
def alone():
    server = Localtrail("--time", START)
    yield server
    server.stop()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_checks_its_model_before_all_else(alone, operation):
    shape = MODEL.operation_model(operation).input_shape
    missing = [violation(None, lower(wire(shape, it)), "Member must not be null") for it in shape.members if it in shape.required_members]
    if missing:
        assert call(alone.url, operation, {}) == (400, "ValidationException", said(missing))
    else:
        assert call(alone.url, operation, {})[1] not in ("ValidationException", "SerializationException")
    for body, violations in cases(shape):
        expected = (400, "ValidationException", said(violations))
        assert call(alone.url, operation, body) == expected, body
    for name in shape.members:
        body = good(shape) | {wire(shape, name): [[[]]]}
        status, code, _ = call(alone.url, operation, body)
        assert (status, code) == (400, "SerializationException"), body
    # What the model has nothing against is the operation's to answer.
    status, code, _ = call(alone.url, operation, good(shape))
    assert code not in ("ValidationException", "SerializationException", "InternalFailure"), code
