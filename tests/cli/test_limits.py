"""Callers that take their time, or too much: none of them may keep others out."""

import contextlib
import resource
import socket
import time

import pytest

from conftest import ACCOUNT, Localtrail

SCOPE = f"Credential={ACCOUNT}/20261122/us-east-1/{{}}/aws4_request"
HEAD = (
    "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Date: 20261122T150130Z\r\n"
    f"Authorization: AWS4-HMAC-SHA256 {SCOPE.format('cloudtrail')}, SignedHeaders=host, Signature=0\r\n"
    "X-Amz-Target: CloudTrail_20131101.ListTrails\r\n"
)


SIGNED = "Authorization: AWS4-HMAC-SHA256 " + SCOPE + ", SignedHeaders=host, Signature=0\r\n"


def to_s3(line, *headers):
    lines = [f"{line} HTTP/1.1", "Host: localhost", "X-Amz-Date: 20261122T150130Z", SIGNED.format("s3").strip(), *headers]
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture
def strict():
    program = Localtrail("--head-timeout", "1", "--body-timeout", "1", "--max-connections", "20", "--max-head", "8192",
                         "--max-body", "4096", "--max-object", "100000")
    yield program
    program.stop()


def connect(program):
    port = int(program.url.rsplit(":", 1)[1])
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def rest(connection):
    """All that still comes until the connection is closed."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            received += more
    return received


@pytest.mark.parametrize("begun", [b"", b"P", b"POST / HT", HEAD.encode(), b"PRI * HTTP/2.0\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(strict, begun):
    connection = connect(strict)
    connection.sendall(begun)
    assert rest(connection)[:12] in (b"", b"HTTP/1.1 408")


def test_an_idle_connection_is_closed(strict):
    connection = connect(strict)
    connection.sendall(HEAD.encode() + b"Content-Length: 2\r\n\r\n{}")
    assert rest(connection).startswith(b"HTTP/1.1 200 OK")


def test_a_body_that_stands_still_is_given_up_with_an_error(strict):
    connection = connect(strict)
    connection.sendall(HEAD.encode() + b"Content-Length: 100\r\n\r\n{")
    answer = rest(connection)
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"RequestTimeoutException" in answer


def read_nothing(program):
    """A connection whose kernel keeps next to nothing for it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", int(program.url.rsplit(":", 1)[1])))
    return connection


def until(seconds, found):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_that_is_not_taken_ends_the_connection(start):
    count = 5
    program = start("--body-timeout", "1", "--max-connections", str(count))
    s3 = program.client("s3")
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="large", Body=b"a" * (32 << 20))
    s3.close()
    ask = to_s3("GET /logs/large").encode() + b"\r\n"

    def is_answered():
        with contextlib.suppress(ConnectionError):
            connection = connect(program)
            connection.sendall(HEAD.encode() + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
            return rest(connection).startswith(b"HTTP/1.1 200")

    callers = []
    while len(callers) < count:
        caller = read_nothing(program)
        caller.sendall(ask)
        # Connections that have ended are given back in a moment.
        with contextlib.suppress(ConnectionError):
            if caller.recv(12) == b"HTTP/1.1 200":
                callers.append(caller)
    until(10, is_answered)
    until(10, lambda: len(program.events(eventName="GetObject")) == count)
    # One who takes it bit by bit, some 300 kB a second, gets it all.
    slow, begun, taken = connect(program), time.monotonic(), 0
    slow.sendall(to_s3("GET /logs/large", "Connection: close").encode() + b"\r\n")
    while more := slow.recv(15_000):
        taken += len(more)
        if time.monotonic() - begun < 6:
            time.sleep(0.05)
    assert taken > 32 << 20


class Http2:
    """A caller of HTTP/2 who answers pings, and makes room for no more than it has to."""

    def __init__(self, program):
        self.connection = connect(program)
        self.connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(4, 0, 0, b"")
        self.received = []

    def send(self, kind, flags, stream, payload):
        self.connection.sendall(len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload)

    def ask(self, stream, path):
        pairs = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        # Literals without indexing (RFC 7541, 6.2.2).
        fields = b"".join(b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode() for name, value in pairs)
        self.send(1, 5, stream, fields)

    def exactly(self, count):
        read = b""
        while len(read) < count:
            more = self.connection.recv(count - len(read))
            if not more:
                raise ConnectionResetError
            read += more
        return read

    def frame(self):
        """The next frame: (kind, flags, stream, payload)."""
        head = self.exactly(9)
        kind, flags = head[3], head[4]
        payload = self.exactly(int.from_bytes(head[:3], "big"))
        if kind == 6 and not flags & 1:
            self.send(6, 1, 0, payload)
        if kind == 4 and not flags & 1:
            self.send(4, 1, 0, b"")
        return kind, flags, int.from_bytes(head[5:], "big"), payload

    def rest(self):
        frames = []
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                frames.append(self.frame())
        return frames


def test_an_idle_connection_of_http2_is_closed(strict):
    caller = Http2(strict)
    begun = time.monotonic()
    for stream in range(1, 60, 2):
        # One that asks now and then is not idle.
        caller.ask(stream, "/_localtrail/health")
        while (frame := caller.frame())[0] != 0 or not frame[1] & 1:
            pass
        time.sleep(0.1)
    assert time.monotonic() - begun > 3
    assert 7 in [kind for kind, *_ in caller.rest()], "no GOAWAY"


def test_an_answer_over_http2_asked_for_at_the_very_end_may_be_taken_slowly(start):
    program = start("--body-timeout", "1", "--head-timeout", "1")
    s3 = program.client("s3")
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="large", Body=b"a" * (2 << 20))
    caller = Http2(program)
    while caller.frame()[0] != 7:
        pass
    # It has said that it goes away, and waits for a ping to see what was sent before that was known.
    caller.ask(1, "/logs/large")
    begun, taken, is_end = time.monotonic(), 0, False
    while not is_end:
        kind, flags, _, payload = caller.frame()
        if kind != 0:
            continue
        is_end = flags & 1
        # Room for what is still to come, and no more: nothing may be sent to one who has gone.
        if payload and taken + 65_535 <= 2 << 20:
            for stream in (0, 1):
                caller.send(8, 0, stream, len(payload).to_bytes(4, "big"))
        taken += len(payload)
        time.sleep(len(payload) / 500_000)
    assert taken == 2 << 20 and time.monotonic() - begun > 3


