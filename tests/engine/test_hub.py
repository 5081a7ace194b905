"""Fetching from the hub, against a local server that speaks the needed part of its API."""

import sys
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from local_server import serving

from loraforge.engine.hub import Remote, download, token_source, tokenizer_files, weight_file
from loraforge.engine.weights import ROLES, TOKENIZERS, has_tokenizers
from loraforge.errors import MachineError

TOKEN = "hf_planted0123456789"  # noqa: S105  # planted, to be looked for where it must not be
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server offers and what it was asked.

    Attributes:
        files: "owner/name/file" -> content.
        refuse: "owner/name" -> (status, X-Error-Code).
        cut: requests with a body that are still to be cut off half-way.
        elsewhere: whether a body is redirected to another host, as the hub does with large files.
        asked: (method, path, Range, Authorization) of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cut: int = 0
    elsewhere: bool = False
    asked: list[tuple[str, str, str | None, str | None]] = field(default_factory=list)
    endpoint: str = ""

    def bodies(self):
        """Return the requests that asked for content."""
        return [asked for asked in self.asked if asked[0] == "GET"]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self):
        """Answer a question for metadata."""
        self._answer()

    def do_GET(self):
        """Answer with content, from where a Range asks for it."""
        self._answer(body=True)

    def log_request(self, _code="-", _size="-"):
        """Keep the test's output clean."""

    def _answer(self, *, body=False):
        hub = self.hub
        hub.asked.append((self.command, self.path, self.headers["Range"], self.headers["Authorization"]))
        key = self.path.lstrip("/").partition("?")[0].replace("cdn/", "").replace("/resolve/main", "")
        repository = "/".join(key.split("/")[:2])
        if repository in hub.refuse:
            status, code = hub.refuse[repository]
            return self._head(
                status, {"X-Error-Code": code, "Content-Length": "0"} if code else {"Content-Length": "0"}
            )
        if key not in hub.files:
            return self._head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        content = hub.files[key]
        headers = {"ETag": f'"{hash(content) & 0xFFFFFF:x}"', "X-Repo-Commit": COMMIT}
        if hub.elsewhere and not self.path.startswith("/cdn/"):
            port = self.server.server_address[1]
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": headers["ETag"], "Content-Length": "0"}
            return self._head(
                302, {**headers, **linked, "Location": f"http://localhost:{port}/cdn/{key}?signature=secret"}
            )
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").split("-")[0])
        rest = content[start:]
        headers["Content-Length"] = str(len(rest))
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._head(206 if start else 200, headers)
        if body and hub.cut:
            hub.cut -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(rest)
        return None

    def _head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, for which a token is planted."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    # The library keeps whole chunks of what came before a cut, 10 MiB each; smaller ones keep the test small.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 128)
    hub = Hub()
    with serving(type("Handler", (_Handler,), {"hub": hub})) as hub.endpoint:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


def _nowhere(token: str, folder: Path, capsys) -> None:
    captured = capsys.readouterr()
    assert token not in captured.out + captured.err
    assert not [path for path in folder.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]


def test_fetches_the_four_files_and_both_tokenizers(hub, tmp_path, capsys):
    """Each file comes from its repository with the log-in, and the token appears in no file and no output."""
    files = [weight_file(role, "flux-dev", "fp8", tmp_path) for role in ROLES] + tokenizer_files(tmp_path)
    hub.files = {f"{file.repository}/{file.name}": f"{file.name}".encode() * 100 for file in files}
    told = []
    download(files, announce=lambda file, size: told.append((file.name, size)))
    assert [file.path.read_bytes() for file in files] == list(hub.files.values())
    assert told == [(file.name, len(file.path.read_bytes())) for file in files]
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "flux1-dev.safetensors",
        "ae.safetensors",
        "clip_l.safetensors",
        "t5xxl_fp8_e4m3fn.safetensors",
    }
    assert has_tokenizers(tmp_path / "tokenizers")
    assert all(authorization == f"Bearer {TOKEN}" for *_, authorization in hub.asked)
    _nowhere(TOKEN, tmp_path, capsys)


def test_a_bar_shows_how_far_it_is(hub, tmp_path, capsys, monkeypatch):
    """On a terminal the library draws its bar, with what came before an interruption already filled in."""
    from huggingface_hub.utils import enable_progress_bars

    enable_progress_bars()  # another test of this process may have loaded a library that switches them off
    monkeypatch.setenv("TQDM_POSITION", "-1")  # draws it without a terminal too
    file = weight_file("transformer", "flux-dev", "fp16", tmp_path)
    hub.files, hub.cut = {f"{file.repository}/{file.name}": b"x" * 10_240}, 1
    with pytest.raises(MachineError):
        download([file])
    assert "100%" not in capsys.readouterr().err
    download([file])
    bar = capsys.readouterr().err
    assert "50%" in bar
    assert "10.2k/10.2k" in bar
    assert TOKEN not in bar


def test_a_second_call_fetches_nothing(hub, tmp_path):
    """Files that are whole and current are left as they are."""
    file = weight_file("clip_l", "flux-dev", "fp16", tmp_path)
    hub.files = {"comfyanonymous/flux_text_encoders/clip_l.safetensors": b"x" * 1000}
    download([file])
    download([file], free=lambda _: 0)
    assert len(hub.bodies()) == 1


