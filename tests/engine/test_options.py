"""The engine's options: read from its source, kept as a snapshot, and as its live parser has them."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from loraforge.engine.locate import EngineHome
from loraforge.engine.options import Option, as_json, known_options, read_options, snapshot
from loraforge.errors import MachineError

LIVE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from flux_train_network import setup_parser
switches = {"_StoreTrueAction", "_StoreFalseAction"}
rows = [
    {
        "name": action.dest,
        "type": "bool" if type(action).__name__ in switches else action.type.__name__ if action.type else "str",
        "nargs": None if type(action).__name__ in switches else action.nargs,
        "choices": action.choices,
        "default": action.default,
    }
    for action in setup_parser()._actions
    if action.dest != "help"
]
print(json.dumps(rows))
"""

TOY = '''
import argparse
from library import toys, absent
from library.more import add_more as more
import library.toys as t

def setup_parser():
    """Declare."""
    parser = argparse.ArgumentParser()
    toys.add_toys(parser, True, loud=False)
    t.add_quiet(parser)
    more(parser)
    absent.add_nothing(parser)
    print("not an option")
    return parser
'''
TOYS = """
import pathlib
import argparse
from library.more import add_more

def add_toys(parser, both, quiet=False, loud=True):
    def percent(text):
        parser.add_argument("--never")
        return float(text)
    if both:
        parser.add_argument("--share", "-s", type=percent, default=-0.5, help="a " "share " + "of all / 割合")
        parser.add_argument("--in-path", type=pathlib.Path)
    if not both:
        parser.add_argument("--unreached")
    if quiet:
        parser.add_argument("--hush")
    else:
        parser.add_argument("--talk", action="store_false")
    if loud:
        parser.add_argument("--shout")
    if unknowable():
        parser.add_argument("--maybe", dest="perhaps", choices=["a", None], default="a")

def add_quiet(parser):
    group = parser.add_argument_group()
    group.add_argument("--sizes", type=int, nargs=2, help=f"both{' / '} sizes")
    group.add_argument("--flag", action=argparse.BooleanOptionalAction)
    add_more(parser)
"""
MORE = """
def add_more(parser):
    parser.add_argument("--rest", nargs="*", type=float)
"""


def make_toy(root: Path, script: str = TOY) -> Path:
    """Lay out an engine in miniature."""
    (root / "library").mkdir()
    (root / "flux_train_network.py").write_text(script, "utf-8")
    (root / "library" / "toys.py").write_text(TOYS, "utf-8")
    (root / "library" / "more.py").write_text(MORE, "utf-8")
    return root


def test_toy_engine(tmp_path: Path) -> None:
    """Imports, flags passed down, nested functions, groups and every part of a declaration are read as Python would."""
    options = read_options(make_toy(tmp_path))
    assert list(options) == ["share", "in_path", "talk", "perhaps", "sizes", "flag", "rest"]
    toys = "library/toys.py"
    expected = [
        Option("share", "percent", None, None, -0.5, "a share of all", f"{toys}:11"),
        Option("in_path", "Path", None, None, None, "", f"{toys}:12"),
        Option("talk", "bool", None, None, default=True, help="", where=f"{toys}:18"),
        Option("perhaps", "str", None, ("a", None), "a", "", f"{toys}:22"),
        Option("sizes", "int", 2, None, None, "both sizes", f"{toys}:26"),
        Option("flag", "bool", None, None, None, "", f"{toys}:27"),
        Option("rest", "float", "*", None, None, "", "library/more.py:3"),
    ]
    assert list(options.values()) == expected
    assert [option.name for option in expected if option.takes_list] == ["sizes", "rest"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("def setup_parser(:", "invalid syntax"),
        ("", "setup_parser"),
        ("def setup_parser():\n    parser.add_argument('--x', default=now())", "malformed node"),
        ("\0", "null bytes"),
    ],
)
def test_unreadable_engine(tmp_path: Path, script: str, reason: str) -> None:
    """A source that can't be understood is an error that says what was met."""
    with pytest.raises(MachineError, match=reason):
        read_options(make_toy(tmp_path, script))


def test_absent_engine(tmp_path: Path) -> None:
    """A folder without the trainer is an error; without any engine the snapshot serves."""
    with pytest.raises(MachineError, match="flux_train_network"):
        read_options(tmp_path)
    assert known_options(None) is snapshot()


def test_snapshot_is_the_source(engine_home: EngineHome) -> None:
    """The committed snapshot is what the pinned engine's source says, down to line numbers."""
    if not engine_home.is_pinned:
        pytest.skip(f"{engine_home.path} is not the pinned commit, so its options may differ")
    assert known_options(engine_home) == snapshot()


def test_snapshot_is_as_written() -> None:
    """The snapshot's file is byte for byte what the module prints, so that renewing it shows true changes only."""
    committed = Path(sys.modules[snapshot.__module__].__file__ or "").with_name("options_snapshot.json")
    assert committed.read_bytes() == as_json(snapshot()).encode()


@pytest.mark.engine
def test_source_is_the_live_parser(engine_home: EngineHome) -> None:
    """The reading of the source equals the parser that the engine builds when it runs."""
    result = subprocess.run(
        [sys.executable, "-B", "-c", LIVE, str(engine_home.path)],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    live: list[dict[str, Any]] = json.loads(result.stdout.splitlines()[-1])
    read = json.loads(json.dumps([asdict(option) for option in read_options(engine_home.path).values()]))
    assert [{key: option[key] for key in live[0]} for option in read] == live
