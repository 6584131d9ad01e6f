"""Measures the program beside moto_server, ministack and nginx, all in one run; `benches/compare` starts it.

Ratios are what counts: figures are of one machine, on which the clients run too. Each call's figure holds the client's
own share, which is measured as calls of `GET /_localtrail/health`, of nginx itself, or of a file of the same length at nginx.
"""

import argparse
import contextlib
import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import history
import wire
from month import control, cpu_seconds
from others import ANSWER, EMULATORS, missing, nginx, tree_mib, versions
from report import HEAD, Row, at_least, at_most, bars, curves, machine, plot, short, table
from serve import ACCOUNT, Caller, rss_mib, start, stop

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
ALLOW = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"s3:*",' \
        '"Resource":["arn:aws:s3:::logs","arn:aws:s3:::logs/*"]}]}'
# A call that is recorded as a management event with its parameters, and one that no model knows: it goes the same way
# through the door and to the upstream, but nothing is made of it. That is the nearest to "recording off" there is.
RECORDED = wire.query("ec2", "DescribeInstances", "2016-11-15", **{"InstanceId.1": "i-1234567890abcdef0", "MaxResults": 50})
UNRECORDED = wire.query("ec2", "DescribeNothings", "2016-11-15", **{"InstanceId.1": "i-1234567890abcdef0", "MaxResults": 50})
HEALTH = wire.Request("GET", "/_localtrail/health", {}, b"")


@contextlib.contextmanager
def localtrail(*arguments):
    process, port, _ = start(*arguments)
    try:
        yield process, port
    finally:
        stop(process)


@contextlib.contextmanager
def running(process, port):
    try:
        yield port
    finally:
        stop(process)


def settle(process):
    """Returns when the server has nothing left to do behind its callers."""
    busy = -1
    while cpu_seconds(process) - busy > 0.02:
        busy = cpu_seconds(process)
        time.sleep(0.5)


def say(what):
    print(f"… {what}", file=sys.stderr, flush=True)


def emulators():
    """Those that are installed; says which are not."""
    for emulator in EMULATORS:
        if emulator.is_here:
            yield emulator
        else:
            say(f"{emulator.name} is not installed (benches/requirements.txt): left out")


def started(begin, times):
    """Milliseconds until ListTrails is answered, and resident MiB a second later; medians."""
    listing, firsts, sizes = wire.cloudtrail("ListTrails").bytes, [], []
    for turn in range(times):
        process, port, began = begin()
        with running(process, port):
            assert wire.Wire(port).call(listing)[0] == 200
            firsts.append((time.perf_counter() - began) * 1e3)
            if turn < 3:
                time.sleep(1)
                sizes.append(tree_mib(process))
    return statistics.median(firsts), statistics.median(sizes)


