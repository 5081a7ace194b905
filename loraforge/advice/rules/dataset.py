"""Resolution, batches and buckets. What pictures, captions and the trigger are worth is the lint's to say."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case, Fix
from loraforge.advice.rules.registry import Hit, rule
from loraforge.dataset.buckets import bucket_for
from loraforge.errors import DatasetError

# One token for CLIP and none that names anything.
_FREE_WORD = "ohwx"


def _resolution(case: Case) -> str:
    resolution = case.job.dataset.resolution
    return f"{resolution[0]}x{resolution[1]}" if isinstance(resolution, list) else str(resolution)


@rule("info", "style-LoRA guide: a unique trigger word is a critical success factor")
def trigger_missing(case: Case) -> Iterator[Hit]:
    """Without a trigger the style can't be called, and colours everything that is drawn with the LoRA."""
    if case.job.dataset.trigger is None:
        yield Hit("dataset.trigger", "no trigger word", {"dataset.trigger": _FREE_WORD})


@rule("warning", "sd-scripts fills batches within a bucket, from the pictures' repeats")
def batch_exceeds_bucket(case: Case) -> Iterator[Hit]:
    """Only pictures of one bucket share a batch, so that a small bucket fills it with the same picture twice."""
    batch, buckets = case.job.dataset.batch_size, case.dataset.buckets if case.dataset else {}
    small = {size: count for size, count in buckets.items() if count < batch}
    if small:
        (width, height), count = min(small.items(), key=lambda entry: entry[1])
        said = f"batch size {batch}, and {len(small)} of {len(buckets)} buckets hold fewer ({width}x{height}: {count})"
        yield Hit("dataset.batch_size", said, {"dataset.batch_size": min(buckets.values())})


@rule("warning", "predicted with the engine's own arithmetic; fluxgym trains so (fluxgym#288, #441)")
def buckets_off(case: Case) -> Iterator[Hit]:
    """Without buckets every picture is cropped to the training shape."""
    dataset = case.job.dataset
    if dataset.buckets.enabled or not case.dataset or _refused(case):
        return
    cropped = []
    for size in case.dataset.sizes:
        try:
            cropped.append(bucket_for(size, dataset.resolution, dataset.buckets).cropped_percent)
        except DatasetError:
            continue
    if cropped and max(cropped) > 10:
        said = f"buckets are off, and up to {max(cropped):.0f} % of a picture is cut away"
        yield Hit("dataset.buckets.enabled", said, _buckets_on(case))


@rule("error", "sd-scripts train_util.py:1634-1647: assertions at the first step")
def buckets_off_uncached(case: Case) -> Iterator[Hit]:
    """With neither buckets nor cached latents pictures are not resized; the engine stops at one of another size."""
    if refused := _refused(case):
        said = f"{refused} of {case.pictures} pictures are not of {_resolution(case)}, and buckets are off"
        yield Hit("dataset.buckets.enabled", said, _buckets_on(case))


def _refused(case: Case) -> int:
    """Count the pictures that the engine stops at: read from their files they are cropped at most, never resized."""
    job = case.job
    if job.dataset.buckets.enabled or job.memory.cache_latents != "off" or job.engine.kind != "kohya":
        return 0
    side = job.dataset.resolution
    width, height = side if isinstance(side, list) else (side, side)
    crops = bool(case.extra.get("random_crop"))
    sizes = case.dataset.sizes if case.dataset else ()
    return sum(w < width or h < height or (not crops and (w, h) != (width, height)) for w, h in sizes)


def _buckets_on(case: Case) -> Fix:
    side = case.job.dataset.resolution
    return {"dataset.buckets.enabled": True, **case.limits_for(side if isinstance(side, list) else [side])}


