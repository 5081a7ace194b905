import random
import time

import numpy as np
import pytest

from loraforge.dataset.similarity import (
    NEAR_BITS,
    Print,
    duplicate_groups,
    outliers,
    outliers_in_embedding,
    shared_composition,
)

THUMB = bytes((place * 7) % 251 for place in range(256))


def _mirror(thumb: bytes) -> bytes:
    return np.frombuffer(thumb, np.uint8).reshape(16, 16)[:, ::-1].tobytes()


def _flipped(value: int, bits: int, rng: random.Random) -> int:
    for bit in rng.sample(range(64), bits):
        value ^= 1 << bit
    return value


@pytest.mark.parametrize("bits", range(12))
def test_near_hashes_are_found_whatever_bits_differ(bits):
    """Up to NEAR_BITS differing bits are always found, more never, in 200 random places."""
    rng = random.Random(bits)  # noqa: S311  # test data
    for _ in range(200):
        value = rng.getrandbits(64)
        prints = [
            Print(value, rng.getrandbits(64), THUMB),
            Print(_flipped(value, bits, rng), rng.getrandbits(64), THUMB),
        ]
        assert bool(duplicate_groups(prints)) is (bits <= NEAR_BITS)


def test_hashes_are_confirmed_by_thumbs():
    """Equal hashes of different pictures are no duplicates."""
    other = bytes((place * place) % 251 for place in range(256))
    assert duplicate_groups([Print(5, 9, THUMB), Print(5, 9, other)]) == []


@pytest.mark.parametrize(("aspect", "same"), [(1.5, True), (1.6, True), (1.0, False), (1 / 1.5, False)])
def test_a_copy_keeps_its_shape(aspect, same):
    """A border may be gone; a landscape is no copy of a portrait, however alike both are when squeezed."""
    assert bool(duplicate_groups([Print(5, 9, THUMB, 1.5), Print(5, 9, THUMB, aspect)])) is same
    turned = [Print(5, 9, THUMB, 1.5), Print(9, 5, _mirror(THUMB), aspect)]
    assert bool(duplicate_groups(turned)) is same


def test_chains_and_mirrors_are_one_group():
    """A copy of a copy and a mirrored copy belong together."""
    mirrored = _mirror(THUMB)
    rng = random.Random(1)  # noqa: S311  # test data
    first, flipped = rng.getrandbits(64), rng.getrandbits(64)
    prints = [
        Print(first, flipped, THUMB),
        Print(_flipped(first, 6, rng), rng.getrandbits(64), THUMB),
        Print(rng.getrandbits(64), rng.getrandbits(64), THUMB),
        Print(flipped, first, mirrored),
    ]
    assert duplicate_groups(prints) == [[0, 1, 3]]


def test_five_thousand_strangers_take_a_moment():
    """The search is not quadratic: 5,000 pictures take well under the time of comparing all pairs."""
    rng = random.Random(3)  # noqa: S311  # test data
    prints = [Print(rng.getrandbits(64), rng.getrandbits(64), THUMB) for _ in range(5000)]
    prints[4000] = prints[17]
    start = time.process_time()
    assert duplicate_groups(prints) == [[17, 4000]]
    assert time.process_time() - start < 10


def _bulk(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    # Subjects move the numbers along two directions; a hand differs across them.
    subject = rng.normal(0, 0.5, (count, 2)) @ rng.normal(0, 0.5, (2, 27))
    return subject + rng.normal(0, 0.05, (count, 27))


@pytest.mark.parametrize("count", [20, 60, 150])
def test_one_hand_has_no_outliers(count):
    """A set that varies along its subjects is left alone, whatever its size."""
    assert all(outliers(_bulk(count, seed)) == [] for seed in range(5))


@pytest.mark.parametrize("strangers", [1, 3, 5])
def test_strangers_are_outliers(strangers):
    """A minority that differs across the directions of the subjects is found, all of it and nothing else."""
    table = _bulk(20)
    table[:strangers] += np.random.default_rng(9).normal(0, 0.6, 27)
    assert {index for index, _ in outliers(table)} == set(range(strangers))


def test_strangers_come_in_company():
    """One that is not quite far enough by itself is told beside one that is, if a gap parts both from the bulk."""
    rng = np.random.default_rng(2)
    table = rng.normal(0, 0.2, (24, 27))
    assert outliers(table) == []
    away = np.sign(rng.normal(0, 1, 27))
    table[1] += 0.6 * away
    assert outliers(table) == []
    table[0] += 0.9 * away
    assert {index for index, _ in outliers(table)} == {0, 1}


def test_few_pictures_have_no_bulk():
    """Fifteen pictures are too few to say who is the stranger."""
    table = _bulk(15)
    table[0] += 5
    assert outliers(table) == []
    assert outliers_in_embedding(table) == []


def test_outliers_in_an_embedding():
    """Vectors that point elsewhere are found; their length does not matter."""
    rng = np.random.default_rng(4)
    middle = rng.normal(0, 1, 512)
    table = middle + rng.normal(0, 0.3, (24, 512))
    table[:2] = rng.normal(0, 1, (2, 512))
    table *= rng.uniform(0.5, 3, (24, 1))
    assert {index for index, _ in outliers_in_embedding(table)} == {0, 1}


def test_shared_composition_finds_the_largest_group():
    """The group is named by index, and unlike layouts stay out."""
    layouts = [[1.0 if place in {index, 64 + index} else 0.0 for place in range(128)] for index in range(10)]
    layouts[3] = layouts[7] = layouts[1]
    assert shared_composition(layouts) == [1, 3, 7]
    assert shared_composition(layouts, 4) == shared_composition([]) == []


def test_a_composition_is_told_by_what_its_pictures_share():
    """Each differs from every other in its own way; their mean names them all, and none of the rest."""
    rng = np.random.default_rng(5)
    pattern, rest = rng.normal(0, 1, (2, 64)), rng.normal(0, 1, (8, 2, 64))
    members = pattern + rng.normal(0, 0.43, (12, 2, 64))
    parts = np.concatenate([members, rest])
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    table = parts.reshape(20, 128)
    assert (table[:12] @ table[:12].T / 2 > 0.8).sum(1).max() < 12
    assert shared_composition(table.tolist(), 6) == list(range(12))
