"""What a reader may do, and where it finds endpoints, tokens and its cache: the environment is read here alone."""

import os
from collections.abc import Mapping
from typing import NamedTuple

HUB = "https://huggingface.co"
OLLAMA_REGISTRY = "https://registry.ollama.ai"
_TRUE = ("1", "on", "yes", "true")


class Access(NamedTuple):
    """What may be read, and how long it may take. A server that answers strangers uses `PUBLIC` with `NAMED` as its hosts."""

    files: bool = True
    """files of this machine: paths, Ollama's store, the hub's cache"""
    network: bool = True
    private: bool = True
    """hosts of private networks and of this machine"""
    hosts: tuple[str, ...] | None = None
    """hosts that a question may name, beside the hub; None for every one"""
    token: bool = True
    """the user's own token is sent to the hub"""
    cache: bool = True
    """headers are kept on disk"""
    connect_seconds: float = 10.0
    read_seconds: float = 15.0
    total_seconds: float = 120.0
    """for everything that one model needs"""
    attempts: int = 4
    longest_wait_seconds: float = 20.0
    """that a server may ask for by Retry-After"""
    parallel: int = 16
    """requests at a time"""


DEFAULT = Access()
PUBLIC = Access(files=False, private=False, token=False, total_seconds=20.0, attempts=2, longest_wait_seconds=2.0)

NAMED = (
    "huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co", "hf-mirror.com", "registry.ollama.ai",
    "github.com", "raw.githubusercontent.com", "modelscope.cn", "www.modelscope.cn",
)  # fmt: skip
"""hosts of models that strangers may name; where these redirect to may be any host of the public internet"""


class Environment(NamedTuple):
    """What the environment says, by the names that hub tools and Ollama use."""

    hub: str
    """HF_ENDPOINT"""
    token: str
    offline: bool
    """HF_HUB_OFFLINE"""
    hub_cache: str
    """HF_HUB_CACHE"""
    ollama_models: tuple[str, ...]
    """OLLAMA_MODELS, else the places where Ollama keeps its store"""
    ollama_registry: str
    cache: str
    """folder of kept headers; empty for none"""


def environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read the environment."""
    env = os.environ if environ is None else environ
    home = env.get("HOME") or os.path.expanduser("~")
    caches = env.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    hf_home = env.get("HF_HOME") or os.path.join(caches, "huggingface")
    return Environment(
        hub=(env.get("HF_ENDPOINT") or HUB).rstrip("/"),
        token=_token(env, hf_home),
        offline=any(env.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
        hub_cache=env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or os.path.join(hf_home, "hub"),
        ollama_models=_ollama_stores(env, home),
        ollama_registry=(env.get("TONNAGE_OLLAMA_REGISTRY") or OLLAMA_REGISTRY).rstrip("/"),
        cache=env.get("TONNAGE_CACHE", os.path.join(caches, "tonnage")),
    )


def _token(env: Mapping[str, str], hf_home: str) -> str:
    """HF_TOKEN, else what `hf auth login` has written; empty for none."""
    if env.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in _TRUE:
        return ""
    token = env.get("HF_TOKEN") or env.get("HUGGING_FACE_HUB_TOKEN")
    if not token:
        try:
            with open(env.get("HF_TOKEN_PATH") or os.path.join(hf_home, "token"), encoding="utf-8") as file:
                token = file.read(4096)
        except (OSError, ValueError):
            return ""
    token = token.strip()
    # what is no plain word would break the header that it is sent in
    return token if token.isascii() and token.isprintable() and " " not in token else ""


def _ollama_stores(env: Mapping[str, str], home: str) -> tuple[str, ...]:
    """The user's store, then those of Ollama as a service of Linux."""
    if env.get("OLLAMA_MODELS"):
        return (env["OLLAMA_MODELS"],)
    return (os.path.join(home, ".ollama", "models"), "/usr/share/ollama/.ollama/models", "/var/lib/ollama/.ollama/models")
