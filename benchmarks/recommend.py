"""Recommend a checkpoint of random synthetic runs whose right answer is known, and count.

    python benchmarks/recommend.py [--cases 100] > benchmarks/recommend.md

A run morphs pictures from photograph-like to one of many random hands, and from there to over-cooked (saturated, hard,
sharpened, drifting to training pictures); some never ripen, some are ripe at once, some stay flat. Right is a step at
which the style is at least 88% of the most it reaches and over-cooking below 8%, by the morph's own parameters, and
"cannot tell" for flat runs only. The weights in scores.py were set on seeds 1000 to 1039; these are 0 to 99.
"""

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from morphs import draw_case

from loraforge.compare.recommend import Recommendation, recommend
from loraforge.compare.scores import Reference, curve


def judge_case(seed: int, *, base: bool) -> tuple[str, str]:
    case = draw_case(seed)
    if not base:
        case = replace(case, base=[], plain_base=[])
    advice = _advice(case)
    right = advice.step in case.right if case.right else advice.step is None
    return case.kind, "right" if right else "cannot tell" if advice.step is None else "wrong"


def _advice(case) -> Recommendation:
    reference = Reference(case.training, case.base)
    curves = []
    for step in case.steps:
        bases = case.base or [None] * len(case.cells[step])
        scores = [reference.score(look, base) for look, base in zip(case.cells[step], bases, strict=True)]
        plain = zip(case.plain[step], case.plain_base, strict=True) if case.plain_base else ()
        curves.append(curve(step, scores, [reference.score(look, base).style for look, base in plain]))
    return recommend(curves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    cases = parser.parse_args().cases
    print("# Recommendations on synthetic runs\n\n`python benchmarks/recommend.py`, seeds 0 to", cases - 1)
    for base, title in ((True, "with a base-model row"), (False, "without one")):
        with ProcessPoolExecutor(2) as pool:
            found = list(pool.map(partial(judge_case, base=base), range(cases)))
        verdicts = Counter(verdict for _, verdict in found)
        print(f"\n## {title}: {verdicts['right']} of {cases} right\n")
        print("| run | right | cannot tell | wrong |\n|---|--:|--:|--:|")
        for kind in sorted({kind for kind, _ in found}):
            own = Counter(verdict for other, verdict in found if other == kind)
            print(f"| {kind} | {own['right']} | {own['cannot tell']} | {own['wrong']} |")


if __name__ == "__main__":
    main()
