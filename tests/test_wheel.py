"""An installed wheel is whole: presets, check and plan work in an empty environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from sets import small_set

from loraforge.presets import names

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Build the wheel, install it into an empty venv, and return a runner of its `loraforge`."""
    home = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(home), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = home.glob("*.whl")
    venv.create(home / "venv", with_pip=True)
    scripts = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    install = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)]
    installed = subprocess.run(install, capture_output=True, text=True, check=False, timeout=280)
    assert installed.returncode == 0, installed.stderr

    def run(*argv: str, env=None):
        return subprocess.run(
            [str(scripts / "loraforge"), *argv],
            capture_output=True,
            text=True,
            check=False,
            cwd=home,
            timeout=60,
            env={**os.environ, **(env or {})},
        )

    return run


@pytest.mark.spawns
def test_presets_travel_in_the_wheel(command):
    """The top-level folder of the checkout is inside the package."""
    done = command("presets")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == names()
    assert "rank = 16" in command("presets", "style").stdout


@pytest.mark.spawns
def test_check_and_plan_work_without_the_engine_extra(command, tmp_path, layouts, write_weights):
    """No torch is installed there, and none is needed to check and to plan."""
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    small_set(tmp_path / "pics", 15)
    arguments = ["--images", str(tmp_path / "pics"), "--trigger", "zx_q", "--set", "engine.kind=embedded"]
    env = {"LORAFORGE_MODELS": str(tmp_path / "models")}
    checked = command("check", *arguments, "--json", env=env)
    assert '"pictures": 15' in checked.stdout, checked.stderr
    planned = command("plan", *arguments, "--out", str(tmp_path / "out"), env=env)
    assert planned.returncode == 0, planned.stderr
    assert {"config.toml", "dataset.toml", "prompts.txt", "run.sh", "run.ps1"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
