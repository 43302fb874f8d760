"""The objects of an overlay of `deploy/k8s`, as `kubectl kustomize` renders them."""

import functools
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

OVERLAYS = ("dev", "prod")
K8S = ROOT / "deploy/k8s"
Object = Mapping[str, Any]
# What operators put into Secrets that no overlay contains.
SECRETS = {
    "SEMLOOP_KAFKA_USER": "semloop",
    "SEMLOOP_KAFKA_PASSWORD": "password",
    "SEMLOOP_REDACTION_KEY": "0" * 64,
}


@functools.cache
def render(overlay: str) -> tuple[Object, ...]:
    """Return the objects of an overlay; skips the test if no program renders it."""
    if kubectl := shutil.which("kubectl"):
        command = [kubectl, "kustomize"]
    elif kustomize := shutil.which("kustomize"):
        command = [kustomize, "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    done = subprocess.run(
        [*command, K8S / "overlays" / overlay], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """Return the objects of these kinds, by name."""
    found = [o for o in render(overlay) if o["kind"] in kinds]
    return {o["metadata"]["name"]: o for o in found}


def pods(overlay: str) -> Iterator[tuple[str, Object]]:
    """Yield the name of every flow's object, and the specification of its pods."""
    for name, found in of_kind(overlay, "StatefulSet").items():
        yield name, found["spec"]["template"]["spec"]
    for name, found in of_kind(overlay, "CronJob").items():
        yield name, found["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def environment(overlay: str, pod: Object) -> dict[str, str]:
    """Return the environment of the flow of a pod, as Kubernetes would make it."""
    (container,) = pod["containers"]
    environ: dict[str, str] = {}
    for source in container["envFrom"]:
        (kind,) = source
        name = source[kind]["name"]
        if kind == "configMapRef":
            environ |= of_kind(overlay, "ConfigMap")[name]["data"]
        elif name in (secrets := of_kind(overlay, "Secret")):
            # Kubernetes decodes the values; only their names matter here.
            environ |= dict.fromkeys(secrets[name]["data"], "x")
        else:
            environ |= SECRETS
    for variable in container.get("env", ()):
        environ[variable["name"]] = variable.get("value", "0")
    return environ
