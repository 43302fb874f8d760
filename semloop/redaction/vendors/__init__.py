"""Formats of vendors' keys, as data: one table per kind of vendor.

A key is recognized by its own form, in any text. Keys without a form of their
own, such as plain hex digits, are recognized by the names in front of them (`cues.py`).
"""

from semloop.redaction.vendors.ai import AI
from semloop.redaction.vendors.cloud import CLOUD
from semloop.redaction.vendors.code import CODE
from semloop.redaction.vendors.key_format import KeyFormat
from semloop.redaction.vendors.messaging import MESSAGING
from semloop.redaction.vendors.money import MONEY
from semloop.redaction.vendors.services import SERVICES

KEY_FORMATS: tuple[KeyFormat, ...] = (*CLOUD, *CODE, *AI, *MONEY, *MESSAGING, *SERVICES)

__all__ = ["KEY_FORMATS", "KeyFormat"]
