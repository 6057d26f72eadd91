"""Layers -> groups -> blocks -> tokens: how one pool of blocks is shared by layers of several kinds.

Source: v1/core/kv_cache_utils.py of vLLM 0.33, run (tests/data/torch-cases.json.gz); four public logs to their last digit.
"""

from collections.abc import Sequence

from tonnage.engines.torch.ranks import stages
from tonnage.engines.vllm.pages import CHUNKED, FULL, SLIDING, STATE, Page, pages
from tonnage.engines.vllm.settings import Settings
from tonnage.errors import UnsupportedError
from tonnage.frozen import dataclass, replace
from tonnage.model.types import Model
from tonnage.units import ceil_div

RESERVED = 1
"""blocks of the pool that no request gets (the null block)"""
NEAR = 1.5
"""buckets of layers are not split where the largest is at most so many times the smallest"""


@dataclass(frozen=True, slots=True)
class Group:
    """Layers whose blocks are handed out together."""

    page: Page
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The cache of one rank."""

    groups: tuple[Group, ...]
    page_bytes: int
    """of one layer and block, all groups alike; of layers with pages of several widths their sum"""
    slots: tuple[int, ...]
    """pages that one block of the pool has, on each stage of the pipeline"""

    @property
    def block(self) -> int:
        """The block that attention is cached in: the smallest of all groups'."""
        return min(group.page.block for group in self.groups)

    def bytes_per_block(self, stage: int = 0) -> int:
        """Bytes of one block of the pool on a rank of the stage."""
        return self.page_bytes * self.slots[stage]


def layout_of(model: Model, settings: Settings) -> Layout:
    """The groups of the whole model, and how many of their layers lie on each stage."""
    found = pages(model, settings)
    if not found:
        raise UnsupportedError(f"{model.name} keeps nothing in a cache")
    if not settings.hybrid_manager:
        found = tuple((i, replace(page, kind=FULL, window=0) if page.kind in (SLIDING, CHUNKED) else page) for i, page in found)
    return _grouped(found, stages(len(model.layers) - model.n_nextn, settings.ranks.pp))


def _grouped(found: Sequence[tuple[int, Page]], plan: Sequence[range]) -> Layout:
    kinds = {page.kind for _, page in found}
    if len({page for _, page in found}) == 1:
        layers = tuple(i for i, _ in found)
        return Layout((Group(found[0][1], layers),), found[0][1].nbytes, _slots([layers], plan))
    if len({(page.kind, page.window) for _, page in found}) == 1 and STATE not in kinds:
        return _uniform(found, plan)
    found = _unified(found)
    buckets: dict[Page, list[int]] = {}
    for i, page in found:
        buckets.setdefault(page, []).append(i)
    size = _group_size([len(layers) for layers in buckets.values()])
    groups = [Group(page, tuple(part)) for page, layers in buckets.items() for part in _split(layers, size)]
    return Layout(tuple(groups), max(group.page.nbytes for group in groups), _slots([group.layers for group in groups], plan))


def _uniform(found: Sequence[tuple[int, Page]], plan: Sequence[range]) -> Layout:
    """One kind of layers with pages of several widths: one group, whose block is the sum of its pages."""
    if len({page.block for _, page in found}) > 1:
        raise UnsupportedError("layers of one kind with blocks of several sizes have no rules")
    total = [sum(page.nbytes for i, page in found if i in _reach(blocks, plan)) for blocks in plan]
    page = replace(found[0][1], token_bytes=max(page.token_bytes for _, page in found))
    return Layout((Group(page, tuple(i for i, _ in found)),), 1, tuple(total))


def _reach(blocks: range, plan: Sequence[range]) -> range:
    """The stage's layers; the last one has those of multi-token prediction too."""
    return range(blocks.start, 1 << 20) if blocks == plan[-1] else blocks


def _slots(groups: Sequence[tuple[int, ...]], plan: Sequence[range]) -> tuple[int, ...]:
    """Pages of one block on every stage: the most layers that one group has there."""
    return tuple(max(sum(i in _reach(blocks, plan) for i in layers) for layers in groups) for blocks in plan)


def _unified(found: Sequence[tuple[int, Page]]) -> list[tuple[int, Page]]:
    """Pages of one size: smaller ones hold more tokens where that comes out even, else they are padded."""
    most = max(page.nbytes for _, page in found)

    def fitted(page: Page) -> Page:
        if page.nbytes == most:
            return page
        if page.kind != STATE and most % page.nbytes == 0:
            return replace(page, block=page.block * (most // page.nbytes))
        return replace(page, padded=most)

    return [(i, fitted(page)) for i, page in found]


def _group_size(sizes: Sequence[int]) -> int:
    least, most = min(sizes), max(sizes)
    return most if most < NEAR * least else least


def _split(layers: list[int], size: int) -> list[list[int]]:
    """Every n-th layer goes to one group, so that stages of a pipeline have some of each."""
    count = ceil_div(len(layers), size)
    return [layers[i::count] for i in range(count)]


# --- requests -------------------------------------------------------------------------------------


def blocks_of(page: Page, context: int, settings: Settings) -> int:
    """Blocks that one request of `context` tokens holds at most in a group of such pages."""
    if page.kind == STATE:
        own = 1 + settings.drafted * settings.build.spec_pages
        return own + settings.build.cached_pages if settings.prefix_caching else own
    if page.kind == SLIDING:
        return ceil_div(min(page.window - 1 + settings.in_flight, context), page.block) + 1
    if page.kind == CHUNKED:
        return ceil_div(min(page.window + settings.in_flight, context), page.block)
    return ceil_div(context, page.block)


def blocks_per_request(layout: Layout, context: int, settings: Settings) -> int:
    """Blocks of all groups."""
    return sum(blocks_of(group.page, context, settings) for group in layout.groups)


def blocks_in(layout: Layout, available: Sequence[int]) -> int:
    """Blocks of the pool: the stage that has room for the fewest decides."""
    return min(max(nbytes, 0) // layout.bytes_per_block(stage) for stage, nbytes in enumerate(available) if layout.slots[stage])


def kv_tokens(layout: Layout, blocks: int, settings: Settings) -> int:
    """`GPU KV cache size` as this version logs it."""
    if settings.build.tokens_by_concurrency:
        return int(concurrency(layout, blocks, settings) * settings.context)
    return blocks // len(layout.groups) * layout.block


def concurrency(layout: Layout, blocks: int, settings: Settings) -> float:
    """`Maximum concurrency`: how many requests of the whole context the blocks hold."""
    return blocks / blocks_per_request(layout, settings.context, settings)


def largest_context(layout: Layout, blocks: int, settings: Settings) -> int:
    """Tokens of the largest request that the blocks hold; 0 where they hold none (estimate_max_model_len)."""
    low, high = 0, settings.context
    while low < high:
        middle = (low + high + 1) // 2
        if blocks_per_request(layout, middle, settings) + RESERVED <= blocks:
            low = middle
        else:
            high = middle - 1
    return low
