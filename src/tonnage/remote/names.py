"""What a user writes for a model that lies elsewhere -> where it is. Pure."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tonnage.errors import QuestionError, SourceError

HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co")
_MIRROR = re.compile(r"(https?://hf-mirror\.com/[^/]+/[^/]+)/blob/")
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPO = re.compile(rf"({_PART}(?:/{_PART})?)(?:@([^:\s]{{1,200}}))?(?::([A-Za-z0-9_.+-]{{1,100}}))?")
_ID = re.compile(rf"{_PART}/{_PART}")
_FILE = re.compile(rf"({_PART}/{_PART})(?:@([^:\s/]{{1,200}}))?/([^:\s]{{1,500}}\.(?:gguf|json|safetensors))")
_OLLAMA = re.compile(r"(?:([A-Za-z0-9.-]+(?::[0-9]{1,5})?)/)?(?:([A-Za-z0-9_.-]{1,100})/)?([A-Za-z0-9_.-]{1,100})(?::([A-Za-z0-9_.-]{1,100}))?")
_PREFIXES = ("hub:", "hf:", "hf.co/", "huggingface.co/")


class Repo(NamedTuple):
    """A repo of the hub, or a file or folder of it."""

    id: str
    revision: str = ""
    """empty for the main branch"""
    quant: str = ""
    """what stood behind the colon: a quant, or the name of a file"""
    path: str = ""
    """file, or folder that ends with `/`"""

    def __str__(self) -> str:
        """As `parse` takes it."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.id}{revision}" + (f"/{self.path.rstrip('/')}" if self.path else "") + (f":{self.quant}" if self.quant else "")


class Web(NamedTuple):
    """A file at an address of its own."""

    url: str


class Ollama(NamedTuple):
    """A model by Ollama's name."""

    host: str
    """empty for Ollama's own registry"""
    namespace: str
    name: str
    tag: str

    def __str__(self) -> str:
        """As Ollama writes it."""
        before = "/".join(part for part in (self.host, self.namespace if self.host or self.namespace != "library" else "") if part)
        return f"{before}/{self.name}:{self.tag}" if before else f"{self.name}:{self.tag}"


Place = Repo | Web | Ollama


def parse(name: str, endpoint: str = "") -> Place | None:
    """Where the model is; None where the name is of no remote form."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return _url(name, endpoint)
    if name.lower().startswith("ollama:"):
        return _ollama(name[7:])
    for prefix in _PREFIXES:
        if name.lower().startswith(prefix):
            return _repo(name[len(prefix) :], name)
    if _ID.match(name):
        return _repo(name, None)
    return None


def asks_hub(name: str) -> bool:
    """Whether the hub itself is asked for, even where the repo is a built-in model."""
    return name.lower().startswith(("hub:", "hf:"))


def _repo(text: str, whole: str | None) -> Place | None:
    """A repo; `whole` is what to complain of where it must be one."""
    text = text.removesuffix("/")
    file = _FILE.fullmatch(text)
    if file:
        return Repo(file[1], file[2] or "", "", _inside(file[3]))
    found = _REPO.fullmatch(text)
    if found and not re.search(r"\.\.|--", found[1]) and (whole is not None or "/" in found[1]):
        return Repo(found[1], found[2] or "", found[3] or "")
    if whole is not None:
        raise QuestionError(f"not a repo of the hub: {whole[:100]!r}; it is written org/repo, org/repo:QUANT or org/repo@revision")
    return None


def _inside(path: str) -> str:
    """A path that stays in the repo."""
    if any(part in ("", ".", "..") for part in path.rstrip("/").split("/")):
        raise QuestionError(f"not a path inside a repo: {path[:100]!r}")
    return path


def _url(text: str, endpoint: str) -> Place:
    """A page or file of the hub, in any form that the hub uses; any other address is a file of its own."""
    try:
        parts = urlsplit(text.strip())
        host, base = (parts.hostname or "").lower(), urlsplit(endpoint)
        mine = bool(endpoint) and (parts.hostname, parts.port) == (base.hostname, base.port) and parts.path.startswith(base.path)
    except ValueError:
        raise SourceError(f"not a sound address: {text.partition('?')[0][:80]!r}") from None
    if not mine and host not in HUB_HOSTS:
        return Web(_MIRROR.sub(r"\1/resolve/", text.strip()))
    words = [unquote(word) for word in parts.path[len(base.path) if mine else 0 :].split("/") if word]
    return _page(words, text)


def _page(words: list[str], text: str) -> Place:
    """`org/repo`, `org/repo/tree/revision/folder`, `org/repo/blob/revision/file` and the like."""
    if words[:2] == ["api", "models"]:
        words = words[2:]
    if not words or words[0] in ("datasets", "spaces", "models", "collections", "papers"):
        raise QuestionError(f"the address names no model repo: {text.partition('?')[0][:100]}")
    verbs = ("blob", "resolve", "raw", "tree", "blame", "commit", "commits", "discussions")
    size = 1 if len(words) > 1 and words[1] in verbs else 2
    repo = "/".join(words[:size])
    name, _, quant = repo.partition(":")  # hf.co/org/repo:QUANT
    if not re.fullmatch(rf"{_PART}(?:/{_PART})?", name):
        raise QuestionError(f"the address names no model repo: {text.partition('?')[0][:100]}")
    verb, rest = (words[size] if len(words) > size else ""), words[size + 1 :]
    if verb not in verbs[:5] or not rest:
        return Repo(name, rest[0] if verb in ("commit", "commits") and rest else "", quant)
    taken = 3 if rest[0] == "refs" and len(rest) > 2 else 1  # refs/pr/7
    revision, path = "/".join(rest[:taken]), "/".join(rest[taken:])
    revision = "" if revision == "main" else revision
    return Repo(name, revision, quant, _inside(path + ("/" if verb == "tree" and path else "")) if path else "")


def _ollama(text: str) -> Place:
    """A name of Ollama; what it pulls from the hub is a repo of the hub."""
    for prefix in _PREFIXES[2:]:
        if text.lower().startswith(prefix):
            text = "hf.co/" + text[len(prefix) :]
    found = _OLLAMA.fullmatch(text.strip())
    if not found or ".." in text:
        raise QuestionError(f"not a name of an Ollama model: {text[:100]!r}; it is written ollama:name or ollama:name:tag")
    host, namespace = found[1] or "", found[2] or ""
    if host and not namespace:
        host, namespace = "", host
    return Ollama(host, namespace or "library", found[3], found[4] or "latest")
