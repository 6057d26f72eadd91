"""Models by Ollama's name: in the store of this machine, else at its registry. A model is a manifest and blobs."""

import json
import os
import re
from typing import NamedTuple

from tonnage.errors import CorruptError, SourceError, UnsupportedError, nearest
from tonnage.remote.access import Environment
from tonnage.remote.address import Url, parse
from tonnage.remote.file import File
from tonnage.remote.http import Client
from tonnage.remote.kept import Store
from tonnage.remote.names import Ollama

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
HOST = "registry.ollama.ai"
_LAYER = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Manifest(NamedTuple):
    """What a name stands for: kind of layer -> (digest, bytes) of its blobs."""

    layers: dict[str, tuple[tuple[str, int], ...]]

    def model(self, name: str) -> tuple[tuple[str, int], ...]:
        """The blobs of the weights."""
        found = self.layers.get("model", ())
        if not found:
            held = ", ".join(sorted(self.layers)) or "nothing"
            raise UnsupportedError(f"ollama:{name} holds no GGUF model but {held}: Tonnage reads GGUF models of Ollama only")
        return found


def manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest."""
    try:
        told = json.loads(data)
        layers: dict[str, tuple[tuple[str, int], ...]] = {}
        for row in told["layers"]:
            digest, size, kind = _DIGEST.fullmatch(row["digest"]), row["size"], str(row["mediaType"]).removeprefix(_LAYER)
            if not digest or not isinstance(size, int) or size < 0:
                raise ValueError
            layers[kind] = (*layers.get(kind, ()), (digest[1], size))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CorruptError(f"{where} is no manifest of Ollama") from None
    return Manifest(layers)


# --- the store of this machine --------------------------------------------------------------------


def local(name: Ollama, env: Environment) -> tuple[str, Manifest] | None:
    """The store that holds the model, and its manifest; None where none does."""
    for store in env.ollama_models:
        path = os.path.join(store, "manifests", name.host or HOST, name.namespace, name.name, name.tag)
        try:
            with open(path, "rb") as file:
                return store, manifest(file.read(MAX_MANIFEST_BYTES), path)
        except OSError:
            continue
    return None


def blob(store: str, digest: str) -> str:
    """Path of a blob."""
    return os.path.join(store, "blobs", f"sha256-{digest}")


def local_names(env: Environment) -> list[str]:
    """Every model of the stores, as Ollama lists them."""
    found = []
    for store in env.ollama_models:
        root = os.path.join(store, "manifests")
        for folder, _, tags in os.walk(root):
            parts = os.path.relpath(folder, root).split(os.sep)
            if len(parts) == 3:
                host = "" if parts[0] == HOST else parts[0]
                found += [str(Ollama(host, parts[1], parts[2], tag)) for tag in tags if not tag.startswith(".")]
    return found


# --- the registry ---------------------------------------------------------------------------------


class Registry:
    """Reads Ollama's registry, or another one that a name begins with."""

    def __init__(self, client: Client, env: Environment, store: Store, name: Ollama) -> None:
        self._client, self._env, self._store, self._name = client, env, store, name
        self._base = f"https://{name.host}" if name.host and name.host != HOST else env.ollama_registry

    def manifest(self) -> Manifest:
        """What the name stands for."""
        url = self._url(f"manifests/{self._name.tag}")
        page = self._client.get(url, MAX_MANIFEST_BYTES, {"Accept": _MANIFEST})
        if page.status != 200:
            raise self._missing(url, page.status)
        return manifest(page.body, str(url))

    def file(self, digest: str, nbytes: int) -> File:
        """A blob."""
        return File(self._client, self._url(f"blobs/sha256:{digest}"), self._store, etag=digest, size=nbytes)

    def _url(self, path: str) -> Url:
        return parse(f"{self._base}/v2/{self._name.namespace}/{self._name.name}/{path}")

    def _missing(self, url: Url, status: int) -> SourceError:
        near: tuple[str, ...] = nearest(str(self._name), local_names(self._env)) if self._client.access.files else ()
        if status == 404:
            return SourceError(f"no Ollama model {self._name}: neither in the local store nor at {url.authority}", [f"ollama:{n}" for n in near])
        return SourceError(f"{url.authority} does not show the Ollama model {self._name} (HTTP {status})")
