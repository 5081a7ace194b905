"""Which blocks run compiled, and what happens when one can't be."""

import json
from pathlib import Path

import pytest
from in_engine import answer

from loraforge.engine.locate import EngineHome

_DATASET = "[[datasets]]\nbatch_size = 2\n"
# The engine's own blocks, recomputed in the backward pass where it is asked for. What is compiled goes through the same
# steps as ever but the last: no C++ is made of it.
_BLOCKS = """
import json, sys
from functools import partial
sys.path[:0] = sys.argv[1:3]
import torch
from library import flux_models as models
from loraforge.engine.fast import blocks
from loraforge.engine.fast.part import Context
asked = json.loads(sys.argv[3])
said, compiled, really = [], [], torch.compile
def compiling(eager, **named):
    fast = really(eager, backend="aot_eager", **named)
    def counted(block, *inputs):
        compiled.append(type(block).__name__)
        if type(block).__name__ == asked["fails"]:
            raise RuntimeError("out of resource: shared memory")
        return fast(block, *inputs)
    return counted
torch.compile = compiling
if asked["fast"]:
    blocks._start_workers, blocks._RARE = lambda: None, asked["rare"]
    blocks.compile_blocks(Context({"dataset_config": asked["dataset"]}, said.append))
torch.manual_seed(0)
doubles = [models.DoubleStreamBlock(64, 2, mlp_ratio=4.0, qkv_bias=True) for _ in range(2)]
singles = [models.SingleStreamBlock(64, 2, mlp_ratio=4.0) for _ in range(2)]
for block in doubles + singles:
    block.requires_grad_(False).train()
    if asked["checkpointed"]:
        block.enable_gradient_checkpointing()
class Lora(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.forward_before, self.down = layer.forward, torch.nn.Linear(64, 64, bias=False)
        layer.forward = self.forward
    def forward(self, x):
        return self.forward_before(x) + self.down(x).repeat(1, 1, 7)
loras = [Lora(block.linear1) for block in singles]
image, text, vector = torch.randn(asked["batch"], 8, 64), torch.randn(asked["batch"], 4, 64), torch.randn(1, 64)
if asked["checkpointed"]:
    image.requires_grad_(), text.requires_grad_()
pe, saved = torch.randn(1, 1, 12, 16, 2, 2), [0]
def count(tensor):
    saved[0] += tensor.nbytes
    return tensor
losses = []
for _ in range(2):
    i, t = image, text
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        for block in doubles:
            i, t = block(img=i, txt=t, vec=vector, pe=pe, txt_attention_mask=None)
    x = torch.cat((t, i), 1)
    for block in singles:
        x = block(x, vec=vector, pe=pe, txt_attention_mask=None)
    x.square().sum().backward()
    losses.append(sum(lora.down.weight.grad.square().sum().item() for lora in loras))
print(json.dumps({"said": said, "compiled": compiled, "saved": saved[0], "learnt": losses}))
"""


@pytest.mark.engine
def test_a_failure_between_two_blocks_is_survived(engine_home: EngineHome, tmp_path: Path) -> None:
    """What ran compiled before is recomputed compiled, and everything after runs as the engine has it."""
    plain = _run(engine_home, tmp_path, fast=False)
    broken = _run(engine_home, tmp_path, fails="SingleStreamBlock")
    assert broken["said"] == ["fast: going on without compile: RuntimeError: out of resource: shared memory"]
    assert broken["compiled"] == ["DoubleStreamBlock", "DoubleStreamBlock", "SingleStreamBlock"] + 2 * [
        "DoubleStreamBlock"
    ]
    assert broken["learnt"] == pytest.approx(plain["learnt"], rel=1e-4)


@pytest.mark.engine
def test_blocks_that_learn_nothing_keep_nothing(engine_home: EngineHome, tmp_path: Path) -> None:
    """Where only later blocks are trained, nothing is kept of the first: they have no backward pass."""
    plain, fast = (_run(engine_home, tmp_path, fast=way, checkpointed=False) for way in (False, True))
    assert plain["saved"] == fast["saved"] == 0
    assert len(fast["compiled"]) == 8
    assert fast["learnt"] == pytest.approx(plain["learnt"], rel=1e-4)


@pytest.mark.engine
def test_the_rest_of_a_bucket_is_not_compiled(engine_home: EngineHome, tmp_path: Path) -> None:
    """A batch that is not whole mostly comes once; one that keeps coming is compiled, by all blocks at once."""
    assert _run(engine_home, tmp_path, batch=1)["compiled"] == []
    often = _run(engine_home, tmp_path, batch=1, rare=1)["compiled"]
    assert sorted(often) == 4 * ["DoubleStreamBlock"] + 4 * ["SingleStreamBlock"]  # the second batch, and recomputed


def _run(home: EngineHome, scratch: Path, **asked: object) -> dict[str, list]:
    dataset = scratch / "dataset.toml"
    dataset.write_text(_DATASET, "utf-8")
    asked = {"fast": True, "checkpointed": True, "batch": 2, "rare": 60, "fails": "", "dataset": str(dataset)} | asked
    return answer(_BLOCKS, home.path, json.dumps(asked))