def test_an_answer_over_http2_that_is_not_taken_ends_the_connection(start):
    program = start("--body-timeout", "1", "--head-timeout", "600")
    s3 = program.client("s3")
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="large", Body=b"a" * (8 << 20))
    caller = Http2(program)
    caller.ask(1, "/logs/large")
    frames = caller.rest()
    assert sum(len(payload) for kind, *_, payload in frames if kind == 0) < 1 << 20
    until(10, lambda: len(program.events(eventName="GetObject")) == 1)


def test_a_head_that_is_too_long_is_refused(strict):
    connection = connect(strict)
    connection.sendall(HEAD.encode() + b"X-Filler: " + b"x" * 9000 + b"\r\n\r\n")
    assert rest(connection).startswith(b"HTTP/1.1 431")


FORM = (
    "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Date: 20261122T150130Z\r\n{}"
    "Content-Type: application/x-www-form-urlencoded\r\n"
)


@pytest.mark.parametrize("head, code", [
    (HEAD, b'"__type":"RequestEntityTooLargeException"'),
    (FORM.format(SIGNED.format("sns")), b"<Code>RequestEntityTooLarge</Code>"),
    (FORM.format(SIGNED.format("sts")), b"<Code>RequestEntityTooLarge</Code>"),
    (FORM.format(""), b"<Code>EntityTooLarge</Code>"),
])
def test_a_body_that_is_too_long_is_refused_in_the_callers_protocol(strict, head, code):
    for length, is_refused in [(4_097, True), (4_096, False)]:
        connection = connect(strict)
        connection.sendall(head.encode() + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % length + b"a" * length)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 413") == is_refused, answer
        assert (code in answer) == is_refused, answer


def test_an_object_that_is_too_long_is_refused(strict):
    s3 = strict.client("s3")
    s3.create_bucket(Bucket="logs")
    s3.put_object(Bucket="logs", Key="key", Body=b"a" * 100_000)
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.put_object(Bucket="logs", Key="key", Body=b"a" * 100_001)
    assert refused.value.response["Error"]["Code"] == "EntityTooLarge"
    assert s3.head_object(Bucket="logs", Key="key")["ContentLength"] == 100_000


IN_CHUNKS = "X-Amz-Content-Sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("line", ["PUT /logs?tagging", "PUT /logs?policy", "POST /logs?delete", "PUT /logs/key?tagging",
                                  "POST /logs/key?uploadId=0", "PUT /logs/key"])
