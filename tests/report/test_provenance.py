import json

from loraforge.report.provenance import origins_of, provenance_text
from loraforge.run.plan import job_text
from loraforge.settings import load


def _settled(job):
    return job.model_copy(
        update={
            "training": job.training.model_copy(update={"steps": 300}),
            "memory": job.memory.model_copy(update={"profile": "24gb", "fp8_base": False}),
        }
    )


def test_every_layer_is_named(tmp_path):
    """Preset, file, flag, `--set`, the profile and the counting of steps are each told; defaults are left out."""
    file = tmp_path / "forge.toml"
    file.write_text('preset = "style"\n[network]\nrank = 8\nalpha = 8.0\n')
    flags = {"dataset.trigger": ("--trigger", "zxqv")}
    settings = load(file, flags=flags, assignments=["training.seed=7"], cwd=tmp_path)
    settled = _settled(settings.job)
    origins = origins_of(settings, settled)
    assert origins["network.rank"] == str(file)
    assert origins["dataset.trigger"] == "--trigger"
    assert origins["training.seed"] == "--set"
    assert origins["optimizer.name"] == "preset style"
    assert origins["memory.fp8_base"] == "profile 24gb"
    assert origins["training.steps"] == "steps_per_picture x pictures"
    assert "network.targets" not in origins
    assert "network.rank" in provenance_text(origins, settled)


def test_a_repeated_run_keeps_its_origins(tmp_path):
    """A run folder's settings are all in one file, so the record beside it tells; what is set anew is told anew."""
    first = _settled(load(None, preset="style", cwd=tmp_path).job)
    (tmp_path / "job.toml").write_text(job_text(first))
    (tmp_path / "origins.json").write_text(json.dumps({"memory.fp8_base": "profile 24gb", "optimizer.name": "--set"}))
    settings = load(tmp_path / "job.toml", assignments=["training.seed=7"], cwd=tmp_path)
    assert origins_of(settings, settings.job) == {
        "memory.fp8_base": "profile 24gb",
        "optimizer.name": "--set",
        "training.seed": "--set",
    }
