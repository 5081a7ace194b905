"""What no child process needs to know."""

import os
import re
from collections.abc import Mapping

from loraforge.config.launch import LOGIN

_NAME = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|(^|_)AUTH(_|$)|(^|_)PAT$|(^|_)KEY$|_PWD$"
    r"|CONNECTION_STRING|(^|_)DSN$",
    re.IGNORECASE,
)
_PROXY = re.compile(r"_PROXY$", re.IGNORECASE)  # needed to fetch anything, with its login


def without_secrets(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment without what looks like a secret; a login's token to the hub stays unread."""
    kept = {name: value for name, value in environ.items() if not _is_secret(name, value)}
    return {**kept, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}


def _is_secret(name: str, value: str) -> bool:
    return bool(_NAME.search(name) or (LOGIN.search(value) and not _PROXY.search(name)))
