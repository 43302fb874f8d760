"""Packages: are the versions installed that this version of SemLoop asks for?

What it asks for stands in its own metadata; nothing of it is repeated here.
"""

import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from semloop.command.doctor import Finding, Skipped, fail, ok, skip
from semloop.command.doctor.context import Known
from semloop.command.terminal.figures import format_count, format_list

if TYPE_CHECKING:
    from packaging.requirements import Requirement

CHECK = "packages"
OURS = "semloop"
BASE = "base"
# Not for those who use it; and the sum of others.
NOT_TOLD = {"test", "all"}
# DuckDB loads only extensions that were built for exactly its own version.
EXTENSIONS = ("duckdb", "duckdb-extension-")


@dataclass(frozen=True)
class Wanted:
    """What the metadata of a distribution ask for."""

    python: str
    extras: Mapping[str, Sequence["Requirement"]]


def check(known: Known) -> Iterator[Finding]:
    """Compare what is installed with what is asked for, extra by extra."""
    try:
        yield from compared(metadata.distribution(OURS))
    except metadata.PackageNotFoundError:
        reason = "semloop runs from a folder, without metadata."
        raise Skipped(reason, "Run: pip install 'semloop[all]'") from None


def compared(distribution: metadata.Distribution) -> Iterator[Finding]:
    """The findings about what a distribution of ours asks for."""
    wanted = _wanted(distribution)
    yield _python(wanted.python)
    own = {extra: _own(wanted.extras, extra) for extra in wanted.extras}
    for extra, requirements in wanted.extras.items():
        yield _extra(extra, requirements, own[extra])
    yield _extensions()
    yield _librdkafka()


def _wanted(distribution: metadata.Distribution) -> Wanted:
    try:
        from packaging.requirements import Requirement
    except ModuleNotFoundError:
        msg = "The package 'packaging', which compares versions, is not installed."
        raise Skipped(msg, "Run: pip install 'semloop[query]'") from None
    extras: dict[str, list[Requirement]] = defaultdict(list)
    names = distribution.metadata.get_all("Provides-Extra") or []
    for text in distribution.requires or []:
        requirement = Requirement(text)
        for extra in (BASE, *names):
            if extra in NOT_TOLD:
                continue
            if _asks(requirement, extra):
                extras[extra].append(requirement)
    python = distribution.metadata.get_all("Requires-Python") or [""]
    return Wanted(python[0], extras)


def _asks(requirement: "Requirement", extra: str) -> bool:
    """Whether an extra asks for a package that the base does not ask for by itself."""
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return extra == BASE
    return extra != BASE and marker.evaluate({"extra": extra})


def _python(wanted: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    found = f"Python {version}, {wanted or 'any'} is asked for"
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return ok(CHECK, found)
    return fail(CHECK, found, "Make a virtual environment with another Python.")


def _own(extras: Mapping[str, Sequence["Requirement"]], extra: str) -> set[str]:
    """Packages that only this extra asks for: they tell whether it was installed."""
    others = {r.name for e, rs in extras.items() if e != extra for r in rs}
    return {r.name for r in extras[extra]} - others


def _extra(extra: str, requirements: Sequence["Requirement"], own: set[str]) -> Finding:
    missing, wrong, fine = [], [], []
    for requirement in requirements:
        name = requirement.name
        version = _version(name)
        if version is None:
            missing.append(name)
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{name} {version} ({requirement.specifier} is asked for)")
        else:
            fine.append(name)
    target = OURS if extra == BASE else f"{OURS}[{extra}]"
    todo = f"Run: pip install '{target}'"
    if extra != BASE and not wrong and missing and own.isdisjoint(fine):
        return skip(CHECK, f"{target} is not installed", f"If you need it: {todo[5:]}")
    if wrong or missing:
        parts = [f"{name} (not installed)" for name in missing]
        return fail(CHECK, f"{target}: {format_list(wrong + parts)}", todo)
    pins = [
        f"{r.name} {_version(r.name)}"
        for r in requirements
        if any(s.operator == "==" for s in r.specifier)
    ]
    exact = f", pinned: {', '.join(pins)}" if pins else ""
    return ok(
        CHECK, f"{target}: {format_count(len(fine), 'package')} as asked for{exact}"
    )


def _extensions() -> Finding:
    library, prefix = EXTENSIONS
    version = _version(library)
    if version is None:
        return skip(CHECK, "DuckDB is not installed", "pip install 'semloop[query]'")
    others = [
        f"{name} {distribution.version}"
        for distribution in metadata.distributions()
        if (name := distribution.name or "").startswith(prefix)
        and distribution.version != version
    ]
    if not others:
        return ok(CHECK, f"DuckDB {version}, its extensions are of the same version")
    found = f"DuckDB {version} cannot load {format_list(others)}"
    return fail(CHECK, found, "Run: pip install 'semloop[query]'")


def _librdkafka() -> Finding:
    import confluent_kafka

    library, _ = confluent_kafka.libversion()
    client = confluent_kafka.version()
    told = client if isinstance(client, str) else client[0]
    return ok(CHECK, f"confluent-kafka {told} with librdkafka {library}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
