"""[network] and [optimizer]: what is adapted, by which rule, at which rate."""

import ast
import math
import re
import warnings
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, get_args

from loraforge.advice.importer.draft import Draft
from loraforge.advice.importer.values import UnreadableError, number
from loraforge.config.optimizer import OptimizerName, Schedule

_OPTIMIZERS = {name.replace("-", ""): name for name in get_args(OptimizerName)}
_NEAREST = (
    ("schedulefree", "adamw-schedule-free"), ("prodigy", "prodigy"), ("dadapt", "prodigy"),
    ("paged", "paged-adamw8bit"), ("lion8bit", "lion8bit"), ("lion", "lion"), ("8bit", "adamw8bit"),
    ("fp8", "adamw8bit"), ("adafactor", "adafactor"),
    ("came", "adafactor"),
)  # fmt: skip
_SCHEDULES = frozenset(get_args(Schedule))
_ADAFACTOR = {"relative_step": False, "scale_parameter": False, "warmup_init": False}
_ARGUMENT = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.*)", re.DOTALL)
_JOINED = re.compile(r"\s+(?=[A-Za-z_]\w*\s*=)")
_MODULE = "networks.lora_flux"
# The network's own arguments that have a setting; the second where no text encoder learns.
_ARGUMENTS = {
    "rank_dropout": "network.rank_dropout",
    "module_dropout": "network.module_dropout",
    "loraplus_lr_ratio": "network.lora_plus",
}
_ALONE = {"loraplus_unet_lr_ratio": "network.lora_plus"}


def learning(draft: Draft) -> None:
    """Map the network, the optimizer and its schedule."""
    _network(draft)
    name = _optimizer(draft)
    _arguments(draft, name)
    _rates(draft)
    _schedule(draft)
    norm = draft.real("max_grad_norm")
    if norm is None:
        draft.put_default("optimizer.max_grad_norm", draft.engine_default("max_grad_norm"))
    else:
        draft.put("optimizer.max_grad_norm", norm if norm > 0 else None)


def _network(draft: Draft) -> None:
    module = draft.word("network_module")
    if module is None:
        fix = f"nothing: loraforge always names {_MODULE}"
        draft.note(
            "missing-network-module", "engine.kind", "No network module is given; the engine exits with code 0.", fix
        )
    elif module != _MODULE:
        message = f"{module} is another network than {_MODULE}, which is trained instead."
        draft.note("foreign-network", "engine.kind", message, "check rank and alpha: they mean other things there")
    rank, alpha, dropout = draft.whole("network_dim"), draft.real("network_alpha"), draft.real("network_dropout")
    if rank is None:
        draft.put_default("network.rank", 4)
    else:
        draft.put("network.rank", rank)
    if alpha is None:
        draft.put_default("network.alpha", 1.0)
    else:
        draft.put("network.alpha", alpha or float(draft.get("network.rank")))
    if dropout:
        draft.put("network.dropout", dropout)
    given = draft.has("network_train_unet_only")
    only = draft.flag("network_train_unet_only")
    trains_t5 = _network_args(draft, only=only)
    _encoders(draft, trains_t5, given=given, only=only)


def _network_args(draft: Draft, *, only: bool) -> bool:
    """Set the targets and what else has a setting; return whether T5 is trained."""
    trains_t5 = False
    settings = _ARGUMENTS | (_ALONE if only else {})
    given = (str(word).partition("=") for word in draft.words("network_args"))
    # By name, since LoRA+'s own ratio for the transformer beats the common one.
    for name, _, value in sorted(given, key=lambda argument: argument[0]):
        if name == "train_blocks" and value in {"all", "double", "single"}:
            draft.put("network.targets", value)
        elif name == "train_t5xxl":
            trains_t5 = value == "True"  # the engine knows exactly this spelling
        elif name in settings:
            with suppress(UnreadableError, ValueError):
                draft.put(settings[name], number(value) or None)
        else:
            message = f"{name[:60]} has no setting."
            draft.note("not-carried", "--network_args", message, "leave it out, or render with `plan` and add it there")
    return trains_t5


