"""The update rule and its rate: it is the product (alpha / rank) x learning_rate that matters."""

from collections.abc import Iterator

from loraforge.advice.rules.case import LION, Case, Fix
from loraforge.advice.rules.registry import Hit, rule

_EIGHT_BIT = frozenset({"adamw8bit", "paged-adamw8bit", "lion8bit"})
_COMMON = frozenset({"betas", "weight_decay"})
_ADAMW8BIT = _COMMON | {"eps", "amsgrad", "optim_bits", "args", "min_8bit_size", "percentile_clipping", "block_wise"}
# What the constructors take in the versions that the engine pins (transformers 4.54.1, prodigyopt 1.1.2 ...).
_ARGUMENTS: dict[str, frozenset[str]] = {
    "adafactor": frozenset(
        {"eps", "clip_threshold", "decay_rate", "beta1", "weight_decay"}
        | {"scale_parameter", "relative_step", "warmup_init"}
    ),
    "adamw": _COMMON | {"eps", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused"},
    "adamw8bit": _ADAMW8BIT | {"is_paged"},
    "paged-adamw8bit": _ADAMW8BIT,
    "lion": _COMMON | {"use_triton", "decoupled_weight_decay"},
    "lion8bit": _COMMON | {"args", "min_8bit_size", "percentile_clipping", "block_wise", "is_paged"},
    "prodigy": _COMMON
    | {"beta3", "eps", "decouple", "use_bias_correction", "safeguard_warmup", "d0", "d_coef", "growth_rate"}
    | {"fsdp_in_use", "slice_p"},
    "adamw-schedule-free": _COMMON | {"eps", "warmup_steps", "r", "weight_lr_power", "foreach"},
}


def _cooled(case: Case) -> Fix:
    return case.rate_to(case.band[1])


@rule("error", "100 times the usual rate of the recipes compared")
def learning_rate_destroys(case: Case) -> Iterator[Hit]:
    """Nothing is learnt at such a rate; 1.0 belongs to prodigy alone."""
    optimizer = case.job.optimizer
    if optimizer.name != "prodigy" and case.rate > 20 * case.band[2]:
        said = f"(alpha / rank) x learning_rate is {case.rate:.2g} for {optimizer.name}"
        yield Hit("optimizer.learning_rate", said, _cooled(case))


@rule("warning", "style-LoRA guide, section 4; eight of eleven published recipes lie between 2e-5 and 3e-4")
def learning_rate_hot(case: Case) -> Iterator[Hit]:
    """Too high a rate gives deep-fried pictures; alpha / rank multiplies it, so it is the product that counts."""
    optimizer = case.job.optimizer
    highest = case.band[2]
    if optimizer.name != "prodigy" and highest < case.rate <= 20 * highest:
        said = f"(alpha / rank) x learning_rate is {case.rate:.2g}, above {highest:.0e} for {optimizer.name}"
        yield Hit("optimizer.learning_rate", said, _cooled(case))


@rule(
    "warning", "sd-scripts leaves alpha at 1, so rank 16 at 1e-4 learns at 6e-6; most recipes lie between 2e-5 and 3e-4"
)
def learning_rate_cold(case: Case) -> Iterator[Hit]:
    """At so low a rate a few hundred steps hardly change the model, and the LoRA seems to do nothing."""
    optimizer = case.job.optimizer
    lowest = case.band[0]
    if optimizer.name != "prodigy" and case.rate < lowest:
        said = f"(alpha / rank) x learning_rate is {case.rate:.2g}, below {lowest:.2g} for {optimizer.name}"
        yield Hit("optimizer.learning_rate", said, _cooled(case))


@rule("warning", "sd-scripts train_util.py warns at 0.1 and below; prodigyopt's own default is 1.0")
def prodigy_rate(case: Case) -> Iterator[Hit]:
    """Prodigy finds the rate itself and multiplies it by this one, which therefore belongs at 1.0."""
    optimizer = case.job.optimizer
    if optimizer.name == "prodigy" and not 0.5 <= optimizer.learning_rate <= 2:
        said = f"prodigy at learning_rate {optimizer.learning_rate:g}"
        yield Hit("optimizer.learning_rate", said, {"optimizer.learning_rate": 1.0})


@rule("error", "prodigyopt 1.1.2, prodigy.py:152: RuntimeError")
def prodigy_rates_differ(case: Case) -> Iterator[Hit]:
    """Prodigy refuses parameter groups of different rates, after the models were loaded and cached."""
    optimizer = case.job.optimizer
    text_rate = optimizer.text_encoder_learning_rate
    differs = text_rate is not None and text_rate != optimizer.learning_rate
    if optimizer.name == "prodigy" and case.trains_text and differs:
        setting = "optimizer.text_encoder_learning_rate"
        yield Hit(setting, f"prodigy with {text_rate:g} beside {optimizer.learning_rate:g}", {setting: None})


@rule("error", "prodigyopt 1.1.2, prodigy.py:152: RuntimeError")
def prodigy_lora_plus(case: Case) -> Iterator[Hit]:
    """LoRA+ gives the upper matrices a rate of their own, and prodigy refuses groups of different rates."""
    plus = case.job.network.lora_plus
    if case.job.optimizer.name == "prodigy" and plus is not None and plus > 1:
        yield Hit("network.lora_plus", f"prodigy with {plus:g} times the rate", {"network.lora_plus": None})


@rule("info", "prodigyopt: safeguard_warmup is off by default and meant for warm-ups")
def prodigy_warmup(case: Case) -> Iterator[Hit]:
    """During a warm-up prodigy misjudges its own rate unless it is told of it."""
    optimizer = case.job.optimizer
    if optimizer.name == "prodigy" and optimizer.warmup_steps and not optimizer.args.get("safeguard_warmup"):
        fix = {"optimizer.args.safeguard_warmup": True}
        yield Hit("optimizer.args", f"prodigy with {optimizer.warmup_steps} warm-up steps", fix)


@rule("error", "sd-scripts train_util.py:5047-5081")
def adafactor_own_rate(case: Case) -> Iterator[Hit]:
    """Adafactor's relative_step and warmup_init replace the learning rate and the schedule by its own."""
    optimizer = case.job.optimizer
    for name in ("relative_step", "warmup_init"):
        if optimizer.name == "adafactor" and optimizer.args.get(name):
            setting = f"optimizer.args.{name}"
            yield Hit(setting, f"{name} = {optimizer.args[name]!r} counts as true", {setting: False})


@rule("warning", "transformers Adafactor: the rate is multiplied by max(0.001, RMS of the matrix)")
def adafactor_scale_parameter(case: Case) -> Iterator[Hit]:
    """A LoRA's second matrix starts at zero, so scale_parameter makes it learn a thousand times too slowly."""
    optimizer = case.job.optimizer
    if optimizer.name == "adafactor" and optimizer.args.get("scale_parameter"):
        setting = "optimizer.args.scale_parameter"
        yield Hit(setting, "adafactor with scale_parameter", {setting: False})


@rule("info", "sd-scripts train_util.py:5085 warns of it")
def adafactor_clipped_twice(case: Case) -> Iterator[Hit]:
    """Adafactor clips its own updates; clipping the gradients before only slows it."""
    optimizer = case.job.optimizer
    if optimizer.name == "adafactor" and optimizer.max_grad_norm is not None:
        said = f"adafactor with max_grad_norm {optimizer.max_grad_norm:g}"
        yield Hit("optimizer.max_grad_norm", said, {"optimizer.max_grad_norm": None})


@rule("error", "the optimizers' constructors; TypeError only after loading and caching")
def optimizer_argument_unknown(case: Case) -> Iterator[Hit]:
    """The optimizer takes no argument of this name."""
    optimizer = case.job.optimizer
    for name in optimizer.args:
        if name not in _ARGUMENTS[optimizer.name]:
            setting = f"optimizer.args.{name}"
            yield Hit(setting, f"{optimizer.name} with {name}", {setting: None})


@rule("error", "sd-scripts stops with No module named 'bitsandbytes' (kohya_ss#1523)")
def eight_bit_without_bitsandbytes(case: Case) -> Iterator[Hit]:
    """8-bit optimizers come from bitsandbytes; adafactor is as small without it."""
    name, machine = case.job.optimizer.name, case.machine
    if name in _EIGHT_BIT and machine is not None and machine.bitsandbytes is False:
        yield Hit("optimizer.name", f"{name} without bitsandbytes", _adafactor(case))


@rule("warning", "measured: bitsandbytes 0.50.2 trains AdamW8bit on a CPU; its older versions need CUDA")
def eight_bit_without_gpu(case: Case) -> Iterator[Hit]:
    """8-bit optimizers are made for GPUs, and elsewhere fail with most versions; adafactor is as small."""
    name, machine = case.job.optimizer.name, case.machine
    lacks = case.job.launch.device == "cpu" or (machine is not None and machine.gpu_count == 0)
    if name in _EIGHT_BIT and lacks and not (machine and machine.bitsandbytes is False):
        yield Hit("optimizer.name", f"{name} without a GPU", _adafactor(case))


def _adafactor(case: Case) -> Fix:
    """Change to adafactor, with the rate that suits it and without the arguments of another."""
    fix: Fix = {"optimizer.name": "adafactor"}
    if case.job.optimizer.name in LION:
        fix |= case.rate_to(1e-4)
    return fix | {f"optimizer.args.{key}": None for key in case.job.optimizer.args}
