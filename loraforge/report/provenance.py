"""Which layer decided each setting."""

from collections.abc import Mapping
from pathlib import Path

from loraforge.config.job import Job
from loraforge.run.folder import RunFolder
from loraforge.run.history import read_origins
from loraforge.settings import Settings
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown

_WIDE = 30  # letters; all columns of most lines then fit a terminal


def origins_of(settings: Settings, settled: Job) -> dict[str, str]:
    """Return dotted path -> what decided it, for every setting that is not a default.

    Args:
        settings: as loaded; those of a run folder keep the origins that were recorded there.
        settled: the job that will run; what it decided beyond the settings is named after what decided it.
    """
    before = dict(leaves(settings.job.model_dump(mode="json")))
    recorded = {str(folder.job): read_origins(folder) or {} for folder in map(RunFolder, _folders(settings))}
    origins = {}
    for path, value in leaves(settled.model_dump(mode="json")):
        origin = settings.origin(path)
        if before.get(path) != value:
            origin = (
                f"profile {settled.memory.profile}" if path.startswith("memory.") else "steps_per_picture x pictures"
            )
        elif origin in recorded:
            origin = recorded[origin].get(path, "default")
        if origin != "default":
            origins[path] = origin
    return origins


def provenance_text(origins: Mapping[str, str], settled: Job) -> str:
    """Return a line for every setting that is not a default: path, value, layer."""
    values = dict(leaves(settled.model_dump(mode="json")))
    rows = [(path, shown(values[path]), origin) for path, origin in origins.items()]
    # A long value pushes its own layer to the right, not everybody's.
    widths = [max((len(row[column]) for row in rows if len(row[column]) <= _WIDE), default=0) for column in (0, 1)]
    return "\n".join(f"{path:<{widths[0]}} = {value:<{widths[1]}}  ({origin})" for path, value, origin in rows)


def _folders(settings: Settings) -> set[Path]:
    """Return the folders of the run folders' settings among the layers."""
    files = {Path(origin) for origin in settings.origins.values()}
    return {file.parent for file in files if file == RunFolder(file.parent).job}
