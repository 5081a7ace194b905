"""Settings: layers, provenance, and one report of all faults."""

from pathlib import Path

import pytest

from loraforge.errors import ConfigError
from loraforge.settings import load
from loraforge.settings.layers import nearest
from loraforge.settings.load import shown


def loaded(tmp_path, text=None, **more):
    """Load settings from a forge.toml with this text."""
    file = None
    if text is not None:
        file = tmp_path / "forge.toml"
        file.write_text(text, encoding="utf-8")
    return load(file, cwd=tmp_path, **more)


def refused(tmp_path, text=None, **more):
    """Return the message and hint of a refusal."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text, **more)
    return f"{caught.value.message}\n{caught.value.hint}"


def test_later_layers_win_and_are_remembered(tmp_path):
    """Default < preset < file < --set, value by value."""
    settings = loaded(
        tmp_path, 'preset = "style"\n[network]\nrank = 12\n[training]\nseed = 7\n', assignments=["training.seed=9"]
    )
    job = settings.job
    assert (job.network.rank, job.network.alpha, job.training.seed, job.dataset.batch_size) == (12, 16.0, 9, 1)
    assert settings.origin("network.rank") == str(tmp_path / "forge.toml")
    assert settings.origin("network.alpha") == "preset style"
    assert settings.origin("training.seed") == "--set"
    assert settings.origin("dataset.batch_size") == "default"


def test_preset_on_the_command_line_beats_the_files(tmp_path):
    """--preset replaces the file's preset, the file's values stay."""
    job = loaded(tmp_path, 'preset = "style"\n[network]\nalpha = 5\n', preset="subject").job
    assert (job.preset, job.network.rank, job.network.alpha) == ("subject", 32, 5.0)


def test_paths_start_from_where_they_were_written(tmp_path, monkeypatch):
    """A file's paths are relative to the file, the command line's to the working folder."""
    project = tmp_path / "project"
    project.mkdir()
    file = project / "forge.toml"
    file.write_text('[dataset]\nimages = "pictures"\n[model]\nclip_l = "~/c.safetensors"\n')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    flags = {"engine.path": ("--engine", "sd")}
    job = load(file, cwd=tmp_path, flags=flags, assignments=["model.t5xxl=t5.safetensors"]).job
    assert job.dataset.images == project / "pictures"
    assert job.engine.path == tmp_path / "sd"
    assert job.model.t5xxl == tmp_path / "t5.safetensors"
    assert job.model.clip_l == tmp_path / "home" / "c.safetensors"
    assert job.output.dir == project / "runs"


def test_none_unsets_a_presets_value(tmp_path):
    """The word "none" takes away what a lower layer set, where a setting can be absent."""
    job = loaded(tmp_path, 'preset = "style"\n[optimizer]\nschedule="constant"\nwarmup_steps = "none"\n').job
    assert job.optimizer.warmup_steps is None


@pytest.mark.parametrize("path", ["engine.extra.sdpa", "optimizer.args.sdpa"])
def test_none_takes_a_free_key_away(tmp_path, path):
    """In [engine] extra and [optimizer] args, whose keys are not ours, the word "none" removes a key, set or not."""
    table, _, key = path.rpartition(".")
    settings = loaded(tmp_path, f"[{table}]\n{key} = true\nother = 1\n", assignments=[f"{path}=none"])
    assert {**settings.job.engine.extra, **settings.job.optimizer.args} == {"other": 1}
    assert settings.origin(path) == "default"
    assert loaded(tmp_path, "", assignments=[f"{path}=none"]).job == loaded(tmp_path, "").job


def test_all_faults_come_at_once_with_value_allowance_and_origin(tmp_path):
    """One report names every fault of every layer."""
    text = refused(
        tmp_path,
        "[network]\nrnak = 3\nalpha = -1\n[training]\nprecision = 'fp8'\n",
        assignments=["training.seed=many", "trainnig.steps=3"],
    )
    assert "5 settings are wrong" in text
    assert "network.rnak is not a setting; did you mean network.rank?" in text
    assert "network.alpha = -1: must be a number above 0 to 4096" in text
    assert 'training.precision = "fp8": must be one of "bf16", "fp16", "no"' in text
    assert 'training.seed = "many": must be a whole number from 0 to 4294967295 (set by --set)' in text
    assert "trainnig is not a setting; did you mean training? (set by --set)" in text
    assert f"(set by {tmp_path / 'forge.toml'})" in text


def test_what_lies_below_a_setting_is_its_own_layers_fault(tmp_path):
    """A key below a number replaces it; the layer that holds the key is named, not the one that held the number."""
    text = refused(tmp_path, "[network]\nrank = 8\n", assignments=["network.rank.x=5"])
    assert "network.rank = {'x': 5}: must be a whole number from 1 to 1024 (set by --set)" in text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("network.rnak", "network.rank"),
        ("network_dim", "network.rank"),
        ("optimizer.lr_scheduler", "optimizer.schedule"),
        ("learning_rate", "optimizer.learning_rate"),
        ("trainin", "training"),
        ("dataset.bucket", "dataset.buckets"),
        ("memory.fp8", "memory.fp8_base"),
        ("qqqq.zzzz", None),
    ],
)
def test_nearest_spelling(typed, meant):
    """A typo, a setting in the wrong section and the engine's own name all lead to the right one."""
    from loraforge.engine.owned import OWNED

    assert nearest(typed, OWNED) == meant


