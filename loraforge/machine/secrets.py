"""What no child process needs to know."""

import os
import re
from collections.abc import Mapping

SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL|(^|_)AUTH(_|$)|(^|_)PAT$",
    re.IGNORECASE,
)


def without_secrets(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment without what looks like a secret; a login's token to the hub stays unread."""
    kept = {name: value for name, value in environ.items() if not SECRET.search(name)}
    return {**kept, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
