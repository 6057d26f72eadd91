"""The hub of Hugging Face, or a mirror of it: listings, files, and what its refusals mean."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from tonnage.errors import SourceError, nearest
from tonnage.model import catalogue
from tonnage.remote.access import Environment
from tonnage.remote.address import UnreachableError, Url, parse, redirected
from tonnage.remote.choice import RepoFile
from tonnage.remote.file import File, MissingError
from tonnage.remote.http import Client, Page
from tonnage.remote.kept import Store
from tonnage.remote.names import Repo

MAX_LISTING_BYTES = 32 * 1024 * 1024
MAX_PAGES = 100
_NEXT = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')
_LOGIN = "log in with `hf auth login` or set HF_TOKEN"


class Listing(NamedTuple):
    """What a repo holds at one commit."""

    repo: Repo
    commit: str
    files: tuple[RepoFile, ...]
    leads: Mapping[str, Url] = MappingProxyType({})
    """where files lie whose redirects are known already"""

    def file(self, path: str) -> RepoFile | None:
        """The file of this path."""
        return next((file for file in self.files if file.path == path), None)


class Hub:
    """Reads repos at one endpoint."""

    def __init__(self, client: Client, env: Environment, store: Store) -> None:
        self.client, self.env, self._store = client, env, store
        self.host = parse(env.hub).authority

    # --- listings ---

    def listing(self, repo: Repo) -> Listing:
        """The files of the repo, with sizes and versions; SourceError that says what to do where there is none.

        A file that is named is looked for meanwhile.
        """
        if not repo.path.endswith(".gguf"):
            return self._listing(repo)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            early = pool.submit(self.client.leads, self._url(repo, repo.revision or "main", repo.path))
            listing = self._listing(repo)
        to, told = early.result()
        return listing._replace(leads={repo.path: to}) if told.get("x-repo-commit") == listing.commit else listing

    def _listing(self, repo: Repo) -> Listing:
        try:
            page = self.client.get(self._api(f"{repo.id}/revision/{_quoted(repo.revision or 'main')}?blobs=true"), MAX_LISTING_BYTES)
        except UnreachableError as error:
            near = nearest(repo.id, [row["hf_id"] for row in catalogue.index()])
            raise SourceError(f"{repo.id} is no file here and no built-in model, and the hub cannot be asked: {error}", near) from None
        if page.status != 200:
            raise self._refusal(repo, page.status, page.headers)
        told = _json(page)
        siblings = told.get("siblings")
        commit = str(told.get("sha") or repo.revision or "main")[:64]
        files = _files(siblings, "rfilename") if isinstance(siblings, list) else ()
        if not files or any(file.size is None for file in files):
            files = self._tree(repo, commit) or files
        return Listing(repo, commit, files)

    def _tree(self, repo: Repo, commit: str) -> tuple[RepoFile, ...]:
        """The same by the listing of folders, page by page."""
        url: Url | None = self._api(f"{repo.id}/tree/{_quoted(commit)}?recursive=true")
        found: tuple[RepoFile, ...] = ()
        for _ in range(MAX_PAGES):
            if url is None:
                return found
            page = self.client.get(url, MAX_LISTING_BYTES)
            if page.status != 200:
                return found
            found += _files(_json(page, list), "path")
            following = _NEXT.search(page.headers.get("link", ""))
            url = redirected(url, following[1]) if following else None
        raise SourceError(f"{repo.id} lists more than {MAX_PAGES} pages of files: refused")

    # --- files ---

    def file(self, listing: Listing, file: RepoFile) -> File:
        """A file of the repo, at the listing's commit."""
        url = self._url(listing.repo, listing.commit, file.path)
        return File(self.client, url, self._store, etag=file.etag, size=file.size, at=listing.leads.get(file.path))

    def refused(self, repo: Repo, error: MissingError) -> SourceError:
        """What it means that a file of the repo is not shown."""
        return self._refusal(repo, error.status, {"x-error-code": error.code})

    # --- refusals ---

    def _refusal(self, repo: Repo, status: int, headers: Mapping[str, str]) -> SourceError:
        code = headers.get("x-error-code", "")
        if code == "RevisionNotFound":
            known = self._revisions(repo)
            return SourceError(f"{repo.id} has no revision {repo.revision!r} on {self.host}", nearest(repo.revision, known) or known[:3])
        if code == "GatedRepo" or (status == 403 and code != "RepoNotFound"):
            return SourceError(self._gated(repo, status))
        if status in (401, 404):
            return self._missing(repo, status)
        return SourceError(f"{self.host} does not show {repo.id} (HTTP {status}); try again later")

    def _gated(self, repo: Repo, status: int) -> str:
        page = f"{self.env.hub}/{repo.id}"
        if self._has_token():
            return f"{repo.id} is gated, and your token has no access (HTTP {status}): ask for it at {page}"
        return f"{repo.id} is gated (HTTP {status}): ask for access at {page}, then {_LOGIN}"

    def _missing(self, repo: Repo, status: int) -> SourceError:
        """The hub does not tell a private repo from none."""
        private = "your token may not see it" if self._has_token() else f"it is private: {_LOGIN}"
        known = [row["hf_id"] for row in catalogue.index()]
        near = dict.fromkeys((*nearest(repo.id, self._search(repo)), *nearest(repo.id, known, 1)))
        return SourceError(f"{self.host} has no repo {repo.id}, or {private} (HTTP {status})", [name for name in near if name != repo.id][:3])

    def _has_token(self) -> bool:
        return self.client.has_token(parse(self.env.hub))

    def _search(self, repo: Repo) -> list[str]:
        """Repos with a like name: those that the search finds, and all of the same owner."""
        owner, _, name = repo.id.rpartition("/")
        found: list[str] = []
        for query in (f"search={quote(name, safe='')}", *((f"author={quote(owner, safe='')}",) if owner else ())):
            found += [str(row.get("id") or row.get("modelId") or "") for row in self._optional(f"?{query}&limit=100", list)]
        return [name for name in found if name]

    def _revisions(self, repo: Repo) -> list[str]:
        refs: dict[str, Any] = self._optional(f"/{repo.id}/refs", dict)
        return [str(ref.get("name")) for kind in ("branches", "tags") for ref in refs.get(kind) or () if isinstance(ref, dict)]

    def _optional(self, path: str, kind: type) -> Any:
        """What only helps a message: its absence is no error of its own."""
        try:
            page = self.client.get(parse(f"{self.env.hub}/api/models{path}"), MAX_LISTING_BYTES)
            return _json(page, kind) if page.status == 200 else kind()
        except SourceError:
            return kind()

    def _url(self, repo: Repo, revision: str, path: str) -> Url:
        return parse(f"{self.env.hub}/{repo.id}/resolve/{_quoted(revision)}/{quote(path)}")

    def _api(self, path: str) -> Url:
        return parse(f"{self.env.hub}/api/models/{path}")


def _quoted(revision: str) -> str:
    return quote(revision, safe="")


def _files(rows: list[Any], path: str) -> tuple[RepoFile, ...]:
    """The files of a listing; a large one's version is the hash of its content, a small one's git's."""
    found = []
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get(path), str) and row.get("type", "file") == "file":
            lfs = row["lfs"] if isinstance(row.get("lfs"), dict) else {}
            size = lfs.get("size", row.get("size"))
            etag = lfs.get("sha256") or lfs.get("oid") or row.get("blobId") or row.get("oid") or ""
            found.append(RepoFile(row[path], size if isinstance(size, int) and size >= 0 else None, str(etag)))
    return tuple(found)


def _json(page: Page, kind: type = dict) -> Any:
    try:
        found = json.loads(page.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, kind):
        raise SourceError(f"{page.url} did not answer as the hub does: is the endpoint right?")
    return found
