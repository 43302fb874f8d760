"""What LanceDB imports and no command needs: a client of REST catalogs.

Its thousand models take longer to load than all else that a command loads together
(0.8 of 1.2 seconds). In the processes of our own command, and only there, its modules
are empty: their names are classes without content. Programs that import `semloop` get
the real ones.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

UNUSED = "lance_namespace_urllib3_client"


class _Empty(MetaPathFinder, Loader):
    """Finds the unused modules, and makes them without running their files."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != UNUSED:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _class_of  # type: ignore[method-assign]


def _class_of(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def leave_out() -> None:
    """Load nothing of it in this process."""
    sys.meta_path.insert(0, _Empty())
