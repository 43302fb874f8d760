"""The page of the errors: classes, exit codes and every text, from the source."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from docs.generate.markdown import table
from semloop import errors
from semloop.errors import SemLoopError, Transient

ROOT = Path(__file__).parents[2]
FOLDERS = ("semloop", "schemas", "sources", "operators", "sinks", "flows")
EXIT_CODES = {
    0: ("Success.", "no"),
    1: ("The command failed; two lines give the cause and the remedy.", "with pauses"),
    3: (
        "A newer copy owns the tables, the redaction key is not the lake's, or too "
        "many records would become dead letters.",
        "no",
    ),
    4: ("The topic or the table of memories changed.", "yes"),
    6: ("Another process of the same flow ended; all start again together.", "yes"),
    130: ("Interrupted by Ctrl-C.", "no"),
}
INTRODUCTION = """# Errors and exit codes

"""
CLASSES = """
## Classes

All are subclasses of `semloop.errors.SemLoopError`, with the attributes `what`, `todo`
and `exit_code`. After a transient one, the same call may succeed later.

"""
TEXTS = """
## Texts

Every text in the source, with `…` for a value.

"""


def page() -> str:
    """Return the page."""
    codes = [(str(code), *texts) for code, texts in EXIT_CODES.items()]
    classes = [
        (
            f"`{name}`", str(cls.exit_code),
            "yes" if issubclass(cls, Transient) else "no", _first_line(cls),
        )
        for name, cls in _classes().items()
    ]  # fmt: skip
    return (
        INTRODUCTION
        + table(("exit code", "meaning", "restart a flow"), codes)
        + CLASSES
        + table(("class", "exit code", "transient", "meaning"), classes)
        + TEXTS
        + table(("class", "what happened", "what to do"), _texts())
    )


def _classes() -> dict[str, type[SemLoopError]]:
    return {
        name: cls
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, SemLoopError)
    }


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").splitlines()[0]


def _texts() -> list[tuple[str, str, str]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for name, what, todo in _raised(ast.parse(path.read_text())):
                found[name].add((what, todo))
    return [
        (f"`{name}`", what, todo)
        for name in sorted(found)
        for what, todo in sorted(found[name])
    ]


def _raised(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Class, first and second argument of each error that is made in a module."""
    names = set(_classes())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        texts: dict[str, str] = {}
        for node in _in_order(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                texts[node.targets[0].id] = _template(node.value, texts)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                text = texts.get(node.target.id, "")
                texts[node.target.id] = text + _template(node.value, texts)
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                what, todo = ([_template(a, texts) for a in node.args[:2]] + ["", ""])[
                    :2
                ]
                if what:
                    yield node.func.id, what, todo  # type: ignore[attr-defined]


def _in_order(function: ast.AST) -> list[ast.AST]:
    nodes = [node for node in ast.walk(function) if hasattr(node, "lineno")]
    return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))  # type: ignore[attr-defined]


def _template(node: ast.AST, texts: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(_template(part, texts) for part in node.values)
    if isinstance(node, ast.Name):
        return texts.get(node.id, "…")
    if isinstance(node, ast.IfExp):
        return _template(node.body, texts)
    if isinstance(node, ast.BinOp):
        return _template(node.left, texts) + _template(node.right, texts)
    return "…"
