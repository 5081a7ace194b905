"""Captioners of the transformers library: BLIP-2, and the chat models Qwen2.5-VL and LLaVA (JoyCaption is one)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loraforge.captioning.captioner import DEFAULT_PROMPT, Captioner
from loraforge.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from PIL import Image

Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "bf16", "fp16", "fp32"]

_CHAT_TYPES = frozenset({"qwen2_5_vl", "qwen2_vl", "llava"})
_CHAT_SIDE = 768  # beyond this a chat model spends thousands of tokens on a sentence
_FLORENCE = frozenset({"florence2", "florence-2"})


def load_captioner(
    model: str,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    max_new_tokens: int = 30,
    prompt: str = DEFAULT_PROMPT,
) -> Captioner:
    """Load a captioner from the hub, its cache or a folder.

    Args:
        model: a hub name ("owner/name") or a folder written by `save_pretrained`.
        device: "auto" takes a GPU where there is one.
        precision: "auto" takes bf16 where the GPU has it, fp16 on older ones and fp32 elsewhere.
        max_new_tokens: the longest text, in the model's tokens.
        prompt: the request to a chat model; BLIP-2 takes none.

    Raises:
        ConfigError: no such model, or one that is not supported.
        MachineError: a library is missing, the hub can't be reached or refuses, or the model doesn't fit.
    """
    _check_name(model)
    try:
        import torch
        from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
        from transformers.utils import logging
    except ImportError as error:
        raise MachineError(
            f"captioning needs the Python package {error.name}", 'pip install "loraforge[engine]"'
        ) from None
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    place = _device(torch, device)
    try:
        kind = AutoConfig.from_pretrained(model, trust_remote_code=False).model_type
        _check_kind(model, kind)
        processor = AutoProcessor.from_pretrained(model, use_fast=True, trust_remote_code=False)
        loaded = AutoModelForImageTextToText.from_pretrained(
            model, torch_dtype=_dtype(torch, place, precision), use_safetensors=True, trust_remote_code=False
        )
        loaded = loaded.to(place).eval()
    except torch.OutOfMemoryError:
        raise MachineError(
            f"{model} does not fit on the GPU", "free memory there, choose a smaller --model, or use --device cpu"
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _told(model, error) from None
    if kind == "blip-2":
        return Blip2Captioner(model, loaded, processor, max_new_tokens)
    return ChatCaptioner(model, loaded, processor, max_new_tokens, prompt)


class _TransformersCaptioner:
    """What both kinds share: batches that shrink when memory runs out."""

    def __init__(self, name: str, model: Any, processor: Any, max_new_tokens: int) -> None:
        self.name = name
        self.model = model
        self.processor = processor
        self.max_new_tokens = max_new_tokens

    def describe(self, pictures: Sequence["Image.Image"]) -> list[str]:
        """Return one text a picture; a batch that doesn't fit into memory is halved until it does."""
        import torch

        if not pictures:
            return []
        try:
            with torch.inference_mode():
                return [" ".join(text.split()) for text in self._generate(pictures)]
        except torch.OutOfMemoryError:
            if len(pictures) == 1:
                raise MachineError(
                    f"{self.name} runs out of GPU memory on a single picture",
                    "free memory there, choose a smaller --model, or use --device cpu",
                ) from None
        torch.cuda.empty_cache()
        half = len(pictures) // 2
        return self.describe(pictures[:half]) + self.describe(pictures[half:])

    def _generate(self, pictures: Sequence["Image.Image"]) -> list[str]:
        raise NotImplementedError

    def _ready(self, inputs: Any) -> Any:
        return inputs.to(self.model.device, self.model.dtype)


class Blip2Captioner(_TransformersCaptioner):
    """BLIP-2 captions without being asked, as in its training."""

    @property
    def longest_side(self) -> int:
        """Twice what it looks at, so that its own resampling decides."""
        size = self.processor.image_processor.size
        return 2 * int(max(size.values()) if isinstance(size, dict) else max(size["height"], size["width"]))

    def _generate(self, pictures: Sequence["Image.Image"]) -> list[str]:
        inputs = self._ready(self.processor(images=list(pictures), return_tensors="pt"))
        tokens = self.model.generate(**inputs, max_new_tokens=self.max_new_tokens, do_sample=False)
        return list(self.processor.batch_decode(tokens, skip_special_tokens=True))


