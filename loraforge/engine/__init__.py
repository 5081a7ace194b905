"""Everything that knows sd-scripts, and its one-file stand-in."""
