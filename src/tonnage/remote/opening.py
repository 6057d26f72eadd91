"""Whatever lies elsewhere -> Model: a repo of the hub, a file at an address, a model of Ollama."""

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tonnage.errors import QuestionError, SourceError, TonnageError, nearest
from tonnage.model import build, gguf, safetensors, upload
from tonnage.model.types import Model, Tensor
from tonnage.remote import address, choice, heads, ollama
from tonnage.remote.access import DEFAULT, Access, Environment, environment
from tonnage.remote.choice import RepoFile, Stored
from tonnage.remote.file import File, MissingError
from tonnage.remote.http import Client
from tonnage.remote.hub import Hub, Listing
from tonnage.remote.kept import Store
from tonnage.remote.names import Ollama, Place, Repo, Web
from tonnage.remote.progress import Progress
from tonnage.units import GIB

MAX_SHARDS = 2000
SMALL_BYTES = 64 * 1024
"""what one read takes is not looked for first"""
REMEMBERED_SECONDS = 300.0
_REMEMBERED = 64


class Found(NamedTuple):
    """A model that was read."""

    model: Model
    name: str
    """what to ask for to get this very file again; empty where the question's own words do"""
    path: str = ""
    """the file of this machine that holds it, where there is one: it is still to be read"""


class Session:
    """Everything that one question reads elsewhere: one deadline, one set of connections, one line of progress."""

    def __init__(self, what: str, access: Access = DEFAULT, env: Environment | None = None) -> None:
        self.access, self.env = access, env or environment()
        if self.env.offline or not access.network:
            why = "HF_HUB_OFFLINE is set" if access.network else "the network must not be used here"
            raise SourceError(f"{what} would have to be read from the network, but {why}")
        self.store = Store(self.env.cache if access.cache else "")
        token = self.env.token if access.token else ""
        self.client = Client(access, {address.parse(self.env.hub).origin: token} if token else {})
        self.progress = Progress(what)
        self.seen: dict[Any, int] = {}
        """vocabularies of this session's files, and how far they reach"""
        self._headers: dict[File, gguf.Header] = {}

    def __enter__(self) -> "Session":
        self.progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.__exit__()
        self.client.close()

    @property
    def hub(self) -> Hub:
        """The hub, asked by this session."""
        return Hub(self.client, self.env, self.store)

    def gguf_header(self, file: File) -> gguf.Header:
        """The header of one GGUF file, which is read once."""
        if file not in self._headers:
            self._headers[file] = heads.gguf_header(file, self.seen)
        return self._headers[file]

    def together(self, read: Any, items: Sequence[Any]) -> list[Any]:
        """`read` of every item, several at a time."""
        return heads.together(read, items, self.access.parallel, self.progress)

    def ggufs(self, files: Sequence[File], name: str, source: str, notes: tuple[str, ...] = ()) -> Model:
        """The model of one GGUF file, or of all parts of one."""
        headers = self.together(self.gguf_header, files)
        header = gguf.merge(headers)
        size = sum(file.size or 0 for file in files)
        return build.from_header(header.metadata, header.tensors, name, source, file_bytes=size, notes=notes)


_cache: dict[Any, tuple[float, Any]] = {}


def _remembered(key: Any, read: Any) -> Any:
    """What `read` gives, for some minutes: many questions about one model ask its server once."""
    now = time.monotonic()
    found = _cache.get(key)
    if found is None or now - found[0] > REMEMBERED_SECONDS:
        if len(_cache) >= _REMEMBERED:
            _cache.clear()
        found = _cache[key] = (now, read())
    return found[1]


def _check_host(place: Place, access: Access) -> None:
    """Refuse hosts that must not be named here. Where one of those that may redirects is checked address by address."""
    if access.hosts is None or isinstance(place, Repo):
        return
    host = address.parse(place.url).host if isinstance(place, Web) else place.host.partition(":")[0]
    if host and host.lower() not in access.hosts:
        raise SourceError(f"{host[:80]} is not among the hosts that are read here", access.hosts[:1])


def open_place(place: Place, quant: str, access: Access = DEFAULT) -> Found:
    """The model at this place, in this quant where the place holds several."""
    _check_host(place, access)
    env = environment()
    found: Found = _remembered((place, quant, access, env), lambda: _open(place, quant, access, env))
    return found


