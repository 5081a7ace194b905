"""Staging: a stale cache can't be met, a warm one is reused, the user's folder stays untouched."""

import shutil

import numpy as np
import pytest
from PIL import Image
from sets import picture, small_set, tree

from loraforge.dataset.staging import entries, harvest, stage
from loraforge.errors import DatasetError, MachineError


@pytest.fixture
def images(tmp_path):
    """Return a folder of three pictures."""
    return small_set(tmp_path / "images")


def staged(tmp_path, images, run="run", trigger="zx", encoders="e"):
    """Stage a set for a run and return source name -> stem."""
    found = entries(images, trigger, encoders)
    stage(found, tmp_path / "store", tmp_path / run)
    return {entry.source.name: entry.stem for entry in found}


def cache(folder, stem):
    """Write the caches that the engine would write beside a picture."""
    for suffix in ("flux_te", "0064x0048_flux"):
        np.savez(folder / f"{stem}_{suffix}.npz", x=np.zeros(4))


def test_captions_get_the_trigger_first_exactly_once(tmp_path, images):
    """The engine ignores a caption prefix when text is cached, so the trigger is written while staging."""
    (images / "p1.txt").write_text("a cat, zx\n")
    (images / "p2.txt").unlink()
    stems = staged(tmp_path, images)
    texts = {name: (tmp_path / "run" / f"{stem}.txt").read_text() for name, stem in stems.items()}
    assert texts == {"p0.png": "zx, thing 0\n", "p1.png": "zx, a cat\n", "p2.png": "zx\n"}


def test_the_users_folder_is_untouched(tmp_path, images):
    """Nothing is written, moved or renamed where the user keeps the pictures."""
    before = tree(images)
    staged(tmp_path, images)
    assert tree(images) == before


@pytest.mark.parametrize("change", ["caption", "picture", "trigger", "encoders"])
def test_a_change_never_meets_a_stale_cache(tmp_path, images, change):
    """Whatever a cache depends on is part of its name; the pictures that did not change keep theirs."""
    first = staged(tmp_path, images)
    for stem in first.values():
        cache(tmp_path / "run", stem)
    assert harvest(tmp_path / "run", tmp_path / "store") == 6
    more = {}
    if change == "caption":
        (images / "p0.txt").write_text("other words\n")
    elif change == "picture":
        picture(images / "p0.png", (1, 2, 3))
    else:
        more = {change: "other"}
    second = staged(tmp_path, images, run="second", **more)
    fresh = {name for name, stem in second.items() if not list((tmp_path / "second").glob(f"{stem}_*.npz"))}
    assert fresh == (set(second) if more else {"p0.png"})


def test_an_unchanged_set_reuses_every_cache(tmp_path, images):
    """A second run finds both caches of every picture."""
    for stem in staged(tmp_path, images).values():
        cache(tmp_path / "run", stem)
    harvest(tmp_path / "run", tmp_path / "store")
    staged(tmp_path, images, run="second")
    assert len(list((tmp_path / "second").glob("*.npz"))) == 6


def test_latents_of_another_size_change_no_other_run(tmp_path, images):
    """The engine writes them into the same file; the store keeps both sizes, and the run before keeps its own."""
    stems = staged(tmp_path, images)
    for stem in stems.values():
        cache(tmp_path / "run", stem)
    harvest(tmp_path / "run", tmp_path / "store")
    staged(tmp_path, images, run="second")
    name = f"{stems['p0.png']}_0064x0048_flux.npz"
    before = (tmp_path / "run" / name).read_bytes()
    np.savez(tmp_path / "second" / name, x=np.zeros(4), y=np.zeros(4))
    assert (tmp_path / "run" / name).read_bytes() == before
    assert harvest(tmp_path / "second", tmp_path / "store") == 1
    assert set(np.load(tmp_path / "store" / name)) == {"x", "y"}
    assert (tmp_path / "run" / name).read_bytes() == before


def test_a_half_written_cache_is_not_reused(tmp_path, images):
    """A killed engine leaves cut-off files, on which the next one would crash."""
    stems = staged(tmp_path, images)
    for stem in stems.values():
        cache(tmp_path / "run", stem)
    broken = tmp_path / "run" / f"{stems['p0.png']}_flux_te.npz"
    broken.write_bytes(broken.read_bytes()[:-30])
    assert harvest(tmp_path / "run", tmp_path / "store") == 5
    assert not broken.exists()


