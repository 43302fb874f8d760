"""The overlays of `deploy/k8s`."""

import kubernetes_validate
import pytest

from flows.probes import LIVE, READY
from semloop.flow_registry import SCHEDULED, STREAMING
from tests.deploy.program import accept, member_of, parse
from tests.deploy.rendered import K8S, OVERLAYS, environment, of_kind, pods, render

# The oldest version that sets the label with the number of a pod.
VERSION = "1.28"

pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)


def test_every_object_is_what_kubernetes_accepts(overlay: str) -> None:
    for found in render(overlay):
        kubernetes_validate.validate(found, VERSION, strict=True)


def test_every_flow_has_its_files(overlay: str) -> None:
    expected = {
        "StatefulSet": set(STREAMING),
        "Service": set(STREAMING),
        "PodDisruptionBudget": set(STREAMING),
        "CronJob": set(SCHEDULED),
    }
    for kind, flows in expected.items():
        found = {name.removeprefix("semloop-") for name in of_kind(overlay, kind)}
        todo = f"{kind}: add or remove {K8S}/flows/NAME, and name it in base"
        assert found == flows, todo


def test_the_program_accepts_every_command_and_setting(overlay: str) -> None:
    for name, pod in pods(overlay):
        (container,) = pod["containers"]
        assert f"semloop-{parse(container['args'])}" == name
        settings = accept(environment(overlay, pod))
        assert settings.on_s3
        assert settings.redaction.key
        assert settings.kafka


def test_probes_ask_the_port_that_serves_metrics(overlay: str) -> None:
    for name, found in of_kind(overlay, "StatefulSet").items():
        pod = found["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        settings = accept(environment(overlay, pod))
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        probes = [
            container[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness")
        ]
        assert [probe["path"] for probe in probes] == [READY, LIVE], name
        for probe in probes:
            assert ports[probe["port"]] == settings.metrics.port, name
        # Kubelet comes from outside of the pod.
        assert settings.metrics.host == "0.0.0.0", name


def test_members_of_a_flow_know_each_other(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, found in of_kind(overlay, "StatefulSet").items():
        spec = found["spec"]
        service = of_kind(overlay, "Service")[spec["serviceName"]]
        environ = environment(overlay, spec["template"]["spec"])
        ports = [port["port"] for port in service["spec"]["ports"]]
        expected = [
            f"{name}-{number}.{spec['serviceName']}:9999"
            for number in range(spec["replicas"])
        ]
        assert member_of(environ, monkeypatch) == (0, expected)
        assert 9999 in ports
        # A member is ready only after it has found the others.
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert spec["updateStrategy"] == {"type": "OnDelete"}


def test_selectors_select_the_pods_of_their_own_flow_only(overlay: str) -> None:
    for name, found in of_kind(overlay, "StatefulSet").items():
        labels = found["spec"]["template"]["metadata"]["labels"]
        selector = found["spec"]["selector"]["matchLabels"]
        service = of_kind(overlay, "Service")[name]["spec"]
        budget = of_kind(overlay, "PodDisruptionBudget")[name]["spec"]
        policy = of_kind(overlay, "NetworkPolicy")[name]["spec"]
        assert selector.items() <= labels.items()
        assert selector["app.kubernetes.io/component"] == name.removeprefix("semloop-")
        assert service["selector"] == budget["selector"]["matchLabels"] == selector
        assert policy["podSelector"]["matchLabels"] == selector
        assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == selector
    common = of_kind(overlay, "NetworkPolicy")["semloop"]["spec"]["podSelector"]
    for found in of_kind(overlay, "StatefulSet", "CronJob").values():
        template = (
            found["spec"].get("template")
            or (found["spec"]["jobTemplate"]["spec"]["template"])
        )
        assert common["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_a_run_that_failed_waits_for_its_next_time(overlay: str) -> None:
    for name, found in of_kind(overlay, "CronJob").items():
        job = found["spec"]["jobTemplate"]["spec"]
        assert len(found["spec"]["schedule"].split()) == 5, name
        assert found["spec"]["concurrencyPolicy"] == "Forbid", name
        assert job["backoffLimit"] == 0, name
        assert job["template"]["spec"]["restartPolicy"] == "Never", name


def test_no_pod_has_more_rights_than_it_needs(overlay: str) -> None:
    for name, pod in pods(overlay):
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert context["readOnlyRootFilesystem"], name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert not context["allowPrivilegeEscalation"], name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] in of_kind(overlay, "ServiceAccount"), name
        resources = container["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}, name
        # Without a limit for the CPU: a flow that catches up may use what is idle.
        assert set(resources["limits"]) == {"memory"}, name
        # What flows write outside of the lake goes to the temporary folder.
        (tmp,) = [v for v in pod["volumes"] if v["name"] == "tmp"]
        assert tmp["emptyDir"]["sizeLimit"], name
        assert environment(overlay, pod)["HOME"] == "/tmp", name


def test_files_that_settings_name_are_mounted(overlay: str) -> None:
    for name, pod in pods(overlay):
        (container,) = pod["containers"]
        folders = [mount["mountPath"] for mount in container["volumeMounts"]]
        environ = environment(overlay, pod)
        command = parse(container["args"])
        if command not in STREAMING:
            continue  # maintenance has no use for the broker's certificates
        for value in environ.values():
            if value.startswith("/etc/"):
                assert any(value.startswith(f"{folder}/") for folder in folders), name
