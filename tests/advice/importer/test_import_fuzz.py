"""Whatever is fed to it, an import ends: with settings that load, or with a ConfigError."""

import json
import random
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loraforge.advice.importer import import_bytes
from loraforge.config.job import Job, contradictions
from loraforge.engine.options import snapshot
from loraforge.errors import ConfigError

_GUIDE = Path(__file__).with_name("guide_command.txt").read_bytes()
_GUI = json.dumps(
    {"LoRA_type": "Flux1", "network_dim": 8, "epoch": 2, "optimizer": "Lion", "train_data_dir": "x"}
).encode()
_CONFIG = b'network_dim = 8\noptimizer_args = ["a=1"]\nlr_warmup_steps = 50.0\n[x]\nresolution = "512"\n'
_DATASET = b'[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "x"\nnum_repeats = 2\n'
_SEEDS = (_GUIDE, _GUI, _CONFIG, _DATASET)
_WORDS = r"""1 0 -1 0.5 1e999 nan inf 5% 1024,1024 99999999999999999999999 true null [1,2] [] {} = ( ) @( "" 'x " '
"false" \ ` ^ # $X ${X} %X% < > | && &quot; “ — C:\a\b \ud800"""
_PIECES = (*_WORDS.split(), "\n", "\\\n", "\x00", " --")


def ends_well(data: bytes) -> bool:
    """Import bytes; tell whether settings came of them, which then are valid, writable and readable."""
    try:
        imported = import_bytes(data, name="it", base=None, options=snapshot())
    except ConfigError:
        return False
    assert not list(contradictions(Job.model_validate(imported.values)))
    tomllib.loads(imported.toml())
    json.dumps(imported.values)
    return True


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_end_well(data: bytes) -> None:
    """No crash on noise."""
    ends_well(data)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_OPTIONS = st.sampled_from(sorted(snapshot()))
_GUI_NAMES = st.sampled_from(
    ["LoRA_type", "optimizer", "epoch", "lr_warmup", "max_resolution", "text_encoder_lr", "xformers"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(_OPTIONS | _GUI_NAMES, _VALUES, max_size=12))
def test_any_json_of_options_ends_well(values: dict[str, object]) -> None:
    """No crash on any value of any option."""
    ends_well(json.dumps(values).encode())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(_OPTIONS, st.lists(st.text(max_size=12) | st.sampled_from(_PIECES), max_size=3)), max_size=12)
)
def test_any_command_of_options_ends_well(options: list[tuple[str, list[str]]]) -> None:
    """No crash on any word behind any option."""
    words = " ".join(f"--{name} {' '.join(values)}" for name, values in options)
    ends_well(f"accelerate launch flux_train_network.py {words}".encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "key", ["network_dim", "gpu_ids", "lr_warmup", "text_encoder_lr", "optimizer_args", "sample_prompts"]
)
@pytest.mark.parametrize("depth", [50, 600, 20_000])
def test_any_depth_ends_well(key: str, depth: int) -> None:
    """No nesting is too deep to be refused."""
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        value = opening * depth + "1" + closing * depth
        ends_well(f'{{"LoRA_type": "Flux1", "seed": 1, "{key}": {value}}}'.encode())


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{index} = {index}\n" for index in range(30_000)),
        "train.py " + " ".join(f"--k{index} 1" for index in range(30_000)),
        "train.py --seed " + "a " * 200_000,
        "optimizer_args = '" + "a=1 " * 100_000 + "'\n",
        "--seed 1 " + "— " * 100_000,
        "--seed 1 " + "<p " * 100_000,
    ],
    ids=["keys", "options", "words", "arguments", "dashes", "tags"],
)
def test_any_size_ends_soon(text: str) -> None:
    """Whatever is large is read in seconds."""
    start = time.monotonic()
    ends_well(text.encode())
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("seed", range(4))
def test_mutated_recipes_end_well_and_soon(seed: int) -> None:
    """Recipes with anything cut out, put in and doubled end well; many still are recipes."""
    chance = random.Random(seed)  # noqa: S311  # the same mutations each time
    start, good = time.monotonic(), 0
    for _ in range(200):
        data = bytearray(chance.choice(_SEEDS))
        for _ in range(chance.randint(1, 10)):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    data[at : at + chance.randint(0, 30)] = b""
                case 1:
                    data[at:at] = chance.choice(_PIECES).encode("utf-8", "replace")
                case 2:
                    data[at:at] = chance.randbytes(chance.randint(1, 6))
                case _:
                    other = chance.randrange(len(data) + 1)
                    data[at:at] = data[other : other + chance.randint(0, 100)]
        good += ends_well(bytes(data))
    assert good > 20
    assert time.monotonic() - start < 60
