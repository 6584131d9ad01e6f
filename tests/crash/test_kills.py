"""A short run of kills.py; a long one is made by hand."""

import os

import kills

BIN = os.environ.get("LOCALTRAIL_BIN", "target/debug/localtrail")


def test_nothing_is_lost_or_doubled_by_kills(tmp_path):
    found = kills.run(BIN, kills=12, connections=4, seed=7, folder=tmp_path)
    assert found["answered"] > 100
    assert found["log files"] > 1
    assert found["digests"] > 1
    assert not any(found[fault] for fault in kills.FAULTS), found
