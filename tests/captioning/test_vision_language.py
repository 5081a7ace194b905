"""Captioners of the transformers library."""

import importlib.util
from pathlib import Path

import pytest
import torch
from PIL import Image

from loraforge.captioning.batch import Settings, caption_pictures, plan_folder
from loraforge.captioning.vision_language import _told, load_captioner
from loraforge.dataset.caption_history import CaptionHistory
from loraforge.errors import ConfigError, MachineError

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).with_name("tiny_models.py"))
tiny_models = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny_models)

PICTURES = [
    Image.new("RGB", size, colour) for size, colour in (((64, 48), "red"), ((32, 90), "blue"), ((50, 50), "lime"))
]


@pytest.fixture(scope="module", params=["blip2", "llava", "llava without chat template", "qwen"])
def model(request, tmp_path_factory):
    """The folder of a tiny model of each kind."""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    save, _, plain = request.param.partition(" ")
    getattr(tiny_models, f"save_{save}")(folder, **({"chat": False} if plain else {}))
    return folder


def test_batched_and_single_captions_agree(model):
    """From disk through from_pretrained; batching, with its padding, changes no caption."""
    captioner = load_captioner(str(model), device="cpu", max_new_tokens=6)
    together = captioner.describe(PICTURES)
    assert len(together) == 3
    assert together == [captioner.describe([picture])[0] for picture in PICTURES]
    for text in together:
        assert not any(special in text for special in tiny_models.SPECIAL)
        assert len(text.split()) <= 6  # the answer alone: the request would be longer
    assert captioner.describe([]) == []
    assert captioner.longest_side >= 64


def test_a_folder_is_captioned_from_disk(model, tmp_path):
    """The whole code path with real weights, random as they are."""
    for number, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{number}.png")
    settings = Settings(str(model), "zxq", "sparse", 6)
    history = CaptionHistory(tmp_path)
    captioner = load_captioner(str(model), device="cpu", max_new_tokens=6)
    plan = plan_folder(tmp_path, settings, history)
    outcomes = list(caption_pictures(plan.todo, captioner, settings, history, batch_size=2))
    assert [outcome.fault for outcome in outcomes] == [""] * 3
    assert all((tmp_path / f"{number}.txt").read_text().startswith("zxq") for number in range(3))


def test_precision_is_as_asked(tmp_path):
    """fp32 on a CPU unless told otherwise."""
    tiny_models.save_blip2(tmp_path)
    assert load_captioner(str(tmp_path), device="cpu").model.dtype == torch.float32
    assert load_captioner(str(tmp_path), device="cpu", precision="bf16").model.dtype == torch.bfloat16


def test_a_batch_too_large_is_halved(tmp_path, monkeypatch):
    """Out of memory with three pictures, not with one; and told when one is too many."""
    tiny_models.save_blip2(tmp_path)
    captioner = load_captioner(str(tmp_path), device="cpu", max_new_tokens=4)
    expected = captioner.describe(PICTURES)
    real, sizes = captioner._generate, []

    def tight(pictures, limit=1):
        sizes.append(len(pictures))
        if len(pictures) > limit:
            raise torch.OutOfMemoryError
        return real(pictures)

    monkeypatch.setattr(captioner, "_generate", tight)
    assert captioner.describe(PICTURES) == expected
    assert sizes == [3, 1, 2, 1, 1]
    monkeypatch.setattr(captioner, "_generate", lambda pictures: tight(pictures, limit=0))
    with pytest.raises(MachineError, match="single picture"):
        captioner.describe(PICTURES)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./no/such/folder", "no such folder"),
        ("a b", "no hub name"),
        ("owner/name/deep", "no hub name"),
        ("", "hub name"),
    ],
)
def test_impossible_names_are_told_at_once(name, said):
    """Before anything heavy is imported or asked."""
    with pytest.raises(ConfigError, match=said):
        load_captioner(name)


def test_damaged_and_foreign_folders_are_told(tmp_path):
    """An empty folder, half a model, another kind of model, Florence-2."""
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_captioner(str(tmp_path), device="cpu")
    for config, said in (
        ('{"model_type": "bert"}', "is a bert model"),
        ('{"model_type": "florence2"}', "newer transformers"),
        ('{"model_type": "blip-2"}', "can't be loaded"),
    ):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises((ConfigError, MachineError), match=said):
            load_captioner(str(tmp_path), device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
def test_a_device_that_is_not_there_is_told(tmp_path):
    """No CUDA, no traceback."""
    with pytest.raises(MachineError, match="sees no such device"):
        load_captioner(str(tmp_path), device="cuda")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("You are trying to access a gated repo.\nMake sure ...", MachineError, "accepted its licence"),
        (
            "We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cache.",
            MachineError,
            "can't be reached",
        ),
        (
            "Cannot find the requested files ... HF_HUB_OFFLINE offline mode is enabled",
            MachineError,
            "can't be reached",
        ),
        ("x/y is not a local folder and is not a valid model identifier listed on ...", ConfigError, "no public model"),
        ("The checkpoint ... Transformers does not recognize this architecture", ConfigError, "does not know"),
        ("Error no file named model.safetensors\nlong", MachineError, "no file named"),
        ("", MachineError, "OSError"),
    ],
)
def test_hub_errors_are_told_plainly(text, kind, said):
    """The libraries' long texts become one sentence and a hint."""
    fault = _told("owner/name", OSError(text))
    assert isinstance(fault, kind)
    assert said.replace("no public", "no such public") in fault.message
    assert fault.hint
    assert "\n" not in fault.message
