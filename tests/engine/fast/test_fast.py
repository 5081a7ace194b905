"""Parts are applied in their order; one that can't serve is told in a line and left out."""

import types

import pytest

from loraforge.engine import fast
from loraforge.engine.fast import norms, segments, swap
from loraforge.engine.fast.part import Context, Refused, fingerprint, known


def _context(**options: object) -> Context:
    return Context(options, say=lambda _: None)


def test_apply_tells_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal and a fault cost one line each; what remains is applied, in the parts' own order."""
    done: list[str] = []

    def refuse(_: Context) -> None:
        raise Refused("the card is too old")

    def fail(_: Context) -> None:
        raise ImportError("no module\nand more")

    parts = {
        "hash": lambda _: done.append("hash"),
        "norms": refuse,
        "swap": fail,
        "compile": lambda _: done.append("c"),
    }
    monkeypatch.setattr(fast, "PARTS", parts)
    said: list[str] = []
    assert fast.apply(["compile", "swap", "norms", "hash"], _context(), said.append) == ("hash", "compile")
    assert done == ["hash", "c"]
    assert said == [
        "fast: without norms: the card is too old",
        "fast: without swap: ImportError: no module",
        "fast: hash, compile",
    ]


def test_only_the_known_function_is_patched() -> None:
    """A function with another source is refused, spacing aside; so is a missing one."""
    owner = types.SimpleNamespace(__name__="engine", taken=_context)
    assert known(owner, "taken", fingerprint(_context)) is _context
    for name in ("taken", "missing"):
        with pytest.raises(Refused, match=f"engine.{name} is not that of the pinned version"):
            known(owner, name, "0" * 12)


@pytest.mark.parametrize(
    ("part", "options", "why"),
    [
        (norms.skip_norms, {"log_with": "tensorboard"}, "a tracker logs the norms"),
        (norms.skip_norms, {"logging_dir": "logs"}, "a tracker logs the norms"),
        (fast.PARTS["adafactor"], {"optimizer_type": "AdamW"}, "the optimizer is another"),
        (fast.PARTS["hash"], {}, "the base model is not a file"),
        (swap.swap_one_way, {}, "no blocks are swapped"),
        (swap.swap_one_way, {"blocks_to_swap": 8}, "without gradient checkpointing"),
    ],
)
def test_conditions(part: fast.Part, options: dict[str, object], why: str) -> None:
    """Where a part has nothing to do it says so before it imports anything of the engine."""
    with pytest.raises(Refused, match=why):
        part(_context(**options))


@pytest.mark.parametrize(
    ("setting", "system", "release", "why"),
    [
        ("PYTORCH_ALLOC_CONF", "Linux", "6.8.0", "PYTORCH_ALLOC_CONF is set"),
        ("PYTORCH_CUDA_ALLOC_CONF", "Linux", "6.8.0", "PYTORCH_CUDA_ALLOC_CONF is set"),
        ("", "Windows", "11", "segments grow on Linux only"),
        ("", "Linux", "6.6.87.2-microsoft-standard-WSL2", "segments grow on Linux only"),
    ],
)
def test_segments_grow_where_they_can(
    monkeypatch: pytest.MonkeyPatch, setting: str, system: str, release: str, why: str
) -> None:
    """The user's own setting decides, and where torch or the driver can't, it is left as it is."""
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(setting, "max_split_size_mb:512")
    monkeypatch.setattr(segments.platform, "system", lambda: system)
    monkeypatch.setattr(segments.platform, "release", lambda: release)
    with pytest.raises(Refused, match=why):
        segments.grow_segments(_context())


@pytest.mark.spawns  # importing torch does, for the first test that needs it
def test_segments_stay_where_the_card_has_no_virtual_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows at the first request only: the part makes it, and takes its setting back."""
    asked: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA driver error: operation not supported\nmore")

    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(segments.platform, "release", lambda: "6.8.0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch._C._accelerator_setAllocatorSettings", asked.append)
    monkeypatch.setattr("torch.empty", refuse)
    with pytest.raises(Refused, match=r"no virtual memory: CUDA driver error: operation not supported$"):
        segments.grow_segments(_context())
    assert asked == ["expandable_segments:True", "expandable_segments:False"]


def test_all_parts_have_a_reason() -> None:
    """Every part's docstring says why it is there."""
    assert all((part.__doc__ or "").count("\n") > 1 for part in fast.PARTS.values())
