"""The table of values in docs/agents.md, compared with what an event contains."""

import dataclasses
import enum
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pydantic
import pytest

from tests.sdk.recorded_events import recorded
from tests.support.documents import AGENTS
from tests.support.processes import ROOT

ROW = re.compile(r"^\| ([^|`]+(?:`\w+`)?) \| `(.+)` \| `(.+)` \|$", re.MULTILINE)


@dataclasses.dataclass
class Flight:
    number: str
    stops: int


class Hotel(pydantic.BaseModel):
    stars: int


class Colour(enum.Enum):
    RED = "red"


NAMES = {
    "Colour": Colour, "Decimal": Decimal, "Flight": Flight, "Hotel": Hotel, "UTC": UTC,
    "PurePosixPath": PurePosixPath, "datetime": datetime, "np": np, "pa": pa,
    "timedelta": timedelta,
}  # fmt: skip
ROWS = ROW.findall((ROOT / AGENTS).read_text("utf-8"))


def test_all_rows_of_the_table_are_compared() -> None:
    text = (ROOT / AGENTS).read_text("utf-8")
    _, _, table = text.partition("| value | example | stored as |\n")
    lines = table.partition("\n\n")[0].splitlines()
    assert len(ROWS) == len(lines) - 1


@pytest.mark.parametrize(("kind", "example", "stored"), ROWS)
def test_an_example_is_stored_as_the_table_has_it(
    kind: str, example: str, stored: str
) -> None:
    value = eval(example, dict(NAMES))
    expected = json.loads(stored.replace("__main__", __name__))
    assert recorded(value)[0] == expected
