"""`loraforge models`: listing, verifying and fetching."""

import json

import pytest
import typer
from typer.testing import CliRunner

from loraforge.cli import models as verb
from loraforge.engine.weights import ROLES, TOKENIZERS
from loraforge.errors import MachineError


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Keep this machine's own weights and settings out of sight."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("LORAFORGE_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path, write_weights, layouts):
    """A models folder with all four files."""
    for name, shapes in layouts.items():
        write_weights(tmp_path / "m" / name, shapes)
    return tmp_path / "m"


def _json(capsys):
    return json.loads(capsys.readouterr().out)


def test_lists_what_is_there(folder, capsys):
    """Four sound files make the machine ready, and each is listed with path, size and dtype."""
    assert verb.models(folder=folder, as_json=True) == 0
    document = _json(capsys)
    assert document["ready"]
    assert [file["role"] for file in document["files"]] == list(ROLES)
    assert {(file["state"], file["dtype"]) for file in document["files"]} == {("ok", "BF16")}
    assert document["files"][3]["bytes"] == (folder / "ae.safetensors").stat().st_size


def test_human_text_goes_to_stderr(folder, capsys):
    """Without --json stdout stays empty."""
    (folder / "ae.safetensors").unlink()
    (folder / "clip_l.safetensors").write_bytes(b"<html>")
    assert verb.models(folder=folder) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "web page" in captured.err
    assert "loraforge models --download" in captured.err


def test_faults_decide_the_exit_code(folder, capsys):
    """A cut-off file and a missing one are told apart, and both mean not ready."""
    cut = folder / "flux1-dev.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    (folder / "ae.safetensors").unlink()
    assert verb.models(folder=folder, as_json=True) == 3
    files = {file["role"]: file for file in _json(capsys)["files"]}
    assert (files["transformer"]["state"], files["autoencoder"]["state"]) == ("faulty", "missing")
    assert files["transformer"]["findings"][0]["code"] == "weights-truncated"
    assert files["autoencoder"]["path"] is None


def test_settings_of_the_folder_one_stands_in_count(folder, tmp_path, capsys):
    """./forge.toml says which files a run would take; --family beats it."""
    (tmp_path / "forge.toml").write_text('[model]\nfamily = "flux-schnell"\ntransformer = "m/flux1-dev.safetensors"\n')
    assert verb.models(folder=folder, as_json=True) == 3
    assert _json(capsys)["files"][0]["findings"][0]["code"] == "weights-family"
    assert verb.models(folder=folder, family="flux-dev", as_json=True) == 0


@pytest.fixture
def fetched(monkeypatch, write_weights, layouts):
    """Stand in for the network: what is asked for is written as a sound file, and noted."""
    asked = []

    def download(files, *, announce):
        for file in files:
            announce(file, 1000)
            asked.append(file)
            shapes = layouts.get(file.name) or layouts["t5xxl_fp16.safetensors"]
            write_weights(file.path, shapes)

    monkeypatch.setattr(verb, "download", download)
    return asked


def test_download_fetches_what_is_missing_only(folder, fetched, capsys):
    """Sound files stay; the missing ones and the tokenizers come, and the result is verified."""
    (folder / "ae.safetensors").unlink()
    (folder / "t5xxl_fp16.safetensors").unlink()
    assert verb.models(fetch=True, folder=folder, t5="fp8", as_json=True) == 0
    names = {file.name for file in fetched}
    assert {name for name in names if name.endswith("safetensors")} == {
        "ae.safetensors",
        "t5xxl_fp8_e4m3fn.safetensors",
    }
    assert "spiece.model" in names
    assert _json(capsys)["tokenizers"] == str(folder / "tokenizers")
    fetched.clear()
    assert verb.models(fetch=True, folder=folder) == 0
    assert fetched == []


def test_download_goes_to_the_users_folder_by_default(tmp_path, fetched):
    """Without --dir the files land where every run looks."""
    assert verb.models(fetch=True) == 0
    home = tmp_path / "data" / "loraforge" / "models"
    assert {file.folder for file in fetched} == {home, *(home / "tokenizers" / name for name in TOKENIZERS.values())}


def test_download_replaces_half_a_file_but_not_a_strange_one(folder, fetched, write_weights, layouts):
    """A cut-off file is fetched again; a sound file of another kind is the user's and is left alone."""
    path = folder / "flux1-dev.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert verb.models(fetch=True, folder=folder) == 0
    write_weights(path, layouts["ae.safetensors"])
    before = path.read_bytes()
    with pytest.raises(MachineError) as caught:
        verb.models(fetch=True, folder=folder)
    assert "away" in caught.value.hint
    assert path.read_bytes() == before


def test_download_can_not_mend_a_configured_path(folder, tmp_path, fetched):
    """A wrong path in the settings is told instead of fetching a file nobody would look at."""
    (tmp_path / "forge.toml").write_text('[model]\nclip_l = "gone.safetensors"\n')
    with pytest.raises(MachineError) as caught:
        verb.models(fetch=True, folder=folder)
    assert "model.clip_l" in caught.value.hint
    assert fetched == []


def test_options_of_the_command_line(folder, fetched):
    """--download, --dir, --family, --t5 and --json are what a user types."""
    app = typer.Typer()
    app.command()(verb.models)
    command = ["--download", "--dir", str(folder), "--family", "flux-dev", "--t5", "fp8", "--json"]
    result = CliRunner().invoke(app, command, standalone_mode=False)
    assert result.return_value == 0
    assert CliRunner().invoke(app, ["--t5", "int4"]).exit_code == 2


def test_the_other_t5_comes_beside_the_first(folder, fetched, capsys):
    """Asked for by name, fp8 is fetched though fp16 is there, and how to train with it is told."""
    assert verb.models(fetch=True, folder=folder, t5="fp8") == 0
    assert [file.name for file in fetched if file.folder == folder] == ["t5xxl_fp8_e4m3fn.safetensors"]
    assert "--set model.t5xxl=" in capsys.readouterr().err
    fetched.clear()
    assert verb.models(fetch=True, folder=folder, t5="fp8") == 0
    assert fetched == []
