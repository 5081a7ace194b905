"""Files and folders people have: TOML, GUI JSON, fluxgym, N_name folders, prompt files."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from loraforge.advice.importer import Imported, import_bytes, import_path, import_text, kohya_toml
from loraforge.config.job import Job
from loraforge.engine.locate import EngineHome
from loraforge.engine.options import snapshot
from loraforge.errors import ConfigError

_GUI: dict[str, Any] = {
    "LoRA_type": "Flux1",
    "flux1_checkbox": True,
    "pretrained_model_name_or_path": "E:\\models\\flux1-dev.safetensors",
    "flux1_cache_text_encoder_outputs": True,
    "cache_latents": True,
    "cache_latents_to_disk": True,
    "optimizer": "AdamW8bit",
    "optimizer_args": "weight_decay=0.1",
    "max_resolution": "512,512",
    "enable_bucket": True,
    "bucket_reso_steps": 32,
    "network_dim": 8,
    "network_alpha": 8,
    "learning_rate": "0.0001",
    "unet_lr": 0.0001,
    "text_encoder_lr": 0,
    "lr_scheduler": "cosine",
    "lr_warmup": 10,
    "max_train_steps": 1000,
    "max_train_epochs": 0,
    "noise_offset": 0,
    "train_blocks": "single",
    "xformers": "sdpa",
    "seed": 0,
    "sample_prompts": "zxy, a cat --w 768 --h 512 --l 3\nzxy, a dog --w 768 --h 512",
    "additional_parameters": "--ip_noise_gamma 0.05",
}
_SCRIPT = """accelerate launch \\
  --mixed_precision bf16 \\
  --num_cpu_threads_per_process 1 \\
  sd-scripts/flux_train_network.py \\
  --network_module networks.lora_flux --network_dim 4 \\
  --max_train_epochs 16 --save_every_n_epochs 4 \\
  --max_grad_norm 0.0 \\--sample_prompts="/gone/sample_prompts.txt" --sample_every_n_steps="100" \\
  --dataset_config "/gone/dataset.toml" --output_name gym --loss_type l2 \\"""
_DATASET = """[general]
shuffle_caption = false
caption_extension = '.txt'
keep_tokens = 1

[[datasets]]
resolution = 512
batch_size = 1

  [[datasets.subsets]]
  image_dir = '{images}'
  class_tokens = 'p3rson'
  num_repeats = 10"""


def made(text: str, base: Path | None = None) -> Imported:
    """Import a text with the pinned engine's options."""
    imported = import_text(text, name="it", base=base, options=snapshot())
    Job.model_validate(imported.values)
    return imported


def codes(imported: Imported) -> set[str]:
    """Return the codes of the findings."""
    return {finding.code for finding in imported.findings}


def pictures(folder: Path, count: int) -> Path:
    """Make a folder of empty pictures."""
    folder.mkdir(parents=True)
    for index in range(count):
        (folder / f"{index}.png").touch()
    return folder


def test_a_gui_export_is_read() -> None:
    """The GUI's names, zeros and texts are the engine's options."""
    values = made(json.dumps(_GUI)).values
    assert values["optimizer"] == {
        "name": "adamw8bit",
        "args": {"weight_decay": 0.1},
        "learning_rate": 1e-4,
        "schedule": "cosine",
        "warmup_steps": 100,
        "max_grad_norm": 1.0,
    }
    assert values["network"] == {"rank": 8, "alpha": 8.0, "targets": "single", "train_clip_l": False}
    assert values["dataset"]["buckets"]["step"] == 64
    assert values["training"]["steps"] == 1000
    assert "seed" not in values["training"]
    assert values["memory"]["cache_text_encoders"] == "memory"
    assert values["sampling"]["prompts"] == ["zxy, a cat", "zxy, a dog"]
    assert (values["sampling"]["width"], values["sampling"]["height"]) == (768, 512)
    assert values["engine"]["extra"] == {"ip_noise_gamma": 0.05}


def test_a_gui_export_says_what_it_asks_of_the_network_and_no_setting_has() -> None:
    """Nothing of it is lost without a word; split_mode trains the single blocks, as the GUI has it."""
    fields = {"split_qkv": True, "img_attn_dim": "4", "train_double_block_indices": "all", "split_mode": True}
    imported = made(json.dumps(_GUI | {"train_blocks": "all"} | fields))
    told = [finding.message for finding in imported.findings if finding.code == "not-carried"]
    assert [message.split()[0] for message in told] == ["img_attn_dim", "split_qkv"]
    assert imported.values["network"]["targets"] == "single"


