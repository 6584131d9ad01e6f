"""How like one record is to AWS's own of the same call.

A record's score is the weighted mean of six figures (WEIGHTS): `source` and `name` are equal or not; `flags` is the share
of readOnly, managementEvent, eventCategory and eventType that are equal; `shape` is whether requestParameters is null in
both or in neither; `keys` is the F1 of the paths of requestParameters' leaves, without array indices and without what was
made up for the call; `values` is the share of the common leaves with equal values, where ids, ARNs, tokens and hidden
values are not compared. A denied call whose parameters are left out, by AWS or by us, is scored without the last three.
"""

import collections
import json
import re

WEIGHTS = {"source": 1, "name": 2, "flags": 2, "shape": 1, "keys": 4, "values": 2}
FLAGS = ("readOnly", "managementEvent", "eventCategory", "eventType")
NOT_COMPARED = re.compile(
    r"^(arn:|[a-z]{1,8}-[0-9a-f]{8,}|[0-9a-f]{8}-[0-9a-f]{4}-|\d{12}$|AKIA|ASIA|AIDA|AROA|i-|vol-|sg-)"
    r"|HIDDEN|\*{3}|REDACT|sensitiveDataRemoved|EXAMPLE",
    re.I,
)


def compare(truth, produced, dummies=()):
    """The figures of one record; `{"score": 0.0, "missing": True}` if there is none."""
    if produced is None:
        return {"score": 0.0, "missing": True}
    flags = [flag for flag in FLAGS if flag in truth]
    figures = {
        "source": float(produced.get("eventSource") == truth["eventSource"]),
        "name": float(produced.get("eventName") == truth["eventName"]),
        "flags": sum(produced.get(flag) == truth[flag] for flag in flags) / len(flags) if flags else None,
    }
    wanted, written = truth.get("requestParameters"), produced.get("requestParameters")
    denied_here = written is None and produced.get("errorCode") == "AccessDenied" != truth.get("errorCode")
    if not denied_here and (wanted is not None or not truth.get("errorCode")):
        if truth["eventSource"] == "s3.amazonaws.com" and truth["eventVersion"] < "1.05":
            wanted = without_arrays(wanted)
        figures |= compare_parameters(wanted, written, dummies)
    scored = {name: figures[name] for name in WEIGHTS if figures.get(name) is not None}
    weight = sum(WEIGHTS[name] for name in scored)
    figures["score"] = sum(WEIGHTS[name] * figure for name, figure in scored.items()) / weight
    return figures


def compare_parameters(wanted, written, dummies):
    shape = float((wanted is None) == (written is None))
    made_up = [segments(path) for path in dummies]

    def is_made_up(path):
        # At 1 inside of EC2's wrapper.
        return any(path[at : at + len(it)] == it for it in made_up for at in (0, 1))

    wanted, written = by_path(wanted or {}), by_path(written or {})
    written = {path: it for path, it in written.items() if path in wanted or not is_made_up(segments(path))}
    if not wanted and not written:
        return {"shape": shape, "keys": shape or None, "values": shape or None}
    common = wanted.keys() & written.keys()
    compared = [path for path in common if not any(isinstance(it, str) and NOT_COMPARED.search(it) for it in wanted[path])]
    equal = sum(as_set(wanted[path]) == as_set(written[path]) for path in compared)
    return {
        "shape": shape,
        "keys": 2 * len(common) / (len(wanted) + len(written)),
        "values": equal / len(compared) if compared else None,
        "not_written": sorted(wanted.keys() - common),
        "not_wanted": sorted(written.keys() - common),
        "unequal": sorted(path for path in compared if as_set(wanted[path]) != as_set(written[path])),
    }


def by_path(value):
    """The leaves of a value by their paths. `Host` is left out: it differs by construction."""
    leaves = collections.defaultdict(list)
    for path, leaf in walk(value, ""):
        if path not in ("", "Host"):
            leaves[path].append(leaf)
    return leaves


def walk(value, path):
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for inner in value:
            yield from walk(inner, path + "[]")
    else:
        yield path, value


def segments(path):
    plain = (re.sub(r"[^a-z0-9]", "", part.lower()) for part in path.split("."))
    return [part for part in plain if part]


def without_arrays(parameters):
    """The parameters of an old record of S3, whose query values are arrays of one."""
    is_one = lambda value: isinstance(value, list) and len(value) == 1
    return parameters and {key: value[0] if is_one(value) else value for key, value in parameters.items()}


def as_set(leaves):
    return sorted(json.dumps(float(leaf) if type(leaf) is int else leaf, sort_keys=True) for leaf in leaves)