def _encoders(draft: Draft, trains_t5: bool, *, given: bool, only: bool) -> None:
    clip_silent, t5_silent = _silent_rates(draft)
    trains_t5 = trains_t5 and not t5_silent
    if not only and clip_silent and not trains_t5:
        message = "Its rate is 0, so that the text encoder is not trained."
        draft.note("text-encoder-rate-zero", "network.train_clip_l", message, "--set network.train_clip_l=false")
        only = True
    if only:
        draft.put("network.train_clip_l", value=False)
        return
    draft.put("network.train_clip_l", value=True)
    if trains_t5:
        draft.put("network.train_t5xxl", value=True)
    if not given:
        draft.say_default("network.train_clip_l")


def _silent_rates(draft: Draft) -> tuple[bool, bool]:
    """Tell whether CLIP-L and T5 have a rate of 0; one rate is both's."""
    given = draft.source.options.get("text_encoder_lr")
    values = given.value if given and isinstance(given.value, list) else [given.value] if given else []
    silent = [str(value).strip() in {"0", "0.0", "0e0"} for value in values[:2]] or [False]
    return silent[0], silent[-1]


def _optimizer(draft: Draft) -> str:
    """Set the optimizer; return its name, or the source's where ours only comes near."""
    name = draft.word("optimizer_type")
    if draft.flag("use_8bit_adam"):
        name = "AdamW8bit"
        draft.note(
            "deprecated-option",
            "--use_8bit_adam",
            "It is --optimizer_type AdamW8bit.",
            "--set optimizer.name=adamw8bit",
        )
    if draft.flag("use_lion_optimizer"):
        name = "Lion"
        draft.note(
            "deprecated-option", "--use_lion_optimizer", "It is --optimizer_type Lion.", "--set optimizer.name=lion"
        )
    if name is None:
        draft.put_default("optimizer.name", "adamw")
        return "adamw"
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    known = _OPTIMIZERS.get(plain)
    if known is None:
        known = next((ours for part, ours in _NEAREST if part in plain), "adamw")
        message = f"{name[:60]} is not offered; {known} comes nearest and trains differently."
        draft.note("optimizer-unsupported", "optimizer.name", message, "--set optimizer.name=NAME")
    draft.put("optimizer.name", known)
    return known if "adafactor" in plain or known != "adafactor" else plain


def _arguments(draft: Draft, name: str) -> None:
    words = [str(word) for word in draft.words("optimizer_args")]
    split = [part for word in words for part in _JOINED.split(word.strip())]
    if split != [word.strip() for word in words]:
        fix = "nothing here; on a command line quote each argument by itself"
        message = "All stand in one string: `too many values to unpack`, after loading and caching. Taken apart."
        draft.note("optimizer-args-in-one-string", "optimizer.args", message, fix)
    arguments: dict[str, Any] = {}
    for word in split[:100]:
        match = _ARGUMENT.fullmatch(word.strip())
        value = _literal(match[2]) if match else None
        if match is None or value is None:
            draft.note(
                "not-carried", "optimizer.args", f"{word[:60]} can't be kept.", "--set optimizer.args.NAME=VALUE"
            )
        else:
            arguments[match[1]] = value
    if name == "adafactor":
        arguments = _adafactor(draft, arguments)
    if arguments:
        draft.put("optimizer.args", arguments)


def _adafactor(draft: Draft, arguments: dict[str, Any]) -> dict[str, Any]:
    """Drop what loraforge always says; refuse what would replace rate and schedule."""
    if arguments.get("relative_step") is not False or arguments.get("warmup_init") is True:
        message = "Adafactor would have replaced learning_rate and schedule by its own; now the stated ones are used."
        draft.note("adafactor-relative-step", "optimizer.args", message, "check optimizer.learning_rate and schedule")
    # transformers' own default, where the source says nothing.
    scale = arguments.get("scale_parameter", True)
    kept = {key: value for key, value in arguments.items() if key not in _ADAFACTOR}
    return {**kept, "scale_parameter": True} if scale is True else kept


