"""`loraforge demo`."""

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Literal

import platformdirs
import typer

from loraforge.cli.common import human
from loraforge.cli.start import carry_out
from loraforge.dataset.synthetic import draw_art_set
from loraforge.engine.locate import find
from loraforge.engine.tiny import make_tiny_flux
from loraforge.report.provenance import origins_of
from loraforge.run.folder import new_folder
from loraforge.run.plan import build_plan
from loraforge.run.settle import settle
from loraforge.settings import Settings, load

# Raised whenever tiny weights or art change, so that an older cache is left alone.
_CACHE = "demo-1"
TRIGGER = "zxqv"


def demo(
    out: Path = typer.Option(Path("loraforge-demo"), help="Folder for the art and the run."),
    engine: str | None = typer.Option(None, help="kohya or embedded; by default sd-scripts where it is found."),
    assignments: list[str] = typer.Option([], "--set", metavar="A.B=C", help="One setting; may be repeated."),
    json: bool = typer.Option(False, "--json", help="One JSON object a line on stdout."),
) -> int:
    """Go the whole way on any machine: synthetic art, tiny random weights, a real training on the processor."""
    kind = _kind(engine)
    out = out.absolute()
    if not json:
        human().print(f"drawing a small art set and making a tiny FLUX with random weights in {out}", markup=False)
        if engine is None and kind == "embedded":
            human().print("sd-scripts is not on this machine, so the embedded engine trains", markup=False)
    settings = demo_settings(out, kind, assignments)
    ready = settle(settings.job, vram_gib=None, environ=os.environ)
    folder = new_folder(ready.job.output.dir, ready.job.output.name, datetime.now().astimezone())
    plan = build_plan(ready, folder, origins=origins_of(settings, ready.job))
    carry_out(plan, json=json)
    if not json:
        human().print(
            "This was a real training of a toy model. With your own pictures and a GPU:\n"
            "  loraforge models --download\n"
            "  loraforge train --images FOLDER --trigger WORD",
            markup=False,
        )
    return 0


def demo_settings(out: Path, kind: Literal["kohya", "embedded"], assignments: list[str]) -> Settings:
    """Make pictures and weights where they are missing, and return the settings that train on them.

    Args:
        out: folder of art and runs.
        kind: which engine.
        assignments: further `--set` arguments.
    """
    art = _art_once(out)
    weights = make_tiny_flux_once(platformdirs.user_cache_path("loraforge", appauthor=False) / _CACHE)
    settings = {
        "model.transformer": str(weights / "flux1-tiny.safetensors"),
        "model.clip_l": str(weights / "clip_l.safetensors"),
        "model.t5xxl": str(weights / "t5xxl.safetensors"),
        "model.autoencoder": str(weights / "ae.safetensors"),
        "model.tokenizers": str(weights / "tokenizers"),
        "dataset.images": str(art),
        "dataset.trigger": TRIGGER,
        "dataset.resolution": 192,
        "dataset.buckets.min": 64,
        "dataset.buckets.max": 512,
        "network.rank": 4,
        "network.alpha": 4.0,
        "optimizer.learning_rate": 1e-3,
        "optimizer.warmup_steps": 2,
        "training.steps": 12,
        "training.save_every_steps": 4,
        "training.t5_tokens": 64,
        "training.workers": 0,
        "memory.profile": "24gb",
        "memory.fp8_base": False,
        "memory.gradient_checkpointing": False,
        "sampling.width": 128,
        "sampling.height": 128,
        "sampling.steps": 2,
        "sampling.at_start": True,  # the base model, which compare holds the checkpoints against
        "output.name": "demo",
        "output.dir": str(out / "runs"),
        "launch.device": "cpu",
        # The toy model's matrices are too small to share out: more threads only wait for each other.
        "launch.env": {"OMP_NUM_THREADS": "1"},
        "engine.kind": kind,
    }
    flags = {path: ("demo", value) for path, value in settings.items()}
    return load(None, preset="style", flags=flags, assignments=assignments, cwd=Path.cwd())


def make_tiny_flux_once(folder: Path) -> Path:
    """Make the tiny weights unless an earlier demo has; the mark is written last."""
    mark = folder / "complete"
    if not mark.exists():
        make_tiny_flux(folder)
        mark.touch()
    return folder


def _art_once(out: Path) -> Path:
    """Draw the pictures unless an earlier demo has; an interrupted one leaves none, rather than half of them."""
    art = out / "art"
    if not art.is_dir():
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".art-", dir=out) as scratch:
            draw_art_set(Path(scratch, "art"))
            Path(scratch, "art").rename(art)
    return art


def _kind(engine: str | None) -> Literal["kohya", "embedded"]:
    match engine:
        case "kohya" | "embedded":
            return engine
        case None:
            return "kohya" if find() is not None else "embedded"
        case _:
            raise typer.BadParameter(f"{engine} is neither kohya nor embedded", param_hint="--engine")
