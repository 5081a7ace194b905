"""What is alike in a set: duplicates, compositions, pictures by another hand. Linear in the number of pictures."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HASH_BITS = 64
NEAR_BITS = 7  # hashes of one picture saved twice differ in fewer bits than this; strangers in about 32
_CROPPED = 1.2  # a copy may have lost a border; a landscape is no copy of a portrait
_BANDS = 4
_BAND_BITS = HASH_BITS // _BANDS


@dataclass(frozen=True, slots=True)
class Print:
    """A picture's fingerprint.

    Attributes:
        straight: 64-bit perceptual hash.
        mirrored: the same of the mirrored picture.
        thumb: 256 grey values of its 16x16 reduction, to confirm what the hash suspects.
        aspect: width by height.
    """

    straight: int
    mirrored: int
    thumb: bytes
    aspect: float = 1.0


def duplicate_groups(prints: Sequence[Print]) -> list[list[int]]:
    """Return groups of indices that show the same picture, also rescaled, recompressed, slightly edited or mirrored.

    Hashes of up to NEAR_BITS differing bits share at least one of four bands up to a single bit, so looking
    each band up with every single-bit change finds all of them without comparing all pairs.
    """
    first_with: dict[int, int] = {}
    parent = list(range(len(prints)))
    tables: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(_BANDS)]
    for index, picture in enumerate(prints):
        same = first_with.setdefault(picture.straight, index)
        if same != index and _alike(prints[same], picture):
            _join(parent, same, index)
            continue
        for other in _candidates(tables, picture.straight):
            if _bits(prints[other].straight ^ picture.straight) and _alike(prints[other], picture):
                _join(parent, other, index)
        for other in _candidates(tables, picture.mirrored):
            if _bits(prints[other].straight ^ picture.mirrored) and _alike(prints[other], picture, mirrored=True):
                _join(parent, other, index)
        for band, table in enumerate(tables):
            table[_band(picture.straight, band)].append(index)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(prints)):
        groups[_root(parent, index)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _bits(difference: int) -> bool:
    return difference.bit_count() <= NEAR_BITS


def _band(value: int, band: int) -> int:
    return (value >> (band * _BAND_BITS)) & ((1 << _BAND_BITS) - 1)


def _candidates(tables: list[dict[int, list[int]]], value: int) -> Iterator[int]:
    seen: set[int] = set()
    for band, table in enumerate(tables):
        key = _band(value, band)
        for probe in (key, *(key ^ (1 << bit) for bit in range(_BAND_BITS))):
            # A set of nearly empty pictures would put all into one cell; a handful shows the point.
            seen.update(table.get(probe, ())[:32])
    yield from sorted(seen)


def _alike(first: Print, second: Print, *, mirrored: bool = False) -> bool:
    if max(first.aspect, second.aspect) > _CROPPED * min(first.aspect, second.aspect):
        return False
    one, two = (np.frombuffer(picture.thumb, np.uint8).astype(np.float32) for picture in (first, second))
    if mirrored:
        two = two.reshape(16, 16)[:, ::-1].ravel()
    one, two = one - one.mean(), two - two.mean()
    size = float(np.linalg.norm(one) * np.linalg.norm(two))
    if size < 256 * 4:  # both nearly plain: correlation would be noise
        return bool(np.abs(one - two).max() < 6)
    return float(one @ two) / size > 0.96


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], first: int, second: int) -> None:
    first, second = sorted((_root(parent, first), _root(parent, second)))
    parent[second] = first


def shared_composition(
    layouts: Sequence[Sequence[float]], least: int = 2, *, likeness: float = 0.8, leaders: int = 64
) -> list[int]:
    """Return the indices of pictures whose masses lie in the same places; none when they are fewer than `least`.

    One of them is the pattern that tells whether there is such a group, and their mean the one that tells who is in it.

    Args:
        layouts: vectors of `pixels.layout`: two unit parts of equal length.
        least: pictures that must be like one of them.
        likeness: mean correlation of both parts above which two pictures share a composition.
        leaders: pictures tried as the pattern, spread evenly, which keeps large sets linear.
    """
    if not layouts:
        return []
    table = np.asarray(layouts, np.float32)
    tried = np.unique(np.linspace(0, len(table) - 1, min(leaders, len(table))).astype(int))
    alike = table[tried] @ table.T / 2 > likeness
    best = alike[alike.sum(1).argmax()]
    if best.sum() < least:
        return []
    parts = table[best].mean(0).reshape(2, -1)
    mean = (parts / (np.linalg.norm(parts, axis=1, keepdims=True) + 1e-6)).ravel()
    return [int(index) for index in np.flatnonzero(table @ mean / 2 > likeness)]


def outliers(vectors: Any) -> list[tuple[int, float]]:
    """Return (index, distance relative to the usual one) of vectors that don't belong to the bulk, farthest first.

    The bulk is the 70% that lie closest together (a few rounds of the minimum covariance determinant), and each vector
    is compared with the bulk without itself, along and across the directions in which subjects make the bulk vary.
    Fewer than 16 vectors have no bulk; more than a third of outliers are a second group, and nothing is returned.

    Args:
        vectors: n x d numbers of `pixels.style`.
    """
    table = np.asarray(vectors, np.float64)
    if len(table) < _FEWEST:
        return []
    spread = np.median(np.abs(table - np.median(table, axis=0)), axis=0) * 1.4826 + _FLOOR
    distance = np.square((table - np.median(table, axis=0)) / spread).mean(1)
    for _ in range(3):
        distance = _from_bulk(table, np.argsort(distance, kind="stable")[: int(len(table) * 0.7)])
    distance = np.sqrt(distance)
    usual = float(np.median(distance))
    doubt = 1 + max(0, 18 - len(table)) / 20  # a small bulk describes itself poorly
    limit = max(_FAR, 3.1 * usual) * doubt
    ordered = np.sort(distance)[len(table) * 2 // 3 :]
    behind_gap = ordered[1:][ordered[1:] > _GAP * ordered[:-1]]
    if behind_gap.size and ordered[-1] >= limit:  # where there is one stranger, those as far from the bulk are too
        limit = min(limit, max(_FAR * doubt, float(behind_gap[0])))
    far = [(int(index), float(distance[index] / usual)) for index in np.flatnonzero(distance >= limit)]
    return sorted(far, key=lambda pair: -pair[1]) if len(far) * 3 <= len(table) else []


_FEWEST = 16
_FAR = 2.25
_GAP = 1.5
_FLOOR = 0.12  # differences of this size are chance even between pictures of one hand
_LEAVE_OUT_BELOW = 100  # in larger sets one picture no longer moves the bulk


def _from_bulk(table: Any, bulk: Any) -> Any:
    if len(table) >= _LEAVE_OUT_BELOW:
        return _mahalanobis(table, table[bulk])
    return np.array([_mahalanobis(row[None], table[bulk[bulk != index]])[0] for index, row in enumerate(table)])


def _mahalanobis(rows: Any, bulk: Any) -> Any:
    """Return mean squared distances; the factor undoes the shrinkage that choosing the closest 70% brought."""
    middle = bulk.mean(0)
    centred = bulk - middle
    covariance = centred.T @ centred / len(bulk) * 1.5 + np.eye(bulk.shape[1]) * _FLOOR**2
    away = rows - middle
    return (away * np.linalg.solve(covariance, away.T).T).mean(1)


def outliers_in_embedding(vectors: Any) -> list[tuple[int, float]]:
    """Return what `outliers` returns, for embeddings of a neural network: angles to the middle of the set.

    Args:
        vectors: n x d embeddings of any length.
    """
    table = np.asarray(vectors, np.float64)
    if len(table) < _FEWEST:
        return []
    table /= np.linalg.norm(table, axis=1, keepdims=True) + 1e-9
    distance = np.zeros(len(table))
    for _ in range(3):
        bulk = np.argsort(distance, kind="stable")[: max(4, int(len(table) * 0.7))]
        middle = table[bulk].mean(0)
        distance = 1 - table @ (middle / (np.linalg.norm(middle) + 1e-9))
    usual, deviation = float(np.median(distance)), float(np.median(np.abs(distance - np.median(distance)))) * 1.4826
    far = np.flatnonzero(distance > max(usual * 1.6, usual + 4 * deviation))
    ranked = sorted(((int(index), float(distance[index] / (usual + 1e-9))) for index in far), key=lambda pair: -pair[1])
    return ranked if len(ranked) * 3 <= len(table) else []
