"""docs/rules.md and docs/failures.md, written from the registries: `python -m loraforge.advice.reference docs`."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from loraforge.advice.rules import FAMILIES, RULES
from loraforge.advice.rules.registry import literal
from loraforge.advice.symptoms import symptoms
from loraforge.engine.failures import signatures
from loraforge.engine.remedy import Remedy

_HEAD = "<!-- written by `python -m loraforge.advice.reference docs`; edit the registries, not this page -->\n"
_TITLES = {
    "network": "The LoRA",
    "optimizer": "Optimizer and learning rate",
    "schedule": "Schedule",
    "training": "Length and objective",
    "memory": "Memory",
    "dataset": "Pictures, trigger and buckets",
    "sampling": "Samples",
    "machine": "Machine",
    "output": "Results",
    "extra": "`[engine] extra`: refused or misleading",
    "extra_inert": "`[engine] extra`: without effect on FLUX",
}


# What `check` finds beside its rules: code -> severity, meaning, mended by.
BESIDE_RULES: Mapping[str, tuple[str, str, str]] = {
    "engine-missing": ("error", "sd-scripts is nowhere to be found, so that nothing can train", "`loraforge doctor`"),
    "engine-extra": (
        "error",
        "an option under `[engine] extra` is not sd-scripts' own, or not of its type",
        "settings.md",
    ),
    "no-images": ("error", "no folder of pictures is named", "`--images FOLDER`"),
    "dataset-unusable": ("error", "the folder can't be read, or holds no pictures", "what the finding names"),
    "output-unusable": ("error", "the folder of the runs can't be made or written", "another `output.dir`"),
    "no-gpu": ("warning", "there is no NVIDIA card here", "`--vram GB`, to ask about another"),
    "memory-does-not-fit": ("error", "a phase is predicted to need more than the card has", "the `--set` it names"),
    "memory-tight": ("warning", "it may fit, by less than predictions err", "the `--set` it names"),
    "memory-taken": ("warning", "the card would do, but other programs hold what the run needs", "ending them"),
    "memory-measured": (
        "error",
        "with `--measure`: three steps fitted with other settings only",
        "the `--set` it names",
    ),
    "contradiction": ("error", "in `diagnose`: two settings of the run can't go together", "changing one of them"),
}


def rules_page() -> str:
    """Return docs/rules.md."""
    return _HEAD + "\n".join(_rules()) + "\n"


def failures_page() -> str:
    """Return docs/failures.md."""
    return _HEAD + "\n".join(_failures()) + "\n"


def _rules() -> Iterator[str]:
    yield "# Rules\n"
    yield (
        f"`loraforge check` judges the settings, the pictures and the machine by these {len(RULES)} rules. An error "
        "stops a run, a warning stops it under `--strict`, an info is advice. Every finding names the `--set` flags "
        "that mend it."
    )
    for family in FAMILIES:
        yield f"\n## {_TITLES[family]}\n"
        yield "| code | severity | why | evidence |"
        yield "|---|---|---|---|"
        for rule in RULES.values():
            if rule.family == family:
                yield _row(f"`{rule.code}`", rule.severity, rule.why, rule.evidence)
    yield "\n## Beside the rules\n"
    yield "| code | severity | what it says | mended by |"
    yield "|---|---|---|---|"
    for code, row in BESIDE_RULES.items():
        yield _row(f"`{code}`", *row)


def _failures() -> Iterator[str]:
    yield "# Failures\n"
    yield (
        "`loraforge diagnose` compares what the engine printed with these signatures, and what you say with "
        "`--symptom` with the symptoms below. Settings are proposed only where they differ from the run's."
    )
    yield "\n## Symptoms\n"
    yield "| symptom | likely cause | what to do | settings |"
    yield "|---|---|---|---|"
    for symptom in symptoms():
        for cause in symptom.causes:
            yield _row(symptom.title, cause.cause, f"{cause.fix} ({cause.source})", _remedy(cause.remedy))
    yield "\n## Signatures of the engine\n"
    yield "| code | what it prints | what happened | what to do | settings | seen in |"
    yield "|---|---|---|---|---|---|"
    for item in signatures():
        prints = " or ".join(f"`{pattern}`" for pattern in item.patterns)
        codes = ", ".join(str(code) for code in sorted(item.returncodes))
        prints += f" or exit code {codes}" if codes else ""
        yield _row(f"`{item.code}`", prints, item.cause, item.fix, _remedy(item.remedy), item.seen)


def _remedy(remedy: Remedy) -> str:
    parts = [
        *_changes("{path} = {value}", remedy.set),
        *_changes("{path} × {value}", remedy.scale),
        *_changes("{path} at most {value}", remedy.at_most),
        *_changes("{path} at least {value}", remedy.at_least),
        *(["the next rung of the memory ladder"] if remedy.relieve else []),
    ]
    return "<br>".join(parts)


def _changes(form: str, values: Mapping[str, object]) -> list[str]:
    return [form.format(path=f"`{path}`", value=literal(value)) for path, value in values.items()]


def _row(*cells: str) -> str:
    """Write a row of a table; a bar in a text must not end its cell."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write(folder: Path) -> None:
    """Write both pages into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "rules.md").write_text(rules_page(), encoding="utf-8")
    (folder / "failures.md").write_text(failures_page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
