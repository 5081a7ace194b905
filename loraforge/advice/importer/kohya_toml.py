"""kohya's two TOML files: the config, one level deep, and the dataset's datasets and subsets."""

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from loraforge.advice.importer.command import MOST_FINDINGS, unknown
from loraforge.advice.importer.findings import found
from loraforge.advice.importer.source import Given, Source
from loraforge.advice.importer.values import shown
from loraforge.engine.options import Option
from loraforge.errors import ConfigError
from loraforge.findings import Finding
from loraforge.toml_file import parse_toml

_LINE = re.compile(r"\s*(?:\[\[?[\w. \"'-]+\]\]?|[\w.\"'-]+\s*=.*|#.*)?\s*")
_OPTION = re.compile(r"(?:^|\s)--[A-Za-z]\w{3}", re.MULTILINE)
_KEY = re.compile(r"^\s*[\w\"'-]+\s*=", re.MULTILINE)
_HALF_ESCAPED = re.compile(r"(?:[A-Za-z]:|\.{1,2})\\(?!\\)")  # a Windows path whose \t and \n TOML would take
_BASIC = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_BOOLEAN = re.compile(r"^(\s*[\w-]+\s*=\s*)(True|False)(?=\s*(?:#.*)?$)", re.MULTILINE)
# A key of a dataset file -> the option of the same meaning.
DATA_KEYS: Mapping[str, str] = {"batch_size": "train_batch_size"}
# All that the engine lets stand in one (library/config_util.py, ConfigSanitizer).
_ALLOWED = frozenset({
    "alpha_mask", "batch_size", "bucket_no_upscale", "bucket_reso_steps", "cache_info",
    "caption_dropout_every_n_epochs", "caption_dropout_rate", "caption_extension", "caption_prefix",
    "caption_separator", "caption_suffix", "caption_tag_dropout_rate", "class_tokens", "color_aug",
    "conditioning_data_dir", "custom_attributes", "enable_bucket", "enable_wildcard", "face_crop_aug_range",
    "flip_aug", "image_dir", "is_reg", "keep_tokens", "keep_tokens_separator", "max_bucket_reso", "metadata_file",
    "min_bucket_reso", "network_multiplier", "num_repeats", "random_crop", "resize_interpolation", "resolution",
    "secondary_separator", "shuffle_caption", "token_warmup_min", "token_warmup_step", "validation_seed",
    "validation_split",
})  # fmt: skip
_TRUTHS = frozenset({
    "alpha_mask", "bucket_no_upscale", "cache_info", "color_aug", "enable_bucket", "enable_wildcard", "flip_aug",
    "is_reg", "random_crop", "shuffle_caption",
})  # fmt: skip


def looks_like(text: str) -> bool:
    """Tell whether a text means to be TOML: it assigns, and hardly a line is anything else."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not _KEY.search(text) or _OPTION.search(text):
        return False
    return sum(_LINE.fullmatch(line) is not None for line in lines) * 2 > len(lines)


def parse(text: str, name: str) -> tuple[dict[str, Any], list[Finding]]:
    """Parse TOML, mending what the engine's parser would stop at or take for something else.

    Raises:
        ConfigError: it is not TOML after that either.
    """
    paths = _BASIC.sub(_half_escaped, text)
    try:
        values = parse_toml(paths, name)
        if paths == text:
            return values, []
        with suppress(ConfigError):
            if parse_toml(text, name) == values:  # only a comment was touched
                return values, []
    except ConfigError as fault:
        mended = _BOOLEAN.sub(lambda match: match[1] + match[2].lower(), _BASIC.sub(_slashes, text))
        if mended == text:
            raise
        try:
            values = parse_toml(mended, name)
        except ConfigError:
            raise fault from None
    message = "It is not TOML as meant: backslashes in double quotes, or True and False in capitals, were mended."
    return values, [found("toml-mended", name, message, "write paths with / and booleans in lower case")]


def read_config(values: Mapping[str, Any], options: Mapping[str, Option], source: Source, name: str) -> None:
    """Take a config's options; what the command line gave before beats them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):  # the engine forgets the names of tables
            flat |= value
        else:
            flat[key] = value
    for key, value in flat.items():
        where = f"{name}: {key}"
        if key in options:
            source.options.setdefault(key, Given(value, where, typed=True))
        elif len(source.findings) < MOST_FINDINGS:
            message = "The engine ignores it in a file without a word: it has no such option."
            source.findings.append(found("unknown-option", where, message, unknown(where, options).fix))


