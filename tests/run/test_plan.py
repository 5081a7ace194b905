"""The plan: what will run, as a value."""

import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from jobs import WEIGHTS

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.locate import EngineHome
from loraforge.errors import ConfigError
from loraforge.run.folder import RunFolder, latest, new_folder
from loraforge.run.manual import powershell_script, shell_script
from loraforge.run.plan import build_plan, environment, job_text
from loraforge.run.settle import Ready
from loraforge.settings import load

ENGINE = EngineHome(Path("/opt/sd scripts"), None, "test")


def plan(folder="/runs/x", *, full_size=True, home=ENGINE, **sections):
    """Return a plan of a job with some values."""
    job = definite(Job.model_validate(sections), 20, 24.0)
    ready = Ready(job, WEIGHTS, full_size, home, (Entry("abc", Path("/pics/a.png"), "zx, a"),))
    return build_plan(ready, RunFolder(Path(folder)))


def after(argv, flag):
    """Return what follows a flag."""
    return argv[argv.index(flag) + 1]


def test_the_launcher_is_told_everything():
    """What accelerate would guess is always explicit, its own settings file included."""
    argv = plan().argv
    for flag, value in (
        ("--num_processes", "1"),
        ("--num_machines", "1"),
        ("--dynamo_backend", "no"),
        ("--mixed_precision", "bf16"),
        ("--gpu_ids", "0"),
    ):
        assert after(argv, flag) == value
    assert after(argv, "--config_file") == "/runs/x/accelerate.yaml"
    assert argv[-2:] == ("--config_file", "/runs/x/config.toml")
    assert argv[:3] == (sys.executable, "-m", "accelerate.commands.launch")


@pytest.mark.parametrize(("cards", "said"), [(("1",), "1"), (("2", "0"), "2,0"), ((), "-1")])
def test_the_launcher_is_told_the_cards(cards, said):
    """It would undo what CUDA_VISIBLE_DEVICES says, if it were not told the same."""
    ready = replace(plan().ready, cards=cards)
    assert after(build_plan(ready, RunFolder(Path("/runs/x"))).argv, "--gpu_ids") == said


@pytest.mark.parametrize(
    ("home", "full_size", "script", "cwd"),
    [
        (ENGINE, True, "/opt/sd scripts/flux_train_network.py", "/opt/sd scripts"),
        (ENGINE, False, "shim.py", "/opt/sd scripts"),
        (None, True, "embedded.py", "/runs/x"),
    ],
)
def test_which_script_runs_where(home, full_size, script, cwd):
    """Plain sd-scripts for FLUX.1 itself, the shim for smaller weights, the stand-in without sd-scripts."""
    made = plan(home=home, full_size=full_size)
    assert made.argv[-3].endswith(script)
    assert made.cwd == Path(cwd)


def test_the_childs_environment_is_quiet_and_without_secrets():
    """Unbuffered, UTF-8, wide, colourless, and no token of the user's."""
    env = environment(plan(), {"HF_TOKEN": "x", "MY_API_KEY": "y", "FORCE_COLOR": "1", "HOME": "/h"})
    assert {"HF_TOKEN", "MY_API_KEY", "FORCE_COLOR"} & env.keys() == set()
    assert (env["HOME"], env["PYTHONUNBUFFERED"], env["PYTHONUTF8"], env["NO_COLOR"]) == ("/h", "1", "1", "1")


def test_the_same_plan_twice_is_equal():
    """A plan is a value."""
    assert plan() == plan()


def test_the_job_file_is_written_last():
    """It makes a run folder of a folder: a start that is killed before leaves none that a resume would take."""
    made = plan()
    assert list(made.files)[-1] == made.folder.job


def test_the_job_file_repeats_the_job(tmp_path):
    """job.toml loads back into the very job."""
    made = plan(
        training={"seed": 5}, optimizer={"args": {"weight_decay": 0.1}}, engine={"extra": {"ip_noise_gamma": 0.1}}
    )
    (tmp_path / "job.toml").write_text(job_text(made.job))
    again = load(tmp_path / "job.toml", cwd=tmp_path).job
    assert again.model_copy(update={"output": made.job.output}) == made.job


@pytest.mark.parametrize(
    ("vram", "profile"),
    [(None, "24gb"), (7.5, "8gb"), (11.6, "12gb"), (23.5, "24gb"), (31.4, "32gb"), (79.1, "80gb"), (2, "8gb")],
)
def test_auto_takes_the_profile_of_the_card(vram, profile):
    """Cards report a little less than they are sold with."""
    assert definite(Job(), 20, vram).memory.profile == profile


@pytest.mark.parametrize(("pictures", "steps"), [(5, 300), (20, 400), (25, 500), (100, 600)])
def test_steps_follow_the_pictures_within_bounds(pictures, steps):
    """Twenty a picture, 300 at least, 600 at most."""
    assert definite(Job(), pictures, None).training.steps == steps


@pytest.mark.spawns
@pytest.mark.parametrize("odd", ["plain", "with space", "it's", 'quo"te', "dollar$HOME", "brace}", "back`tick"])
def test_run_sh_passes_every_argument_unharmed(tmp_path, odd):
    """A shell hands the program exactly the plan's arguments, whatever signs the paths hold."""
    folder = tmp_path / odd
    folder.mkdir()
    made = plan(str(folder), home=None, engine={"kind": "embedded", "python": str(folder / "python")})
    (folder / "python").write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n")
    (folder / "python").chmod(0o755)
    (folder / "run.sh").write_text(shell_script(made))
    done = subprocess.run(["bash", str(folder / "run.sh")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(list(made.argv[1:]))


def test_run_ps1_quotes_for_powershell():
    """Single quotes are doubled; nothing is expanded inside them."""
    text = powershell_script(plan("/runs/it's $x"))
    assert "'/runs/it''s $x/config.toml'" in text
    assert text.count("\n") == text.count("\r\n")


def test_run_folders_do_not_collide(tmp_path):
    """Two runs in one second get two folders, and the newest is found again."""
    now = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # only its digits count
    first = new_folder(tmp_path, "n", now)
    first.path.mkdir(parents=True)
    second = new_folder(tmp_path, "n", now)
    assert (first.path.name, second.path.name) == ("20260102-030405", "20260102-030405-02")
    first.job.touch()
    assert latest(tmp_path, "n") == first
    assert latest(tmp_path, "other") is None
    second.path.mkdir()
    second.job.touch()
    third = new_folder(tmp_path, "n", now.replace(year=2001))  # the clock was set back
    third.path.mkdir()
    third.job.touch()
    assert latest(tmp_path, "n") == third


def test_the_command_line_is_for_show_only():
    """What is shown can be pasted, and parses back to the list that runs."""
    from loraforge.run.plan import command_line

    assert tuple(shlex.split(command_line(plan("/runs/a b")))) == plan("/runs/a b").argv


def test_the_embedded_engine_is_not_asked_for_what_it_has_not():
    """Every setting that only sd-scripts has built is named before anything starts; a plain job passes."""
    assert plan(home=None, engine={"kind": "embedded"}).argv[-3].endswith("embedded.py")
    with pytest.raises(ConfigError) as caught:
        plan(home=None, engine={"kind": "embedded"}, network={"dropout": 0.1}, training={"loss": "huber"})
    assert "the embedded engine has no option network_dropout" in caught.value.message
    assert "the embedded engine takes loss_type = 'l2', not 'huber'" in caught.value.message
