"""Names and formats of the results."""

import re
from collections.abc import Iterator

from loraforge.advice.rules.case import Case
from loraforge.advice.rules.registry import Hit, rule


@rule("warning", "style-LoRA guide: the best checkpoint is often not the last")
def keep_last_few(case: Case) -> Iterator[Hit]:
    """Old checkpoints are deleted before anyone could compare them."""
    keep = case.job.output.keep_last
    if keep is not None and keep < 3:
        yield Hit("output.keep_last", f"only {keep} kept", {"output.keep_last": None})


@rule("info", "fp16 ends at 6e-8; bf16 keeps the range of the weights that were trained")
def save_precision_fp16(case: Case) -> Iterator[Hit]:
    """The smallest weights of a young LoRA round to zero in fp16."""
    if case.job.output.save_precision == "fp16" and case.job.training.precision == "bf16":
        yield Hit("output.save_precision", "fp16 files from a bf16 run", {"output.save_precision": "bf16"})


@rule("info", "rank 16 is 306 MB as float and 153 MB as bf16")
def save_precision_float(case: Case) -> Iterator[Hit]:
    """A float file is twice as large, and programs that draw cast it to bf16 anyway."""
    if case.job.output.save_precision == "float":
        yield Hit("output.save_precision", "float files", {"output.save_precision": "bf16"})


@rule("info", "the file name is what every other program shows")
def name_generic(case: Case) -> Iterator[Hit]:
    """All LoRAs of this name look alike in a model folder."""
    job = case.job
    if job.output.name == "lora":
        word = job.dataset.trigger or (job.dataset.images.name if job.dataset.images else "") or job.preset or "style"
        name = re.sub(r"[^\w-]+", "_", word).strip("_") or "style"
        yield Hit("output.name", "the LoRA is called lora", {"output.name": name[:40] + "_v1"})


@rule("warning", "the pictures' folder is read again by every later run")
def output_among_pictures(case: Case) -> Iterator[Hit]:
    """Results inside the folder of pictures mix samples with what is trained on."""
    images, output = case.job.dataset.images, case.job.output.dir
    if images is not None and (output == images or images in output.parents):
        fix = {"output.dir": str(images.parent / "runs")}
        yield Hit("output.dir", f"{output} lies in {images}", fix)
