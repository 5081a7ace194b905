"""Out of the way of those who look for a LoRA: files that look like one and hold none."""

from pathlib import Path

from loraforge.engine.header import HeaderError
from loraforge.run.folder import RunFolder
from loraforge.run.verify import is_finite

NAN, BROKEN = ".nan", ".broken"


def set_aside(folder: RunFolder, name: str) -> list[str]:
    """Rename what a run saved after it had diverged, or was cut off in saving; return a sentence for each.

    Args:
        folder: the run folder, whose engine has ended.
        name: of the LoRA.
    """
    told = []
    for path in [*folder.checkpoints(name).values(), folder.lora(name)]:
        try:
            suffix, why = ("", "") if is_finite(path) else (NAN, "holds NaN or infinity")
        except HeaderError:
            suffix, why = BROKEN, "is not whole"
        except OSError:  # not there, or not to be read
            continue
        if suffix:
            aside = Path(f"{path}{suffix}")
            path.replace(aside)
            told.append(f"{path.name} {why}: it is no LoRA, and is now called {aside.name}")
    return told
