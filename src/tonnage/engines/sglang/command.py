"""The launch command that an answer is about."""

from tonnage.engines.sglang.settings import Settings
from tonnage.engines.torch.words import quoted
from tonnage.model.types import Model
from tonnage.question import Question


def launch(question: Question, model: Model, settings: Settings) -> dict[str, str]:
    """`python -m sglang.launch_server ...`, with what the answer hangs on spelled out."""
    ranks = settings.ranks
    values = (
        ("--context-length", settings.context),
        ("--mem-fraction-static", f"{settings.fraction:.3f}" if settings.fraction is not None else None),
        ("--tp-size", ranks.tp if ranks.tp > 1 else None),
        ("--pp-size", ranks.pp if ranks.pp > 1 else None),
        ("--dp-size", ranks.dp if ranks.dp > 1 else None),
        ("--ep-size", ranks.experts if ranks.ep else None),
        ("--chunked-prefill-size", settings.chunk),
        ("--kv-cache-dtype", settings.kv_dtype if settings.kv_dtype != "auto" else None),
        ("--page-size", settings.page if settings.page > 1 else None),
        ("--max-running-requests", settings.asked_requests),
        ("--speculative-algorithm", question.speculative),
    )
    words = [word for name, value in values if value is not None for word in (name, quoted(str(value)))]
    cached = [] if settings.radix else ["--disable-radix-cache"]
    return {"sglang": " ".join(["python -m sglang.launch_server --model-path", quoted(model.name), *words, *cached])}
