"""The set as a whole: how many, how alike, and whether one hand made them all."""

from collections import defaultdict
from collections.abc import Iterator

from loraforge.dataset.lint.base import Hit, Scene, joined, rule
from loraforge.dataset.lint.judged import is_empty, is_soft
from loraforge.dataset.similarity import Print, duplicate_groups, outliers, outliers_in_embedding, shared_composition

_FEW, _MANY, _FAR_TOO_MANY = 15, 30, 100
_ONE_WAY = 1.2  # width over height from which a picture is no longer nearly square


@rule(
    "few-pictures",
    "warning",
    reason="Below 15 pictures a style LoRA learns the pictures by heart rather than what they have in common.",
    fix="Add pictures by the same hand until there are 15 to 30; crops of large ones count if they stand on their own.",
)
def few(scene: Scene) -> Iterator[Hit]:
    """Fewer than 15."""
    if 0 < len(scene.subjects) < _FEW:
        plural = "s" * (len(scene.subjects) > 1)
        yield Hit((), f"{len(scene.subjects)} picture{plural}; 15 to 30 make a good style set")


@rule(
    "many-pictures",
    "info",
    reason="15 to 30 chosen pictures teach a style; more dilute it and make the run longer.",
    fix="Keep the most typical 15 to 30.",
)
def many(scene: Scene) -> Iterator[Hit]:
    """More than 30."""
    count = len(scene.subjects)
    if _MANY < count <= _FAR_TOO_MANY:
        yield Hit((), f"{count} pictures; 15 to 30 are enough for a style")
    elif count > _FAR_TOO_MANY:
        yield Hit((), f"{count} pictures; the usual 300 to 600 steps show each only a few times", severity="warning")


@rule(
    "exact-duplicates",
    "warning",
    reason="A picture that is there twice counts twice and is learnt by heart first.",
    fix="Keep one of them.",
)
def exact_duplicates(scene: Scene) -> Iterator[Hit]:
    """Files of the same bytes."""
    same: dict[str, list[str]] = defaultdict(list)
    for subject, features in scene.readable:
        same[features.digest].append(subject.name)
    for names in same.values():
        if len(names) > 1:
            yield Hit(tuple(names), f"the same file {len(names)} times: {joined(names)}")


@rule(
    "near-duplicates",
    "warning",
    reason="The same picture rescaled, recompressed, retouched or mirrored still counts several times.",
    fix="Keep the best of them.",
)
def near_duplicates(scene: Scene) -> Iterator[Hit]:
    """The same picture in other bytes."""
    first = {features.digest: (subject, features) for subject, features in reversed(scene.readable)}
    unlike = sorted(first.values(), key=lambda pair: pair[0].path.name)
    prints = [
        Print(
            int(features.hash, 16),
            int(features.mirrored_hash, 16),
            bytes.fromhex(features.thumb),
            features.size[0] / features.size[1],
        )
        for _, features in unlike
        if not is_empty(features)  # nearly empty pictures are all alike; another rule names them
    ]
    named = [subject.name for subject, features in unlike if not is_empty(features)]
    for group in duplicate_groups(prints):
        names = tuple(named[index] for index in group)
        yield Hit(names, f"the same picture {len(names)} times: {joined(names)}")


@rule(
    "one-composition",
    "warning",
    reason="When many pictures share one composition, the LoRA learns the composition along with the style.",
    fix="Exchange some for other subjects, distances and angles.",
)
def one_composition(scene: Scene) -> Iterator[Hit]:
    """Masses in the same places."""
    pairs = scene.readable
    alike = shared_composition([features.layout for _, features in pairs], max(6, -(-len(pairs) // 2)))
    if alike:
        names = tuple(pairs[index][0].name for index in alike)
        yield Hit(names, f"{len(alike)} of {len(pairs)} pictures share one composition")


@rule(
    "style-outliers",
    "warning",
    reason="Pictures by another hand teach another style; what is learnt lies in between.",
    fix="Look at them beside the others and take them out if you agree; this is measured, not understood.",
)
def style_outliers(scene: Scene) -> Iterator[Hit]:
    """Palette, grain and strokes unlike the rest; with an embedding, what the model sees."""
    pairs = scene.readable
    if pairs and all(subject.embedding is not None for subject, _ in pairs):
        far = outliers_in_embedding([subject.embedding for subject, _ in pairs])
    else:
        # A soft or empty picture has another grain for a reason that its own rule names.
        sharp = [pair for pair in pairs if not is_soft(pair[1])]
        pairs = sharp if len(sharp) * 2 > len(pairs) else pairs
        pairs = [pair for pair in pairs if not is_empty(pair[1])]
        far = outliers([features.style for _, features in pairs])
    names = tuple(pairs[index][0].name for index, _ in far)
    if names:
        looks = "look" if len(names) > 1 else "looks"
        message = f"{len(names)} of {len(pairs)} pictures {looks} like another hand: {joined(names)}"
        yield Hit(names, message)


@rule(
    "size-spread",
    "info",
    reason="Pictures of very different size are scaled differently, so strokes and grain are learnt at several scales.",
    fix="Bring scans and exports to a similar size, or crop the large ones.",
)
def size_spread(scene: Scene) -> Iterator[Hit]:
    """Some 16 times larger than others."""
    sizes = sorted((features.size[0] * features.size[1], subject.name) for subject, features in scene.readable)
    if sizes and sizes[-1][0] > 16 * sizes[0][0]:
        small, large = sizes[0], sizes[-1]
        times = large[0] / small[0]
        yield Hit((small[1], large[1]), f"{large[1]} has {times:.0f} times the pixels of {small[1]}")


@rule(
    "aspect-one-way",
    "info",
    reason="A LoRA that has seen upright pictures alone composes wide ones less well, and the other way round.",
    fix="Add some of the other shape, or crop a few square, if you mean to draw other shapes.",
)
def aspect_one_way(scene: Scene) -> Iterator[Hit]:
    """All upright, or all wide."""
    aspects = [features.size[0] / features.size[1] for _, features in scene.readable]
    if len(aspects) >= _FEW and (min(aspects) > _ONE_WAY or max(aspects) < 1 / _ONE_WAY):
        way, other = ("wide", "upright") if aspects[0] > 1 else ("upright", "wide")
        yield Hit((), f"all {len(aspects)} pictures are {way}; none is square or {other}")


@rule(
    "aspect-extreme",
    "warning",
    reason="Beyond 5:2 a picture is trained as a narrow strip: little of it is seen at once, and its details are tiny.",
    fix="Cut it into two or three pictures.",
)
def aspect_extreme(scene: Scene) -> Iterator[Hit]:
    """Very wide or tall."""
    for subject, features in scene.readable:
        long, short = max(features.size), min(features.size)
        if long > 2.5 * short:
            yield Hit((subject.name,), f"{features.size[0]}×{features.size[1]} is {long / short:.1f} to 1")
