"""The control API, the command line, and what survives a kill."""

import signal
import socket
import subprocess

import botocore.exceptions
import pytest

from conftest import ACCOUNT, BIN, log_files


def logging_trail(server, name="main", bucket="logs", **more):
    server.bucket(bucket)
    trails = server.client("cloudtrail")
    trails.create_trail(Name=name, S3BucketName=bucket, **more)
    trails.start_logging(Name=name)
    return trails


def test_health_and_status(server):
    logging_trail(server)
    assert server.control("health")[1]["status"] == "ok"
    status = server.control("status")[1]
    assert status["trails"][0]["trail"] == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main"
    assert status["trails"][0]["isLogging"] is True
    assert status["events"] == 5


def test_the_clock_is_moved_frozen_and_never_goes_back(server):
    assert server.control("clock") == (200, {"now": "2026-11-22T15:01:30Z", "frozen": True})
    assert server.advance("P1DT1H") == {"now": "2026-11-23T16:01:30Z", "frozen": True}
    assert server.control("clock", {"set": "2026-11-24T00:00:00Z"})[1]["now"] == "2026-11-24T00:00:00Z"
    for bad in ({"set": "2026-11-23T00:00:00Z"}, {"set": "soon"}, {"advance": "-PT1H"}, {"advance": "1h"}, {"advance": "P3000000D"}, {"set": "9999-12-31T23:59:59-01:00"}, {}, {"set": "x", "freeze": True}, {"melt": 1}):
        status, answer = server.control("clock", bad)
        assert status == 400 and answer["error"], bad
    assert server.control("clock", {"resume": True})[1]["frozen"] is False
    assert server.control("clock", {"freeze": True})[1]["frozen"] is True


def test_flush_delivers_at_once(server):
    logging_trail(server)
    status, answer = server.control("flush", {})
    assert status == 200 and answer["failed"] == []
    file, = answer["logFiles"]
    assert file["bucket"] == "logs" and file["events"] == 1
    assert file["key"].startswith(f"AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2026/11/22/{ACCOUNT}_CloudTrail_us-east-1_20261122T1505Z_")
    assert server.control("flush", {})[1]["logFiles"] == []
    assert server.control("clock")[1]["now"] == "2026-11-22T15:01:30Z"
    assert len(log_files(server.client("s3"), "logs")) == 1


def test_flush_refuses_what_it_cannot_do(server):
    for body in ({"digests": "yes"}, {"colour": "red"}):
        assert server.control("flush", body)[0] == 400


