"""How long `loraforge --help` and `loraforge check` take to start, against importing the libraries they stand on.

usage: python benchmarks/startup.py        prints the medians of ten runs each, taken in turn, and their ratios
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

BASE = [sys.executable, "-c", "import pydantic, typer, rich"]
RUNS = 10


def picture_folder(home: Path) -> Path:
    """Make twenty small pictures, so that check has something to look at."""
    folder = home / "pics"
    folder.mkdir()
    for index in range(20):
        Image.new("RGB", (64, 64), (index * 12, 90, 40)).save(folder / f"{index}.png")
    return folder


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        pictures = picture_folder(Path(name))
        check = ["check", "--images", str(pictures), "--trigger", "zx_q", "--json"]
        commands = {
            "import pydantic, typer, rich": BASE,
            "loraforge --help": [sys.executable, "-m", "loraforge", "--help"],
            "loraforge check --help": [sys.executable, "-m", "loraforge", "check", "--help"],
            "loraforge check, 20 pictures": [sys.executable, "-m", "loraforge", *check],
        }
        seconds: dict[str, list[float]] = {label: [] for label in commands}
        for turn in range(RUNS + 1):
            for label, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, check=False, capture_output=True, cwd=name)
                if turn:  # the first turn warms the disk cache
                    seconds[label].append(time.perf_counter() - began)
    base = statistics.median(seconds["import pydantic, typer, rich"])
    for label, times in seconds.items():
        median = statistics.median(times)
        print(f"{label:<30} {median:6.3f} s   {median / base:5.2f}x   (min {min(times):.3f}, max {max(times):.3f})")


if __name__ == "__main__":
    main()
