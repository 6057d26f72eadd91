"""What MLX-LM does for one token: one machine reads every tensor once, and the cache as far as each layer sees it."""

from tonnage.engines.mlx.memory import state_bytes
from tonnage.engines.mlx.settings import Settings, format_of, resolve
from tonnage.engines.torch.reads import cache_reads
from tonnage.model.active import attention_widths, expert_share
from tonnage.model.published import EMBEDDING, EXPERT, HEAD
from tonnage.model.types import Model
from tonnage.quant import formats
from tonnage.question import Question
from tonnage.work import Attention, Place, Work


def work(question: Question, model: Model) -> Work:
    """The work of a token for the question's settings, at its depth."""
    settings = resolve(question, model)
    return Work(
        places=(place_of(question, model, settings),),
        depth=question.depth or 0,
        expert_share=expert_share(model),
        attention=tuple(Attention(*kind) for kind in attention_widths(model)),
        is_f16=settings.prediction.format == "bf16",
        ubatch=settings.chunk,
        file_bytes=settings.prediction.nbytes,
        mapped=True,
        offloads=True,
        engine="mlx",
        users=settings.users,
    )


def place_of(question: Question, model: Model, settings: Settings) -> Place:
    """Everything lies in unified memory. A table that is looked up by row is not read; a tied one is, as the head."""
    table = list(formats.stored(model, format_of(question, model)))
    tied = not any(matrix.role == HEAD for matrix, _ in table)
    read = [(m, n) for m, n in table if m.role != EMBEDDING or (tied and m.module == "model.embed_tokens")]
    share, trunk = expert_share(model), len(model.layers) - model.n_nextn
    experts = sum(nbytes for matrix, nbytes in read if matrix.role == EXPERT)
    dense = sum(nbytes for matrix, nbytes in read if matrix.role != EXPERT)
    parameters = sum(matrix.elements * (share if matrix.role == EXPERT else 1) for matrix, _ in read)
    kv, state = cache_reads(model, range(trunk), 1, settings.kv_bits, question.depth or 0, lambda mixer: state_bytes(model, mixer))
    return Place(0, dense, round(experts * share), kv, state, trunk, round(parameters), sum(nbytes for _, nbytes in table))
