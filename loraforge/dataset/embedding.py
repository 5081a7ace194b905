"""What a vision model of the user's choice sees in pictures; judges style better than measurements do."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loraforge.dataset.images import load_rgb
from loraforge.errors import ConfigError, MachineError

_BATCH = 8
_NAME_ONE = "Name a folder with a CLIP, SigLIP or DINOv2 model, or leave --embed out."


def embed(paths: Sequence[Path], model: str, *, progress: Callable[[int], None] = lambda _: None) -> list[list[float]]:
    """Return one vector a picture.

    Args:
        paths: readable pictures.
        model: a transformers model with a vision tower (CLIP, SigLIP, DINOv2 ...), by hub name or folder.
        progress: called with the number of pictures done so far.

    Raises:
        ConfigError: it names a folder that is not there.
        MachineError: transformers or the model is not there.
        PictureError: a picture vanished meanwhile.
    """
    processor, network, torch = _load(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).eval()
    vectors: list[list[float]] = []
    for start in range(0, len(paths), _BATCH):
        images = [load_rgb(path) for path in paths[start : start + _BATCH]]
        inputs = processor(images=images, return_tensors="pt").to(device)
        with torch.inference_mode():
            vectors.extend(_vectors(network, inputs).float().cpu().tolist())
        progress(len(vectors))
    return vectors


def _load(model: str) -> tuple[Any, Any, Any]:
    try:
        import torch
        from transformers import AutoImageProcessor, AutoModel
    except ImportError:
        raise MachineError("--embed needs transformers", 'pip install "loraforge[engine]"') from None
    if Path(model).is_absolute() and not Path(model).is_dir():
        raise ConfigError(f"--embed {model}: there is no such folder", _NAME_ONE)
    try:
        processor = AutoImageProcessor.from_pretrained(model, trust_remote_code=False)
        return processor, AutoModel.from_pretrained(model, use_safetensors=True, trust_remote_code=False), torch
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = f"the embedding model {model} can't be loaded: {first}"
        raise MachineError(message, _NAME_ONE) from None


def _vectors(network: Any, inputs: Any) -> Any:
    if hasattr(network, "get_image_features"):
        return network.get_image_features(**inputs)
    output = network(**inputs)
    pooled = getattr(output, "pooler_output", None)
    return pooled if pooled is not None else output.last_hidden_state[:, 0]
