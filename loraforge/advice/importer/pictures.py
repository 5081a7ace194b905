"""[dataset]: folder, trigger, resolution, repeats, buckets."""

import re

from loraforge.advice.importer import files
from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.folder import numbered
from loraforge.advice.importer.values import UnreadableError, number, shown, text

_CAPTIONS = ".txt"
_RESOLUTION = re.compile(r"\s*\d{1,6}\s*(?:,\s*\d{1,6}\s*)?")
_TRIGGER = re.compile(r"[^\s,\x00-\x1f\x7f]{1,64}")
_PATCH = 16
_ENGINE_STEP = 32  # what sd-scripts insists on for FLUX
_BUCKET_STEP = 64
_SUBSET_ONLY = ("is_reg", "conditioning_data_dir", "network_multiplier", "custom_attributes")


def pictures(draft: Draft) -> None:
    """Map what the source says about its pictures."""
    repeats = _repeats(draft)
    images = _images(draft, repeats)
    tokens = _text(draft, "class_tokens") or (images[1] if images else None)
    _captions(draft)
    _trigger(draft, tokens)
    _resolution(draft)
    batch = draft.whole("train_batch_size")
    if batch is not None:
        draft.put("dataset.batch_size", batch)
    _buckets(draft)
    for name in _SUBSET_ONLY:
        given = draft.source.data.pop(name, None)
        if given is not None and given.value not in (False, 1.0, 0, None, "", {}):
            draft.note("not-carried", given.where, "No setting stands for it.", "leave it out")


