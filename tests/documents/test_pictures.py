"""The pictures of the documents, and the script that makes them."""

import re
from xml.etree import ElementTree

from docs.pictures.terminal import Screen, as_svg
from tests.support.documents import pages
from tests.support.processes import ROOT

SVG = "{http://www.w3.org/2000/svg}"
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
IMAGES = ROOT / "docs/images"
BYTES_MAX = 300_000


def test_every_picture_is_in_a_page_with_a_text_for_those_who_cannot_see_it() -> None:
    shown = set()
    for page in pages():
        for text, target in IMAGE.findall((ROOT / page).read_text("utf-8")):
            assert len(text) > 10, (page, target)
            shown.add((ROOT / page).parent / target)
    assert {path.resolve() for path in shown} == set(IMAGES.iterdir())


def test_the_pictures_are_small() -> None:
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < BYTES_MAX


def test_a_screen_becomes_text_with_its_colours() -> None:
    svg = as_svg([Screen("$ semloop top\n\x1b[31m1 < 2 & 3\x1b[0m\n$", 1)], "top")
    tree = ElementTree.fromstring(svg)
    command, failed = tree.iter(f"{SVG}text")
    assert (command.text, failed.text) == ("$ semloop top", "1 < 2 & 3")
    assert "fill:#" in failed.get("style", "")
    assert command.get("style") is None
    assert "animation" not in svg


def test_screens_of_a_recording_are_shown_one_after_the_other() -> None:
    svg = as_svg([Screen("first", 1), Screen("second", 3)], "demo")
    tree = ElementTree.fromstring(svg)
    assert [group.get("class") for group in tree.iter(f"{SVG}g")] == ["s0", "s1"]
    assert (
        "@keyframes k0{0%{visibility:visible}0.000%{visibility:visible}25.000%" in svg
    )
    # A viewer without animations shows the last one alone.
    assert ".s0{visibility:hidden;animation" in svg
    assert ".s1{visibility:visible;animation" in svg
