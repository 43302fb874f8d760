"""What was changed in a value so that it became an event: `payload.semloop_notes`."""

# More notes are only counted.
NOTES_MAX = 20
PATH_CHARS_MAX = 200
FIELD = "semloop_notes"


class Place:
    """Where a value is: a key, and the place of its container."""

    __slots__ = ("container", "key", "parent")

    def __init__(self, key: object, parent: "Place | None" = None) -> None:
        self.key = key
        self.parent = parent
        self.container: object = None
        """The container at this place, if it is one."""

    def __str__(self) -> str:
        keys, place = [], self
        while True:
            keys.append(str(place.key))
            if place.parent is None:
                return ".".join(key for key in reversed(keys) if key)
            place = place.parent

    def is_in(self, container: object) -> bool:
        """Return True if this place is, or is in, a container."""
        place: Place | None = self
        while place is not None:
            if place.container is container:
                return True
            place = place.parent
        return False


class Notes:
    """The notes of one event, as text: `result.rows.3: NaN became null`."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._count = 0
        self._shortened: set[str] = set()

    def shortened(self, place: Place, chars: int) -> None:
        """Note the original length of a text that was shortened, once."""
        if len(self._texts) < NOTES_MAX:
            path = str(place).removeprefix("payload.")
            if path in self._shortened:
                return
            self._shortened.add(path)
        self.add(place, f"shortened from {chars:,} characters")

    def add(self, place: Place | str, text: str) -> None:
        """Note what happened at a place."""
        self._count += 1
        if len(self._texts) < NOTES_MAX:
            path = str(place).removeprefix("payload.")
            if len(path) > PATH_CHARS_MAX:
                path = path[:PATH_CHARS_MAX] + "…"
            self._texts.append(f"{path}: {text}")

    def texts(self) -> list[str]:
        """Return the notes, with the number of those that are not listed."""
        more = self._count - len(self._texts)
        return [*self._texts, f"and {more:,} more"] if more else list(self._texts)
