"""The kohya_ss GUI's export: JSON in which an empty text or a zero means unset, and some names are the GUI's own."""

from collections.abc import Mapping
from typing import Any

from loraforge.advice.importer.command import read_options
from loraforge.advice.importer.findings import found
from loraforge.advice.importer.shell import parse
from loraforge.advice.importer.source import Given, Source
from loraforge.engine.options import Option

# The GUI's name -> the engine's.
_NAMES: Mapping[str, str] = {
    "optimizer": "optimizer_type",
    "max_resolution": "resolution",
    "flux1_cache_text_encoder_outputs": "cache_text_encoder_outputs",
    "flux1_cache_text_encoder_outputs_to_disk": "cache_text_encoder_outputs_to_disk",
    "flux1_clip_l": "clip_l",
    "flux1_t5xxl": "t5xxl",
    "flux1_ae": "ae",
}
# A GUI writes every field it has; a zero in most of them is its way to say nothing.
_ZERO_SPEAKS = frozenset(
    {
        "max_grad_norm",
        "max_data_loader_n_workers",
        "network_alpha",
        "text_encoder_lr",
        "guidance_scale",
        "learning_rate",
    }
)
# Of the network; what has no setting is told where the network's arguments are read.
_ARGUMENTS = (
    "rank_dropout", "module_dropout", "loraplus_lr_ratio", "loraplus_unet_lr_ratio", "train_t5xxl", "split_qkv",
    "img_attn_dim", "txt_attn_dim", "img_mlp_dim", "txt_mlp_dim", "img_mod_dim", "txt_mod_dim", "single_dim", "in_dims",
    "train_double_block_indices", "train_single_block_indices", "ggpo_sigma", "ggpo_beta",
)  # fmt: skip
_LAUNCHER = ("num_processes", "num_machines", "gpu_ids")
_NOT_OPTIONS = frozenset(
    {"xformers", "sample_prompts", "lr_warmup", "lr_warmup_steps", "text_encoder_lr", "train_blocks"}
)


def is_gui(values: Mapping[str, Any]) -> bool:
    """Tell whether parsed JSON is an export of the GUI."""
    return bool(
        {"LoRA_type", "pretrained_model_name_or_path", "network_dim", "flux1_checkbox", "train_data_dir"} & set(values)
    )


def read_gui(values: Mapping[str, Any], options: Mapping[str, Option], source: Source, name: str) -> None:
    """Take the fields that reach the engine."""
    if values.get("flux1_checkbox") is False or values.get("LoRA_type", "Flux1") not in ("Flux1", "Standard", "", None):
        message = "The export is not for FLUX; what the two have in common was taken."
        source.findings.append(found("other-script", name, message, "check the values against a FLUX preset"))
    for key, value in values.items():
        option = _NAMES.get(key, key)
        if option not in options or key in _NOT_OPTIONS or _unset(option, value) or _launchers(option, value):
            continue
        where = f"{name}: {key}"
        if options[option].type in {"int", "float", "int_or_float"} and isinstance(value, str):
            source.options[option] = Given(value, where)  # the GUI's fields are often text
        elif options[option].type == "bool":
            source.options[option] = Given(bool(value), where, typed=True)
        elif options[option].takes_list and isinstance(value, str):
            source.options[option] = Given(value.replace('"', "").split(), where)
        else:
            source.options[option] = Given(value, where)
    if values.get("LoRA_type", "Flux1") == "Flux1":
        source.options.setdefault("network_module", Given("networks.lora_flux", f"{name}: LoRA_type"))
    if "caption_extension" not in source.options:
        source.options["caption_extension"] = Given(".txt", f"{name}: caption_extension")  # the GUI's own default
    _combined(values, source, name)
    for key in _LAUNCHER:
        if values.get(key):
            source.launcher[key] = str(values[key])
    extra = values.get("additional_parameters")
    if isinstance(extra, str) and extra.strip():
        commands = parse(extra.replace("\n", " "))
        read_options([word for command in commands for word in command.words], options, source)


def _combined(values: Mapping[str, Any], source: Source, name: str) -> None:
    """Take the fields that the GUI itself turns into something else."""
    text_rate = values.get("text_encoder_lr")
    if _zero(text_rate) and not _zero(values.get("unet_lr", values.get("learning_rate"))):
        source.options.setdefault(
            "network_train_unet_only", Given(value=True, where=f"{name}: text_encoder_lr", typed=True)
        )
    elif not _zero(text_rate):
        rates = text_rate if isinstance(text_rate, list) else [text_rate]
        source.options["text_encoder_lr"] = Given(rates, f"{name}: text_encoder_lr")
    arguments = {key: values[key] for key in _ARGUMENTS if not _zero(values.get(key)) and values[key] != "all"}
    if values.get("split_mode") is True:
        arguments["train_blocks"] = "single"  # the GUI sees to it
    elif values.get("train_blocks") in ("single", "double"):
        arguments["train_blocks"] = values["train_blocks"]
    if arguments:
        given = [f"{key}={value}" for key, value in arguments.items()]
        source.options["network_args"] = Given(given, f"{name}: {', '.join(arguments)}")
    steps, share = values.get("lr_warmup_steps"), values.get("lr_warmup")
    if not _zero(steps):
        source.options["lr_warmup_steps"] = Given(steps, f"{name}: lr_warmup_steps")
    elif not _zero(share):  # per cent of the run
        source.options["lr_warmup_steps"] = Given(f"{share}%", f"{name}: lr_warmup")
    if (
        not source.options.get("max_train_epochs")
        and not source.options.get("max_train_steps")
        and not _zero(values.get("epoch"))
    ):
        source.options["max_train_epochs"] = Given(values["epoch"], f"{name}: epoch")
    prompts = values.get("sample_prompts")
    if isinstance(prompts, str) and prompts.strip():
        source.prompts = prompts.split("\n")


def _unset(option: str, value: object) -> bool:
    if value is None or value == "":
        return True
    return option not in _ZERO_SPEAKS and not isinstance(value, bool) and _zero(value)


def _launchers(option: str, value: object) -> bool:
    """Tell whether a field is accelerate's, or says what the engine would do without it."""
    return option.startswith("dynamo_") or (option == "max_token_length" and str(value) == "75")


def _zero(value: object) -> bool:
    """Tell whether a field says nothing: empty, 0, or a text of it."""
    if value is None or value == [] or isinstance(value, dict):
        return True
    if isinstance(value, str):
        return value.strip() in {"", "0", "0.0"}
    return isinstance(value, int | float) and value == 0
