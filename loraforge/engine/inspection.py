"""Whether a weight file is what it is taken for, told from its header before a GPU minute is spent."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from loraforge.engine.header import HeaderError, Tensor, read_header
from loraforge.engine.layout import Kind, layout_of, plain
from loraforge.engine.weights import ROLES, Family, Found, Role, Weights
from loraforge.findings import Finding

NAMED: dict[Role, str] = {
    "transformer": "the FLUX transformer",
    "clip_l": "the CLIP-L text encoder",
    "t5xxl": "the T5-XXL text encoder",
    "autoencoder": "the FLUX autoencoder",
}
FETCH = "loraforge models --download"
_ORDINARY: dict[Role, str] = {
    "transformer": "flux1-dev.safetensors (or flux1-schnell.safetensors) as Black Forest Labs publish it",
    "clip_l": "clip_l.safetensors",
    "t5xxl": "t5xxl_fp16.safetensors or t5xxl_fp8_e4m3fn.safetensors",
    "autoencoder": "ae.safetensors",
}
# Kinds that deserve a code of their own, because the way out differs.
_CODES: dict[Kind, tuple[str, str]] = {
    "lora": ("weights-lora", "it changes a model but is none"),
    "quantised": ("weights-quantised", "the engine loads plain bf16, fp16 or fp8 e4m3fn tensors only"),
    "scaled-fp8": ("weights-quantised", "the engine ignores the scales and would train on wrong weights"),
    "all-in-one": ("weights-all-in-one", "the engine needs the four parts as four files"),
    "transformer-diffusers": ("weights-diffusers-layout", "loraforge trains on the BFL layout"),
    "autoencoder-diffusers": ("weights-diffusers-layout", "the engine reads the BFL layout only"),
}
_E5M2 = frozenset({"F8_E5M2", "F8_E5M2FNUZ", "F8_E4M3FNUZ"})
_WIDTHS: dict[Role, tuple[str, int, int]] = {
    "transformer": ("img_in.weight", 0, 3072),
    "clip_l": ("text_model.embeddings.token_embedding.weight", 1, 768),
    "t5xxl": ("shared.weight", 1, 4096),
    "autoencoder": ("encoder.conv_in.weight", 0, 128),
}


def inspect(path: Path, role: Role, family: Family) -> Iterator[Finding]:
    """Yield what keeps a file from serving its role; nothing means it is sound as far as its header tells.

    Reads a few hundred KB at most. Sizes of layers are free, so that tiny weights pass; the layout is not.
    """
    try:
        tensors = read_header(path)
    except FileNotFoundError:
        fix = f"correct model.{role}; or leave it out of the settings, and {FETCH}"
        yield _finding("weights-missing", role, f"{path} does not exist; {NAMED[role]} is needed.", fix)
    except HeaderError as error:
        yield _finding(error.code, role, f"{path} {error}.", f"use {_ORDINARY[role]}; to fetch it: {FETCH}")
    except OSError as error:
        yield _finding("weights-unreadable", role, f"{path} can't be read: {error.strerror}.", "mend its permissions")
    else:
        yield from _content(path, role, family, tensors)


def inspect_all(found: Found, family: Family) -> Iterator[Finding]:
    """Yield the findings of all four roles, a path that was never found included."""
    for role in ROLES:
        path = found.paths[role]
        if path is not None:
            yield from inspect(path, role, family)
        else:
            message = f"{NAMED[role]} was neither configured nor found in the model folders."
            yield _finding("weights-missing", role, f"{message[0].upper()}{message[1:]}", FETCH)


def main_dtype(tensors: Mapping[str, Tensor]) -> str:
    """Return the dtype that most tensors have, as safetensors spells it: "BF16", "F8_E4M3"."""
    dtypes = [tensor.dtype for tensor in tensors.values()]
    return max(sorted(set(dtypes)), key=dtypes.count, default="")


def is_full_size(weights: Weights) -> bool:
    """Tell real FLUX weights from tiny ones: all four files have the widths the engine is built for.

    Raises:
        HeaderError, OSError: a file that `inspect` would have complained of.
    """
    return all(_width(getattr(weights, role), role) == _WIDTHS[role][2] for role in ROLES)


def _width(path: Path, role: Role) -> int | None:
    name, axis, _ = _WIDTHS[role]
    tensor = plain(read_header(path)).get(name)
    return tensor.shape[axis] if tensor is not None and len(tensor.shape) > axis else None


def _content(path: Path, role: Role, family: Family, tensors: Mapping[str, Tensor]) -> Iterator[Finding]:
    layout = layout_of(tensors)
    use = f"use {_ORDINARY[role]}; to fetch it: {FETCH}"
    if layout.kind != role:
        code, why = _CODES.get(layout.kind, ("weights-wrong-file", f"{NAMED[role]} belongs here"))
        if layout.kind in ROLES:
            use = f"the paths look swapped: give it as model.{layout.kind}, and {_ORDINARY[role]} as model.{role}"
        yield _finding(code, role, f"{path} is {layout.named}; {why}.", use)
        return
    wrong = sorted({tensor.dtype for tensor in tensors.values()} & _E5M2)
    if wrong:
        message = (
            f"{path} is stored as {', '.join(wrong)}, which the engine refuses; of the fp8 kinds it takes e4m3fn only."
        )
        yield _finding("weights-fp8-kind", role, message, use)
    if role == "transformer":
        yield from _family(path, family, is_dev="guidance_in.in_layer.bias" in plain(tensors))


def _family(path: Path, family: Family, *, is_dev: bool) -> Iterator[Finding]:
    actual: Family = "flux-dev" if is_dev else "flux-schnell"
    if actual != family:
        evidence = "it has" if is_dev else "it lacks"
        message = f"{path} is {actual} ({evidence} the guidance embedding), but model.family is {family}."
        yield _finding(
            "weights-family", "transformer", message, f"--set model.family={actual}, or give the file of {family}"
        )


def _finding(code: str, role: Role, message: str, fix: str) -> Finding:
    return Finding(code, "error", f"model.{role}", message, fix)
