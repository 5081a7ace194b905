"""Compile the two kinds of transformer block."""

import contextlib
import importlib
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loraforge.engine.fast.attention import with_dense_gradient
from loraforge.engine.fast.compiled import note_compiled
from loraforge.engine.fast.part import Context, Refused, known, told

_TRITON_NEEDS = (7, 0)
_FP8_NEEDS = (8, 9)
# Graphs a function may have: one for each number of tokens, and two to spare for each.
_GRAPHS = 192
# Batches of a kind after which compiling one pays: it takes as long as they save, on an H100 (benchmarks/fast.md).
_RARE = 60


def compile_blocks(context: Context) -> None:
    """Compile `_forward` of the two block classes.

    The eager step is bound by launching kernels from Python, and moves every activation many times. Compiled at class
    level one graph serves all blocks of a kind, once for each number of tokens; pictures of one token count but
    different shape share it. Sampling has no gradients and stays eager, so that it compiles nothing.
    """
    import torch
    from library import flux_models

    if context.options.get("torch_compile"):
        raise Refused("the engine's own torch_compile is on")
    if "module_dropout" in " ".join(map(str, context.options.get("network_args") or ())):
        raise Refused("module dropout decides anew at every layer")
    _check_compiler(context)
    double = known(flux_models.DoubleStreamBlock, "_forward", "a7337feae903")
    single = known(flux_models.SingleStreamBlock, "_forward", "1cbeb092361b")
    attention = known(flux_models, "attention", "924df2be7817")
    dynamo, functorch = torch._dynamo.config, torch._functorch.config
    for name in ("recompile_limit", "cache_size_limit"):  # the newer and the older name
        if hasattr(dynamo, name):
            setattr(dynamo, name, _GRAPHS)
            break
    dynamo.accumulated_cache_size_limit = max(dynamo.accumulated_cache_size_limit, 2 * _GRAPHS)
    # A backward pass that can't be compiled must show in the forward pass, from where there is a way back.
    if hasattr(functorch, "force_non_lazy_backward_lowering"):
        functorch.force_non_lazy_backward_lowering = True
    _start_workers()
    inductor = torch._inductor.config
    inductor.fallback_random = True  # dropout draws what eager would draw
    # Fused kernels keep float32 between operations where eager rounds to bf16; rounding as eager does keeps its losses.
    if hasattr(inductor, "emulate_precision_casts"):
        inductor.emulate_precision_casts = True
    flux_models.attention = with_dense_gradient(attention)
    flux_models.DoubleStreamBlock._forward = _compiled(double, context)
    flux_models.SingleStreamBlock._forward = _compiled(single, context)


def _start_workers() -> None:
    """Start the processes that compile: they take seconds to come up, in which the engine loads its models."""
    with contextlib.suppress(Exception):  # whatever prevents a head start shows again when something is compiled
        compiling: Any = importlib.import_module("torch._inductor.async_compile")  # older versions start them here
        getattr(compiling, "maybe_warm_pool", lambda: None)()


def _check_compiler(context: Context) -> None:
    import torch

    if not torch.cuda.is_available():
        if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
            raise Refused("there is no C++ compiler")
        return
    capability = torch.cuda.get_device_capability()
    if capability < _TRITON_NEEDS:
        raise Refused("Triton does not know this card")
    if context.options.get("fp8_base") and capability < _FP8_NEEDS:
        raise Refused("Triton can't read fp8 weights on this card")
    try:
        import triton  # noqa: F401
    except ImportError:
        raise Refused("there is no Triton") from None


def _compiled(eager: Callable[..., Any], context: Context) -> Callable[..., Any]:
    import torch
    import torch.utils.checkpoint

    fast = torch.compile(eager, dynamic=False)
    batch = _batch_size(context.options)

    def _forward(block: Any, *inputs: Any) -> Any:
        if not torch.is_grad_enabled():
            return eager(block, *inputs)
        if torch._C._current_graph_task_id() == -1:
            # A forward pass; recomputed in the backward pass it has to go the same way, or it saves other tensors.
            block._loraforge_eager = "compile" in context.broken or _rare(block, inputs[0], batch)
        if block._loraforge_eager:
            return eager(block, *inputs)
        wanted = inputs
        if _learns(block):
            # The first block's inputs have no gradient; with one like all others' it needs no graph of its own.
            wanted = (*map(_with_gradient, inputs[:streams]), *inputs[streams:])
        try:
            result = fast(block, *wanted)
        except (torch.cuda.OutOfMemoryError, torch.utils.checkpoint._StopRecomputationError):
            raise  # the second is how checkpointing ends a recomputation early
        except Exception as fault:  # noqa: BLE001 - if it is not the compiler's, eager raises it again
            context.broken.add("compile")
            block._loraforge_eager = True
            context.say(f"fast: going on without compile: {told(fault)}")
            return eager(block, *inputs)
        shape = tuple(inputs[0].shape[:2])
        if streams == 2 and shape not in noted:  # of a double block: the pictures' own tokens
            noted.add(shape)
            note_compiled(context.cache, context.options, shape)
        return result

    noted: set[tuple[int, ...]] = set()
    streams = 2 if "txt" in eager.__code__.co_varnames[: eager.__code__.co_argcount] else 1
    return _forward


def _rare(block: Any, images: Any, batch: int) -> bool:
    """Tell whether a batch is the rest of a bucket, which comes once an epoch and mostly once in a run."""
    if len(images) >= batch:
        return False
    rests: Counter[tuple[int, ...]] = vars(block).setdefault("_loraforge_rests", Counter())
    shape = tuple(images.shape[:2])
    rests[shape] += 1
    return rests[shape] <= _RARE


def _batch_size(options: Mapping[str, Any]) -> int:
    try:
        dataset = tomllib.loads(Path(options["dataset_config"]).read_text(encoding="utf-8"))
        return int(dataset["datasets"][0]["batch_size"])
    except (KeyError, IndexError, TypeError, ValueError, OSError):  # for the engine to report, or its default
        return 1


def _learns(block: Any) -> bool:
    """Tell whether something in a block is trained: a LoRA puts its own forward in the place of its layer's."""
    if not hasattr(block, "_loraforge_learns"):
        layers = [getattr(vars(layer).get("forward"), "__self__", None) for layer in block.modules()]
        trained = (weight for layer in (block, *filter(None, layers)) for weight in layer.parameters())
        block._loraforge_learns = any(weight.requires_grad for weight in trained)
    learns: bool = block._loraforge_learns
    return learns


def _with_gradient(tensor: Any) -> Any:
    return tensor if tensor.requires_grad else tensor.detach().requires_grad_()
