"""Imitations of the hub and of Ollama's registry on 127.0.0.1, with their routes, their manners and, on demand, their faults."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "5f1d3c0a" * 5
LARGE = 1024
"""bytes from which a file is stored apart (LFS) and served by the other host"""


class Sparse(NamedTuple):
    """A file that is zero behind its head."""

    head: bytes
    size: int

    def part(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`."""
        found = self.head[start:end]
        return found + bytes(min(end, self.size) - start - len(found))


Content = bytes | Sparse


def size_of(content: Content) -> int:
    """Bytes of a file."""
    return content.size if isinstance(content, Sparse) else len(content)


def part_of(content: Content, start: int, end: int) -> bytes:
    """Bytes from `start` up to `end`."""
    return content.part(start, end) if isinstance(content, Sparse) else content[start:end]


def etag_of(content: Content) -> str:
    """The hash that the hub tells a file's version by."""
    return sha256(content.head + str(content.size).encode() if isinstance(content, Sparse) else content).hexdigest()


@dataclass
class Repo:
    """A repo of the hub."""

    files: dict[str, Content]
    gated: bool = False
    private: bool = False
    revisions: tuple[str, ...] = ("main",)


class Seen(NamedTuple):
    """A request that came."""

    host: str
    path: str
    range: str
    authorization: str


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked for."""

    repos: dict[str, Repo] = field(default_factory=dict)
    ollama: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`namespace/name/tag` -> manifest"""
    blobs: dict[str, Content] = field(default_factory=dict)
    plain: dict[str, Content] = field(default_factory=dict)
    """path below /plain/ -> file"""
    token: str = ""
    """the one that opens gated and private repos"""
    latency: float = 0.0
    """seconds before each answer"""
    connecting: float = 0.0
    """seconds before the first answer of a connection, besides"""
    sizes: bool = True
    """whether listings tell the files' sizes"""
    page: int = 1000
    """rows of one page of the tree"""
    faults: dict[str, Callable[["Handler"], bool]] = field(default_factory=dict)
    """part of a path -> what is done instead; False where the request is served after all"""
    seen: list[Seen] = field(default_factory=list)
    sent: int = 0
    url: str = ""
    cdn: str = ""
    web: str = ""
    """a server that is no hub"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, repo: str, files: Mapping[str, Content], **how: Any) -> None:
        """A repo with these files."""
        self.repos[repo] = Repo(dict(files), **how)

    def add_ollama(self, name: str, model: Content, **layers: Content) -> None:
        """A model of Ollama, `namespace/name/tag`."""
        rows = []
        for kind, content in {"model": model, **layers}.items():
            digest = etag_of(content)
            self.blobs[digest] = content
            rows.append({"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": size_of(content)})
        self.ollama[name] = {"schemaVersion": 2, "layers": rows}

    def forget(self) -> None:
        """Begin to count anew."""
        self.seen.clear()
        self.sent = 0

    def asked(self, part: str) -> list[Seen]:
        """Requests with `part` in their path."""
        return [request for request in self.seen if part in request.path]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub
    host: str

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def setup(self) -> None:
        """Take a connection."""
        super().setup()
        if self.hub.connecting:
            time.sleep(self.hub.connecting)

    def do_GET(self) -> None:
        """Serve one request."""
        with self.hub.lock:
            self.hub.seen.append(Seen(self.host, self.path, self.headers.get("Range", ""), self.headers.get("Authorization", "")))
        if self.hub.latency:
            time.sleep(self.hub.latency)
        for part, fault in list(self.hub.faults.items()):
            if part in self.path and fault(self):
                return
        self.serve()

    def serve(self) -> None:
        """Serve as the real one does."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        for pattern, route in _ROUTES[self.host]:
            found = re.fullmatch(pattern, path)
            if found:
                route(self, parse_qs(parts.query), *found.groups())
                return
        self.error(404, "EntryNotFound")

    # --- answers ---

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        """A part of a body."""
        with self.hub.lock:
            self.hub.sent += len(body)
        self.wfile.write(body)

    def json(self, value: Any, **headers: str) -> None:
        """A JSON answer."""
        self.send(200, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def error(self, status: int, code: str = "") -> None:
        """A refusal as the hub words it."""
        self.send(status, json.dumps({"error": code}).encode(), **({"X_Error_Code": code} if code else {}))

    def redirect(self, to: str, **headers: str) -> None:
        """Somewhere else."""
        self.send(302, b"Found", Location=to, **headers)

    def content(self, content: Content) -> None:
        """A file, or the range of it that is asked for."""
        size, etag = size_of(content), f'"{etag_of(content)}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.send_header("ETag", etag)
            self.end_headers()
            self.pour(content, size)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or size - 1) + 1, size)
        if start >= size:
            self.send(416, b"", Content_Range=f"bytes */{size}", ETag=etag)
            return
        self.send(206, part_of(content, start, end), Content_Range=f"bytes {start}-{end - 1}/{size}", ETag=etag)

    def pour(self, content: Content, size: int) -> None:
        """All of a file, until the reader hangs up."""
        self.close_connection = True
        try:
            for at in range(0, size, 64 * 1024):
                self.write(part_of(content, at, min(at + 64 * 1024, size)))
        except OSError:
            pass

    # --- the hub ---

    def repo(self, name: str, revision: str | None = None) -> Repo | None:
        """The repo, if it may be seen; else the refusal is sent."""
        found = self.hub.repos.get(name)
        known = bool(self.hub.token) and self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if found is None or (found.private and not known):
            self.error(404 if known else 401, "RepoNotFound")
            return None
        if revision is not None and revision not in (*found.revisions, COMMIT):
            self.error(404, "RevisionNotFound")
            return None
        return found

    def info(self, query: Mapping[str, list[str]], name: str, revision: str) -> None:
        """api/models/{id}/revision/{revision}."""
        repo = self.repo(name, revision)
        if repo:
            blobs = "blobs" in query and self.hub.sizes
            rows = [{"rfilename": path, **(_blob(content, "sha256") if blobs else {})} for path, content in repo.files.items()]
            self.json({"id": name, "sha": COMMIT, "gated": "manual" if repo.gated else False, "siblings": rows})

    def tree(self, query: Mapping[str, list[str]], name: str, revision: str) -> None:
        """api/models/{id}/tree/{revision}, page by page."""
        repo = self.repo(name, revision)
        if repo:
            at = int(query.get("cursor", ["0"])[0])
            rows = [{"type": "file", "path": path, **_blob(content, "oid")} for path, content in repo.files.items()]
            url = f"{self.hub.url}/api/models/{name}/tree/{revision}?recursive=true&cursor={at + self.hub.page}"
            more = {"Link": f'<{url}>; rel="next"'} if at + self.hub.page < len(rows) else {}
            self.json(rows[at : at + self.hub.page], **more)

    def refs(self, _: Any, name: str) -> None:
        """api/models/{id}/refs."""
        repo = self.repo(name)
        if repo:
            self.json({"branches": [{"name": revision} for revision in repo.revisions], "tags": []})

    def search(self, query: Mapping[str, list[str]]) -> None:
        """api/models?search=..."""
        word, author = query.get("search", [""])[0].lower(), query.get("author", [""])[0].lower()
        self.json([{"id": name} for name in self.hub.repos if word in name.lower() and name.lower().startswith(author)])

    def resolve(self, _: Any, name: str, revision: str, path: str) -> None:
        """{id}/resolve/{revision}/{path}: large files lie on another host."""
        repo = self.repo(name, revision)
        if repo is None:
            return
        known = bool(self.hub.token) and self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if repo.gated and not known:
            self.error(401 if not self.headers.get("Authorization") else 403, "GatedRepo")
            return
        if path not in repo.files:
            self.error(404, "EntryNotFound")
            return
        content = repo.files[path]
        if size_of(content) < LARGE:
            self.content(content)
            return
        linked = {"X_Repo_Commit": COMMIT, "X_Linked_Size": str(size_of(content)), "X_Linked_ETag": f'"{etag_of(content)}"'}
        self.redirect(f"{self.hub.cdn}/repos/{name}/{path}?X-Amz-Signature=hidden", **linked)

    def stored(self, _: Any, name: str, path: str) -> None:
        """A large file on the other host."""
        self.content(self.hub.repos[name].files[path])

    def plain_file(self, _: Any, path: str) -> None:
        """A file of a server that is no hub."""
        if path in self.hub.plain:
            self.content(self.hub.plain[path])
        else:
            self.error(404)

    # --- Ollama ---

    def manifest(self, _: Any, name: str, tag: str) -> None:
        """v2/{name}/manifests/{tag}."""
        found = self.hub.ollama.get(f"{name}/{tag}")
        self.json(found) if found else self.error(404)

    def blob(self, _: Any, digest: str) -> None:
        """v2/{name}/blobs/{digest}: on another host, as the real one keeps them."""
        self.redirect(f"{self.hub.cdn}/blobs/{digest}") if digest in self.hub.blobs else self.error(404)

    def stored_blob(self, _: Any, digest: str) -> None:
        """A blob on the other host."""
        self.content(self.hub.blobs[digest])


