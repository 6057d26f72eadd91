"""A remote file of which only parts are read, by ranges; a server that knows none is read from the front."""

import re

from tonnage.errors import CorruptError, SourceError
from tonnage.remote.address import Url
from tonnage.remote.http import Answer, Client, CutError
from tonnage.remote.kept import Key, Span, Store

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""of a file whose server ignores Range; headers of the largest vocabularies take about 20 MiB"""
_LEAST_BYTES = 1024  # what an incomplete answer must bring to be worth another request
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,19})-([0-9]{1,19})|\*)/([0-9]{1,19}|\*)", re.IGNORECASE)


class MissingError(SourceError):
    """The server has no such file, or does not show it; `status` and `code` are what it said."""

    def __init__(self, url: Url, status: int, code: str = "", authenticated: bool = False) -> None:
        self.status, self.code, self.authenticated = status, code, authenticated
        super().__init__(f"{url}: {_STATUS.get(status, 'the server answered')} (HTTP {status})")


_STATUS = {401: "a login is needed", 403: "access is denied", 404: "there is no such file", 410: "the file is gone", 451: "withheld by law"}


class File:
    """One file. Pieces that were read are kept, in memory and by `save` on disk."""

    def __init__(self, client: Client, url: Url, store: Store, *, etag: str = "", size: int | None = None, at: Url | None = None) -> None:
        self.url, self.etag, self.size = url, etag, size
        self._client, self._store = client, store
        self._spans: list[Span] = []
        self._new = False
        self._at = at or url
        """where the redirect of `url` leads, once that is known"""
        self._served_etag = ""
        self._stream: Answer | None = None
        self._front = bytearray()
        self._look_up()

    def locate(self) -> None:
        """Follow the redirect before the first read, which then goes straight to where the file lies."""
        if not self._spans and self._at is self.url:
            self._at = self._client.leads(self.url)[0]

    def read(self, start: int, nbytes: int) -> bytes:
        """The bytes from `start`; fewer only where the file ends."""
        nbytes = nbytes if self.size is None else max(min(nbytes, self.size - start), 0)
        kept = self._kept(start, nbytes)
        if kept is not None or not nbytes:
            return kept or b""
        data = self._front_to(start, nbytes) if self._stream else self._ranges(start, nbytes)
        if not self._stream:
            self._spans.append((start, data))
        self._new = True
        return data

    def read_all(self, limit: int) -> bytes:
        """The whole of a small file."""
        if (self.size or 0) <= limit:
            data = self.read(0, self.size or limit)
            if (self.size or 0) <= limit:
                return data
        raise CorruptError(f"{self.url} has {self.size:,} bytes, over the limit of {limit:,} for such a file")

    def save(self) -> None:
        """Keep on disk what was read, where the server tells versions apart."""
        if self._stream:
            self._stream.close()
            self._spans, self._stream = [(0, bytes(self._front))], None
        if self._new and self.etag and self.size is not None:
            self._store.put(self._key(self.size), self._spans)
            self._new = False

    # --- what is there already ---

    def _key(self, size: int) -> Key:
        return Key(self.url.whole, self.etag, size)

    def _look_up(self) -> None:
        if self.etag and self.size is not None and not self._spans:
            self._spans = self._store.get(self._key(self.size))

    def _kept(self, start: int, nbytes: int) -> bytes | None:
        for offset, data in self._spans:
            if offset <= start and start + nbytes <= offset + len(data):
                return data[start - offset : start - offset + nbytes]
        return None

    # --- what must be asked for ---

    def _ranges(self, start: int, nbytes: int) -> bytes:
        """By as many ranges as it takes: a server may answer with less, and a connection may be cut."""
        got = bytearray()
        idle = 0
        while len(got) < nbytes:
            at = start + len(got)
            answer = self._ask(at, nbytes - len(got))
            if answer.status == 200:
                return self._front_to(start, nbytes)
            try:
                more = answer.read(nbytes - len(got))
                answer.close()
                why = "the answer is shorter than what was asked for"
            except CutError as cut:
                more, why = cut.got, str(cut)
            got += more
            idle = 0 if len(more) >= _LEAST_BYTES else idle + 1
            if self.size is not None:
                nbytes = max(min(nbytes, self.size - start), 0)
            if idle == self._client.access.attempts:
                raise SourceError(f"{self.url}: {why} at byte {start + len(got):,}, {idle} times; try again later")
        return bytes(got)

    def _ask(self, start: int, nbytes: int) -> Answer:
        """An answer whose body begins at `start`, or a whole file (200) that becomes the stream."""
        answer = self._client.open(self._at, {"Range": f"bytes={start}-{start + nbytes - 1}"})
        if answer.status in (401, 403, 404, 410) and self._at is not self.url:
            # where the redirect has led is valid for a while only
            answer.close()
            self._at = self.url
            answer = self._client.open(self._at, {"Range": f"bytes={start}-{start + nbytes - 1}"})
        if answer.status == 206:
            self._check_range(answer, start)
        elif answer.status == 416:
            self._past_end(answer, start)
        elif answer.status == 200:
            self._learn(answer, _length(answer))
            self._stream, self._front = answer, bytearray()
        else:
            answer.close()
            raise MissingError(self.url, answer.status, answer.headers.get("x-error-code", ""), self._client.has_token(self.url))
        self._at = answer.url
        return answer

    def _check_range(self, answer: Answer, start: int) -> None:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        if not found or not found[1] or int(found[1]) != start:
            answer.close()
            raise SourceError(f"{self.url}: asked for the bytes from {start:,}, the server sent others; its ranges cannot be relied on")
        self._learn(answer, None if found[3] == "*" else int(found[3]))

    def _past_end(self, answer: Answer, start: int) -> None:
        answer.close()
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        size = f"has {int(found[3]):,} bytes" if found and found[3] != "*" else "is shorter"
        raise CorruptError(f"{self.url} {size}, but byte {start:,} is needed (HTTP 416): the file is not whole")

    def _learn(self, answer: Answer, size: int | None) -> None:
        """Size and version, which must stay the same while the file is read."""
        etag = answer.headers.get("etag") or answer.headers.get("last-modified", "")
        if size is not None:
            if self.size not in (None, size):
                answer.close()
                raise SourceError(f"{self.url} has {size:,} bytes, but {self.size:,} were told: it changed meanwhile, try again")
            self.size = size
        if self._served_etag and etag and etag != self._served_etag:
            answer.close()
            raise SourceError(f"{self.url} was replaced while it was read; try again")
        self._served_etag = etag
        if not self.etag:
            self.etag = answer.first.get("x-linked-etag") or etag
            self._look_up()

    def _front_to(self, start: int, nbytes: int) -> bytes:
        """From the file's start on, as far as is needed: all that a server without ranges leaves."""
        end = start + nbytes
        if end > MAX_STREAM_BYTES:
            raise SourceError(f"{self.url.authority} answers no ranges, and byte {end:,} of {self.url} is needed: reading so far is refused")
        cuts = 0
        while len(self._front) < end:
            assert self._stream
            try:
                more = self._stream.read(end - len(self._front))
                if not more:
                    break
                self._front += more
            except CutError as cut:
                cuts += 1
                if cuts == self._client.access.attempts:
                    raise SourceError(f"{self.url}: {cut} at byte {len(self._front) + len(cut.got):,}, {cuts} times; try again later") from None
                self._stream = None
                if self._ask(0, end).status != 200:
                    raise SourceError(f"{self.url.authority} answers ranges now and then: it cannot be relied on") from None
        if self.size is None and len(self._front) < end:
            self.size = len(self._front)
        return bytes(self._front[start:end])


def _length(answer: Answer) -> int | None:
    text = answer.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None