def settle_repeats(draft: Draft) -> None:
    """Leave repeats to loraforge where they just make the run one epoch of the pictures that are there."""
    steps, repeats, count = draft.get("training.steps"), draft.get("dataset.repeats"), draft.source.pictures
    if not steps or not repeats or not count:
        return
    shown = steps * draft.get("dataset.batch_size") * draft.get("training.gradient_accumulation")
    if repeats == max(1, -(-shown * draft.get("launch.processes") // count)):
        draft.values["dataset"].pop("repeats")


def _repeats(draft: Draft) -> int | None:
    given = draft.source.data.pop("num_repeats", None)
    if given is None:
        return 1 if draft.source.data else None
    try:
        plain = number(given.value)
    except (UnreadableError, ValueError):
        plain = 0.0
    if plain < 1 or not plain.is_integer():
        message = f"{shown(given.value)}: repeats are a whole number of at least 1."
        draft.note("unreadable-value", given.where, message, "1 is used")
        return 1
    if not isinstance(given.value, int):
        message = f"The engine stops at it: {shown(given.value)} is no whole number to it."
        draft.note("wrong-type", given.where, message, f"write num_repeats = {plain:.0f}")
    return int(plain)


def _text(draft: Draft, name: str) -> str | None:
    given = draft.source.data.pop(name, None)
    return text(given.value) or None if given is not None and isinstance(given.value, str) else None


def _images(draft: Draft, repeats: int | None) -> tuple[str, str] | None:
    """Set the folder and its repeats; return it with the class tokens of its name."""
    folder = _text(draft, "image_dir")
    data_dir = draft.word("train_data_dir")
    if folder is not None:
        _put_images(draft, folder, repeats or 1)
        return folder, ""
    if data_dir is None:
        if not draft.source.dataset_unread:
            draft.note(
                "missing-pictures", "dataset.images", "The source names no pictures.", "--set dataset.images=FOLDER"
            )
        return None
    found = numbered(draft.source.base, data_dir)
    if found is None:
        message = (
            "train_data_dir is taken as the folder of pictures; the engine reads only subfolders such as 20_name of it."
        )
        draft.note(
            "flat-data-folder",
            "dataset.images",
            message,
            f"nothing, where the pictures lie in it; else --set dataset.images={data_dir.rstrip('/')}/N_NAME",
        )
        _put_images(draft, data_dir, None)
        return data_dir, ""
    message = (
        f"{found.name} counts each picture {found.repeats} times; its name is the caption of pictures without one."
    )
    draft.note("numbered-folder", "dataset.repeats", message, "--set dataset.repeats=none lets the run be one epoch")
    if found.others:
        names = ", ".join(found.others[:5])
        draft.note("several-datasets", "dataset.images", f"Not taken: {names}.", "put all pictures into one folder")
    _put_images(draft, found.name, found.repeats)
    return found.name, found.tokens


def _put_images(draft: Draft, name: str, repeats: int | None) -> None:
    draft.put("dataset.images", name)
    if repeats is not None:
        draft.put("dataset.repeats", repeats)
    folder = files.folder(draft.source.base, name)
    if folder is not None:
        draft.source.pictures = files.count_pictures(folder) or None


def _captions(draft: Draft) -> None:
    extension = draft.word("caption_extension") or draft.word("caption_extention")
    if extension is None:
        if draft.get("dataset.images") is not None:
            draft.say_default("dataset.images")
    elif extension != _CAPTIONS:
        message = f"Captions are {extension} files; loraforge reads {_CAPTIONS} only."
        draft.note("caption-extension", "dataset.images", message, f"rename them to {_CAPTIONS}")


def _trigger(draft: Draft, tokens: str | None) -> None:
    phrase, prefix = draft.word("metadata_trigger_phrase"), draft.word("caption_prefix")
    for word in (phrase, prefix.strip(" ,") if prefix else None):
        if word and _TRIGGER.fullmatch(word):
            draft.put("dataset.trigger", word)
            break
    else:
        if tokens and (first := tokens.split()[0].strip(",")) and _TRIGGER.fullmatch(first):
            draft.put("dataset.trigger", first)
            message = (
                f'"{tokens}" would be the caption of pictures without one; loraforge writes {first} into every caption.'
            )
            draft.note("class-tokens", "dataset.trigger", message, "--set dataset.trigger=WORD")
        elif phrase or prefix or tokens:
            message = "What the source calls its trigger is not one word."
            draft.note("class-tokens", "dataset.trigger", message, "--set dataset.trigger=WORD")
    if prefix:
        message = "loraforge writes the trigger into every caption; the engine would lose the prefix with cached text."
        draft.note("caption-prefix", "dataset.trigger", message, "nothing, where the prefix is the trigger alone")


def _resolution(draft: Draft) -> None:
    value = draft.word("resolution")
    if value is None:
        if draft.source.kind != "folder" and not draft.source.dataset_unread:
            fix = "1024 is used; --set dataset.resolution=768 for another one"
            draft.note("missing-resolution", "dataset.resolution", "No resolution is given; the engine stops.", fix)
            draft.put("dataset.resolution", 1024)
        return
    numbers = [int(word) for word in re.findall(r"\d{1,6}", value)[:2]]
    if not _RESOLUTION.fullmatch(value):
        message = f'"{value[:40]}" can\'t be read: the engine takes one number, or two with a comma.'
        draft.note("unreadable-value", "dataset.resolution", message, f"{numbers or 1024} is used")
    sides = [min(8192, max(64, round(side / _PATCH) * _PATCH)) for side in numbers] or [1024]
    if sides != numbers:
        message = f"{value} does not fit FLUX's patches of 16 pixels, or the sizes loraforge takes."
        draft.note("value-adjusted", "dataset.resolution", message, f"{sides} is used")
    draft.put("dataset.resolution", sides[0] if len(set(sides)) == 1 else sides)


def _buckets(draft: Draft) -> None:
    enabled, no_upscale = draft.flag("enable_bucket"), draft.flag("bucket_no_upscale")
    step, low, high = draft.whole("bucket_reso_steps"), draft.whole("min_bucket_reso"), draft.whole("max_bucket_reso")
    if draft.source.kind == "folder" or (draft.source.dataset_unread and not enabled):
        return
    if not enabled:
        draft.put_default("dataset.buckets.enabled", value=False)
        return
    draft.put("dataset.buckets.enabled", value=True)
    draft.put("dataset.buckets.upscale", not no_upscale)
    multiple = max(_BUCKET_STEP, min(1024, round((step or _BUCKET_STEP) / _BUCKET_STEP) * _BUCKET_STEP))
    refused = step is not None and (step <= 0 or step % _ENGINE_STEP != 0)
    _adjusted(draft, "step", step, multiple, "FLUX needs multiples of 64", refused=refused)
    resolution = draft.get("dataset.resolution")
    sides = resolution if isinstance(resolution, list) else [resolution]
    smallest = (256 if low is None else low) // multiple * multiple
    fitting = max(multiple, min(smallest, min(sides) // multiple * multiple))
    why = "it must be a multiple of the step and not exceed the resolution"
    _adjusted(draft, "min", low, fitting, why, refused=smallest > min(sides))
    largest = -(-max(1024 if high is None else high, *sides, multiple) // multiple) * multiple
    largest = min(largest, 8192 // multiple * multiple)
    if high is None and largest == 1024:
        draft.put_default("dataset.buckets.max", largest)
    else:
        why = "it must be a multiple of the step and at least the resolution"
        refused = high is not None and -(-high // multiple) * multiple < max(sides)
        _adjusted(draft, "max", high, largest, why, refused=refused)


def _adjusted(draft: Draft, name: str, given: int | None, value: int, why: str, *, refused: bool) -> None:
    path = f"dataset.buckets.{name}"
    if given is not None and given != value:
        code = "engine-refuses" if refused else "value-adjusted"
        draft.note(code, path, f"{given} became {value}: {why}.", f"--set {path}={value}")
    if given is not None or value != draft.get(path):
        draft.put(path, value)
