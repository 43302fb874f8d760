"""The table of vendors' key formats, and what looks like them."""

import re

import pytest

from semloop.redaction.redactor import Redactor
from semloop.redaction.vendor_keys import VENDOR_KEYS, fits
from semloop.redaction.vendors import KEY_FORMATS, KeyFormat
from semloop.settings import Secret

REDACTOR = Redactor(Secret("a key for tests only, 32 letters"))
LOOK_ALIKES = (
    "task-queue-worker-processor-1", "ask-questions-about-the-data-1", "pk_live_ is a prefix",
    "ghp_ tokens are classic", "sk-learn-compatible-estimators", "sk-loading-spinner-container-wrapper",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "8712b8bc-076f-4787-b9d1-79e06c0fd4f5", "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "whsec_", "npm_config_registry_default_value_of_the_user_agent", "hf_transfer_enabled_by_default_in_this",
    "key-value-store-with-a-very-long-name", "secret_manager_service_account_of_project_one",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "pypi-publish-workflow-of-this-repository-and-of-all-others", "rnd_seed_for_the_random_generator",
)  # fmt: skip


def test_the_table_has_keys_of_many_vendors_each_once() -> None:
    assert len({form.vendor for form in KEY_FORMATS}) >= 60
    names = [(form.vendor, form.name) for form in KEY_FORMATS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "form", KEY_FORMATS, ids=lambda form: f"{form.vendor} {form.name}"
)
def test_an_example_has_the_form_that_it_documents(form: KeyFormat) -> None:
    assert re.fullmatch(form.pattern, form.example)
    assert any(prefix in form.example for prefix in form.prefix.split("|"))
    assert fits(form, form.example.encode())
    assert form.documented.startswith("https://")
    (span,) = VENDOR_KEYS.find(f"key={form.example}, next".encode())
    assert (span.start, span.end) == (4, 4 + len(form.example))


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_looks_like_a_key_is_not_changed(text: str) -> None:
    assert REDACTOR.text(f"see {text} there") == f"see {text} there"
