"""Let a full-size training run out of GPU memory for real, and see that it heals itself into a finished LoRA.

usage: python benchmarks/out_of_memory.py ENGINE WEIGHTS OUT [--leave GIB] [--minutes M] [--tiny]

WEIGHTS holds flux1-dev, clip_l, t5xxl and ae.safetensors; random values will do. Another process holds so much of the
card that `--leave` GiB (default: 24) are free, as on a smaller card or beside another program. Then `loraforge train`
begins as for an 80 GB card, without checkpointing and in bf16, which takes 63 GiB; 8 bits are allowed.
OUT/out_of_memory.md tells what came of it. `--tiny` rehearses on the CPU: a tiny model, and an engine that says what
torch says until it is given what it wants.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loraforge.engine.tiny import make_tiny_flux

STEPS = 8
_BALLAST = """
import sys, torch
free, _ = torch.cuda.mem_get_info()
held = torch.empty(max(0, free - int(float(sys.argv[1]) * 2**30)), dtype=torch.uint8, device="cuda")
print(torch.cuda.mem_get_info()[0] / 2**30, flush=True)
sys.stdin.read()
"""
# What the rehearsal's engine does in place of a training step that does not fit.
_PROVOKED = """
_train = FluxNetworkTrainer.process_batch
def _out_of_memory(self, *arguments, **named):
    args = next(one for one in arguments if isinstance(one, argparse.Namespace))
    if not (args.gradient_checkpointing and args.fp8_base):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 54.00 MiB. (provoked)")
    return _train(self, *arguments, **named)
FluxNetworkTrainer.process_batch = _out_of_memory


if __name__ == "__main__":"""


def main() -> int:
    """Run it, write the page, and return 0 if a proven LoRA came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--leave", type=float, default=24.0)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    engine, weights, out = (path.absolute() for path in (asked.engine, asked.weights, asked.out))
    out.mkdir(parents=True, exist_ok=True)
    tiny = make_tiny_flux(out / "tiny")
    settings = {
        "engine.path": engine if not asked.tiny else provoked(engine, out / "engine"),
        "model.transformer": tiny.transformer if asked.tiny else weights / "flux1-dev.safetensors",
        "model.clip_l": tiny.clip_l if asked.tiny else weights / "clip_l.safetensors",
        "model.t5xxl": tiny.t5xxl if asked.tiny else weights / "t5xxl.safetensors",
        "model.autoencoder": tiny.autoencoder if asked.tiny else weights / "ae.safetensors",
        "model.tokenizers": tiny.tokenizers,
        "memory.profile": "80gb",
        "memory.gradient_checkpointing": "false",
        "memory.fp8_base": "false",
        "training.steps": STEPS,
        "training.save_every_steps": STEPS // 2,
        "optimizer.warmup_steps": "none",
        "sampling.prompts": "[]",
        "output.name": "tight",
        "output.dir": out / "runs",
    }
    if asked.tiny:
        settings |= {"launch.device": "cpu", "dataset.resolution": 128, "dataset.buckets.min": 64}
        settings |= {"dataset.buckets.max": 256, "training.t5_tokens": 64, "training.workers": 0}
    pictures(out / "pictures", 128 if asked.tiny else 1024)
    with ballast(0.0 if asked.tiny else asked.leave) as free:
        command = ["train", "--images", str(out / "pictures"), "--trigger", "ohwx", "--allow", "fp8", "--json"]
        events, said = trained(command, settings, 60 * asked.minutes)
    run = next((out / "runs" / "tight").glob("*/"), None)
    text = page(run, events, said, free)
    for path, name in ((run, "RUN"), (out, "OUT"), (weights, "WEIGHTS"), (engine, "ENGINE"), (Path.home(), "HOME")):
        text = text.replace(str(path), name)
    (out / "out_of_memory.md").write_text(text, encoding="utf-8")
    print(text)
    return int(not (events and events[-1].get("status") == "done"))


