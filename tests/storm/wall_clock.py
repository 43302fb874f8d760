"""A wall clock that a test sets, for processes that it starts."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LAYOUT = "=q"


class WallClock:
    """The wall clock of all processes that are started with `environ`."""

    def __init__(self, folder: Path, compiler: str) -> None:
        self._file = folder / "wall-clock"
        self._library = folder / "wall-clock.so"
        flags = ["-shared", "-fPIC", "-O2"]
        command = [compiler, *flags, str(SOURCE), "-o", str(self._library), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        self.offset_s = 0
        self.add(0)

    @classmethod
    def in_folder(cls, folder: Path) -> "WallClock | None":
        """Return a clock that is right at first; None without a C compiler."""
        compiler = shutil.which("cc")
        return cls(folder, compiler) if compiler else None

    @property
    def environ(self) -> dict[str, str]:
        """Variables for the processes."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_FILE": str(self._file)}

    def add(self, seconds: int) -> None:
        """Set the clock forward, or back, for all processes at the same time."""
        self.offset_s += seconds
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack(LAYOUT, self.offset_s))
