"""How lint compares with merely decoding the pictures, how much memory it takes, and how it grows.

    python benchmarks/lint_speed.py [--pictures 500] [--most 5000] [--rounds 2] > benchmarks/lint_speed.md

Decoding and linting run in child processes by turns on all cores; the best of the rounds counts. No text detection.
Processor seconds, all threads together, also compare where other programs take turns with them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))


def _decode(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def decode(folder: Path) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_decode, sorted(folder.iterdir())))


def look(folder: Path) -> None:
    from loraforge.dataset.lint import LintOptions, lint

    assert lint(folder, LintOptions(text=False)).subjects


def peak_mebibytes() -> float:
    """Return this process's own peak; getrusage would report that of the parent it was forked from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(task: str, folder: Path) -> tuple[float, float, float]:
    """Return seconds, processor seconds and peak MiB of a task, its imports included."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", task, str(folder)], capture_output=True, text=True, check=True
    )
    seconds, busy, peak = done.stdout.split()
    return float(seconds), float(busy), float(peak)


def large_pictures(folder: Path, count: int) -> None:
    """Write JPEGs of 12 megapixels: twenty drawings with grain, each copied under bytes of its own."""
    from make_sets import STYLES, draw

    folder.mkdir()
    data = []
    for index in range(20):
        drawn = draw(list(STYLES)[index % len(STYLES)], index, size=(1400, 1050))[0].resize((4000, 3000))
        grain = np.random.default_rng(index).normal(0, 5, (3000, 4000, 1))
        grained = Image.fromarray(np.clip(np.asarray(drawn) + grain, 0, 255).astype(np.uint8))
        grained.save(folder / "made.jpg", quality=92)
        data.append((folder / "made.jpg").read_bytes())
    (folder / "made.jpg").unlink()
    for index in range(count):
        (folder / f"{index:05}.jpg").write_bytes(data[index % 20] + index.to_bytes(4, "big"))


def small_pictures(folder: Path, start: int, stop: int) -> None:
    """Write pictures of 0.3 megapixels, all different."""
    folder.mkdir(exist_ok=True)
    for index in range(start, stop):
        cells = np.random.default_rng(index).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        picture = Image.fromarray(cells).resize((640, 480), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:05}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        start = time.perf_counter()
        {"decode": decode, "lint": look}[arguments.child[0]](Path(arguments.child[1]))
        print(time.perf_counter() - start, time.process_time(), peak_mebibytes())
        return
    with tempfile.TemporaryDirectory() as temporary:
        large = Path(temporary) / "large"
        large_pictures(large, arguments.pictures)
        rounds = [(child("decode", large), child("lint", large)) for _ in range(arguments.rounds)]
        decoded, linted = (min(pair[task] for pair in rounds) for task in range(2))
        print(f"# Speed of lint on {os.cpu_count()} cores\n", flush=True)
        print("| 12-megapixel JPEGs | seconds | processor seconds | peak memory |\n|---|---|---|---|")
        for what, (seconds, busy, peak) in (("merely decoded", decoded), ("linted", linted)):
            print(f"| {arguments.pictures} {what} | {seconds:.1f} | {busy:.1f} | {peak:.0f} MiB |")
        ratio, busy_ratio = linted[0] / decoded[0], linted[1] / decoded[1]
        print(f"\nLinting takes {ratio:.2f} times as long as decoding, {busy_ratio:.2f} times by processor seconds.\n")
        print("| 0.3-megapixel JPEGs | seconds | processor seconds | a picture | peak memory |", flush=True)
        print("|---|---|---|---|---|")
        small, made = Path(temporary) / "small", 0
        for count in filter(None, (arguments.most // 10, arguments.most // 2, arguments.most)):
            small_pictures(small, made, count)
            made = count
            seconds, busy, peak = child("lint", small)
            print(
                f"| {count} | {seconds:.1f} | {busy:.1f} | {1000 * busy / count:.1f} ms | {peak:.0f} MiB |", flush=True
            )


if __name__ == "__main__":
    main()
