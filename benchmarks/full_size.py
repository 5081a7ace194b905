"""Full-size FLUX.1-dev files with random values, which take the time and memory of the real ones.

usage: full_size.py ENGINE_DIR FOLDER     (34 GB in FOLDER, a tmpfs is fine; about a minute with a CUDA card)
"""

import sys
from pathlib import Path
from typing import Any

NAMES = {"transformer": "flux1-dev", "autoencoder": "ae", "clip_l": "clip_l", "t5xxl": "t5xxl"}


def write_weights(engine: Path, folder: Path) -> dict[str, Path]:
    """Write the four files and return them by the names of loraforge's settings; those that exist are kept."""
    import torch

    sys.path[:0] = [str(engine.resolve())]
    from library import flux_models, flux_utils

    dev = flux_models.configs["dev"]
    with torch.device("meta"):
        makers: dict[str, Any] = {
            "transformer": lambda: flux_models.Flux(dev.params),
            "autoencoder": lambda: flux_models.AutoEncoder(dev.ae_params),
        }
    for name, load in (("clip_l", flux_utils.load_clip_l), ("t5xxl", flux_utils.load_t5xxl)):
        # With no tensors the loaders return the architecture on the meta device.
        makers[name] = lambda load=load: load(None, None, "cpu", state_dict={})
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{NAMES[name]}.safetensors" for name in makers}
    for name, make in makers.items():
        if not paths[name].exists():
            with torch.device("meta"):
                shapes = make().state_dict()
            shapes.pop("encoder.embed_tokens.weight", None)  # T5's, tied to shared.weight
            _write(shapes, paths[name])
    return paths


def _write(shapes: dict[str, Any], path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    values = {}
    for name, meta in shapes.items():
        value = torch.empty(meta.shape, dtype=torch.bfloat16, device=device)
        if meta.ndim > 1:
            value.normal_(0, 0.02)
        else:
            value.fill_(1 if name.endswith(("scale", "weight")) else 0)
        values[name] = value.cpu()
    part = path.with_suffix(".part")
    save_file(values, part, metadata={"format": "pt"})
    part.replace(path)


def materialise(module: Any, device: Any, dtype: Any) -> Any:
    """Give parameters without memory random values on a device; buffers that have values keep them."""
    import torch

    for child in module.modules():
        for name, parameter in list(child.named_parameters(recurse=False)):
            # Made in their final type: a cast would leave holes behind that the engine's loading does not.
            values = torch.empty(parameter.shape, device=device, dtype=dtype)
            if parameter.ndim < 2:
                values.fill_(1 if name in {"weight", "scale"} else 0)
            elif dtype == torch.float8_e4m3fn:
                values.view(torch.uint8).random_(0, 32)  # 0 to 1/8
            else:
                values.normal_(0, 0.02)
            setattr(child, name, torch.nn.Parameter(values, requires_grad=False))
    return module.to(device)


def write_pictures(folder: Path, sizes: tuple[tuple[int, int], ...], count: int = 20) -> Path:
    """Write captioned pictures of these (width, height) by turns."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for index in range(count):
        width, height = sizes[index % len(sizes)]
        cells = random.integers(0, 255, (height // 32, width // 32, 3), dtype=np.uint8)
        Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{index:02}.png")
        (folder / f"{index:02}.txt").write_text(f"ohwx, picture {index}", encoding="utf-8")
    return folder


if __name__ == "__main__":
    for option, path in write_weights(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(option, path)
