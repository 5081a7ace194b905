"""From a job that leaves things open to one that is definite: steps counted, memory settings decided."""

from loraforge.config.job import Job
from loraforge.config.memory import Memory
from loraforge.config.profiles import profile_for, settled


def definite(job: Job, pictures: int, vram_gib: float | None) -> Job:
    """Return the job with its steps counted and its memory settings decided."""
    training = job.training
    steps = training.steps or max(training.min_steps, min(training.max_steps, training.steps_per_picture * pictures))
    memory = settled(opened(job), profile_for(job.memory.profile, vram_gib))
    return job.model_copy(update={"training": training.model_copy(update={"steps": steps}), "memory": memory})


def opened(job: Job) -> Memory:
    """Return the memory settings with what the embedded engine can't do decided: it holds the model in bf16, whole."""
    if job.engine.kind == "kohya" or job.memory.fp8_base is not None:
        return job.memory
    return job.memory.model_copy(update={"fp8_base": False})
