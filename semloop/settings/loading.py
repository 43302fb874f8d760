"""Reads settings; the only reader of the environment.

A setting `x` is read from the variable `SEMLOOP_X`, else from `x = ...` in
`semloop.toml` of the current folder, else it has its default.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from semloop.errors import ConfigError
from semloop.settings.model import Settings, places
from semloop.settings.secret import Secret

CONFIG_FILE = "semloop.toml"
PREFIX = "SEMLOOP_"


def load(
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    **overrides: object,
) -> Settings:
    """Read the settings.

    Args:
        environ: variables, `os.environ` if not given.
        folder: where `semloop.toml` is looked for, the current one if not given.
        overrides: settings that win over both, such as `lake=...`.

    Raises:
        ConfigError: an unknown name in the file or a value of the wrong form.
    """
    environ = os.environ if environ is None else environ
    _refuse_typos(environ)
    values = _from_file((folder or Path.cwd()) / CONFIG_FILE)
    for name in places():
        text = environ.get(PREFIX + name.upper())
        if text:
            values[name] = _from_text(name, text)
    values.update({k: v for k, v in overrides.items() if v is not None})
    _spell_as_kafka_does(values)
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section = places()[name].section
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        # strict=False reads numbers from the text of the environment.
        settings = msgspec.convert(nested, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).partition(" - at `$.")
        parts = re.split(r"[.\[]", path.rstrip("`"))
        name = next((part for part in parts if part in places()), "")
        # The value is not shown: it may be a secret put under the wrong name.
        what = what.partition(" '")[0]
        msg = f"Setting {name or '?'!r}: {what.lower()}."
        todo = f"Correct {PREFIX}{name.upper()} or `{name}` in {CONFIG_FILE}."
        raise ConfigError(msg, todo) from None
    if settings.on_s3:
        return settings
    if "://" in settings.lake:
        scheme = settings.lake.partition("://")[0]
        msg = f"Setting 'lake': {scheme}:// is neither a folder nor s3://."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to a folder or s3://bucket/prefix.")
    return settings.replace(lake=str(Path(settings.lake).absolute()))


def origin(
    name: str, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Where `load` takes a setting from: its variable, the file, or "default".

    Raises:
        ConfigError: as `load`.
    """
    variable = PREFIX + name.upper()
    if (os.environ if environ is None else environ).get(variable):
        return variable
    if name in _from_file((folder or Path.cwd()) / CONFIG_FILE):
        return CONFIG_FILE
    return "default"


def aws_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The usual `AWS_*` variables, which every program with S3 reads alike."""
    environ = os.environ if environ is None else environ
    return {k: v for k, v in environ.items() if k.startswith("AWS_")}


def _refuse_typos(environ: Mapping[str, str]) -> None:
    """A variable that is nearly a setting would leave its setting unset unnoticed."""
    known = [PREFIX + name.upper() for name in places()]
    for name in environ:
        if not name.startswith(PREFIX) or name in known:
            continue
        if near := difflib.get_close_matches(name, known, 1, cutoff=0.9):
            msg = f"There is no setting {name}."
            raise ConfigError(msg, f"Did you mean {near[0]}?")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        msg = f"{path} cannot be read: {exc}."
        raise ConfigError(msg, "It must be a TOML file of `setting = value`.") from None
    for name in values:
        if name not in places():
            near = difflib.get_close_matches(name, list(places()), 1)
            msg = f"{path}: there is no setting {name!r}."
            todo = f"Did you mean {near[0]!r}?" if near else "Remove it."
            raise ConfigError(msg, todo)
    return values


def _from_text(name: str, text: str) -> object:
    """The text of a variable as the type of the setting wants it."""
    kind, example = _form(name)
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(kind, (msgspec.inspect.DictType, msgspec.inspect.StructType)):
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            msg = f"{PREFIX}{name.upper()} is not a JSON object."
            raise ConfigError(msg, f"Write {example}.") from None
    return text


def _form(name: str) -> tuple[msgspec.inspect.Type, str]:
    """The type of a setting, and an example of it, if it needs one."""
    kind = msgspec.inspect.type_info(places()[name].type)
    if not isinstance(kind, msgspec.inspect.Metadata):
        return kind, ""
    examples = (kind.extra_json_schema or {}).get("examples", [""])
    return kind.type, examples[0]


def _spell_as_kafka_does(values: dict[str, Any]) -> None:
    """Kafka's own tools write these names in capitals, other programs do not."""
    for name, spell in (
        ("kafka_security", str.lower),
        ("kafka_sasl_mechanism", str.upper),
    ):
        if isinstance(values.get(name), str):
            values[name] = spell(values[name])


def _decode(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, (str, Secret)):
        return value if isinstance(value, Secret) else Secret(value)
    msg = "expected text"
    raise TypeError(msg)  # msgspec adds where it stood
