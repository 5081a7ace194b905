"""Every end has one name, from what real engines said."""

import re
import tomllib
from pathlib import Path

import pytest

from loraforge.config.job import Job
from loraforge.engine.failures import signatures
from loraforge.run.ends import _NAME, END_NAMES, Verdict, end_of

DATA = Path(__file__).parent.parent / "data" / "failures"
RECORDED = sorted((DATA / "recorded").glob("*.log"))
HANDMADE = tomllib.loads((DATA / "handmade.toml").read_text("utf-8"))["log"]
# What the recordings of the real engine must be called.
NAMES = {
    "caption-unreadable": "bad-data",
    "picture-broken": "bad-data",
    "disk-full": "disk-full",
    "killed-by-system": "host-memory",
    "loss-nan": "diverged",
    "no-pictures": "no-data",
    "resume-mismatch": "bad-state",
    "resume-past-end": "bad-state",
    "resume-state-broken": "bad-state",
    "tokenizers-missing": "hub-offline",
    "weights-broken": "bad-weights",
    "weights-not-flux": "bad-weights",
    "weights-not-named": "bad-weights",
    "weights-path-missing": "bad-weights",
    "encoding-not-utf8": "machine",
}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_failures_have_a_name(path):
    """A recorded failure gets its name and shows a line of the log for it."""
    code, returncode = re.split(r"--|@", path.stem)[0], int(path.stem.rpartition("@")[2])
    log = path.read_text("utf-8", errors="replace")
    end = end_of(log, returncode, Job(), phase="training", done=False)
    assert end.name == NAMES.get(code, "bad-settings")
    assert end.evidence
    assert end.cause


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_log_that_was_cut_off_has_a_name(path):
    """Wherever a log ends, also within a character, the end has a name and a cause."""
    data = path.read_bytes()
    for cut in range(0, len(data), max(1, len(data) // 12)):
        end = end_of(data[:cut].decode("utf-8", "replace"), -9, Job(), phase="training", done=False)
        assert end.name in END_NAMES
        assert end.cause


@pytest.mark.parametrize("log", HANDMADE, ids=lambda log: log["code"])
def test_reported_failures_have_a_name(log):
    """Failures that users reported are told apart: memory of the card by its code, whatever passes as transient."""
    end = end_of(log["text"], log.get("rc", 1), Job(), phase="training", done=False)
    assert end.name in END_NAMES
    assert end.cause


def test_every_signature_that_is_mapped_exists():
    """A renamed signature must not fall back to a fault of the settings unnoticed."""
    known = {signature.code for signature in signatures()} | {"unrecognised", "ended-without-lora"}
    assert set(_NAME) <= known


NAN = Verdict("diverged", "the loss became nan at step 3")


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"done": True, "interrupted": True}, "done"),
        ({"interrupted": True, "verdict": NAN}, "interrupted"),
        ({"verdict": NAN}, "diverged"),
        ({"unproven": ("x holds NaN or infinity: the training diverged",), "returncode": 0}, "diverged"),
        ({"unproven": ("has rank 4, not 8",), "returncode": 0}, "not-proven"),
        ({"returncode": 0}, "engine-crash"),
        ({"returncode": -11}, "engine-crash"),
        ({"returncode": -9}, "host-memory"),
        ({"log": "No data found. Please verify arguments\n", "returncode": 0}, "no-data"),
    ],
)
def test_what_outranks_what(facts, name):
    """Proof beats requests, requests beat watchdogs, watchdogs beat what the dying engine says."""
    given = {"log": "", "returncode": 1, "done": False} | facts
    log, returncode = given.pop("log"), given.pop("returncode")
    assert end_of(log, returncode, Job(), phase="training", **given).name == name


def test_only_what_passes_is_transient():
    """A dead loader worker is tried again; a broken file is not."""
    worker = "RuntimeError: DataLoader worker (pid 12) is killed by signal: Killed."
    assert end_of(worker, 1, Job(), phase="training", done=False).transient
    assert not end_of("", 1, Job(), phase="training", done=False).transient
