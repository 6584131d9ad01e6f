#!/usr/bin/env python3
"""Distils botocore's service models into models.bin, which the binary embeds.

    python3 src/aws/distill.py            writes src/aws/models.bin
    python3 src/aws/distill.py --check    fails if models.bin is not what would be written

Works with one version of botocore (VERSION below; `pip install botocore==VERSION`), so that the file can be made again
byte by byte; `--any-version` lifts that. Takes every service's newest API version. Leaves out documentation, enums and
other constraints (kept for CloudTrail's own services), paginators, waiters, examples and endpoint rules.

Format, little-endian:

    "LTM1"                        magic
    u32                           length of the index
    index                         zlib of JSON
    frames                        one per service: zlib of JSON

    index    {"botocore": version,
              "services": [[id, serviceId, signingName, endpointPrefix, apiVersion, targetPrefix | null,
                            jsonVersion | null, protocols, xmlNamespace | null, length of the frame], …]}
             in the order of their frames; protocols is a string of letters, the preferred one first:
             j json, q query, 2 ec2, r rest-json, x rest-xml, c smithy-rpc-v2-cbor
    frame    {"o": operations, "s": shapes}
    operation  [name, method, uri, input, output, errors, extra]
             input, output: index into shapes or null; errors: list of them;
             extra: {"w": resultWrapper, "u": 1 if unsigned}
             deprecated operations come last, so that the first of two with one URI is the one in use
    shape    [name, type, details]
             type: S structure, L list, M map, s string, b blob, B boolean, i integer, l long, f float, d double,
             t timestamp
             details: {"m": members, "p": index of the payload member, "r": indices of required members,
                       "e": [code | null, status | null, 1 if the sender is at fault] of an exception,
                       "d": 1 document, "v": 1 event stream, "k": key, "x": value or element, "F": 1 flattened,
                       "t": timestamp format, "S": 1 sensitive, "c": [min, max, pattern, enum]}
    member   [name, shape, traits]
             traits: {"l": location, "n": locationName, "q": queryName, "F": flattened, "a": xmlAttribute,
                      "t": timestamp format, "s": streaming, "j": jsonvalue, "i": idempotencyToken}
             location: u uri, q querystring, h header, H headers, s statusCode; timestamp format: i iso8601, r rfc822,
             u unixTimestamp

botocore is licensed under the Apache License 2.0; see NOTICE.
"""

import argparse
import json
import pathlib
import struct
import sys
import zlib

import botocore
import botocore.session

VERSION = "1.43.11"
CONSTRAINED = {"cloudtrail", "cloudtrail-data"}
PROTOCOLS = {
    "json": "j",
    "query": "q",
    "ec2": "2",
    "rest-json": "r",
    "rest-xml": "x",
    "smithy-rpc-v2-cbor": "c",
}
TYPES = {
    "structure": "S",
    "list": "L",
    "map": "M",
    "string": "s",
    "character": "s",
    "blob": "b",
    "boolean": "B",
    "integer": "i",
    "long": "l",
    "float": "f",
    "double": "d",
    "timestamp": "t",
}
LOCATIONS = {"uri": "u", "querystring": "q", "header": "h", "headers": "H", "statusCode": "s"}
TIMESTAMPS = {"iso8601": "i", "rfc822": "r", "unixTimestamp": "u"}

