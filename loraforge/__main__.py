"""Entry point: run a verb, turn what went wrong into words and an exit code."""

import sys


def main() -> None:
    """Run loraforge."""
    from loraforge.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
