"""The base model is hashed once."""

import hashlib
import os
import sys
import types
from pathlib import Path

import pytest

from loraforge.engine import fast
from loraforge.engine.fast import hashes
from loraforge.engine.fast.part import Context, Refused


def test_hash_is_taken_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run reads no byte of the model; a changed file, and any other, is hashed anew."""
    read: list[str] = []

    def calculate(filename: str) -> str:
        read.append(filename)
        return hashlib.sha256(Path(filename).read_bytes()).hexdigest()

    util = types.SimpleNamespace(__name__="train_util")
    monkeypatch.setitem(sys.modules, "library", types.SimpleNamespace(train_util=util))
    monkeypatch.setattr(hashes, "known", lambda *_: calculate)
    own = hashes._sha256
    monkeypatch.setattr(hashes, "_sha256", lambda model: read.append(model) or own(model))
    monkeypatch.setattr(hashes, "_PIECE", 2)
    model, other = tmp_path / "model", tmp_path / "other"
    model.write_bytes(b"one")
    other.write_bytes(b"two")
    context = Context({"pretrained_model_name_or_path": str(model)}, lambda _: None, tmp_path / "cache")
    fast.begin(["hash", "norms"], context)  # as before the engine's modules are imported
    assert list(context.begun) == ["hash"]
    for _ in range(2):
        hashes.hash_early(context)
        assert util.calculate_sha256(str(model)) == hashlib.sha256(b"one").hexdigest()
    assert read == [str(model)]
    assert util.calculate_sha256(str(other)) == hashlib.sha256(b"two").hexdigest()
    model.write_bytes(b"new")
    os.utime(model, ns=(1, 1))
    context.begun.clear()
    hashes.hash_early(context)
    assert util.calculate_sha256(str(model)) == hashlib.sha256(b"new").hexdigest()
    assert read == [str(model), str(other), str(model)]


def test_a_model_that_is_no_file_is_told_when_the_part_is_applied(tmp_path: Path) -> None:
    """Nothing is begun, and the run goes on without."""
    context = Context({"pretrained_model_name_or_path": str(tmp_path)}, lambda _: None)
    fast.begin(["hash"], context)
    assert context.begun == {}
    with pytest.raises(Refused, match="not a file"):
        hashes.hash_early(context)


def test_a_model_that_goes_away_is_left_to_the_engine(tmp_path: Path) -> None:
    """The thread that can't read it says nothing."""
    model = tmp_path / "model"
    hashing = hashes.Hashing(str(model), "", None)
    hashing.work()
    assert hashing.digest is None
