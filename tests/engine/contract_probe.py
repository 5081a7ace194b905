"""Runs in the engine's Python: what do sd-scripts' own parser and dataset sanitizer make of rendered files?

usage: contract_probe.py ENGINE_DIR < [{"config": path, "dataset": path}, ...]   prints one JSON list
"""

import argparse
import json
import logging
import sys

sys.path.insert(0, sys.argv[1])
real_stdout, sys.stdout = sys.stdout, sys.stderr

import flux_train_network  # noqa: E402
from library import config_util, train_util  # noqa: E402

logging.disable(logging.CRITICAL)
parser = flux_train_network.setup_parser()
actions = {action.dest: action for action in parser._actions}


def faults(config: str) -> list[str]:
    """Read a config as the engine does and tell every key it does not know or whose value argparse would refuse."""
    sys.argv = ["flux_train_network.py", "--config_file", config]
    args = parser.parse_args()
    train_util.verify_command_line_training_args(args)
    args = train_util.read_config_from_file(args, parser)
    found = [f"{name}: unknown key" for name in vars(args) if name not in actions]
    for name, value in vars(args).items():
        action = actions.get(name)
        if action is None or value == action.default or value is None:
            continue
        if isinstance(action, argparse._StoreTrueAction):
            if value is not True:
                found.append(f"{name} = {value!r}: not a flag")
            continue
        several = action.nargs in ("*", "+")
        if several != isinstance(value, list):
            found.append(f"{name} = {value!r}: list or not")
            continue
        for item in value if several else [value]:
            if action.choices is not None and item not in action.choices:
                found.append(f"{name} = {item!r}: not a choice")
            kind = action.type
            if kind in (int, float, str) and not isinstance(item, (int, float) if kind is float else kind):
                found.append(f"{name} = {item!r}: not {kind.__name__}")
            if kind is None and not isinstance(item, str):
                found.append(f"{name} = {item!r}: not str")
    return found


def read(job: dict) -> dict:
    """Return faults, the arguments, and what the sanitizer and blueprint make of the dataset file."""
    found = faults(job["config"])
    args = train_util.read_config_from_file(parser.parse_args(), parser)
    user_config = config_util.load_user_config(job["dataset"])
    sanitizer = config_util.ConfigSanitizer(
        support_dreambooth=True, support_finetuning=True, support_controlnet=args.masked_loss, support_dropout=True
    )
    blueprint = config_util.BlueprintGenerator(sanitizer).generate(user_config, args, tokenizer=None)
    group = blueprint.dataset_group
    (dataset,) = group.datasets
    (subset,) = dataset.subsets
    return {
        "faults": found,
        "args": {name: value for name, value in vars(args).items() if not callable(value)},
        "dataset": {**vars(dataset.params)},
        "subset": {**vars(subset.params)},
    }


jobs = json.load(sys.stdin)
real_stdout.write(json.dumps([read(job) for job in jobs], default=str))
