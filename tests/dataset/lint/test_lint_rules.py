"""Every rule fires on what it is for and is silent on a sound set; scenes are built by hand, no file is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from loraforge.config.dataset import Buckets
from loraforge.dataset.buckets import bucket_for
from loraforge.dataset.captions import Caption
from loraforge.dataset.features import Features
from loraforge.dataset.images import PictureError
from loraforge.dataset.lint import RULES
from loraforge.dataset.lint.base import Entry, LintOptions, Scene, Subject
from loraforge.errors import DatasetError
from loraforge.findings import Finding

FOLDER = Path("/set")
WORDS = (
    "oak",
    "barn",
    "fox",
    "lake",
    "moon",
    "road",
    "cliff",
    "ship",
    "tower",
    "bridge",
    "field",
    "snow",
    "rain",
    "hill",
)


def features(index: int = 0, **changes) -> Features:
    """Return the measurements of a sound picture, unlike those of every other index."""
    sound = Features(
        digest=f"{index:032x}",
        bytes=1000,
        format="PNG",
        mode="RGB",
        deep=False,
        size=(1024, 1024),
        orientation=1,
        frames=1,
        transparent=0.0,
        quality=None,
        sharpness=0.7,
        detail_loss=0.4,
        former_quality=None,
        borders=(0.0, 0.0, 0.0, 0.0),
        occupied=0.6,
        layout=[1.0 if place in {index, 64 + index} else 0.0 for place in range(128)],
        style=[0.05 * ((index * 7 + place * 3) % 5) for place in range(27)],
        hash=f"{(0x9E3779B97F4A7C15 * (index + 1)) % 2**64:016x}",
        mirrored_hash=f"{(0xC2B2AE3D27D4EB4F * (index + 1)) % 2**64:016x}",
        thumb=bytes((index * 37 + place * place * (index + 3)) % 256 for place in range(256)).hex(),
    )
    return replace(sound, **changes)


def subject(index: int = 0, name: str = "", caption: str | None = None, problems=(), **changes) -> Subject:
    """Return a sound picture, changed."""
    known = features(index, **changes)
    text = f"zxy, {WORDS[index % len(WORDS)]} {index}" if caption is None else caption
    return placed(Subject(FOLDER / (name or f"p{index:02}.png"), Caption(text, tuple(problems)), known, None, None))


def placed(one: Subject, buckets: Buckets | None = None) -> Subject:
    """Put a picture into its bucket."""
    try:
        return replace(one, placement=bucket_for(one.features.size, 1024, buckets or Buckets()))
    except DatasetError:
        return replace(one, placement=None)


def scene(*special: Subject, count: int = 20, entries=(), nested=None, can_read_text=True, **options) -> Scene:
    """Return a sound set with some special pictures in front."""
    sound = [subject(index) for index in range(len(special), count)]
    chosen = LintOptions(**{"trigger": "zxy", **options})
    return Scene(FOLDER, tuple(entries), nested or {}, (*special, *sound), chosen, can_read_text)


def fault(kind: str) -> Subject:
    """Return a picture that can't be read."""
    path = FOLDER / "broken.png"
    return Subject(path, Caption("zxy, broken mill"), None, PictureError(path, kind, "it is broken"), None)


def changed(**changes) -> Scene:
    """Return a set whose first picture is changed."""
    return scene(subject(0, **changes))


def captioned(text: str, *problems: str, **options) -> Scene:
    """Return a set whose first caption is special."""
    return scene(subject(0, caption=text, problems=problems), **options)


