"""What the running program costs. Prints one line a figure; asserts nothing.

Times are of this machine and of a Python client on loopback, whose own share is shown by the `GET health` line.
"""

import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

BIN = sys.argv[1]
ACCOUNT = 111122223333
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20261122/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


def start(*arguments):
    began = time.perf_counter()
    process = subprocess.Popen([BIN, "--listen", "127.0.0.1:0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    port = int(re.search(r":(\d+)$", process.stdout.readline()).group(1))
    return process, port, began


def stop(process):
    process.terminate()
    process.wait()


def rss_mib(process, field="VmRSS"):
    return int(re.search(field + r":\s+(\d+)", open(f"/proc/{process.pid}/status").read()).group(1)) / 1024


class Caller:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method, path, body=b"", service="cloudtrail", account=ACCOUNT, **headers):
        self.connection.request(method, path, body, {"Authorization": SIGNED.format(account, service), "X-Amz-Date": "20261122T150130Z"} | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def cloudtrail(self, operation, account=ACCOUNT, **members):
        target = "CloudTrail_20131101." + operation
        status, body = self.send("POST", "/", json.dumps(members), account=account, X_Amz_Target=target, Content_Type="application/x-amz-json-1.1")
        assert status == 200, body
        return json.loads(body)


def timed(name, call, count):
    times = []
    for index in range(count):
        began = time.perf_counter()
        call(index)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    print(f"{name:<46} p50 {statistics.median(times):7.3f} ms   p99 {times[int(len(times) * 0.99)]:7.3f} ms   n={count}")


def main():
    firsts = []
    for _ in range(11):
        process, port, began = start()
        Caller(port).cloudtrail("ListTrails")
        firsts.append((time.perf_counter() - began) * 1000)
        stop(process)
    print(f"{'exec to the first answered ListTrails':<46} median {statistics.median(firsts):.1f} ms   max {max(firsts):.1f} ms   n=11")

    process, port, _ = start()
    print(f"{'memory after start (RSS)':<46} {rss_mib(process):.1f} MiB")
    caller = Caller(port)
    caller.send("PUT", "/logs", service="s3")
    allow = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:*", "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]}
    caller.send("PUT", "/logs?policy", json.dumps({"Version": "2012-10-17", "Statement": [allow]}), service="s3")
    timed("GET health (the client's own share)", lambda _: caller.send("GET", "/_localtrail/health"), 1000)
    # Each by an account of its own: an account has five trails in a region at most.
    timed("CreateTrail, one after another", lambda i: caller.cloudtrail("CreateTrail", account=ACCOUNT + i, Name="trail-1", S3BucketName="logs"), 1000)
    timed("ListTrails", lambda _: caller.cloudtrail("ListTrails"), 500)
    timed("GetTrailStatus", lambda _: caller.cloudtrail("GetTrailStatus", Name="trail-1"), 500)
    timed("LookupEvents, a page of 50", lambda _: caller.cloudtrail("LookupEvents"), 300)
    print(f"{'memory after that (RSS)':<46} {rss_mib(process):.1f} MiB")

    each, connections = 500, 16
    def hammer():
        own = Caller(port)
        for _ in range(each):
            own.cloudtrail("GetTrailStatus", Name="trail-1")
    threads = [threading.Thread(target=hammer) for _ in range(connections)]
    began = time.perf_counter()
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    print(f"{'recorded calls, 16 connections':<46} {each * connections / (time.perf_counter() - began):.0f} calls/s (client included)")
    stop(process)

    sink, sink_port = socket.create_server(("127.0.0.1", 0)), None
    sink_port = sink.getsockname()[1]

    def swallow():
        while True:
            connection, _ = sink.accept()
            threading.Thread(target=drain, args=(connection,), daemon=True).start()

    def drain(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, rest = data.split(b"\r\n\r\n", 1)
        left = int(re.search(rb"content-length: (\d+)", head, re.I).group(1)) - len(rest)
        while left > 0:
            left -= len(connection.recv(1 << 20))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=swallow, daemon=True).start()
    process, port, _ = start("--upstream", f"http://127.0.0.1:{sink_port}", "--account-id", "111122223333")
    before = rss_mib(process)
    caller = Caller(port)
    began = time.perf_counter()
    caller.send("PUT", "/data/large", b"x" * 100_000_000, service="s3")
    took = time.perf_counter() - began
    print(f"{'PutObject of 100 MB through the door':<46} {took:.2f} s   memory {before:.1f} MiB before, {rss_mib(process, 'VmHWM'):.1f} MiB at most")
    stop(process)


if __name__ == "__main__":
    main()
