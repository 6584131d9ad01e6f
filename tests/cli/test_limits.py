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


@pytest.fixture
def strict():
    program = Localtrail("--head-timeout", "1", "--body-timeout", "1", "--max-connections", "20", "--max-head", "8192")
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


def test_a_head_that_is_too_long_is_refused(strict):
    connection = connect(strict)
    connection.sendall(HEAD.encode() + b"X-Filler: " + b"x" * 9000 + b"\r\n\r\n")
    assert rest(connection).startswith(b"HTTP/1.1 431")


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
