"""Which layer decided each setting."""

from loraforge.config.job import Job
from loraforge.settings import Settings
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown


def provenance_text(settings: Settings, settled: Job) -> str:
    """Return a line for every setting that is not a default: path, value, layer.

    Args:
        settings: as loaded.
        settled: the job that will run; what it decided beyond the settings is named after what decided it.
    """
    before = dict(leaves(settings.job.model_dump(mode="json")))
    rows = []
    for path, value in leaves(settled.model_dump(mode="json")):
        origin = settings.origin(path)
        if before.get(path) != value:
            origin = (
                f"profile {settled.memory.profile}" if path.startswith("memory.") else "steps_per_picture x pictures"
            )
        if origin != "default":
            rows.append((path, shown(value), origin))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"{path:<{widths[0]}} = {value:<{widths[1]}}  ({origin})" for path, value, origin in rows)