def is_dataset(values: Mapping[str, Any]) -> bool:
    """Tell whether parsed TOML or JSON is a dataset file."""
    return isinstance(values.get("datasets"), list)


def read_dataset(values: Mapping[str, Any], source: Source, name: str) -> None:
    """Take one subset with what its dataset and [general] say; the innermost wins."""
    sets = [entry for entry in values.get("datasets", []) if isinstance(entry, dict)]
    general = values.get("general")
    merged: dict[str, Any] = {key: value for key, value in values.items() if key not in {"datasets", "general"}}
    above = tuple(merged)
    for key in above[:MOST_FINDINGS]:
        message = "The engine stops at it: above [[datasets]] only [general] is allowed."
        source.findings.append(found("unknown-option", f"{name}: {key}", message, "write it below [general]"))
    merged |= general if isinstance(general, dict) else {}
    choices = [
        (entry, subset)
        for entry in sets
        for subset in (entry.get("subsets") if isinstance(entry.get("subsets"), list) else None) or [{}]
        if isinstance(subset, dict)
    ]
    real = [pair for pair in choices if pair[1].get("is_reg") is not True] or choices
    if not real:
        return
    # The largest resolution is the one whose detail the LoRA keeps.
    entry, subset = max(real, key=lambda pair: _size(pair[0].get("resolution")))
    if len(choices) > 1:
        message = f"It has {len(choices)} subsets; the first one of the largest resolution was taken."
        fix = "put the pictures of all subsets into one folder, or train the others in runs of their own"
        source.findings.append(found("several-datasets", name, message, fix))
    inside = {**merged, **entry, **subset}
    for key in [key for key in inside if key not in _ALLOWED and key != "subsets" and key not in above][:MOST_FINDINGS]:
        nearest = get_close_matches(key, _ALLOWED, n=1)
        fix = f"did you mean {nearest[0]}?" if nearest else "leave it out"
        message = "The engine stops at it: no key of a dataset file."
        source.findings.append(found("unknown-option", f"{name}: {key}", message, fix))
    merged |= {key: value for key, value in entry.items() if key != "subsets"} | subset
    for key in [key for key in merged if isinstance(merged[key], str) and key in {*_TRUTHS, "resolution"}]:
        message = f"The engine stops at it: {shown(merged[key])} is text."
        fix = "write it without quotes" if key in _TRUTHS else "write a number, or [width, height]"
        source.findings.append(found("wrong-type", f"{name}: {key}", message, fix))
        if key in _TRUTHS:
            merged[key] = merged[key].strip().lower() == "true"
    source.data = {DATA_KEYS.get(key, key): Given(value, f"{name}: {key}", typed=True) for key, value in merged.items()}


def _size(resolution: object) -> float:
    sides = resolution if isinstance(resolution, list) else [resolution]
    numbers = [side for side in sides if isinstance(side, int | float) and side == side]  # noqa: PLR0124  # not NaN
    return float(min(max(numbers, default=0), 1e9))


def _half_escaped(match: re.Match[str]) -> str:
    return _slashes(match) if _HALF_ESCAPED.match(match[1]) else match[0]


def _slashes(match: re.Match[str]) -> str:
    # Escapes that TOML knows stay unless the whole is a Windows path.
    body = match[1]
    return (
        f'"{body.replace(chr(92) * 2, "/").replace(chr(92), "/")}"'
        if re.match(r"[A-Za-z]:\\|\\\\|\.{1,2}\\", body)
        else match[0]
    )
