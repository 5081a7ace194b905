"""Entry point: run a verb, turn what went wrong into words and an exit code."""

import os
import sys


def main() -> None:
    """Run loraforge."""
    # Pydantic would read the metadata of every installed package in search of plugins; none of them concerns us.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from loraforge.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
