"""The report for every reader: in the dark, on a telephone, on paper, by keyboard, by screen reader."""

from __future__ import annotations

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

# One manifest is like the other.
OPEN_ALL = """document.querySelectorAll("details:not(#provenance details ~ details)")
  .forEach((details) => { details.open = true; })"""
SHOW_PICTURES = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.decode();
}))"""
# Contrast (WCAG 2) between the text around charts and the page, worst first. Text in cells of the matrix stands on the
# cell's colour, by which its own is chosen.
CONTRASTS = """() => {
  const light = (css) => {
    const [r, g, b] = css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const texts = [...document.querySelectorAll(
    ".plot :is(.xtick, .ytick, .legend, .g-xtitle, .g-ytitle, .g-x2title, .g-y2title) text")];
  return texts.map((text) => {
    const style = getComputedStyle(text);
    const ink = light(style.fill);
    return [(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) * style.fillOpacity, text.textContent];
  }).sort((a, b) => a[0] - b[0]);
}"""
STOPS = """() => {
  const stops = [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, audio[controls], [tabindex]")].filter((e) =>
    e.tabIndex >= 0 && !e.disabled && e.checkVisibility({ visibilityProperty: true }));
  window.reached = new Set();
  window.unseen = new Set();
  stops.forEach((e, number) => { e.dataset.stop = number; });
  addEventListener("focusin", ({ target }) => {
    if (!target.dataset?.stop) return;
    window.reached.add(target.dataset.stop);
    const style = getComputedStyle(target);
    if ((style.outlineStyle === "none" || parseFloat(style.outlineWidth) === 0) && style.boxShadow === "none")
      window.unseen.add(target.outerHTML.slice(0, 120));
  });
  return stops.length;
}"""
LEFT_OUT = """() => [...document.querySelectorAll("[data-stop]")]
  .filter((e) => !window.reached.has(e.dataset.stop)).map((e) => e.outerHTML.slice(0, 120))"""


def picture(page: Page, file, selector: str | None = None) -> None:
    page.evaluate(SHOW_PICTURES)
    if selector:
        page.locator(selector).screenshot(path=file)
    else:
        page.screenshot(path=file, full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier(scheme, demo, read, audit, shots):
    page = read(demo, color_scheme=scheme)
    page.screenshot(path=shots / f"summary-{scheme}.png")
    picture(page, shots / f"report-{scheme}.png")
    if scheme == "light":  # the same elements in the dark, in other colours
        found = audit(page, "structure")
        assert not found, found
    page.evaluate(OPEN_ALL)
    found = audit(page, "all" if scheme == "light" else "contrast")
    assert not found, found
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert contrasts[0][0] >= 4.5, contrasts[:5]


def test_no_barrier_after_search_sort_and_choice(large, read, audit, shots):
    page = read(large)
    page.locator("#word-table_wrapper input[type=search]").fill("ba")
    page.locator("#word-table thead tr").last.locator("th").last.click()
    page.locator("#word-table tbody a[data-word]").first.click()
    expect(page.locator("#clip-title")).to_be_focused()
    found = audit(page, "structure")
    assert not found, found
    picture(page, shots / "large-words.png", "#words")
    picture(page, shots / "large-recording.png", "#clip")


def test_the_page_follows_the_screen_into_the_dark(demo, read):
    page = read(demo)
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert min(page.evaluate(ground)) > 240
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ground}.every((part) => part < 50)")
    page.wait_for_function(f"({CONTRASTS})()[0][0] >= 4.5")  # charts are drawn anew


def test_no_page_is_wider_than_its_screen(study, read, shots):
    page = read(study, width=768)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 768
    page.set_viewport_size({"width": 360, "height": 740})
    picture(page, shots / f"{study.name}-telephone.png")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360


def test_everything_is_reached_and_seen_by_tab(demo, read):
    page = read(demo)
    page.evaluate(OPEN_ALL)
    stops = page.evaluate(STOPS)
    assert stops > 50
    for _ in range(8 * stops):  # a player has stops of its own inside
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert page.evaluate(LEFT_OUT) == []
    assert page.evaluate("[...unseen]") == []


def test_a_reader_with_a_keyboard_alone(demo, read):
    page = read(demo)
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    expect(page.locator("a.skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#found"
    heading = page.locator("#word-table thead tr").last.locator("th").nth(2)
    heading.locator("[tabindex='0']").focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    fold = page.locator("details > summary").first
    fold.focus()
    page.keyboard.press("Enter")
    assert fold.evaluate("(summary) => summary.parentElement.open")
    page.locator("#word-table tbody a[data-word]").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#clip-title")).to_be_focused()
    page.locator("#clip-recording").focus()
    before = page.locator("#clip-recording").input_value()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#clip-recording")).not_to_have_value(before)
    turn = page.locator("#word-table_wrapper .dt-paging").get_by_label("Next")
    turn.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#word-table_wrapper .dt-info")).to_contain_text("26 to 50")


def test_without_scripts_the_findings_are_there(demo, visit):
    page = visit(demo.report, java_script_enabled=False)
    assert page.locator("#found li").count() >= 5
    expect(page.locator("#found noscript .note")).to_be_visible()
    expect(page.locator("#conditions-table")).to_contain_text("hfloss")
    expect(page.locator("#listen audio").first).to_be_visible()


def test_paper(study, read, shots):
    page, name = read(study), study.name
    file = shots / f"{name}.pdf"
    page.pdf(path=file, format="A4", print_background=True)
    paper = pypdfium2.PdfDocument(file)
    assert 5 <= len(paper) <= 36
    words = 0
    for number, sheet in enumerate(paper):
        text = sheet.get_textpage().get_text_range()
        words += len(text.split())
        image = sheet.render(scale=1).to_pil()
        image.save(shots / f"{name}-paper-{number + 1:02}.png")
        grey = image.convert("L").histogram()
        assert sum(grey[:200]) > 0.002 * sum(grey), f"sheet {number + 1} of {file} is empty"
        assert grey[255] > 0.3 * sum(grey), f"sheet {number + 1} of {file} is dark"
    assert words > 1000
