"""Our engine extra installs what the engine asks for, and nothing else unnoticed."""

import re
import tomllib
from pathlib import Path

from loraforge.engine.locate import EngineHome

OURS = {"peft", "protobuf", "torch", "torchvision"}
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_extra_equals_requirements(engine_home: EngineHome) -> None:
    """The extra is the engine's requirements.txt line by line, plus exactly our own four."""
    lines = (
        line.partition("#")[0].strip()
        for line in (engine_home.path / "requirements.txt").read_text("utf-8").split("\n")
    )
    theirs = {line for line in lines if line and line != "-e ."}
    extra = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"]["engine"]
    own = [line for line in extra if line not in theirs]
    assert theirs <= set(extra)
    assert {re.split(r"[^\w-]", line, maxsplit=1)[0] for line in own} == OURS
    assert len(extra) == len(theirs) + len(OURS)
