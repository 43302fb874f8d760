"""Packages that would report their use to their makers, imported with that off.

onnxruntime 1.31 sends usage records to mobile.events.data.microsoft.com unless this is
switched off before it is imported; it keeps a device id and a database in the home
folder. huggingface_hub sends the name and version of its callers.
"""

import importlib
import os
from typing import Any

# Package -> the variables that switch its reports off.
# https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
# https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
SWITCHES = {
    "onnxruntime": {"ORT_DISABLE_TELEMETRY": "1"},
    "sentence_transformers": {"HF_HUB_DISABLE_TELEMETRY": "1"},
}


def import_without_reports(package: str) -> Any:
    """Import a package of `SWITCHES`; it reports nothing, in any environment.

    A host program that has imported the package before keeps its own choice.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    os.environ.update(SWITCHES[package])
    return importlib.import_module(package)
