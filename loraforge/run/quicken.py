"""From the plan that anyone could run to the one that loraforge runs: faster, and with exact figures."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import platformdirs

from loraforge import engine
from loraforge.advice.fast_policy import FastPlan, choose
from loraforge.dataset.images import PictureError, read_size
from loraforge.engine import shim
from loraforge.engine.fast import compiled
from loraforge.run.plan import RunPlan
from loraforge.run.resume import step_of

STEPS = "steps.ndjson"
# Where torch keeps what it has compiled, so that the second run of a kind finds what the first has. Left to torch where
# nothing can be written: it fails, as early as its import, in a folder that it can't make.
_GRAPHS = "TORCHINDUCTOR_CACHE_DIR"


def quickened(plan: RunPlan, fast: FastPlan | None = None) -> RunPlan:
    """Return the plan with the engine started through the shim, which speeds it up and records every step.

    With `fast = "off"` nothing speeds it up; with the embedded engine it is the plan itself. Manual runs never come
    here.

    Args:
        plan: what will run.
        fast: what speeds it up; by default what pays for this plan.
    """
    home = plan.ready.home
    if home is None:
        return plan
    path = str(Path(engine.__file__).with_name("shim.py"))
    cache = _cache()
    env = {
        **plan.env,
        shim.ENGINE_VARIABLE: str(home.path),
        shim.TELEMETRY_VARIABLE: str(plan.folder.path / STEPS),
        shim.CACHE_VARIABLE: str(cache),
    }
    if parts := (fast or fast_plan(plan)).parts:
        env[shim.FAST_VARIABLE] = ",".join(parts)
    if "compile" in parts and _GRAPHS not in env and _can_hold(graphs := cache / compiled.FOLDER):
        env[_GRAPHS] = str(graphs)
    return replace(plan, argv=tuple(path if part == str(home.script) else part for part in plan.argv), env=env)


def fast_plan(plan: RunPlan) -> FastPlan:
    """Return what speeds a plan's run up, and why not more."""
    sizes = []
    for entry in plan.ready.set_:
        try:
            sizes.append(read_size(entry.source))
        except PictureError:  # told when the pictures are staged
            continue
    done = step_of(plan.resume) if plan.resume else 0
    options = shim.flattened(tomllib.loads(plan.files[plan.folder.config]))
    return choose(
        plan.job,
        sizes,
        steps=plan.steps - done,
        full_size=plan.ready.full_size,
        compiled=compiled.compiled_shapes(_cache(), options),
    )


def _can_hold(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def _cache() -> Path:
    return platformdirs.user_cache_path("loraforge", appauthor=False)
