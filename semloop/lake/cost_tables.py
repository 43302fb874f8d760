"""The settings of costs as tables of the schema `tables`, which views join."""

from collections.abc import Sequence

from semloop.settings.cost_section import CostSettings
from semloop.sql_text import quoted

OWNERS = {"namespace": "VARCHAR", "team": "VARCHAR", "project": "VARCHAR"}
PRICES = {
    "model": "VARCHAR",
    "since": "DATE",
    "input_price": "DOUBLE",
    "cached_price": "DOUBLE",
    "output_price": "DOUBLE",
}


def cost_statements(settings: CostSettings, schema: str) -> list[str]:
    """Return the statements that create both tables, as views without a file."""
    teams, projects = settings.namespace_teams, settings.namespace_projects
    owners = [
        (name, teams.get(name), projects.get(name))
        for name in sorted({*teams, *projects})
    ]
    prices = []
    for key, price in sorted(settings.model_prices.items()):
        model, _, since = key.rpartition("@")
        cached = price.get("cached", price["input"])
        prices.append((model, since, price["input"], cached, price["output"]))
    return [
        _view(f"{schema}.namespace_owners", OWNERS, owners),
        _view(f"{schema}.model_prices", PRICES, prices),
    ]


def _view(
    name: str, columns: dict[str, str], rows: Sequence[Sequence[str | float | None]]
) -> str:
    # A first row, which is left out, gives the columns their types.
    values = [", ".join("NULL" for _ in columns)]
    values += [", ".join(map(_literal, row)) for row in rows]
    typed = ", ".join(
        f"{column}::{kind} AS {column}" for column, kind in columns.items()
    )
    listed = ", ".join(f"({row})" for row in values)
    first = next(iter(columns))
    return (
        f"CREATE OR REPLACE VIEW {name} AS SELECT {typed}"  # noqa: S608 - quoted
        f" FROM (VALUES {listed}) AS given ({', '.join(columns)})"
        f" WHERE {first} IS NOT NULL"
    )


def _literal(value: str | float | None) -> str:
    if value is None:
        return "NULL"
    return quoted(value) if isinstance(value, str) else repr(float(value))
