"""The everyday verbs start without the heavy libraries."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "diffusers", "accelerate", "peft"}


@pytest.mark.spawns
@pytest.mark.parametrize(
    ("argv", "also"),
    [
        (["--help"], {"jinja2", "pydantic", "PIL", "numpy"}),
        (["check", "--set", "dataset.images=nowhere"], {"jinja2"}),
        (["presets"], set()),
        (["plan", "--images", "nowhere", "--trigger", "zx"], {"jinja2"}),
    ],
)
def test_verb_imports_nothing_heavy(argv, also, tmp_path):
    """--help and check must answer at once, so they may not import torch and its kin."""
    code = "import sys; from loraforge.cli import run; run(sys.argv[1:]); print('MODULES', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    loaded = set(done.stdout.rpartition("MODULES ")[2].split())
    assert "loraforge.cli" in loaded
    assert loaded & (HEAVY | also) == set()
