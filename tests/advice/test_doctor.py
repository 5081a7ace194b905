"""The doctor: every line passes on a good machine and fails on the machine it is about."""

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from loraforge.advice.checkup import Facts
from loraforge.advice.checkup_python import runs_on
from loraforge.advice.doctor import Probes, examine, gather, is_ready
from loraforge.config.job import Job
from loraforge.engine.locate import PINNED_COMMIT, EngineHome
from loraforge.engine.weights import ROLES, Found
from loraforge.errors import MachineError
from loraforge.findings import Finding
from loraforge.machine.gpu import Gpu, GpuProcess
from loraforge.machine.host import Host
from loraforge.machine.packages import PythonFacts

CARD = Gpu(0, "NVIDIA GeForce RTX 4090", 24.0, 23.5, "570.86.15", (12, 8), (8, 9))
TORCH = {"version": "2.8.0+cu128", "cuda": "12.8", "hip": None, "arch_list": ["sm_80", "sm_90"], "available": True}
PYTHON = PythonFacts(
    executable="/venv/bin/python",
    versions={"torch": "2.8.0+cu128", "accelerate": "1.6.0", "bitsandbytes": "0.47.0"},
    torch=TORCH,
    bitsandbytes={"gpu": True, "builds": ["126", "128"]},
    triton={},
    cv2={},
)
PATHS = {role: Path("/models") / f"{role}.safetensors" for role in ROLES}
GOOD = Facts(
    gpus=[CARD],
    gpu=CARD,
    host=Host(64.0, 60.0, 8.0, "linux"),
    python=PYTHON,
    pins=[Requirement("accelerate==1.6.0"), Requirement("torch>=2.6"), Requirement("bitsandbytes")],
    engine=EngineHome(Path("/engine"), PINNED_COMMIT, "vendor/sd-scripts"),
    found=Found(PATHS, Path("/models/tokenizers"), ()),
    weight_bytes=dict(zip(ROLES, (23_800_000_000, 250_000_000, 9_800_000_000, 340_000_000), strict=True)),
    weight_findings=[],
    cached_tokenizers=False,
    token=None,
    output_free_gib=500.0,
    download_dir=Path("/models"),
    download_free_gib=500.0,
)
NOTHING = Found(dict.fromkeys(ROLES), None, ())
LOST = [
    Finding("weights-missing", "error", f"model.{role}", f"no {role}", "loraforge models --download") for role in ROLES
]


def _card(**changes):
    changed = replace(CARD, **changes)
    return {"gpus": [changed], "gpu": changed}


def _python(**changes):
    return {"python": replace(PYTHON, **changes)}


def _torch(**changes):
    return _python(torch={**TORCH, **changes})


def _host(ram, free, swap, platform="linux"):
    return {"host": Host(ram, free, swap, platform)}


def _job(**sections):
    return Job.model_validate(sections)


EIGHT_BIT = _job(optimizer={"name": "adamw8bit"})
ON_CPU = _job(launch={"device": "cpu"})
EMBEDDED = _job(engine={"kind": "embedded"})

