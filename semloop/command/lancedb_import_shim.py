"""Replaces by empty modules what LanceDB imports and no command uses.

Loading the thousand models of its REST catalog client takes 0.8 of the 1.2 seconds that
a command needs to start; its checks of methods that override others, which read their
bytecode, take 0.1. Every attribute of the empty modules is an empty class, or for the
checks a decorator that does nothing. Only processes of the `semloop` command are
affected; programs that import `semloop` get the real modules.
"""

import sys
from abc import ABC
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TypeVar

REST_CLIENT = "lance_namespace_urllib3_client"
CHECKS = "overrides"
# Classes of LanceDB's own embedders, and of functions that it runs on a server.
EMBEDDERS = (
    "bedrock", "cohere", "gemini_text", "instructor", "ollama", "open_clip", "openai",
    "sentence_transformers", "gte", "transformers", "imagebind", "jinaai", "watsonx",
    "voyageai", "colpali", "siglip",
)  # fmt: skip
UNUSED = {"lancedb.functions", *(f"lancedb.embeddings.{name}" for name in EMBEDDERS)}
Method = TypeVar("Method", bound=Callable[..., object])


class _Empty(MetaPathFinder, Loader):
    """Finds these modules and creates them without running their files."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        is_part = fullname.partition(".")[0] in {REST_CLIENT, CHECKS}
        if not is_part and fullname not in UNUSED:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == CHECKS:
            names = dict.fromkeys(("override", "overrides", "final"), _unchanged)
            vars(module).update(names, EnforceOverrides=ABC)
        else:
            module.__getattr__ = _class_of  # type: ignore[method-assign]


def _class_of(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def _unchanged(method: Method | None = None, **_checks: bool) -> object:
    """Decorate with `@override`, or with `@override(check_signature=False)`."""
    return _unchanged if method is None else method


def import_less_of_lancedb() -> None:
    """Replace these modules by empty ones in this process."""
    sys.meta_path.insert(0, _Empty())
