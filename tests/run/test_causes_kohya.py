"""What makes the real engine fail, made for real, one after the other in one run that ends well: each has its name.

The rows with a star of the table in tests/run/test_faults_kohya.py.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults import go, loraforge, plan_in, start

from loraforge.run.folder import RunFolder
from loraforge.run.heal import Healer, run_healed
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.record import read
from loraforge.run.train import prepare
from loraforge.ship.lora_file import DOWN, difference, read_lora

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
# A step that does not fit, as torch tells of it.
NO_ROOM = """
_step = FluxNetworkTrainer.process_batch
def _without_room(self, *arguments, **named):
    args = next(one for one in arguments if isinstance(one, argparse.Namespace))
    if not args.gradient_checkpointing:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 54.00 MiB..")
    return _step(self, *arguments, **named)
FluxNetworkTrainer.process_batch = _without_room
"""


def with_engine(plan: RunPlan, folder: Path, *, lacks: str = "", first: str = "") -> RunPlan:
    """Plan the same with an engine that lacks something, or whose script does something first."""
    folder.mkdir()
    home = plan.ready.home
    for path in home.path.iterdir():
        if path.name not in {lacks, home.script.name}:
            (folder / path.name).symlink_to(path)
    script = home.script.read_text("utf-8").replace("\nif __name__ ==", f"{first}\nif __name__ ==")
    (folder / home.script.name).write_text(script, "utf-8")
    return build_plan(replace(plan.ready, home=replace(home, path=folder)), plan.folder)


def cut_weights(plan: RunPlan, scratch: Path) -> RunPlan:
    """Have half of the transformer."""
    cut = scratch / "cut.safetensors"
    data = plan.ready.weights.transformer.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    weights = replace(plan.ready.weights, transformer=cut)
    return build_plan(replace(plan.ready, weights=weights), plan.folder)


def no_pictures(plan: RunPlan, _scratch: Path) -> RunPlan:
    """Lose the pictures once they are staged."""
    prepare(plan)
    for path in plan.folder.dataset.iterdir():
        path.unlink()
    return plan


def half_a_picture(plan: RunPlan, _scratch: Path) -> RunPlan:
    """Damage a picture once it is staged."""
    prepare(plan)
    path = next(plan.folder.dataset.glob("*.png"))
    data = path.read_bytes()
    path.unlink()  # it shares its bytes with the store's
    path.write_bytes(data[: len(data) // 2])
    return plan


# How a plan is spoilt, prepared as far as that needs it, and the end it must come to.
CAUSES: list[tuple[Callable[[RunPlan, Path], RunPlan], str]] = [
    (cut_weights, "bad-weights"),
    (lambda plan, _: replace(plan, argv=(*plan.argv, "--no_such_option")), "bad-settings"),
    (lambda plan, scratch: with_engine(plan, scratch / "engine", lacks="library"), "module-missing"),
    (no_pictures, "no-data"),
    (half_a_picture, "bad-data"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory, engine_home) -> Path:
    """Return a folder in which all runs share pictures and caches."""
    return tmp_path_factory.mktemp("causes")


@pytest.fixture(scope="module")
def folder(home, tmp_path_factory) -> RunFolder:
    """Return a run that met every cause, at last too little memory, healed itself and was done."""
    plan, seen = plan_in(home, "causes"), []
    prepare(plan)
    for spoil, _ in CAUSES:
        spoilt = spoil(plan, tmp_path_factory.mktemp("spoilt"))
        outcome = start(spoilt)[0] if spoil in {no_pictures, half_a_picture} else go(spoilt)[0]
        assert outcome.end.evidence or outcome.end.name == "no-data"
        seen.append((outcome.status, outcome.end.name))
    assert seen == [("failed", name) for _, name in CAUSES]

    told: list[str] = []
    tight = with_engine(plan, tmp_path_factory.mktemp("tight") / "engine", first=NO_ROOM)
    prepare(tight)
    _, outcome = run_healed(
        tight,
        lambda current, record: start(current, before=record)[0],
        healer=Healer(),
        prepare=prepare,
        tell=told.append,
    )
    assert outcome.status == "done", outcome.end
    assert told == ["The GPU's memory ran out: beginning again with memory.gradient_checkpointing = True"]
    return plan.folder


def test_every_cause_has_its_name_and_the_run_is_done_at_last(folder):
    """Five that are for the user to mend, and one that the run mends itself and records."""
    record = read(folder.state)
    assert (record.status, record.starts, record.step) == ("done", len(CAUSES) + 2, 6)
    assert [change["settings"] for change in record.changes] == [{"memory.gradient_checkpointing": [False, True]}]


@pytest.mark.parametrize("change", [(), ("network.rank=6", "network.alpha=3")])
def test_a_new_run_begins_with_the_weights_of_another(folder, change):
    """`--from-weights` goes on from what was learnt, as a run of its own, also at another rank and alpha."""
    flags = [
        "training.steps=2",
        "optimizer.warmup_steps=1",
        "training.save_every_steps=none",
        "sampling.prompts=[]",
        *change,
    ]
    more = [part for flag in flags for part in ("--set", flag)]
    done = loraforge("train", str(folder.path), "--from-weights", str(folder.path), *more, "--json")
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout.splitlines()[-1])
    assert Path(ended["run"]) != folder.path
    before, after = read_lora(folder.lora("demo")), read_lora(Path(ended["lora"]))
    ranks = {int(after.tensors[module + DOWN].shape[0]) for module in after.modules()}
    assert ranks == ({6} if change else {int(before.tensors[before.modules()[0] + DOWN].shape[0])})
    # Two steps, the first with a rate of 0, from where the other run had come to in six.
    assert 0 < difference(before, after) < 0.5
