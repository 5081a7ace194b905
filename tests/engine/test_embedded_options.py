"""What the embedded engine refuses, it refuses by name and before it loads anything."""

import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from jobs import ground

from loraforge.config.profiles import PROFILES
from loraforge.engine.embedded_options import DEFAULTS, REQUIRED, dataset_faults, option_faults
from loraforge.engine.options import snapshot
from loraforge.engine.owned import OWNED
from loraforge.engine.render import render
from loraforge.presets import names
from loraforge.run.settle import definite
from loraforge.settings import load

GIVEN: dict[str, Any] = {
    "pretrained_model_name_or_path": "flux.safetensors",
    "clip_l": "clip.safetensors",
    "t5xxl": "t5.safetensors",
    "ae": "ae.safetensors",
    "dataset_config": "dataset.toml",
    "output_dir": "out",
    "output_name": "lora",
    "network_module": "networks.lora_flux",
    "network_dim": 16,
    "network_alpha": 16.0,
    "network_train_unet_only": True,
    "learning_rate": 1e-4,
    "optimizer_type": "Adafactor",
    "optimizer_args": ["relative_step=False", "scale_parameter=False"],
    "max_train_steps": 12,
    "seed": 1,
    "cache_latents": True,
    "cache_text_encoder_outputs": True,
    "timestep_sampling": "flux_shift",
    "model_prediction_type": "raw",
}
DATASET = {"datasets": [{"resolution": 512, "subsets": [{"image_dir": "art", "num_repeats": 2}]}]}


def test_accepted() -> None:
    """What a preset renders is taken."""
    assert option_faults(GIVEN) == []
    assert dataset_faults(DATASET) == []


@pytest.mark.parametrize(("preset", "profile"), list(product(names(), [profile.name for profile in PROFILES])))
def test_every_preset_is_taken(preset: str, profile: str) -> None:
    """Of what presets and memory profiles render, only fp8 and block swapping are beyond the embedded engine."""
    flags = {"dataset.images": ("test", "/pics"), "memory.profile": ("test", profile)}
    rendered = render(
        definite(load(None, preset=preset, flags=flags, cwd=Path.cwd()).job, 20, None), ground(Path("/run"))
    )
    flat = {name: value for table in tomllib.loads(rendered.config).values() for name, value in table.items()}
    beyond = {f"has no option {name}" for name in ("fp8_base", "blocks_to_swap") if name in flat}
    assert set(option_faults(flat)) == beyond
    assert dataset_faults(tomllib.loads(rendered.dataset)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fp8_base": True}, "has no option fp8_base"),
        ({"blocks_to_swap": 8}, "has no option blocks_to_swap"),
        ({"network_dropout": 0.1}, "has no option network_dropout"),
        ({"learning_rat": 1e-4}, "has no option learning_rat"),
        ({"network_train_unet_only": False}, "takes network_train_unet_only = True, not False"),
        ({"loss_type": "huber"}, "takes loss_type = 'l2', not 'huber'"),
        ({"optimizer_type": "AdamWScheduleFree"}, "takes optimizer_type = adafactor or adamw or adamw8bit"),
        ({"optimizer_args": []}, "needs relative_step=False in optimizer_args"),
        ({"network_args": ["train_t5xxl=True"]}, "takes network_args ="),
        ({"mixed_precision": "fp16"}, "takes mixed_precision = 'bf16' or 'no', not 'fp16'"),
    ],
)
def test_refused(change: dict[str, Any], fault: str) -> None:
    """One fault a setting, named, with what is taken instead."""
    (found,) = option_faults(GIVEN | change)
    assert found.startswith(fault)


def test_all_faults_at_once() -> None:
    """Missing options, and those whose engine default is not built, are named together."""
    faults = option_faults({})
    assert [f"needs the option {name}" for name in REQUIRED] == [fault for fault in faults if "needs the" in fault]
    assert any(fault.startswith("takes timestep_sampling") for fault in faults)
    assert any(fault.startswith("takes cache_latents") for fault in faults)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({}, "takes one dataset with one subset"),
        ({"datasets": DATASET["datasets"] * 2}, "takes one dataset with one subset"),
        (DATASET | {"general": {}}, "has no dataset option general"),
        (
            {"datasets": [{"resolution": 512, "subsets": [{"image_dir": "a", "flip_aug": True}]}]},
            "has no dataset option flip_aug",
        ),
        ({"datasets": [{"subsets": [{"image_dir": "a"}]}]}, "needs the dataset option resolution"),
    ],
)
def test_refused_datasets(config: dict[str, Any], fault: str) -> None:
    """A dataset file that asks for more than one folder of captioned pictures is refused by name."""
    assert dataset_faults(config) == [fault]


def test_nothing_that_the_engine_has_not() -> None:
    """Every option is one of sd-scripts', with its default, and one that loraforge renders."""
    options = snapshot()
    for name in (*REQUIRED, *DEFAULTS):
        assert name in options
        assert name in OWNED
    defaults = {name: options[name].default for name in DEFAULTS}
    assert {name: value or None for name, value in defaults.items()} == {
        name: value or None for name, value in DEFAULTS.items()
    }
