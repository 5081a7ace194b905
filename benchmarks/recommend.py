"""Recommend a checkpoint of random synthetic runs whose right answer is known, and count.

    python benchmarks/recommend.py [--first 7000] [--cases 100] > benchmarks/recommend.md

A run morphs pictures from photograph-like to one of many random hands, and from there to over-cooked (saturated, hard,
sharpened, drifting to training pictures); some never ripen, some are ripe at once, some stay flat. Right is a step at
which the style is at least 88% of the most it reaches and over-cooking below 8%, by the morph's own parameters, and
"cannot tell" for flat runs only. The rules were made with seeds 0 to 99, 1000 to 1039 and 3000 to 3099 in sight; the
record is of a hundred that were looked at once, after everything was set.
"""

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from morphs import advise, draw_case


def judge_case(seed: int, *, base: bool) -> tuple[str, str]:
    case = draw_case(seed)
    if not base:
        case = replace(case, base=[], plain_base=[])
    advice = advise(case)
    right = advice.step in case.right if case.right else advice.step is None
    return case.kind, "right" if right else "cannot tell" if advice.step is None else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=7000, help="seed of the first case")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.cases)
    command = f"python benchmarks/recommend.py --first {asked.first} --cases {asked.cases}"
    print(f"# Recommendations on synthetic runs\n\n`{command}`: seeds {seeds[0]} to {seeds[-1]}")
    for base, title in ((True, "with a base-model row"), (False, "without one")):
        with ProcessPoolExecutor(2) as pool:
            found = list(pool.map(partial(judge_case, base=base), seeds))
        verdicts = Counter(verdict for _, verdict in found)
        print(f"\n## {title}: {verdicts['right']} of {asked.cases} right\n")
        print("| run | right | cannot tell | wrong |\n|---|--:|--:|--:|")
        for kind in sorted({kind for kind, _ in found}):
            own = Counter(verdict for other, verdict in found if other == kind)
            print(f"| {kind} | {own['right']} | {own['cannot tell']} | {own['wrong']} |")


if __name__ == "__main__":
    main()