def _open(place: Place, quant: str, access: Access, env: Environment) -> Found:
    if isinstance(place, Ollama):
        return _open_ollama(place, access, env)
    if isinstance(place, Repo) and env.offline and access.files:
        return Found(_NO_MODEL, "", _in_hub_cache(place, env))
    what = str(place) if isinstance(place, Repo) else str(address.parse(place.url))
    with Session(what, access, env) as session:
        if isinstance(place, Web):
            return Found(_open_web(session, place), "")
        return _open_repo(session, place, quant or place.quant)


_NO_MODEL: Any = None


# --- addresses ------------------------------------------------------------------------------------


def _open_web(session: Session, place: Web) -> Model:
    """A GGUF by its first bytes, with its parts where the name says that it is one of several; else a config.json."""
    url = address.parse(place.url)
    first = File(session.client, url, session.store)
    try:
        if url.path.endswith(".json"):
            config = heads.json_object(heads.whole(first), url)
            return upload.model(config, None, url.path.rpartition("/")[2].removesuffix(".json"), _versioned(first))
        name = url.path.rpartition("/")[2]
        parts = [first if part == name else File(session.client, _beside(url, part), session.store) for part in gguf.shard_names(name)]
        session.gguf_header(first)
        return session.ggufs(parts, name.removesuffix(".gguf"), _versioned(first))
    except MissingError as error:
        raise SourceError(f"{error}; is the address right?") from None


def _beside(url: address.Url, name: str) -> address.Url:
    """A file of the same folder; a signature of the first is kept."""
    folder, _, query = url.path.rpartition("/")[0], *url.target.partition("?")[1:]
    return url._replace(target=f"{folder}/{name}" + (f"?{query}" if query else ""))


def _versioned(file: File) -> str:
    """The address, and which version was read."""
    etag = file.etag.removeprefix("W/").strip('"')
    return f"{file.url} (ETag {etag[:64]})" if etag and etag.isprintable() else str(file.url)


# --- repos ----------------------------------------------------------------------------------------


def _open_repo(session: Session, repo: Repo, quant: str) -> Found:
    listing = session.hub.listing(repo)
    try:
        if repo.path and not repo.path.endswith("/"):
            return Found(_repo_file(session, listing, repo.path), "")
        return _repo_model(session, listing, "" if quant.lower() == "file" else quant)
    except MissingError as error:
        raise session.hub.refused(repo, error) from None


def _repo_model(session: Session, listing: Listing, quant: str) -> Found:
    """GGUF files come first where the repo is one of GGUF files, or holds the quant that is asked for."""
    repo = listing.repo
    stored = choice.models(listing.files, repo.path)
    where = str(repo._replace(quant="", path=""))
    has_config = listing.file("config.json") is not None
    published = [file.path for file in listing.files if file.path.endswith(".safetensors")]
    if stored and not (has_config and published and not any(quant.lower() == model.quant.lower() for model in stored)):
        chosen = choice.choose(stored, quant, where)
        return Found(_stored_model(session, listing, chosen), f"{where}:{chosen.name}" if quant else "")
    if not has_config:
        raise SourceError(f"{where} holds neither a GGUF file nor a config.json, but {_held(listing)}")
    return Found(_published_model(session, listing, where), "")


def _held(listing: Listing) -> str:
    paths = sorted(file.path for file in listing.files)
    return ", ".join(paths[:8]) + (" and more" if len(paths) > 8 else "") if paths else "nothing"


def _stored_model(session: Session, listing: Listing, stored: Stored) -> Model:
    files = [session.hub.file(listing, file) for file in stored.files]
    name = gguf_name(stored.files[0].path)
    return session.ggufs(files, name, _source(session, listing, stored.files[0].path), _beside_note(listing))


def gguf_name(path: str) -> str:
    """The name of a model by its file."""
    return path.rpartition("/")[2].removesuffix(".gguf")


def _beside_note(listing: Listing) -> tuple[str, ...]:
    """A projector of the repo is not counted unless it is asked for."""
    found = choice.extras(listing.files)
    if not found:
        return ()
    smallest = min(found, key=lambda file: file.size or 0)
    size = f" ({(smallest.size or 0) / GIB:.2f} GiB)" if smallest.size else ""
    return (f"The repo also holds a vision projector{size}: --mmproj {listing.repo.id}/{smallest.path} counts it.",)