# The names that SQS's members had in its query protocol. The model has forgotten them since SQS speaks JSON, but older
# clients still send them. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
SQS_QUERY_NAMES = {
    ("AddPermissionRequest", "AWSAccountIds"): "AWSAccountId",
    ("AddPermissionRequest", "Actions"): "ActionName",
    ("ChangeMessageVisibilityBatchRequest", "Entries"): "ChangeMessageVisibilityBatchRequestEntry",
    ("ChangeMessageVisibilityBatchResult", "Successful"): "ChangeMessageVisibilityBatchResultEntry",
    ("ChangeMessageVisibilityBatchResult", "Failed"): "BatchResultErrorEntry",
    ("CreateQueueRequest", "Attributes"): "Attribute",
    ("CreateQueueRequest", "tags"): "Tag",
    ("DeleteMessageBatchRequest", "Entries"): "DeleteMessageBatchRequestEntry",
    ("DeleteMessageBatchResult", "Successful"): "DeleteMessageBatchResultEntry",
    ("DeleteMessageBatchResult", "Failed"): "BatchResultErrorEntry",
    ("GetQueueAttributesRequest", "AttributeNames"): "AttributeName",
    ("GetQueueAttributesResult", "Attributes"): "Attribute",
    ("ListDeadLetterSourceQueuesResult", "queueUrls"): "QueueUrl",
    ("ListQueueTagsResult", "Tags"): "Tag",
    ("ListQueuesResult", "QueueUrls"): "QueueUrl",
    ("Message", "Attributes"): "Attribute",
    ("Message", "MessageAttributes"): "MessageAttribute",
    ("MessageAttributeValue", "BinaryListValues"): "BinaryListValue",
    ("MessageAttributeValue", "StringListValues"): "StringListValue",
    ("ReceiveMessageRequest", "AttributeNames"): "AttributeName",
    ("ReceiveMessageRequest", "MessageAttributeNames"): "MessageAttributeName",
    ("ReceiveMessageResult", "Messages"): "Message",
    ("SendMessageBatchRequest", "Entries"): "SendMessageBatchRequestEntry",
    ("SendMessageBatchRequestEntry", "MessageAttributes"): "MessageAttribute",
    ("SendMessageBatchRequestEntry", "MessageSystemAttributes"): "MessageSystemAttribute",
    ("SendMessageBatchResult", "Successful"): "SendMessageBatchResultEntry",
    ("SendMessageBatchResult", "Failed"): "BatchResultErrorEntry",
    ("SendMessageRequest", "MessageAttributes"): "MessageAttribute",
    ("SendMessageRequest", "MessageSystemAttributes"): "MessageSystemAttribute",
    ("SetQueueAttributesRequest", "Attributes"): "Attribute",
    ("TagQueueRequest", "Tags"): "Tag",
    ("UntagQueueRequest", "TagKeys"): "TagKey",
}
SQS_MAP_NAMES = {
    "MessageBodyAttributeMap": ("Name", "Value"),
    "MessageBodySystemAttributeMap": ("Name", "Value"),
    "MessageSystemAttributeMap": ("Name", "Value"),
    "QueueAttributeMap": ("Name", "Value"),
    "TagMap": ("Key", "Value"),
}


