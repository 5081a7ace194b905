"""docs/import.md, written from the registry: `python -m loraforge.advice.importer.page > docs/import.md` renews it."""

import sys

from loraforge.advice.importer.carried import NOT_CARRIED
from loraforge.advice.importer.defaults import DEFAULTS
from loraforge.advice.importer.findings import FAULTS


def page() -> str:
    """Return docs/import.md."""
    faults = "\n".join(f"| `{code}` | {severity} | {_cell(why)} |" for code, (severity, why) in FAULTS.items())
    defaults = "\n".join(
        f"| `{default.code}` | {default.severity} | `{path}` | {_cell(default.why)} | `{default.fix}` |"
        for path, default in DEFAULTS.items()
    )
    lost = "\n".join(f"| `{path}` | {reason} |" for path, reason in NOT_CARRIED.items())
    return f"""# Import

`loraforge import FILE|-` reads what people already have - a pasted bash, PowerShell or cmd command, a kohya
config or dataset TOML, a kohya_ss GUI export, a fluxgym folder, an `N_name` picture folder - and prints a
forge.toml that renders to the same training. What the source leaves unset takes the engine's own default, not
loraforge's, and a finding says so where the two differ. What would have kept the source from running is mended and
named.

```
loraforge import train.sh > forge.toml      # findings go to stderr
loraforge import - < pasted.txt             # the same from a pipe
loraforge import gui.json --json            # one JSON document: toml, values, findings
```

It exits with 0 as soon as a forge.toml comes out, whatever was wrong with the source, and with 2 when nothing can
be made of it. An **error** kept the source from training as written, a **warning** trained otherwise than its
reader would expect, an **info** had no effect. This page is generated; `loraforge/advice/importer/` is its source.

## Defaults left unset

| Code | Severity | Setting | Why it matters | What to do |
|---|---|---|---|---|
{defaults}

## Faults

| Code | Severity | Meaning |
|---|---|---|
{faults}

## What a rendered run does not carry

Importing a config.toml that loraforge rendered gives the settings back, except for these:

| Setting | Why |
|---|---|
{lost}
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
