"""Containers of other libraries, recognised without importing these libraries.

Everything is looked up in the class, not in the object: objects that invent attributes,
such as mocks and proxies, are not taken for what they are not.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from math import prod
from typing import Any

# Numbers of an array, or cells of a table, that are kept: an embedding fits.
CELLS_MAX = 10_000
TIMES = {"M": "datetime64", "m": "timedelta64"}


class Items:
    """A container to be written as a list: its first values, and how many it has."""

    __slots__ = ("total", "values")

    def __init__(self, values: Iterable[object], total: int | None = None) -> None:
        self.values = values
        self.total = total


class Fields:
    """A container to be written as an object: its first pairs, and how many it has."""

    __slots__ = ("pairs", "total")

    def __init__(
        self, pairs: Iterable[tuple[object, object]], total: int | None = None
    ) -> None:
        self.pairs = pairs
        self.total = total


def record(value: Any) -> object:
    """Return the fields of a dataclass, a model or a named tuple; None if not one."""
    kind = type(value)
    if hasattr(kind, "model_dump"):
        if hasattr(kind, "__pydantic_serializer__"):
            return value.model_dump(warnings=False)
        return value.model_dump()
    if hasattr(kind, "__fields__") and hasattr(kind, "parse_obj"):  # pydantic 1
        return value.dict()
    if hasattr(kind, "__dataclass_fields__"):
        return _attributes(value, kind.__dataclass_fields__)
    if hasattr(kind, "__attrs_attrs__"):
        return _attributes(value, (field.name for field in kind.__attrs_attrs__))
    if hasattr(kind, "__struct_fields__"):  # msgspec
        return _attributes(value, kind.__struct_fields__)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        return Fields(zip(kind._fields, value, strict=False))
    return None


def array(value: Any) -> object:
    """Return the values of an array, column or table as `Items`; None if not one.

    An array without dimensions becomes its only value.
    """
    kind = type(value)
    if hasattr(kind, "iloc") and hasattr(kind, "to_dict") and hasattr(kind, "columns"):
        return _frame(value)
    for method in ("to_pylist", "to_dicts", "to_list"):  # of pyarrow and polars
        if hasattr(kind, method) and hasattr(kind, "slice"):
            width = getattr(value, "num_columns", getattr(value, "width", 1))
            first = value.slice(0, CELLS_MAX // max(1, width))
            return Items(getattr(first, method)(), len(value))
    if not (hasattr(kind, "tolist") and hasattr(kind, "shape")):
        return None
    shape = tuple(value.shape)
    if not shape:
        return value.tolist()
    if prod(shape) > CELLS_MAX:
        rows = max(1, CELLS_MAX // prod(shape[1:]))
        value = value.iloc[:rows] if hasattr(kind, "iloc") else value[:rows]
        if prod(value.shape) > CELLS_MAX:
            return Items(list(islice(value, CELLS_MAX)), shape[0])
    dtype = getattr(value, "dtype", None)
    if kind.__module__ == "numpy" and dtype is not None and dtype.kind in TIMES:
        # Of nanoseconds, `tolist` would return integers.
        value = value.astype(f"{TIMES[dtype.kind]}[us]")
    return Items(value.tolist(), shape[0])


def _frame(value: Any) -> Items:
    """Return the first rows of a data frame as objects."""
    rows, columns = value.shape
    width = min(columns, CELLS_MAX)
    kept = value.iloc[: CELLS_MAX // max(1, width), :width]
    series = [kept.iloc[:, position].tolist() for position in range(width)]
    names = list(kept.columns)
    cells = zip(*series, strict=True)
    return Items((Fields(zip(names, row, strict=True), columns) for row in cells), rows)


def _attributes(value: object, names: Iterable[str]) -> Fields:
    return Fields(list(_present(value, names)))


def _present(value: object, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Yield name and value of attributes; those that were never set are left out."""
    for name in islice(names, CELLS_MAX):
        try:
            yield name, getattr(value, name)
        except AttributeError:
            continue
