"""The same LoRA for diffusers, converted by the engine and checked against what it was made from."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from loraforge.engine.diffusers_layout import DOUBLE, SINGLE, diffusers_modules
from loraforge.engine.header import HeaderError, read_header
from loraforge.engine.locate import EngineHome
from loraforge.errors import MachineError, TrainingError
from loraforge.machine.secrets import without_secrets
from loraforge.ship.lora_file import DOWN

_LAYERS = {"double_blocks": DOUBLE, "single_blocks": SINGLE}


def convert(
    source: Path, target: Path, home: EngineHome, *, python: Path | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Convert a file with the engine's script; the result appears whole or not at all.

    Args:
        source: a LoRA in sd-scripts' names.
        target: the file in diffusers' names.
        home: the engine.
        python: the engine's python; None takes this one.
        environ: the environment it inherits.

    Raises:
        MachineError: the engine's script could not run.
        TrainingError: it ran and left something out.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".loraforge-") as scratch:
        made = Path(scratch) / "converted.safetensors"
        script = Path(__file__).with_name("engine_convert.py")
        done = subprocess.run(
            [str(python or sys.executable), str(script), str(home.path), str(source), str(made)],
            env={**without_secrets(environ), "COLUMNS": "1000", "NO_COLOR": "1", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode or not made.is_file():
            tail = "\n".join(f"    {line}" for line in done.stderr.splitlines()[-8:])
            raise MachineError(f"the engine's conversion failed ({done.returncode})\n{tail}", "loraforge doctor")
        if faults := conversion_faults(source, made):
            raise TrainingError("the engine's conversion is not whole: " + "; ".join(faults))
        made.replace(target)


def expected_names(modules: list[str]) -> set[str]:
    """Return the tensors that diffusers expects for sd-scripts' layers of the transformer."""
    return {
        f"transformer.{part}.{half}.weight"
        for module in modules
        if module.startswith("lora_unet_")
        for part in diffusers_modules(_bfl(module))
        for half in ("lora_A", "lora_B")
    }


def conversion_faults(source: Path, made: Path) -> list[str]:
    """Compare the names in a converted file with those its source asks for."""
    try:
        modules = [name.removesuffix(DOWN) for name in read_header(source) if name.endswith(DOWN)]
        found = set(read_header(made))
    except (HeaderError, OSError) as fault:
        return [str(fault)]
    wanted = expected_names(modules)
    missing, strange = sorted(wanted - found), sorted(found - wanted)
    return [f"lacks {name}" for name in missing[:1]] + [f"has {name} beside" for name in strange[:1]]


def _bfl(module: str) -> str:
    """Return `double_blocks.0.img_attn.qkv` for `lora_unet_double_blocks_0_img_attn_qkv`."""
    kind, blocks, index, inner = module.removeprefix("lora_unet_").split("_", 3)
    layers = {name.replace(".", "_"): name for name in _LAYERS[f"{kind}_{blocks}"]}
    return f"{kind}_{blocks}.{index}.{layers[inner]}"
