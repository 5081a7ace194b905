"""`check --measure` beside the prediction, with room on the card and with another process in the way.

usage: python benchmarks/measure.py ENGINE_DIR WEIGHTS_DIR OUT.jsonl [--cases NAME...] [--seconds N]

WEIGHTS_DIR holds four full-size files as full_size.py makes them (flux1-dev and ae are taken for transformer and
autoencoder too); their values do not matter. OUT gets one JSON line a case: what `check --json` predicts, what
`check --measure --json` then measures, and what it said. An 80 GB GPU is assumed; the standard cases take about five
minutes there. No case begins that could not end within --seconds.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_NAMES = {"transformer": "flux1-dev", "autoencoder": "ae", "clip_l": "clip_l", "t5xxl": "t5xxl"}  # as downloaded
# Holds the GPU memory that is free but for the given GiB, says so, and keeps it until its input closes.
_HOLD = """
import sys, torch
free = torch.cuda.mem_get_info()[0] - int(float(sys.argv[1]) * 2**30)
block = torch.empty(max(0, free), dtype=torch.uint8, device="cuda")
print(block.nbytes / 2**30, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Case:
    """One call of `check --measure`.

    Attributes:
        settings: `--set` arguments beside those of the bench.
        room: GiB that another process leaves free; None without one.
        seconds: the most it may take: a start of the whole engine is 60 to 75 s, compiling 15 to 40 s more.
    """

    settings: tuple[str, ...] = ()
    room: float | None = None
    seconds: float = 140.0


_PLAIN = "engine.fast=off"
CASES = {
    "room": Case(),
    # Without recomputation, then in bf16 it runs out of memory while the base moves to the card; 8 bits fit.
    "tight": Case(room=21.0, seconds=260.0),
    "plain": Case((_PLAIN, "memory.gradient_checkpointing=true", "memory.fp8_base=false"), seconds=110.0),
    "uncached": Case(
        (
            _PLAIN, "memory.gradient_checkpointing=true", "memory.fp8_base=false", "memory.cache_latents=off",
            "memory.cache_text_encoders=off", "network.train_clip_l=true",
        ),
        seconds=110.0,
    ),
    "small": Case(("dataset.resolution=512",)),
}  # fmt: skip
_STANDARD = ("room", "tight")


@dataclass(frozen=True)
class Scene:
    """Where the cases play.

    Attributes:
        arguments: of `check`, common to all cases.
        folder: scratch.
        environ: of every child.
    """

    arguments: tuple[str, ...]
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def check(self, case: Case, *more: str, seconds: float) -> tuple[dict[str, Any], str]:
        """Run `check --json` and return its document and what it said; past its time it is interrupted."""
        sets = [part for setting in case.settings for part in ("--set", setting)]
        command = [sys.executable, "-m", "loraforge", "check", "--json", *self.arguments, *sets, *more]
        child = subprocess.Popen(
            command, env=self.environ, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, said = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            try:
                out, said = child.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                out, said = child.communicate()
            said += f"\ninterrupted after {seconds:.0f} s"
        return (json.loads(out) if out.strip() else {}), f"{said.strip()}\nexit code {child.returncode}".strip()


def set_scene(engine: Path, weights: Path, folder: Path, *, tiny: bool) -> Scene:
    """Draw 20 square pictures, make the tokenizers, and return what every call shares."""
    sys.path.insert(0, str(REPOSITORY))
    from PIL import Image

    from loraforge.dataset.synthetic import draw_art_set
    from loraforge.engine.tiny import make_tiny_flux

    made = make_tiny_flux(folder / "tiny")
    side = 192 if tiny else 1024
    for path in draw_art_set(folder / "art", count=20, size=side):
        with Image.open(path) as picture:
            picture.resize((side, side)).save(path)
    files = {role: getattr(made, role) if tiny else _file(weights, role) for role in _NAMES}
    settings = {
        **{f"model.{role}": path for role, path in files.items()},
        "model.tokenizers": made.tokenizers,
        "dataset.resolution": side,
        "output.dir": folder / "runs",
        "launch.grace_seconds": 5,
        **({"dataset.buckets.min": 64, "launch.device": "cpu", "training.t5_tokens": 64} if tiny else {}),
    }
    sets = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    arguments = ("--preset", "style", "--images", str(folder / "art"), "--trigger", "zxqv", "--engine", str(engine))
    paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environ = {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    # A cache of its own: what an earlier run has compiled would make the first start look better than it is.
    return Scene((*arguments, *sets), folder, environ | {"XDG_CACHE_HOME": str(folder / "cache")})


def _file(folder: Path, role: str) -> Path:
    given = folder / f"{_NAMES[role]}.safetensors"
    return given if given.exists() else folder / f"{role}.safetensors"


@contextmanager
def held(room: float | None) -> Iterator[float | None]:
    """Hold GPU memory in another process; yields how many GiB."""
    if room is None:
        yield None
        return
    command = [sys.executable, "-c", _HOLD, str(room)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            yield float(holder.stdout.readline() or 0)
        finally:
            holder.stdin.close()


def play(name: str, scene: Scene, seconds: float) -> dict[str, Any]:
    """Predict, measure, and return both."""
    case, began = CASES[name], time.monotonic()
    predicted, _ = scene.check(case, seconds=30)
    with held(case.room) as taken:
        measured, said = scene.check(case, "--measure", seconds=seconds)
    return {
        "case": name,
        "settings": case.settings,
        "held_by_another_gib": taken,
        "profile": predicted.get("profile"),
        "predicted": {key: predicted.get(key) for key in ("memory", "duration")},
        "measured": measured.get("measurement"),
        "findings": [
            finding
            for finding in measured.get("findings", [])
            if finding["severity"] == "error" or finding["code"].startswith("memory")
        ],
        "said": said.splitlines()[-12:],
        "took_s": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Play the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=_STANDARD)
    parser.add_argument("--seconds", type=float, default=400.0)
    parser.add_argument("--tiny", action="store_true", help="try the script without a GPU; WEIGHTS_DIR is not read")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, given.out.open("a", encoding="utf-8", buffering=1) as out:
        folder = Path(scratch)
        scene = set_scene(given.engine.resolve(), given.weights.resolve(), folder, tiny=given.tiny)
        for name in given.cases:
            left = given.seconds - (time.monotonic() - began)
            if left < CASES[name].seconds:
                print(f"{name}: not begun, {left:.0f} s are left", flush=True)
                continue
            line = json.dumps(play(name, scene, CASES[name].seconds))
            out.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
