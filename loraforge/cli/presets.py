"""`loraforge presets [NAME]`."""

import typer

from loraforge.cli.common import result
from loraforge.presets import presets as all_presets, read_preset


def presets(
    name: str | None = typer.Argument(None, metavar="NAME", help="Show this one with the reason behind each value."),
) -> int:
    """List the presets, or show one with the reason behind each value."""
    if name is not None:
        result(read_preset(name).text)
        return 0
    rows = [(preset.name, preset.purpose) for preset in all_presets()]
    width = max(len(name) for name, _ in rows)
    result("\n".join(f"{name:<{width}}  {purpose}" for name, purpose in rows))
    return 0
