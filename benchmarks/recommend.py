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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from morphs import Case, advise, draw_case


def judge_case(seed: int) -> tuple[str, list[str]]:
    """Return the kind of a run, and what became of it with a base-model row and without one."""
    case = draw_case(seed)
    return case.kind, [_verdict(case), _verdict(replace(case, base=[], plain_base=[]))]


def _verdict(case: Case) -> str:
    step = advise(case).step
    if step in case.right or (step is None and not case.right):
        return "right"
    return "cannot tell" if step is None else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--first", type=int, default=7000, help="seed of the first case")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.cases)
    command = f"python benchmarks/recommend.py --first {asked.first} --cases {asked.cases}"
    print(f"# Recommendations on synthetic runs\n\n`{command}`: seeds {seeds[0]} to {seeds[-1]}")
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(judge_case, seeds))
    for place, title in enumerate(("with a base-model row", "without one")):
        own = [(kind, verdicts[place]) for kind, verdicts in found]
        right = sum(verdict == "right" for _, verdict in own)
        print(f"\n## {title}: {right} of {asked.cases} right\n")
        print("| run | right | cannot tell | wrong |\n|---|--:|--:|--:|")
        for kind in sorted({kind for kind, _ in own}):
            count = Counter(verdict for other, verdict in own if other == kind)
            print(f"| {kind} | {count['right']} | {count['cannot tell']} | {count['wrong']} |")


if __name__ == "__main__":
    main()
