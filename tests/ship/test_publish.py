"""Publishing, against a local server that speaks the needed part of the hub's API."""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest
from fake_runs import make_run
from local_server import serving

pytest.importorskip("huggingface_hub")

from loraforge.cli.ship import ship
from loraforge.errors import ConfigError, MachineError
from loraforge.ship.publish import publish

TOKEN = "hf_planted0123456789"  # noqa: S105  # planted, to be looked for where it must not be


@dataclass
class Hub:
    """What the server holds and was asked.

    Attributes:
        private: of the repository that was made, None before.
        stored: sha256 -> bytes of large files.
        files: path -> content or sha256 of what a commit shows.
        cut: uploads of large files that are still to be cut off.
        status: answered to everything, None to work.
        puts: sizes of the uploads that were tried.
    """

    private: bool | None = None
    stored: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, bytes | str] = field(default_factory=dict)
    cut: int = 0
    status: int | None = None
    puts: list[int] = field(default_factory=list)
    authorizations: set[str | None] = field(default_factory=set)
    endpoint: str = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_request(self, _code="-", _size="-"):
        """Keep the test's output clean."""

    def do_POST(self):  # noqa: PLR0911  # one answer a question
        """Make a repository, negotiate uploads, commit."""
        hub = self.hub
        hub.authorizations.add(self.headers["Authorization"])
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if hub.status is not None:
            return self._answer({"error": "no"}, hub.status)
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            if hub.private is None:
                hub.private = json.loads(body)["private"]
                return self._answer({"url": f"{hub.endpoint}/ada/art"})
            return self._answer({"url": f"{hub.endpoint}/ada/art", "error": "exists"}, 409)
        if path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if path.endswith("/preupload/main"):
            wanted = json.loads(body)["files"]
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in wanted
            ]
            return self._answer({"files": modes})
        if path.endswith("/info/lfs/objects/batch"):
            return self._answer(
                {"transfer": "basic", "objects": [self._place(one) for one in json.loads(body)["objects"]]}
            )
        if path.endswith("/commit/main"):
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    assert value["oid"] in hub.stored
                    hub.files[value["path"]] = value["oid"]
            return self._answer({"commitUrl": f"{hub.endpoint}/ada/art/commit/1", "commitOid": "1", "success": True})
        return self._answer({"error": path}, 404)

    def do_GET(self):
        """Tell of the repository."""
        self.hub.authorizations.add(self.headers["Authorization"])
        if self.hub.status is not None:
            return self._answer({"error": "no"}, self.hub.status)
        return self._answer({"id": "ada/art", "sha": "1", "siblings": []})

    def do_PUT(self):
        """Take a large file, or be cut off half-way."""
        size = int(self.headers["Content-Length"])
        self.hub.puts.append(size)
        if self.hub.cut:
            self.hub.cut -= 1
            self.rfile.read(size // 2)
            self.connection.close()
            return
        data = self.rfile.read(size)
        self.hub.stored[hashlib.sha256(data).hexdigest()] = data
        self._answer({})

    def _place(self, wanted):
        if wanted["oid"] in self.hub.stored:
            return wanted
        return {**wanted, "actions": {"upload": {"href": f"{self.hub.endpoint}/store/{wanted['oid']}"}}}

    def _answer(self, document, status=200):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, for which a token is planted."""
    hub = Hub()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    with serving(type("Handler", (_Handler,), {"hub": hub})) as hub.endpoint:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)  # read once, at import
        yield hub


@pytest.fixture
def parcel(tmp_path):
    """A folder with two large files, a card, and something that is nobody's business."""
    folder = tmp_path / "ship"
    folder.mkdir()
    (folder / "art [1].safetensors").write_bytes(bytes(range(256)) * 400)
    (folder / "art [1]-diffusers.safetensors").write_bytes(bytes(range(255)) * 300)
    (folder / "README.md").write_text("# art")
    (folder / "diary.txt").write_text("private")
    return folder


FILES = ("art [1].safetensors", "art [1]-diffusers.safetensors", "README.md")


def test_a_parcel_is_published_privately(hub, parcel, capsys):
    """Exactly the named files arrive, the repository is private, and the token is shown nowhere."""
    assert publish(parcel, FILES, "ada/art") == f"{hub.endpoint}/ada/art"
    assert hub.private is True
    assert set(hub.files) == set(FILES)
    assert hub.stored[hub.files["art [1].safetensors"]] == (parcel / "art [1].safetensors").read_bytes()
    assert hub.authorizations <= {f"Bearer {TOKEN}", None}
    captured = capsys.readouterr()
    assert TOKEN not in captured.out + captured.err


def test_a_run_is_shipped_and_published(hub, tmp_path, capsys, caplog):
    """The verb makes the parcel and uploads it, privately; the token is in no file, no output and no log."""
    caplog.set_level("DEBUG")
    run = make_run(tmp_path / "1")
    options = dict.fromkeys(("step", "out", "rank", "title", "author", "license_", "data_license"))
    switches = dict.fromkeys(("diffusers", "keep_data", "public"), False)
    assert ship(run.path, **options, **switches, publish="ada/art") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["published"] == f"{hub.endpoint}/ada/art"
    assert hub.private is True
    assert {"art.safetensors", "README.md", "samples/01.jpg"} <= set(hub.files)
    assert TOKEN not in captured.out + captured.err + caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize(("publish", "public"), [("foo", False), (None, True)])
def test_what_can_not_be_published_is_told_before_anything_is_made(tmp_path, publish, public):
    """A name that is none, and --public without one."""
    run = make_run(tmp_path / "1")
    options = dict.fromkeys(("step", "out", "rank", "title", "author", "license_", "data_license"))
    with pytest.raises(ConfigError, match="--publi"):
        ship(run.path, **options, diffusers=False, keep_data=False, public=public, publish=publish)
    assert not (run.path / "ship").exists()


def test_only_on_request_in_public(hub, parcel):
    """--public makes a public repository."""
    publish(parcel, FILES, "ada/art", public=True)
    assert hub.private is False


def test_an_interrupted_upload_goes_on(hub, parcel, monkeypatch):
    """A file that arrived before the cut is not sent again by the next call, and the commit then shows all."""
    monkeypatch.setattr("huggingface_hub.lfs.http_backoff", _once)
    monkeypatch.setattr("huggingface_hub._commit_api.thread_map", _one_by_one)
    hub.cut = 0
    original = _Handler.do_PUT

    def second_is_cut(self):
        if len(self.hub.puts) == 1:
            self.hub.cut = 1
        original(self)

    monkeypatch.setattr(_Handler, "do_PUT", second_is_cut)
    with pytest.raises(MachineError, match="interrupted") as caught:
        publish(parcel, FILES, "ada/art")
    assert "again" in caught.value.hint
    assert (len(hub.stored), hub.files) == (1, {})
    publish(parcel, FILES, "ada/art")
    assert set(hub.files) == set(FILES)
    assert len(hub.puts) == 3  # one arrived, one was cut, and only that one came again


def _once(method, url, **options):
    """Do without the library's own repetitions."""
    import requests

    return requests.request(
        method, url, timeout=10, **{key: options[key] for key in ("data", "headers") if key in options}
    )


def _one_by_one(function, items, **_options):
    return [function(item) for item in items]


@pytest.mark.parametrize(
    ("status", "says"), [(401, "log-in"), (403, "log-in"), (404, "no such owner"), (503, "failed"), (413, "refused")]
)
def test_refusals_are_told(status, says, hub, parcel):
    """Each refusal has its words and what to do."""
    hub.status = status
    with pytest.raises(MachineError, match=says) as caught:
        publish(parcel, FILES, "ada/art")
    assert caught.value.hint
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", ["art", "a/b/c", "ada/../x", "ada/a b", "", "https://x/y"])
def test_names_are_checked_first(name, parcel):
    """What is no owner/name is refused before anything is sent."""
    with pytest.raises(ConfigError):
        publish(parcel, FILES, name)
