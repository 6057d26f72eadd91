"""The question in llama.cpp's own words: every flag resolved as the engine resolves it."""

from tonnage.engines.llamacpp.build import Build, build_of
from tonnage.errors import QuestionError, RefusedError
from tonnage.frozen import dataclass
from tonnage.model.types import Compressed, Latent, Model
from tonnage.quant.types import block_type
from tonnage.question import Question
from tonnage.units import pad

DEFAULT_CONTEXT = 32768
UNPROVEN_BACKENDS = ("metal", "vulkan", "rocm")


@dataclass(frozen=True, slots=True)
class Settings:
    """What llama.cpp runs with. Symbols of its sources stand beside our names."""

    build: Build
    backend: str
    profile: str
    n_ctx: int
    """cells of all slots together"""
    cells: int
    """cells of one stream (n_ctx_seq)"""
    streams: int
    """caches side by side: 1 where the slots share one (n_stream)"""
    slots: int
    """sequences at a time (n_seq_max)"""
    batch: int
    ubatch: int
    outputs: int
    """logits rows that the graph reserves (n_outputs_max)"""
    flash_attn: bool
    flash_auto: bool
    """flash attention is given up where the engine finds that it would leave a layer's device"""
    v_transposed: bool
    """values are stored across: decided before `auto` gives flash attention up, which the cache then keeps its layout for"""
    type_k: str
    type_v: str
    swa_full: bool
    kv_offload: bool
    op_offload: bool
    mmap: bool
    n_draft: int
    """tokens drafted ahead by the model's own MTP block; 0 without"""

    @property
    def unified(self) -> bool:
        """All slots share one cache."""
        return self.streams == 1

    @property
    def tokens(self) -> int:
        """Tokens of the graph that is reserved: slots that do not divide the ubatch round it up."""
        return pad(min(self.ubatch, self.n_ctx), self.slots)


def resolve(question: Question, model: Model) -> Settings:
    """Fill in what the question leaves open, as this build of llama.cpp does.

    Raises QuestionError for values that cannot be, RefusedError where the engine refuses them.
    """
    build = build_of(question.engine_version)
    if question.draft and question.speculative:
        raise QuestionError(f"draft={question.draft} and speculative={question.speculative}: a second model drafts, or the model itself; give one")
    profile = question.profile or "server"
    slots = slots_of(question, build)
    unified = _unified(question, profile)
    wanted = wanted_cells(question, model)
    n_ctx = pad(wanted, build.cell_padding)
    # llama_context bounds the batch before it rounds the context up
    batch = min(question.batch or build.batch, wanted)
    ubatch = min(batch, question.ubatch or build.ubatch)
    cells = n_ctx if unified else pad(n_ctx // slots, build.cell_padding)
    type_k, type_v = (block_type(t or "f16").name for t in (question.cache_type_k, question.cache_type_v))
    n_draft = build.n_draft if question.speculative and model.n_nextn else 0
    settings = Settings(
        build=build,
        backend=_backend(question),
        profile=profile,
        n_ctx=n_ctx if unified else cells * slots,
        cells=cells,
        streams=1 if unified else slots,
        slots=slots,
        batch=batch,
        ubatch=ubatch,
        outputs=min(ubatch, batch if profile == "tools" else slots * (1 + (build.n_draft if question.draft else n_draft))),
        flash_attn=question.flash_attn != "off",
        flash_auto=_flash_auto(question, type_v),
        v_transposed=question.flash_attn == "off",
        type_k=type_k,
        type_v=type_v,
        swa_full=bool(question.swa_full),
        kv_offload=question.kv_offload is not False,
        op_offload=question.op_offload is not False,
        mmap=question.mmap is not False,
        n_draft=n_draft,
    )
    _refuse(settings, model)
    return settings


def _backend(question: Question) -> str:
    """As asked, else what the devices compute with, else CUDA."""
    if not question.device:
        return question.backend or "cuda"
    from tonnage.hardware.budget import backend_of  # not waited for where no device is named

    return backend_of(question)


def slots_of(question: Question, build: Build) -> int:
    """`-np`: as asked, else one per user, else the profile's."""
    users = question.users or 1
    default = users if users > 1 else build.server_slots if (question.profile or "server") == "server" else 1
    slots = question.slots or default
    if slots > build.max_slots:
        raise QuestionError(f"slots={slots}: llama.cpp takes at most {build.max_slots}")
    return slots


def _unified(question: Question, profile: str) -> bool:
    if question.kv_unified is not None:
        return question.kv_unified
    return profile == "server" and question.slots is None and (question.users or 1) == 1


def wanted_cells(question: Question, model: Model) -> int:
    """`-c` as it is asked for: the cells of all slots together, before any padding."""
    if question.n_ctx is not None:
        return question.n_ctx or model.context
    return context_of(question, model) * (question.users or 1)


def context_of(question: Question, model: Model) -> int:
    """Tokens that one request may hold: as asked, else 32,768, or the model's own limit if smaller."""
    if question.context == "native":
        return model.context
    return int(question.context or min(DEFAULT_CONTEXT, model.context))


ABORTS_ON_UNEVEN_SLOTS = frozenset({"kimi-linear"})
"""architectures on which llama.cpp b11434 aborts where the slots do not divide the ubatch (seen: ub 512, 3 slots)"""


def _flash_auto(question: Question, type_v: str) -> bool:
    """Whether llama.cpp may give flash attention up: quantised values need it, so that `auto` then means on (llama_init_from_model)."""
    return question.flash_attn not in ("on", "off") and block_type(type_v).elements == 1


def _refuse(settings: Settings, model: Model) -> None:
    """What llama_init_from_model itself turns down (src/llama-context.cpp of the build)."""
    latent = any(isinstance(mixer, Latent | Compressed) for layer in model.layers for mixer in layer.mixers)
    if latent and settings.type_k != settings.type_v:
        raise RefusedError(
            f"cache_type_k={settings.type_k} and cache_type_v={settings.type_v}: llama.cpp needs the same type for both with "
            f"{model.architecture}; give one type for K and V"
        )
    if model.architecture in ABORTS_ON_UNEVEN_SLOTS and settings.streams > 1 and min(settings.ubatch, settings.n_ctx) % settings.slots:
        raise RefusedError(
            f"slots={settings.slots}: llama.cpp aborts on {model.architecture} where the slots do not divide ubatch={settings.ubatch}; "
            "take a number of slots that does"
        )
    if block_type(settings.type_v).elements > 1 and not settings.flash_attn:
        raise RefusedError(f"cache_type_v={settings.type_v} needs flash attention: leave flash_attn at auto, or take f16 for V")
