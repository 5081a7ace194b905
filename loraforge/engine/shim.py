"""Runs a script of sd-scripts unchanged, after small adaptations that the engine has no option for.

usage: shim.py --config_file X ...      with LORAFORGE_ENGINE_DIR naming the sd-scripts folder

Started by accelerate in place of the engine's script, in the engine's own Python, where neither loraforge nor its
dependencies need be installed. Manual runs never need it.
"""

import argparse
import importlib
import os
import runpy
import sys
import tomllib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

ENGINE_VARIABLE = "LORAFORGE_ENGINE_DIR"
SCRIPT_VARIABLE = "LORAFORGE_ENGINE_SCRIPT"
FAST_VARIABLE = "LORAFORGE_FAST"  # names of loraforge.engine.fast's parts, joined by commas
TELEMETRY_VARIABLE = "LORAFORGE_TELEMETRY"  # the file that each step's figures go to
CACHE_VARIABLE = "LORAFORGE_CACHE"  # a folder that outlives runs
DEFAULT_SCRIPT = "flux_train_network.py"
PART = ".part"  # what a file is called until it is whole
_WEIGHT_OPTIONS = ("pretrained_model_name_or_path", "ckpt_path", "clip_l", "t5xxl", "ae")


def _import(*names: str) -> list[ModuleType]:
    """Import modules of ours (standard library only), and leave the module path as the engine needs it.

    Python puts a script's folder first, where options.py, weights.py and their like would hide the engine's modules.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]
    package_home = str(here.parents[1])
    sys.path.append(package_home)
    try:
        return [importlib.import_module(f"loraforge.engine.{name}") for name in names]
    finally:
        sys.path.pop()


@dataclass(frozen=True)
class Launch:
    """What the engine is about to be started with.

    Attributes:
        options: the weight files among its options, from the command line or else the config file.
        shapes: the module that reads weight headers.
        config: all options of the config file, its tables flattened.
    """

    options: dict[str, str]
    shapes: ModuleType
    config: Mapping[str, Any] = field(default_factory=dict)

    def dims(self, option: str, infer: Callable[[Any], Any]) -> Any | None:
        """Return what `infer` reads from an option's weight file; None where there is nothing it understands.

        A missing, truncated or foreign file is for the engine to report, in its own words.
        """
        try:
            return infer(self.shapes.read_shapes(Path(self.options[option])))
        except (KeyError, OSError, ValueError):
            return None


def save_whole(_launch: Launch) -> None:
    """Have each file of weights appear whole or not at all: a process killed in a save must not leave half a LoRA."""
    import safetensors.torch as library

    save = library.save_file

    def save_file(tensors: Any, filename: str | os.PathLike[str], *arguments: Any, **named: Any) -> None:
        path = Path(filename)
        part = path.with_name(f"{path.name}{PART}")
        try:
            save(tensors, part, *arguments, **named)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    library.save_file = save_file


def shrink_transformer(launch: Launch) -> None:
    """Give the engine's FLUX the width of the file: it reads depth from the file, but takes the width for granted."""
    option = "ckpt_path" if "ckpt_path" in launch.options else "pretrained_model_name_or_path"
    dims = launch.dims(option, launch.shapes.transformer_dims)
    if dims is None or dims["hidden_size"] == launch.shapes.FULL_HIDDEN:
        return
    from library import flux_models

    for spec in flux_models.configs.values():
        spec.params = replace(spec.params, **dims)


def shrink_autoencoder(launch: Launch) -> None:
    """Give the engine's autoencoder the channels of the file; condition and reason as for the transformer."""
    channels = launch.dims("ae", launch.shapes.autoencoder_channels)
    if channels is None or channels == launch.shapes.FULL_AUTOENCODER_CHANNELS:
        return
    from library import flux_models

    for spec in flux_models.configs.values():
        spec.ae_params = replace(spec.ae_params, ch=channels)


def shrink_text_encoders(launch: Launch) -> None:
    """Give both text encoders the dimensions of their files: the engine writes FLUX.1's out in its source."""
    for option, name, infer, full in (
        ("clip_l", "CLIPConfig", launch.shapes.clip_dims, launch.shapes.FULL_CLIP),
        ("t5xxl", "T5Config", launch.shapes.t5_dims, launch.shapes.FULL_T5),
    ):
        dims = launch.dims(option, infer)
        if dims is None or dims == full:
            continue
        from library import flux_utils

        setattr(flux_utils, name, partial(_overridden, getattr(flux_utils, name), dims))


