"""A lean client of any HTTP server on this machine: prepared bytes go out, the answer is read to its end, no more.

What it costs itself is measured beside what it measures (see `compare.py`). Load from many connections is `wrk`'s.
"""

import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from serve import ACCOUNT, SIGNED

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
CLOSES = re.compile(rb"\r\nconnection: *close", re.I)


@dataclasses.dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def bytes(self):
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"Content-Length: {len(self.body)}", "", ""]).encode() + self.body


def request(service, method, path, body=b"", account=ACCOUNT, **headers):
    """A call as an SDK sends it, but for a signature that says nothing."""
    signed = {"Authorization": SIGNED.format(account, service), "X-Amz-Date": "20261122T150130Z"}
    return Request(method, path, signed | {name.replace("_", "-"): value for name, value in headers.items()}, body)


def cloudtrail(operation, account=ACCOUNT, **members):
    target, content = "CloudTrail_20131101." + operation, "application/x-amz-json-1.1"
    return request("cloudtrail", "POST", "/", json.dumps(members).encode(), account, X_Amz_Target=target, Content_Type=content)


def query(service, action, version, **parameters):
    pairs = {"Action": action, "Version": version} | parameters
    body = "&".join(f"{name}={value}" for name, value in pairs.items()).encode()
    return request(service, "POST", "/", body, Content_Type="application/x-www-form-urlencoded; charset=utf-8")


class Wire:
    """One keep-alive connection; a new one where the server closes it."""

    def __init__(self, port):
        self.port = port
        self.socket = None

    def call(self, data):
        """Sends the bytes of a request; status and body of the answer."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(data)
        answer = self._more()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._more()
        head = answer[: end + 2]
        length = LENGTH.search(head)
        parts, missing = [answer], end + 4 + int(length.group(1)) - len(answer) if length else 0
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        while not length and not parts[-1].endswith(b"0\r\n\r\n") and head[9:12] != b"204":
            parts.append(self._more())
        if CLOSES.search(head):
            self.socket.close()
            self.socket = None
        return int(head[9:12]), b"".join(parts)[end + 4 :]

    def _more(self):
        received = self.socket.recv(1 << 18)
        if not received:
            raise ConnectionError("the answer ended early")
        return received


@dataclasses.dataclass
class Latency:
    """Milliseconds."""

    p50: float
    p99: float
    count: int


def latency(times):
    times = sorted(times)
    return Latency(statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3, len(times))


def side_by_side(targets, count, rounds=10):
    """Latency of each target `{name: (port, request)}`, each on one connection.

    They take turns, so that what else the machine does meets all of them.
    """
    wires = {name: (Wire(port), call.bytes) for name, (port, call) in targets.items()}
    times = {name: [] for name in targets}
    for turn in range(rounds + 1):
        for name, (wire, data) in wires.items():
            own = []
            for _ in range(count // rounds):
                began = time.perf_counter()
                status, body = wire.call(data)
                own.append(time.perf_counter() - began)
                assert status == 200, (name, status, body[:200])
            # The first turn warms up.
            times[name] += own if turn else []
    return {name: latency(own) for name, own in times.items()}


def across(count=4_000):
    """Microseconds until a byte is back that a process on another CPU returns: two wakings.

    A call through a proxy has four of them, and machines of one model can differ in it twofold.
    """
    here, there = socket.socketpair()
    cpus = sorted(os.sched_getaffinity(0))
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, cpus[-1:])
        while True:
            there.send(there.recv(1))
    times = []
    try:
        os.sched_setaffinity(0, cpus[:1])
        for _ in range(count):
            began = time.perf_counter()
            here.send(b"x")
            here.recv(1)
            times.append(time.perf_counter() - began)
    finally:
        os.sched_setaffinity(0, cpus)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return statistics.median(times) * 1e6


def wrk(port, call, connections, seconds):
    """Calls a second that `wrk` gets answered with 200."""
    headers = "".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in call.headers.items())
    script = f"wrk.method = {json.dumps(call.method)}\n{headers}wrk.body = {json.dumps(call.body.decode())}\n"
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "call.lua")
        path.write_text(script)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", path, f"http://127.0.0.1:{port}{call.path}"]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    return float(re.search(r"Requests/sec: +([\d.]+)", output).group(1))


def throughput(targets, seconds, connections=16, rounds=3):
    """Calls a second of each target `{name: (port, request)}`: the median of turns that they take."""
    rates = {name: [] for name in targets}
    for _ in range(rounds):
        for name, (port, call) in targets.items():
            rates[name].append(wrk(port, call, connections, seconds))
    return {name: statistics.median(own) for name, own in rates.items()}
