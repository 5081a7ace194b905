"""From checkpoints to pictures and parcels on the real engine, with tiny weights."""

import shutil

import numpy as np
import pytest
from fake_runs import make_run
from PIL import Image

from loraforge.compare.generate import generate
from loraforge.compare.grid import BASE, Version, cell_file, from_generated
from loraforge.compare.prompts import PromptSet, TellingPrompt, rows
from loraforge.engine.header import read_header
from loraforge.engine.tiny import make_tiny_flux
from loraforge.errors import LoraforgeError
from loraforge.run.history import read_run
from loraforge.ship.convert import expected_names
from loraforge.ship.lora_file import DOWN, UP, read_lora
from loraforge.ship.metadata import words_of
from loraforge.ship.parcel import Order, pack

PROMPTS = PromptSet(width=64, height=64, steps=2, prompts=[TellingPrompt(text="a 'quoted\" boat; ü", pair=False)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Make tiny weights."""
    return make_tiny_flux(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def run(weights, tmp_path):
    """Make a run whose LoRAs fit the tiny weights; its folder has a semicolon, which the engine's option splits at."""
    model = {
        "transformer": str(weights.transformer),
        "clip_l": str(weights.clip_l),
        "t5xxl": str(weights.t5xxl),
        "autoencoder": str(weights.autoencoder),
        "tokenizers": str(weights.tokenizers),
    }
    return read_run(make_run(tmp_path / "it's; mine" / "1", steps=(100, 200), model=model, hidden=96, prompts=[]).path)


def _pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), int)


@pytest.mark.engine
def test_the_shipped_file_draws_what_its_checkpoint_draws(engine_home, run, tmp_path):
    """In one process: the base, checkpoints at two strengths, and the shipped file, whose picture is its origin's."""
    parcel = pack(run, Order(words_of(run.job), step=100), tmp_path / "out")
    shutil.copy(parcel.lora, run.folder.checkpoint("art", 150))
    told = []
    lines = rows(PROMPTS, "zxqv")
    grid = from_generated(run, lines, [0.5, 1.0])
    assert generate(run, grid, progress=lambda done, of, _left: told.append((done, of))) == 7
    assert told[-1] == (7, 7)
    drawn = {version: _pixels(cell_file(run, lines[0], version)) for version in grid.versions}
    assert np.array_equal(drawn[Version(100)], drawn[Version(150)])
    for version in (Version(100), Version(200), Version(100, 0.5)):
        assert not np.array_equal(drawn[version], drawn[BASE])
    assert not np.array_equal(drawn[Version(100)], drawn[Version(200)])
    assert not list((run.folder.path / "compare").glob(".work-*"))
    assert generate(run, from_generated(run, lines, [0.5, 1.0])) == 0


@pytest.mark.engine
def test_an_engine_that_fails_is_told(engine_home, run):
    """A LoRA that does not fit ends the script: its words are told, and nothing is left behind."""
    shutil.copy(make_run(run.folder.path.parent / "2", steps=(2,), hidden=24, prompts=[]).lora("art"), run.loras()[100])
    with pytest.raises(LoraforgeError, match="drew no picture") as caught:
        generate(run, from_generated(run, rows(PROMPTS, "zxqv"), [1.0]))
    assert "size mismatch" in caught.value.message
    assert not list((run.folder.path / "compare").iterdir())


@pytest.mark.engine
def test_converted_for_diffusers(engine_home, run, weights, tmp_path):
    """The engine's conversion has every layer, and in diffusers gives what the checkpoint merged by hand gives."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from loraforge.engine.diffusers_layout import to_diffusers
    from loraforge.engine.flux_pipeline import load_pipeline

    parcel = pack(run, Order(words_of(run.job), step=100, diffusers=True), tmp_path / "out")
    lora = read_lora(parcel.lora)
    assert set(read_header(parcel.diffusers)) == expected_names(lora.modules())
    state = {name: tensor.float() for name, tensor in load_file(weights.transformer).items()}
    names = {"lora_unet_" + name.removesuffix(".weight").replace(".", "_"): name for name in state}
    merged = dict(state)
    for module in lora.modules():
        update = lora.tensors[module + UP] @ lora.tensors[module + DOWN] * lora.scale(module)
        merged[names[module]] = merged[names[module]] + torch.from_numpy(update)
    pipeline = load_pipeline(weights)
    model = pipeline.transformer.float().eval()
    inputs = _inputs(torch, model.config)
    with torch.no_grad():
        base = model(**inputs)[0]
        pipeline.load_lora_weights(str(parcel.folder), weight_name=parcel.diffusers.name)
        adapted = model(**inputs)[0]
        pipeline.unload_lora_weights()
        model.load_state_dict(to_diffusers(merged))
        expected = model(**inputs)[0]
    change = (expected - base).abs().mean()
    assert change > 0.05
    assert (adapted - expected).abs().mean() < 0.01 * change


def _inputs(torch, config):
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(16, 3)
    ids[:, 1], ids[:, 2] = torch.arange(16) // 4, torch.arange(16) % 4
    return {
        "hidden_states": torch.randn(1, 16, config.in_channels, generator=generator),
        "encoder_hidden_states": torch.randn(1, 8, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(1, config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([3.5]),
        "img_ids": ids,
        "txt_ids": torch.zeros(8, 3),
        "return_dict": False,
    }
