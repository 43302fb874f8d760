"""Texts below the fields of a class, which Python itself does not keep."""

import ast
import inspect
import itertools
import textwrap


def field_texts(cls: type) -> dict[str, str]:
    """Return field -> the string below it in the class's source, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            name = getattr(field.target, "id", "")
        elif isinstance(field, ast.Assign):
            name = getattr(field.targets[0], "id", "")
        else:
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[name] = " ".join(str(text.value.value).split())
    return found
