"""What would make a question fit on its GPUs: less context, a smaller cache, a smaller quant. Each is tried before it is told."""

from collections import Counter
from collections.abc import Callable, Iterator

from tonnage.engines.llamacpp import answer, gpus_of, placement_of
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.plan.layout import NOTHING_MATCHES
from tonnage.engines.llamacpp.settings import context_of, wanted_cells
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.errors import TonnageError
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model
from tonnage.question import Question

LEAST_CONTEXT, STEP = 4096, 1024
"""tokens: contexts below are not offered, and are offered in such steps"""

LADDER = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_M", "Q3_K_S", "Q2_K")
"""quants that are offered, from many bits to few"""

Fits = Callable[[Question], bool]


def remedies(question: Question, model: Model, attached: Attached) -> Iterator[str]:
    """Settings with which everything fits on the GPUs, the margin kept."""

    def fits(changed: Question) -> bool:
        try:
            if _over_already(changed, model):
                return False
            found = answer(changed, model, attached)
        except TonnageError:
            return False
        margin = int(found.question["margin"])
        gpus = found.devices[:-1]
        return all((gpu.free_bytes or 0) - (gpu.error.high if gpu.error else 0) >= margin for gpu in gpus if gpu.usable_bytes is not None)

    yield from _context(question, model, fits)
    yield from _cache(question, fits)
    yield from _quant(question, model, fits)
    if question.slots is None and (question.users or 1) == 1 and question.profile != "tools" and fits(replace(question, slots=1)):
        yield "one slot (-np 1)"
    if question.override_tensor is None and fits(replace(question, override_tensor=NOTHING_MATCHES)):
        yield f"no pipeline parallelism (-ot '{NOTHING_MATCHES}')"


def _over_already(question: Question, model: Model) -> bool:
    """Whether weights and cache alone are more than a GPU holds: then nothing else needs to be counted, which takes a walk."""
    settings, placement = placement_of(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    taken = Counter(weights_by_device(model, tensors, placement, False))
    for (_, device), nbytes in cache_by_device(model, settings, placement).items():
        taken[device] += nbytes
    margin = settings.build.fit_margin_bytes if question.margin is None else question.margin
    gpus = gpus_of(question, settings)
    return any(gpu.usable_bytes is not None and taken[device] + margin > gpu.usable_bytes for device, gpu in enumerate(gpus))


def _context(question: Question, model: Model, fits: Fits) -> Iterator[str]:
    """The largest context that fits; memory never falls as it grows."""
    asked = wanted_cells(question, model) if question.n_ctx is not None else context_of(question, model)

    def with_context(steps: int) -> Question:
        tokens = steps * STEP
        return replace(question, n_ctx=tokens) if question.n_ctx is not None else replace(question, context=tokens)

    low, high = LEAST_CONTEXT // STEP, -(-asked // STEP)
    if low >= high or not fits(with_context(low)):
        return
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(with_context(middle)) else (low, middle)
    yield f"-c {low}K"


def _cache(question: Question, fits: Fits) -> Iterator[str]:
    if question.cache_type_k is None and question.cache_type_v is None and fits(replace(question, cache_type_k="q8_0", cache_type_v="q8_0")):
        yield "q8_0 cache (-ctk q8_0 -ctv q8_0)"


def _quant(question: Question, model: Model, fits: Fits) -> Iterator[str]:
    """The largest smaller quant that fits; of a model whose file is there only the file is known."""
    name = recipe_of(question, model).name
    if name not in LADDER:
        return
    smaller = LADDER[LADDER.index(name) + 1 :]
    low, high = 0, len(smaller)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(replace(question, quant=smaller[middle])) else (middle + 1, high)
    if low < len(smaller):
        yield f"-q {smaller[low]}"
