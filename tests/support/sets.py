"""Small picture folders for tests."""

from pathlib import Path

from PIL import Image


def picture(path: Path, colour=(200, 80, 40), size=(64, 48), **save) -> Path:
    """Write a picture of one colour."""
    Image.new("RGB", size, colour).save(path, **save)
    return path


def small_set(folder: Path, count: int = 3) -> Path:
    """Write a folder of distinct captioned pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture(folder / f"p{index}.png", (40 * index % 256, 90, 200 - 9 * index), (96, 72))
        (folder / f"p{index}.txt").write_text(f"thing {index}\n", encoding="utf-8")
    return folder


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return every path below a folder with its size and time: equal before and after means untouched."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
