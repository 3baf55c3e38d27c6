"""Every chart of the report is drawn, and saved as a picture that other programs can open."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pandas as pd
import pytest

import whisperprobe

SVG = "{http://www.w3.org/2000/svg}"
# Of every title below an x axis, in px: how far it is from the labels above it, and from the caption below it.
SPACES = """(figure) => {
  const box = (element) => element.getBoundingClientRect();
  const labels = [...figure.querySelectorAll(".xaxislayer-above text")].map((label) => box(label).bottom);
  const caption = box(figure.querySelector("figcaption")).top;
  return [...figure.querySelectorAll(".infolayer [class^='g-x'][class$='title'] text")].map((title) => {
    const { top, bottom } = box(title);
    return [title.textContent, top - Math.max(...labels.filter((label) => label < top + 2)), caption - bottom];
  }).filter(([, above]) => Number.isFinite(above));
}"""

# Of the charts that are drawn for paper: texts that reach beyond their chart.
CUT = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const paper = plot.querySelector("svg.main-svg").getBoundingClientRect();
  return [...plot.querySelectorAll("text")].filter((text) => {
    const { left, right } = text.getBoundingClientRect();
    return left < paper.left - 1 || right > paper.right + 1;
  }).map((text) => `${plot.id}: ${text.textContent}`);
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_chart_is_saved_as_svg(scheme, demo, read, tmp_path):
    page = read(demo, color_scheme=scheme)
    buttons = page.locator("button[data-download]").all()
    assert len(buttons) >= 5
    for button in buttons if scheme == "light" else buttons[:2]:
        with page.expect_download() as coming:
            button.click()
        file = tmp_path / coming.value.suggested_filename
        coming.value.save_as(file)
        assert file.suffix == ".svg"
        root = ET.parse(file).getroot()
        assert root.tag == f"{SVG}svg"
        assert float(root.get("width", 0)) >= 600
        texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
        assert len([t for t in texts if t.strip()]) >= 5, file.name
        assert "NaN" not in file.read_text(encoding="utf-8"), file.name
        paper = next(r for r in root.iter(f"{SVG}rect"))
        assert "rgb(255, 255, 255)" in paper.get("style", ""), "for paper, whatever the screen is like"


def test_every_chart_is_drawn_and_says_what_it_shows(study, read):
    charts = read(study).locator(".plot").all()
    assert len(charts) >= 5
    for chart in charts:
        assert chart.locator("svg.main-svg").count() >= 1, chart.get_attribute("id")
        assert chart.locator("path, rect.bg").count() >= 3
        assert len(chart.get_attribute("aria-label") or "") > 20


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (360, "light")])
def test_titles_of_axes_stand_evenly_between_labels_and_caption(width, scheme, demo, read):
    page = read(demo, width=width, color_scheme=scheme)
    found = [space for figure in page.locator("figure.chart").all() for space in figure.evaluate(SPACES)]
    assert len(found) >= 8
    for title, above, below in found:
        assert 3 <= above <= 12, title
        assert below >= 12, title


def test_two_listeners_have_a_point_for_every_word(demo, read):
    plot = read(demo).locator("#fig-listeners-0")
    points = plot.evaluate(
        "(plot) => plot.data.map((trace, i) => [plot.calcdata[i].length, trace.text.filter(Boolean).length])"
    )
    words = whisperprobe.load_comparison(demo.comparison).clips["word"].nunique()
    assert [n for n, _ in points] == [words, words]
    assert all(3 <= named <= 10 for _, named in points)
    agreement = pd.read_csv(demo.comparison / "agreement.csv")
    titles = plot.evaluate("(plot) => plot.layout.annotations.map(({ text }) => text).join(' ')")
    for condition, rho in zip(agreement["condition"], agreement["spearman"], strict=True):
        assert f"{condition}: ρ = {rho:.2f}".replace("-", "−") in titles


def test_no_text_is_cut_on_paper(study, read):
    page = read(study)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "[...document.querySelectorAll('svg.main-svg')].every((svg) => svg.getBoundingClientRect().width <= 690)"
    )
    assert page.evaluate(CUT) == []