_ODD_DATASET = """
[general]
num_repeat = 3
[[datasets]]
batch_size = 2
interpolation_type = "area"
[[datasets.subsets]]
image_dir = "pics"
is_reg = false
secondary_separator = ";"
"""


def test_what_a_dataset_file_may_not_hold_is_told_once() -> None:
    """The engine stops at a key that it does not know; what it knows is no fault."""
    told = {finding.where: finding.code for finding in made(_ODD_DATASET).findings}
    assert {where: code for where, code in told.items() if code in {"unknown-option", "not-carried"}} == {
        "it: num_repeat": "unknown-option",
        "it: interpolation_type": "unknown-option",
    }


def test_a_number_as_text_stops_the_engines_check_of_a_dataset_file() -> None:
    """It converts nothing; a whole number where another is asked for is right there."""
    told = made(_ODD_DATASET.replace("batch_size = 2", 'batch_size = "2"').replace("num_repeat =", "num_repeats ="))
    assert "wrong-type" in codes(told)
    assert told.values["dataset"]["batch_size"] == 2
    assert "wrong-type" not in codes(made(_ODD_DATASET))


@pytest.mark.parametrize(("text", "repeats", "code"), [('"10"', 10, "wrong-type"), ("0", 1, "unreadable-value")])
def test_repeats_that_the_engine_refuses(text: str, repeats: int, code: str) -> None:
    """What was meant is taken where it can be read."""
    told = made(f'[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "x"\nnum_repeats = {text}\n')
    assert told.values["dataset"]["repeats"] == repeats
    assert [finding.code for finding in told.findings if finding.where == "it: num_repeats"] == [code]


@pytest.mark.parametrize(("text", "on"), [("true", True), ("false", False)])
def test_a_truth_or_a_size_as_text_stops_it_too(text: str, on: bool) -> None:
    """What was meant is plain enough to go on with."""
    told = made(
        f'[general]\nflip_aug = "{text}"\n[[datasets]]\nresolution = "512,768"\n[[datasets.subsets]]\nimage_dir = "x"\n'
    )
    assert [finding.where for finding in told.findings if finding.code == "wrong-type"] == [
        "it: flip_aug",
        "it: resolution",
    ]
    assert told.values.get("engine", {}).get("extra", {}).get("flip_aug", False) is on
    assert told.values["dataset"]["resolution"] == [512, 768]


@pytest.mark.engine
def test_the_keys_of_a_dataset_file_are_the_engines(engine_home: EngineHome) -> None:
    """Its own schema names them all."""
    tree = ast.parse((engine_home.path / "library/config_util.py").read_text("utf-8"))
    (sanitizer,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "ConfigSanitizer")
    keys = set()
    for node in sanitizer.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            (target,) = node.targets
            if isinstance(target, ast.Name) and target.id.endswith("_SCHEMA") and "ARGPARSE" not in target.id:
                names = [key.args[0] if isinstance(key, ast.Call) else key for key in node.value.keys]
                keys |= {name.value for name in names if isinstance(name, ast.Constant)}
    assert keys == kohya_toml._ALLOWED


def test_what_a_gui_writes_by_itself_is_no_fault() -> None:
    """Its defaults for the launcher, and for Stable Diffusion's tokens, ask for nothing."""
    imported = made(json.dumps(_GUI | {"dynamo_backend": "no", "max_token_length": "75"}))
    assert codes(imported) == codes(made(json.dumps(_GUI)))


def test_a_broken_export_is_told_where() -> None:
    """A trailing comma is no empty command."""
    with pytest.raises(ConfigError, match=r"line 3, column 1: is no JSON"):
        made('{\n"network_dim": 8,\n}')


def test_a_gui_export_for_another_model_is_named() -> None:
    """What is not FLUX is said to be."""
    assert "other-script" in codes(made(json.dumps(_GUI | {"flux1_checkbox": False})))