def _blob(content: Content, hash_name: str) -> dict[str, Any]:
    size, etag = size_of(content), etag_of(content)
    if size < LARGE:
        return {"size": size, "blobId" if hash_name == "sha256" else "oid": etag}
    return {"size": size, "lfs": {hash_name: etag, "size": size, "pointerSize": 134}}


_ID = r"([^/]+(?:/[^/]+)?)"
_ROUTES: dict[str, tuple[tuple[str, Callable[..., None]], ...]] = {
    "hub": (
        (rf"/api/models/{_ID}/revision/(.+)", Handler.info),
        (rf"/api/models/{_ID}/tree/(.+)", Handler.tree),
        (rf"/api/models/{_ID}/refs", Handler.refs),
        (r"/api/models", Handler.search),
        (r"/v2/(.+)/manifests/([^/]+)", Handler.manifest),
        (r"/v2/.+/blobs/sha256:([0-9a-f]+)", Handler.blob),
        (rf"/{_ID}/resolve/([^/]+)/(.+)", Handler.resolve),
    ),
    "web": ((r"/plain/(.+)", Handler.plain_file),),
    "cdn": (
        (rf"/repos/{_ID}/(.+)", Handler.stored),
        (r"/blobs/([0-9a-f]+)", Handler.stored_blob),
    ),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """A reader that hangs up is no fault."""


@contextmanager
def serving() -> Iterator[Hub]:
    """All hosts, until the block ends."""
    hub = Hub()
    servers = []
    for host in ("hub", "cdn", "web"):
        server = _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub, "host": host}))
        setattr(hub, "url" if host == "hub" else host, f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
