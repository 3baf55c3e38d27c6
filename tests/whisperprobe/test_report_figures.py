"""The report's figures: axes that can be read, labels that leave room for what is drawn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_reading import small

from whisperprobe.comparison.word_changes import word_changes
from whisperprobe.report.figures import log_axis, plain, training_chart
from whisperprobe.report.palette import THEMES
from whisperprobe.report.word_figures import draw_words, shortened

# Axes


@given(st.floats(1e-6, 1e6), st.floats(0, 6))
def test_a_logarithmic_axis_has_two_labels_in_sight_or_is_left_to_plotly(low: float, decades: float) -> None:
    high = low * 10**decades
    axis = log_axis(np.array([low, high]))
    assert axis["type"] == "log"
    if "dtick" in axis:
        assert math.floor(math.log10(high) + 1e-9) - math.ceil(math.log10(low) - 1e-9) >= 1
        assert axis["dtick"] == 1  # minor ticks have no labels
    elif "tickvals" in axis:
        assert len(axis["tickvals"]) >= 2
        assert all(low <= value <= high for value in axis["tickvals"])
        assert [float(text) for text in axis["ticktext"]] == axis["tickvals"]
    else:
        assert decades < 0.8  # 1-2-5 has two marks within any 0.8 decades


def test_a_logarithmic_axis_ignores_what_has_no_place_on_it() -> None:
    gaps = np.array([np.nan, np.inf, 0.0, -1.0])
    assert log_axis(gaps) == log_axis() == {"type": "log"}
    assert log_axis(gaps, np.array([1.0]), np.array([7.0]))["ticktext"] == ["1", "2", "5"]


@pytest.mark.parametrize(("loss", "labels"), [([3.0, 0.02], "decades"), ([0.9, 0.15], "in full")])
def test_training_losses_are_labelled_by_their_span(loss: list[float], labels: str) -> None:
    table = pd.DataFrame({"step": [1, 2], "loss": loss, "eval_loss": [None, loss[1]]})
    axis = training_chart({"hfloss": table}).layout.yaxis
    assert axis.fixedrange  # zoomed into less than a decade, it had no label left
    assert (axis.dtick == 1) == (labels == "decades")
    assert list(axis.ticktext or ()) == ([] if labels == "decades" else ["0.2", "0.5"])


def test_titles_keep_one_distance_from_their_labels_in_both_themes() -> None:
    for theme in THEMES.values():
        axes = [theme["layout"][name] for name in ("xaxis", "yaxis")]
        assert {axis["title"]["standoff"] for axis in axes} == {10}
        assert [axis["automargin"] for axis in axes] == ["height", "width"]


# Labels


@given(st.text(max_size=60), st.integers(3, 30))
def test_a_shortened_word_keeps_its_ends(word: str, most: int) -> None:
    found = shortened(word, most)
    assert len(found) <= most
    head, _, tail = found.partition("…") if found != word else (word, "", "")
    assert word.startswith(head)
    assert word.endswith(tail)


def test_long_words_are_whole_in_the_hover_text_alone() -> None:
    long = "<b>" + "ab" * 80 + "</b>"
    rows = [
        ("base", c, f"{i}/{w}", w, bits + i * (c == "hf"))
        for c, bits in (("normal", 1.0), ("hf", 9.0))
        for w in ("sun", long)
        for i in range(3)
    ]
    comparison = small(rows)
    changes = word_changes(comparison, "word_surprisal", ("base", "normal"), ("base", "hf"))
    figure = draw_words(comparison, changes, "hf", "normal", ["normal", "hf"])
    labels = dict(zip(figure.layout.yaxis.tickvals, figure.layout.yaxis.ticktext, strict=True))
    assert labels == {"sun": "sun", plain(long): plain(shortened(long))}
    for trace in figure.data:
        if trace.mode == "markers":
            assert list(trace.text) == list(trace.y)
            assert plain(long) in trace.text
            assert "%{text}" in trace.hovertemplate
