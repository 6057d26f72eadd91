"""A picture of ours as PNG, by resvg (package resvg-py, extra `serve`), in the font that lies beside this file and no other."""

from functools import cache

import tonnage.render
from tonnage.errors import UnsupportedError

FONTS = ("Inter-Regular.ttf", "Inter-Bold.ttf")


@cache
def can_draw() -> bool:
    """Whether pictures can be made here."""
    from importlib.util import find_spec  # a browser's engine loads this module, and never asks

    return find_spec("resvg_py") is not None


def draw(svg: str) -> bytes:
    """The picture at its own size; UnsupportedError where the package that draws is missing."""
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise UnsupportedError("pictures need resvg-py: pip install 'tonnage[serve]'") from None
    # fonts of the system would make the same card differ from one machine to the next
    return bytes(svg_to_bytes(svg_string=svg, skip_system_fonts=True, font_files=[f"{tonnage.render.__path__[0]}/fonts/{name}" for name in FONTS]))