def test_an_interrupted_transfer_goes_on_where_it_stopped(hub, tmp_path, capsys):
    """What came before the cut is kept and only the rest is asked for again."""
    content = bytes(range(256)) * 4096
    file = weight_file("transformer", "flux-dev", "fp16", tmp_path)
    hub.files, hub.cut = {f"{file.repository}/{file.name}": content}, 1
    with pytest.raises(MachineError, match="interrupted") as caught:
        download([file])
    assert "goes on where it stopped" in caught.value.hint
    assert not file.path.exists()
    download([file])
    assert file.path.read_bytes() == content
    assert [asked[2] for asked in hub.bodies()] == [None, f"bytes={len(content) // 2}-"]
    _nowhere(TOKEN, tmp_path, capsys)


def test_the_token_stays_with_the_hub(hub, tmp_path, capsys):
    """A large file lies on another host: the log-in is not sent there, nor is its signed address shown."""
    file = weight_file("transformer", "flux-schnell", "fp16", tmp_path)
    hub.files, hub.elsewhere, hub.cut = {f"{file.repository}/{file.name}": b"x" * 100_000}, True, 1
    with pytest.raises(MachineError) as caught:
        download([file])
    download([file])
    assert {asked[3] for asked in hub.bodies()} == {None}
    assert "secret" not in caught.value.message + caught.value.hint + capsys.readouterr().err
    _nowhere(TOKEN, tmp_path, capsys)


@pytest.mark.parametrize(
    ("status", "code", "says", "hint"),
    [
        (401, "GatedRepo", "restricted", "accept the licence at https://huggingface.co/black-forest-labs/FLUX.1-dev"),
        (403, "GatedRepo", "restricted", "hf auth login"),
        (403, "", "restricted", "HF_TOKEN"),
        (401, "", "did not accept the log-in", "HF_TOKEN"),
        (404, "EntryNotFound", "has no flux1-dev.safetensors", "[model]"),
        (500, "", "answered 500", "try again"),
    ],
)
def test_refusals_are_told_plainly_before_anything_is_fetched(hub, tmp_path, capsys, status, code, says, hint):
    """A refusal of one file stops the call before the others are fetched."""
    files = [
        weight_file("clip_l", "flux-dev", "fp16", tmp_path),
        weight_file("transformer", "flux-dev", "fp16", tmp_path),
    ]
    hub.files = {"comfyanonymous/flux_text_encoders/clip_l.safetensors": b"x" * 1000}
    hub.refuse = {"black-forest-labs/FLUX.1-dev": (status, code)}
    with pytest.raises(MachineError) as caught:
        download(files)
    assert says in caught.value.message
    assert hint in caught.value.hint
    assert TOKEN not in caught.value.message + caught.value.hint
    assert hub.bodies() == []
    assert list(tmp_path.iterdir()) == []
    _nowhere(TOKEN, tmp_path, capsys)


def test_no_network_is_told_plainly(tmp_path):
    """An unreachable hub is named, with what to do without one."""
    file = weight_file("clip_l", "flux-dev", "fp16", tmp_path)
    with pytest.raises(MachineError, match="can't be reached") as caught:
        download([file], environ={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert "[model]" in caught.value.hint


def test_space_is_checked_before_the_first_byte(hub, tmp_path):
    """What is still to come is compared with what is free; bytes that are here already do not count."""
    content = b"x" * 1024
    file = weight_file("transformer", "flux-dev", "fp16", tmp_path / "not" / "yet")
    hub.files, hub.cut = {f"{file.repository}/{file.name}": content}, 1
    with pytest.raises(MachineError, match="free"):
        download([file], free=lambda _: (1 << 30) + 1023)
    assert hub.bodies() == []
    with pytest.raises(MachineError, match="interrupted"):
        download([file], free=lambda _: (1 << 30) + 1024)
    download([file], free=lambda _: (1 << 30) + 512)
    assert file.path.read_bytes() == content


def test_an_unwritable_folder_is_told(hub, tmp_path):
    """A folder that can't be made is named with the system's reason."""
    (tmp_path / "file").touch()
    file = Remote("comfyanonymous/flux_text_encoders", "clip_l.safetensors", tmp_path / "file" / "models")
    hub.files = {f"{file.repository}/{file.name}": b"x"}
    with pytest.raises(MachineError, match="can't be written") as caught:
        download([file])
    assert "--dir" in caught.value.hint


def test_another_generation_of_the_library_is_refused(tmp_path, monkeypatch):
    """huggingface_hub 1.x raises other errors than those told plainly here; its version is named."""
    monkeypatch.setattr("huggingface_hub.__version__", "1.2.0")
    with pytest.raises(MachineError, match=r"1\.2\.0"):
        download(tokenizer_files(tmp_path))


def test_without_huggingface_hub_the_way_to_install_it_is_told(tmp_path, monkeypatch):
    """The core has no huggingface_hub; the message says which extra brings it."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MachineError, match="huggingface_hub") as caught:
        download(tokenizer_files(tmp_path))
    assert "loraforge[engine]" in caught.value.hint


def test_tokenizers_go_where_the_engine_looks(tmp_path):
    """The subfolders are the hub names with the slash replaced."""
    assert {file.folder for file in tokenizer_files(tmp_path)} == {
        tmp_path / "tokenizers" / n for n in TOKENIZERS.values()
    }


def test_token_source_names_the_place_only(tmp_path):
    """Environment first, then the file that `hf auth login` writes; never the token."""
    environ = {"HF_HOME": str(tmp_path)}
    assert token_source(environ) is None
    (tmp_path / "token").write_text(TOKEN, "utf-8")
    assert token_source(environ) == str(tmp_path / "token")
    assert token_source({**environ, "HF_TOKEN": TOKEN}) == "$HF_TOKEN"
    assert token_source({**environ, "HF_TOKEN": " "}) == str(tmp_path / "token")
