"""What the place that an answer is printed to can show."""

import os

from tonnage.render import Style
from tonnage.verbs import Call


def style_of(call: Call) -> Style:
    """Colour and bars where the output is a terminal; NO_COLOR and --color have their say."""
    terminal = call.out.isatty()
    wish = call.face.get("colour", "auto")
    colour = wish == "always" or (wish == "auto" and terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")
    return Style(colour, terminal, _width() if terminal else 80)


def _width() -> int:
    """Columns of the terminal, but no more than a line that is read with ease."""
    import shutil

    return max(40, min(shutil.get_terminal_size().columns, 100))
