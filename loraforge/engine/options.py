"""The options of sd-scripts' FLUX trainer, read from its source: no torch, and nothing of it is executed.

`python -m loraforge.engine.options ENGINE_DIR > loraforge/engine/options_snapshot.json` renews the snapshot that
serves where there is no engine.
"""

import ast
import json
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from loraforge.engine.locate import EngineHome
from loraforge.errors import MachineError

_SWITCHES = {"store_true": False, "store_false": True, "BooleanOptionalAction": None}  # action -> default
# The engine's help is "English / Japanese".
_JAPANESE = re.compile(r"\s*/\s+(?=.*[^\x00-\x7f])", re.DOTALL)

Literal = str | int | float | None


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the engine.

    Attributes:
        name: its name in a config file and in the engine's namespace (argparse's dest).
        type: "bool" for a switch, else the name of the function that reads the value: "str", "int", "float", "Path",
            "int_or_float".
        nargs: argparse's nargs; None takes one value.
        choices: the values allowed; None leaves them open.
        default: the engine's own default.
        help: the engine's explanation in English.
        where: file:line of its declaration, relative to the engine's folder.
    """

    name: str
    type: str
    nargs: str | int | None
    choices: tuple[Literal, ...] | None
    default: Literal
    help: str
    where: str

    @property
    def takes_list(self) -> bool:
        """Whether the value is a list."""
        return self.nargs not in {None, "?"}


def known_options(home: EngineHome | None) -> dict[str, Option]:
    """Return the options of the engine that is there, else those of the commit loraforge is tested against."""
    return snapshot() if home is None else read_options(home.path)


@cache
def snapshot() -> dict[str, Option]:
    """Return the committed options of the pinned commit, by name."""
    rows = json.loads((files(__package__) / "options_snapshot.json").read_text("utf-8"))
    return {row["name"]: Option(**row | {"choices": row["choices"] and tuple(row["choices"])}) for row in rows}


@cache
def read_options(engine_dir: Path) -> dict[str, Option]:
    """Return the options of `flux_train_network.py` by name, in the order in which its parser declares them.

    Raises:
        MachineError: the folder does not hold a readable sd-scripts.
    """
    source = _Source(engine_dir)
    try:
        options = list(source.options("flux_train_network", "setup_parser"))
    except (OSError, SyntaxError, ValueError, KeyError) as error:
        raise MachineError(
            f"the options of the engine in {engine_dir} can't be read: {error}",
            "fetch sd-scripts anew, or name another one with --engine",
        ) from error
    named: dict[str, Option] = {}
    for option in options:
        named.setdefault(option.name, option)  # in argparse, too, the first declaration decides the default
    return named


def as_json(options: dict[str, Option]) -> str:
    """Return the text of a snapshot: JSON with one option a line, so that a change shows as one line."""
    return "[\n" + ",\n".join(json.dumps(asdict(option)) for option in options.values()) + "\n]\n"


class _Source:
    """The engine's modules, parsed on demand, with just enough understanding to follow how a parser is built up."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, _Module] = {}

    def options(self, module: str, function: str, flags: dict[str, bool] | None = None) -> Iterator[Option]:
        """Yield what a function declares, itself or through the functions it calls, in order.

        Args:
            module: dotted name of the module.
            function: its function that declares.
            flags: the values of the function's parameters that are known to be True or False.
        """
        definition = self._module(module).functions[function]
        for call in _calls(definition.body, flags or {}):
            if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
                yield _option(call, f"{module.replace('.', '/')}.py:{call.lineno}")
            elif target := self._resolve(module, call.func):
                callee = self._module(target[0]).functions[target[1]]
                yield from self.options(*target, flags=_bind(callee, call))

    def _module(self, name: str) -> "_Module":
        if name not in self._modules:
            path = self._path(name)
            with warnings.catch_warnings(action="ignore"):  # the engine's own, such as "\\(" in a docstring
                self._modules[name] = _Module(ast.parse(path.read_bytes(), str(path)))
        return self._modules[name]

    def _path(self, name: str) -> Path:
        return self.root.joinpath(*name.split(".")).with_suffix(".py")

    def _resolve(self, module: str, called: ast.expr) -> tuple[str, str] | None:
        """Return (module, function) where the called name leads to a function of the engine."""
        scope = self._module(module)
        match called:
            case ast.Name(id=name) if name in scope.functions:
                return module, name
            case ast.Name(id=name) if name in scope.imports:
                owner, _, function = scope.imports[name].rpartition(".")
                if owner and self._path(owner).is_file():
                    return self._resolve(owner, ast.Name(function))
            case ast.Attribute(value=ast.Name(id=alias), attr=function) if alias in scope.imports:
                owner = scope.imports[alias]
                if self._path(owner).is_file():
                    return self._resolve(owner, ast.Name(function))
            case _:
                pass
        return None


