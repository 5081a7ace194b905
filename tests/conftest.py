"""What every test shares: the engine where there is one, and a guard against processes started by accident."""

import subprocess
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from loraforge.engine.locate import EngineHome, find


@pytest.fixture(scope="session")
def engine_home() -> EngineHome:
    """Return the sd-scripts of this machine, or skip: most tests need none."""
    home = find()
    if home is None:
        pytest.skip("no sd-scripts here: run `git submodule update --init` or set LORAFORGE_ENGINE")
    return home


@pytest.fixture(autouse=True)
def _no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that starts a process without being marked `spawns` or `engine`."""
    if request.node.get_closest_marker("spawns") or request.node.get_closest_marker("engine"):
        yield
        return

    def refuse(_self: object, args: object, *_: Any, **__: Any) -> NoReturn:
        # Failed is a BaseException, so that no `except Exception` of the code under test hides it.
        pytest.fail(f"starts a process without the marker `spawns` or `engine`: {args}")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        yield
