"""The search's common ground: the problem, what was measured, and the steps so far."""

from collections.abc import Sequence

from tonnage.engines.llamacpp.fit.fitted import GaveUpError
from tonnage.engines.llamacpp.fit.gauge import Memory, draft_memory, memory
from tonnage.engines.llamacpp.fit.shares import Flags, Shares, flags_of, in_words
from tonnage.engines.llamacpp.fit.whole import MAX_UINT32
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.settings import resolve, wanted_cells
from tonnage.errors import QuestionError, RefusedError
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.units import MIB

AS_ASKED = Flags(-1, None, None)
"""what llama.cpp does where nothing is said: all layers, by free memory"""

MOST_MEASUREMENTS = 400
"""no search that ends takes as many; llama.cpp itself has no limit"""

UNLIMITED = 2**62


class Search:
    """One run of --fit: it knows the question and the devices, measures, and notes down what it tried."""

    def __init__(
        self,
        question: Question,
        model: Model,
        free_bytes: Sequence[int],
        margins: Sequence[int],
        ram_bytes: int | None = None,
        attached: Attached = NOTHING,
    ) -> None:
        self.question, self.free_bytes = _opened(question, free_bytes)
        self.attached = attached
        self.model = model
        self.devices = len(self.free_bytes)
        """GPUs that llama.cpp opens"""
        self.places = tuple(range(self.devices)) or (HOST,)
        """where memory is counted: the GPUs; the host where there is none"""
        free = self.free_bytes or (UNLIMITED if ram_bytes is None else ram_bytes,)
        self.targets = tuple(room - margin for room, margin in zip(free, margins, strict=False))
        """the most that --fit wants to use of each place"""
        self.blocks = len(model.layers) - (0 if question.speculative else model.n_nextn)
        """blocks that --fit counts: those of prediction where they are loaded"""
        self.experts = int(model.hparams.get("expert_count") or 0)
        self.streams = resolve(question, model).streams
        self.chooses_context = not (question.n_ctx or (question.n_ctx is None and question.context is not None))
        self.n_ctx = min(model.context * self.streams, MAX_UINT32) if self.chooses_context else wanted_cells(question, model)
        self.steps: list[str] = []
        self._measured: dict[tuple[int, Flags], tuple[Memory, ...]] = {}

    def measure(self, flags: Flags = AS_ASKED) -> tuple[Memory, ...]:
        """Memory of every place at the present context; as asked, the question's own placement holds."""
        key = (self.n_ctx, flags)
        if key not in self._measured:
            if len(self._measured) == MOST_MEASUREMENTS:
                raise GaveUpError(f"no end after {MOST_MEASUREMENTS} measurements")
            self._measured[key] = self._load(flags)
        return self._measured[key]

    def _load(self, flags: Flags) -> tuple[Memory, ...]:
        question = replace(self.question, n_ctx=self.n_ctx)
        if flags == AS_ASKED:
            return self._with_draft(question)
        split = None if flags.tensor_split is None else tuple(float(n) for n in flags.tensor_split)
        question = replace(question, gpu_layers=flags.gpu_layers, tensor_split=split, override_tensor=flags.override_tensor)
        try:
            return self._with_draft(question)
        except RefusedError as error:
            raise GaveUpError(f"failed to create llama_context from model: {error}") from None

    def _with_draft(self, question: Question) -> tuple[Memory, ...]:
        found = memory(question, self.model, self.free_bytes)
        draft = draft_memory(question, self.model, self.free_bytes, self.attached)
        return tuple(found[d]._replace(context=found[d].context + draft.get(d, 0)) for d in self.places)

    def measured(self, flags: Flags) -> tuple[int, ...] | None:
        """Bytes of every place, if they were measured at the present context."""
        found = self._measured.get((self.n_ctx, flags))
        return None if found is None else tuple(one.total for one in found)

    def totals(self, what: str, flags: Flags = AS_ASKED) -> list[int]:
        """Bytes of every place, noted down."""
        totals = [one.total for one in self.measure(flags)]
        pairs = zip(totals, self.targets, strict=True)
        self.note(f"{what}: {', '.join(f'{total // MIB:,} of {target // MIB:,} MiB' for total, target in pairs)}")
        return totals

    def try_out(self, shares: Shares) -> list[int]:
        """Bytes of every device for the shares, noted down."""
        return self.totals(in_words(shares), flags_of(shares, self.blocks))

    def note(self, step: str) -> None:
        """Write down a step."""
        self.steps.append(step)


def _opened(question: Question, free_bytes: Sequence[int]) -> tuple[Question, tuple[int, ...]]:
    """With split mode none the main GPU alone, as if it were the only one."""
    if question.split_mode != "none" or not free_bytes:
        return question, tuple(free_bytes)
    main = question.main_gpu or 0
    if main >= len(free_bytes):
        raise QuestionError(f"main_gpu={main}: there are {len(free_bytes)} GPUs, counted from 0")
    return replace(question, main_gpu=None), (free_bytes[main],)
