"""Reads settings; the only module that reads the environment.

The value of a setting `x` is the first of: the variable `SEMLOOP_X`, `x = ...` in
`semloop.toml` of the current folder, the default.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec

from semloop.errors import ConfigError
from semloop.field_errors import explained_range
from semloop.settings.logins import SCHEME, refuse_logins
from semloop.settings.model import Settings, setting_fields
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
        environ: variables; `os.environ` if not given.
        folder: the folder of `semloop.toml`; the current one if not given.
        overrides: settings that override both, for example `lake=...`.

    Raises:
        ConfigError: an unknown setting in the file, or an invalid value.
    """
    environ = os.environ if environ is None else environ
    _refuse_typos(environ)
    values = _from_file((folder or _current_folder()) / CONFIG_FILE)
    for name in setting_fields():
        text = environ.get(PREFIX + name.upper())
        if text:
            values[name] = _from_text(name, text)
    values.update({k: v for k, v in overrides.items() if v is not None})
    _normalize_kafka_names(values)
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section = setting_fields()[name].section
        (nested.setdefault(section, {}) if section else nested)[name] = value
    try:
        settings = _converted(nested)
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).partition(" - at `$.")
        parts = re.split(r"[.\[]", path.rstrip("`"))
        name = next((part for part in parts if part in setting_fields()), "")
        # The value is not shown: it may be a secret under the wrong name.
        what = what.partition(" '")[0]
        what = what[:1].lower() + what[1:]
        if not name:  # a section that refuses a value says of which setting
            first, _, rest = what.partition(": ")
            name, what = (first, rest) if first in setting_fields() else ("", what)
        if name and what.startswith("invalid enum value"):
            what = f"expected one of {', '.join(_choices(setting_fields()[name].type))}"
        what = explained_range(what) or what
        msg = f"Setting {name or '?'!r}: {what}."
        todo = f"Correct {PREFIX}{name.upper()} or `{name}` in {CONFIG_FILE}."
        raise ConfigError(msg, todo) from None
    refuse_logins(settings)
    if settings.on_s3:
        return settings
    if found := SCHEME.match(settings.lake):
        msg = f"Setting 'lake': {found[0]} is neither a folder nor s3://."
        raise ConfigError(msg, "Set SEMLOOP_LAKE to a folder or s3://bucket/prefix.")
    return settings.replace(lake=str(Path(settings.lake).absolute()))


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        msg = "The current folder was removed."
        raise ConfigError(msg, "Start the program in a folder that exists.") from None


def _converted(nested: Mapping[str, Any]) -> Settings:
    # strict=False converts the text of environment variables to numbers.
    return msgspec.convert(nested, Settings, strict=False, dec_hook=_decode)


def _choices(kind: Any) -> tuple[str, ...]:
    """Return the values that a type allows, if it is or contains a Literal."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))


def setting_source(
    name: str, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Return where `load` reads a setting: its variable, the file, or "default".

    Raises:
        ConfigError: the file is invalid, as in `load`.
    """
    variable = PREFIX + name.upper()
    if (os.environ if environ is None else environ).get(variable):
        return variable
    if name in _from_file((folder or Path.cwd()) / CONFIG_FILE):
        return CONFIG_FILE
    return "default"


def aws_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the standard `AWS_*` variables, which S3 clients use."""
    environ = os.environ if environ is None else environ
    return {k: v for k, v in environ.items() if k.startswith("AWS_")}


def process_number(environ: Mapping[str, str] | None = None) -> int:
    """Return the number of this process in the cluster that Bytewax's runner forms.

    The variables are those that the runner itself reads.
    """
    environ = os.environ if environ is None else environ
    number = environ.get("BYTEWAX_PROCESS_ID")
    if not number and (stateful_set := environ.get("BYTEWAX_STATEFULSET_NAME")):
        number = environ.get("BYTEWAX_POD_NAME", "").removeprefix(f"{stateful_set}-")
    return int(number) if number and number.isdecimal() else 0


def _refuse_typos(environ: Mapping[str, str]) -> None:
    """Refuse misspelled variables, which would leave their setting at its default."""
    known = [PREFIX + name.upper() for name in setting_fields()]
    for name in environ:
        if not name.startswith(PREFIX) or name in known:
            continue
        if near := _nearest(name, known, 0.9):
            msg = f"Unknown setting {name}."
            raise ConfigError(msg, f"Did you mean {near}?")


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise _unreadable(path, exc) from None
    import tomllib

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise _unreadable(path, exc) from None
    for name in values:
        if name not in setting_fields():
            near = _nearest(name, list(setting_fields()))
            msg = f"{path}: unknown setting {name!r}."
            todo = f"Did you mean {near!r}?" if near else "Remove it."
            raise ConfigError(msg, todo)
    return values


def _unreadable(path: Path, error: Exception) -> ConfigError:
    msg = f"{path} cannot be read: {error}."
    return ConfigError(msg, "It must be a TOML file with lines `setting = value`.")


def _nearest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar to a name; None if none is."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1, cutoff)), None)


def _from_text(name: str, text: str) -> object:
    """Convert the text of a variable to the form of the setting's type."""
    kind, example = _type_and_example(name)
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(kind, (msgspec.inspect.DictType, msgspec.inspect.StructType)):
        try:
            return msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            msg = f"{PREFIX}{name.upper()} is not a JSON object."
            raise ConfigError(msg, f"Write {example}.") from None
    return text


def _type_and_example(name: str) -> tuple[msgspec.inspect.Type, str]:
    """Return the type of a setting, and the example in its declaration, if any."""
    kind = msgspec.inspect.type_info(setting_fields()[name].type)
    if not isinstance(kind, msgspec.inspect.Metadata):
        return kind, ""
    examples = (kind.extra_json_schema or {}).get("examples", [""])
    return kind.type, examples[0]


def _normalize_kafka_names(values: dict[str, Any]) -> None:
    """Accept any case: Kafka's tools use upper case, other programs do not."""
    for name, convert in (
        ("kafka_security", str.lower),
        ("kafka_sasl_mechanism", str.upper),
    ):
        if isinstance(values.get(name), str):
            values[name] = convert(values[name])


def _decode(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, (str, Secret)):
        return value if isinstance(value, Secret) else Secret(value)
    msg = "expected text"
    raise TypeError(msg)  # msgspec adds the path of the value


# msgspec prepares a type when it is first used, and crashes if a signal handler or a
# thread uses it meanwhile. So the first use is here, not in the first `load`.
_converted({})
