"""Every path of one run, in one place."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

STORE = ".staged"
_STAMP = re.compile(r"\d{8}-\d{6}")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`<output.dir>/<name>/<time>/`, or the folder that `plan --out` names.

    Attributes:
        path: the folder itself.
    """

    path: Path

    @property
    def job(self) -> Path:
        """The settled job; `loraforge train <run folder>` repeats it."""
        return self.path / "job.toml"

    @property
    def origins(self) -> Path:
        """Which layer decided each setting of the job that is not a default."""
        return self.path / "origins.json"

    @property
    def config(self) -> Path:
        """What the engine reads."""
        return self.path / "config.toml"

    @property
    def dataset_file(self) -> Path:
        """The dataset description the engine reads."""
        return self.path / "dataset.toml"

    @property
    def prompts(self) -> Path:
        """The sample prompts, frozen for the run."""
        return self.path / "prompts.txt"

    @property
    def accelerate(self) -> Path:
        """The launcher's own settings, so that a default_config.yaml of another project can't reach this run."""
        return self.path / "accelerate.yaml"

    @property
    def dataset(self) -> Path:
        """The staged pictures, captions and caches."""
        return self.path / "dataset"

    @property
    def manifest(self) -> Path:
        """Which staged name is which picture, with its caption."""
        return self.path / "dataset.json"

    @property
    def weights(self) -> Path:
        """What tells the weight files that the run began with from others."""
        return self.path / "weights.json"

    @property
    def output(self) -> Path:
        """Checkpoints and states."""
        return self.path / "output"

    @property
    def begin(self) -> Path:
        """The LoRA that the run begins with, at the run's rank; there where it does not begin from nothing."""
        return self.path / "begin.safetensors"

    @property
    def samples(self) -> Path:
        """Sample pictures; the engine decides this name."""
        return self.output / "sample"

    @property
    def log(self) -> Path:
        """The engine's output, whole and raw."""
        return self.path / "engine.log"

    @property
    def events(self) -> Path:
        """The typed events, one JSON object a line."""
        return self.path / "events.ndjson"

    @property
    def state(self) -> Path:
        """How the run stands or ended."""
        return self.path / "state.json"

    def lora(self, name: str) -> Path:
        """The finished LoRA."""
        return self.output / f"{name}.safetensors"

    def checkpoint(self, name: str, step: int) -> Path:
        """The checkpoint of one step."""
        return self.output / f"{name}-step{step:08d}.safetensors"

    def checkpoints(self, name: str) -> dict[int, Path]:
        """Return step -> checkpoint file, in order of steps."""
        found = {}
        for path in sorted(self.output.glob("*-step*.safetensors")):
            stem, _, step = path.stem.rpartition("-step")
            if stem == name and step.isdecimal():
                found[int(step)] = path
        return found


def new_folder(output_dir: Path, name: str, now: datetime) -> RunFolder:
    """Name a run folder that does not exist yet; it is not made here."""
    stamps = [found[0] for path in (output_dir / name).glob("*") if (found := _STAMP.match(path.name))]
    # The newest run is the last by name, also where the clock was set back since the one before.
    stamp = max([now.strftime("%Y%m%d-%H%M%S"), *stamps])
    path = output_dir / name / stamp
    again = 2
    while path.exists():
        path = output_dir / name / f"{stamp}-{again:02}"
        again += 1
    return RunFolder(path)


def latest(output_dir: Path, name: str) -> RunFolder | None:
    """Return the newest run of a name that has a job to repeat, None when there is none."""
    runs = sorted(path.parent for path in (output_dir / name).glob("*/job.toml"))
    return RunFolder(runs[-1]) if runs else None