# line, state, words of the message, words of the fix, the machine, the settings
CASES = [
    ("gpu", "missing", "no driver", "nvidia-smi", {"gpus": [], "gpu": None}, Job()),
    ("gpu", "ok", "none asked for", "", {"gpus": [], "gpu": None}, ON_CPU),
    ("gpu", "missing", "gpu_ids = 3", "--set launch.gpu_ids=0", {"gpu": None}, _job(launch={"gpu_ids": "3"})),
    ("gpu", "missing", "CUDA_VISIBLE_DEVICES shows others", "--set launch.gpu_ids=0", {"gpu": None}, Job()),
    ("gpu", "warning", "8 GB", "rent", _card(total_gib=6.0, free_gib=5.9), Job()),
    (
        "gpu",
        "warning",
        "blender (7)",
        "nvidia-smi",
        _card(free_gib=9.0, processes=(GpuProcess(7, "blender", 14.0),)),
        Job(),
    ),
    ("gpu", "warning", "other programs", "nvidia-smi", _card(free_gib=9.0), Job()),
    ("bf16", "warning", "7.5", "RTX 30", _card(capability=(7, 5)), Job()),
    ("ram", "warning", "swap carries", "--t5 fp8", _host(24.0, 20.0, 16.0), Job()),
    ("ram", "warning", "may kill", "--t5 fp8", _host(24.0, 20.0, 0.0), Job()),
    (
        "ram",
        "warning",
        "may kill",
        "add memory",
        {**_host(12.0, 9.0, 0.0), "weight_bytes": {"t5xxl": 4_900_000_000}},
        Job(),
    ),
    ("swap", "warning", "killed", "fallocate -l 8G", _host(24.0, 20.0, 0.0), Job()),
    ("pagefile", "warning", "1455", "Virtual memory", _host(32.0, 28.0, 2.0, platform="win32"), Job()),
    ("pagefile", "ok", "24 GiB", "", _host(32.0, 28.0, 24.0, platform="win32"), Job()),
    ("disk", "missing", "1.0 GiB are free", "output.dir", {"output_free_gib": 1.0}, Job()),
    ("disk", "warning", "can't be told", "output.dir", {"output_free_gib": None}, Job()),
    ("disk-models", "missing", "to be fetched", "--dir", {"found": NOTHING, "download_free_gib": 20.0}, Job()),
    ("disk-models", "warning", "to be fetched", "--dir", {"found": NOTHING, "download_free_gib": 40.0}, Job()),
    ("disk-models", "ok", "to be fetched", "", {"found": NOTHING}, Job()),
    ("python", "missing", "can't be started", "engine.python", _python(error="it can't be started: x"), Job()),
    ("packages", "warning", "no pins", "loraforge[engine]", {"pins": []}, Job()),
    ("packages", "missing", "none could be listed", "pip install", _python(versions={}), Job()),
    ("packages", "missing", "not installed: toml", '"toml==0.10.2"', {"pins": [Requirement("toml==0.10.2")]}, Job()),
    ("packages", "warning", "not installed: ftfy", '"ftfy"', {"pins": [Requirement("ftfy")]}, Job()),
    (
        "packages",
        "warning",
        "accelerate 1.6.0",
        '"accelerate==1.7.0"',
        {"pins": [Requirement("accelerate==1.7.0")]},
        Job(),
    ),
    ("torch", "missing", "libcudart", "--index-url", _python(torch={"error": "OSError: libcudart"}), Job()),
    ("torch", "missing", "not reached", "--index-url", _python(torch=None), Job()),
    ("torch", "missing", "the CPU only", "cu128", _torch(cuda=None), Job()),
    ("torch", "ok", "the CPU", "", _torch(cuda=None), ON_CPU),
    ("torch", "warning", "ROCm", "cu128", _torch(cuda=None, hip="6.4"), Job()),
    ("torch", "missing", "runs CUDA up to 12.8", "update the driver", _torch(cuda="13.0"), Job()),
    ("torch", "missing", "sm_120", "cu128", _card(name="RTX 5090", capability=(12, 0)), Job()),
    ("torch", "missing", "sm_70", "cu126", _card(name="V100", capability=(7, 0)), Job()),
    ("torch", "missing", "sees no GPU", "CUDA_VISIBLE_DEVICES", _torch(available=False), Job()),
    ("torch", "ok", "no card to compare", "", {"gpus": [], "gpu": None}, Job()),
    ("bitsandbytes", "warning", "No module", "pip install", _python(bitsandbytes={"error": "No module"}), Job()),
    ("bitsandbytes", "missing", "not reached", "optimizer.name=adafactor", _python(bitsandbytes=None), EIGHT_BIT),
    (
        "bitsandbytes",
        "missing",
        "CUDA 128",
        "pip",
        _python(bitsandbytes={"gpu": False, "builds": []}),
        EIGHT_BIT,
    ),
    ("bitsandbytes", "warning", "no library", "pip", _python(bitsandbytes={"gpu": None, "builds": ["118"]}), Job()),
    ("bitsandbytes", "ok", "not tried", "", _python(bitsandbytes={"gpu": None, "builds": ["128"]}), Job()),
    ("triton", "warning", "compiled", "install triton", _python(triton={"error": "No module"}), Job()),
    (
        "opencv",
        "missing",
        "libGL.so.1",
        "libgl1",
        _python(cv2={"error": "ImportError: libGL.so.1: cannot open"}),
        Job(),
    ),
    ("opencv", "missing", "No module", "opencv-python==", _python(cv2={"error": "No module named 'cv2'"}), Job()),
    ("engine", "missing", "not here", "git clone", {"engine": MachineError("not here", "git clone")}, Job()),
    ("engine", "ok", "embedded", "", {"engine": MachineError("not here", "git clone")}, EMBEDDED),
    ("engine", "warning", "tested against", "checkout", {"engine": EngineHome(Path("/e"), "0" * 40, "x")}, Job()),
    (
        "weights-transformer",
        "missing",
        "no transformer",
        "--download",
        {"found": NOTHING, "weight_findings": LOST},
        Job(),
    ),
    ("weights-clip-l", "missing", "no clip_l", "--download", {"found": NOTHING, "weight_findings": LOST}, Job()),
    ("tokenizers", "warning", "on first use", "--download", {"found": Found(PATHS, None, ())}, Job()),
    ("tokenizers", "ok", "cache", "", {"found": Found(PATHS, None, ()), "cached_tokenizers": True}, Job()),
    ("hub", "warning", "no log-in", "hf auth login", {"found": NOTHING}, Job()),
    ("hub", "ok", "$HF_TOKEN", "", {"found": NOTHING, "token": "$HF_TOKEN"}, Job()),
]


