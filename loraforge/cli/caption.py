"""`loraforge caption`."""

import json as jsonlib
from enum import StrEnum
from pathlib import Path

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from loraforge.captioning import edits
from loraforge.captioning.batch import Plan, Settings, caption_pictures, plan_folder
from loraforge.captioning.captioner import DEFAULT_MODEL, DEFAULT_PROMPT
from loraforge.captioning.vision_language import load_captioner
from loraforge.cli.common import human, result
from loraforge.dataset.caption_history import CaptionHistory
from loraforge.dataset.images import list_folder, some_pictures
from loraforge.errors import ConfigError, DatasetError, Interrupted
from loraforge.findings import counted, printable
from loraforge.trigger import trigger_findings


class Density(StrEnum):
    """How much of a description becomes the caption."""

    sparse = "sparse"
    dense = "dense"


class Device(StrEnum):
    """Where the captioner runs."""

    auto = "auto"
    cuda = "cuda"
    mps = "mps"
    cpu = "cpu"


class Precision(StrEnum):
    """The captioner's number format."""

    auto = "auto"
    bf16 = "bf16"
    fp16 = "fp16"
    fp32 = "fp32"


def caption(
    folder: Path = typer.Argument(..., metavar="DIR", help="Folder of pictures; captions are .txt files beside them."),
    trigger: str | None = typer.Option(None, help="The word that will call the style; stands first in every caption."),
    model: str = typer.Option(DEFAULT_MODEL, help="Captioner: a hub name, or a folder that holds one."),
    density: Density = typer.Option(
        Density.sparse, help="Subject and setting only, or the sentence without its style."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace captions a person wrote too (--undo restores)."),
    max_new_tokens: int = typer.Option(30, min=1, max=1024, help="Longest text asked of the model, in its tokens."),
    batch_size: int = typer.Option(16, min=1, max=1024, help="Pictures at once; halved when memory runs out."),
    device: Device = typer.Option(Device.auto, help="Where the captioner runs."),
    precision: Precision = typer.Option(Precision.auto, help="The captioner's number format."),
    prompt: str = typer.Option(DEFAULT_PROMPT, help="What a chat model is asked; BLIP-2 takes no request."),
    find: str | None = typer.Option(None, help="Text to replace in all captions."),
    replace: str | None = typer.Option(None, help="What --find becomes; may be empty."),
    prepend: str | None = typer.Option(None, help="Text to put in front of all captions, behind the trigger."),
    remove: str | None = typer.Option(None, help="Word or phrase to take out of all captions."),
    trim: bool = typer.Option(False, "--trim", help="Trim the captions that are there to subject and setting."),
    undo: bool = typer.Option(False, "--undo", help="Take back the latest captioning or edit."),
    review: Path | None = typer.Option(None, metavar="FILE", help="Write a page of pictures and captions."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be done and do nothing."),
    json: bool = typer.Option(False, "--json", help="One JSON object a picture on stdout."),
) -> int:
    """Write captions for a folder of pictures, or edit, undo and review those it has."""
    (list_folder if undo else some_pictures)(folder)  # a wrong folder is told before anything else
    for finding in trigger_findings(trigger) if trigger is not None else ():
        if finding.severity == "error":
            raise ConfigError(finding.message, finding.fix)
    wanted = _edits(find, replace, prepend, remove, trigger, trim=trim)
    if undo and (wanted or dry_run or overwrite):
        raise ConfigError("--undo stands alone", "first undo, then edit")
    history = CaptionHistory(folder)
    code = 0
    if undo:
        _undo(history, json=json)
    elif wanted:
        _edit(folder, wanted, history, dry_run=dry_run, json=json)
    elif trigger is not None or review is None:
        settings = _settings(trigger, model, density.value, max_new_tokens, prompt)
        plan = plan_folder(folder, settings, history, overwrite=overwrite)
        _say_plan(plan, dry_run=dry_run, json=json)
        if plan.todo and not dry_run:
            captioner_of = (model, device.value, precision.value)
            code = _caption(plan, settings, history, captioner_of, batch_size, json=json)
    if review is not None:
        from loraforge.report.caption_review import write_review

        count = write_review(folder, review, trigger)
        human().print(Text(f"{_shown(str(review))}: {counted(count, 'picture')} to look through"))
    return code


def _settings(trigger: str | None, model: str, density: str, max_new_tokens: int, prompt: str) -> Settings:
    if trigger is None:
        raise ConfigError("captioning needs --trigger WORD", "loraforge trigger WORD tells whether a word serves")
    return Settings(model, trigger, "sparse" if density == "sparse" else "dense", max_new_tokens, prompt)


def _edits(
    find: str | None, replace: str | None, prepend: str | None, remove: str | None, trigger: str | None, *, trim: bool
) -> list[edits.Edit]:
    if (find is None) != (replace is None):
        raise ConfigError("--find and --replace go together", 'to take a text out: --find TEXT --replace ""')
    for name, value in (("--find", find), ("--prepend", prepend), ("--remove", remove)):
        if value is not None and not value.strip():
            raise ConfigError(f"{name} is empty", "name the text")
    for value in (find, replace, prepend, remove):
        if value is not None and (not value.isprintable()):
            raise ConfigError(f"{value!r}: a caption is one line of printable text", "leave the control characters out")
    wanted = []
    if trim:
        wanted.append(edits.trimming(trigger))
    if remove is not None:
        wanted.append(edits.removing(remove))
    if find is not None and replace is not None:
        wanted.append(edits.replacing(find, replace))
    if prepend is not None:
        wanted.append(edits.prepending(prepend.strip(" ,"), trigger))
    return wanted


def _undo(history: CaptionHistory, *, json: bool) -> None:
    undone = history.undo()
    console = human()
    if undone is None:
        console.print("Nothing to undo.")
        return
    console.print(f"{counted(len(undone.restored), 'caption')} put back to what stood before the latest {undone.what}.")
    for name in undone.restored if json else ():
        result(jsonlib.dumps({"file": name}))
    for name in undone.kept:
        console.print(Text(f"  {_shown(name)}: changed since, left alone"))


def _edit(folder: Path, wanted: list[edits.Edit], history: CaptionHistory, *, dry_run: bool, json: bool) -> None:
    passed_over: list[tuple[Path, str]] = []
    found = list(edits.changes(folder, wanted, lambda path, why: passed_over.append((path, why))))
    made: list[edits.Change] = []
    try:
        for change in found:
            if not dry_run:
                edits.apply(change, history)
            made.append(change)
    finally:  # all is done before anything is said: `| head` must not stop it halfway
        _say_changes(made, json=json)
    done = "would change" if dry_run else "changed"
    human().print(
        f"{counted(len(found), 'caption')} {done}." + ("" if dry_run or not found else " --undo takes it back.")
    )
    for path, why in passed_over:
        human().print(Text(f"  {_shown(path.name)}: left alone; it {why}", "yellow"))


def _say_changes(made: list[edits.Change], *, json: bool) -> None:
    for change in made:
        if json:
            result(jsonlib.dumps({"file": change.path.name, "before": change.before, "after": change.after}))
        else:
            human().print(
                Text.assemble(
                    (f"{_shown(change.path.name)}\n", "bold"),
                    (f"  - {_shown(change.before)}\n", "red"),
                    (f"  + {_shown(change.after)}", "green"),
                )
            )


def _say_plan(plan: Plan, *, dry_run: bool, json: bool) -> None:
    console = human()
    console.print(f"{counted(len(plan.todo), 'picture')} {'would' if dry_run else 'will'} get a caption.")
    if plan.done:
        console.print(f"{len(plan.done)} already captioned with these settings.")
    if plan.kept:
        console.print(f"{len(plan.kept)} left with the caption a person wrote (--overwrite replaces it).")
    for picture in plan.shared:
        console.print(Text(f"  {_shown(picture.name)}: shares its caption with another picture of the same stem"))
    for picture in plan.todo if dry_run else ():
        if json:
            result(jsonlib.dumps({"file": picture.name}))
        else:
            console.print(Text(f"  {_shown(picture.name)}"))


def _caption(
    plan: Plan,
    settings: Settings,
    history: CaptionHistory,
    captioner_of: tuple[str, str, str],
    batch: int,
    *,
    json: bool,
) -> int:
    model, device, precision = captioner_of
    console = human()
    columns = (TextColumn("captioning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    written = failed = 0
    try:
        captioner = load_captioner(
            model,
            device=device,  # type: ignore[arg-type]  # the enums hold the literals
            precision=precision,  # type: ignore[arg-type]
            max_new_tokens=settings.max_new_tokens,
            prompt=settings.prompt,
        )
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("", total=len(plan.todo))
            for outcome in caption_pictures(plan.todo, captioner, settings, history, batch_size=batch):
                progress.advance(task)
                written, failed = written + (not outcome.fault), failed + bool(outcome.fault)
                if json:
                    line = {"picture": outcome.picture.name, "caption": outcome.caption, "fault": outcome.fault}
                    result(jsonlib.dumps(line))
                style = "red" if outcome.fault else ""
                told = _shown(outcome.fault or outcome.caption)
                progress.console.print(Text.assemble((f"{_shown(outcome.picture.name)}: ", "bold"), (told, style)))
    except (KeyboardInterrupt, BrokenPipeError):  # the latter: who read the JSON has ended
        raise Interrupted(
            f"interrupted; {counted(written, 'caption')} written",
            "run the same command again: it goes on where it stopped",
        ) from None
    console.print(f"{counted(written, 'caption')} written; --undo goes back." if written else "No caption was written.")
    if failed:
        console.print(f"{counted(failed, 'picture')} could not be captioned.", style="red")
    return DatasetError.exit_code if failed else 0


def _shown(text: str) -> str:
    """Return what fits on a terminal, in characters that do it no harm."""
    return printable(text if len(text) <= 500 else f"{text[:500]} …")
