"""What no child process is told."""

import stat
import sys
from pathlib import Path

import pytest

from loraforge.machine.packages import ask_python
from loraforge.machine.secrets import without_secrets


def test_secrets_are_left_out():
    """By their names, or by a login in an address; everything else stays, a proxy too."""
    given = {
        "HF_TOKEN": "x",
        "MY_API_KEY": "y",
        "GH_PAT": "z",
        "AWS_ACCESS_KEY_ID": "w",
        "CIVITAI_KEY": "v",
        "MYSQL_PWD": "u",
        "AZURE_STORAGE_CONNECTION_STRING": "t",
        "SENTRY_DSN": "s",
        "DATABASE_URL": "postgres://me:r@host/db",
    }
    kept = {
        "PATH": "/bin", "PATTERN": "p", "PWD": "/", "OLDPWD": "/", "KEYBOARD": "us", "HTTPS_PROXY": "http://me:q@proxy",
    }  # fmt: skip
    assert without_secrets({**given, **kept}) == {**kept, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}


@pytest.mark.spawns
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for a python")
def test_the_python_of_a_settings_file_sees_no_token(tmp_path, monkeypatch):
    """The doctor asks it for its packages, whatever it is."""
    spy, seen = tmp_path / "python", tmp_path / "seen"
    spy.write_text(f"#!/bin/sh\nenv > {seen}\n")
    spy.chmod(spy.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "Planted")
    ask_python(str(spy))
    assert "Planted" not in Path(seen).read_text()
