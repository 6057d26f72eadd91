"""The sentences that every readable form of an answer begins and ends with."""

from collections.abc import Callable, Iterator, Mapping

from tonnage.answer import DeviceAnswer, Estimate, Verdict
from tonnage.render import numbers


def headline(estimate: Estimate) -> str:
    """Model, quant and engine."""
    return f"{estimate.model.name} · {_recipe(estimate)} · {estimate.engine} · {estimate.question.get('backend', '')}".removesuffix(" · ")


def _recipe(estimate: Estimate) -> str:
    weights = estimate.weights
    kind = max(weights.by_type, key=lambda t: weights.by_type[t][1], default="") if weights.recipe == "file" else ""
    return f"as in the file (mostly {kind})" if kind else weights.recipe


def settings(estimate: Estimate) -> str:
    """Context, slots and cache types, as they were asked or assumed."""
    asked = estimate.question
    words = [f"{numbers.tokens(int(asked['context']))} tokens a request"] if "context" in asked else []
    slots = int(asked.get("slots") or 1)
    if slots > 1:
        words.append(f"{slots} slots {'share one cache' if asked.get('kv_unified') else 'with a cache each'}")
    if "cache_type_k" in asked:
        words.append(f"cache {asked['cache_type_k']}/{asked['cache_type_v']}")
    if asked.get("flash_attn") == "off":
        words.append("no flash attention")
    return ", ".join(words)


def totals(estimate: Estimate) -> str:
    """All devices together at the start, in both units, and what the host may be asked for later."""
    later = sum(reserved_bytes(device) for device in estimate.devices)
    text = f"total {both(estimate.total_bytes - later)}"
    if estimate.gpu_bytes and estimate.host_bytes:
        text += f": GPU {numbers.gib(estimate.gpu_bytes)} GiB, host {numbers.gib(estimate.host_bytes - later)} GiB"
    return f"{text}; up to {numbers.gib(later)} GiB more of host memory as it serves" if later else text


def also(verdict: Verdict) -> tuple[str, ...]:
    """What would make it fit besides what the verdict's sentence says already."""
    return tuple(way for way in verdict.would_fit_with if way not in verdict.text)


def pace(estimate: Estimate) -> Iterator[str]:
    """Speed and cost in a line each, low, likely, high."""
    speed, cost = estimate.speed, estimate.cost
    if speed:
        prompt = speed["prefill_tokens_per_second"]
        text = f"speed: {_range(speed['decode_tokens_per_second'])} tokens/s" + (f", prompt {_range(prompt)}" if prompt else "")
        yield f"{text}; bound by {speed['bound_by']}; fitted to {speed['rows']} published runs"
        if speed["together"]:
            yield f"{speed['together']['users']} at a time: {_range(speed['together']['tokens_per_second'])} tokens/s together"
    if cost:
        currency = f" {cost['currency']}".rstrip()
        text = f"cost: {_range(cost['per_million_output_tokens'], numbers.money)}{currency} per million tokens"
        yield f"{text}, {numbers.money(cost['per_day'])} a day, {numbers.money(cost['per_month'])} a month ({cost['basis']})"


def _range(found: Mapping[str, float], show: Callable[[float], str] = numbers.rough) -> str:
    return " - ".join(show(found[name]) for name in ("low", "likely", "high"))


def against(device: DeviceAnswer) -> str:
    """What lies on the device, of what can be used; empty for a device without a limit."""
    if device.usable_bytes is None or device.free_bytes is None:
        return ""
    free = device.free_bytes
    left = f"{numbers.gib(free)} GiB free" if free >= 0 else f"{numbers.gib(-free)} GiB short"
    return f"{numbers.gib(device.total_bytes)} of {numbers.gib(device.usable_bytes)} GiB{' usable' if device.deductions else ''}, {left}"


def deductions(device: DeviceAnswer) -> str:
    """What lies between the label and what can be used; empty where nothing does."""
    if not device.deductions or device.capacity_bytes is None:
        return ""
    less = ", ".join(f"{numbers.gib(row.bytes)} {row.what}" for row in device.deductions)
    return f"{numbers.gib(device.capacity_bytes)} GiB less {less}"


def capacity(estimate: Estimate) -> str:
    """What a serving engine takes, and what its cache then holds; empty for others."""
    told = estimate.capacity or {}
    taken = [nbytes for nbytes in told.get("taken_bytes", ()) if nbytes is not None]
    words = [f"need {numbers.gib(max(device.total_bytes for device in estimate.devices))} GiB a device"]
    words += [f"{estimate.engine} takes {numbers.gib(max(taken))} GiB"] if taken else []
    if told.get("kv_tokens"):
        cache = f"its cache of {numbers.gib(int(told['available_kv_bytes']))} GiB holds {numbers.tokens(int(told['kv_tokens']))} tokens"
        words.append(f"{cache}, {told['concurrency']:.2f} requests of {numbers.tokens(int(estimate.question['context']))}")
    return "; ".join(words) if told else ""


def reserved_bytes(device: DeviceAnswer) -> int:
    """What a device may be asked for later, and does not hold at the start."""
    return sum(part.bytes for part in device.parts if part.held == "reserved")


def both(nbytes: int) -> str:
    """`6.00 GiB (6.44 GB)`."""
    return f"{numbers.gib(nbytes)} GiB ({numbers.gb(nbytes)} GB)"
