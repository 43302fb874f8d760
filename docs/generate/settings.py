"""The page of the settings, from `semloop/settings`."""

from collections.abc import Iterator
from typing import Any

import msgspec

from docs.generate.docstrings import field_texts
from docs.generate.markdown import table
from semloop.settings import PREFIX
from semloop.settings.fields import Section
from semloop.settings.model import Settings
from semloop.settings.secret import Secret

INTRODUCTION = """# Settings

A setting `x` is the environment variable `SEMLOOP_X`, or `x` in the file
`semloop.toml` of the working directory; the environment wins. A value that is not
allowed stops the program with a line that names the setting. Source:
`semloop/settings`.

AWS credentials, region and endpoint come from the usual `AWS_*` variables and files.

"""
HEADER = ("variable", "default", "values", "meaning")
UNITS = {
    "_s": "seconds", "_hours": "hours", "_mb": "MiB", "_bytes": "bytes",
    "_bytes_max": "bytes",
}  # fmt: skip


def page() -> str:
    """Return the page."""
    return INTRODUCTION + "\n".join(
        f"## {title}\n\n{table(HEADER, rows)}" for title, rows in _sections()
    )


def _sections() -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    fields = msgspec.structs.fields(Settings)
    own = [field for field in fields if not _is_section(field.type)]
    yield "Where", _rows(Settings, own)
    for field in fields:
        if _is_section(field.type):
            title = (field.type.__doc__ or "").rstrip(".")
            yield title, _rows(field.type, msgspec.structs.fields(field.type))


def _is_section(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Section)


def _rows(cls: type, fields: Any) -> list[tuple[str, ...]]:
    texts = field_texts(cls)
    return [
        (
            f"`{PREFIX}{field.encode_name.upper()}`",
            _default(field),
            _values(field.encode_name, msgspec.inspect.type_info(field.type)),
            texts[field.name],
        )
        for field in fields
    ]


def _default(field: Any) -> str:
    default = field.default
    if default is msgspec.NODEFAULT:
        default = field.default_factory()
    if default is None or default in ((), {}):
        return "unset"
    if isinstance(default, msgspec.Struct):
        return f"`{msgspec.json.encode(default).decode()}`"
    if isinstance(default, tuple | list):
        return f"`{','.join(map(str, default))}`"
    if isinstance(default, dict):
        return f"`{msgspec.json.encode(default).decode()}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:_}`" if isinstance(default, int) else f"`{default}`"


def _values(name: str, info: Any) -> str:
    """The type in words, with unit and bounds, or an example."""
    if isinstance(info, msgspec.inspect.Metadata):
        examples = (info.extra_json_schema or {}).get("examples", [])
        if examples:
            return f"JSON such as `{examples[0]}`"
        return _values(name, info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        return " or ".join(
            _values(name, part)
            for part in info.types
            if not isinstance(part, msgspec.inspect.NoneType)
        )
    if isinstance(info, msgspec.inspect.LiteralType):
        return ", ".join(f"`{value}`" for value in info.values)
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        return _number(name, info)
    if isinstance(info, msgspec.inspect.BoolType):
        return "`true`, `false`"
    if isinstance(info, msgspec.inspect.VarTupleType):
        if _is_secret(info.item_type):
            return "texts with commas between; never shown"
        return "words with commas between"
    if _is_secret(info):
        return "text; never shown"
    if isinstance(info, msgspec.inspect.DictType):
        return "JSON object"
    if isinstance(info, msgspec.inspect.StructType):
        return "JSON object of the default's form"
    return "text"


def _is_secret(info: Any) -> bool:
    return isinstance(info, msgspec.inspect.CustomType) and info.cls is Secret


def _number(name: str, info: Any) -> str:
    kind = "integer" if isinstance(info, msgspec.inspect.IntType) else "number"
    bounds = [
        f"{sign} {value:g}" if value < 10**9 else f"{sign} {value}"
        for sign, value in (
            ("≥", info.ge),
            (">", info.gt),
            ("≤", info.le),
            ("<", info.lt),
        )
        if value is not None
    ]
    unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
    return ", ".join([" of ".join(filter(None, (kind, unit))), *bounds])
