"""From checkpoints to pictures and parcels on the real engine, with tiny weights."""

import shutil

import numpy as np
import pytest
from fake_runs import lora_tensors, make_run
from in_diffusers import assert_same_in_diffusers
from PIL import Image

from loraforge.compare.generate import generate
from loraforge.compare.grid import BASE, Version, cell_file, from_generated
from loraforge.compare.prompts import PromptSet, TellingPrompt, rows
from loraforge.engine.header import read_header
from loraforge.engine.tiny import make_tiny_flux
from loraforge.errors import LoraforgeError
from loraforge.run.history import read_run
from loraforge.ship.convert import convert, expected_names
from loraforge.ship.keys import name_faults
from loraforge.ship.lora_file import Lora, read_lora, write_bf16
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
    parcel = pack(run, Order(words_of(run.job), step=100, diffusers=True), tmp_path / "out")
    assert set(read_header(parcel.diffusers)) == expected_names(read_lora(parcel.lora).modules())
    assert_same_in_diffusers(parcel.diffusers, run.loras()[100], weights)


@pytest.mark.engine
def test_all_blocks_of_the_full_model_are_converted(engine_home, tmp_path):
    """19 double and 38 single blocks, of rank 1 and tiny widths: every name is a layer of diffusers' FLUX."""
    torch = pytest.importorskip("torch")
    from diffusers import FluxTransformer2DModel

    tensors = {name: value.astype(np.float32) for name, value in lora_tensors(1, doubles=19, singles=38).items()}
    lora = Lora(tensors, {})
    assert (len(lora.modules()), name_faults(lora)) == (19 * 10 + 38 * 3, [])
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    write_bf16(source, lora)
    convert(source, target, engine_home)
    with torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=19, num_single_layers=38, guidance_embeds=True)
    layers = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    found = {name.removeprefix("transformer.").rpartition(".lora_")[0] for name in read_header(target)}
    assert found <= layers
    assert found == {name for name in layers if name.startswith(("transformer_blocks", "single_transformer_blocks"))}