STRANGE = [3.0 if place % 2 else -3.0 for place in range(27)]
FIRES = {
    "no-pictures": scene(count=0),
    "picture-unreadable": scene(fault("unreadable")),
    "picture-truncated": scene(fault("truncated")),
    "picture-zero-bytes": scene(fault("empty")),
    "picture-bomb": scene(fault("bomb")),
    "picture-not-accessible": scene(fault("denied")),
    "picture-animated": changed(frames=12),
    "picture-cmyk": changed(mode="CMYK"),
    "picture-deep": changed(deep=True),
    "picture-palette": changed(mode="P"),
    "picture-transparent": changed(transparent=0.3),
    "picture-turned": changed(orientation=6),
    "extension-mixed-case": changed(name="p00.Png"),
    "extension-wrong": changed(format="JPEG"),
    "extension-unknown": scene(entries=[Entry("scan.tiff", is_folder=False, target=None)]),
    "same-stem": scene(subject(0, "a.png"), subject(1, "a.jpg", format="JPEG")),
    "nested-folder": scene(nested={"more": 3}),
    "link-outside": scene(entries=[Entry("p00.png", is_folder=False, target=Path("/elsewhere/p.png"))]),
    "few-pictures": scene(count=9),
    "many-pictures": scene(count=40),
    "exact-duplicates": scene(subject(0), subject(1, digest=f"{0:032x}")),
    "near-duplicates": scene(subject(0), subject(1, hash=features(0).hash, thumb=features(0).thumb)),
    "one-composition": scene(*(subject(index, layout=features(0).layout) for index in range(12))),
    "style-outliers": scene(subject(0, style=STRANGE)),
    "size-spread": changed(size=(6000, 6000)),
    "aspect-one-way": scene(*(subject(index, size=(1024, 1536)) for index in range(20))),
    "aspect-extreme": changed(size=(2600, 1000)),
    "picture-tiny": changed(size=(480, 480)),
    "picture-small": changed(size=(800, 800)),
    "picture-blurred": changed(sharpness=0.15),
    "picture-upscaled": changed(detail_loss=0.1),
    "soft-set": scene(*(subject(index, sharpness=0.15) for index in range(14))),
    "picture-jpeg-artefacts": changed(format="JPEG", quality=20, name="p00.jpg"),
    "picture-framed": changed(borders=(0.05, 0.0, 0.05, 0.0)),
    "picture-near-empty": changed(occupied=0.001),
    "caption-missing": captioned("", "missing"),
    "caption-empty": captioned("", "empty"),
    "caption-not-utf8": captioned("zxy, café", "not-utf8"),
    "caption-byte-order-mark": captioned("zxy, cafe", "bom"),
    "caption-several-lines": captioned("zxy, cafe", "several-lines"),
    "caption-control-characters": captioned("zxy, cafe", "control-characters"),
    "caption-too-large": captioned("zxy, cafe", "too-large"),
    "caption-unreadable": captioned("", "unreadable"),
    "caption-not-followed": captioned("", "not-followed"),
    "caption-wrong-extension": scene(entries=[Entry("p00.caption", is_folder=False, target=None)]),
    "caption-without-picture": scene(entries=[Entry("lost.txt", is_folder=False, target=None)]),
    "trigger-absent": captioned("old mill"),
    "trigger-misspelt": captioned("zxyx_style, old mill", trigger="zxy_style"),
    "trigger-not-first": captioned("old mill, zxy"),
    "trigger-repeated": captioned("zxy, old mill, zxy"),
    "caption-long": captioned("zxy, an old mill beside a river with ducks"),
    "caption-names-style": captioned("zxy, oil painting of a mill"),
    "captions-identical": scene(*(subject(index, caption="zxy, old mill") for index in range(4))),
    "caption-common-word": scene(*(subject(index, caption=f"zxy, cat {index}") for index in range(18))),
    "caption-over-limit": captioned("zxy, " + "mill " * 500),
    "bucket-impossible": changed(size=(4000, 40)),
    "crop-heavy": scene(placed(subject(0, size=(2000, 1100)), Buckets(enabled=False))),
    "bucket-upscaled": scene(placed(subject(0, size=(700, 700)), Buckets(upscale=True))),
    "bucket-single": scene(subject(0, size=(1216, 832)), batch_size=2),
    "batch-short": scene(count=19, batch_size=2),
    "picture-text": scene(replace(subject(0), text=("www.example.com",))),
    "text-not-looked-for": scene(can_read_text=False),
}


def found(code: str, where: Scene) -> list[Finding]:
    """Return what one rule says."""
    return [finding for finding, _ in RULES[code].findings(where)]


def test_every_rule_is_tested():
    """The table below names every registered code and no other."""
    assert set(FIRES) == {
        code for code, rule in RULES.items() if rule.family != "trigger"
    }  # those have a file of their own