class Service:
    """One service's model on its way into a frame: numbers the shapes as they are met."""

    def __init__(self, name, model):
        self.name = name
        self.model = model
        self.numbers = {}
        self.queue = []
        self.sqs_names_used = set()

    def frame(self):
        operations = sorted(self.model["operations"].items(), key=lambda o: bool(o[1].get("deprecated")))
        operations = [self.operation(name, operation) for name, operation in operations]
        # Exceptions that no operation declares are sent all the same.
        for name, shape in self.model["shapes"].items():
            if is_exception(shape):
                self.number(name)
        shapes = []
        for name in self.queue:  # grows as it is walked
            shapes.append(self.shape(name))
        if self.name == "sqs":
            unused = (set(SQS_QUERY_NAMES) | set(SQS_MAP_NAMES)) - self.sqs_names_used
            if unused:
                raise SystemExit(f"names that SQS's model does not have: {sorted(map(str, unused))}")
        return {"o": operations, "s": shapes}

    def number(self, shape):
        if shape not in self.numbers:
            self.numbers[shape] = len(self.queue)
            self.queue.append(shape)
        return self.numbers[shape]

    def operation(self, name, operation):
        # Not operation["name"]: CloudFront's have the API's date in them, which no client and no record shows.
        http = operation["http"]
        result = [
            name,
            http["method"],
            http["requestUri"],
            self.number(operation["input"]["shape"]) if "input" in operation else None,
            self.number(operation["output"]["shape"]) if "output" in operation else None,
            [self.number(error["shape"]) for error in operation.get("errors", ())],
        ]
        extra = {}
        if "resultWrapper" in operation.get("output", {}):
            extra["w"] = operation["output"]["resultWrapper"]
        if operation.get("authtype") == "none":
            extra["u"] = 1
        return [*result, extra]

    def shape(self, name):
        shape = self.model["shapes"][name]
        kind = shape["type"]
        details = {}
        if kind == "structure":
            members = shape.get("members", {})
            names = list(members)
            details["m"] = [self.member(name, member, members[member]) for member in names]
            if "payload" in shape:
                details["p"] = names.index(shape["payload"])
            if shape.get("required"):
                details["r"] = [names.index(member) for member in shape["required"] if member in members]
            if is_exception(shape):
                error = shape.get("error", {})
                fault = error.get("senderFault", not shape.get("fault", error.get("fault", False)))
                details["e"] = [error.get("code"), error.get("httpStatusCode"), int(bool(fault))]
            if shape.get("document"):
                details["d"] = 1
            if shape.get("eventstream"):
                details["v"] = 1
        elif kind == "list":
            details["x"] = self.member(name, "", shape["member"])
        elif kind == "map":
            details["k"] = self.member(name, "", shape["key"], sqs_part=0)
            details["x"] = self.member(name, "", shape["value"], sqs_part=1)
        elif kind == "timestamp" and "timestampFormat" in shape:
            details["t"] = TIMESTAMPS[shape["timestampFormat"]]
        if shape.get("flattened"):
            details["F"] = 1
        if shape.get("sensitive"):
            details["S"] = 1
        if self.name in CONSTRAINED:
            constraints = [shape.get("min"), shape.get("max"), shape.get("pattern"), shape.get("enum", [])]
            if any(part not in (None, []) for part in constraints):
                details["c"] = constraints
        return [name, TYPES[kind], details]

    def member(self, parent, name, member, sqs_part=None):
        target = self.model["shapes"][member["shape"]]
        traits = {}
        if "location" in member:
            traits["l"] = LOCATIONS[member["location"]]
        # A shape's own locationName counts where the member has none.
        wire = member.get("locationName", target.get("locationName"))
        if wire is not None and (wire != name or not name):
            traits["n"] = wire
        if "queryName" in member:
            traits["q"] = member["queryName"]
        if self.name == "sqs":
            self.sqs_name(parent, name, sqs_part, traits)
        if member.get("flattened"):
            traits["F"] = 1
        if member.get("xmlAttribute"):
            traits["a"] = 1
        if "timestampFormat" in member:
            traits["t"] = TIMESTAMPS[member["timestampFormat"]]
        if member.get("streaming") or target.get("streaming"):
            traits["s"] = 1
        if member.get("jsonvalue"):
            traits["j"] = 1
        if member.get("idempotencyToken"):
            traits["i"] = 1
        number = self.number(member["shape"])
        return [name, number, traits]

    def sqs_name(self, parent, name, part, traits):
        if (parent, name) in SQS_QUERY_NAMES:
            self.sqs_names_used.add((parent, name))
            traits["q"] = SQS_QUERY_NAMES[parent, name]
        if part is not None and parent in SQS_MAP_NAMES:
            self.sqs_names_used.add(parent)
            traits["q"] = SQS_MAP_NAMES[parent][part]


def is_exception(shape):
    return bool(shape.get("exception") or "error" in shape)


def packed(value):
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return zlib.compress(text.encode(), 9)


def distil():
    loader = botocore.session.Session().get_component("data_loader")
    services, frames = [], []
    for name in sorted(loader.list_available_services("service-2")):
        model = loader.load_service_model(name, "service-2")
        metadata = model["metadata"]
        frame = packed(Service(name, model).frame())
        protocols = [metadata["protocol"]]
        protocols += [p for p in metadata.get("protocols", ()) if p not in protocols]
        services.append([
            name,
            metadata["serviceId"],
            metadata.get("signingName", metadata["endpointPrefix"]),
            metadata["endpointPrefix"],
            metadata["apiVersion"],
            metadata.get("targetPrefix"),
            metadata.get("jsonVersion"),
            "".join(PROTOCOLS[protocol] for protocol in protocols),
            metadata.get("xmlNamespace"),
            len(frame),
        ])
        frames.append(frame)
    index = packed({"botocore": botocore.__version__, "services": services})
    return b"LTM1" + struct.pack("<I", len(index)) + index + b"".join(frames)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare models.bin with what would be written")
    parser.add_argument("--any-version", action="store_true", help=f"take botocore as it is, not {VERSION} alone")
    arguments = parser.parse_args()
    if botocore.__version__ != VERSION and not arguments.any_version:
        sys.exit(f"botocore is {botocore.__version__}; models.bin is made with {VERSION}")
    path = pathlib.Path(__file__).with_name("models.bin")
    data = distil()
    if arguments.check:
        if path.read_bytes() != data:
            sys.exit(f"{path} is not what distill.py makes of botocore {botocore.__version__}")
        return
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