class _Module:
    """The functions of a module by name, and its imports as local name -> dotted name."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.imports: dict[str, str] = {}
        for node in tree.body:
            if isinstance(node, ast.Import):
                self.imports |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                self.imports |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}


def _calls(body: list[ast.stmt], flags: dict[str, bool]) -> Iterator[ast.Call]:
    """Yield the calls of a function's body in order, leaving out branches that its flags rule out."""
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                continue  # a nested type function declares nothing
            case ast.If(test=test):
                truth = _truth(test, flags)
                if truth is not False:
                    yield from _calls(statement.body, flags)
                if truth is not True:
                    yield from _calls(statement.orelse, flags)
            case _:
                yield from (node for node in ast.walk(statement) if isinstance(node, ast.Call))


def _truth(test: ast.expr, flags: dict[str, bool]) -> bool | None:
    """Return the value of a condition; None where it is not known, and both branches count."""
    match test:
        case ast.Constant(value=bool(value)):
            return value
        case ast.Name(id=name):
            return flags.get(name)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            truth = _truth(operand, flags)
            return None if truth is None else not truth
        case _:
            return None


def _bind(function: ast.FunctionDef, call: ast.Call) -> dict[str, bool]:
    """Return which parameters of a function a call, or else a default, makes True or False."""
    names = [parameter.arg for parameter in function.args.args]
    defaults = function.args.defaults
    values: dict[str, ast.expr] = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    values |= dict(zip(names, call.args, strict=False))
    values |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    truths = {name: _truth(value, {}) for name, value in values.items()}
    return {name: truth for name, truth in truths.items() if truth is not None}


def _option(call: ast.Call, where: str) -> Option:
    """Read one `add_argument(...)` as argparse would.

    Raises:
        ValueError: a name, default or choice is computed, so that only running the engine could tell it.
    """
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    flags = [str(ast.literal_eval(argument)) for argument in call.args]
    long = [flag for flag in flags if flag.startswith("--")]
    name = ast.literal_eval(given["dest"]) if "dest" in given else (long or flags)[0].lstrip("-").replace("-", "_")
    action = _word(given["action"]) if "action" in given else "store"
    default = _SWITCHES.get(action)
    choices = ast.literal_eval(given["choices"]) if "choices" in given else None
    reader = _word(given["type"]) if "type" in given else "str"
    return Option(
        name=name,
        type="bool" if action in _SWITCHES else reader,
        nargs=ast.literal_eval(given["nargs"]) if "nargs" in given else None,
        choices=None if choices is None else tuple(choices),
        default=ast.literal_eval(given["default"]) if "default" in given else default,
        help=_JAPANESE.split(_text(given["help"]), maxsplit=1)[0].strip() if "help" in given else "",
        where=where,
    )


def _word(node: ast.expr) -> str:
    """Return "store_true" of a string, "int" of a name, "Path" of pathlib.Path."""
    match node:
        case ast.Constant(value=str(word)) | ast.Name(id=word) | ast.Attribute(attr=word):
            return word
        case _:
            return ast.unparse(node)


def _text(node: ast.expr) -> str:
    """Join the pieces of a help text; what only a running engine knows is left out."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case ast.JoinedStr(values=pieces):
            return "".join(map(_text, pieces))
        case _:
            return ""


if __name__ == "__main__":
    sys.stdout.write(as_json(read_options(Path(sys.argv[1]))))