def test_flush_tells_what_failed(server):
    logging_trail(server)
    server.client("s3").delete_bucket(Bucket="logs")
    answer = server.control("flush", {})[1]
    assert answer == {"logFiles": [], "failed": [{"trail": f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/main", "error": "NoSuchBucket"}]}


def test_records_brought_in_are_events_like_any_other(server):
    trails = logging_trail(server)
    record = {"eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin", "eventType": "AwsConsoleSignIn", "userIdentity": {"type": "IAMUser", "accountId": ACCOUNT, "userName": "alice"}}
    whole = record | {"eventID": "8f3f1c1e-0000-4000-8000-000000000001", "eventTime": "2026-11-22T14:00:00Z", "ownField": {"a": 1}}
    status, answer = server.control("events", {"Records": [record, whole, whole]})
    assert status == 200 and len(answer["recorded"]) == 2
    assert answer["duplicates"] == [whole["eventID"]]
    assert server.control("events", {"Records": [whole]})[1]["duplicates"] == [whole["eventID"]]
    found = trails.lookup_events(LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "alice"}])["Events"]
    assert [event["EventName"] for event in found] == ["ConsoleLogin", "ConsoleLogin"]
    assert server.events(since="2026-11-22T13:00:00Z", until="2026-11-22T14:30:00Z")[0]["ownField"] == {"a": 1}
    server.advance("PT5M")
    delivered = [r["eventName"] for records in log_files(server.client("s3"), "logs").values() for r in records]
    assert delivered.count("ConsoleLogin") == 2


def test_a_bad_record_refuses_the_whole_request(server):
    good = {"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"}
    for bad, reason in [({"eventName": "x"}, "eventSource"), ("x", "object"), (good | {"eventTime": "noon"}, ""), (good | {"userIdentity": []}, "userIdentity"), (good | {"readOnly": "yes"}, "")]:
        status, answer = server.control("events", {"Records": [good, bad]})
        assert status == 400 and "Records[1]" in answer["error"] and reason in answer["error"], answer
    assert server.events() == []
    assert server.control("events", {"records": []})[0] == 400


def test_events_are_exported_page_by_page(server):
    record = {"eventSource": "s3.amazonaws.com", "eventName": "ListBuckets"}
    server.control("events", {"Records": [record | {"awsRegion": f"eu-west-{n % 3 + 1}"} for n in range(25)]})
    status, page = server.control("events?limit=10&region=eu-west-1")
    assert len(page["Records"]) == 9 and "nextToken" not in page
    status, page = server.control("events?limit=20")
    status, rest = server.control(f"events?limit=20&nextToken={page['nextToken']}")
    assert len(page["Records"]) == 20 and len(rest["Records"]) == 5
    assert server.control("events?colour=red")[0] == 400


def test_reset_forgets_everything(server):
    trails = logging_trail(server)
    server.advance("PT5M")
    assert server.control("reset", {})[0] == 200
    assert server.control("clock")[1]["now"] == "2026-11-22T15:01:30Z"
    assert server.events() == []
    assert trails.list_trails()["Trails"] == []
    assert server.client("s3").list_buckets()["Buckets"] == []
    logging_trail(server)


def test_a_token_guards_the_control_api(start):
    server = start("--control-token", "s3cret")
    assert server.control("health")[0] == 403
    assert server.control("health", headers={"Authorization": "Bearer wrong1"})[0] == 403
    assert server.control("health", headers={"Authorization": "Bearer s3cret"})[0] == 200
    assert "s3cret" not in server.log


def test_a_web_page_cannot_call_the_control_api(server):
    assert server.control("reset", {}, headers={"Origin": "http://site.example"})[0] == 403


def test_metrics_are_prometheus_text(server):
    logging_trail(server)
    server.advance("PT5M")
    status, text = server.control("metrics")
    assert status == 200
    assert "localtrail_calls_recorded_total 4\n" in text and "localtrail_log_files_delivered_total 1\n" in text


def test_unknown_control_calls_are_404(server):
    assert server.control("nothing")[0] == 404
    assert server.control("flush")[0] == 405


def test_a_kill_loses_nothing(start, tmp_path):
    arguments = ("--time", "2026-11-22T15:01:30Z", "--data-dir", str(tmp_path))
    server = start(*arguments)
    logging_trail(server)
    server.client("sns").create_topic(Name="after")
    assert server.stop(signal.SIGKILL) != 0
    server = start(*arguments)
    trails = server.client("cloudtrail")
    names = [event["EventName"] for event in trails.lookup_events()["Events"]]
    assert names == ["CreateTopic", "StartLogging", "CreateTrail", "GetBucketAcl", "PutBucketPolicy", "CreateBucket"]
    server.advance("PT5M")
    records = [r["eventName"] for records in log_files(server.client("s3"), "logs").values() for r in records]
    assert records == ["StartLogging", "CreateTopic", "LookupEvents"]
    trails.create_trail(Name="second", S3BucketName="logs")


def test_a_data_folder_has_one_owner(start, tmp_path):
    start("--data-dir", str(tmp_path))
    second = subprocess.run([BIN, "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)], capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and "in use" in second.stderr and second.stderr.count("\n") == 1


def test_exit_codes_and_one_line_errors(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code, word in [
            (["--listen", "nowhere"], 2, "--listen"),
            (["--delivery-interval", "0"], 2, "--delivery-interval"),
            (["--no-such-option"], 2, "--no-such-option"),
            (["--embedded", "s4"], 2, "s3"),
            (["--upstream", "http://user:PW@127.0.0.1:5000"], 2, "'--upstream <URL>': a URL without user and password"),
            (["--listen", f"127.0.0.1:{port}"], 1, str(port)),
            (["--data-dir", "/proc/nothing", "--listen", "127.0.0.1:0"], 1, "/proc/nothing"),
            (["--upstream-ca", str(tmp_path / "none.pem"), "--listen", "127.0.0.1:0"], 1, "none.pem"),
        ]:
            done = subprocess.run([BIN, *arguments], capture_output=True, text=True, timeout=20)
            assert done.returncode == code and word in done.stderr and done.stderr.count("\n") == 1, (arguments, done)
            assert "PW" not in done.stderr


def test_sigterm_ends_in_order_and_removes_the_temporary_folder(start):
    server = start()
    server.client("s3").create_bucket(Bucket="logs")
    assert server.stop() == 0


def test_two_seeded_runs_write_the_same_bytes(start):
    def run():
        server = start("--time", "2026-11-22T15:01:30Z", "--seed", "7")
        trails = logging_trail(server)
        with pytest.raises(botocore.exceptions.ClientError):
            trails.get_trail(Name="nothing")
        server.advance("PT5M")
        s3 = server.client("s3")
        key, = log_files(s3, "logs")
        return key, s3.get_object(Bucket="logs", Key=key)["Body"].read()

    assert run() == run()


def test_a_seeded_run_in_a_kept_folder_loses_no_event(start, tmp_path):
    def run(name):
        server = start("--seed", "7", "--data-dir", str(tmp_path))
        trails = server.client("cloudtrail")
        for _ in range(3):
            getattr(trails, name)()
        ids = [event["EventId"] for event in trails.lookup_events()["Events"]]
        assert server.stop() == 0
        return ids

    assert len(run("list_trails")) == 3
    # Those, the lookup that showed them, and as many again.
    both = run("describe_trails")
    assert len(both) == len(set(both)) == 7