def put_out(program):
    """Has the next start read the program from disk, as those of an installed one do.

    What has just been written is in the kernel's cache in large pieces. Linux 6.18 maps such a piece as a whole when a page
    of it is touched: up to 3 MiB more that the program has no need of.
    """
    with open(program, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def starting(program):
    """Start-up and memory of all servers."""
    put_out(program)
    found = {"localtrail": started(start, 21)}
    for emulator in emulators():
        found[emulator.name] = started(emulator.start, 3)
    rows, (first, size) = [], found["localtrail"]
    for name, (their_first, their_size) in list(found.items())[1:] or [(None, (None, None))]:
        rows.append(row("start: exec to the first answer", first, "ms", name, their_first, at_most(first, 10, "ms")))
        rows.append(row("memory a second later (RSS)", size, "MiB", name, their_size, at_most(size, 12, "MiB")))
    panels = [
        bars("Start: exec to the first ListTrails answered", "ms (logarithmic)", [(name, own[0]) for name, own in found.items()], 10, log=True),
        bars("Memory when idle", "MiB resident", [(name, own[1]) for name, own in found.items()], 12),
    ]
    return sorted(rows, key=lambda row: row.what, reverse=True), panels


def row(what, ours, unit, other=None, theirs=None, goal=None):
    """A row whose ratio is that of the two figures."""
    if other is None:
        return Row(what, f"{short(ours)} {unit}", goal=goal)
    return Row(what, f"{short(ours)} {unit}", f"{other} {short(theirs)} {unit}", ours / theirs, goal)


def called(port, count, health):
    """Latency of calls of CloudTrail; of those that the server has."""
    caller = Caller(port)
    for request in [("PUT", "/logs", b""), ("PUT", "/logs?policy", ALLOW.encode())]:
        caller.send(*request, service="s3")
    caller.cloudtrail("CreateTrail", Name="trail-0", S3BucketName="logs")
    calls = {"ListTrails": wire.cloudtrail("ListTrails"), "LookupEvents, 50 rows": wire.cloudtrail("LookupEvents")}
    if health:
        calls = {"client": HEALTH} | calls
    line, found = wire.Wire(port), {}
    # So many that a page is full.
    for _ in range(60):
        line.call(calls["ListTrails"].bytes)
    for name, call in calls.items():
        if line.call(call.bytes)[0] == 200:
            found |= wire.side_by_side({name: (port, call)}, count)
    times = []
    # Each by an account of its own: an account has five trails in a region at most.
    for number in range(count):
        data = wire.cloudtrail("CreateTrail", ACCOUNT + number, Name=f"trail-{number + 1}", S3BucketName="logs").bytes
        began = time.perf_counter()
        status, body = line.call(data)
        times.append(time.perf_counter() - began)
        assert status == 200, body
    return found | {"CreateTrail": wire.latency(times)}


def calling(count):
    """Calls of CloudTrail itself, against those of the emulators."""
    with localtrail() as (_, port):
        found = {"localtrail": called(port, count, health=True)}
    for emulator in emulators():
        process, port, _ = emulator.start()
        with running(process, port):
            found[emulator.name] = called(port, count // 5, health=False)
    ours, rows, drawn = found["localtrail"], [], []
    floor = ours["client"].p50
    for name, limit in [("CreateTrail", 0.3), ("ListTrails", 0.3), ("LookupEvents, 50 rows", 0.5)]:
        for other, theirs in list(found.items())[1:] or [(None, {})]:
            own = ours[name]
            what = f"{name}: p50 (p99 {short(own.p99)} ms, client {short(floor)} ms)"
            goal = at_most(own.p50, limit, "ms")
            if other and name not in theirs:
                rows.append(Row(what, f"{short(own.p50)} ms", f"{other} has none", goal=goal))
            else:
                rows.append(row(what, own.p50, "ms", other, theirs[name].p50 if other else None, goal))
        drawn += [(f"{server} {name.partition(',')[0]}", own[name].p50) for server, own in found.items() if name in own]
    return rows, [bars("Calls of CloudTrail, p50", "ms (logarithmic)", drawn, log=True)]


def looking_up(sizes, count, folder):
    """LookupEvents by each attribute, by the number of events stored."""
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=60)
    calls = {
        name: wire.cloudtrail("LookupEvents", **({"LookupAttributes": [dict(zip(("AttributeKey", "AttributeValue"), pair))]} if pair else {}))
        for name, pair in history.LOOKUPS.items()
    }
    found, floor, stored = {name: [] for name in calls}, None, 0
    with localtrail("--data-dir", str(folder / "lookups"), "--account-id", str(ACCOUNT)) as (process, port):
        caller = Caller(port)
        for size in sizes:
            say(f"bringing in events until there are {size}")
            history.bring_in(caller, stored, size - stored, begin, datetime.timedelta(days=59))
            stored = size
            # What events are found by is filled in behind them.
            settle(process)
            for name, own in wire.side_by_side({name: (port, call) for name, call in calls.items()}, count).items():
                found[name].append(own.p50)
        page = len(wire.Wire(port).call(calls["none"].bytes)[1])
    if not missing("nginx"):
        process, port = nginx(folder / "pages", page=page)
        with running(process, port):
            own = wire.side_by_side({"page": (port, wire.Request("GET", "/page", {}, b""))}, count)
        floor = own["page"].p50
    worst = [max(own[index] for own in found.values()) for index in range(len(sizes))]
    client = f", client {short(floor)} ms" if floor else ""
    rows = [
        row(f"LookupEvents of {short(size)} events, slowest attribute: p50{client}", value, "ms", goal=at_most(value, 0.5, "ms"))
        for size, value in zip(sizes, worst)
    ]
    flat = worst[-1] / worst[0]
    rows.append(Row(f"… most events against fewest: {short(worst[-1])} / {short(worst[0])} ms", "—", ratio=flat, goal=at_most(flat, 1.5, "(flat)")))
    detail = table(
        ["LookupEvents by, p50 in ms", *(f"{short(size)} events" for size in sizes)],
        [[name, *(f"{value:.3f}" for value in own)] for name, own in found.items()],
    )
    return rows, [curves("LookupEvents, a page of 50, p50 by attribute", "events stored (logarithmic)", "ms", sizes, found, 0.5)], detail


def levels(binary):
    """The levels of durability that the program has, as arguments."""
    said = subprocess.run([binary, "--help"], capture_output=True, text=True).stdout
    if "--durability" not in said:
        return {"data folder": []}
    return {f"data folder, {level}": ["--durability", level] for level in ("normal", "full")}


def at_the_door(binary, count, seconds, folder):
    """The door in front of an upstream that only answers: latency on one connection, throughput on sixteen."""
    if absent := missing("nginx", "wrk"):
        note = f"the door: left out, for want of {' and '.join(absent)} (Debian: apt-get install nginx-light wrk)"
        say(note)
        return [Row(note, "—")], []
    rows = []
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(running(*nginx(folder / "upstream")))
        proxy = stack.enter_context(running(*nginx(folder / "proxy", upstream)))
        before = ["--upstream", f"http://127.0.0.1:{upstream}", "--account-id", str(ACCOUNT)]
        _, door = stack.enter_context(localtrail(*before))
        kept = {}
        for index, (name, arguments) in enumerate(levels(binary).items()):
            kept[name] = stack.enter_context(localtrail(*before, *arguments, "--data-dir", str(folder / f"kept-{index}")))[1]
        targets = {
            "no proxy": (upstream, RECORDED),
            "nginx": (proxy, RECORDED),
            "localtrail, not recorded": (door, UNRECORDED),
            "localtrail, recorded": (door, RECORDED),
        }
        assert ANSWER.encode() in wire.Wire(door).call(RECORDED.bytes)[1]
        say("the door: latency")
        latencies = wire.side_by_side(targets, count)
        say("the door: throughput")
        rates = wire.throughput(targets, seconds)
        durable = wire.throughput({name: (port, RECORDED) for name, port in kept.items()}, seconds)
    direct = latencies["no proxy"].p50
    over = {name: (own.p50 - direct) * 1e3 for name, own in latencies.items()}
    for name in ("localtrail, not recorded", "localtrail, recorded"):
        what = f"door, {name.partition(', ')[2]}: p50 over no proxy ({short(direct * 1e3)} µs, client included)"
        rows.append(row(what, over[name], "µs", "nginx", over["nginx"], at_most(over[name], 100, "µs")))
    with_, without = rates["localtrail, recorded"], rates["localtrail, not recorded"]
    rows.append(row("door, 16 connections, recorded: calls/s", with_, "/s", "not recorded", without, at_least(with_ / without, 0.5, "of not recorded")))
    rows.append(row("door, 16 connections, recorded: calls/s", with_, "/s", "nginx", rates["nginx"], at_least(with_ / rates["nginx"], 0.35, "of nginx")))
    rows.append(row("door, 16 connections, not recorded: calls/s", without, "/s", "nginx", rates["nginx"]))
    for name, rate in durable.items():
        rows.append(row(f"recorded events/s ({name})", rate, "/s", "nginx", rates["nginx"]))
    panels = [
        bars("The door: p50 of a call, one connection", "µs, client included", [(name, own.p50 * 1e3) for name, own in latencies.items()]),
        bars("The door: throughput, 16 connections", "calls/s", [*rates.items(), *((f"localtrail, {name}", rate) for name, rate in durable.items())]),
    ]
    return rows, panels


def delivering(count, folder):
    """A day's events, stored at a standing clock, then delivered in one step of it."""
    begin = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    data = folder / "delivery"
    with localtrail("--data-dir", str(data), "--time", begin.isoformat(), "--account-id", str(ACCOUNT), "--bucket-policy-check", "off") as (process, port):
        caller = Caller(port)
        caller.send("PUT", "/logs", service="s3")
        caller.cloudtrail("CreateTrail", Name="main", S3BucketName="logs")
        caller.cloudtrail("StartLogging", Name="main")
        say(f"bringing in {count} events to be delivered")
        empty = on_disk(data)
        record, imported = history.bring_in(caller, 0, count, begin)
        settle(process)
        stored = (on_disk(data) - empty) / count
        # Has the kernel count anew how much memory was needed at most.
        pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        say("delivering them")
        busy, began = cpu_seconds(process), time.perf_counter()
        control(caller, "clock", {"advance": "P1DT10M"})
        took, busy = time.perf_counter() - began, cpu_seconds(process) - busy
        metrics = caller.send("GET", "/_localtrail/metrics")[1].decode()
        counts = dict(line.split() for line in metrics.splitlines() if not line.startswith("#"))
        assert counts["localtrail_events_waiting"] == "0", metrics
        peak, files = rss_mib(process, "VmHWM"), counts["localtrail_log_files_delivered_total"]
        written = on_disk(data) / count - stored
    return [
        row(f"delivery of {short(count)} events, in {files} log files ({busy:.0f} s of CPU)", took, "s", goal=at_most(took, 60, "s")),
        row("… memory at most (RSS)", peak, "MiB"),
        row("events brought in by POST events (data folder)", count / imported, "/s"),
        Row("disk for an event stored (database and its log)", f"{short(stored)} B", f"its JSON {short(record)} B", stored / record),
        row("… and for its part in a log file", written, "B"),
    ]


def on_disk(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("--quick", action="store_true", help="small sizes, to see whether it works; writes to target/benches")
    arguments.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes of the event history")
    arguments.add_argument("--deliver", type=int, default=1_000_000, help="events to be delivered")
    given = arguments.parse_args()
    count, seconds, target = 2_000, 5, DOCS
    if given.quick:
        given.events, given.deliver, count, seconds = [1_000, 10_000], 20_000, 300, 1
        target = DOCS.parent / "target" / "benches"
    began = time.monotonic()
    # Not in the system's temporary folder, which may be in memory.
    scratch = DOCS.parent / "target" / "benches"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        folder = pathlib.Path(folder)
        say("starts and memory")
        rows, panels = starting(given.program)
        say("calls")
        call_rows, call_panels = calling(count)
        door_rows, door_panels = at_the_door(given.program, count, seconds, folder)
        lookup_rows, lookup_panels, detail = looking_up(given.events, count // 2, folder)
        rows += call_rows + lookup_rows + door_rows + delivering(given.deliver, folder)
        panels += call_panels + lookup_panels + door_panels
    where = f"{', '.join(versions(given.program))}; {machine()}, {wire.across():.0f} µs to another CPU and back; {datetime.date.today()}"
    main_table = table(HEAD, [row.cells() for row in rows])
    (target / "speed.svg").write_text(plot(panels, where))
    (target / "speed.md").write_text(PAGE.format(where=where, table=main_table, detail=detail))
    print(f"{main_table}\n\n{detail}\n\n{where} ({time.monotonic() - began:.0f} s)")


PAGE = """# Speed

What `benches/compare` measured in one run, clients and servers on the same machine: {where}.

![Start, memory, calls, lookups and the door](speed.svg)

{table}

The program is built by `docker/release`, as it is released. A ratio is localtrail's figure by the other's. Figures of a
call are those of one connection and hold the client's own share, which stands beside them. "Not recorded" is a call of
an operation that no service has: it goes the same way through the door, but nothing is made of it. The upstream is an
nginx that answers with a constant; nginx as a plain proxy keeps its connections to it too. The door runs without
`--data-dir`, where nothing need last, and "data folder" is with it: `--durability normal` outlives the process, `full`
a power cut too. ministack has its CloudTrail recording on. Log files go to the embedded S3, in the same data folder.

{detail}
"""


if __name__ == "__main__":
    main()
