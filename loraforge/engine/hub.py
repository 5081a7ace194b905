"""Fetching the weight files and tokenizers from the Hugging Face Hub.

huggingface_hub does the work: it resumes, checks sizes, draws the progress bar and holds the token, which never
passes through here. It belongs to the `engine` extra, hence the imports inside functions.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loraforge.engine.weights import TOKENIZERS, Family, Role, hub_home
from loraforge.errors import LoraforgeError, MachineError

T5Precision = Literal["fp16", "fp8"]
_TEXT_ENCODERS = "comfyanonymous/flux_text_encoders"
_FAMILIES: dict[Family, tuple[str, str]] = {
    "flux-dev": ("black-forest-labs/FLUX.1-dev", "flux1-dev.safetensors"),
    "flux-schnell": ("black-forest-labs/FLUX.1-schnell", "flux1-schnell.safetensors"),
}
_T5: dict[T5Precision, str] = {"fp16": "t5xxl_fp16.safetensors", "fp8": "t5xxl_fp8_e4m3fn.safetensors"}
_TOKENIZER_FILES = {
    "openai/clip-vit-large-patch14": ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"),
    "google/t5-v1_1-xxl": ("spiece.model", "tokenizer_config.json", "special_tokens_map.json"),
}
_SPARE = 1 << 30  # bytes left free: a disk filled to the brim breaks more than the download


@dataclass(frozen=True, slots=True)
class Remote:
    """One file on the hub and where it goes.

    Attributes:
        repository: "owner/name".
        name: the file's name in the repository and in `folder`.
        folder: where it is put.
    """

    repository: str
    name: str
    folder: Path

    @property
    def path(self) -> Path:
        """The file once it is here."""
        return self.folder / self.name


def weight_file(role: Role, family: Family, t5: T5Precision, folder: Path) -> Remote:
    """Return where the file of a role is published; the autoencoder lies beside the transformer."""
    repository, transformer = _FAMILIES[family]
    match role:
        case "transformer":
            return Remote(repository, transformer, folder)
        case "autoencoder":
            return Remote(repository, "ae.safetensors", folder)
        case "clip_l":
            return Remote(_TEXT_ENCODERS, "clip_l.safetensors", folder)
        case "t5xxl":
            return Remote(_TEXT_ENCODERS, _T5[t5], folder)


def tokenizer_files(folder: Path) -> list[Remote]:
    """Return the few small files of both tokenizers, each in the subfolder the engine looks for."""
    return [
        Remote(repository, name, folder / "tokenizers" / TOKENIZERS[repository])
        for repository, names in _TOKENIZER_FILES.items()
        for name in names
    ]


def token_source(environ: Mapping[str, str] = os.environ) -> str | None:
    """Say where a hub token would be taken from, in the user's words, or None; the token itself is not read."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environ.get(name, "").strip():
            return f"${name}"
    file = Path(environ.get("HF_TOKEN_PATH") or hub_home(environ) / "token").expanduser()
    return str(file) if file.is_file() and file.stat().st_size else None


def download(
    files: Sequence[Remote],
    *,
    environ: Mapping[str, str] = os.environ,
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    announce: Callable[[Remote, int], None] = lambda *_: None,
) -> None:
    """Fetch files, going on where an earlier attempt stopped.

    Access and disk space are settled for all of them before the first byte is fetched.

    Args:
        files: what to fetch; a file that is whole and up to date is not fetched again.
        environ: the environment, for $HF_ENDPOINT.
        free: bytes free in a folder.
        announce: told of each file and its size in bytes as its turn comes.

    Raises:
        MachineError: no huggingface_hub, no access, no network, no space, or an interrupted transfer.
    """
    # Chosen before the library is imported, when it reads it: plain HTTP resumes to the byte after any interruption.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    _need_library()
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.file_download import get_hf_file_metadata
    from huggingface_hub.utils import logging as hub_logging

    endpoint = environ.get("HF_ENDPOINT") or None
    # Its warnings quote addresses that are signed for the user alone.
    hub_logging.set_verbosity_error()
    offers: dict[Remote, tuple[int, str]] = {}
    for file in files:
        with _told(file, endpoint):
            url = hf_hub_url(file.repository, file.name, endpoint=endpoint)
            metadata = get_hf_file_metadata(url, endpoint=endpoint)
            offers[file] = (metadata.size or 0, metadata.etag or "")
    _check_space(offers, free)
    for file, (size, _) in offers.items():
        announce(file, size)
        with _told(file, endpoint):
            file.folder.mkdir(parents=True, exist_ok=True)
            hf_hub_download(file.repository, file.name, local_dir=file.folder, endpoint=endpoint)


