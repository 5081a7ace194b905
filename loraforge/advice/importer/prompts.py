"""Sample prompts as kohya writes them: one a line, with --w, --h, --d, --s, --g behind."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from loraforge.advice.importer.values import number, text

_FLAG = re.compile(r"([a-zA-Z]{1,4})\s+(.+)", re.DOTALL)
# The engine's flag -> (the name in its JSON, our setting, the engine's default).
_FLAGS: Mapping[str, tuple[str, float]] = {
    "w": ("width", 512),
    "h": ("height", 512),
    "s": ("steps", 20),
    "g": ("guidance", 3.5),
    "d": ("seed", 1),  # unset it is random; ours stays the same, so that checkpoints can be compared
}
_MOST = 200


@dataclass(slots=True)
class Prompts:
    """What a prompt file asks for.

    Attributes:
        texts: the prompts without flags.
        settings: our sampling settings by name; where prompts differ, what most of them say.
        differing: settings that differ between prompts.
        lost: flags that have no setting, such as `--n`.
    """

    texts: list[str] = field(default_factory=list)
    settings: dict[str, float] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def lines_of(content: str, name: str) -> list[str] | None:
    """Return the prompts of a file as lines; None where its JSON or TOML can't be read."""
    if name.lower().endswith(".json"):
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return [line for item in data if (line := _json_line(item))] if isinstance(data, list) else None
    if name.lower().endswith(".toml"):
        return None
    return content.split("\n")


def parse(lines: Sequence[str], trigger: str | None) -> Prompts:
    """Read prompts; the trigger as a word becomes `{trigger}`."""
    prompts = Prompts()
    seen: dict[str, list[float]] = {name: [] for name, _ in _FLAGS.values()}
    for line in lines:
        if len(prompts.texts) >= _MOST:
            break
        if not line.strip() or line.startswith("#"):
            continue
        words, *flags = line.strip()[:4096].split(" --")
        told = dict(_FLAGS.values())
        for flag in flags:
            _take(flag, told, prompts.lost)
        prompt = _with_place(text(words), trigger)
        if not prompt or prompt.startswith(("--", "#")) or len(prompt) > 2000:
            continue
        prompts.texts.append(prompt)
        for name, value in told.items():
            seen[name].append(value)
    for name, values in seen.items():
        if values:
            prompts.settings[name] = Counter(values).most_common(1)[0][0]
            if len(set(values)) > 1:
                prompts.differing.append(name)
    return prompts


def _take(flag: str, told: dict[str, float], lost: list[str]) -> None:
    match = _FLAG.match(flag)
    name = match[1].lower() if match else flag.strip().partition(" ")[0][:20]
    if match and name in _FLAGS:
        try:
            told[_FLAGS[name][0]] = number(match[2].split()[0])
        except (ValueError, IndexError, OverflowError):
            lost.append(f"--{name}")
        return
    harmless = match is not None and name == "l" and match[2].strip() in {"1", "1.0"}
    if not harmless and f"--{name}" not in lost and len(lost) < 20:
        lost.append(f"--{name}")


def _with_place(prompt: str, trigger: str | None) -> str:
    if not trigger:
        return prompt
    return re.sub(rf"(?<![\w]){re.escape(trigger)}(?![\w])", "{trigger}", prompt)


def _json_line(item: object) -> str:
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return ""
    keys = {
        "width": "w",
        "height": "h",
        "sample_steps": "s",
        "guidance_scale": "g",
        "seed": "d",
        "scale": "l",
        "negative_prompt": "n",
    }
    flags = "".join(f" --{flag} {item[key]}" for key, flag in keys.items() if item.get(key) is not None)
    return f"{item.get('prompt', '')}{flags}".replace("\n", " ")
