"""Phone numbers in the national form of chosen countries."""

from collections.abc import Iterator, Sequence

from semloop.errors import ConfigError
from semloop.redaction.finding import Finder, Span

# Digits in groups; `phonenumbers` judges them.
GATE = r"(?:^|[^0-9A-Za-z])[(]?[0-9](?:[ ().\-/]{0,2}[0-9]){6,13}(?:[^0-9A-Za-z]|$)"


def national_phones(countries: Sequence[str]) -> list[Finder]:
    """Return a finder for each country.

    Raises:
        ConfigError: a code that is not the one of a country.
    """
    if not countries:
        return []
    # About 100 ms, so only where it is used.
    from phonenumbers import SUPPORTED_REGIONS

    for country in countries:
        if country not in SUPPORTED_REGIONS:
            msg = f"redact_countries: {country!r} is not the code of a country."
            raise ConfigError(
                msg, "Use codes of two capital letters, such as DE or FR."
            )
    return [_finder(country) for country in countries]


def _finder(country: str) -> Finder:
    from phonenumbers import Leniency, PhoneNumberMatcher

    def find(text: bytes) -> Iterator[Span]:
        numbers = PhoneNumberMatcher(
            text.decode("latin-1"), country, leniency=Leniency.VALID
        )
        for match in numbers:
            digits = "".join(filter(str.isdigit, match.raw_string))
            yield Span(match.start, match.end, "phone", digits.encode())

    return Finder(GATE, find, f"phone number in {country}")
