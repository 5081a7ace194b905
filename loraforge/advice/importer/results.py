"""[sampling] and [output]: samples, names, formats, metadata."""

import re

from loraforge.advice.importer import files, prompts
from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.values import text

_WORDS = ("author", "license", "description")
_BAD_IN_NAMES = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f]")


def results(draft: Draft) -> None:
    """Map samples and output."""
    _output(draft)
    _sampling(draft)


def _output(draft: Draft) -> None:
    folder, name = draft.word("output_dir"), draft.word("output_name")
    if folder is not None:
        draft.put("output.dir", folder)
    if name is None:
        draft.say_default("output.name")
    else:
        plain = _BAD_IN_NAMES.sub("_", name.removesuffix(".safetensors")).lstrip(" .")[:80] or "lora"
        if plain != name:
            draft.note(
                "value-adjusted",
                "output.name",
                f"{name[:80]} became {plain}: a file name on every system.",
                f"--set output.name={plain}",
            )
        draft.put("output.name", plain)
    _precision(draft)
    title = draft.word("metadata_title")
    if title is not None and title != draft.get("output.name"):
        draft.put("output.metadata.title", title[:2000])
    for word in _WORDS:
        value = draft.word(f"metadata_{word}")
        if value is not None:
            draft.put(f"output.metadata.{word}", value[:2000])
    tags = [tag.strip() for tag in (draft.word("metadata_tags") or "").split(",") if tag.strip()]
    if tags:
        draft.put("output.metadata.tags", tags)


def _precision(draft: Draft) -> None:
    given = draft.has("save_precision")
    precision = draft.word("save_precision")
    if precision is not None:
        draft.put("output.save_precision", precision)
    elif given:
        draft.put("output.save_precision", "float")  # what the engine makes of a word it does not know
    else:
        draft.put_default("output.save_precision", "float")


def _sampling(draft: Draft) -> None:
    every, epochs = draft.whole("sample_every_n_steps"), draft.whole("sample_every_n_epochs")
    at_start, named = draft.flag("sample_at_first"), draft.has("sample_prompts")
    lines = _lines(draft)
    if lines is None:
        if not named and (every or epochs or at_start):
            fix = "--set sampling.prompts='[\"{trigger}, a lighthouse\"]'"
            draft.note("missing-prompts", "sampling.prompts", "Samples are asked for, but there are no prompts.", fix)
        return
    asked = prompts.parse(lines, draft.get("dataset.trigger"))
    if not asked.texts:
        return
    draft.put("sampling.prompts", asked.texts)
    _settings(draft, asked)
    if every and every != (draft.get("training.save_every_steps") or draft.get("training.steps")):
        draft.put("sampling.every_steps", every)
    elif epochs and not every:
        message = "Samples every so many epochs became samples with each checkpoint."
        draft.note("epochs-as-steps", "sampling.every_steps", message, "--set sampling.every_steps=100")
    if at_start:
        draft.put("sampling.at_start", value=True)


def _settings(draft: Draft, asked: prompts.Prompts) -> None:
    for name, value in asked.settings.items():
        if name == "guidance":
            draft.put("sampling.guidance", value)
            continue
        whole = int(value)
        if name in {"width", "height"}:
            whole = min(4096, max(64, round(whole / 16) * 16))
        elif name == "steps":
            whole = min(200, max(1, whole))
        if whole != value:
            draft.note(
                "value-adjusted", f"sampling.{name}", f"{value:g} became {whole}.", f"--set sampling.{name}={whole}"
            )
        draft.put(f"sampling.{name}", whole)
    if asked.differing:
        message = f"Prompts differ in {', '.join(asked.differing)}; what most of them say is used for all."
        draft.note("sample-flags", "sampling.prompts", message, "write the others as runs of their own")
    if asked.lost:
        message = f"{', '.join(asked.lost)} has no setting: samples are drawn without true CFG and negative prompts."
        draft.note("sample-flags", "sampling.prompts", message, "leave it out")


def _lines(draft: Draft) -> list[str] | None:
    name = draft.word("sample_prompts")
    if draft.source.prompts is not None:
        return [text(line) for line in draft.source.prompts]
    if name is None:
        return None
    path = files.referred(draft.source.base, name)
    content = files.read_text(path) if path else None
    lines = prompts.lines_of(content, name) if content is not None else None
    if lines is None:
        message = f"{name[:80]} can't be read here, so no samples are drawn."
        draft.note("file-not-read", "sampling.prompts", message, "--set sampling.prompts='[\"...\"]'")
    return lines
