"""The machine fails: the disk is full or cannot be written, the database is locked, the data folder is not ours."""

import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import botocore.exceptions
import pytest

from conftest import ACCOUNT, BIN, START, Localtrail, clean_environment, log_files

MIGRATIONS = pathlib.Path(__file__).parents[2] / "migrations"


def run(*arguments):
    """A start that is to fail: exit code and what it says."""
    done = subprocess.run([BIN, "serve", "--listen", "127.0.0.1:0", *arguments], capture_output=True, text=True, timeout=60, env=clean_environment())
    return done.returncode, done.stderr


def content(folder):
    """Every file but the lock, hashed."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def metric(server, name):
    return int(re.search(rf"^{name} (\d+)$", server.control("metrics")[1], re.M).group(1))


@pytest.fixture
def upstream():
    """Answers everything with 200 and an empty JSON document, whatever becomes of localtrail."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection):
        with contextlib.suppress(OSError), connection:
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            head, body = received.split(b"\r\n\r\n", 1)
            length = re.search(rb"content-length: (\d+)", head, re.I)
            while length and len(body) < int(length.group(1)):
                more = connection.recv(65536)
                if not more:
                    return
                body += more
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    def serve():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    listening.close()


def logging_trail(server):
    server.bucket("logs")
    trails = server.client("cloudtrail")
    trails.create_trail(Name="main", S3BucketName="logs")
    trails.start_logging(Name="main")
    return trails


def all_delivered_once(server, before=4):
    """Every event that the trail takes is in one log file once; `before` it logged there were this many at most."""
    assert server.control("flush", {})[1]["failed"] == []
    # Listing and reading the bucket is recorded too, but as data events, which the trail does not take.
    recorded = [event["eventID"] for event in server.events(category="Management")]
    files = log_files(server.client("s3"), "logs")
    delivered = [record["eventID"] for records in files.values() for record in records]
    assert len(set(delivered)) == len(delivered)
    assert set(delivered) <= set(recorded) and len(recorded) - len(delivered) <= before, (len(recorded), len(delivered))
    return delivered


def while_nothing_can_be_stored(server, trails):
    """What callers see of it."""
    lost = metric(server, "localtrail_calls_not_recorded_total")
    # A call that is forwarded is answered all the same.
    assert server.client("dynamodb", read_timeout=30).list_tables()["ResponseMetadata"]["HTTPStatusCode"] == 200
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("cloudtrail", read_timeout=30).update_trail(Name="main", IsMultiRegionTrail=True)
    assert error.value.response["Error"]["Code"] == "InternalFailure"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    with pytest.raises(botocore.exceptions.ClientError) as error:
        server.client("s3", read_timeout=30).put_object(Bucket="logs", Key="x", Body=b"x" * 400_000)
    assert error.value.response["Error"]["Code"] == "InternalError"
    # What needs no writing goes on.
    assert trails.get_trail(Name="main")["Trail"]["Name"] == "main"
    assert server.control("health")[0] == 200
    assert metric(server, "localtrail_calls_not_recorded_total") == lost + 4
    assert server.control("status")[1]["callsNotRecorded"] == lost + 4
    assert re.search(r"cannot record a call: dynamodb.amazonaws.com ListTables \(\S+\): ", server.log), server.log


