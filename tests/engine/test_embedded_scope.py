"""What the embedded engine refuses, it refuses by name and before anything is loaded."""

import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from jobs import ground

from loraforge.config.definite import definite
from loraforge.config.profiles import PROFILES
from loraforge.engine.embedded_scope import DATASET_OPTIONS, OPTIONS, beyond, read_run, told
from loraforge.engine.options import snapshot
from loraforge.engine.owned import OWNED
from loraforge.engine.render import render
from loraforge.presets import names
from loraforge.settings import load

GIVEN: dict[str, Any] = {
    "network_module": "networks.lora_flux",
    "network_train_unet_only": True,
    "optimizer_type": "Adafactor",
    "cache_latents_to_disk": True,
    "cache_text_encoder_outputs_to_disk": True,
    "mixed_precision": "bf16",
    "timestep_sampling": "flux_shift",
    "model_prediction_type": "raw",
    "save_precision": "bf16",
}
DATASET = {"datasets": [{"resolution": 512, "subsets": [{"image_dir": "art", "num_repeats": 2}]}]}


@pytest.mark.parametrize(("preset", "profile"), list(product(names(), [profile.name for profile in PROFILES])))
def test_every_preset_is_taken(preset: str, profile: str) -> None:
    """All that the presets render with any memory profile is built."""
    flags = {
        "dataset.images": ("test", "/pics"),
        "memory.profile": ("test", profile),
        "engine.kind": ("test", "embedded"),
    }
    job = definite(load(None, preset=preset, flags=flags, cwd=Path.cwd()).job, 20, None)
    rendered = render(job, ground(Path("/run")))
    assert beyond(tomllib.loads(rendered.config), tomllib.loads(rendered.dataset)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"fp8_base": True}, "has no option fp8_base"),
        ({"blocks_to_swap": 8}, "has no option blocks_to_swap"),
        ({"network_dropout": 0.1}, "has no option network_dropout"),
        ({"learning_rat": 1e-4}, "has no option learning_rat"),
        ({"resolution": 512}, "has no option resolution"),
        ({"network_train_unet_only": False}, "takes network_train_unet_only = True, not False"),
        ({"loss_type": "huber"}, "takes loss_type = 'l2', not 'huber'"),
        ({"timestep_sampling": "sigmoid"}, "takes timestep_sampling = 'flux_shift', not 'sigmoid'"),
        ({"optimizer_type": "Lion"}, "takes optimizer_type = 'Adafactor' or 'AdamW', not 'Lion'"),
        ({"network_args": ["train_t5xxl=True"]}, "takes network_args ="),
        ({"mixed_precision": "fp16"}, "takes mixed_precision = 'bf16', not 'fp16'"),
        ({"cache_latents_to_disk": False}, "takes cache_latents_to_disk = True, not False"),
    ],
)
def test_refused(change: dict[str, Any], fault: str) -> None:
    """One fault a setting, named, with what is taken instead."""
    (found,) = beyond({"all": GIVEN | change}, DATASET)
    assert found.startswith(fault)


def test_silence_is_the_engines_default() -> None:
    """What a config leaves out counts as the engine's default, and all that is not built is named together."""
    faults = beyond({}, DATASET)
    assert {fault.split()[1] for fault in faults} == set(GIVEN)
    assert "takes mixed_precision = 'bf16', not 'no'" in faults


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        ({}, "takes one dataset with one subset"),
        ({"datasets": DATASET["datasets"] * 2}, "takes one dataset with one subset"),
        (DATASET | {"general": {}}, "takes one dataset with one subset"),
        (
            {"datasets": [{"resolution": 512, "subsets": [{"image_dir": "a", "flip_aug": True}]}]},
            "has no dataset option flip_aug",
        ),
    ],
)
def test_refused_datasets(dataset: dict[str, Any], fault: str) -> None:
    """A dataset file that asks for more than one folder of captioned pictures is refused by name."""
    assert beyond({"all": GIVEN}, dataset) == [fault]


def test_reads_a_run(tmp_path: Path) -> None:
    """The tables of both files are flattened over the engine's defaults."""
    dataset, config = tmp_path / "dataset.toml", tmp_path / "config.toml"
    dataset.write_text(tomli_w.dumps(DATASET), "utf-8")
    config.write_text(tomli_w.dumps({"a": GIVEN, "b": {"dataset_config": str(dataset), "seed": 7}}), "utf-8")
    options, data, faults = read_run(config)
    assert faults == []
    assert (options["seed"], options["sigmoid_scale"], options["resume"]) == (7, 1.0, None)
    assert (data["image_dir"], data["num_repeats"], data["bucket_reso_steps"]) == ("art", 2, 64)


def test_metadata_tells_the_recipe_and_no_path() -> None:
    """The title falls back to the name; where files lie is nobody's business."""
    options = {name: option.default for name, option in snapshot().items()}
    entries = told(options | GIVEN | {"output_name": "art", "network_args": ["train_blocks=single"], "ae": "/home/me"})
    assert entries["modelspec.title"] == "art"
    assert entries["ss_network_args"] == '{"train_blocks": "single"}'
    assert entries["ss_timestep_sampling"] == "flux_shift"
    assert "/home/me" not in entries.values()


def test_nothing_that_the_engine_has_not() -> None:
    """Every option is one of sd-scripts', and one that loraforge renders."""
    assert set(snapshot()) >= OPTIONS
    assert set(OWNED) >= OPTIONS | DATASET_OPTIONS - {"batch_size", "num_repeats", "image_dir"}
