"""The pictures that the engine drew while training, told from their file names."""

import re
from dataclasses import dataclass
from pathlib import Path

from loraforge.engine.render import with_word
from loraforge.run.history import Run

# <name>_<step>_<prompt>_<time>[_<seed>].png; the engine counts epochs with a leading e, and calls what it draws before
# the first step epoch 0.
_NAME = re.compile(r"_(?:e0{6}|(?P<step>\d{6,}))_(?P<index>\d{2,})_(?P<time>\d{14})(?:_(?P<seed>\d+))?\.png")


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a training run.

    Attributes:
        path: the file.
        step: steps done when it was drawn; 0 is the base model.
        index: number of its prompt, from 0.
        prompt: the prompt as it was drawn; "prompt N" where the run no longer tells.
        seed: of its noise, None where the name does not say.
    """

    path: Path
    step: int
    index: int
    prompt: str
    seed: int | None


def samples_of(run: Run) -> list[Sample]:
    """Return the samples of a run by prompt and step; of several drawn for one place the newest counts."""
    folder, name = run.folder.samples, run.name
    if not folder.is_dir():
        return []
    job = run.job
    prompts = [with_word(prompt, job.dataset.trigger) for prompt in job.sampling.prompts]
    newest: dict[tuple[int, int], tuple[str, Sample]] = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name[len(name) :]) if path.name.startswith(name) else None
        if match is None:
            continue
        step, index = int(match["step"] or 0), int(match["index"])
        prompt = prompts[index] if index < len(prompts) else f"prompt {index + 1}"
        sample = Sample(path, step, index, prompt, int(match["seed"]) if match["seed"] else None)
        if (index, step) not in newest or newest[index, step][0] < match["time"]:
            newest[index, step] = (match["time"], sample)
    return [newest[place][1] for place in sorted(newest)]
