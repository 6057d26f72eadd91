"""What each layer keeps, as pages: bytes of one block of tokens, or of one sequence's state.

Source: v1/kv_cache_interface.py and model_executor/models/config.py of vLLM 0.33, run (tests/data/torch-cases.json.gz).
"""

from collections.abc import Iterator
from math import lcm

from tonnage.engines.torch.cuts import rows
from tonnage.engines.vllm.settings import Settings
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass, replace
from tonnage.model.states import Segment, state_of
from tonnage.model.types import Attention, Latent, Model, Recurrent
from tonnage.units import ceil_div

FULL, SLIDING, CHUNKED, LATENT, STATE = "full", "sliding", "chunked", "latent", "state"
KERNEL_BLOCK = 16
INDEX_SCALE_GROUP = 128
"""elements of an indexer's key that share an F32 scale; keys themselves are FP8 (DeepseekV32IndexerCache)"""
FLOAT32_STATES = ("nemotron_h", "nemotron_h_moe")
"""architectures whose class keeps states in F32 whatever the config says"""


@dataclass(frozen=True, slots=True)
class Page:
    """What one layer allocates on one rank. Layers with equal pages share a group."""

    kind: str
    block: int
    """tokens of a page; of a state the whole context, or the block at which prefixes are kept"""
    token_bytes: int
    """of one token; 0 of a state"""
    state_bytes: int = 0
    window: int = 0
    padded: int = 0
    """bytes that it is padded to; 0 for none"""

    @property
    def unpadded(self) -> int:
        """Bytes that are used."""
        return self.state_bytes or self.block * self.token_bytes

    @property
    def nbytes(self) -> int:
        """Bytes that are taken."""
        return self.padded or self.unpadded


def pages(model: Model, settings: Settings) -> tuple[tuple[int, Page], ...]:
    """(layer, page) of everything that keeps something, hybrids with their common block and padding."""
    trunk = len(model.layers) - model.n_nextn
    found = [(i, page) for i in range(len(model.layers)) if i < trunk or settings.mtp for page in _of_layer(model, i, settings)]
    if settings.mtp and not model.n_nextn and model.parameters.mtp:
        found += [(trunk, page) for page in _of_layer(model, trunk - 1, settings)]
    return tuple(found) if not any(page.kind == STATE for _, page in found) else _aligned(model, found, settings)


def _of_layer(model: Model, i: int, settings: Settings) -> Iterator[Page]:
    for mixer in model.layers[i].mixers:
        if isinstance(mixer, Attention) and mixer.kv_heads and mixer.kv_layer is None:
            yield _attention(mixer, settings)
        elif isinstance(mixer, Latent):
            yield Page(LATENT, settings.block, mixer.width * settings.kv_bytes)
        elif isinstance(mixer, Recurrent):
            yield Page(STATE, settings.context, 0, state_bytes(model, mixer, settings))
        indexer = getattr(mixer, "indexer", None)
        if indexer is not None:
            yield Page(LATENT, settings.block, indexer.k_width + 4 * ceil_div(indexer.k_width, INDEX_SCALE_GROUP) + indexer.v_width)


def _attention(mixer: Attention, settings: Settings) -> Page:
    heads = rows(Segment(mixer.kv_heads, mixer.kv_heads, copied=True), settings.ranks.tp, "the cache's heads")
    kind = CHUNKED if mixer.chunked else SLIDING if mixer.window else FULL
    return Page(kind, settings.block, heads * (mixer.k_dim + mixer.v_dim) * settings.kv_bytes, window=mixer.window)


def state_bytes(model: Model, mixer: Recurrent, settings: Settings) -> int:
    """A convolution's tail, one column longer for each drafted token, and the state, on one rank."""
    state, tp = state_of(model, mixer), settings.ranks.tp
    if state.elements and state.heads % tp:
        raise RefusedError(f"tensor_parallel={tp}: a recurrent layer has {state.heads} heads, which {tp} ranks cannot share evenly")
    channels = sum(rows(segment, tp, "a recurrent layer") for segment in state.channels)
    return (state.kernel - 1 + settings.drafted) * channels * 2 + state.elements // tp * state_element_bytes(model)


def state_element_bytes(model: Model) -> int:
    """4 where the config or the class asks for F32 states, else 2."""
    text = model.config.get("text_config") or model.config
    asked = text.get("mamba_ssm_dtype") or model.config.get("mamba_ssm_dtype")
    return 4 if asked == "float32" or (asked is None and model.architecture in FLOAT32_STATES) else 2


# --- hybrids --------------------------------------------------------------------------------------


def _aligned(model: Model, found: list[tuple[int, Page]], settings: Settings) -> tuple[tuple[int, Page], ...]:
    """Attention's block is raised until its page holds a state; states are padded to it (verify_and_update_config)."""
    attention = [page for _, page in found if page.kind != STATE]
    if not attention:
        return tuple(found)
    state = max(page.state_bytes for _, page in found if page.kind == STATE)
    per_token = max(page.token_bytes for page in attention)
    align = lcm(_least_block(found, settings), _checkpoint(model, settings))
    block = max(align * ceil_div(state, align * per_token), settings.block)
    padded = block * per_token
    kept = block if settings.prefix_caching else settings.context

    def fitted(page: Page) -> Page:
        if page.kind == STATE:
            return replace(page, block=kept, padded=padded if padded != page.state_bytes else 0)
        return replace(page, block=block)

    return tuple((i, fitted(page)) for i, page in found)


def _least_block(found: list[tuple[int, Page]], settings: Settings) -> int:
    return settings.build.latent_align if any(page.kind == LATENT for _, page in found) else max(KERNEL_BLOCK, settings.block)


def _checkpoint(model: Model, settings: Settings) -> int:
    """Tokens between two states that the kernel can hand out."""
    delta = any(isinstance(m, Recurrent) and m.kind in ("gated_delta", "kda") for layer in model.layers for m in layer.mixers)
    return settings.build.checkpoint_align if delta and settings.prefix_caching else 1