def _literal(text: str) -> Any:
    """Read a value as the engine does, and bare words as their author meant them; None where that is no setting."""
    words = {"true": True, "false": False}
    text = text.strip()[:500]
    bare = text.rstrip(",").lower()
    if bare in words:
        return words[bare]
    try:
        with warnings.catch_warnings(action="ignore"):  # "1e" draws a SyntaxWarning
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text if re.fullmatch(r"[\w./-]{1,100}", text) and text.lower() != "none" else None
    if isinstance(value, tuple | list):
        fits = value and all(
            isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item) for item in value
        )
        return [float(item) for item in value] if fits else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _rates(draft: Draft) -> None:
    base, unet = draft.real("learning_rate"), draft.real("unet_lr")
    rates = [float(rate) for rate in draft.words("text_encoder_lr")]
    text = [each for each in rates if each > 0]
    rate = unet or base
    if rate is None:
        draft.put_default("optimizer.learning_rate", draft.engine_default("learning_rate"))
    else:
        draft.put("optimizer.learning_rate", rate)
    if not draft.get("network.train_clip_l"):
        return
    # The text encoders take learning_rate, not unet_lr, where they have no rate of their own.
    chosen = text[0] if text else base if unet and base and unet != base else None
    if unet and base is None and not text:
        chosen = draft.engine_default("learning_rate")
        message = f"Unset, and learning_rate too: unet_lr is not the text encoder's, which is trained at {chosen:g}."
        fix = f"--set optimizer.text_encoder_learning_rate={unet:g}"
        draft.note("default-learning-rate", "optimizer.text_encoder_learning_rate", message, fix)
    if chosen is not None:
        draft.put("optimizer.text_encoder_learning_rate", chosen)
    if text and len(set(rates)) > 1:
        fix = f"--set optimizer.text_encoder_learning_rate={chosen}"
        draft.note(
            "split-learning-rates",
            "optimizer.text_encoder_learning_rate",
            "CLIP-L and T5 have different rates; the first that is not 0 is used for both.",
            fix,
        )


def _schedule(draft: Draft) -> None:
    name = draft.word("lr_scheduler") or "constant"
    warmup = _warmup(draft)
    if name not in _SCHEDULES:
        close = get_close_matches(name.lower(), sorted(_SCHEDULES), n=1, cutoff=0.5)
        nearest = close[0] if close else "constant"
        draft.note(
            "schedule-unsupported",
            "optimizer.schedule",
            f"{name[:60]} is not offered; {nearest} comes nearest.",
            "--set optimizer.schedule=NAME",
        )
        name = "constant_with_warmup" if nearest == "constant" and warmup else nearest
    if name == "constant" and warmup:
        message = f"constant takes no warmup: the engine stops. {warmup} steps were asked for."
        draft.note("warmup-with-constant", "optimizer.schedule", message, "constant_with_warmup is used")
        name = "constant_with_warmup"
    draft.put("optimizer.schedule", name)
    if warmup:
        draft.put("optimizer.warmup_steps", warmup)
    given = draft.has("lr_scheduler_num_cycles")
    cycles = draft.whole("lr_scheduler_num_cycles")
    if name == "cosine_with_restarts":
        if given and cycles:
            draft.put("optimizer.restarts", cycles)
        else:
            draft.say_default("optimizer.restarts")


def _warmup(draft: Draft) -> int | None:
    """Return optimizer steps; a fraction is one of the whole run. The engine counts those of every process."""
    value = draft.take("lr_warmup_steps")
    if not isinstance(value, int | float) or value <= 0:
        return None
    if isinstance(value, int):
        return max(1, value // int(draft.get("launch.processes")))
    if value < 1:
        return max(1, int(value * _total(draft)))
    message = (
        f"{value:g} was taken for a fraction by the engine: {value:g} times the run, at a rate near zero throughout."
    )
    draft.note("warmup-as-fraction", "optimizer.warmup_steps", message, f"--set optimizer.warmup_steps={int(value)}")
    return int(value)


def _total(draft: Draft) -> int:
    """Return the optimizer steps of the run, as far as they are known."""
    steps = draft.get("training.steps")
    if not steps:
        steps = draft.engine_default("max_train_steps")
        message = f"A share of the run needs the number of pictures; its share of {steps} steps is used."
        draft.note("epochs-as-steps", "optimizer.warmup_steps", message, "--set optimizer.warmup_steps=50")
    return int(steps)
