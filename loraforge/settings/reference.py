"""docs/settings.md, generated from the fields: `python -m loraforge.settings.reference > docs/settings.md`."""

import json
import sys

from loraforge.settings.meaning import meanings
from loraforge.settings.schema import Setting, sections, settings

_HEAD = """\
# Settings

Every setting of forge.toml, generated from the code by `python -m loraforge.settings.reference`.
A setting that takes `"none"` is unset by it. Layers: default < preset < file < `--set section.key=value`.
"""


def reference() -> str:
    """Return the page."""
    lines = [_HEAD, *_table("", "At the top of the file.")]
    for section, sentence in sections().items():
        lines += [f"\n## [{section}]\n", *_table(section, sentence)]
    return "\n".join(lines).rstrip() + "\n"


def _table(section: str, sentence: str) -> list[str]:
    rows = [setting for path, setting in settings().items() if path.rpartition(".")[0] == section]
    head = [f"{sentence}\n", "| setting | default | takes | meaning |", "|---|---|---|---|"]
    return [*head, *(_row(setting) for setting in rows)] if rows else [sentence]


def _row(setting: Setting) -> str:
    default = '"none"' if setting.default is None else json.dumps(setting.default)
    cells = (f"`{setting.path.rpartition('.')[2]}`", f"`{default}`", setting.allowed, meanings()[setting.path])
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(reference())
