"""A CloudTrail record → the API call that it came from, as far as botocore can send one.

The inverse of CloudTrail's mapping, by best effort: every operation that may have made the record is tried and the one
that explains most of `requestParameters` is taken. Required members that the record does not show are filled with
dummies, whose paths are kept, so that the score can leave them out.
"""

import base64
import collections
import datetime
import functools
import json
import re

import botocore.session
import botocore.validate

SESSION = botocore.session.get_session()

# Services whose records name another source than their endpoint or signing name, or that share one: first guess first.
SERVICES = {
    "amazonmq": ["mq"],
    "applicationsignals": ["application-signals"],
    "autoscaling": ["autoscaling", "application-autoscaling", "autoscaling-plans"],
    "dynamodb": ["dynamodb", "dynamodbstreams"],
    "elasticloadbalancing": ["elbv2", "elb"],
    "elasticmapreduce": ["emr"],
    "email": ["ses"],
    "es": ["opensearch", "es"],
    "gamma-ssm-incidents": ["ssm-incidents"],
    "greengrass": ["greengrassv2", "greengrass"],
    "iotevents": ["iotevents", "iotevents-data"],
    "lex": ["lexv2-models", "lex-models", "lexv2-runtime"],
    "metering-marketplace": ["meteringmarketplace"],
    "migrationhub": ["mgh"],
    "monitoring": ["cloudwatch"],
    "networksynthetics": ["networkmonitor"],
    "rds": ["rds", "neptune", "docdb"],
    "s3": ["s3", "s3control"],
    "s3express": ["s3"],
    "ses": ["sesv2", "ses"],
    "sso": ["sso-admin", "sso-oidc", "sso"],
    "sso-directory": ["identitystore"],
    "states": ["stepfunctions"],
    "tagging": ["resourcegroupstaggingapi"],
}
# S3's records keep the names of its first API.
S3_OPERATIONS = {
    "DeleteBucketPublicAccessBlock": "DeletePublicAccessBlock",
    "GetAccelerateConfiguration": "GetBucketAccelerateConfiguration",
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "GetBucketObjectLockConfiguration": "GetObjectLockConfiguration",
    "GetBucketPublicAccessBlock": "GetPublicAccessBlock",
    "PutAccelerateConfiguration": "PutBucketAccelerateConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "PutBucketObjectLockConfiguration": "PutObjectLockConfiguration",
    "PutBucketPublicAccessBlock": "PutPublicAccessBlock",
}
# Names that EC2's records have for members which its model calls otherwise.
EC2_MEMBERS = {
    "aclProtocol": "Protocol",
    "attributeType": "Attribute",
    "sharedUsersSet": "RestorableByUserIds",
    "zone": "AvailabilityZone",
}
RUN_INSTANCES_ITEM = ("imageId", "keyName", "maxCount", "minCount")
# What services add to the record; never a member of a call.
ADDED = {"Host", "dryRun", "host", "list-type", "tag", "template", "xmlns"}
DATED_NAME = re.compile(r"(_?20\d\d_?\d\d_?\d\d)(v\d+)?$")
DATES = (
    "%b %d, %Y, %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p",
    "%Y-%m-%dT%H:%M:%S.%fZ",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
)


def rebuild(record):
    """The `Call` that explains most of the record; None where no operation of botocore answers to its name."""
    best = None
    for service, operation in operations(record)[:8]:
        try:
            call = Call(service, operation, record)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        if best is None or call.coverage > best.coverage + 1e-9:
            best = call
    return best


@functools.cache
def model(service):
    return SESSION.get_service_model(service)


@functools.cache
def services_by_host():
    by_host = collections.defaultdict(list)
    for name in SESSION.get_available_services():
        metadata = model(name).metadata
        prefix = metadata.get("endpointPrefix")
        for host in {name, prefix, metadata.get("signingName") or prefix}:
            by_host[host].append(name)
    return by_host


def operations(record):
    """All (service, operation) that a record may come from, best guess first."""
    host = record["eventSource"].split(".amazonaws")[0]
    name = record["eventName"]
    if host == "s3" and name.startswith(("GetAccount", "PutAccount", "DeleteAccount")):
        return [("s3control", name.replace("Account", ""))]
    services = list(dict.fromkeys(SERVICES.get(host, []) + services_by_host().get(host, [])))
    if host == "elasticloadbalancing" and str(record.get("apiVersion", "")).startswith("2012"):
        services = ["elb", "elbv2"]
    names = [name]
    if host == "s3":
        parameters = record.get("requestParameters") or {}
        if name == "ListObjects" and parameters.get("list-type") == "2":
            names = ["ListObjectsV2", name]
        elif name in S3_OPERATIONS:
            names = [S3_OPERATIONS[name], name]
    if dated := DATED_NAME.search(name):
        names.append(name[: dated.start()])
    found = [(service, it) for it in names for service in services if it in model(service).operation_names]
    if host == "s3" and any(service == "s3" for service, _ in found):
        found = [it for it in found if it[0] == "s3"]
    if found:
        return found
    every = ((service, it) for service in services for it in model(service).operation_names)
    return [(service, it) for service, it in every if it.lower() == name.lower()]


