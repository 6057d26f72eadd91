"""Numbers of blocks as a short regular expression."""

from collections.abc import Iterable


def pattern(numbers: Iterable[int]) -> str:
    """A group that matches these numbers alone: `(3|1[0-4]|[23][0-9])`, without parentheses for a single one."""
    units_of: dict[str, str] = {}
    for n in sorted(set(numbers)):
        tens = str(n // 10) if n > 9 else ""
        units_of[tens] = units_of.get(tens, "") + str(n % 10)
    alike: dict[tuple[str, str], list[str]] = {}
    for tens, units in units_of.items():
        alike.setdefault((units, "" if len(tens) == 1 else tens or "none"), []).append(tens)
    terms = [("" if tens == [""] else _digits(tens)) + _digits(list(units)) for (units, _), tens in alike.items()]
    return terms[0] if len(terms) == 1 and "[" not in terms[0] else f"({'|'.join(terms)})"


def _digits(digits: list[str]) -> str:
    """One digit or a class of them, runs of three and more with a dash."""
    if len(digits) == 1:
        return digits[0]
    runs: list[list[str]] = []
    for digit in digits:
        if runs and int(digit) == int(runs[-1][-1]) + 1:
            runs[-1].append(digit)
        else:
            runs.append([digit])
    return "[" + "".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else "".join(run) for run in runs) + "]"
