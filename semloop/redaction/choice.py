"""What the settings choose beyond the built-in rules."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from semloop.redaction.key_names import Level


@dataclass(frozen=True)
class Choice:
    """How much is redacted.

    Attributes:
        level: `keys` leaves out what identifies people, `strict` adds their names and
            addresses under names that say so, and random strings without a name.
        allow: texts that stay, as a shell pattern: `support@example.com`, `*@example.com`.
        countries: ISO 3166 codes; phone numbers in the national form of these are
            redacted without a word such as `phone` before them.
        private_ips: redact addresses of private networks and of documentation too.
    """

    level: Level = "standard"
    allow: Sequence[str] = ()
    countries: Sequence[str] = ()
    private_ips: bool = True

    def allows(self, text: str) -> bool:
        """Return whether a private text is one that stays."""
        return bool(self.allow) and bool(self._allowed.fullmatch(text.strip()))

    @cached_property
    def _allowed(self) -> re.Pattern[str]:
        patterns = "|".join(fnmatch.translate(pattern) for pattern in self.allow)
        return re.compile(patterns, re.IGNORECASE)


STANDARD = Choice()