def _source(session: Session, listing: Listing, path: str) -> str:
    return f"{session.env.hub}/{listing.repo.id}/blob/{listing.commit}/{path}"


def _published_model(session: Session, listing: Listing, where: str) -> Model:
    """The config, and the headers of all safetensors, whose redirects are followed while the index travels."""
    small = [listing.file("config.json"), listing.file("model.safetensors.index.json")]
    files = [session.hub.file(listing, file) for file in small if file]
    shards = {file.path: session.hub.file(listing, file) for path in _shards(listing)[:MAX_SHARDS] if (file := listing.file(path))}
    early = [file for file in shards.values() if (file.size or 0) > SMALL_BYTES] if len(files) > 1 else []
    steps: list[Any] = [*(partial(heads.whole, file) for file in files), *(file.locate for file in early)]
    config, *index = heads.together(lambda step: step(), steps, session.access.parallel)[: len(files)]
    header = _header(session, listing, safetensors.parse_index(index[0]) if index else None, shards, where)
    source = f"{session.env.hub}/{listing.repo.id}/tree/{listing.commit}"
    return upload.model(heads.json_object(config, files[0].url), header, listing.repo.id, source)


def _header(session: Session, listing: Listing, index: safetensors.Index | None, known: Mapping[str, File], where: str) -> safetensors.Header | None:
    shards = list(index.shards) if index else _shards(listing)
    if len(shards) > MAX_SHARDS:
        raise SourceError(f"{where} has {len(shards):,} safetensors files, over the limit of {MAX_SHARDS:,}")
    found = {shard: listing.file(shard) for shard in shards}
    missing = [shard for shard, file in found.items() if file is None]
    if missing:
        raise SourceError(f"{where} lacks {len(missing)} of {len(shards)} safetensors files that its index names: {', '.join(missing[:3])}")
    by_shard: dict[str, list[str]] = {}
    for tensor, shard in (index.weight_map if index else {}).items():
        by_shard.setdefault(shard, []).append(tensor)

    def read(shard: str) -> safetensors.Header:
        file = found[shard]
        assert file
        return heads.safetensors_header(known.get(shard) or session.hub.file(listing, file), by_shard.get(shard, ()))

    headers = session.together(read, shards)
    return safetensors.merge(dict(zip(shards, headers, strict=True)), index) if shards else None


def _shards(listing: Listing) -> list[str]:
    """The weights of a repo without an index; `consolidated` ones repeat them."""
    found = [f.path for f in listing.files if f.path.endswith(".safetensors") and "/" not in f.path and not f.path.startswith("adapter")]
    return ["model.safetensors"] if "model.safetensors" in found else [path for path in found if not path.startswith("consolidated")] or found


def _repo_file(session: Session, listing: Listing, path: str) -> Model:
    """The file that is named, with all parts of a split one."""
    if path.endswith((".safetensors", ".safetensors.index.json")):
        return _published_model(session, listing, listing.repo.id)
    files = _files_of(listing, path)
    if path.endswith(".json"):
        file = session.hub.file(listing, files[0])
        return upload.model(heads.json_object(heads.whole(file), file.url), None, listing.repo.id, _source(session, listing, path))
    stored = Stored(choice.quant_of(path), tuple(files))
    return _stored_model(session, listing, stored)


def _files_of(listing: Listing, path: str) -> list[RepoFile]:
    folder, slash, name = path.rpartition("/")
    found = [(part, listing.file(folder + slash + part)) for part in gguf.shard_names(name)]
    missing = [folder + slash + part for part, file in found if file is None]
    if missing:
        paths = [file.path for file in listing.files]
        raise SourceError(f"{listing.repo.id} has no file {missing[0]} at {listing.repo.revision or 'main'}", nearest(missing[0], paths))
    return [file for _, file in found if file]


