"""Figures: what the artists hold, not pixels."""

import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from audiogram import Audiogram, Condition, Listener, condition, get_filter, preset
from audiogram.errors import InputError
from audiogram.intelligibility_tables import PROCEDURES
from audiogram.plotting import plot_audiogram
from audiogram.plotting_sound import measured_gain, plot_gain, plot_spectrograms

RIGHT = Audiogram(
    [250, 500, 1000, 2000, 4000, 8000],
    [20, 30, 45, 60, 95, 100],
    ear="right",
    masked=[1000, 8000],
    no_response=[4000],
    bone=Audiogram([500, 2000, 4000], [10, 55, 70], masked=[2000], no_response=[4000]),
)
LEFT = Audiogram([500, 1000, 2000, 4000], [10, 15, 45, 60], ear="left", masked=[4000], bone=Audiogram([1000], [10]))


@pytest.fixture(autouse=True)
def no_figures_left():
    """Close what pyplot, where a test imported it, keeps."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def points(ax):
    """Frequencies and levels of each symbol in the legend."""
    return {line.get_label(): line.get_xydata().tolist() for line in ax.lines if not line.get_label().startswith("_")}


def lines(ax):
    return [line for line in ax.lines if line.get_gid() == "line"]


def test_every_threshold_has_its_symbol():
    ax = plot_audiogram(Listener(left=LEFT, right=RIGHT))
    assert points(ax) == {
        "right, air": [[250, 20], [500, 30], [2000, 60], [4000, 95]],
        "right, air, masked": [[1000, 45], [8000, 100]],
        "right, bone": [[500, 10], [4000, 70]],
        "right, bone, masked": [[2000, 55]],
        "left, air": [[500, 10], [1000, 15], [2000, 45]],
        "left, air, masked": [[4000, 60]],
        "left, bone": [[1000, 10]],
    }
    by_label = {line.get_label(): line for line in ax.lines}
    markers = [by_label[f"{ear}, air{masked}"].get_marker() for ear in ("right", "left") for masked in ("", ", masked")]
    assert markers == ["o", "^", "x", "s"]
    assert by_label["right, air"].get_color() != by_label["left, air"].get_color()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(points(ax))


def test_bone_symbols_stand_beside_their_frequency_and_open_towards_it():
    by_label = {line.get_label(): line for line in plot_audiogram(Listener(left=LEFT, right=RIGHT)).lines}
    for label, side in (("right, bone", -1), ("right, bone, masked", -1), ("left, bone", 1)):
        shape = by_label[label].get_marker().vertices[1:]  # the first point only sets the size
        assert (np.sign(shape[:, 0]) == side).all()
    tip = by_label["right, bone"].get_marker().vertices[2]
    assert tip.tolist() == [-1, 0]  # <


def test_no_line_leads_to_no_response():
    ax = plot_audiogram(RIGHT)
    assert [line.get_xdata().tolist() for line in lines(ax)] == [[250, 500, 1000, 2000], [8000]]
    all_heard = Audiogram(RIGHT.frequencies, RIGHT.thresholds, ear="right")
    assert [line.get_xdata().tolist() for line in lines(plot_audiogram(all_heard))] == [list(RIGHT.frequencies)]
    assert not lines(plot_audiogram(Audiogram([500], [100], ear="left", no_response=[500])))


@pytest.mark.parametrize(("ear", "direction"), [("right", -1), ("left", 1)])
def test_arrows_point_down_and_outwards(ear, direction):
    ax = plot_audiogram(Audiogram([500, 1000], [60, 110], ear=ear, no_response=[1000]))
    (arrow,) = [line for line in ax.lines if line.get_label() == "_no response"]
    assert arrow.get_xydata().tolist() == [[1000, 110]]
    start, tip = arrow.get_marker().vertices[:2]
    assert np.sign(tip[0] - start[0]) == direction
    assert tip[1] < start[1]  # markers are drawn upright whatever the axis


def test_the_clinical_form():
    ax = plot_audiogram(RIGHT)
    assert ax.get_ylim() == (120, -10)
    ax.figure.draw_without_rendering()
    across, down = np.abs(np.diff(ax.transData.transform([[1000, 0], [2000, 20]]), axis=0)[0])
    assert across == pytest.approx(down)  # an octave is as wide as 20 dB are high
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["125", "250", "500", "1000", "2000", "4000", "8000"]
    assert [text.get_text() for text in ax.get_xticklabels(minor=True)] == ["750", "1500", "3000", "6000"]
    assert ax.get_xlabel() == "Frequency (Hz)"
    assert ax.get_ylabel() == "Hearing level (dB HL)"
    assert ax.xaxis.get_label_position() == "top"


def test_the_form_grows_with_what_it_shows():
    ax = plot_audiogram(Audiogram([62.5, 16000], [-25, 125]))
    assert ax.get_ylim() == (130, -30)
    low, high = ax.get_xlim()
    assert low < 62.5
    assert high > 16000


def test_several_ears_have_names():
    ax = plot_audiogram([preset(name) for name in ("normal", "lfloss", "hfloss")])
    assert list(points(ax)) == ["normal", "lfloss", "hfloss"]
    assert len({line.get_color() for line in lines(ax)}) == 3
    two = [Audiogram([500], [t], ear="right", name=name) for t, name in ((10, "before"), (20, "after"))]
    assert list(points(plot_audiogram(two))) == ["before right, air", "after right, air"]


def test_it_draws_where_it_is_told():
    ax = Figure().add_subplot()
    assert plot_audiogram(LEFT, ax) is ax


def test_a_figure_of_its_own_is_one_of_pyplots_where_pyplot_is_used():
    import matplotlib.pyplot as plt

    x, hear = np.random.default_rng(0).normal(size=4000), get_filter("attenuation")(LEFT, sample_rate=16_000)
    for ax in (plot_audiogram(LEFT), plot_gain(hear), plot_spectrograms(x, x, 16_000)[0]):
        assert plt.fignum_exists(ax.figure.number)
        plt.close(ax.figure)


@pytest.mark.parametrize(("shell", "shown"), [(SimpleNamespace(kernel=1), True), (SimpleNamespace(), False)])
def test_a_figure_of_its_own_is_shown_in_a_notebook_and_leaves_pyplot_alone_in_a_script(monkeypatch, shell, shown):
    import matplotlib.pyplot as plt

    from audiogram import figures

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert figures._in_notebook() == shown
    monkeypatch.delitem(sys.modules, "IPython")
    assert not figures._in_notebook()
    monkeypatch.setattr(figures, "_in_notebook", lambda: shown)
    before = len(plt.get_fignums())
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot")
    figure = figures.new_figure(3, 2)
    assert tuple(figure.get_size_inches()) == (3, 2)
    assert ("matplotlib.pyplot" in sys.modules) == shown
    monkeypatch.undo()
    assert len(plt.get_fignums()) == before + shown


def test_grades_and_speech():
    ax = plot_audiogram(LEFT, grades=True, speech_banana=True)
    bands = [patch for patch in ax.patches if patch.get_gid() == "grade"]
    assert [band.get_y() for band in bands] == [-10, 20, 35, 50, 65, 80, 95]
    names = [text.get_text().replace("\n", " ") for text in ax.texts]
    assert names == ["normal", "mild", "moderate", "moderately severe", "severe", "profound", "complete"]
    (banana,) = [one for one in ax.collections if one.get_gid() == "speech"]
    at_1000 = [y for x, y in banana.get_paths()[0].vertices if x == 1000]
    assert sorted(at_1000) == pytest.approx([37.51 - 15, 37.51 + 15])
    assert not plot_audiogram(LEFT).patches


@pytest.mark.parametrize("wrong", [[], "hfloss", 3, [preset("normal"), "hfloss"]])
def test_no_audiogram(wrong):
    with pytest.raises(InputError):
        plot_audiogram(wrong)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_it_can_be_saved(tmp_path, suffix):
    ax = plot_audiogram(RIGHT, grades=True, speech_banana=True)
    ax.figure.savefig(tmp_path / f"ear.{suffix}")
    assert (tmp_path / f"ear.{suffix}").stat().st_size > 1000


class Compressor:
    """A filter for tests: the gain falls by half a dB for each dB above 40 dB SPL, plus 6 dB."""

    linear, level_dependent, adds_noise = False, True, False

    def __init__(self, level=100.0):
        self.level = level

    def __call__(self, x):
        rms = np.sqrt(np.mean(np.square(x[..., len(x) // 4 : -len(x) // 4]), axis=-1, keepdims=True))
        return x * 2 * 10 ** ((40 - self.level - 20 * np.log10(np.maximum(rms, 1e-9))) / 40)


def test_gain_of_a_linear_filter_is_minus_the_thresholds():
    ear = Audiogram([250, 1000, 4000], [10, 30, 50])
    made = get_filter("attenuation")(ear, sample_rate=16_000)
    np.testing.assert_allclose(measured_gain(made, [250, 1000, 4000]), [-10, -30, -50], atol=0.3)
    (line,) = plot_gain(made).lines
    at = line.get_xdata()
    np.testing.assert_allclose(line.get_ydata(), -ear.at(at), atol=0.6)
    assert at[0] == 125
    assert 7500 < at[-1] < 8000


def test_gain_of_a_condition_leaves_normalisation_out():
    ax = plot_gain(condition("hfloss"))
    (line,) = ax.lines
    assert np.interp(1000, line.get_xdata(), line.get_ydata()) == pytest.approx(-55, abs=0.3)
    assert line.get_label() == "hfloss"
    assert plot_gain(condition("lfloss"), ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["hfloss", "lfloss"]


def test_gain_of_several_ears():
    ears = [Audiogram([1000], [t]) for t in (10, 20)]
    made = get_filter("attenuation")(ears, sample_rate=16_000)
    np.testing.assert_allclose(measured_gain(made, [500, 2000]), [[-10, -10], [-20, -20]], atol=1e-6)
    assert [line.get_label() for line in plot_gain(made).lines] == ["ear 1", "ear 2"]


def test_gain_of_a_filter_that_depends_on_level():
    np.testing.assert_allclose(measured_gain(Compressor(), [1000], 16_000, 60.0), [6.02 - 10], atol=0.1)
    ax = plot_gain(Compressor(), sample_rate=16_000, levels=(40, 80))
    assert [line.get_label() for line in ax.lines] == ["40 dB SPL", "80 dB SPL"]
    quiet, loud = (np.mean(line.get_ydata()) for line in ax.lines)
    assert quiet - loud == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((preset("hfloss"),), "a filter or a Condition"),
        ((Compressor(),), "does not say its sampling rate"),
        ((condition("hfloss"), None, 9000), "between 0 and 8000 Hz"),
        ((condition("hfloss"), None, []), "between 0 and 8000 Hz"),
    ],
)
def test_gain_refused(arguments, words):
    filter, *rest = arguments
    with pytest.raises(InputError, match=words):
        measured_gain(filter, rest[1] if rest else 1000)


def test_a_level_needs_a_full_scale():
    made = Compressor()
    del made.level
    with pytest.raises(InputError, match="full scale"):
        measured_gain(made, 1000, 16_000, 60)


def test_spectrograms_share_their_scale():
    x = np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    before, after = plot_spectrograms(x, 0.1 * x, 16_000)
    images = [ax.collections[0] for ax in (before, after)]
    assert [image.get_clim() for image in images] == [(-80, 0), (-80, 0)]
    loudest = [image.get_array().max() for image in images]
    assert loudest == pytest.approx([0, -20], abs=1e-6)
    levels = images[0].get_array()
    hertz = np.linspace(0, 8000, levels.shape[0])
    assert abs(hertz[levels[:, levels.shape[1] // 2].argmax()] - 1000) < 40
    assert (before.get_title(), after.get_title()) == ("Before", "After")


def test_spectrograms_where_they_are_told():
    axes = Figure().subplots(2, 1)
    x = np.random.default_rng(0).standard_normal(500)
    assert plot_spectrograms(x, np.zeros(500), 8000, axes) == tuple(axes)
    assert axes[1].collections[0].get_array().max() == -80


@pytest.mark.parametrize(("before", "after"), [(np.zeros(100), np.zeros(100)), (np.ones((2, 9)), np.ones(9))])
def test_no_spectrograms(before, after):
    with pytest.raises(InputError):
        plot_spectrograms(before, after, 16_000)


def test_the_speech_levels_are_the_standard_s():
    third = PROCEDURES["third-octave"]
    level = third.speech["normal"] - third.internal_noise
    assert level[list(third.centres).index(500)] == pytest.approx(43.97)


def test_a_condition_with_level_is_measured_at_its_filter_alone():
    loud = Condition("loud", Audiogram([1000], [20]), level={"speech_dbspl": 90, "full_scale_dbspl": 100})
    assert measured_gain(loud, [1000]) == pytest.approx([-20])


def test_listeners_are_told_apart_by_their_ids():
    ear = Audiogram([500, 1000], [10, 20])
    assert list(points(plot_audiogram([Listener(right=ear, id="p01"), Listener(right=ear, id="p02")]))) == [
        "p01 right, air",
        "p02 right, air",
    ]
    assert list(points(plot_audiogram(Listener(right=ear, id="p01")))) == ["right, air"]


@pytest.mark.parametrize(("inches", "labelled"), [(2.5, False), (3.5, False), (6.4, True)])
def test_labels_of_frequencies_do_not_run_into_one_another(inches, labelled):
    figure = Figure(figsize=(inches, inches), dpi=100)
    ax = plot_audiogram(preset("hfloss"), figure.add_subplot())
    figure.canvas.draw()
    labels = [*ax.get_xticklabels(), *ax.get_xticklabels(minor=True)]
    boxes = sorted((text.get_window_extent() for text in labels if text.get_text()), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert len(boxes) == (11 if labelled else 7)