def test_a_good_machine_is_ready():
    """Every line is well, none has a fix, and each is there once."""
    checks = examine(Job(), GOOD)
    assert {check.state for check in checks} == {"ok"}
    assert {check.fix for check in checks} == {""}
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert is_ready(checks)
    assert {"gpu", "bf16", "ram", "swap", "disk", "packages", "torch", "bitsandbytes", "triton", "opencv"} < set(names)
    assert {"engine", "weights-transformer", "tokenizers", "hub"} < set(names)


@pytest.mark.parametrize(("name", "state", "message", "fix", "changes", "job"), CASES)
def test_each_line_tells_its_fault(name, state, message, fix, changes, job):
    """One thing changed changes the line it belongs to, with a fix one can paste."""
    checks = examine(job, replace(GOOD, **changes))
    (check,) = [check for check in checks if check.name == name]
    assert check.state == state
    assert message in check.message
    assert fix in check.fix
    assert bool(check.fix) == (state != "ok")
    if state == "missing":
        assert not is_ready(checks)


@pytest.mark.parametrize(
    ("capability", "arch_list", "fits"),
    [
        ((8, 9), ["sm_80"], True),
        ((8, 9), ["sm_86", "sm_90"], True),
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        ((12, 1), ["sm_120"], True),
        ((10, 3), ["sm_100f"], True),
        ((8, 6), ["gfx90a"], False),
    ],
)
def test_which_cards_a_build_has_code_for(capability, arch_list, fits):
    """Binary code serves its major version upwards, portable code everything later."""
    assert runs_on(capability, arch_list) is fits


def _probes(tmp_path, engine):
    return Probes(
        gpus=lambda: [CARD],
        host=lambda: GOOD.host,
        python=lambda executable: replace(PYTHON, executable=executable),
        pins=lambda: GOOD.pins,
        engine=engine,
        weights=lambda *_: Found({**PATHS, "clip_l": tmp_path / "clip_l.safetensors"}, None, ()),
        free_gib=lambda _: 100.0,
    )


def test_gather_looks_once_at_everything(tmp_path):
    """Sizes and findings of the weights, both tokenizers in the cache and the log-in's place are put together."""
    (tmp_path / "clip_l.safetensors").write_bytes(b"<html>")
    for name in ("models--openai--clip-vit-large-patch14", "models--google--t5-v1_1-xxl"):
        snapshot = tmp_path / "hub" / name / "snapshots" / "0123"
        snapshot.mkdir(parents=True)
        (snapshot / "tokenizer_config.json").touch()
    environ = {"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_planted", "LORAFORGE_MODELS": str(tmp_path / "m")}
    job = _job(engine={"python": "/other/python"})
    facts = gather(job, environ, _probes(tmp_path, lambda *_: GOOD.engine))
    assert facts.weight_bytes == {"clip_l": 6}
    assert {finding.code for finding in facts.weight_findings} == {"weights-missing", "weights-not-safetensors"}
    assert facts.cached_tokenizers
    assert (facts.token, facts.download_dir) == ("$HF_TOKEN", tmp_path / "m")
    assert facts.python.executable == "/other/python"
    assert "hf_planted" not in str(examine(job, facts))


def test_gather_keeps_a_missing_engine_as_a_fact(tmp_path):
    """An engine that is nowhere is told by its line, not raised."""

    def lost(_path, _environ):
        raise MachineError("nowhere", "git clone")

    facts = gather(Job(), {"HF_HOME": str(tmp_path)}, _probes(tmp_path, lost))
    assert isinstance(facts.engine, MachineError)
    assert not facts.cached_tokenizers
