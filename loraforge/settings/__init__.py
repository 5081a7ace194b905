"""From layers of TOML to one validated Job that remembers who set what."""

from loraforge.settings.load import Settings, load

__all__ = ["Settings", "load"]