def keep_random_state_while_caching(launch: Launch) -> None:
    """Make a picture's latents depend on the picture alone, and training on nothing that caching drew.

    Encoding draws random numbers. Latents that are encoded again, because a run was killed on the way or a cache was
    damaged, would be others than before; and a run whose caches are warm would begin with another LoRA and noise.
    """
    if "pretrained_model_name_or_path" not in launch.options:
        return
    import torch
    from library import strategy_flux

    cache: Callable[..., None] = strategy_flux.FluxLatentsCachingStrategy.cache_batch_latents

    def caching(strategy: Any, vae: Any, image_infos: list[Any], *arguments: Any, **named: Any) -> None:
        names = "/".join(Path(info.absolute_path).stem for info in image_infos)  # made from their content
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            torch.manual_seed(zlib.crc32(names.encode()))
            cache(strategy, vae, image_infos, *arguments, **named)

    strategy_flux.FluxLatentsCachingStrategy.cache_batch_latents = caching


def resume_exactly(launch: Launch) -> None:
    """Go on from a state with the random numbers, pictures and averages of a run that never stopped."""
    if "pretrained_model_name_or_path" not in launch.options:
        return
    from loraforge.engine import exact

    exact.adapt()


def _overridden(make: Callable[..., Any], dims: dict[str, int], **settings: Any) -> Any:
    return make(**{**settings, **dims})


# Applied in this order before the engine's script runs. Each decides for itself whether there is anything to do, and
# imports the engine's modules only then.
ADAPTATIONS: tuple[Callable[[Launch], None], ...] = (
    save_whole,
    shrink_transformer,
    shrink_autoencoder,
    shrink_text_encoders,
    keep_random_state_while_caching,
    resume_exactly,
)


def weight_options(argv: list[str]) -> dict[str, str]:
    """Return the weight files that the engine will read; as in the engine, the command line beats the file."""
    given = _given(argv)
    config = config_options(argv)
    given.pop("config_file", None)
    return {name: config[name] for name in _WEIGHT_OPTIONS if isinstance(config.get(name), str)} | given


def config_options(argv: list[str]) -> dict[str, Any]:
    """Return the options of the config file; one level of tables is flattened, as in the engine."""
    path = _given(argv).get("config_file")
    if path is None:
        return {}
    try:
        with Path(path if path.endswith(".toml") else f"{path}.toml").open("rb") as file:
            config = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError):  # for the engine to report
        return {}
    return flattened(config)


def flattened(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a config with those of its tables, one level deep."""
    inner = {key: value for entry in config.values() if isinstance(entry, dict) for key, value in entry.items()}
    return {**inner, **config}


def _given(argv: list[str]) -> dict[str, str]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("config_file", *_WEIGHT_OPTIONS):
        parser.add_argument(f"--{name}")
    return {name: value for name, value in vars(parser.parse_known_args(argv)[0]).items() if value is not None}


def adapt_engine(launch: Launch, fast: ModuleType, telemetry: ModuleType) -> None:
    """Make the adaptations, apply the fast parts and record the steps as the environment says.

    In this order: what saves files whole must be there before the libraries that save them are imported.
    """
    environ = os.environ
    cache = Path(environ[CACHE_VARIABLE]) if CACHE_VARIABLE in environ else None
    context = fast.Context({**launch.config, **launch.options}, _say, cache)
    names = [name for name in environ.get(FAST_VARIABLE, "").split(",") if name]
    fast.begin(names, context)
    for adapt in ADAPTATIONS:
        adapt(launch)
    if names:
        fast.apply(names, context, _say)
    if path := environ.get(TELEMETRY_VARIABLE):
        try:
            telemetry.record_steps(Path(path))
        except Exception as fault:  # noqa: BLE001 - the engine's own log says enough to go on
            _say(f"without exact figures: {fast.told(fault)}")


def _say(text: str) -> None:
    print(f"loraforge: {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Adapt the engine, then run its script as if it had been started itself."""
    engine = Path(os.environ[ENGINE_VARIABLE]).resolve()
    script = str(engine / os.environ.get(SCRIPT_VARIABLE, DEFAULT_SCRIPT))
    shapes, fast, telemetry = _import("shapes", "fast", "telemetry")
    launch = Launch(weight_options(sys.argv[1:]), shapes, config_options(sys.argv[1:]))
    sys.path.insert(0, str(engine))
    adapt_engine(launch, fast, telemetry)
    sys.argv[0] = script
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
