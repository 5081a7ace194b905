"""`loraforge check` on 30 pictures of 12 megapixels: the first time, and again with what it has remembered.

usage: python benchmarks/check_speed.py [--rounds N]     -> the table of check_speed.md

Each row is a process of its own, imports included, on a machine with no GPU. The bar is a second, warm, on two cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lint_speed import large_pictures  # beside this script
from PIL import features

REPOSITORY = Path(__file__).resolve().parents[1]


def timed(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return a child's seconds and processor seconds."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 2, 3}, done.stderr
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, busy


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    sys.path.insert(0, str(REPOSITORY / "tests" / "support"))
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch, "pictures")
        large_pictures(pictures, 30)
        for path in pictures.iterdir():
            path.with_suffix(".txt").write_text(f"zxqv, a house by lake number {path.stem}", encoding="utf-8")
        environ = {**os.environ, "XDG_CACHE_HOME": f"{scratch}/cache"}
        check = [sys.executable, "-m", "loraforge", "check", "--json", "--images", str(pictures), "--trigger", "zxqv"]
        check += ["--vram", "24"]
        traced = [sys.executable, "-X", "importtime", *check[1:]]
        cold = timed(check, environ)
        warm = [timed(check, environ) for _ in range(rounds)]
        told = subprocess.run(traced, env=environ, capture_output=True, text=True, check=False).stderr
        start = [timed([sys.executable, "-c", "import pydantic, typer, rich"], environ) for _ in range(rounds)]
    assert "| torch\n" not in told
    assert "pydantic" in told
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, Pillow with libjpeg-turbo ", end="")
    print(f"{features.version('libjpeg_turbo')}; the best of {rounds}; torch is not imported.\n")
    print("| | seconds | processor seconds |\n|---|---|---|")
    rows = {"first time": cold, "again": min(warm), "importing pydantic, typer and rich alone": min(start)}
    for name, (seconds, _) in rows.items():
        busy = {"again": min(row[1] for row in warm), "first time": cold[1]}.get(name, min(row[1] for row in start))
        print(f"| {name} | {seconds:.2f} | {busy:.2f} |")


if __name__ == "__main__":
    main()
