"""Redaction key check: whether it is the one that the lake is bound to."""

from collections.abc import Iterator

from semloop.command.doctor import Finding, fail, ok, warn
from semloop.command.doctor.context import CheckContext
from semloop.storage.redaction_key import (
    key_problem,
    lookup_keys,
    no_key_on_s3,
    read_binding,
    writer_keys,
)

CHECK = "redaction key"


def check(context: CheckContext) -> Iterator[Finding]:
    """Compare the fingerprint of the key; readers need no key."""
    settings, storage = context.require_settings(), context.require_storage()
    binding, keys = read_binding(storage), writer_keys(settings, storage)
    if binding is None:
        if storage.on_s3 and not keys:
            error = no_key_on_s3()
            yield warn(CHECK, error.what, error.todo)
        else:
            yield ok(CHECK, "not bound yet; `archive` binds the lake when it starts")
        return
    problem = key_problem(settings, storage)
    if problem is None:
        known = len(lookup_keys(settings, storage)) - 1
        earlier = f", earlier keys here: {known} of {len(binding.previous)}"
        yield ok(CHECK, f"the lake's{earlier if binding.previous else ''}")
    elif keys:
        yield fail(CHECK, problem.what, problem.todo)
    else:
        found = "the lake has one that is missing here; readers do not need it"
        yield warn(CHECK, found, f"To run `archive` here: {problem.todo}")
