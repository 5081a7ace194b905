"""Putting a shipped folder on the Hugging Face Hub, through huggingface_hub, which holds the token and the protocol.

A large file is stored before the commit that shows it, so an upload that was cut off goes on with what is missing.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from loraforge.errors import ConfigError, LoraforgeError, MachineError

_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def check_name(repository: str) -> None:
    """Refuse what the hub would not take for the name of a repository.

    Raises:
        ConfigError: it is none.
    """
    if not _NAME.fullmatch(repository) or ".." in repository or "--" in repository:
        raise ConfigError(f"--publish {repository}: is no name of a repository", "write owner/name")


def publish(folder: Path, files: Sequence[str], repository: str, *, public: bool = False) -> str:
    """Upload files and return the repository's address; a repository that exists keeps its visibility.

    Args:
        folder: where they lie.
        files: what is uploaded, relative to it; nothing else in the folder is.
        repository: "owner/name".
        public: whether everybody may see a repository that is made now.

    Raises:
        ConfigError: the name is none.
        MachineError: no huggingface_hub, no log-in, no network.
    """
    check_name(repository)
    # Chosen before the library is imported, when it reads it: plain LFS asks the hub what it already has.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
    except ImportError:
        raise MachineError("--publish needs huggingface_hub", 'pip install "loraforge[engine]"') from None
    import requests

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        address = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="Upload with LoraForge",
            allow_patterns=[_literally(name) for name in files],
        )
    except LocalTokenNotFoundError:
        raise MachineError(f"{repository}: nobody is logged in", "hf auth login, or set HF_TOKEN") from None
    except HfHubHTTPError as fault:
        raise _refused(repository, fault.response.status_code) from None
    except (requests.RequestException, OSError, RuntimeError):
        # Their words may hold signed addresses, which are for the user alone.
        hint = "run the same command again: what was stored is not sent again"
        raise MachineError(f"{repository}: the upload was interrupted", hint) from None
    return str(address)


def _literally(name: str) -> str:
    """Write a file's name so that no sign in it is a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _refused(repository: str, status: int) -> LoraforgeError:
    if status in {401, 403}:
        message = f"{repository}: the hub did not accept the log-in ({status})"
        return MachineError(message, "use a token that may write: hf auth login, or HF_TOKEN; and check the owner")
    if status == 404:
        return MachineError(f"{repository}: the hub has no such owner", "check the name before the slash")
    if status >= 500:
        hint = "run the same command again: what was stored is not sent again"
        return MachineError(f"{repository}: the hub failed ({status}), so the upload was interrupted", hint)
    return MachineError(f"{repository}: the hub refused the upload ({status})", "check the name and your quota")
