"""What torch says of the card as its memory runs out."""

import pytest

from loraforge.config.job import Job
from loraforge.engine.shortage import others_gib, room_gib
from loraforge.run.ends import end_of

# From a run on an H100 of which another process held 55 GiB (benchmarks/out_of_memory.md).
SAID = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 54.00 MiB. GPU 0 has a total capacity of 79.18 GiB "
    "of which 20.56 MiB is free. Process 1829 has 55.17 GiB memory in use. Including non-PyTorch memory, this process "
    "has 23.97 GiB memory in use. Of the allocated memory 23.25 GiB is allocated by PyTorch, and 56.93 MiB is reserved "
    "by PyTorch but unallocated."
)
ALONE = SAID.replace("Process 1829 has 55.17 GiB memory in use. ", "")


def test_what_is_said_is_read():
    """What the engine held and what was free is what it can have; what others held is told apart."""
    assert room_gib(["", SAID]) == pytest.approx(23.97 + 20.56 / 1024)
    assert others_gib(["", SAID]) == pytest.approx(55.17)
    assert others_gib([SAID.replace("55.17 GiB", "512.00 MiB")]) == pytest.approx(0.5)
    assert room_gib([SAID.replace("20.56 MiB", "0 bytes")]) == pytest.approx(23.97)
    assert room_gib([SAID.replace("20.56 MiB", "512.00 KiB")]) == pytest.approx(23.97 + 0.5 / 1024)
    assert room_gib(["CUDA out of memory"]) is None
    assert others_gib(["CUDA out of memory"]) == others_gib([]) == others_gib([ALONE]) == 0


def test_the_end_names_what_others_held():
    """So that the user looks there first; a desktop's few hundred MiB are not worth a word."""
    log = "unet dtype: torch.bfloat16\n{}\n"
    causes = [
        end_of(log.format(said), 1, Job(), phase="training", done=False).cause
        for said in (SAID, ALONE, SAID.replace("55.17 GiB", "300.00 MiB"))
    ]
    assert causes[0] == "The GPU's memory ran out, of which other programs held 55.2 GiB."
    assert causes[1] == causes[2] == "The GPU's memory ran out."
