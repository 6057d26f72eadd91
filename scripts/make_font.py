"""Rebuild src/tonnage/render/fonts/ and src/tonnage/data/font_widths.json: Inter (OFL-1.1), Latin-1 and a few signs, without hints.

    pip install fonttools brotli
    npm pack @fontsource/inter@5.3.0 && tar xzf fontsource-inter-5.3.0.tgz
    python scripts/make_font.py package/files

Cards are drawn in it, since a renderer of SVG leaves text out, without a word, where the font that it names is missing.
"""

import json
import sys
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from tonnage.render.card import HELD

PACKAGE = Path(__file__).parent.parent / "src/tonnage"
TARGET = PACKAGE / "render/fonts"
SOURCE = "Inter Bold 4.001, from the npm package @fontsource/inter 5.3.0 (scripts/make_font.py)"
WEIGHTS = {400: "Regular", 700: "Bold"}


def main(folder: str) -> None:
    for weight, name in WEIGHTS.items():
        font = TTFont(f"{folder}/inter-latin-{weight}-normal.woff2")
        font.flavor = None
        options = Options(layout_features=["kern", "mark", "mkmk", "ccmp"], hinting=False, notdef_outline=True, name_IDs=[*range(7), 13, 14])
        subset = Subsetter(options)
        subset.populate(text=HELD)
        subset.subset(font)
        font.save(TARGET / f"Inter-{name}.ttf")
        if name == "Bold":
            (PACKAGE / "data/font_widths.json").write_text(widths(font), encoding="utf-8")


def widths(font: TTFont) -> str:
    """Advances in thousandths of the size; letters are as wide in print as this or less, since pairs are only set closer."""
    em, signs = font["head"].unitsPerEm, font.getBestCmap()
    found = {chr(code): round(1000 * font["hmtx"][glyph][0] / em) for code, glyph in signs.items()}
    return json.dumps({"about": "advances in thousandths of the font's size", "source": SOURCE, "widths": found}, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    main(sys.argv[1])
