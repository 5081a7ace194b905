"""From a job that leaves things open to one that is definite: steps counted, memory settings decided."""

from loraforge.config.job import Job
from loraforge.config.memory import Memory
from loraforge.config.profiles import profile_for, settled


def definite(job: Job, pictures: int, vram_gib: float | None) -> Job:
    """Return the job with its steps counted and its memory settings decided."""
    training = job.training
    steps = training.steps or max(training.min_steps, min(training.max_steps, training.steps_per_picture * pictures))
    memory = settled(opened(job), profile_for(job.memory.profile, vram_gib), swaps=swaps(job))
    return job.model_copy(update={"training": training.model_copy(update={"steps": steps}), "memory": memory})


def opened(job: Job) -> Memory:
    """Return the memory settings with 8 bits decided against where they can't be had."""
    if takes_8_bits(job) or job.memory.fp8_base is not None:
        return job.memory
    return job.memory.model_copy(update={"fp8_base": False})


def takes_8_bits(job: Job) -> bool:
    """Tell whether the base can be held in 8 bits: by sd-scripts, which refuses it without mixed precision."""
    return job.engine.kind == "kohya" and job.training.precision != "no"


def swaps(job: Job) -> bool:
    """Tell whether blocks can be swapped: by sd-scripts, for one process; with several they land on the wrong card."""
    return job.engine.kind == "kohya" and job.launch.processes == 1