def lower_first(name):
    return name[:1].lower() + name[1:]


def plain(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


def set_names(key):
    """What the list called `key` in EC2's records (`instancesSet`) may be called in its model."""
    low = key.lower()
    stems = {low} | {low.removesuffix(end) for end in ("set", "list")}
    more = set()
    for stem in stems:
        one = re.sub("s$", "", stem)
        more |= {stem + "s", stem.rstrip("s"), re.sub("ies$", "y", stem), stem + "id", stem + "ids"}
        more |= {one + "ids", one + "names", stem + "specifications"}
    return stems | more


def find_member(key, value, shape, protocol):
    """The member of `shape` that the record calls `key`, or None."""
    members = shape.members
    for name in members:
        if key in (name, lower_first(name)):
            return name
    for name, member in members.items():
        for wire in (member.serialization.get("name"), member.serialization.get("queryName")):
            if wire and (key in (wire, lower_first(wire)) or wire.lower() == key.lower()):
                return name
    by_lower = {name.lower(): name for name in members}
    if key.lower() in by_lower:
        return by_lower[key.lower()]
    if key == "bucketName" and "Bucket" in members:
        return "Bucket"
    for name in members:
        if plain(name) == plain(key):
            return name
    return find_ec2_member(key, value, members) if protocol == "ec2" else None


def find_ec2_member(key, value, members):
    items = value.get("items") or value.get("item") if isinstance(value, dict) else None
    inner = None
    if items and isinstance(items[0], dict) and len(items[0]) == 1:
        inner = next(iter(items[0])).lower()
    for name, member in members.items():
        if inner and member.type_name == "list":
            wire = (member.serialization.get("name") or name).lower()
            if {name.lower(), wire} & {inner, inner + "s"} or name.lower().endswith(inner + "s"):
                return name
    names = set_names(key)
    for name, member in members.items():
        if name.lower() in names or (member.serialization.get("name") or name).lower() in names:
            return name
    other = EC2_MEMBERS.get(key)
    return other if other in members else None


def to_time(value):
    if isinstance(value, (int, float)) or re.fullmatch(r"\d{9,13}(\.\d+)?", str(value)):
        seconds = float(value)
        return datetime.datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, datetime.timezone.utc)
    for form in DATES:
        try:
            time = datetime.datetime.strptime(value.replace("\u202f", " "), form)
        except ValueError:
            continue
        return time if time.tzinfo else time.replace(tzinfo=datetime.timezone.utc)
    raise ValueError(f"no time: {value!r:.40}")