def _need_library() -> None:
    """Raise unless huggingface_hub is here, of the generation that the engine pins: later ones fail in other ways."""
    try:
        import huggingface_hub
    except ImportError:
        what = "huggingface_hub, which is not installed here"
    else:
        if huggingface_hub.__version__.startswith("0."):
            return
        what = f"huggingface_hub 0.x; {huggingface_hub.__version__} is installed here"
    raise MachineError(
        f"downloading needs {what}",
        'pip install "loraforge[engine]", or fetch the files with a browser and set their paths under [model]',
    )


def _check_space(offers: Mapping[Remote, tuple[int, str]], free: Callable[[Path], int]) -> None:
    """Raise unless what is still to come fits; files of one call share a disk."""
    needed = sum(size - _here(file, size, etag) for file, (size, etag) in offers.items())
    if not needed:
        return
    folder = next(iter(offers)).folder
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if (there := free(existing)) < needed + _SPARE:
        raise MachineError(
            f"{folder}: {_gb(needed)} are still to be fetched and {_gb(_SPARE)} should stay free, but {_gb(there)} are",
            "make room, or name a folder on another disk: loraforge models --download --dir FOLDER",
        )


def _here(file: Remote, size: int, etag: str) -> int:
    """Return the bytes of a file that need not be fetched: all of them, or those of an interrupted transfer."""
    if file.path.is_file() and file.path.stat().st_size == size:
        return size
    partial = (file.folder / ".cache" / "huggingface" / "download").glob(f"*.{etag}.incomplete")
    return max((min(size, path.stat().st_size) for path in partial), default=0)


@contextmanager
def _told(file: Remote, endpoint: str | None) -> Iterator[None]:
    """Turn the hub's errors into ours. Their own text is left out: it may quote headers and signed addresses."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from requests.exceptions import RequestException

    try:
        yield
    except OfflineModeIsEnabled:
        raise MachineError(
            f"{file.name} can't be fetched: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE TRANSFORMERS_OFFLINE"
        ) from None
    except HfHubHTTPError as error:
        response = getattr(error, "response", None)
        if response is None:  # the library looked for a copy on this machine and found none either
            raise _unreached(file, endpoint, "ConnectionError") from None
        raise _refused(file, response.status_code, response.headers.get("X-Error-Code", "")) from None
    except RequestException as error:
        raise _unreached(file, endpoint, type(error).__name__) from None
    except OSError as error:
        if error.strerror is None:  # a size other than the announced one
            raise _unreached(file, endpoint, "size mismatch") from None
        raise MachineError(
            f"{file.path} can't be written: {error.strerror}",
            "make room or name another folder with --dir, then run the same command again: it goes on where it stopped",
        ) from None


def _refused(file: Remote, status: int, code: str) -> LoraforgeError:
    page = f"https://huggingface.co/{file.repository}"
    log_in = "set HF_TOKEN to a read token, or run: hf auth login"
    if code == "GatedRepo" or status == 403:
        return MachineError(
            f"access to {file.repository} is restricted: {file.name} is given to accounts that accepted its licence",
            f"log in and accept the licence at {page}, then {log_in}",
        )
    if status == 401:
        return MachineError(
            f"the hub did not accept the log-in for {file.repository}", f"{log_in}; the model is at {page}"
        )
    if status == 404:
        return MachineError(
            f"{file.repository} has no {file.name} (any more)", f"look at {page} and set the path under [model]"
        )
    return MachineError(f"the hub answered {status} for {file.repository}/{file.name}", "try again in a few minutes")


def _unreached(file: Remote, endpoint: str | None, kind: str) -> LoraforgeError:
    where = endpoint or "https://huggingface.co"
    if kind in {
        "ConnectionError",
        "ConnectTimeout",
        "SSLError",
        "ProxyError",
        "ReadTimeout",
        "InvalidURL",
        "MissingSchema",
    }:
        return MachineError(
            f"{where} can't be reached for {file.name} ({kind})",
            "check the network (and HTTPS_PROXY, HF_ENDPOINT), then run the same command again; or fetch the files "
            "elsewhere and set their paths under [model]",
        )
    return MachineError(
        f"the transfer of {file.name} was interrupted ({kind})",
        "run the same command again: it goes on where it stopped",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
