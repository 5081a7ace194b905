"""Drawing missing pictures with the engine's own inference script.

One process holds the base model and a handful of checkpoints at once: the script sets the strength of each LoRA for
every picture, so the weights are loaded once for all of them, and at strength 0 the base model draws.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from loraforge import engine
from loraforge.advice.chosen import names_of
from loraforge.compare.grid import FOLDER, Grid, Version, cell_file
from loraforge.config.job import Job
from loraforge.dataset.images import PictureError, load_rgb
from loraforge.engine.failures import classify
from loraforge.engine.inspection import is_full_size
from loraforge.engine.locate import EngineHome, locate
from loraforge.engine.weights import TOKENIZERS, Weights, find_weights
from loraforge.errors import TrainingError
from loraforge.machine.secrets import without_secrets
from loraforge.run.history import Run

_SCRIPT = "flux_minimal_inference.py"
_SAVED = "Saved image to"
_TOGETHER = 6  # LoRAs in one process; each takes its size in memory and a few percent of the time
_TAIL = 40
_OFFLOAD_BELOW_GIB = 40.0  # in bf16 the transformer takes 24 GB and T5 10; they can take turns on the card
_FP8_BELOW_GIB = 30.0
_FAREWELL = 30.0  # seconds to end in
_ENV = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "COLUMNS": "1000",
    "NO_COLOR": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


def generate(
    run: Run,
    grid: Grid,
    *,
    environ: Mapping[str, str] = os.environ,
    vram_gib: float | None = None,
    progress: Callable[[int, int, float | None], None] = lambda *_: None,
) -> int:
    """Draw what is missing in a grid and return how many pictures were drawn; each is kept as soon as it is whole.

    Args:
        run: whose checkpoints draw.
        grid: made by `from_generated`.
        environ: the environment that the engine inherits.
        vram_gib: memory of the card; None where there is none.
        progress: called with (drawn, to draw, seconds left or None).

    Raises:
        MachineError: no engine or no weights.
        TrainingError: the engine failed.
    """
    missing = grid.missing()
    if not missing:
        return 0
    job = run.job
    home = locate(configured=job.engine.path, environ=environ)
    studio = _Studio(home, find_weights(job.model, environ).weights(), job, environ, vram_gib)
    (run.folder.path / FOLDER).mkdir(exist_ok=True)
    done, began = 0, time.monotonic()
    progress(0, len(missing), None)
    for files, versions in _groups(run, missing):
        with (
            tempfile.TemporaryDirectory(dir=run.folder.path / FOLDER, prefix=".work-") as scratch,
            _Artist(Path(scratch), studio, files) as artist,
        ):
            for row, version in (place for place in missing if place[1] in versions):
                strengths = [version.strength if step == version.step else 0.0 for step in files]
                artist.draw(grid.rows[row].line, strengths, cell_file(run, grid.rows[row], version))
                done += 1
                spent = time.monotonic() - began
                progress(done, len(missing), spent / done * (len(missing) - done))
    return done


def _groups(run: Run, missing: Sequence[tuple[int, Version]]) -> Iterator[tuple[dict[int, Path], set[Version]]]:
    """Yield the checkpoints of each process, step -> file, and the columns it draws; the first draws the base."""
    loras = run.loras()
    wanted = list(dict.fromkeys(version for _, version in missing))
    steps = list(dict.fromkeys(version.step for version in wanted if version.step))
    for start in range(0, max(1, len(steps)), _TOGETHER):
        own = steps[start : start + _TOGETHER]
        versions = {version for version in wanted if version.step in own or (version.step == 0 and start == 0)}
        yield {step: loras[step] for step in own}, versions


@dataclass(frozen=True, slots=True)
class _Studio:
    """What every process of the inference script is started with."""

    home: EngineHome
    weights: Weights
    job: Job
    environ: Mapping[str, str]
    vram_gib: float | None

    def command(self) -> list[str]:
        script = self.home.path / _SCRIPT if is_full_size(self.weights) else Path(engine.__file__).parent / "shim.py"
        files = {
            "ckpt_path": self.weights.transformer,
            "clip_l": self.weights.clip_l,
            "t5xxl": self.weights.t5xxl,
            "ae": self.weights.autoencoder,
        }
        argv = [str(self.job.engine.python or sys.executable), str(script)]
        argv += [part for name, path in files.items() for part in (f"--{name}", str(path))]
        if self.job.training.t5_attention_mask:
            argv.append("--apply_t5_attn_mask")
        if self.vram_gib is not None and self.vram_gib < _OFFLOAD_BELOW_GIB:
            argv.append("--offload")
        if self.vram_gib is not None and self.vram_gib < _FP8_BELOW_GIB:
            argv += ["--flux_dtype", "fp8"]
        return argv

    def environment(self) -> dict[str, str]:
        own = {"LORAFORGE_ENGINE_DIR": str(self.home.path), "LORAFORGE_ENGINE_SCRIPT": _SCRIPT}  # read by shim.py
        # The script takes a card wherever it sees one.
        cards = () if self.job.launch.device == "cpu" else names_of(self.job, self.environ)[:1]
        own["CUDA_VISIBLE_DEVICES"] = "".join(cards)
        return {**without_secrets(self.environ), **_ENV, **self.job.launch.env, **own}


class _Artist:
    """The engine's inference script, waiting for prompts; a context that ends it on leaving."""

    def __init__(self, scratch: Path, studio: _Studio, loras: Mapping[int, Path]) -> None:
        self._out = scratch / "out"
        self._job, self._tail = studio.job, deque[str](maxlen=_TAIL)
        _lay_tokenizers(scratch, studio.weights)
        argv = [*studio.command(), "--interactive", "--output_dir", str(self._out)]
        if loras:
            argv += ["--lora_weights", *(f"{_lay(path, scratch, step)};1" for step, path in loras.items())]
        self._process = subprocess.Popen(
            argv,
            cwd=scratch,
            env=studio.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        try:
            self._process.communicate("\n", timeout=_FAREWELL)  # an empty prompt ends the script
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.communicate()

    def draw(self, line: str, strengths: Sequence[float], target: Path) -> None:
        """Draw one picture and put it in its place, whole."""
        multipliers = f" --m {','.join(f'{strength:g}' for strength in strengths)}" if strengths else ""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        assert self._process.stdout is not None  # noqa: S101
        with contextlib.suppress(OSError):  # it ended while loading; its output says why
            self._process.stdin.write(f"{line}{multipliers}\n")
            self._process.stdin.flush()
        for said in self._process.stdout:
            self._tail.append(said.rstrip())
            if _SAVED in said:
                break
        else:
            raise self._failure()
        drawn = next(iter(self._out.glob("*.png")), None)
        try:
            load_rgb(drawn or target)
        except PictureError as fault:
            raise TrainingError(f"the engine drew a picture that can't be read: {fault.detail}") from None
        (drawn or target).replace(target)

    def _failure(self) -> TrainingError:
        code = self._process.wait()
        log = "\n".join(self._tail)
        cause = next((found.cause for found in classify(log, code, self._job)), f"it ended with exit code {code}")
        text = "\n".join(f"    {line}" for line in self._tail if line.strip())
        hint = "what was drawn is kept: the same command goes on with the rest"
        return TrainingError(f"the engine drew no picture: {cause}\n{text}", hint)


def _lay(path: Path, scratch: Path, step: int) -> str:
    """Put a LoRA under a name that the script's `path;strength` can't misread."""
    return str(_link(path, scratch / f"step{step}.safetensors").relative_to(scratch))


def _lay_tokenizers(scratch: Path, weights: Weights) -> None:
    """Put the tokenizers where the script looks: it has no option for them, but a folder of the hub's name serves."""
    if weights.tokenizers is None:
        return
    for name, folder in TOKENIZERS.items():
        if (weights.tokenizers / folder).is_dir():
            (scratch / name).parent.mkdir(exist_ok=True)
            shutil.copytree(weights.tokenizers / folder, scratch / name)


def _link(path: Path, place: Path) -> Path:
    try:
        place.symlink_to(path)
    except OSError:  # Windows without the right to make links
        shutil.copyfile(path, place)
    return place
