"""The documentation as it is read without a network: every page, its pictures, sounds and formulas; no barrier."""

from __future__ import annotations

import pytest

THEIRS = {"summary-name": ".bd-sidebar-primary details > summary"}  # the theme's arrows that unfold the list of pages
STORIES = ["generated/notebooks/hearing", "generated/notebooks/probing", "generated/notebooks/two_listeners"]
TUTORIALS = ["tutorial-audiogram", "tutorial-mask", "tutorial-probe", "tutorial-study"]
FORMULAS = ["explain-blocks", "explain-normalisation"]

BROKEN_PICTURES = """() => Promise.all([...document.images].map(async (image) => {
  image.loading = "eager";
  await image.decode().catch(() => {});
  const stretched = (image.naturalWidth / image.naturalHeight) / (image.clientWidth / image.clientHeight);
  return Math.abs(stretched - 1) < 0.02 ? "" : `${image.src.slice(-100)} stretched by ${stretched}`;
})).then((sources) => sources.filter(Boolean))"""
BROKEN_SOUNDS = """() => Promise.all([...document.querySelectorAll("audio")].map((player) => new Promise((told) => {
  const tell = () => told(player.duration > 0 ? "" : (player.currentSrc || player.src).slice(0, 100));
  player.addEventListener("loadedmetadata", tell);
  player.addEventListener("error", tell);
  player.preload = "metadata";
  player.load();
}))).then((sources) => sources.filter(Boolean))"""


def test_no_page_complains_or_asks_for_a_network(site, visit):
    pages = [p for p in sorted(site.rglob("*.html")) if p.parent.name not in ("api", "_static")]
    assert len(pages) > 40
    page = visit(site / "index.html")
    for one in pages:
        page.goto(one.resolve().as_uri())
        assert page.locator("h1").first.inner_text(), one
        assert page.evaluate(BROKEN_PICTURES) == [], one


@pytest.mark.parametrize("name", ["gallery", *STORIES])
def test_notebooks_have_pictures_and_what_sounds_plays(name, site, visit, shots):
    page = visit(site / f"{name}.html")
    assert page.locator(".cell_output img").count() >= 2
    assert page.evaluate(BROKEN_SOUNDS) == []
    page.screenshot(path=shots / f"docs-{name.rpartition('/')[2]}.png", full_page=True)


def test_a_notebook_is_to_be_heard(site, visit):
    page = visit(site / "generated/notebooks/hearing.html")
    assert page.locator(".cell_output audio").count() >= 2


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_are_drawn(name, site, visit, shots):
    page = visit(site / f"{name}.html")
    formulas = page.locator("math")
    assert formulas.count() >= 2
    for box in (formula.bounding_box() for formula in formulas.all()):
        assert box is not None
        assert min(box["width"], box["height"]) > 4
    clips = page.locator("span.math").evaluate_all("(spans) => spans.map((span) => getComputedStyle(span).overflowY)")
    assert set(clips) == {"visible"}, "letters are cut"
    assert "$" not in page.locator("article").inner_text()
    page.screenshot(path=shots / f"docs-{name}.png", full_page=True)


@pytest.mark.parametrize(
    "name", ["index", "gallery", "glossary", "notebooks", "reference", *TUTORIALS, *FORMULAS, *STORIES]
)
def test_no_barrier(name, site, visit, audit):
    found = audit(visit(site / f"{name}.html"), theirs=THEIRS)
    assert not found, found


@pytest.mark.parametrize("name", ["index", TUTORIALS[0], STORIES[0]])
def test_no_barrier_in_the_dark(name, site, visit, audit, shots):
    page = visit(site / f"{name}.html", color_scheme="dark")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.screenshot(path=shots / f"docs-{name.rpartition('/')[2]}-dark.png")
    found = audit(page, "contrast")
    assert not found, found


def test_no_page_is_wider_than_a_telephone(site, visit, shots):
    page = visit(site / "index.html", width=360, height=740)
    for name in ("index", "gallery", "study-file", *TUTORIALS, *FORMULAS, *STORIES):
        page.goto((site / f"{name}.html").resolve().as_uri())
        page.screenshot(path=shots / f"docs-{name.rpartition('/')[2]}-telephone.png")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 360, name
