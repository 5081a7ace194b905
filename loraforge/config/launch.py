"""[launch]: how the engine is started."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from loraforge.config.base import Seconds, Section

# The login of an address, as in https://user:token@host/.
LOGIN = re.compile(r"(?<=://)[^\s/'\"<>]*@")
# A settings file from elsewhere must not change which code runs, so that it may set what is known to be harmless alone:
# how many threads, which cards, what is logged. Whatever else is wanted can be set in the shell, by whoever sits there.
_ALLOWED = re.compile(
    r"(CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING|MODULE_LOADING|CACHE_DISABLE|CACHE_MAXSIZE|DEVICE_MAX_CONNECTIONS)"
    r"|(HIP|ROCR)_VISIBLE_DEVICES|HSA_OVERRIDE_GFX_VERSION|MIOPEN_FIND_MODE|AMD_SERIALIZE_KERNEL|NVIDIA_TF32_OVERRIDE"
    r"|CUBLAS(LT)?_WORKSPACE_(CONFIG|SIZE)"
    r"|PYTORCH_(CUDA_|HIP_)?ALLOC_CONF|PYTORCH_(NO_CUDA_MEMORY_CACHING|NVML_BASED_CUDA_CHECK|ENABLE_MPS_FALLBACK)"
    r"|PYTORCH_MPS_(HIGH|LOW)_WATERMARK_RATIO|TORCH_(LOGS|CPP_LOG_LEVEL|USE_CUDA_DSA|SHOW_CPP_STACKTRACES|DISTRIBUTED_DEBUG)"
    r"|TORCH_(CUDNN_V8_API_DISABLED|CUDNN_USE_HEURISTIC_MODE_B|ALLOW_TF32_CUBLAS_OVERRIDE|BLAS_PREFER_CUBLASLT)"
    r"|TORCH_NCCL_(ASYNC_ERROR_HANDLING|BLOCKING_WAIT|HEARTBEAT_TIMEOUT_SEC|ENABLE_MONITORING)|USE_LIBUV"
    r"|NCCL_(P2P|IB|SHM|SOCKET|NET_GDR|CROSS_NIC|MIN|MAX|NVLS|CUMEM)_(?!.*(FILE|PLUGIN))[A-Z0-9_]+"
    r"|NCCL_(DEBUG|DEBUG_SUBSYS|ALGO|PROTO|BUFFSIZE|NTHREADS|LAUNCH_MODE|ASYNC_ERROR_HANDLING|BLOCKING_WAIT)"
    r"|(GLOO|TP)_SOCKET_IFNAME|(OMP|MKL|OPENBLAS|BLIS|NUMEXPR|NUMEXPR_MAX|VECLIB_MAXIMUM)_(NUM_)?THREADS"
    r"|OMP_(DYNAMIC|PLACES|PROC_BIND|SCHEDULE|WAIT_POLICY|STACKSIZE)|MKL_(DYNAMIC|CBWR|DEBUG_CPU_TYPE|ENABLE_INSTRUCTIONS)"
    r"|MKL_(SERVICE_FORCE_INTEL|THREADING_LAYER)|KMP_(AFFINITY|BLOCKTIME|DUPLICATE_LIB_OK)|GOMP_CPU_AFFINITY"
    r"|ATEN_CPU_CAPABILITY|(ONEDNN|DNNL)_MAX_CPU_ISA|MALLOC_(ARENA_MAX|MMAP_THRESHOLD_|TRIM_THRESHOLD_)|SAFETENSORS_FAST_GPU"
    r"|(HF_HUB|HF_DATASETS)_OFFLINE|HF_HUB_(DISABLE_[A-Z_]+|ENABLE_HF_TRANSFER|DOWNLOAD_TIMEOUT|ETAG_TIMEOUT|VERBOSITY)"
    r"|HF_XET_HIGH_PERFORMANCE|BITSANDBYTES_NOWELCOME|TF_(CPP_MIN_LOG_LEVEL|ENABLE_ONEDNN_OPTS)|DO_NOT_TRACK"
    r"|WANDB_(MODE|DISABLED|PROJECT|NAME|SILENT)|LANG|LC_ALL|TZ)"
)


def _allowed(name: str) -> str:
    if not _ALLOWED.fullmatch(name):
        raise ValueError(
            "is refused: a settings file sets only variables that are known to change no code and to hold no secret; "
            "set it in your shell, from where the engine has it too"
        )
    return name


EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_allowed)]
EnvValue = Annotated[str, StringConstraints(max_length=4096, pattern=r"^[^\x00\r\n]*$")]


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
    """Further environment variables of the engine, of those that change no code: { NCCL_P2P_DISABLE = "1" }."""

    grace_seconds: Seconds = 60.0
    """How long an engine that was asked to stop may finish a save before it is killed."""
