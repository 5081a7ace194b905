"""The commented forge.toml that `init` writes."""

import tomli_w

from loraforge.config.profiles import PROFILES
from loraforge.presets import Preset


def forge_text(preset: Preset, *, images: str, trigger: str) -> str:
    """Return forge.toml: the few settings that are the user's own, and the preset's as comments to copy from.

    Args:
        preset: what the job starts from; its values stay in the preset, so that it can improve.
        images: folder of pictures, relative to the file or absolute.
        trigger: the trigger word.
    """
    own = tomli_w.dumps({"dataset": {"images": images, "trigger": trigger}, "output": {"name": _name(trigger)}})
    shown = "\n".join(f"# {line}".rstrip() for line in preset.text.strip().split("\n")[1:])
    cards = ", ".join(f'"{profile.name}"' for profile in PROFILES)
    return (
        f"# {preset.name}: {preset.purpose}\n"
        "# Settings not named here come from the preset, then from the defaults; see docs/settings.md.\n"
        f'preset = "{preset.name}"\n\n'
        f"{own}\n"
        "# [memory]\n"
        f'# profile = "auto"   # or the card to fit: {cards}\n'
        "\n# What the preset sets, and why. To change a value, write it above without the leading #.\n"
        f"{shown}\n"
    )


def _name(trigger: str) -> str:
    return "".join("-" if char in '/\\:*?"<>|.' else char for char in trigger)
