import json
import os
import random
import subprocess
import sys

import pytest

from loraforge.config.dataset import Buckets
from loraforge.dataset.buckets import bucket_for, make_buckets
from loraforge.errors import DatasetError

# Runs inside the engine's folder; the engine is executed there, never imported here.
ENGINE_CHILD = """
import json, sys
sys.path.insert(0, ".")
from library.train_util import BucketManager
answers = []
for case in json.load(sys.stdin):
    manager = BucketManager(case["no_upscale"], tuple(case["area"]), case["min"], case["max"], case["step"])
    if not case["no_upscale"]:
        manager.make_buckets()
    rows = []
    for width, height in case["sizes"]:
        try:
            bucket, resized, _ = manager.select_bucket(width, height)
            rows.append([list(bucket), list(resized)] if min(bucket) > 0 else None)
        except ZeroDivisionError:
            rows.append(None)
    answers.append({"table": [list(b) for b in getattr(manager, "predefined_resos", [])], "rows": rows})
json.dump(answers, sys.stdout)
"""


def _cases() -> list[dict]:
    rng = random.Random(7)  # noqa: S311  # test data
    cases = []
    for no_upscale in (True, False):
        for area in ((1024, 1024), (512, 512), (768, 768), (1216, 832), (1000, 1000)):
            for shortest, longest in ((256, 2048), (512, 1536)):
                step = rng.choice([64, 128])
                sizes = [(rng.randint(40, 6000), rng.randint(40, 6000)) for _ in range(150)]
                sizes += [(rng.randint(1, 48) * 64, rng.randint(1, 48) * 64) for _ in range(60)] + [
                    (1024, 1024),
                    (832, 1216),
                ]
                case = {"no_upscale": no_upscale, "area": area, "min": shortest, "max": longest, "step": step}
                cases.append({**case, "sizes": sizes})
    return cases


@pytest.mark.engine
def test_equals_the_engine(engine_home):
    """Bucket, resized size and table are those of the engine's own BucketManager on some 4,000 random sizes."""
    cases = _cases()
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_CHILD],
        cwd=engine_home.path,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    compared = 0
    for case, answer in zip(cases, json.loads(done.stdout[done.stdout.index("[") :]), strict=True):
        if not case["no_upscale"]:
            table = make_buckets(tuple(case["area"]), case["min"], case["max"], case["step"])
            assert [list(bucket) for bucket in table] == answer["table"]
        settings = Buckets(upscale=not case["no_upscale"], step=case["step"], min=case["min"], max=case["max"])
        for size, expected in zip(case["sizes"], answer["rows"], strict=True):
            compared += 1
            if expected is None:
                with pytest.raises(DatasetError):
                    bucket_for(size, list(case["area"]), settings)
            else:
                placed = bucket_for(size, list(case["area"]), settings)
                assert [list(placed.bucket), list(placed.resized)] == expected, (size, case)
    assert compared == 20 * 212


@pytest.mark.parametrize(
    ("size", "settings", "bucket", "resized", "upscaled"),
    [
        ((1536, 1024), Buckets(), (1216, 832), (1248, 832), False),
        ((800, 600), Buckets(), (768, 576), (800, 600), False),
        ((800, 600), Buckets(upscale=True), (1152, 896), (1195, 896), True),
        ((4000, 4000), Buckets(), (1024, 1024), (1024, 1024), False),
        ((600, 900), Buckets(enabled=False), (1024, 1024), (1024, 1536), True),
    ],
)
def test_known_places(size, settings, bucket, resized, upscaled):
    """Well-known shapes go where the engine's log shows them."""
    placed = bucket_for(size, 1024, settings)
    assert placed.bucket == bucket
    assert placed.upscaled is upscaled
    if resized:
        assert placed.resized == resized


def test_crop_is_centred_and_measured():
    """The crop box is the centre, and its area is what cropped_percent leaves."""
    placed = bucket_for((2000, 1000), 1024, Buckets(enabled=False))
    assert placed.cropped_percent == pytest.approx(50)
    assert placed.crop_box == pytest.approx((0.25, 0.0, 0.75, 1.0))


def test_too_narrow_is_an_error():
    """A side shorter than the bucket step is refused rather than divided by."""
    for size in ((63, 500), (30_000, 100)):
        with pytest.raises(DatasetError, match="pixels"):
            bucket_for(size, 1024, Buckets())
