"""Replaces LanceDB's REST catalog client, which no command uses, by empty modules.

Loading its thousand models takes 0.8 of the 1.2 seconds that a command needs to start.
Every attribute of the empty modules is an empty class. Only processes of the `semloop`
command are affected; programs that import `semloop` get the real client.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

REST_CLIENT = "lance_namespace_urllib3_client"


class _Empty(MetaPathFinder, Loader):
    """Finds the client's modules and creates them without running their files."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != REST_CLIENT:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _class_of  # type: ignore[method-assign]


def _class_of(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def skip_rest_client() -> None:
    """Replace the client by empty modules in this process."""
    sys.meta_path.insert(0, _Empty())
