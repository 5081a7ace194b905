"""Throw damaged settings and damaged commands at loraforge for a while: words must come of it, never a crash or a hang.

usage: python benchmarks/fuzz.py [SECONDS]     default 600, shared equally by the settings loader and `import`
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loraforge.advice.importer import import_text
from loraforge.engine.options import snapshot
from loraforge.errors import LoraforgeError
from loraforge.presets import presets
from loraforge.run.plan import job_text
from loraforge.settings import load
from loraforge.settings.schema import settings

SLOW = 2.0  # seconds after which a call counts as a hang
PIECES = [
    "",
    " ",
    "=",
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    "\n",
    "\\",
    "#",
    "\0",
    "é",
    "\ud7ff",
    "none",
    "true",
    "-1",
    "1e400",
    "nan",
    "[[",
    ",",
]
COMMAND = """accelerate launch --mixed_precision bf16 flux_train_network.py --network_dim 16 \\
  --network_alpha 16 --learning_rate 1e-4 --optimizer_type adafactor --optimizer_args "relative_step=False" \\
  --max_train_steps 500 --resolution "1024,1024" --train_data_dir ./x --output_name "a b" # comment"""


def damaged(text: str, chance: random.Random) -> str:
    """Cut, repeat, replace and insert at random places."""
    for _ in range(chance.randint(1, 8)):
        at, to = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        to = min(to, at + 40)
        piece = chance.choice(
            [*PIECES, text[at:to] * chance.randint(1, 3), chance.choice(list(settings())), str(chance.random())]
        )
        text = text[:at] + piece + text[to if chance.random() < 0.5 else at :]
    return text


def fuzz(name: str, seconds: float, one: Callable[[random.Random], None]) -> int:
    """Call `one` with ever new seeds; return how many crashed or hung."""
    until, runs, refused, bad, slowest = time.monotonic() + seconds, 0, 0, 0, 0.0
    while time.monotonic() < until:
        began = time.perf_counter()
        try:
            one(random.Random(runs))  # noqa: S311  # a seed, so that a find can be repeated
        except LoraforgeError:
            refused += 1
        except Exception as fault:  # noqa: BLE001  # exactly what is looked for
            bad += 1
            print(f"{name}: seed {runs}: {type(fault).__name__}: {fault}")
        taken = time.perf_counter() - began
        slowest, runs = max(slowest, taken), runs + 1
        if taken > SLOW:
            bad += 1
            print(f"{name}: seed {runs - 1}: took {taken:.1f} s")
    told = f"{refused} refused in words, {bad} crashed or hung, slowest {slowest:.2f} s"
    print(f"{name}: {runs} inputs in {seconds:.0f} s, {told}")
    return bad


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    sources = [preset.text for preset in presets()] + [
        job_text(load(None, preset=preset.name, cwd=Path.cwd()).job) for preset in presets()
    ]
    options = snapshot()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "forge.toml"

        def settings_loader(chance: random.Random) -> None:
            file.write_text(damaged(chance.choice(sources), chance), encoding="utf-8", errors="replace")
            assignments = [damaged("network.rank=16", chance).replace("\0", "")] if chance.random() < 0.3 else []
            load(file, cwd=Path(name), assignments=assignments)

        def importer(chance: random.Random) -> None:
            import_text(damaged(chance.choice([COMMAND, *sources]), chance), name="fuzz", base=None, options=options)

        return min(1, fuzz("settings", seconds / 2, settings_loader) + fuzz("import", seconds / 2, importer))


if __name__ == "__main__":
    sys.exit(main())