def pictures(folder: Path, side: int) -> None:
    """Draw twenty pictures with captions."""
    import numpy as np
    from PIL import Image

    folder.mkdir(exist_ok=True)
    chance = np.random.default_rng(0)
    for number in range(20):
        pixels = chance.integers(0, 255, (side // 32, side // 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((side, side)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"picture {number}", encoding="utf-8")


def provoked(engine: Path, folder: Path) -> Path:
    """Make an engine that runs out of memory unless it recomputes and trains in 8 bits."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in engine.iterdir():
        (folder / path.name).symlink_to(path)
    script = folder / "flux_train_network.py"
    script.unlink()
    text = (engine / script.name).read_text("utf-8")
    script.write_text(text.replace('\nif __name__ == "__main__":', _PROVOKED), encoding="utf-8")
    return folder


@contextlib.contextmanager
def ballast(leave: float) -> Iterator[float]:
    """Hold all but so many GiB of the card, and yield what is free then; 0 holds nothing."""
    if not leave:
        yield 0.0
        return
    command = [sys.executable, "-c", _BALLAST, str(leave)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield float(process.stdout.readline()) if process.stdout else 0.0
        finally:
            process.kill()


def trained(command: list[str], settings: dict[str, object], limit: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Train, and return the events and what a user reads; after `limit` seconds it is asked to stop."""
    flags = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "loraforge", *command, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    ) as process:
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        reader.start()
        limiter = threading.Timer(limit, process.terminate)
        limiter.start()
        began = time.monotonic()
        events = [{**json.loads(line), "seconds_in": round(time.monotonic() - began)} for line in process.stdout or ()]
        limiter.cancel()
        reader.join()
    return events, said


def page(run: Path | None, events: list[dict[str, Any]], said: list[str], free: float) -> str:
    """Return what happened as Markdown."""
    if run is None:
        return "".join(["The run did not begin:\n", *said])
    state = json.loads((run / "state.json").read_text("utf-8"))
    diary = [json.loads(line) for line in (run / "events.ndjson").read_text("utf-8").splitlines()]
    lines = [
        "# Out of memory for real",
        "",
        f"    python benchmarks/out_of_memory.py ENGINE WEIGHTS OUT     # {events[-1]['seconds_in']} s in all",
        "",
        (
            f"{free:.1f} GiB of the card were free, another process held the rest."
            if free
            else "A rehearsal: a tiny model on the CPU, and an engine that says what torch says."
        ),
        f"The run began without checkpointing, in bf16; 8 bits were allowed. {STEPS} steps, 20 pictures, rank 16.",
        "",
        *(f"- {name}: {value}" for name, value in diary[0].items() if name not in {"event", "at"}),
        "",
        "## What it did",
        "",
        *told(events),
        "",
        f"{state['starts']} starts of the engine; {state['status']} at step {state['step']}. Changes on the way:",
        "",
        *(f"- at step {one['step']}, {one['because']}: {json.dumps(one['settings'])}" for one in state["changes"]),
        "",
        "## What torch said",
        "",
        *(f"    {line}" for line in out_of_memory(run)),
        "",
        "## What the user read",
        "",
        *(f"    {line.rstrip()}" for line in said),
    ]
    return "\n".join(lines) + "\n"


def told(events: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the events that matter, each with the seconds since the beginning and the most memory held."""
    peak = 0.0
    for event in events:
        at = f"    {event['seconds_in']:4} s  "
        peak = max(peak, event.get("reserved_gib") or 0.0)
        match event:
            case {"event": "phase-started", "phase": str(phase)}:
                yield f"{at}{phase}"
            case {"event": "problem", "text": str(text)} if "CalledProcessError" not in text:  # the launcher's echo
                yield f"{at}{text.splitlines()[-1].partition(' GPU 0')[0]}"
            case {"event": "measured", "step": 1 | 8 as step, "loss": float(loss)}:
                held = f"{event.get('allocated_gib') or 0:.2f} GiB allocated, {peak:.2f} reserved"
                yield f"{at}step {step}: loss {loss:.3f}, {held}"
            case {"event": "checkpoint-saved", "path": str(path)}:
                yield f"{at}{Path(path).name} saved"
            case {"event": "ended", "status": str(status)}:
                yield f"{at}ended: {status}"
            case _:
                pass


def out_of_memory(run: Path) -> list[str]:
    """Return the engine's own words, once each."""
    text = (run / "engine.log").read_text("utf-8", errors="replace")
    return list(dict.fromkeys(re.findall(r"^\S*OutOfMemoryError: .*$", text, re.MULTILINE)))


if __name__ == "__main__":
    sys.exit(main())
