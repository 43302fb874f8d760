"""IP addresses, but not loopback, unspecified ones, netmasks and versions."""

import ipaddress
import re

from semloop.redaction.finding import Finder, Found, pattern_finder

# A version or a number of a section: `Chrome/131.0.6778.86`, `section 1.2.3.4`.
VERSION_BEFORE = re.compile(
    rb"(?i)(?:\b(?:version|ver|v|firmware|build|release|section|chapter|rev|revision|clause"
    rb"|kernel|driver|schema|oid|api|software|rfc|item|step|paragraph|annex|appendix|figure"
    rb"|table|update|patch|upgrade)[\"']?[ :=#\"'v]{0,4}|[A-Za-z]/|==|[<>~^]=?|[A-Za-z]-)$"
)

CONTINUES = re.compile(rb"[.\-+][0-9A-Za-z]")


def _kept(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return (
        address.is_loopback
        or address.is_unspecified
        or str(address).startswith(("255.", "0."))
    )


def finders(keep_private: bool = False) -> tuple[Finder, ...]:
    """Return the finders of IP addresses.

    Args:
        keep_private: keep addresses of private networks and of documentation too.
    """

    def accept(
        address: ipaddress.IPv4Address | ipaddress.IPv6Address, size: int
    ) -> Found | None:
        if _kept(address) or (keep_private and address.is_private):
            return None
        return Found(str(address).encode(), size)

    def ipv4(text: bytes, start: int, end: int) -> Found | None:
        if VERSION_BEFORE.search(text[max(0, start - 24) : start]):
            return None
        # `3.1.1.6` is rather a version, `2.5.29.31` an object identifier.
        octets = text[start:end].split(b".")
        long = sum(len(octet) > 1 for octet in octets)
        if octets[0] in (b"0", b"1", b"2") and int(octets[1]) < 40:
            return None
        if long < 2 and octets[0] != b"10" and max(map(len, octets)) < 3:
            return None
        try:
            return accept(ipaddress.IPv4Address(text[start:end].decode()), end - start)
        except ValueError:
            return None

    def ipv6(text: bytes, start: int, end: int) -> Found | None:
        found = text[start:end]
        if not found.endswith(b"::"):
            found = found.rstrip(b":")
        groups = [group for group in found.split(b":") if group]
        # `x[::2]`, `a::b` and `dead::beef` are code.
        if not re.search(rb"[0-9]", found) or len(groups) < 2:
            return None
        if (
            len(groups) == 2
            and (
                len(groups[0]) < 3
                or not found.startswith((b"fe80", b"2", b"fd", b"fc"))
            )
            and b"." not in found
        ):
            return None
        try:
            return accept(ipaddress.IPv6Address(found.decode()), len(found))
        except ValueError:
            return None

    def written(text: bytes, start: int, end: int) -> Found | None:
        found = text[start:end].replace(b"[.]", b".")
        try:
            return accept(ipaddress.IPv4Address(found.decode()), end - start)
        except ValueError:
            return None

    return (
        # So that it is no link: `192[.]0[.]2[.]1`.
        pattern_finder(
            "ip", r"[0-9]\[\.\][0-9]", r"([0-9]{1,3}(?:\[\.\][0-9]{1,3}){3})", written
        ),
        pattern_finder(
            "ip",
            r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
            r"(?:^|[^0-9A-Za-z.]|[^0-9A-Za-z.][A-Za-z]|[A-Za-z]{2})([0-9]{1,3}(?:\.[0-9]{1,3}){3,})",
            lambda text, start, end: (
                None if _longer(text, end) else ipv4(text, start, end)
            ),
        ),
        pattern_finder(
            "ip",
            r"::[0-9A-Fa-f]|[0-9A-Fa-f]::|:(?:[0-9A-Fa-f]{1,4}:){3}",
            r"(?:^|[^0-9A-Za-z_:.])"
            r"([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,8}(?:\.[0-9]{1,3}){0,3})"
            r"(?:[^0-9A-Za-z_]|$)",
            ipv6,
        ),
    )


def _longer(text: bytes, end: int) -> bool:
    """Return whether a version or a name continues after the number."""
    return text[end : end + 1].isalnum() or bool(CONTINUES.match(text, end))