class ChatCaptioner(_TransformersCaptioner):
    """A chat model that is asked for a caption."""

    longest_side = _CHAT_SIDE

    def __init__(self, name: str, model: Any, processor: Any, max_new_tokens: int, prompt: str) -> None:
        super().__init__(name, model, processor, max_new_tokens)
        self.prompt = prompt
        processor.tokenizer.padding_side = "left"  # the answer must follow the request directly
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    def _generate(self, pictures: Sequence["Image.Image"]) -> list[str]:
        request = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": self.prompt}]}]
        if getattr(self.processor, "chat_template", None):
            text = self.processor.apply_chat_template(request, add_generation_prompt=True, tokenize=False)
        else:
            text = f"USER: {self.processor.image_token}\n{self.prompt} ASSISTANT:"
        inputs = self.processor(images=list(pictures), text=[text] * len(pictures), padding=True, return_tensors="pt")
        inputs = self._ready(inputs)
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        answers = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self.processor.batch_decode(answers, skip_special_tokens=True))


def _check_name(model: str) -> None:
    if model and Path(model).expanduser().is_dir():
        return
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith((".", "~")):
        raise ConfigError(
            f"{model}: there is no such folder, and it is no hub name",
            "name a model as owner/name, for example Salesforce/blip2-opt-2.7b, or a folder that holds one",
        )


def _check_kind(model: str, kind: str) -> None:
    if kind == "blip-2" or kind in _CHAT_TYPES:
        return
    if kind in _FLORENCE:
        raise ConfigError(
            f"{model}: Florence-2 came to transformers after the version that the engine pins (4.54.1)",
            "take Salesforce/blip2-opt-2.7b or Qwen/Qwen2.5-VL-3B-Instruct",
        )
    raise ConfigError(
        f"{model} is a {kind} model; captioners are blip-2, {', '.join(sorted(_CHAT_TYPES))}",
        "take Salesforce/blip2-opt-2.7b or Qwen/Qwen2.5-VL-3B-Instruct",
    )


def _device(torch: Any, device: Device) -> str:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in available.items() if there)
    if not available[device]:
        raise MachineError(
            f"--device {device}: torch sees no such device here", "use --device auto, or see: loraforge doctor"
        )
    return device


def _dtype(torch: Any, device: str, precision: Precision) -> Any:
    if precision == "auto":
        if device != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


def _told(model: str, error: Exception) -> ConfigError | MachineError:
    """Turn the libraries' long texts into what happened and what to do."""
    text = str(error)
    if "gated repo" in text or "restricted" in text:
        return MachineError(
            f"access to {model} is restricted to accounts that accepted its licence",
            f"accept it at https://huggingface.co/{model}, then set HF_TOKEN or run: hf auth login",
        )
    if "401" in text or "is not a valid model identifier" in text or "is not a local folder" in text:
        return ConfigError(
            f"{model}: the hub knows no such public model, and there is no such folder",
            "check the spelling; a private model needs HF_TOKEN or: hf auth login",
        )
    if "offline" in text.lower() or "couldn't connect" in text or "connection" in text.lower():
        return MachineError(
            f"{model} is not on this machine and the hub can't be reached",
            "check the network (and HF_HUB_OFFLINE, HTTPS_PROXY), or name a folder that holds the model with --model",
        )
    if "Unrecognized model" in text:
        return ConfigError(
            f"{model} has no config.json that names a model", "name the folder that `save_pretrained` wrote"
        )
    if "does not recognize this architecture" in text:
        florence = " Florence-2 needs a newer transformers than the engine pins." if "florence" in text.lower() else ""
        return ConfigError(
            f"{model} is of a kind that this transformers does not know.{florence}",
            "take Salesforce/blip2-opt-2.7b or Qwen/Qwen2.5-VL-3B-Instruct",
        )
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return MachineError(f"{model} can't be loaded: {first[:300]}", "download it again, or choose another --model")