def test_a_fluxgym_folder_is_read_whole(tmp_path: Path) -> None:
    """The script finds its dataset and prompts beside it, and epochs become steps of the pictures that are there.

    fluxgym writes no line end in front of its sample options.
    """
    images = pictures(tmp_path / "pics", 5)
    (tmp_path / "train.sh").write_text(_SCRIPT, encoding="utf-8")
    (tmp_path / "dataset.toml").write_text(_DATASET.format(images=images.as_posix()), encoding="utf-8")
    (tmp_path / "sample_prompts.txt").write_text("# none\np3rson on a beach --d 7 --n ugly\n", encoding="utf-8")
    imported = import_path(tmp_path)
    assert imported.values["training"]["steps"] == 16 * 5 * 10
    assert imported.values["training"]["save_every_steps"] == 4 * 5 * 10
    assert imported.values["dataset"]["trigger"] == "p3rson"
    assert imported.values["sampling"]["prompts"] == ["{trigger} on a beach"]
    assert imported.values["sampling"]["seed"] == 7
    assert imported.values["sampling"]["every_steps"] == 100
    assert not codes(imported) & {"file-not-read", "stray-word", "missing-prompts"}


def test_a_script_and_its_dataset_may_be_pasted_together() -> None:
    """Two files in one paste are told apart."""
    imported = made(_SCRIPT.rstrip("\\") + "\n\n" + _DATASET.format(images="pics"))
    assert imported.values["dataset"]["images"] == "pics"
    assert imported.values["training"]["steps_per_picture"] == 160


def test_a_page_may_hold_both_between_fences() -> None:
    """A Markdown page's command and dataset.toml are told apart, whatever follows."""
    script, dataset = _SCRIPT.rstrip("\\"), _DATASET.format(images="pics")
    imported = made(f"Run:\n\n```bash\n{script}\n```\n\n`dataset.toml`:\n\n```toml\n{dataset}\n```\n\nDone.\n")
    assert imported.values["dataset"]["images"] == "pics"
    assert imported.values["dataset"]["resolution"] == 512


@pytest.mark.parametrize("path", ["C:\\train\\new\\x", "..\\train\\new\\x"])
def test_a_windows_path_is_no_escape(path: str) -> None:
    r"""TOML takes \t and \n of a path in double quotes without a word; the import does not."""
    imported = made(_DATASET.format(images=path).replace("'", '"'))
    assert imported.values["dataset"]["images"] == path.replace("\\", "/")
    assert "toml-mended" in codes(imported)


@pytest.mark.parametrize("line", ["'C:\\train\\new'", '"C:\\\\train\\\\new"', "'C:\\train\\new' # \"C:\\train\""])
def test_a_windows_path_that_toml_takes_is_kept(line: str) -> None:
    """What is well written is not mended."""
    imported = made(f"network_dim = 8\ntrain_data_dir = {line}\n")
    assert imported.values["dataset"]["images"] == "C:\\train\\new"
    assert "toml-mended" not in codes(imported)


def test_a_dataset_file_may_have_its_settings_above_all_tables() -> None:
    """As the engine's own guide shows it, and its parser refuses: they are taken, and the place is named."""
    imported = made("resolution = 768\nenable_bucket = true\n" + _DATASET.format(images="pics"))
    assert imported.values["dataset"]["images"] == "pics"
    told = [finding.where.rpartition(" ")[2] for finding in imported.findings if finding.code == "unknown-option"]
    assert told == ["resolution", "enable_bucket"]


def test_a_dataset_file_alone_takes_the_rest_from_a_preset() -> None:
    """Of pictures alone the recipe is the preset `style`."""
    imported = made(_DATASET.format(images="pics"))
    assert imported.values["preset"] == "style"
    assert imported.values["dataset"] == {
        "images": "pics",
        "repeats": 10,
        "trigger": "p3rson",
        "resolution": 512,
        "batch_size": 1,
        "buckets": {"enabled": False},
    }


def test_the_largest_resolution_of_several_is_taken() -> None:
    """Mixed resolutions become one, and a finding."""
    sets = "".join(
        f'[[datasets]]\nresolution = {side}\n[[datasets.subsets]]\nimage_dir = "x"\nnum_repeats = 1\n'
        for side in (512, 1024)
    )
    imported = made(sets)
    assert imported.values["dataset"]["resolution"] == 1024
    assert "several-datasets" in codes(imported)


