"""What the blocks of a pool can hold: the lines of vLLM's log, the verdict, the part of the cache that the question asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from tonnage.answer import Part, Verdict
from tonnage.engines.vllm.groups import RESERVED, Layout, blocks_in, blocks_of, blocks_per_request, concurrency, kv_tokens, largest_context
from tonnage.engines.vllm.pages import STATE
from tonnage.engines.vllm.settings import Settings
from tonnage.frozen import dataclass
from tonnage.units import GIB


@dataclass(frozen=True, slots=True)
class Pool:
    """The cache of a replica. `blocks` is None where no limit is known."""

    layout: Layout
    blocks: int | None
    available: int | None
    """bytes for the cache on the rank that has the least"""
    least: int | None
    """blocks at the upper end of every band"""


def pool_of(layout: Layout, available: Sequence[int | None], least: Sequence[int | None]) -> Pool:
    """The pool that the ranks' bytes make; one number a stage."""
    known = [nbytes for nbytes in available if nbytes is not None]
    if len(known) < len(available):
        return Pool(layout, None, None, None)
    low = [nbytes for nbytes in least if nbytes is not None]
    return Pool(layout, blocks_in(layout, known), min(known), blocks_in(layout, low))


def cache_parts(layout: Layout, settings: Settings, stage: int) -> tuple[Part, ...]:
    """What the question's requests take: blocks of keys and values, and of states."""
    per_block = layout.bytes_per_block(stage)
    kv = sum(blocks_of(g.page, settings.context, settings) for g in layout.groups if g.page.kind != STATE)
    state = sum(blocks_of(g.page, settings.context, settings) for g in layout.groups if g.page.kind == STATE)
    found = (("kv", kv), ("state", state))
    users = -(-settings.users // settings.ranks.dp)
    return tuple(Part(name, blocks * users * per_block, "rule", None, name) for name, blocks in found if blocks)


def told(pool: Pool, settings: Settings) -> Mapping[str, Any]:
    """The capacity of one replica, as vLLM counts it."""
    layout, blocks = pool.layout, pool.blocks
    found: dict[str, Any] = {
        "block_size": layout.block,
        "bytes_per_block": layout.bytes_per_block(),
        "num_blocks": blocks,
        "kv_tokens": None if blocks is None else kv_tokens(layout, blocks, settings),
        "concurrency": None if blocks is None else round(concurrency(layout, blocks, settings), 4),
        "available_kv_bytes": pool.available,
        "blocks_per_request": blocks_per_request(layout, settings.context, settings),
        "largest_context": None if blocks is None else _largest(layout, blocks, settings),
        "replicas": settings.ranks.dp,
    }
    return found | ({"log": list(log_lines(pool, settings))} if blocks else {})


def _largest(layout: Layout, blocks: int, settings: Settings) -> int:
    return largest_context(layout, blocks, settings)


def log_lines(pool: Pool, settings: Settings) -> tuple[str, ...]:
    """What vLLM prints when it has planned its cache."""
    blocks = pool.blocks or 0
    times = concurrency(pool.layout, blocks, settings)
    return (
        f"Available KV cache memory: {(pool.available or 0) / GIB:.2f} GiB",
        f"GPU KV cache size: {kv_tokens(pool.layout, blocks, settings):,} tokens",
        f"Maximum concurrency for {settings.context:,} tokens per request: {times:.2f}x",
    )


def judge(pool: Pool, settings: Settings) -> Verdict | None:
    """Whether vLLM starts, and holds the users' requests at a time."""
    if pool.blocks is None:
        return None
    each = blocks_per_request(pool.layout, settings.context, settings)
    users = -(-settings.users // settings.ranks.dp)
    if (pool.available or 0) <= 0:
        short = -(pool.available or 0)
        return Verdict("too big", f"weights and activations leave no cache: {short / GIB:.2f} GiB short on each rank", short)
    if each + RESERVED > pool.blocks:
        return _no_request(pool, each, settings)
    short = users * each + RESERVED - pool.blocks
    if short > 0:
        text = f"{_holds(pool, settings)}, {users} are asked for: {short * pool.layout.bytes_per_block() / GIB:.2f} GiB of cache short on each rank"
        return Verdict("too big", text, short * pool.layout.bytes_per_block())
    if users * each + RESERVED > (pool.least or 0):
        return Verdict("tight", f"{_holds(pool, settings)}, but not at the upper end of the error")
    return Verdict("fits", _holds(pool, settings))


def _no_request(pool: Pool, each: int, settings: Settings) -> Verdict:
    size = pool.layout.bytes_per_block()
    need, most = (each + RESERVED) * size, _largest(pool.layout, pool.blocks or 0, settings)
    text = f"one request of {settings.context:,} tokens needs {need / GIB:.2f} GiB of cache and {(pool.available or 0) / GIB:.2f} GiB are left: "
    text += f"vLLM refuses to start; the largest context is {most:,}" if most else "vLLM refuses to start, whatever the context"
    return Verdict("too big", text, need - (pool.blocks or 0) * size, (f"--context {most}",) if most else ())


def _holds(pool: Pool, settings: Settings) -> str:
    times = concurrency(pool.layout, pool.blocks or 0, settings)
    return f"the cache holds {times:.2f} requests of {settings.context:,} tokens"
