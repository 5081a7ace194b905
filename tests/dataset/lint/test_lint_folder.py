"""lint on real folders: drawn sets with planted faults, and everything a folder can do wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest
from make_sets import TRIGGER, blurred, draw, enlarged, framed, make_set
from PIL import Image

from loraforge.dataset import features
from loraforge.dataset.lint import RULES, LintOptions, lint
from loraforge.errors import DatasetError

OPTIONS = LintOptions(trigger=TRIGGER, text=False)


@pytest.fixture(scope="module", params=["flat", "neon"])
def clean(request, tmp_path_factory) -> Path:
    """Draw a clean set once for all tests of this file."""
    return make_set(tmp_path_factory.mktemp("sets") / request.param, request.param, 20)


@pytest.fixture
def copy(clean, tmp_path) -> Path:
    """Return a copy of the clean set to spoil."""
    return Path(shutil.copytree(clean, tmp_path / "set"))


def codes(folder: Path, options: LintOptions = OPTIONS) -> dict[str, set[str]]:
    """Return what lint finds: code -> names."""
    report = lint(folder, options)
    found: dict[str, set[str]] = {}
    for finding, names in zip(report.findings, report.about, strict=True):
        found.setdefault(finding.code, set()).update(names)
    return found


def spoil(folder: Path, index: int, change) -> str:
    """Change picture number `index` and return its name."""
    path = sorted(folder.glob("*.png"))[index]
    with Image.open(path) as picture:
        changed = change(picture.convert("RGB"))
    changed.save(path, compress_level=1)
    return path.name


def test_a_clean_set_is_clean(clean):
    """A drawn set without faults gives no error and at most one warning."""
    report = lint(clean, OPTIONS)
    assert not report.has_errors
    assert sum(finding.severity == "warning" for finding in report.findings) <= 1


def test_planted_faults_are_found_and_named(copy):
    """Blur, enlargement, frames, strangers and copies are found under their own codes, and nothing else is accused."""
    soft = spoil(copy, 1, lambda picture: blurred(picture, 4))
    large = spoil(copy, 2, lambda picture: enlarged(picture, 3))
    matte = spoil(copy, 3, lambda picture: framed(picture, 50, (120, 40, 30)))
    stranger = spoil(copy, 4, lambda _: draw("oil", 3)[0])
    first = min(copy.glob("*.png")).name
    shutil.copy(copy / first, copy / "zz.png")
    (copy / "zz.txt").write_text(f"{TRIGGER}, another thing")
    original = sorted(copy.glob("*.png"))[6]
    with Image.open(original) as picture:
        picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(copy / "zy.jpg", quality=90)
    found = codes(copy)
    assert found["picture-blurred"] == {soft}
    assert found["picture-upscaled"] == {large}
    assert found["picture-framed"] == {matte}
    assert stranger in found["style-outliers"]
    assert found["exact-duplicates"] == {first, "zz.png"}
    assert found["near-duplicates"] == {original.name, "zy.jpg"}


def test_nothing_is_changed(copy):
    """Names, bytes and times of all files are the same after lint."""

    def state():
        return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in copy.iterdir()}

    before = state()
    lint(copy, OPTIONS)
    assert state() == before


def test_measurements_are_remembered_by_content(copy, tmp_path, monkeypatch):
    """A second call decodes nothing, also under other names; an edited picture is measured again."""
    options = LintOptions(trigger=TRIGGER, text=False, cache=tmp_path / "cache")
    first = lint(copy, options)
    paths = sorted(copy.glob("*.png"))
    paths[0].rename(copy / "renamed.png")
    measured = []
    real = features.measure
    monkeypatch.setattr(features, "measure", lambda path, digest: measured.append(path.name) or real(path, digest))
    assert len(lint(copy, options).subjects) == len(first.subjects)
    assert measured == []
    spoil(copy, 3, lambda picture: picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    lint(copy, options)
    assert len(measured) == 1


@pytest.mark.parametrize("broken", ["{", "{}", '{"size": 3}', ""])
def test_a_broken_cache_is_no_fault(tmp_path, broken):
    """Whatever lies in the cache, the picture is measured again."""
    Image.new("RGB", (600, 600), "red").save(tmp_path / "a.png")
    cache = tmp_path / "cache"
    fresh = features.measure_all([tmp_path / "a.png"], cache=cache)
    file = next(cache.iterdir())
    file.write_text(broken)
    assert features.measure_all([tmp_path / "a.png"], cache=cache) == fresh


def test_an_unwritable_cache_only_costs_time(tmp_path):
    """A file where the cache folder should be does not stop lint."""
    Image.new("RGB", (600, 600), "red").save(tmp_path / "a.png")
    (tmp_path / "cache").write_text("in the way")
    assert features.measure_all([tmp_path / "a.png"], cache=tmp_path / "cache")[0].size == (600, 600)


def test_folders_that_are_none(tmp_path):
    """A missing folder and a file in its place are errors of the dataset; an empty one is a finding."""
    (tmp_path / "file").touch()
    for wrong in ("missing", "file"):
        with pytest.raises(DatasetError):
            lint(tmp_path / wrong, OPTIONS)
    (tmp_path / "empty").mkdir()
    report = lint(tmp_path / "empty", OPTIONS)
    assert [finding.code for finding in report.findings] == ["no-pictures"]
    assert report.has_errors


def test_unreadable_files_are_findings(tmp_path, monkeypatch):
    """Zero bytes, text, a cut file, a vanished one and one without permission are each named, and the rest go on."""
    make_set(tmp_path, "flat", 4)
    whole = (tmp_path / "flat-00.png").read_bytes()
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "denied.png").write_bytes(whole)
    real = Path.stat

    def stat(self, **options):
        if self.name == "denied.png":
            raise PermissionError(13, "Permission denied")
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    found = codes(tmp_path)
    assert found["picture-zero-bytes"] == {"zero.jpg"}
    assert found["picture-unreadable"] == {"words.png"}
    assert found["picture-truncated"] == {"cut.png"}
    assert found["picture-not-accessible"] == {"gone.png", "denied.png"}


def test_a_folder_that_vanishes_meanwhile(tmp_path):
    """When the folder is removed while it is measured, every picture is a finding and nothing is raised."""
    folder = make_set(tmp_path / "set", "flat", 3)
    options = LintOptions(
        text=False, workers=1, progress=lambda _what, _done, _total: shutil.rmtree(folder, ignore_errors=True)
    )
    report = lint(folder, options)
    assert "picture-not-accessible" in {finding.code for finding in report.findings}


def test_names_and_captions_of_all_kinds(tmp_path):
    """Newlines, emoji, stray bytes, markup, control characters and a megabyte are findings at most."""
    picture = tmp_path / "plain.png"
    draw("flat", 1)[0].save(picture)
    names = ["a\nb.png", "😀.png", "<script>.png", "c d'\"&.png", os.fsdecode(b"\xff\xfe.png"), "-rf.png"]
    for name in names:
        shutil.copy(picture, tmp_path / name)
        (tmp_path / f"{name[:-4]}.txt").write_text(f"{TRIGGER}, <b>\x07cat</b>\x1b[31m " + "x" * 1_000_000)
    (tmp_path / "plain.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder.png").mkdir()
    report = lint(tmp_path, OPTIONS)
    text = json.dumps(report.as_dict())
    assert json.loads(text)["pictures"]
    assert all(finding.where.isprintable() and finding.message.isprintable() for finding in report.findings)
    assert len(report.subjects) == len(names) + 2


def test_ten_thousand_files(tmp_path):
    """A folder of 10,000 files that are no pictures is gone through in seconds."""
    for index in range(10_000):
        os.close(os.open(tmp_path / f"{index}.png", os.O_CREAT | os.O_WRONLY))
    report = lint(tmp_path, OPTIONS)
    assert sum(finding.code == "picture-zero-bytes" for finding in report.findings) == 10_000
    assert len(report.findings) < 10_010


def test_formats_are_told(tmp_path):
    """What a file is stored as is told from the file, each under its own code."""
    plain = draw("flat", 1, size=(640, 480))[0]
    turned = Image.Exif()
    turned[0x0112] = 6
    see_through = plain.convert("RGBA")
    see_through.putalpha(90)
    plain.convert("CMYK").save(tmp_path / "cmyk.jpg")
    plain.convert("P").save(tmp_path / "palette.png")
    see_through.save(tmp_path / "glass.png")
    plain.convert("I;16").save(tmp_path / "deep.png")
    plain.save(tmp_path / "moving.webp", save_all=True, append_images=[plain.rotate(180)], lossless=True)
    plain.save(tmp_path / "turned.jpg", exif=turned)
    plain.save(tmp_path / "mixed.Jpg")
    plain.save(tmp_path / "claims.png", "JPEG")
    plain.save(tmp_path / "scan.tiff")
    plain.save(tmp_path / "download", "JPEG")
    plain.save(tmp_path / "a.jpg_large", "WEBP")
    os.mkfifo(tmp_path / "pipe")
    found = codes(tmp_path)
    assert {code: names for code, names in found.items() if RULES[code].family == "files"} == {
        "picture-cmyk": {"cmyk.jpg"},
        "picture-palette": {"palette.png"},
        "picture-transparent": {"glass.png"},
        "picture-deep": {"deep.png"},
        "picture-animated": {"moving.webp"},
        "picture-turned": {"turned.jpg"},
        "extension-mixed-case": {"mixed.Jpg"},
        "extension-wrong": {"claims.png"},
        "extension-unknown": {"scan.tiff", "download", "a.jpg_large"},
    }


def test_what_systems_leave_behind_is_not_told(tmp_path):
    """Hidden files of a Mac, Windows' thumbnails and the history of captions are nobody's fault."""
    folder = make_set(tmp_path, "flat", 2)
    for name in (".DS_Store", "._flat-00.png", "._flat-00.txt", ".hidden.tiff", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    for name in (".loraforge-history", "__MACOSX"):
        (folder / name).mkdir()
        (folder / name / "._a.png").touch()
    assert set(codes(folder)) == {"few-pictures"}


def test_nested_and_linked_pictures(tmp_path):
    """Pictures in subfolders are counted but for dot folders; links are told when they lead out of the folder."""
    folder = make_set(tmp_path / "set", "flat", 2)
    (folder / "more").mkdir()
    shutil.copy(folder / "flat-00.png", folder / "more" / "a.png")
    (folder / ".loraforge-history").mkdir()
    shutil.copy(folder / "flat-00.png", folder / ".loraforge-history" / "a.png")
    (folder / "inside.png").symlink_to(folder / "flat-00.png")
    shutil.copy(folder / "flat-01.png", tmp_path / "outer.png")
    (folder / "outside.png").symlink_to(tmp_path / "outer.png")
    found = codes(folder)
    assert found["nested-folder"] == {"more"}
    assert found["link-outside"] == {"outside.png"}
