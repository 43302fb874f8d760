"""Whether a lake, or a file of it, is there: damage, or an outage of the storage?"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from semloop.storage.error_texts import is_absent
from semloop.tables import LAYOUT_FILE

if TYPE_CHECKING:
    from semloop.storage.objects import Objects


class Presence(ABC):
    """Part of `Storage`, which has the attributes."""

    root: str

    @property
    @abstractmethod
    def on_s3(self) -> bool:
        """True if the lake is in an object store."""

    @property
    @abstractmethod
    def objects(self) -> "Objects":
        """Operations on the objects of a lake on S3."""

    def is_there(self) -> bool:
        """Return True if the storage has the lake, one that a writer has bound.

        Raises:
            OSError: it cannot say.
        """
        return not self.lacks(LAYOUT_FILE)

    def lacks(self, name: str) -> bool:
        """Return True if the storage says that it does not have a file.

        Raises:
            OSError: it says something else, for example that there is no bucket.
        """
        try:
            if self.on_s3:
                # Replies to HEAD do not say what is missing.
                self.objects.read_range(name, 0, 1)
            else:
                Path(self.root, name).stat()
        except FileNotFoundError as error:
            if self.on_s3 and not is_absent(error):
                raise
            return True
        return False