@pytest.mark.parametrize(
    ("text", "line", "caret_column"),
    [
        ("[network]\nrank = = 3\n", "   2 | rank = = 3", 8),
        ("[network\nrank = 3\n", "   1 | [network", 9),
        ("a = 1\na = 2\n", "   2 | a = 2", 6),
        ('[dataset]\nimages = "C:\\pictures"\n', '   2 | images = "C:\\pictures"', 15),
    ],
)
def test_syntax_errors_show_line_and_caret(tmp_path, text, line, caret_column):
    """The faulty line is quoted with a caret under the place."""
    lines = refused(tmp_path, text).split("\n")
    at = lines.index(line)
    assert lines[at + 1].index("^") == len("   1 | ") + caret_column - 1


def test_a_windows_path_in_double_quotes_gets_the_cure(tmp_path):
    """Backslash escapes are TOML's commonest trap on Windows."""
    assert "single quotes" in refused(tmp_path, '[dataset]\nimages = "C:\\pictures"\n')


@pytest.mark.parametrize(
    ("assignment", "part"),
    [
        ("optimizer.schedule=constant;optimizer.warmup_steps=5", 'needs schedule = "constant_with_warmup"'),
        ("optimizer.restarts=3", 'belongs to schedule "cosine_with_restarts"'),
        ("optimizer.args={relative_step=true}", "would replace learning_rate"),
        ("optimizer.args={warmup_init=true}", "would force relative_step"),
        ("dataset.resolution=1000", "multiple of 16"),
        ("dataset.buckets.min=2048;dataset.buckets.max=2048", "must not exceed the resolution"),
        ("dataset.resolution=4096", "must be at least the resolution"),
        ("dataset.buckets.max=2000", "must be a multiple of dataset.buckets.step"),
        ("network.train_t5xxl=true", "needs network.train_clip_l"),
        ("network.train_t5xxl=true;network.train_clip_l=true", 'needs memory.cache_text_encoders = "off"'),
        ("memory.fp8_base=true;training.precision=no", 'needs training.precision = "bf16"'),
        ("engine.kind=embedded;network.train_clip_l=true", "trains the transformer only"),
        ("training.min_steps=900", "must not exceed training.max_steps"),
        ("sampling.every_steps=5", "needs sampling.prompts"),
    ],
)
def test_rules_across_sections(tmp_path, assignment, part):
    """Settings that can't go together are refused, naming the setting and the way out."""
    assert part in refused(tmp_path, assignments=assignment.split(";"))


def test_secrets_do_not_reach_the_environment_table(tmp_path):
    """A token in [launch] env would be written into the run folder; its value is not echoed either."""
    text = refused(
        tmp_path, '[launch]\nenv = { HF_TOKEN = "hf_planted", LD_PRELOAD = "x.so", OMP_NUM_THREADS = "1" }\n'
    )
    assert "launch.env.HF_TOKEN is refused" in text
    assert "launch.env.LD_PRELOAD is refused" in text
    assert "hf_planted" not in text


_LOADING = (
    "INTEL_LIBITTNOTIFY64", "INTEL_JIT_PROFILER64", "TORCH_ADDR2LINE_BINARY", "NVSHMEM_BOOTSTRAP_PLUGIN", "PATH",
    "FI_PROVIDER_PATH", "OCL_ICD_FILENAMES", "NCCL_NET_PLUGIN", "NCCL_P2P_PLUGIN", "NCCL_DEBUG_FILE", "PYTHONSTARTUP",
    "_PYTHON_SYSCONFIGDATA_NAME", "CUDA_INJECTION64_PATH", "TORCHINDUCTOR_CACHE_DIR", "MY_KEY", "HF_HUB_CACHE",
    "OMP_TOOL_LIBRARIES",
)  # fmt: skip


@pytest.mark.parametrize("name", _LOADING)
def test_the_environment_table_sets_what_is_harmless_alone(tmp_path, name):
    """Whatever could load code or hold a secret is refused, known or not; threads, cards and logs may be set."""
    assert f"launch.env.{name} is refused" in refused(tmp_path, f'[launch]\nenv = {{ {name} = "x" }}\n')
    harmless = ("NCCL_P2P_DISABLE", "OMP_NUM_THREADS", "PYTORCH_CUDA_ALLOC_CONF", "USE_LIBUV", "CUDA_VISIBLE_DEVICES")
    table = "".join(f'{one} = "1"\n' for one in harmless)
    assert tuple(loaded(tmp_path, f"[launch.env]\n{table}").job.launch.env) == harmless


def test_a_login_in_an_address_is_refused_wherever_it_stands(tmp_path):
    """What a job holds is written into files, and its metadata are published."""
    text = refused(
        tmp_path,
        '[output.metadata]\ndescription = "see https://me:planted@host/"\ntags = ["a", "http://planted@host"]\n'
        '[engine.extra]\nwandb_run_name = "https://planted@host"\n[output]\ndir = "a@b"\n',
    )
    assert text.count("holds the login of an address") == 3
    assert "output.metadata.tags" in text
    assert "planted" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        (True, "true"),
        (None, '"none"'),
        (1.5, "1.5"),
        ("x" * 200, '"' + "x" * 76 + "..."),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_values_are_shown_as_written(value, text):
    """What a report quotes is short, printable and as the user wrote it."""
    assert shown(value) == text


def test_every_layer_of_the_shipped_defaults_is_consistent():
    """The built-in defaults alone are a valid job."""
    assert load(None, cwd=Path.cwd()).job.network.rank == 16
