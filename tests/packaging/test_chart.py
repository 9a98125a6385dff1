"""The Helm chart. `make chart-test` adds what most of it needs: Helm, and Kubernetes' schemas."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import keystead

CHART = Path(__file__).parents[2] / "charts/keystead"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keystead"
HELM = next(iter(sorted(CACHE.glob("helm-*/helm"), reverse=True)), None)
KUBERNETES = "1.34"
ON_OPENSHIFT = ("--set=user=null", "--set=group=null")
WITH_ALL = (
    *("--set=storage.storageClassName=fast", "--set=imagePullSecrets={one}", "--set=edges=3"),
    *("--set=nodeSelector.disk=local", "--set=podAnnotations.a=b", "--set=service.annotations.c=d"),
    *("--set-json=tolerations=[{}]", '--set-json=affinity={"nodeAffinity":{}}'),
    "--set=config=edges = 1",
)

needs_helm = pytest.mark.skipif(HELM is None, reason="no Helm: make chart-test builds it")


def helm(command: str, *options: str) -> subprocess.CompletedProcess[str]:
    # If it is not told another, Helm made by `go install` takes version 1.20 of Kubernetes.
    asked = [HELM, command, *options, "--kube-version", f"{KUBERNETES}.0"]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


def rendered(*options: str) -> dict:
    """Return what the chart makes with these options, by kind."""
    ended = helm("template", "hsm", str(CHART), *options)
    assert ended.returncode == 0, ended.stderr
    return {made["kind"]: made for made in yaml.safe_load_all(ended.stdout)}


def names(values) -> set:
    nested = values.values() if isinstance(values, dict) else ()
    return set(values if isinstance(values, dict) else ()).union(*map(names, nested))


def test_it_is_of_this_version():
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == keystead.__version__


def test_it_asks_for_no_secret_and_makes_none():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    secret = re.compile(r"secret|pass(word|phrase)|credential|token|key$", re.IGNORECASE)
    assert {name for name in names(values) if secret.search(name)} == {"imagePullSecrets"}
    for template in CHART.glob("templates/*"):
        assert "kind: Secret" not in template.read_text()


def test_the_schema_knows_each_value_and_no_other():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, inner in schema["properties"].items():
        if "properties" in inner:
            assert set(inner["properties"]) == set(values[name])


@needs_helm
def test_helm_finds_nothing_wrong():
    ended = helm("lint", "--strict", str(CHART))
    assert ended.returncode == 0, ended.stdout


@needs_helm
@pytest.mark.parametrize("options", [(), ON_OPENSHIFT, WITH_ALL])
def test_what_it_makes_fits_the_schemas_of_kubernetes(options):
    schemas = pytest.importorskip("kubernetes_validate", reason="make chart-test adds it")
    made = rendered(*options)
    assert set(made) == {"ConfigMap", "Service", "StatefulSet"}
    for resource in made.values():
        schemas.validate(resource, KUBERNETES, strict=True)


@needs_helm
@pytest.mark.parametrize("options", [(), ON_OPENSHIFT, WITH_ALL])
def test_the_pod_has_no_more_rights_than_it_needs(options):
    stateful_set = rendered(*options)["StatefulSet"]["spec"]
    pod = stateful_set["template"]["spec"]
    (container,) = pod["containers"]
    assert stateful_set["replicas"] == 1
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert ("runAsUser" in pod["securityContext"]) is (options != ON_OPENSHIFT)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == [{"name": "data", "mountPath": "/data"}]


@needs_helm
def test_its_probes_leave_a_locked_hsm_within_reach():
    (container,) = rendered()["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert "livenessProbe" not in container
    for probe in ("startupProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert (asked["scheme"], asked["path"]) == ("HTTPS", "/api/v1/health/state")


@needs_helm
def test_the_server_understands_the_command_line_and_the_configuration():
    made = rendered(*WITH_ALL)
    (container,) = made["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    assert "--edges=3" in container["args"]
    command = [sys.executable, "-m", "keystead", *container["args"], "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert made["ConfigMap"]["data"] == {"keystead.toml": "edges = 1"}


@needs_helm
@pytest.mark.parametrize(
    "wrong", ["replicas=2", "user=0", "storage.accessMode=ReadWriteMany", "passphrase=x"]
)
def test_a_value_that_it_does_not_know_or_that_would_do_harm_is_refused(wrong):
    ended = helm("template", "hsm", str(CHART), f"--set={wrong}")
    assert ended.returncode != 0
    assert "specifications of the schema" in ended.stderr
