"""A manifest for a plan past one host: a LeaderWorkerSet whose leader runs Ray's head and the server, as vLLM's own guide has it.

Source: docs/deployment/frameworks/lws.md of vLLM; leaderworkerset.x-k8s.io/v1.
"""

from typing import Any

IMAGE = "vllm/vllm-openai"
PORT, RAY_PORT = 8000, 6379
SHARED_MEMORY = "16Gi"


def manifest(name: str, version: str, serve: str, hosts: int, gpus: int) -> dict[str, Any]:
    """The object that `kubectl apply` takes: one group of `hosts` pods with `gpus` GPUs each."""
    image = f"{IMAGE}:v{version if version.count('.') == 2 else version + '.0'}"
    leader = f"ray start --head --port={RAY_PORT} && {serve} --port {PORT}"
    worker = f"ray start --block --address=$(LWS_LEADER_ADDRESS):{RAY_PORT}"
    ready = {"ports": [{"containerPort": PORT}], "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 10}}
    template = {
        "size": hosts,
        "restartPolicy": "RecreateGroupOnPodRestart",
        "leaderTemplate": {"metadata": {"labels": {"role": "leader"}}, "spec": _pod("leader", image, leader, gpus, ready)},
        "workerTemplate": {"spec": _pod("worker", image, worker, gpus, {})},
    }
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": label(name)},
        "spec": {"replicas": 1, "leaderWorkerTemplate": template},
    }


def label(name: str) -> str:
    """The name as Kubernetes takes it: lower case, digits and hyphens, 63 at most, a letter first."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.rsplit("/", 1)[-1].lower())
    return ("vllm-" + "-".join(part for part in plain.split("-") if part))[:63].rstrip("-")


def _pod(name: str, image: str, command: str, gpus: int, more: dict[str, Any]) -> dict[str, Any]:
    container = {
        "name": name,
        "image": image,
        "command": ["sh", "-c", command],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        **more,
    }
    return {"containers": [container], "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": SHARED_MEMORY}}]}