class Call:
    """One reconstruction: `service`, `operation`, `params`; `dummies` are the paths of members that were made up."""

    def __init__(self, service, operation, record):
        self.service, self.operation = service, operation
        self.protocol = model(service).metadata["protocol"]
        self.params, self.dummies = {}, set()
        self._keys, self._explained = 0, 0.0
        parameters = record.get("requestParameters")
        parameters = parameters if isinstance(parameters, dict) else {}
        shape = model(service).operation_model(operation).input_shape
        if shape is None:
            self._keys = len([key for key in parameters if key not in ADDED])
            return
        self.params = self._structure(self._unwrapped(parameters, shape), shape, "", top=True)
        self._fill(self.params, shape, "")

    @property
    def coverage(self):
        """Share of the record's keys that the call explains."""
        return self._explained / self._keys if self._keys else 1.0

    def _unwrapped(self, parameters, shape):
        """The parameters without what EC2 and API Gateway put around them."""
        if len(parameters) == 1:
            key, value = next(iter(parameters.items()))
            is_wrapper = isinstance(value, dict) and re.search(r"(Request|Req|Input)$", key)
            if is_wrapper and not find_member(key, value, shape, self.protocol):
                parameters = value
        for key, value in list(parameters.items()):
            if key.endswith("Input") and isinstance(value, dict) and not find_member(key, value, shape, self.protocol):
                parameters = {k: v for k, v in parameters.items() if k != key} | value
        if self.operation == "RunInstances" and isinstance(parameters.get("instancesSet"), dict):
            item = (parameters["instancesSet"].get("items") or [{}])[0]
            of_item = {k: v for k, v in item.items() if k in RUN_INSTANCES_ITEM}
            parameters = {k: v for k, v in parameters.items() if k != "instancesSet"} | of_item
        return parameters

    def _structure(self, values, shape, path, top=False):
        params = {}
        for key, value in values.items():
            if top and isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and self.protocol == "rest-xml":
                value = value[0]  # S3's query values were arrays before 1.05.
            if value is None or key in ADDED or key.startswith("xmlns"):
                continue
            if top and value == "" and (self.service == "s3" or not find_member(key, value, shape, self.protocol)):
                continue
            if key == "accessControlList" and isinstance(value, dict):
                params |= self._structure(value, shape, path)
                continue
            self._keys += 1
            name, value = self._member(key, value, shape, top)
            if name is None:
                continue
            if isinstance(name, tuple):
                payload, name = name
                inner, into = shape.members[payload], params.setdefault(payload, {})
            else:
                inner, into = shape, params
            try:
                into[name] = self._value(value, inner.members[name], path + name)
                self._explained += 1
            except (AttributeError, TypeError, ValueError):
                self._explained += 0.5
        return params

    def _member(self, key, value, shape, top):
        """(name, value) of the member meant; the name is (payload, name) where it stands in the body's structure."""
        name = find_member(key, value, shape, self.protocol)
        if not top:
            return name, value
        if self.service == "s3" and key == "bucketPolicy":
            return "Policy", json.dumps(value)
        if name is None and self.service == "dynamodb" and key == "key" and "Item" in shape.members:
            return "Item", value
        payload = shape.serialization.get("payload")
        if name is None and payload and shape.members[payload].type_name == "structure":
            inner = find_member(key, value, shape.members[payload], self.protocol)
            if inner:
                return (payload, inner), value
            if isinstance(value, dict):
                return payload, value  # The root element of the body.
        return name, value

    def _value(self, value, shape, path):
        kind = shape.type_name
        if self._is_typed(shape) and not (isinstance(value, dict) and set(value) & set(shape.members)):
            return attribute_value(value)
        if kind == "structure":
            if isinstance(value, dict):
                params = self._structure(value, shape, path + ".")
            else:
                self.dummies.add(path)
                params = {}
            self._fill(params, shape, path + ".")
            return params
        if kind == "list":
            return [self._item(item, shape.member, path + "[]") for item in items_of(value, shape)]
        if kind == "map":
            if isinstance(value, list):
                pairs = [(i, it) for i, it in enumerate(value) if isinstance(it, dict)]
                value = {it.get("key", it.get("name", i)): it.get("value", "") for i, it in pairs}
            if not isinstance(value, dict):
                self.dummies.add(path)
                return {}
            entries = ((str(key), it) for key, it in value.items() if it is not None)
            return {key: self._value(it, shape.value, path + ".{}") for key, it in entries}
        return scalar(value, kind)

    def _is_typed(self, shape):
        return shape.name == "AttributeValue" and self.service in ("dynamodb", "dynamodbstreams")

    def _item(self, value, shape, path):
        if isinstance(value, dict) and shape.type_name not in ("structure", "map"):
            # {"instanceId": "i-1"}, {"tag": 1, "content": "i-1"}
            value = value.get("content", next((it for key, it in value.items() if key != "tag"), ""))
        return self._value(value, shape, path)

    def _fill(self, params, shape, path):
        for name in shape.required_members:
            if name not in params:
                params[name] = dummy(shape.members[name], name)
                self.dummies.add(path + name)
        for name, member in shape.members.items():
            if member.metadata.get("idempotencyToken") and name not in params:
                self.dummies.add(path + name)  # botocore fills it.
        if path == "" and "AccountId" in shape.members and self.service == "s3control":
            params.setdefault("AccountId", "123456789012")


def items_of(value, shape):
    """The elements of a list, however the record holds them."""
    if isinstance(value, dict):
        of_lists = any(isinstance(it, list) for it in value.values())
        if set(value) <= {"items", "item", "member", shape.member.serialization.get("name")}:
            value = next(iter(value.values()), [])
        elif "tag" in value or (shape.member.type_name == "structure" and not of_lists):
            value = [value]
        else:
            value = next((it if isinstance(it, list) else [it] for it in value.values()), [])
    return value if isinstance(value, list) else [value]


def attribute_value(value):
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, float)):
        return {"N": str(value)}
    return {"S": json.dumps(value)}


def scalar(value, kind):
    if kind == "timestamp":
        return to_time(value)
    if kind == "blob":
        return blob(value)
    if isinstance(value, dict) and value and set(value) <= {"content", "tag", "value"}:
        value = value.get("value", value.get("content"))
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind in ("integer", "long"):
        return int(float(value))
    if kind in ("float", "double"):
        return float(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def blob(value):
    if isinstance(value, dict):
        buffer = value.get("hb")
        return bytes(byte & 255 for byte in buffer) if isinstance(buffer, list) else json.dumps(value).encode()
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode()


def dummy(shape, name, depth=0):
    """A value that the model takes."""
    kind = shape.type_name
    if kind == "structure":
        required = shape.required_members if depth < 6 else []
        return {it: dummy(shape.members[it], it, depth + 1) for it in required}
    if kind == "list":
        return [dummy(shape.member, name, depth + 1)] if shape.metadata.get("min", 0) else []
    if kind in ("integer", "long"):
        return int(shape.metadata.get("min", 1))
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        text = "dummy-" + name.lower()
        shortest, longest = int(shape.metadata.get("min", 1)), int(shape.metadata.get("max", 10**6))
        return text.ljust(min(shortest, 200), "x")[:longest]
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    return {"map": {}, "timestamp": start, "blob": b"dummy", "boolean": False, "float": 1.0, "double": 1.0}[kind]
