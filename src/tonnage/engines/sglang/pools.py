"""The pools of tokens and of states, from the bytes that are left beside the weights.

Source: mem_cache/memory_pool.py and model_executor/model_runner.py of SGLang 0.5.23, read; one public log of tokens
(vllm-project/vllm#21348: 367,404 tokens are 8.234 GiB of keys, 8.23 logged).
"""

from tonnage.engines.sglang.settings import Settings
from tonnage.engines.torch.cuts import rows, state_channels
from tonnage.engines.torch.ranks import stages
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass
from tonnage.model.states import Segment, state_of
from tonnage.model.types import Attention, Latent, Layer, Model, Recurrent

STATE_SHARE = 0.9
"""states over keys and values: mamba_full_memory_ratio"""
STATES_SHARED, STATES_ALONE = 3, 1
"""states that a request holds with the radix cache, and without"""
LEAST_REQUESTS, MOST_REQUESTS = 2048, 4096
REQUESTS_PER_CONTEXT = 512
SLOT = 4
"""bytes of one token in the table of requests"""


@dataclass(frozen=True, slots=True)
class Cells:
    """Bytes of one token on one rank, and of one request's states."""

    full: int
    """layers that keep every token"""
    window: int
    """sliding layers"""
    state: int
    span: int
    """tokens of the widest window"""


@dataclass(frozen=True, slots=True)
class Pools:
    """What the pools hold."""

    tokens: int
    """max_total_num_tokens: those of the full layers' pool"""
    window_tokens: int
    states: int
    """slots for states of requests"""
    requests: int
    """most requests at a time"""


def cells(model: Model, settings: Settings, stage: range | None = None) -> Cells:
    """The sums over the layers of a stage, or of the whole model."""
    layers = [layer for i, layer in enumerate(model.layers) if not layer.nextn and (stage is None or i in stage)]
    full = sum(_token_bits(mixer, settings) for mixer in _mixers(layers) if not _slides(mixer)) / 8
    window = sum(_token_bits(mixer, settings) for mixer in _mixers(layers) if _slides(mixer)) / 8
    state = sum(state_bytes(model, mixer, settings) for mixer in _mixers(layers) if isinstance(mixer, Recurrent))
    span = max((mixer.window for mixer in _mixers(layers) if isinstance(mixer, Attention)), default=0)
    return Cells(round(full), round(window), state, span)


def widest_stage(model: Model, settings: Settings) -> Cells:
    """The stage whose token takes the most: it decides how many there are."""
    plan = stages(len(model.layers) - model.n_nextn, settings.ranks.pp)
    return max((cells(model, settings, stage) for stage in plan), key=lambda found: found.full + found.window)


def _mixers(layers: list[Layer]) -> list[object]:
    return [mixer for layer in layers for mixer in layer.mixers]


def _slides(mixer: object) -> bool:
    return isinstance(mixer, Attention) and bool(mixer.window) and not mixer.chunked


def _token_bits(mixer: object, settings: Settings) -> float:
    if isinstance(mixer, Attention) and mixer.kv_heads and mixer.kv_layer is None:
        heads = rows(Segment(mixer.kv_heads, mixer.kv_heads, copied=True), settings.ranks.tp, "the cache's heads")
        return heads * (mixer.k_dim + mixer.v_dim) * settings.kv_bits
    if isinstance(mixer, Latent):
        indexer = 8 * (mixer.indexer.k_width + 4 * (mixer.indexer.k_width // 128)) if mixer.indexer else 0
        return mixer.width * settings.kv_bits + indexer
    return 0


def state_bytes(model: Model, mixer: Recurrent, settings: Settings) -> int:
    """Conv tails of one column fewer than taps, and states in F32 unless the config says otherwise."""
    state, tp = state_of(model, mixer), settings.ranks.tp
    if state.elements and state.heads % tp:
        raise RefusedError(f"tensor_parallel={tp}: a recurrent layer has {state.heads} heads, which {tp} ranks cannot share evenly")
    asked = (model.config.get("text_config") or model.config).get("mamba_ssm_dtype")
    width = 2 if asked in ("bfloat16", "float16") else 4
    return (state.kernel - 1) * state_channels(state.channels, tp) * 2 + state.elements // tp * width


def pools(rest: int, cell: Cells, settings: Settings) -> Pools:
    """The pools that `rest` bytes make."""
    states = 0
    if cell.state:
        budget = int(rest * STATE_SHARE / (1 + STATE_SHARE))
        states = max((budget - cell.state) // cell.state, 0)
        rest -= (states + 1) * cell.state
    per_token = cell.full + settings.window_ratio * cell.window if cell.full else cell.window
    tokens = max(int(rest / per_token), 0) // settings.page * settings.page if per_token else 0
    window = int(tokens * settings.window_ratio) // settings.page * settings.page if cell.window and cell.full else tokens if cell.window else 0
    return Pools(tokens, window, states, most_requests(tokens, states, settings))


def most_requests(tokens: int, states: int, settings: Settings) -> int:
    """max_running_requests: as asked, else by tokens and context; states cap it."""
    default = min(max(int(tokens / settings.context * REQUESTS_PER_CONTEXT), LEAST_REQUESTS), MOST_REQUESTS)
    most = min(settings.asked_requests or default, max(tokens // 2, 1))
    each = STATES_SHARED if settings.radix else STATES_ALONE
    return min(most, states // each) if states else most


def concurrency(found: Pools, cell: Cells, settings: Settings) -> float:
    """Requests of the whole context that the pools hold at a time."""
    shares = [found.tokens / settings.context] if cell.full else []
    if cell.window:
        shares.append(found.window_tokens / min(settings.context, cell.span + settings.chunk))
    if cell.state:
        shares.append(found.states / (STATES_SHARED if settings.radix else STATES_ALONE))
    return min(*shares, found.requests) if shares else 0.0


def needed(cell: Cells, settings: Settings) -> tuple[int, int]:
    """(keys and values, states) of the question's requests."""
    users = -(-settings.users // settings.ranks.dp)
    kv = cell.full * settings.context + cell.window * min(settings.context, cell.span + settings.chunk)
    each = STATES_SHARED if settings.radix else STATES_ALONE
    return users * kv, cell.state * (users * each + 1) if cell.state else 0


def table_bytes(found_requests: int, settings: Settings) -> int:
    """The table that tells each request's tokens."""
    return found_requests * (settings.context + SLOT) * SLOT