def _in_hub_cache(repo: Repo, env: Environment) -> str:
    """The folder (or file) of the repo in the cache of hub tools, for work without a network."""
    root = os.path.join(env.hub_cache, "models--" + repo.id.replace("/", "--"))
    revision = repo.revision or "main"
    try:
        with open(os.path.join(root, "refs", revision), encoding="utf-8") as file:
            revision = file.read(100).strip()
    except OSError:
        pass
    path = os.path.join(root, "snapshots", revision, repo.path)
    if os.path.exists(path):
        return path
    raise SourceError(f"{repo} is not in the hub's cache at {env.hub_cache}, and HF_HUB_OFFLINE is set")


# --- Ollama ---------------------------------------------------------------------------------------


def _open_ollama(name: Ollama, access: Access, env: Environment) -> Found:
    found = ollama.local(name, env) if access.files else None
    if found:
        store, manifest = found
        digest, _ = manifest.model(str(name))[0]
        return Found(_NO_MODEL, str(name), ollama.blob(store, digest))
    with Session(f"ollama:{name}", access, env) as session:
        registry = ollama.Registry(session.client, env, session.store, name)
        blobs = registry.manifest().model(str(name))
        try:
            return Found(session.ggufs([registry.file(*blob) for blob in blobs], str(name), f"ollama:{name} (sha256:{blobs[0][0]})"), "")
        except MissingError as error:
            raise SourceError(str(error)) from None


# --- what is no model of its own ------------------------------------------------------------------


def tensors_of(place: Place, access: Access = DEFAULT) -> tuple[Tensor, ...]:
    """The tensor table of a projector or an adapter."""
    _check_host(place, access)
    env = environment()
    found: tuple[Tensor, ...] = _remembered(("tensors", place, access, env), lambda: _tensors(place, access, env))
    return found


def _tensors(place: Place, access: Access, env: Environment) -> tuple[Tensor, ...]:
    if isinstance(place, Ollama):
        raise QuestionError(f"a projector or adapter is named by its file, not as ollama:{place}")
    with Session(str(place) if isinstance(place, Repo) else str(address.parse(place.url)), access, env) as session:
        if isinstance(place, Web):
            return heads.gguf_header(File(session.client, address.parse(place.url), session.store)).tensors
        listing = session.hub.listing(place)
        file = _files_of(listing, place.path)[0] if place.path else _only_extra(listing)
        try:
            return heads.gguf_header(session.hub.file(listing, file)).tensors
        except MissingError as error:
            raise session.hub.refused(place, error) from None


def _only_extra(listing: Listing) -> RepoFile:
    """The projector of a repo, or its only GGUF file."""
    found = choice.extras(listing.files) or tuple(f for f in listing.files if f.path.endswith(".gguf"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise SourceError(f"{listing.repo.id} holds no GGUF file")
    paths = ", ".join(file.path for file in found[:8])
    raise SourceError(f"{listing.repo.id} holds several: {paths}; name one, as in {listing.repo.id}/{found[0].path}")


# --- what a repo holds ----------------------------------------------------------------------------


class Listed(NamedTuple):
    """A model of a repo with its header, or why that cannot be read."""

    stored: Stored
    model: Model | None
    error: str = ""


def list_repo(repo: Repo, access: Access = DEFAULT) -> tuple[Listed, ...]:
    """Every GGUF model of the repo, smallest first, each by its own header."""
    with Session(str(repo), access) as session:
        listing = session.hub.listing(repo)
        stored = choice.models(listing.files, repo.path)
        if not stored:
            raise SourceError(f"{repo} holds no GGUF file; `tonnage quants {repo.id}` tells what its quants would take")
        # the first teaches how long the vocabulary is that all of them share
        return tuple(one for part in (stored[:1], stored[1:]) for one in session.together(lambda one: _listed(session, listing, one), part))


def _listed(session: Session, listing: Listing, stored: Stored) -> Listed:
    try:
        choice.whole(stored, str(listing.repo))
        files = [session.hub.file(listing, file) for file in stored.files]
        header = gguf.merge([session.gguf_header(file) for file in files])
        source, name = _source(session, listing, stored.files[0].path), gguf_name(stored.files[0].path)
        return Listed(stored, build.from_header(header.metadata, header.tensors, name, source, file_bytes=sum(f.size or 0 for f in files)))
    except MissingError as error:
        raise session.hub.refused(listing.repo, error) from None
    except TonnageError as error:
        return Listed(stored, None, str(error))
