"""Time whole jobs of `loraforge train`: fast with nothing cached, plain, and fast again.

usage: fast_job.py ENGINE_DIR WEIGHTS OUT.json [--steps 500] [--tiny]

WEIGHTS holds the files of full_size.py, made where they are missing. 20 pictures of 1024 x 1024, rank 16, both caches,
no checkpointing, a checkpoint every 100 steps, no samples. The first job does all steps with empty caches of pictures,
graphs and hash; the others find pictures and captions cached, and end after a few steps.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from full_size import write_pictures, write_weights

_FEW = 4
ROOT = Path(__file__).parents[1]


def job(name: str, settings: dict[str, object], environ: dict[str, str]) -> dict[str, Any]:
    """Train and watch the clock.

    Returns:
        seconds from the start of the command to: each phase's begin, the first steps, the end.
    """
    command = [sys.executable, "-m", "loraforge", "train", "--json", "--no-heal"]
    for key, value in settings.items():
        command += ["--set", f"{key}={json.dumps(value) if isinstance(value, list) else value}"]
    seen: dict[str, Any] = {"job": name, "phases": {}, "steps": [], "losses": []}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environ}, cwd=ROOT) as process:
        for line in process.stdout or ():
            now = round(time.perf_counter() - began, 1)
            event = json.loads(line)
            match event.get("event"):
                case "phase-started":
                    seen["phases"].setdefault(event["phase"], now)
                case "step" if not seen["steps"] or event["step"] > seen["steps"][-1][0]:
                    seen["steps"].append((event["step"], now))
                case "measured":
                    seen["losses"].append(event["loss"])
                    seen["gib"] = [event["allocated_gib"], event["reserved_gib"]]
                case "ended" | None:
                    seen["summary"] = event
                case _:
                    pass
    seen["returncode"] = process.returncode
    seen["seconds"] = round(time.perf_counter() - began, 1)
    seen["first_step"] = next((now for step, now in seen["steps"] if step >= 1), None)
    seen["steps"] = seen["steps"][:5] + seen["steps"][-2:]
    return seen


def main() -> None:
    """Run the jobs and write each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--jobs", nargs="+", default=["whole", "plain", "warm"])
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    from loraforge.engine.tiny import make_tiny_flux

    tiny = make_tiny_flux(given.weights / "tiny")
    if given.tiny:
        files = {role: getattr(tiny, role) for role in ("transformer", "autoencoder", "clip_l", "t5xxl")}
    else:
        files = write_weights(given.engine, given.weights)
    side = 192 if given.tiny else 1024
    settings = {
        **{f"model.{role}": path.resolve() for role, path in files.items()},
        "model.tokenizers": (given.weights / "tiny" / "tokenizers").resolve(),
        "dataset.images": write_pictures(given.weights / f"pictures-{side}", ((side, side),)).resolve(),
        "dataset.trigger": "ohwx",
        "dataset.resolution": side,
        "training.steps": given.steps,
        "training.save_every_steps": 100,
        "sampling.prompts": [],
        "memory.profile": "80gb",
        "output.dir": (given.weights / "runs").resolve(),
        "engine.path": given.engine.resolve(),
    }
    if given.tiny:
        settings |= {"launch.device": "cpu", "dataset.buckets.min": 64, "training.t5_tokens": 64}
    # An empty home: what an earlier job left is not found.
    environ = {"XDG_CACHE_HOME": str((given.weights / "cache").resolve()), "HF_HUB_OFFLINE": "1"}
    few = {**settings, "training.steps": _FEW}
    jobs = {
        "whole": settings,
        "plain": {**few, "engine.fast": "off"},
        "warm": {**few, "engine.fast": "on"},
    }
    done = []
    for name in given.jobs:
        done.append(job(name, jobs[name], environ))
        given.out.write_text(json.dumps(done, indent=1), encoding="utf-8")
        print("JOB", json.dumps({**done[-1], "losses": done[-1]["losses"][:8]}), flush=True)


if __name__ == "__main__":
    main()
