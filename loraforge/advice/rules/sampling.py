"""Samples drawn while training: do they show what has to be chosen, and at which price?"""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case
from loraforge.advice.rules.registry import Hit, rule

_CONTROL = "a cat sitting on a sofa"
_PROMPTS = ["{trigger}, a lighthouse on a cliff", "{trigger}, portrait of an old man", _CONTROL]


def _calls(case: Case, prompt: str) -> bool:
    trigger = case.job.dataset.trigger
    return "{trigger}" in prompt or (trigger is not None and trigger.lower() in prompt.lower())


@rule("info", "style-LoRA guide: evaluate several checkpoints before you choose")
def no_samples(case: Case) -> Iterator[Hit]:
    """Without samples there is nothing to look at while it trains."""
    if not case.job.sampling.prompts:
        yield Hit("sampling.prompts", "no sample prompts", {"sampling.prompts": _PROMPTS})


@rule("warning", "fluxgym#327; peers' samples are drawn without the trigger unless one types it")
def samples_never_call(case: Case) -> Iterator[Hit]:
    """Samples without the trigger show the base model, not what was learnt."""
    prompts = case.job.sampling.prompts
    if case.job.dataset.trigger is not None and prompts and not any(_calls(case, prompt) for prompt in prompts):
        fix = {"sampling.prompts": [f"{{trigger}}, {prompts[0]}", *prompts]}
        yield Hit("sampling.prompts", "no sample prompt holds {trigger}", fix)


@rule("info", "a style that shows without being called has leaked; only such a prompt can tell")
def samples_lack_control(case: Case) -> Iterator[Hit]:
    """One prompt without the trigger shows whether the base model stays what it was."""
    prompts = case.job.sampling.prompts
    if case.job.dataset.trigger is not None and prompts and all(_calls(case, prompt) for prompt in prompts):
        yield Hit("sampling.prompts", "every prompt holds the trigger", {"sampling.prompts": [*prompts, _CONTROL]})


@rule(
    "warning", "FLUX.1-dev draws at 2.5 to 4; --g is this guidance, --l would be true CFG, which loraforge leaves off"
)
def sample_guidance_odd(case: Case) -> Iterator[Hit]:
    """Samples at such guidance look washed out or burnt whatever the LoRA does."""
    guidance = case.job.sampling.guidance
    drawn = bool(case.job.sampling.prompts) and case.job.model.family == "flux-dev"
    if drawn and not 1.5 <= guidance <= 7:
        yield Hit("sampling.guidance", f"samples at guidance {guidance:g}", {"sampling.guidance": 3.5})


@rule("info", "FLUX.1-dev is made for 20 to 50 steps, FLUX.1-schnell for 1 to 4")
def sample_steps_few(case: Case) -> Iterator[Hit]:
    """With so few denoising steps samples are blurred, and the LoRA gets the blame."""
    sampling = case.job.sampling
    if sampling.prompts and case.job.model.family == "flux-dev" and sampling.steps < 12:
        yield Hit("sampling.steps", f"{sampling.steps} denoising steps", {"sampling.steps": 20})


@rule("info", "FLUX.1-schnell is distilled to 1 to 4 steps; FLUX.1-dev gains little beyond 30")
def sample_steps_many(case: Case) -> Iterator[Hit]:
    """More denoising steps than the model needs only take time from training."""
    sampling = case.job.sampling
    enough = 40 if case.job.model.family == "flux-dev" else 8
    if sampling.prompts and sampling.steps > enough:
        fix = {"sampling.steps": 20 if case.job.model.family == "flux-dev" else 4}
        yield Hit("sampling.steps", f"{sampling.steps} denoising steps", fix)


@rule("warning", "kohya_ss#2880, #2999: out of memory while sampling, in mid-run")
def sample_size_large(case: Case) -> Iterator[Hit]:
    """Samples above two megapixels can exhaust the memory of a card on which training fits."""
    sampling = case.job.sampling
    if sampling.prompts and sampling.width * sampling.height > 2_000_000:
        said = f"samples of {sampling.width}x{sampling.height}"
        yield Hit("sampling.width", said, {"sampling.width": 1024, "sampling.height": 1024})


@rule("info", "judgement: a LoRA is at its best near the size it was trained at")
def sample_size_far(case: Case) -> Iterator[Hit]:
    """Samples of quite another size than the training's show less than the LoRA can do, and take longer."""
    sampling = case.job.sampling
    pixels = sampling.width * sampling.height
    if sampling.prompts and pixels <= 2_000_000 and not 0.2 <= pixels / case.pixels <= 3:
        side = max(64, min(4096, round(case.pixels**0.5 / 16) * 16))
        said = f"samples of {sampling.width}x{sampling.height} from training at {case.pixels**0.5:.0f}"
        yield Hit("sampling.width", said, {"sampling.width": side, "sampling.height": side})


@rule("warning", "arithmetic: a denoising step is a forward pass, about a third of a training step")
def sampling_outweighs_training(case: Case) -> Iterator[Hit]:
    """Drawing samples takes longer than training between them."""
    sampling = case.job.sampling
    every = sampling.every_steps or case.job.training.save_every_steps or case.steps
    if not sampling.prompts or every is None:
        return
    area = sampling.width * sampling.height / case.pixels
    share = len(sampling.prompts) * sampling.steps * area / 3 / every
    if share > 1:
        said = f"{len(sampling.prompts)} samples every {every} steps cost {share:.1f} times the training between them"
        longer = max(every, round(share * every / 50) * 50 + 50)
        fix: dict[str, object] = {"sampling.every_steps": None, "training.save_every_steps": longer}
        saved = case.job.training.save_every_steps
        few = saved is not None and case.steps is not None and case.steps / longer < 3  # checkpoints to choose from
        if sampling.every_steps is not None or few:
            fix = {"sampling.every_steps": longer if saved is None else -(-longer // saved) * saved}
        yield Hit("sampling.every_steps", said, fix)


@rule("warning", "sd-scripts saves and draws by separate intervals")
def samples_miss_checkpoints(case: Case) -> Iterator[Hit]:
    """Samples drawn at other steps than checkpoints are saved show nothing that could be chosen."""
    every, saved = case.job.sampling.every_steps, case.job.training.save_every_steps
    if every is not None and saved is not None and every % saved and saved % every:
        said = f"samples every {every} steps, checkpoints every {saved}"
        yield Hit("sampling.every_steps", said, {"sampling.every_steps": None})