@rule("warning", "computed: at 1024 with max 1024 a 3:2 picture trains at 1024x704 instead of 1216x832")
def bucket_max_tight(case: Case) -> Iterator[Hit]:
    """A longest side near the resolution squeezes wide and tall pictures into smaller areas."""
    dataset = case.job.dataset
    side = case.pixels**0.5
    if dataset.buckets.enabled and dataset.buckets.upscale and dataset.buckets.max < 1.25 * side:
        step = dataset.buckets.step
        roomy = min(8192 // step, round(2 * side / step)) * step
        said = f"buckets.max {dataset.buckets.max} at resolution {_resolution(case)}"
        yield Hit("dataset.buckets.max", said, {"dataset.buckets.max": roomy})


@rule("info", "sd-scripts: bucket sides are multiples of the step, and what is beyond is cut off")
def bucket_step_coarse(case: Case) -> Iterator[Hit]:
    """Coarse bucket sides cut more off every picture."""
    step = case.job.dataset.buckets.step
    if case.job.dataset.buckets.enabled and step > 64:
        yield Hit("dataset.buckets.step", f"buckets.step {step}", {"dataset.buckets.step": 64})


@rule("warning", "judgement: enlarging invents no brushwork, the model learns the blur")
def pictures_enlarged(case: Case) -> Iterator[Hit]:
    """Enlarged pictures teach softness as part of the style."""
    if not case.job.dataset.buckets.enabled or not case.job.dataset.buckets.upscale or not case.dataset:
        return
    small = sum(width * height < 0.7 * case.pixels for width, height in case.dataset.sizes)
    if small:
        said = f"{small} of {case.pictures} pictures are enlarged to {_resolution(case)}"
        yield Hit("dataset.buckets.upscale", said, {"dataset.buckets.upscale": False})


@rule("warning", "style-LoRA guide: 512 at least, 1024 for FLUX")
def resolution_low(case: Case) -> Iterator[Hit]:
    """Below 512 pixels FLUX draws poorly, and a style's texture is gone."""
    if case.pixels < 512**2:
        yield Hit("dataset.resolution", f"resolution {_resolution(case)}", case.resolution_to(768))


@rule("warning", "FLUX.1 is made for 0.1 to 2 megapixels; computed: 1536 keeps twice the activations of 1024")
def resolution_high(case: Case) -> Iterator[Hit]:
    """Beyond two megapixels FLUX repeats itself, and each step takes several times as long."""
    if case.pixels > 2_000_000:
        fix = case.resolution_to(1024)
        yield Hit("dataset.resolution", f"resolution {_resolution(case)}", fix)


@rule("warning", "sd-scripts leaves pictures below the resolution at their own size with bucket_no_upscale")
def resolution_above_pictures(case: Case) -> Iterator[Hit]:
    """Most pictures are far smaller than the resolution, which therefore never happens."""
    sizes = sorted(width * height for width, height in case.dataset.sizes) if case.dataset else []
    median = sizes[len(sizes) // 2] if sizes else case.pixels
    fitting = max(512, int(median**0.5) // 64 * 64)
    upscale = case.job.dataset.buckets.upscale
    if case.job.dataset.buckets.enabled and not upscale and median < 0.4 * case.pixels and fitting**2 < case.pixels:
        said = f"half of the pictures have less than {median / 1e6:.2f} megapixels at resolution {_resolution(case)}"
        yield Hit("dataset.resolution", said, case.resolution_to(fitting))


@rule("warning", "measured: resumed steps are counted and named rightly only when the whole run is one epoch")
def repeats_break_resume(case: Case) -> Iterator[Hit]:
    """With several epochs the engine counts a resumed run wrongly."""
    repeats, steps = case.job.dataset.repeats, case.steps
    if repeats is None or steps is None or case.pictures is None or not case.job.training.save_states:
        return
    epoch = case.pictures * repeats / case.pictures_a_step
    if epoch < steps:
        said = f"{repeats} repeats make an epoch of {epoch:.0f} steps in a run of {steps}"
        yield Hit("dataset.repeats", said, {"dataset.repeats": None})