@pytest.mark.parametrize("code", FIRES)
def test_fires(code):
    """A rule finds what it is for, with its code, a message and a fix."""
    findings = found(code, FIRES[code])
    assert findings
    for finding in findings:
        assert finding.code == code
        assert finding.severity in {RULES[code].severity, "info", "warning"}
        assert all((finding.where, finding.message, finding.fix))


@pytest.mark.parametrize("code", RULES)
def test_is_silent_on_a_sound_set(code):
    """Twenty sound pictures give no finding of any kind, with and without a trigger."""
    assert not found(code, scene())
    assert not found(code, scene(trigger=None))


@pytest.mark.parametrize(
    ("code", "where"),
    [
        ("picture-small", changed(size=(832, 1216))),
        ("picture-upscaled", changed(size=(4000, 3000), detail_loss=0.1)),
        ("picture-upscaled", changed(detail_loss=0.2, sharpness=0.4)),
        ("picture-blurred", scene(*(subject(index, sharpness=0.1) for index in range(15)))),
        ("picture-jpeg-artefacts", changed(format="JPEG", quality=85, name="p00.jpg")),
        ("picture-framed", changed(borders=(0.05, 0.0, 0.0, 0.0))),
        ("extension-wrong", changed(format="MPO", name="p00.jpg")),
        ("extension-mixed-case", changed(name="p00.PNG")),
        ("style-outliers", scene(*(subject(index, style=STRANGE) for index in range(10)))),
        ("style-outliers", changed(style=STRANGE, sharpness=0.1)),
        ("near-duplicates", scene(subject(0), subject(1, digest=features(0).digest, hash=features(0).hash))),
        ("link-outside", scene(entries=[Entry("p00.png", is_folder=False, target=FOLDER / "q.png")])),
        ("bucket-single", scene(subject(0, size=(1216, 832)))),
        ("batch-short", scene(count=19)),
        ("caption-long", captioned("zxy, an old mill beside a river with ducks", sparse=False)),
        ("caption-names-style", captioned("art_style, old mill", trigger="art_style")),
        ("trigger-misspelt", captioned("zxy, old mill")),
        ("trigger-absent", captioned("ZXYX_style, mill", trigger="zxy_style", count=1)),
        ("captions-identical", captioned("", "missing")),
        ("text-not-looked-for", scene(can_read_text=False, text=False)),
        ("caption-over-limit", captioned("zxy, " + "mill " * 50)),
        ("caption-without-picture", scene(entries=[Entry("p00.txt", is_folder=False, target=None)])),
    ],
)
def test_is_silent(code, where):
    """What looks like a fault and is none is left alone."""
    assert not found(code, where)


@pytest.mark.parametrize(
    ("caption", "near"),
    [
        ("zxy_styl, mill", True),
        ("ZXY_style, mill", True),
        ("zxy style, mill", True),
        ("zyx_style, mill", True),
        ("lifestyle, mill", False),
        ("a stylish mill", False),
    ],
)
def test_misspelt_triggers(caption, near):
    """Letters left out, swapped or in another case are seen; ordinary words are not."""
    assert bool(found("trigger-misspelt", captioned(caption, trigger="zxy_style"))) is near


@pytest.mark.parametrize(("loss", "sharpness"), [(0.1, 0.9), (0.2, 0.3)])
def test_enlarging_leaves_one_strong_sign_or_two_weak_ones(loss, sharpness):
    """No detail to lose, or little of it and soft edges."""
    assert found("picture-upscaled", changed(detail_loss=loss, sharpness=sharpness))


def test_severity_follows_the_case():
    """One caption without the trigger is a warning; a set that never had it is only told."""
    assert found("trigger-absent", captioned("old mill"))[0].severity == "warning"
    without = scene(*(subject(index, caption=f"old mill {index}") for index in range(20)))
    assert found("trigger-absent", without)[0].severity == "info"
    assert found("many-pictures", scene(count=120))[0].severity == "warning"


def test_hostile_names_are_printable():
    """No control character or stray byte of a file name gets into a finding."""
    hostile = "a\n\x1b[31m\udcff😀.Png"
    findings = found("extension-mixed-case", scene(subject(0, hostile)))
    assert findings[0].where == "a\\n\\x1b[31m\\udcff😀.Png"
