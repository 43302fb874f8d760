"""Package check: installed versions against the requirements of this SemLoop.

The requirements come from the metadata of the installed distribution.
"""

import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from semloop.command.doctor import Finding, Skipped, fail, ok, skip
from semloop.command.doctor.context import CheckContext
from semloop.command.terminal.figures import format_count, format_list
from semloop.extras import DISTRIBUTION, install_todo

if TYPE_CHECKING:
    from packaging.requirements import Requirement

CHECK = "packages"
# Another author's package of our import name.
NAMESAKE = "semloop"
BASE = "base"
# `test` is not for users, and `all` only combines the others.
IGNORED_EXTRAS = {"test", "all"}
# DuckDB loads only extensions built for exactly its own version.
EXTENSIONS = ("duckdb", "duckdb-extension-")


@dataclass(frozen=True)
class Requirements:
    """Requirements from the metadata of a distribution; packages by extra."""

    python: str
    extras: Mapping[str, Sequence["Requirement"]]


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare installed with required versions for each extra."""
    try:
        yield from compared(metadata.distribution(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        reason = "semloop runs from a source folder, without package metadata."
        raise Skipped(reason, install_todo("all")) from None


def compared(distribution: metadata.Distribution) -> Iterator[Finding]:
    """Yield the findings about the requirements of our distribution."""
    required = _requirements(distribution)
    yield _python(required.python)
    own = {extra: _own(required.extras, extra) for extra in required.extras}
    for extra, requirements in required.extras.items():
        yield _extra(extra, requirements, own[extra])
    yield from _namesakes()
    yield _extensions()
    yield _librdkafka()


def _requirements(distribution: metadata.Distribution) -> Requirements:
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        msg = "The package 'packaging', needed to compare versions, is not installed."
        raise Skipped(msg, install_todo("query")) from None
    extras: dict[str, list[Requirement]] = defaultdict(list)
    names = distribution.metadata.get_all("Provides-Extra") or []
    for text in distribution.requires or []:
        requirement = Requirement(text)
        for extra in (BASE, *names):
            if extra in IGNORED_EXTRAS:
                continue
            if _belongs_to(requirement, extra):
                extras[extra].append(requirement)
    python = distribution.metadata.get_all("Requires-Python") or [""]
    return Requirements(python[0], extras)


def _belongs_to(requirement: "Requirement", extra: str) -> bool:
    """Return True if an extra adds a requirement that the base does not have."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return extra == BASE
    return extra != BASE and marker.evaluate({"extra": extra})


def _python(specifier: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    found = f"Python {version} ({specifier or 'any version'} required)"
    if SpecifierSet(specifier).contains(version, prereleases=True):
        return ok(CHECK, found)
    return fail(CHECK, found, f"Create a virtual environment with Python {specifier}.")


def _own(extras: Mapping[str, Sequence["Requirement"]], extra: str) -> set[str]:
    """Return the packages of only this extra, which show if it was installed."""
    others = {r.name for e, rs in extras.items() if e != extra for r in rs}
    return {r.name for r in extras[extra]} - others


def _extra(extra: str, requirements: Sequence["Requirement"], own: set[str]) -> Finding:
    missing, wrong, matching = [], [], []
    for requirement in requirements:
        name = requirement.name
        version = _version(name)
        if version is None:
            missing.append(name)
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{name} {version} ({requirement.specifier} required)")
        else:
            matching.append(name)
    name = "" if extra == BASE else extra
    target = f"{DISTRIBUTION}[{name}]" if name else DISTRIBUTION
    todo = install_todo(name)
    if extra != BASE and not wrong and missing and own.isdisjoint(matching):
        todo = install_todo(name, "To use it, run")
        return skip(CHECK, f"{target} is not installed", todo)
    if wrong or missing:
        parts = [f"{name} (not installed)" for name in missing]
        return fail(CHECK, f"{target}: {format_list(wrong + parts)}", todo)
    pins = [
        f"{r.name} {_version(r.name)}"
        for r in requirements
        if any(s.operator == "==" for s in r.specifier)
    ]
    exact = f", pinned: {', '.join(pins)}" if pins else ""
    packages = format_count(len(matching), "package")
    return ok(CHECK, f"{target}: {packages} with compatible versions{exact}")


def _namesakes() -> Iterator[Finding]:
    """Report another author's package whose files lie between ours."""
    if (version := _version(NAMESAKE)) is not None:
        found = f"{NAMESAKE} {version} is another author's package; it overwrites files"
        found += f" of {DISTRIBUTION}"
        again = install_todo("all", "then run")
        yield fail(CHECK, found, f"Run: pip uninstall {NAMESAKE}; {again}")


def _extensions() -> Finding:
    library, prefix = EXTENSIONS
    version = _version(library)
    if version is None:
        todo = install_todo("query", "To use it, run")
        return skip(CHECK, "DuckDB is not installed", todo)
    others = [
        f"{name} {distribution.version}"
        for distribution in metadata.distributions()
        if (name := distribution.name or "").startswith(prefix)
        and distribution.version != version
    ]
    if not others:
        return ok(CHECK, f"DuckDB {version}, extensions of the same version")
    found = f"DuckDB {version} cannot load {format_list(others)}"
    return fail(CHECK, found, install_todo("query"))


def _librdkafka() -> Finding:
    import confluent_kafka

    library, _ = confluent_kafka.libversion()
    client = confluent_kafka.version()
    version = client if isinstance(client, str) else client[0]
    return ok(CHECK, f"confluent-kafka {version} with librdkafka {library}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
