"""What the pages say is what the program does."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs  # noqa: E402
import generated  # noqa: E402

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.slow
@pytest.mark.parametrize("page", docs.PAGES, ids=lambda page: page.TARGET.name)
def test_generated_pages_are_fresh(page):
    """A generated page holds what its script would write; `make docs` writes it anew."""
    assert page.text() == page.TARGET.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    """Every relative link of a page names a file that is there."""
    lost = [target for target in LINK.findall(path.read_text(encoding="utf-8")) if not (path.parent / target).exists()]

    assert [] == lost


def test_a_block_is_replaced():
    """What stands between a block's markers is replaced, the rest is kept."""
    page = "before\n<!-- generated: a -->\nold\n<!-- end -->\nafter\n"

    assert page.replace("old", "new") == generated.fill(page, {"a": "new"})


@pytest.mark.parametrize("blocks", [{}, {"b": "x"}, {"a": "x", "b": "y"}])
def test_blocks_and_page_name_the_same(blocks):
    """A block that the page lacks, or one that nothing writes, is an error."""
    with pytest.raises(ValueError, match="the page has the blocks"):
        generated.fill("<!-- generated: a -->\n<!-- end -->\n", blocks)


def test_a_block_has_an_end():
    """A start marker without its end marker is an error."""
    with pytest.raises(ValueError, match="no end marker"):
        generated.fill("<!-- generated: a -->\n", {"a": "x"})
