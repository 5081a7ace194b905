"""[model], [memory], [launch]: weight files, memory and the launcher."""

import re
from pathlib import PurePosixPath

from loraforge.advice.importer.draft import Draft
from loraforge.config.launch import Launch

_FILES = {
    "pretrained_model_name_or_path": "model.transformer",
    "clip_l": "model.clip_l",
    "t5xxl": "model.t5xxl",
    "ae": "model.autoencoder",
}
_FILE_ENDINGS = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_MOST_SWAPPED = 35
_SPLIT_MODE = 18
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|KEY", re.IGNORECASE)


def hardware(draft: Draft) -> None:
    """Map what the run stands on."""
    _weights(draft)
    _memory(draft)
    _launch(draft)


def _weights(draft: Draft) -> None:
    for option, path in _FILES.items():
        name = draft.word(option)
        if name is None:
            message = f"--{option} is not given; the engine fails on it after loading others."
            draft.note("missing-weights", path, message, "`loraforge models` finds or fetches it")
            continue
        if option == "pretrained_model_name_or_path":
            _family(draft, name)
            if (
                _HUB_NAME.fullmatch(name)
                and PurePosixPath(name).suffix.lower() not in _FILE_ENDINGS
                and not name.startswith(".")
            ):
                message = f"{name[:80]} is a name on the hub; the engine needs the one-file model."
                draft.note("transformer-not-a-file", path, message, "`loraforge models` finds or fetches it")
                continue
        draft.put(path, name)
    tokenizers = draft.word("tokenizer_cache_dir")
    if tokenizers is not None:
        draft.put("model.tokenizers", tokenizers)
    kind = draft.word("model_type")
    if kind not in {None, "flux"}:
        draft.note("other-script", "--model_type", f"{kind} is another model than FLUX.1.", "loraforge trains FLUX.1")


def _family(draft: Draft, name: str) -> None:
    if "schnell" in PurePosixPath(name.replace("\\", "/")).name.lower():
        draft.put("model.family", "flux-schnell")


def _memory(draft: Draft) -> None:
    checkpointing = draft.flag("gradient_checkpointing")
    if checkpointing:
        draft.put("memory.gradient_checkpointing", value=True)
    else:
        draft.put_default("memory.gradient_checkpointing", value=False)
    whole, unet = draft.flag("fp8_base"), draft.flag("fp8_base_unet")
    fp8 = whole or unet
    draft.put("memory.fp8_base", fp8)
    swapped = _swapped(draft)
    if swapped:
        draft.put("memory.blocks_to_swap", swapped)
    elif checkpointing and fp8:
        draft.put("memory.profile", "24gb")  # `auto` might swap on a small card; this profile never does
    if fp8 and draft.get("training.precision") == "no":
        message = "The engine refuses an 8-bit base without mixed precision."
        draft.note("settings-contradict", "training.precision", message, "bf16 is used")
        draft.put("training.precision", "bf16")
    _caches(draft)


def _swapped(draft: Draft) -> int | None:
    blocks = draft.whole("blocks_to_swap")
    if draft.flag("split_mode"):
        draft.note(
            "deprecated-option",
            "--split_mode",
            f"It silently means blocks_to_swap {_SPLIT_MODE}.",
            f"--set memory.blocks_to_swap={_SPLIT_MODE}",
        )
        blocks = blocks or _SPLIT_MODE
    if blocks is not None and blocks > _MOST_SWAPPED:
        message = f"{blocks} became {_MOST_SWAPPED}: the engine can swap no more of FLUX."
        draft.note("engine-refuses", "memory.blocks_to_swap", message, f"--set memory.blocks_to_swap={_MOST_SWAPPED}")
        blocks = _MOST_SWAPPED
    offloads = draft.source.options.get("cpu_offload_checkpointing")
    if blocks and offloads is not None and offloads.value:
        draft.source.options.pop("cpu_offload_checkpointing")
        message = "The engine refuses it together with block swapping; it was left out."
        draft.note("settings-contradict", "--cpu_offload_checkpointing", message, "choose one of the two")
    return blocks if blocks and blocks > 0 else None


def _caches(draft: Draft) -> None:
    for path, option in (
        ("memory.cache_latents", "cache_latents"),
        ("memory.cache_text_encoders", "cache_text_encoder_outputs"),
    ):
        on, to_disk = draft.flag(option), draft.flag(f"{option}_to_disk")
        if on or to_disk:
            draft.put(path, "disk" if to_disk else "memory")
        else:
            draft.put_default(path, "off")
    if draft.get("network.train_t5xxl") and draft.get("memory.cache_text_encoders") != "off":
        message = "The engine refuses to train T5 from a cache; the cache was left out."
        draft.note("settings-contradict", "memory.cache_text_encoders", message, "--set network.train_t5xxl=false")
        draft.put("memory.cache_text_encoders", "off")


def _launch(draft: Draft) -> None:
    gpus = draft.source.launcher.pop("gpu_ids", "") or draft.source.env.pop("CUDA_VISIBLE_DEVICES", "")
    if re.fullmatch(r"\d{1,3}(,\d{1,3})*", gpus.strip()):
        draft.put("launch.gpu_ids", gpus.strip())
    kept = {}
    for name, value in draft.source.env.items():
        try:
            Launch.model_validate({"env": {name: value}})
        except ValueError:
            code = "secret-left-out" if _SECRET.search(name) else "not-carried"
            draft.note(code, f"${name}", "The variable does not belong into a settings file.", "set it in your shell")
        else:
            kept[name] = value
    if kept:
        draft.put("launch.env", kept)