def after_it_ended(server, trails, folder):
    """All works as before, and what had been recorded is delivered once."""
    assert not trails.get_trail(Name="main")["Trail"]["IsMultiRegionTrail"], "half a change was kept"
    assert trails.update_trail(Name="main", IsMultiRegionTrail=True)["IsMultiRegionTrail"]
    server.client("dynamodb").list_tables()
    delivered = all_delivered_once(server)
    names = [event["eventName"] for event in server.events() if event["eventID"] in delivered]
    assert names.count("ListTables") == 2, "before it and after it"
    server.stop()
    with contextlib.closing(sqlite3.connect(folder / "localtrail.sqlite")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        named = {row[0] for row in database.execute("select blob from object where blob is not null")}
    assert {path.name for path in (folder / "objects").iterdir()} == named, "a piece of an object was left"


def begin(start, upstream, folder):
    server = start("--data-dir", str(folder), "--upstream", upstream, "--embedded", "s3", "--account-id", ACCOUNT)
    trails = logging_trail(server)
    server.client("dynamodb").list_tables()
    return server, trails


def test_a_full_disk_costs_what_cannot_be_recorded_and_nothing_else(start, upstream, tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        server, trails = begin(start, upstream, tmp_path)
        with contextlib.suppress(OSError), open(tmp_path / "filler", "wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        # The write-ahead log may have room left from before a checkpoint.
        deadline = time.monotonic() + 60
        while metric(server, "localtrail_calls_not_recorded_total") == 0:
            assert time.monotonic() < deadline
            server.client("sqs", parameter_validation=False).list_queues()
        while_nothing_can_be_stored(server, trails)
        (tmp_path / "filler").unlink()
        after_it_ended(server, trails, tmp_path)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=False)


def test_a_file_that_may_not_grow_costs_what_cannot_be_recorded_and_nothing_else(start, upstream, tmp_path):
    server, trails = begin(start, upstream, tmp_path)
    # Like a full disk or a quota, where no disk can be mounted: each write beyond this fails.
    limited = ["prlimit", "--pid", str(server.process.pid)]
    if subprocess.run([*limited, "--fsize=8192:unlimited"], capture_output=True).returncode:
        pytest.skip("prlimit sets the limit")
    while_nothing_can_be_stored(server, trails)
    subprocess.run([*limited, "--fsize=unlimited:unlimited"], check=True)
    after_it_ended(server, trails, tmp_path)


class Store(http.server.BaseHTTPRequestHandler):
    """An S3 that counts the objects that are put, and answers with `status`."""

    status, puts = 200, 0

    def do_PUT(self):
        self.rfile.read(int(self.headers["content-length"]))
        type(self).puts += 1
        self.send_response(self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_where_nothing_can_be_written_nothing_is_delivered_again_and_again(start, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        server = start(
            "--data-dir", str(tmp_path), "--s3-endpoint", f"http://127.0.0.1:{store.server_port}", "--bucket-policy-check", "off",
            "--account-id", ACCOUNT, "--time", START,
        )
        trails = server.client("cloudtrail")
        trails.create_trail(Name="main", S3BucketName="logs")
        trails.start_logging(Name="main")
        Store.status, Store.puts = 503, 0
        assert server.control("clock", {"advance": "PT5M"})[0] == 200
        assert Store.puts >= 1
        limited = ["prlimit", "--pid", str(server.process.pid)]
        if subprocess.run([*limited, "--fsize=8192:unlimited"], capture_output=True).returncode:
            pytest.skip("prlimit sets the limit")
        Store.status, Store.puts = 200, 0
        for _ in range(3):
            assert server.control("clock", {"advance": "PT1M"})[0] == 500
        assert Store.puts == 0
        subprocess.run([*limited, "--fsize=unlimited:unlimited"], check=True)
        assert server.control("flush", {})[1]["failed"] == []
        assert Store.puts == 1
        store.shutdown()


def test_a_database_locked_by_another_process_is_waited_for(start, upstream, tmp_path):
    server, trails = begin(start, upstream, tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "localtrail.sqlite", isolation_level=None)) as other:
        # For a moment: nobody notices.
        other.execute("begin exclusive")
        done = threading.Event()
        answers = []

        def call():
            answers.append(trails.list_trails())
            done.set()

        threading.Thread(target=call, daemon=True).start()
        assert not done.wait(1), "the call was answered before its event was committed"
        other.execute("rollback")
        assert done.wait(10) and answers
        assert metric(server, "localtrail_calls_not_recorded_total") == 0
        # For longer than SQLite waits.
        other.execute("begin exclusive")
        while_nothing_can_be_stored(server, trails)
        other.execute("rollback")
    after_it_ended(server, trails, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    # Not by permissions: they do not bind root.
    assert run("--data-dir", "/proc/nothing")[0] == 1
    folder = tmp_path / "data"
    Localtrail("--data-dir", str(folder)).stop()
    mounted = subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted: {mounted.stderr.strip()}")
    try:
        code, said = run("--data-dir", str(folder))
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
    assert code == 1 and said.count("\n") == 1
    assert f"cannot write the data folder {folder}: Read-only file system" in said


def test_a_folder_in_use_is_refused(start, tmp_path):
    server = start("--data-dir", str(tmp_path))
    code, said = run("--data-dir", str(tmp_path))
    assert (code, said) == (1, f"error: {tmp_path} is in use by another localtrail\n")
    assert server.control("health")[0] == 200


def test_a_folder_of_a_newer_version_is_refused_and_stays_as_it_is(tmp_path):
    server = Localtrail("--data-dir", str(tmp_path), "--time", START)
    logging_trail(server)
    server.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "localtrail.sqlite")) as database:
        database.execute("insert into _sqlx_migrations values (9999, 'yet to come', current_timestamp, true, x'00', 1)")
        database.commit()
    before = content(tmp_path)
    code, said = run("--data-dir", str(tmp_path))
    assert code == 1 and said.count("\n") == 1
    assert said.startswith(f"error: cannot open the database {tmp_path}/localtrail.sqlite: it was written by a newer localtrail")
    assert "9999" in said
    assert content(tmp_path) == before


def test_a_folder_of_an_older_version_is_brought_up_to_date_with_all_rows(start, tmp_path):
    first = sorted(MIGRATIONS.glob("*.sql"))[0]
    sql = first.read_text()
    with contextlib.closing(sqlite3.connect(tmp_path / "localtrail.sqlite")) as database:
        database.executescript(sql)
        database.execute(
            "create table _sqlx_migrations (version bigint primary key, description text not null, installed_on timestamp not null"
            " default current_timestamp, success boolean not null, checksum blob not null, execution_time bigint not null)"
        )
        checksum = hashlib.sha384(sql.encode()).digest()
        database.execute("insert into _sqlx_migrations values (1, 'initial', current_timestamp, true, ?, 1)", (checksum,))
        for number in range(50):
            record = {
                "eventVersion": "1.11", "userIdentity": {"type": "Root", "accountId": ACCOUNT}, "eventTime": START,
                "eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "awsRegion": "us-east-1",
                "eventID": f"00000000-0000-4000-8000-{number:012}", "eventType": "AwsApiCall", "recipientAccountId": ACCOUNT,
            }
            columns = dict(
                event_id=record["eventID"], account=ACCOUNT, region="us-east-1", time_ms=1_795_359_690_000,
                slot_start_ms=1_795_359_600_000, slot_end_ms=1_795_359_900_000, source=record["eventSource"],
                name=record["eventName"], read_only=0, category="Management", resources="[]", record=json.dumps(record),
            )
            marks = ", ".join("?" * len(columns))
            database.execute(f"insert into event ({', '.join(columns)}) values ({marks})", tuple(columns.values()))
        database.execute("insert into bucket (name, account, region, created_ms) values ('old', ?, 'us-east-1', 1)", (ACCOUNT,))
        database.commit()
    server = start("--data-dir", str(tmp_path), "--time", START)
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateUser"}], MaxResults=50
    )
    assert len(found["Events"]) == 50
    assert [bucket["Name"] for bucket in server.client("s3").list_buckets()["Buckets"]] == ["old"]
    logging_trail(server)
    assert len(all_delivered_once(server, before=60)) == 1
    with contextlib.closing(sqlite3.connect(tmp_path / "localtrail.sqlite")) as database:
        applied = {row[0] for row in database.execute("select version from _sqlx_migrations")}
    assert applied == {int(path.name.split("_")[0]) for path in MIGRATIONS.glob("*.sql")}


def test_an_upload_that_its_caller_breaks_off_is_recorded_as_that(start, upstream):
    server = start("--upstream", upstream, "--account-id", ACCOUNT)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PUT /data/key HTTP/1.1\r\nHost: localhost\r\nX-Amz-Date: 20261122T150130Z\r\nContent-Length: 1000000\r\n"
            f"Authorization: AWS4-HMAC-SHA256 Credential={ACCOUNT}/20261122/us-east-1/s3/aws4_request, SignedHeaders=host, "
            f"Signature=0\r\n\r\n".encode() + b"x" * 300_000
        )
    deadline = time.monotonic() + 20
    while not (events := server.events()) and time.monotonic() < deadline:
        time.sleep(0.05)
    event, = events
    assert (event["eventName"], event["errorCode"]) == ("PutObject", "IncompleteBody")
    assert "cannot reach the upstream" not in server.log


def test_durability_full_waits_for_the_disk_and_process_death_costs_nothing(start, tmp_path):
    for durability in ("normal", "full"):
        folder = tmp_path / durability
        server = start("--data-dir", str(folder), "--durability", durability)
        trails = logging_trail(server)
        server.client("s3").put_object(Bucket="logs", Key="mine", Body=b"y" * 300_000)
        server.stop(signal.SIGKILL)
        again = start("--data-dir", str(folder), "--durability", durability)
        assert [event["eventName"] for event in again.events()][-1] == "PutObject"
        assert len(again.client("s3").get_object(Bucket="logs", Key="mine")["Body"].read()) == 300_000
        assert again.client("cloudtrail").get_trail_status(Name="main")["IsLogging"]
    assert trails
