"""[launch]: how the engine is started."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from loraforge.config.base import Seconds, Section

# Variables that loraforge owns, or that change which code runs: a settings file from elsewhere must not reach them.
_REFUSED = re.compile(
    r"^(PATH|HOME|SHELL|IFS|ENV|BASH_ENV|LD_.*|DYLD_.*|PYTHON.*|GIT_.*|PERL5.*|NODE_.*|COLUMNS|NO_COLOR|FORCE_COLOR|LORAFORGE_.*"
    r"|ACCELERATE_.*|TRITON_.*|TORCHINDUCTOR_.*|CC|CXX|.*(TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY"
    r"|CREDENTIAL).*|(.*_)?AUTH(_.*)?|(.*_)?PAT|OPENSSL_.*|SSL_.*|.*CA_BUNDLE|.*_PROXY|GCONV_PATH|GCC_.*|COMPILER_PATH|C?PATH"
    r"|LIBRARY_PATH|C_INCLUDE_PATH|CPLUS_INCLUDE_PATH|CUDA_HOME|CUDA_PATH|.*INJECTION.*|NCCL_.*PLUGIN.*|NCCL_CONF_FILE|OMP_TOOL.*"
    r"|OMPI_.*|OPAL_.*|PMIX_.*|TORCH_EXTENSIONS_DIR|TORCH_FORCE_.*|TORCHDYNAMO_.*|TORCH_COMPILE_.*|BNB_CUDA_VERSION|TMP|TEMP|TMPDIR"
    r"|USER|LOGNAME|XDG_.*|HF_HOME|HF_ENDPOINT|HF_MODULES_CACHE|HUGGINGFACE_.*|TRANSFORMERS_.*)$",
    re.IGNORECASE,
)
# The login of an address, as in https://user:token@host/.
LOGIN = re.compile(r"(?<=://)[^\s/'\"<>]*@")


def _allowed(name: str) -> str:
    if _REFUSED.match(name):
        raise ValueError("is refused: it belongs to loraforge, changes what code runs, or would put a secret in a file")
    return name


def _without_login(value: str) -> str:
    if LOGIN.search(value):
        raise ValueError("is refused: it holds the login of an address, which would be written into files")
    return value


EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_allowed)]
EnvValue = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00\r\n]*$"), AfterValidator(_without_login)]


GpuIds = Annotated[
    str,
    StringConstraints(pattern=r"^\d{1,3}(,\d{1,3})*$"),
    Field(json_schema_extra={"allowed": 'GPU numbers as text, such as "0" or "0,1"'}),
]


class Launch(Section):
    """The accelerate launcher and the engine's process."""

    device: Literal["auto", "cuda", "cpu"] = "auto"
    """Where to train; auto takes the GPU. `cpu` is for tiny models such as the demo's."""

    gpu_ids: GpuIds | None = None
    """Which GPUs, as "0" or "0,1", by nvidia-smi's count; None: what CUDA_VISIBLE_DEVICES shows, or the first."""

    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Training processes, one a GPU; a style set of 15-30 pictures is best on one."""

    machines: Literal[1] = 1
    """Machines; only 1 is supported."""

    env: dict[EnvName, EnvValue] = {}
    """Further environment variables of the engine, for example { NCCL_P2P_DISABLE = "1" }."""

    grace_seconds: Seconds = 60.0
    """How long an engine that was asked to stop may finish a save before it is killed."""
