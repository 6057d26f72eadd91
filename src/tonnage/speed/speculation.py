"""Speculative decoding: several tokens are drafted, then checked in one pass over the weights."""

from collections.abc import Mapping

from tonnage.speed import decode
from tonnage.speed.sources import Source
from tonnage.speed.token import DISK, Range, Share
from tonnage.work import Draft, Work

ACCEPTANCE = (0.5, 0.7, 0.9)
"""assumed where none is given: low, likely, high"""
LOOKED_UP = (0.0, 0.3, 0.85)
"""the same for text that is looked up: with 4 tokens vLLM 0.25 was 1.2 to 1.5 times as fast with real prompts, and 2.6 to 3 times with
repetitive ones (github.com/LottoLottoLotto/4x3090-llm-benchmarks, campaigns tli-real and tli-synth)"""
PER_TOKEN = 0.25
"""share of a pass by which each further token lengthens it: Qwen3.6-27B with its own head reached 47.5 to 56.5 tokens a second with
2 or 3 drafted on an RTX 3090 (github.com/noonghunna/club-3090, BENCHMARKS.md), an acceptance of 0.7 taken"""


def tokens_of(acceptance: float, drafted: int) -> float:
    """Tokens that one round yields: the checked one, and each drafted one if all before it were accepted."""
    return sum(acceptance**i for i in range(drafted + 1))


def more_experts(share: float, drafted: int) -> float:
    """How many times as many experts a pass of `drafted + 1` tokens reads as one token, each sent to `share` of them."""
    return (1 - (1 - share) ** (drafted + 1)) / share


def round_shares(work: Work, one: tuple[Share, ...], sources: Mapping[int, Source], draft: Draft) -> tuple[Share, ...]:
    """The shares of a whole round: a pass that reads more experts, and the drafts."""
    more = more_experts(work.expert_share, draft.tokens)
    longer = 1 + PER_TOKEN * draft.tokens
    checked = tuple(_times(share, more) if share.what == "experts" or share.where == DISK else share for share in one)
    source = sources[draft.device]
    found = decode.terms(draft.bytes, 0, draft.layers, work.has_experts, source.bandwidth, source.two_dies)
    seconds = decode.seconds(source.group.decode, found)
    drafting = Share(source.name, "draft", draft.bytes, seconds, draft.bytes / source.bandwidth, source.band)
    return (*(share._replace(seconds=share.seconds * longer) for share in checked), _times(drafting, draft.tokens))


def _times(share: Share, factor: float) -> Share:
    return share._replace(nbytes=round(share.nbytes * factor), seconds=share.seconds * factor, least=share.least * factor)


def acceptances(draft: Draft, given: float | None) -> tuple[float, float, float]:
    """(low, likely, high): as given, else what is assumed of a head, of a smaller model, or of text that is looked up."""
    if given is not None:
        return given, given, given
    return LOOKED_UP if draft.guesses else ACCEPTANCE


def tokens_per_second(seconds: Range, draft: Draft, acceptance: float | None) -> Range:
    """Tokens over the seconds of a round, with the acceptance given or with its assumed range."""
    drafted, (low, likely, high) = draft.tokens, acceptances(draft, acceptance)
    rounds = seconds.inverse()
    return Range(rounds.low * tokens_of(low, drafted), rounds.likely * tokens_of(likely, drafted), rounds.high * tokens_of(high, drafted))
