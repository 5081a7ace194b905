"""Run by the engine's python, not imported: says what is installed there, one JSON line an answer.

Standard library only, python 3.10 on. Each answer is written before the next import is tried, so that one that
kills the process takes nothing else with it.
"""

import importlib
import importlib.util
import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def _tell(**answers: object) -> None:
    sys.stdout.write("loraforge:" + json.dumps(answers) + "\n")
    sys.stdout.flush()


def _versions() -> dict[str, str]:
    named = ((found.metadata["Name"], found.version) for found in metadata.distributions())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in named if name and version}


def _torch() -> Answer:
    import torch

    # get_arch_list() is empty on a machine without a GPU; the flags of the build are not.
    flags = getattr(torch._C, "_cuda_getArchFlags", lambda: None)() or ""  # noqa: SLF001  # there is no public one
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "arch_list": flags.split(),
        "available": torch.cuda.is_available(),
    }


def _bitsandbytes() -> Answer:
    spec = importlib.util.find_spec("bitsandbytes")
    if spec is None or spec.origin is None:
        raise ImportError("No module named 'bitsandbytes'")
    home = Path(spec.origin).parent
    builds = sorted(path.stem.rpartition("cuda")[2] for path in home.glob("libbitsandbytes_cuda*"))
    import torch

    if not torch.cuda.is_available():
        return {"gpu": None, "builds": builds}
    from bitsandbytes.cextension import lib

    return {"gpu": bool(getattr(lib, "compiled_with_cuda", False)), "builds": builds}


def _imports(name: str) -> Answer:
    importlib.import_module(name)
    return {}


def main() -> None:
    """Answer every question, whatever becomes of the one before."""
    del sys.path[0]  # this folder: its modules must not pass for others of the same name
    _tell(versions=_versions())
    questions = {"torch": _torch, "bitsandbytes": _bitsandbytes}
    for name in ("torch", "bitsandbytes", "triton", "cv2"):
        _tell(asking=name)
        try:
            answer = questions[name]() if name in questions else _imports(name)
        except Exception as error:  # noqa: BLE001  # whatever an import raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        _tell(**{name: answer})
    _tell(asking=None)


if __name__ == "__main__":
    main()