@pytest.mark.parametrize(
    ("text", "path", "value", "code"),
    [
        ("resolution = 1024", "resolution", 1024, "wrong-type"),
        ("resolution = [512, 768]", "resolution", [512, 768], "wrong-type"),
        ('enable_bucket = "false"', "buckets", {"enabled": True, "upscale": True, "max": 1024}, "truthy-text"),
        ('train_data_dir = "C:\\pics"', "images", "C:/pics", "toml-mended"),
        ("enable_bucket = True", "buckets", {"enabled": True, "upscale": True, "max": 1024}, "toml-mended"),
        ("resolutoin = 3", "resolution", 1024, "unknown-option"),
    ],
)
def test_what_a_config_file_hides_is_named(text: str, path: str, value: object, code: str) -> None:
    """The engine takes any type from a file in silence; the import does not."""
    imported = made(f"[any]\nnetwork_dim = 8\n{text}\n")
    assert imported.values["dataset"][path] == value
    assert code in codes(imported)


@pytest.mark.parametrize(
    ("line", "section", "name", "value"),
    [
        ('model_prediction_type = "rwa"', "training", "model_prediction", "raw"),
        ('timestep_sampling = "shft"', "training", "timestep_sampling", "sigma"),
        ('save_precision = "bfloat16"', "output", "save_precision", "float"),
    ],
)
def test_a_misspelt_choice_in_a_file_is_what_the_engine_makes_of_it(
    line: str, section: str, name: str, value: str
) -> None:
    """The engine takes any word from a file, and does this with it."""
    imported = made(f"network_dim = 8\n{line}\n")
    assert imported.values[section][name] == value
    assert codes(imported) & {"not-a-choice", "unreadable-value"}


def test_a_commands_config_file_is_read_and_weaker(tmp_path: Path) -> None:
    """The command line beats the file that it names."""
    (tmp_path / "c.toml").write_text("network_dim = 8\nseed = 5\n", encoding="utf-8")
    imported = made("accelerate launch flux_train_network.py --config_file c.toml --seed 6", tmp_path)
    assert imported.values["network"]["rank"] == 8
    assert imported.values["training"]["seed"] == 6


def test_a_numbered_folder_is_a_data_set(tmp_path: Path) -> None:
    """20_name counts each picture 20 times; the parent means the child with most pictures."""
    pictures(tmp_path / "data" / "20_zxy art", 3)
    pictures(tmp_path / "data" / "5_other", 1)
    imported = import_path(tmp_path / "data")
    assert imported.values["dataset"]["images"].endswith("20_zxy art")
    assert imported.values["dataset"]["repeats"] == 20
    assert imported.values["dataset"]["trigger"] == "zxy"
    assert {"numbered-folder", "several-datasets", "class-tokens"} <= codes(imported)


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    """An empty folder is no recipe."""
    with pytest.raises(ConfigError, match="no pictures"):
        import_path(tmp_path)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(ConfigError, match="no such file"):
        import_path(tmp_path / "gone.sh")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_editors_encoding_is_read(encoding: str) -> None:
    """What Windows editors save is read."""
    data = "accelerate launch flux_train_network.py --output_name müde".encode(encoding)
    imported = import_bytes(data, name="it", base=None, options=snapshot())
    assert imported.values["output"]["name"] == "müde"


def test_prompts_as_json_are_read(tmp_path: Path) -> None:
    """The engine's JSON prompts mean the same as its lines."""
    (tmp_path / "p.json").write_text(json.dumps([{"prompt": "a cat", "width": 640, "seed": 3}, "a dog --w 640"]))
    values = made("accelerate launch flux_train_network.py --sample_prompts p.json", tmp_path).values
    assert values["sampling"]["prompts"] == ["a cat", "a dog"]
    assert values["sampling"]["width"] == 640


def test_nothing_is_read_without_a_base(tmp_path: Path) -> None:
    """Without a base the disk is not touched, whatever the text refers to."""
    (tmp_path / "c.toml").write_text("network_dim = 8\n", encoding="utf-8")
    imported = made(f"accelerate launch flux_train_network.py --config_file {tmp_path}/c.toml")
    assert "rank" not in imported.values["network"] or imported.values["network"]["rank"] == 4
    assert "file-not-read" in codes(imported)
