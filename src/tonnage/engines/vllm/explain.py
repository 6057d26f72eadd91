"""Why a part has its size: the rule of vLLM with this question's numbers put in."""

from collections.abc import Callable, Mapping, Sequence

from tonnage.answer import Explanation, Part
from tonnage.engines.torch.weights import weights_per_rank
from tonnage.engines.vllm import planned, stage_of
from tonnage.engines.vllm.budget import activations, network_bytes, rope_bytes
from tonnage.engines.vllm.groups import blocks_of
from tonnage.engines.vllm.pages import STATE
from tonnage.engines.vllm.settings import Settings, devices_of, resolve
from tonnage.errors import QuestionError, nearest
from tonnage.model.types import Model
from tonnage.question import Question

SOURCE = "vLLM 0.33"
Writer = Callable[[Question, Model, Settings], Explanation]


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    if part not in WRITERS:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(WRITERS)}", nearest(part, WRITERS))
    return WRITERS[part](question, model, resolve(question, model))


def _weights(question: Question, model: Model, settings: Settings) -> Explanation:
    ranks = weights_per_rank(model, settings.storage, settings.ranks, settings.mtp)
    steps = tuple(f"stage {i}: {rank.parameters:,} bytes a rank, {rank.vision:,} of them vision" for i, rank in enumerate(ranks))
    formula = "projections by heads or rows / tp, vocabulary padded to 64 / tp, KV heads copied beyond their number, norms and routers whole"
    return Explanation("weights of every rank", formula, steps, f"{ranks[0].parameters:,} bytes", f"{SOURCE}, built with one rank and with several")


def _cache(kinds: str) -> Writer:
    def write(question: Question, model: Model, settings: Settings) -> Explanation:
        weights = weights_per_rank(model, settings.storage, settings.ranks, settings.mtp)
        pool, _ = planned(question, model, settings, weights, devices_of(question, settings.ranks))
        steps, blocks = [], 0
        for group in pool.layout.groups:
            if (group.page.kind == STATE) == (kinds == "state"):
                own = blocks_of(group.page, settings.context, settings)
                blocks += own
                steps.append(f"{len(group.layers)} layers, {group.page.kind}: {own:,} blocks of {group.page.block:,} tokens a request")
        size = pool.layout.bytes_per_block(stage_of(0, settings))
        steps.append(f"{blocks:,} blocks x {settings.users} users x {size:,} bytes a block")
        formula = "blocks of one request in each group x users x bytes of a block, which holds one page of every layer of the widest group"
        title = "states of the question's requests" if kinds == "state" else "keys and values of the question's requests"
        return Explanation(title, formula, tuple(steps), f"{blocks * settings.users * size:,} bytes a rank", f"{SOURCE}, v1/core/kv_cache_utils.py")

    return write


def _activations(question: Question, model: Model, settings: Settings) -> Explanation:
    part, build = activations(model, settings), settings.build
    logits, hidden = f"{settings.max_num_seqs:,} sequences x {model.n_vocab:,} logits", f"{settings.batched_tokens:,} tokens x {model.n_embd:,}"
    steps = (
        f"sampler: {build.sampler_bytes:g} x {logits} + 2 x {hidden}",
        f"network: {network_bytes(model, settings):,} bytes for {settings.batched_tokens:,} tokens",
    )
    source = f"{SOURCE}; fitted to 0.11's logs"
    return Explanation("peak of the profiling run", "the larger of sampler and network", steps, f"{part.bytes:,} bytes", source)


def _other(name: str, title: str, formula: str, source: str) -> Writer:
    def write(question: Question, model: Model, settings: Settings) -> Explanation:
        weights = weights_per_rank(model, settings.storage, settings.ranks, settings.mtp)
        _, takes = planned(question, model, settings, weights, devices_of(question, settings.ranks))
        part = _named(takes[0].parts, name)
        tables = f", of them {rope_bytes(model, settings):,} of rotation tables" if name == "runtime" else ""
        return Explanation(title, formula, (f"{part.bytes:,} bytes{tables}",), f"{part.bytes:,} bytes", f"{SOURCE}; {source}")

    return write


def _named(parts: Sequence[Part], name: str) -> Part:
    return next(part for part in parts if part.part == name)


WRITERS: Mapping[str, Writer] = {
    "weights": _weights,
    "kv": _cache("kv"),
    "state": _cache("state"),
    "activations": _activations,
    "runtime": _other(
        "runtime",
        "memory outside PyTorch, and tables",
        "0.14 GiB with one rank, 0.54 GiB with several, and context x rotated elements x 2",
        "six public rows of 0.11",
    ),
    "graphs": _other("graphs", "CUDA graphs", "fitted: no formula is known", "public logs of 0.11 and 0.20"),
}
