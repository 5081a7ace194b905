"""What every test shares: the engine where there is one, and a guard against processes started by accident."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from loraforge.engine.locate import EngineHome, find

pytest.register_assert_rewrite("end_to_end")
# A shell's background job ignores these, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that train, so that no worker is left alone with a long one at the end."""
    long = {item.path for item in items if item.get_closest_marker("engine")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def engine_home() -> EngineHome:
    """Return the sd-scripts of this machine, or skip: most tests need none."""
    home = find()
    if home is None:
        pytest.skip("no sd-scripts here: run `git submodule update --init` or set LORAFORGE_ENGINE")
    return home


@pytest.fixture(autouse=True)
def _no_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that starts a process without being marked `spawns` or `engine`."""
    if request.node.get_closest_marker("spawns") or request.node.get_closest_marker("engine"):
        yield
        return

    def refuse(_self: object, args: object, *_: Any, **__: Any) -> NoReturn:
        # Failed is a BaseException, so that no `except Exception` of the code under test hides it.
        pytest.fail(f"starts a process without the marker `spawns` or `engine`: {args}")

    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", refuse)
        yield


# Tiny: what a file is shows in its header, whatever the sizes.
_LAYOUTS = {
    "flux1-dev.safetensors": {
        "img_in.weight": (96, 64),
        "txt_in.weight": (96, 64),
        "final_layer.linear.weight": (64, 96),
        "double_blocks.0.img_attn.proj.bias": (96,),
        "single_blocks.0.modulation.lin.bias": (288,),
        "guidance_in.in_layer.bias": (96,),
    },
    "clip_l.safetensors": {
        "text_model.embeddings.token_embedding.weight": (100, 64),
        "text_model.embeddings.position_embedding.weight": (77, 64),
        "text_model.encoder.layers.0.self_attn.q_proj.weight": (64, 64),
    },
    "t5xxl_fp16.safetensors": {
        "shared.weight": (100, 64),
        "encoder.block.0.layer.0.SelfAttention.q.weight": (64, 64),
        "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": (64, 64),
    },
    "ae.safetensors": {
        "encoder.conv_in.weight": (32, 3, 3, 3),
        "encoder.down.0.block.0.norm1.weight": (32,),
        "decoder.conv_in.weight": (64, 16, 3, 3),
    },
}
Shapes = Mapping[str, tuple[int, ...]]


@pytest.fixture
def layouts() -> dict[str, Shapes]:
    """Return the tensors, tiny but laid out as FLUX's are, of the four weight files by their well-known names."""
    return {name: dict(shapes) for name, shapes in _LAYOUTS.items()}


@pytest.fixture
def write_weights() -> Callable[..., Path]:
    """Return a writer of .safetensors files: `write(path, {name: shape}, dtype="BF16")`."""

    def write(path: Path, shapes: Shapes, dtype: str = "BF16") -> Path:
        width, entries, end = {"BF16": 2, "F16": 2, "F32": 4}.get(dtype, 1), {}, 0
        for name, shape in shapes.items():
            begin, end = end, end + width * math.prod(shape)
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
        return path

    return write