@pytest.mark.parametrize("header, sent, more_is_to_come", [
    ("Content-Length: 100", b"<Tagging>", True),
    (f"{IN_CHUNKS}\r\nContent-Length: 9", b"no chunk\n", False),
    (f"{IN_CHUNKS}\r\nX-Amz-Decoded-Content-Length: 5\r\nContent-Length: 6", b"5\r\nhel", False),
    (CHUNKED, b"no chunk\r\n", True),
    (CHUNKED, b"5\r\nhel", True),
])
def test_a_body_to_s3_that_breaks_off_is_incomplete(strict, line, header, sent, more_is_to_come):
    strict.client("s3").create_bucket(Bucket="logs")
    for stands_still in (False, True) if more_is_to_come else (True,):
        connection = connect(strict)
        connection.sendall(to_s3(line, header, "Connection: close").encode() + b"\r\n" + sent)
        if not stands_still:
            connection.shutdown(socket.SHUT_WR)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 400") and b"<Code>IncompleteBody</Code>" in answer, answer


@pytest.mark.parametrize("line", ["PUT /logs?tagging", "PUT /logs?policy", "POST /logs?delete"])
def test_a_document_for_s3_that_is_too_long_is_refused(strict, line):
    strict.client("s3").create_bucket(Bucket="logs")
    for length, is_refused in [(21 << 20, True), (4_097, True), (4_096, False)]:
        connection = connect(strict)
        connection.sendall(to_s3(line, f"Content-Length: {length}", "Connection: close").encode() + b"\r\n" + b" " * length)
        answer = rest(connection)
        assert answer.startswith(b"HTTP/1.1 400"), answer
        assert (b"<Code>MaxMessageLengthExceeded</Code>" in answer) == is_refused, answer


FORM_DATA = "Content-Type: multipart/form-data; boundary=b"
FORM_START = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


def upload_form(program, length):
    body = FORM_START + b"a" * length + b"\r\n--b--\r\n"
    connection = connect(program)
    head = f"POST /logs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{FORM_DATA}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return rest(connection)


def test_a_form_brings_an_object_no_longer_than_others(strict):
    s3 = strict.client("s3")
    s3.create_bucket(Bucket="logs")
    assert upload_form(strict, 100_000).startswith(b"HTTP/1.1 204")
    assert s3.head_object(Bucket="logs", Key="form")["ContentLength"] == 100_000
    s3.delete_object(Bucket="logs", Key="form")
    for length in (100_001, 20 << 20):
        answer = upload_form(strict, length)
        assert answer.startswith(b"HTTP/1.1 400") and b"<Code>EntityTooLarge</Code>" in answer, answer
    assert "Contents" not in s3.list_objects_v2(Bucket="logs")


def test_a_form_is_held_in_memory_and_so_has_a_limit_of_its_own(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="logs")
    assert upload_form(server, 15 << 20).startswith(b"HTTP/1.1 204")
    assert b"<Code>EntityTooLarge</Code>" in upload_form(server, 16 << 20)


@pytest.mark.parametrize("head, begun", [
    (HEAD, b""),
    (FORM.format(SIGNED.format("sns")), b""),
    (FORM.format(""), b""),
    (to_s3("PUT /logs/endless"), b""),
    (to_s3("PUT /logs?tagging"), b""),
    (to_s3("POST /logs", FORM_DATA), FORM_START),
])
def test_a_body_that_never_ends_is_cut_off(strict, head, begun):
    strict.client("s3").create_bucket(Bucket="logs")
    connection = connect(strict)
    connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
    if begun:
        connection.sendall(b"%x\r\n%b\r\n" % (len(begun), begun))
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    sent = 0
    # It goes on reading for a while, so that a caller who ends after all sees why it was refused.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while sent < 200 << 20:
            connection.sendall(chunk)
            sent += len(chunk)
    assert sent < 100 << 20
    assert "Contents" not in strict.client("s3").list_objects_v2(Bucket="logs")


def test_a_connection_too_many_is_told_so_and_others_go_on(strict):
    first = connect(strict)
    first.sendall(HEAD.encode() + b"Content-Length: 2\r\n\r\n")
    others = [connect(strict) for _ in range(19)]
    # The kernel accepts for the program, which takes a moment to see it.
    refused = connect(strict)
    assert rest(refused).startswith(b"HTTP/1.1 503")
    first.sendall(b"{}")
    assert first.recv(100).startswith(b"HTTP/1.1 200")
    for other in others:
        other.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        again = connect(strict)
        again.sendall(HEAD.encode() + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
        if rest(again).startswith(b"HTTP/1.1 200"):
            return
    pytest.fail("the connections closed were not given back")


def test_many_idle_connections_keep_nobody_out():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(4_000, hard - 1_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    program = Localtrail()
    idle = []
    try:
        for _ in range(count):
            idle.append(connect(program))
        assert program.client("cloudtrail").list_trails()["Trails"] == []
    finally:
        for connection in idle:
            connection.close()
        program.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