def test_pictures_are_made_upright_opaque_and_plainly_named(tmp_path):
    """EXIF turns, alpha, palettes, 16 bits and odd suffixes are settled before the engine sees them."""
    images = tmp_path / "images"
    images.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(images / "turned.jpg", size=(64, 32), exif=exif)
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(images / "clear.png")
    Image.new("P", (40, 40)).save(images / "palette.PNG")
    Image.new("I;16", (40, 40), 40_000).save(images / "deep.png")
    picture(images / "Mixed.Jpg")
    stems = staged(tmp_path, images)
    found = {}
    for name, stem in stems.items():
        (path,) = [path for path in (tmp_path / "run").glob(f"{stem}.*") if path.suffix != ".txt"]
        with Image.open(path) as image:
            found[name] = (path.suffix, image.size, image.mode, image.getexif().get(0x0112, 1))
            if name == "clear.png":
                assert image.getpixel((5, 5)) == (255, 255, 255)
    assert found == {
        "turned.jpg": (".png", (32, 64), "RGB", 1),
        "clear.png": (".png", (40, 40), "RGB", 1),
        "palette.PNG": (".png", (40, 40), "RGB", 1),
        "deep.png": (".png", (40, 40), "RGB", 1),
        "Mixed.Jpg": (".jpg", (64, 48), "RGB", 1),
    }


def test_exact_duplicates_stay_two_pictures(tmp_path, images):
    """The user has them twice, so they count twice; lint is who complains."""
    (images / "copy.png").write_bytes((images / "p0.png").read_bytes())
    (images / "copy.txt").write_bytes((images / "p0.txt").read_bytes())
    assert len(set(staged(tmp_path, images).values())) == 4


def test_all_faults_come_at_once(tmp_path, images):
    """Every picture without a caption is named, when no trigger stands in for it."""
    (images / "p0.txt").unlink()
    (images / "p1.txt").write_text("\n")
    with pytest.raises(DatasetError) as caught:
        entries(images, None, "e")
    assert "p0.png" in caught.value.message
    assert "p1.png" in caught.value.message


def test_what_can_not_be_read_is_not_trained_on_the_trigger_alone(tmp_path, images):
    """A caption that leads out of the folder, one that is no file, and a picture too large to be one."""
    (tmp_path / "secret").write_text("token")
    for name in ("p0.txt", "p1.txt"):
        (images / name).unlink()
    (images / "p0.txt").symlink_to(tmp_path / "secret")
    (images / "p1.txt").mkdir()
    with (images / "p2.png").open("r+b") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(DatasetError) as caught:
        entries(images, "zx", "e")
    assert caught.value.message.splitlines()[1:] == [
        "  p0.png: its caption is a link out of the folder, which is not followed",
        "  p1.png: its caption can't be read",
        "  p2.png: 1.0 GiB are more than a picture has",
    ]


def test_a_run_that_begins_again_has_its_pictures(tmp_path, images):
    """From its own folder, when store and source are gone; a source that changed does not take their name."""
    found = entries(images, "zx", "e")
    stage(found, tmp_path / "store", tmp_path / "run")
    before = tree(tmp_path / "run")
    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(images)
    stage(found, tmp_path / "store", tmp_path / "run")
    assert tree(tmp_path / "run").keys() == before.keys()
    small_set(images)
    picture(images / "p1.png", (0, 0, 0))
    with pytest.raises(DatasetError, match=r"p1\.png: it is no longer the picture"):
        stage(found, tmp_path / "store", tmp_path / "another")


def test_a_store_that_is_gone_is_made_anew(tmp_path, images):
    """A run that goes on keeps its caches for the next one, or does without."""
    stem = staged(tmp_path, images)["p0.png"]
    cache(tmp_path / "run", stem)
    shutil.rmtree(tmp_path / "store")
    assert harvest(tmp_path / "run", tmp_path / "store") == 2
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "store").write_text("in the way")
    assert harvest(tmp_path / "run", tmp_path / "store") == 0


def test_undecodable_pictures_are_all_named(tmp_path, images):
    """A truncated picture is found now, not by the engine after the models are loaded."""
    for name in ("p0.png", "p2.png"):
        data = (images / name).read_bytes()
        (images / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=r"p0\.png[\s\S]*p2\.png"):
        staged(tmp_path, images)


def test_an_empty_folder_is_a_dataset_error(tmp_path):
    """Nothing to train on is said in so many words."""
    with pytest.raises(DatasetError, match="holds no pictures"):
        entries(tmp_path, "zx", "e")


def test_an_unwritable_store_is_a_machine_error(tmp_path, images):
    """A file where the folder should be can't be written into."""
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(MachineError):
        staged(tmp_path, images)


def test_a_cache_with_any_flipped_bit_is_kept_or_left(tmp_path):
    """Whatever a bit in it asks for, a password even, taking a cache or leaving it never fails."""
    cache = tmp_path / "run" / "a_flux.npz"
    cache.parent.mkdir()
    (tmp_path / "store").mkdir()
    np.savez(cache, x=np.ones(3))
    data = cache.read_bytes()
    kept = 0
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        cache.write_bytes(flipped)
        kept += harvest(cache.parent, tmp_path / "store")
        (tmp_path / "store" / cache.name).unlink(missing_ok=True)
    assert kept < 8 * len(data)
