"""A made-up history of calls, to be brought in by `POST /_localtrail/events`.

Few operations make most of the calls, as in real accounts, and the same numbers give the same records: half of them are
`DescribeInstances`, a hundredth is `DeleteTrail`, each of 50 users has its key, every other call names a bucket.
"""

import datetime
import json
import random
import time

from serve import ACCOUNT

# (share in a hundred, source, name, readOnly)
OPERATIONS = [
    (50, "ec2", "DescribeInstances", True),
    (20, "s3", "GetBucketAcl", True),
    (15, "sts", "AssumeRole", True),
    (8, "iam", "ListUsers", True),
    (5, "ec2", "RunInstances", False),
    (1, "iam", "CreateUser", False),
    (1, "cloudtrail", "DeleteTrail", False),
]
USERS = 50
BUCKETS = 20_000
# The first of them make each a twentieth of the calls.
BUSY = 10
BATCH = 2_000

RECORD = (
    '{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","principalId":"AIDAEXAMPLE{user:05}","arn":"arn:aws:iam::{account}'
    ':user/user-{user}","accountId":"{account}","accessKeyId":"AKIAEXAMPLE{user:09}","userName":"user-{user}"}},"eventTime":"{time}",'
    '"eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.{host}",'
    '"userAgent":"aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8.0 md/arch#x86_64 lang/python#3.13.7 cfg/retry-mode#standard",'
    '"requestParameters":{{"maxResults":50,"bucketName":"bucket-{bucket}","filterSet":{{}}}},"responseElements":null,'
    '"requestID":"{number:08x}-1111-4111-8111-{number:012x}","eventID":"{number:08x}-2222-4222-8222-{number:012x}",'
    '"readOnly":{read_only},{resources}"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{account}",'
    '"eventCategory":"Management","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256",'
    '"clientProvidedHostHeader":"{source}.us-east-1.amazonaws.com"}}}}'
)
RESOURCES = '"resources":[{{"accountId":"{account}","type":"AWS::{kind}","ARN":"arn:aws:s3:::bucket-{bucket}"}}],'

# What each attribute is asked for: a common value, and one of every hundredth event or fewer.
LOOKUPS = {
    "none": None,
    "EventId": ("EventId", f"{77:08x}-2222-4222-8222-{77:012x}"),
    "EventName, 1 in 2": ("EventName", "DescribeInstances"),
    "EventName, 1 in 100": ("EventName", "DeleteTrail"),
    "ReadOnly true": ("ReadOnly", "true"),
    "ReadOnly false": ("ReadOnly", "false"),
    "Username, 1 in 20": ("Username", "user-1"),
    "Username, 1 in 100": ("Username", "user-40"),
    "ResourceType, 9 in 20": ("ResourceType", "AWS::S3::Bucket"),
    "ResourceType, 1 in 20": ("ResourceType", "AWS::EC2::Instance"),
    "ResourceName, 1 in 40": ("ResourceName", "arn:aws:s3:::bucket-1"),
    "ResourceName, rare": ("ResourceName", "arn:aws:s3:::bucket-777"),
    "EventSource, 11 in 20": ("EventSource", "ec2.amazonaws.com"),
    "EventSource, 1 in 100": ("EventSource", "cloudtrail.amazonaws.com"),
    "AccessKeyId, 1 in 20": ("AccessKeyId", f"AKIAEXAMPLE{1:09}"),
    "AccessKeyId, 1 in 100": ("AccessKeyId", f"AKIAEXAMPLE{40:09}"),
}


def skewed(chance, count):
    """One of `count`; half of the time one of the first few."""
    return chance.randrange(BUSY if chance.random() < 0.5 else count)


def records(first, count, begin, length):
    """The JSON of records `first` to `first + count`, their times spread evenly over `length` from `begin` on."""
    chance = random.Random(first)
    shares = [operation[0] for operation in OPERATIONS]
    chosen = chance.choices(OPERATIONS, shares, k=count)
    for number, (_, source, name, read_only) in enumerate(chosen, first):
        moment = begin + length * ((number - first) / count)
        fill = {"account": ACCOUNT, "bucket": skewed(chance, BUCKETS), "kind": "EC2::Instance" if chance.random() < 0.1 else "S3::Bucket"}
        yield RECORD.format(
            **fill,
            user=skewed(chance, USERS),
            host=number % 250,
            number=number,
            source=source,
            name=name,
            read_only=json.dumps(read_only),
            resources=RESOURCES.format(**fill) if number % 2 else "",
            time=moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def bring_in(caller, first, count, begin, length=datetime.timedelta(days=1)):
    """Has the server record them, batch by batch. Gives the bytes of a record, and the seconds that the server took."""
    size, took = 0, 0
    for at in range(first, first + count, BATCH):
        own = min(BATCH, first + count - at)
        texts = list(records(at, own, begin + length * ((at - first) / count), length * (own / count)))
        size += sum(map(len, texts))
        body = ('{"Records":[' + ",".join(texts) + "]}").encode()
        began = time.perf_counter()
        status, answer = caller.send("POST", "/_localtrail/events", body)
        took += time.perf_counter() - began
        assert status == 200, answer
    return size / count, took
