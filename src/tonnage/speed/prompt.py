"""Reading a prompt on the devices of a placement, and starting: download, load."""

from collections.abc import Mapping

from tonnage.calculators.transfer import Link, transfer
from tonnage.speed import prefill
from tonnage.speed.sources import Source
from tonnage.speed.token import Range
from tonnage.work import HOST, Work

MAPPED = 3.0
"""how many times longer a load may take where the file is mapped: 2.4 and 8.8 times were seen (llama.cpp PR 14399, #9244)"""


def seconds_per_token(work: Work, sources: Mapping[int, Source], prompt: int) -> Range | None:
    """Seconds of a prompt's token; None where a rate that it hangs on is not known.

    Weights in host memory are copied to the first GPU for each micro-batch.
    """
    gpus = {device: source for device, source in sources.items() if device != HOST}
    if lacks(work, sources):
        return None
    first = gpus[min(gpus)]
    likely = sum(_compute(work, place.parameters, gpus.get(place.device, first), prompt) for place in work.places)
    likely += _attention(work, prompt, gpus)
    copied = sum(place.stored for place in work.places if place.device == HOST)
    likely += copied / first.bus / min(work.ubatch, prompt) if copied and first.bus else 0.0
    if not likely:
        return None
    band = first.group.prefill_band
    return Range(likely / band.high, likely, likely / band.low)


def lacks(work: Work, sources: Mapping[int, Source]) -> str:
    """Which rate of a prompt is not known; empty where all are."""
    gpus = [source for device, source in sorted(sources.items()) if device != HOST]
    if not gpus:
        return "how fast a CPU multiplies, by its cores and instructions, no published run tells"
    if not work.offloads:
        return "prompts are computed where the weights lie, and how fast a CPU multiplies no published run tells"
    unknown = next((source.name for source in gpus if not source.tflops), None)
    if unknown:
        return f"the rate of arithmetic of {unknown} is not known"
    if not gpus[0].bus and any(place.stored and place.device == HOST for place in work.places):
        return f"the bus of {gpus[0].name}, over which weights in RAM are copied, is not known"
    return ""


def _compute(work: Work, parameters: int, source: Source, prompt: int) -> float:
    tokens = min(work.ubatch, prompt)
    found = prefill.terms(parameters, 0, source.tflops or 1, work.is_f16, tokens * work.expert_share if work.has_experts else None)
    return prefill.seconds(source.group.prefill, found)


def _attention(work: Work, prompt: int, gpus: Mapping[int, Source]) -> float:
    """Attention over what is in the cache and half of the prompt, at the GPUs' mean rate."""
    seen = work.depth + prompt / 2
    products = sum(kind.products(seen) for kind in work.attention)
    times = [prefill.seconds(source.group.prefill, prefill.terms(0, products, source.tflops or 1, False, None)) for source in gpus.values()]
    return sum(times) / len(times)


def load_seconds(work: Work, disk: Link, sources: Mapping[int, Source]) -> Range:
    """From a cold disk to ready: the file over the disk, and what lies on GPUs over their buses."""
    read = transfer(work.file_bytes, [disk])
    buses = [place.stored / source.bus for place in work.places if (source := sources.get(place.device)) and source.bus]
    likely = max([read.seconds, *buses])
    return Range(max([read.least_seconds, *buses]), likely, likely * (MAPPED if work.mapped else 1.5))


def download_seconds(work: Work, internet: Link) -> Range:
    """The file over the internet; half of the rate is not rare."""
    found = transfer(work.file_bytes, [internet])
    return Range(found.least_seconds, found.seconds, 2 * found.seconds)
