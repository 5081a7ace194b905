"""Time whole jobs of `loraforge train`: fast with nothing cached, plain, and fast again; and the guide's command.

usage: fast_job.py ENGINE_DIR WEIGHTS OUT.json [--steps 500] [--jobs NAME ...] [--tiny]

WEIGHTS holds the files of full_size.py, made where they are missing. 20 pictures of 1024 x 1024, rank 16, both caches,
no checkpointing, a checkpoint every 100 steps, no samples. The first job does all steps with empty caches of pictures,
graphs and hash; the others find pictures and captions cached, and end after a few steps. The guide's command is ended
in its third epoch: what is left of its job is the same again.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fast_ways import measured_on
from full_size import write_pictures, write_weights

_FEW = 4
_GUIDE_STEPS = 45  # of the guide's command that are waited for
_TICK = re.compile(rb"steps: [^\[]*?(\d+)/\d+ \[")
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


def guide(engine: Path, files: dict[str, Path], pictures: Path, steps: int, side: int, *, tiny: bool) -> dict[str, Any]:
    """Run the guide's command with what it lacks to run at all: three model files, `N_name`, captions by extension.

    Returns:
        seconds from the start of the command to each step until it was ended.
    """
    home = pictures.with_name("guide")
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(pictures, home / "data" / "1_ohwx")
    # fmt: off
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1", "--num_machines", "1",
        "--mixed_precision", "bf16", "--dynamo_backend", "no", *(["--cpu"] if tiny else []), "flux_train_network.py",
        "--pretrained_model_name_or_path", str(files["transformer"]), "--clip_l", str(files["clip_l"]),
        "--t5xxl", str(files["t5xxl"]), "--ae", str(files["autoencoder"]),
        "--tokenizer_cache_dir", str(files["tokenizers"]), "--caption_extension", ".txt",
        "--train_data_dir", str(home / "data"), "--output_dir", str(home / "out"), "--output_name", "my_style_v1",
        "--network_module", "networks.lora_flux", "--network_dim", "16", "--network_alpha", "16",
        "--learning_rate", "1e-4", "--lr_scheduler", "cosine_with_restarts", "--lr_warmup_steps", "50",
        "--max_train_steps", str(steps), "--save_every_n_steps", "100", "--mixed_precision", "bf16",
        "--gradient_checkpointing", "--optimizer_type", "adafactor",
        "--optimizer_args", "relative_step=False", "scale_parameter=False", "warmup_init=False",
        "--resolution", f"{side},{side}", "--enable_bucket", "--bucket_no_upscale",
        "--max_data_loader_n_workers", "4", "--guidance_scale", "1.0",
    ]
    # fmt: on
    if tiny:  # a width that the engine does not know is the shim's to tell it
        command[command.index("flux_train_network.py")] = str(ROOT / "loraforge" / "engine" / "shim.py")
        command += ["--min_bucket_reso", "64", "--t5xxl_max_token_length", "64"]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "LORAFORGE_ENGINE_DIR": str(engine)}
    seen: dict[str, Any] = {"job": "guide", "steps": [], "log": ""}
    began, tail = time.perf_counter(), b""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environ, cwd=engine, start_new_session=True
    ) as process:
        assert process.stderr is not None
        while chunk := process.stderr.read1(1 << 16):
            now, tail = round(time.perf_counter() - began, 2), (tail + chunk)[-4000:]
            for step in map(int, _TICK.findall(tail)):
                if step > (seen["steps"][-1][0] if seen["steps"] else 0):
                    seen["steps"].append((step, now))
            if seen["steps"] and seen["steps"][-1][0] >= _GUIDE_STEPS:
                os.killpg(process.pid, signal.SIGKILL)
                break
    if len(seen["steps"]) < 2:
        return {**seen, "log": tail.decode(errors="replace"), "first_step": None, "seconds": None}
    (first, began), (last, ended) = seen["steps"][0], seen["steps"][-1]
    seen["s_per_it"] = round((ended - began) / (last - first), 3)
    seen["first_step"] = began
    seen["seconds"] = round(began + (steps - first) * seen["s_per_it"], 1)
    return seen


def main() -> None:
    """Run the jobs and write each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--jobs", nargs="+", default=["whole", "plain", "warm", "guide"])
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    from loraforge.engine.tiny import make_tiny_flux

    tiny = make_tiny_flux(given.weights / "tiny")
    if given.tiny:
        files = {role: getattr(tiny, role) for role in ("transformer", "autoencoder", "clip_l", "t5xxl")}
    else:
        files = write_weights(given.engine, given.weights)
    files = {role: path.resolve() for role, path in (files | {"tokenizers": tiny.tokenizers}).items()}
    side = 192 if given.tiny else 1024
    pictures = write_pictures(given.weights / f"pictures-{side}", ((side, side),)).resolve()
    settings = {
        **{f"model.{role}": path for role, path in files.items()},
        "dataset.images": pictures,
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
    few = {**settings, "training.steps": _FEW, "optimizer.warmup_steps": 1}
    jobs = {
        "whole": settings,
        "plain": {**few, "engine.fast": "off"},
        "warm": {**few, "engine.fast": "on"},
    }
    done: list[dict[str, Any]] = []
    for name in given.jobs:
        if name == "guide":
            done.append(guide(given.engine.resolve(), files, pictures, given.steps, side, tiny=given.tiny))
        else:
            done.append(job(name, jobs[name], environ))
        done[-1]["on"] = measured_on()
        given.out.write_text(json.dumps(done), encoding="utf-8")
        print("JOB", json.dumps({**done[-1], "losses": done[-1].get("losses", [])[:8]}), flush=True)


if __name__ == "__main__":
    main()
