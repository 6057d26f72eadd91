"""The plan's manifest against the schemas that Kubernetes itself publishes."""

import copy
import gzip
import json
from pathlib import Path

import jsonschema
import pytest

from tonnage.engines.vllm.kubernetes import manifest

SCHEMAS = json.loads(gzip.decompress((Path(__file__).parents[2] / "data/kubernetes-pod.json.gz").read_bytes()))
PLAN = manifest("deepseek-ai/DeepSeek-V3", "0.33", "vllm serve deepseek-ai/DeepSeek-V3", 2, 8)
PODS = ("leaderTemplate", "workerTemplate")


def faults(schema, value):
    """What Kubernetes 1.37 would say, unknown fields included."""
    return [error.message for error in jsonschema.Draft202012Validator({**SCHEMAS, "$ref": f"#/$defs/{schema}"}).iter_errors(value)]


@pytest.mark.parametrize("pod", PODS)
def test_pods_keep_to_the_schema_of_kubernetes(pod):
    """Specification and metadata of leader and workers."""
    template = PLAN["spec"]["leaderWorkerTemplate"][pod]

    assert [] == faults("io.k8s.api.core.v1.PodSpec", template["spec"])
    assert [] == faults("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", template.get("metadata", {}))
    assert [] == faults("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", PLAN["metadata"])


@pytest.mark.parametrize(("where", "value"), [("imagee", "x"), ("command", "sh"), ("ports", [{"containerPort": "many"}])])
def test_the_schema_finds_a_wrong_field(where, value):
    """A name that there is none of, a text for a list, a text for a number."""
    spec = copy.deepcopy(PLAN["spec"]["leaderWorkerTemplate"]["leaderTemplate"]["spec"])
    spec["containers"][0][where] = value

    assert faults("io.k8s.api.core.v1.PodSpec", spec)
