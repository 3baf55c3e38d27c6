"""The report: complete, self-contained, accessible, and safe against what a corpus may contain."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import soundfile
from report_reading import Page, small

from audiogram import Audiogram, Condition, condition
from audiogram.errors import InputError
from whisperprobe.comparison import Comparison, ProbeRun, compare, summarise
from whisperprobe.report import matrix_figure, write_report
from whisperprobe.report.examples import spectrogram_db
from whisperprobe.report.figures import audiogram_chart, distribution_chart, matrix_chart
from whisperprobe.report.limits import limits
from whisperprobe.report.methods import describe_condition
from whisperprobe.report.palette import cell_ink
from whisperprobe.report.rendering import emphasise

ORDER = ["normal", "lfloss", "hfloss"]
EVIL = "</script><script>alert('text')</script><img src=x onerror=alert(1)>"


def sound_of(word: str, voice: int, scale: float) -> np.ndarray:
    t = np.arange(4000 + 400 * voice) / 16_000
    return scale * 0.5 * np.sin(2 * np.pi * (200 + 100 * len(word) + 50 * voice) * t)


def write_corpora(root: Path, clips: pd.DataFrame) -> dict[str, Path]:
    for scale, name in zip((1.0, 0.5, 0.25), ORDER, strict=True):
        for clip_id, word in zip(clips["clip_id"], clips["text"], strict=True):
            path = root / name / f"{clip_id}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, sound_of(word, int(clip_id[5]), scale), 16_000, subtype="PCM_16")
    return {name: root / name for name in ORDER}


@pytest.fixture(scope="module")
def comparison(study_runs: list[tuple[Path, str, str, int]]) -> Comparison:
    return compare([ProbeRun(*run) for run in study_runs], resamples=200)


@pytest.fixture(scope="module")
def corpora(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    one = comparison.clips[["clip_id", "text"]].drop_duplicates("clip_id")
    return write_corpora(tmp_path_factory.mktemp("corpora"), one)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("training")
    for name in ORDER:
        (root / name).mkdir()
        table = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, None, 0.5], "learning_rate": 1e-3})
        table.to_csv(root / name / "training.csv", index=False)
    return {name: root / name for name in ORDER}


@pytest.fixture(scope="module")
def path(
    comparison: Comparison, corpora: Mapping[str, Path], training: Mapping[str, Path], tmp_path_factory: Any
) -> Path:
    return write_report(
        comparison,
        tmp_path_factory.mktemp("report") / "report.html",
        title="Words & conditions",
        conditions=[condition(name) for name in ORDER],
        corpora=corpora,
        training=training,
        provenance={"study": {"name": "test"}, "versions": {"torch": "9.9"}},
    )


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return Page(path)


# One file that needs nothing else


def test_page_loads_nothing(path: Path, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "poster", "data", "action", "background"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, name, value)
        if "href" in attributes:
            assert (attributes["href"] or "").startswith("#"), (tag, attributes["href"])
    assert not page.all("link")
    assert not page.all("iframe")
    for style in page.text_of("style"):
        assert "@import" not in style
        assert not re.search(r"url\(\s*['\"]?(?!data:|['\"]?data:)[a-z/]", style)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert path.stat().st_size < 15_000_000


def test_plotly_and_datatables_are_embedded_once(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("* plotly.js v") == 1
    assert text.count('id="datatables-bundle"') == 1


def test_same_input_gives_the_same_bytes(comparison: Comparison, tmp_path: Path) -> None:
    def write(name: str) -> bytes:
        return write_report(
            comparison, tmp_path / name, title="t", conditions=[condition("normal")], corpora={}
        ).read_bytes()

    assert write("a.html") == write("b.html")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


# What it says and shows


def test_summary_is_on_the_page(page: Page, comparison: Comparison) -> None:
    text = " ".join(" ".join(page.text_of("main")).replace("\u00a0", " ").split())
    for sentence in summarise(comparison, ORDER):
        assert sentence in text


def test_every_example_has_a_player_and_a_spectrogram_in_every_condition(
    page: Page, corpora: Mapping[str, Path]
) -> None:
    players = page.all("audio")
    assert len(players) == 6 * 3
    labels = [a["aria-label"] or "" for a in players]
    for name in ORDER:
        assert sum(label.endswith(f"under {name}") for label in labels) == 6
    pictures = page.all("img")
    assert len(pictures) == 6 * 3
    assert all((a["src"] or "").startswith("data:image/png;base64,iVBOR") for a in pictures)
    assert all("controls" in a and a["preload"] == "none" for a in players)


def test_players_hold_the_sound_that_the_models_heard(page: Page, corpora: Mapping[str, Path]) -> None:
    originals = {soundfile.read(file)[0].tobytes() for folder in corpora.values() for file in folder.rglob("*.flac")}
    for player in page.all("audio"):
        data = base64.b64decode((player["src"] or "").removeprefix("data:audio/flac;base64,"))
        assert soundfile.read(io.BytesIO(data))[0].tobytes() in originals


def test_examples_are_different_words_that_were_lost(page: Page, comparison: Comparison) -> None:
    words = [h.split("”")[0].strip("“") for h in page.text_of("h3") if h.startswith("“")]
    assert len(set(words)) == len(words) == 6
    table = comparison.words().set_index(["model", "condition", "word"])["accuracy"]
    assert all(table["base", "hfloss", w] < table["base", "normal", w] for w in words)


def test_matrix_is_also_there_in_numbers(page: Page, comparison: Comparison) -> None:
    cells = page.text_of("td")
    for row in comparison.matrix().itertuples():
        assert f"{100 * row.mean:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f})" in cells


def test_word_table_holds_every_word_and_cell(page: Page, comparison: Comparison) -> None:
    spec, rows = page.json_of("word-table-columns"), page.rows_of("word-data")
    assert len(rows) == comparison.clips["word"].nunique()
    words = comparison.words().set_index(["model", "condition", "word"])
    for found in rows:
        assert {c["key"] for c in spec["columns"]} <= set(found)
        expected = words.loc[("base", "hfloss", found["word"])]
        assert found["accuracy_unadapted_hfloss"] == pytest.approx(100 * expected["accuracy"], abs=0.06)
        assert found["surprisal_unadapted_hfloss"] == pytest.approx(expected["surprisal"], abs=0.006)
        assert found["confusion_unadapted_hfloss"] == expected["confusion"]
        assert found["accuracy_tuned_lfloss"] == pytest.approx(
            100 * words.loc[("lfloss", "lfloss", found["word"]), "accuracy"], abs=0.06
        )
        assert found["low_hfloss"] < found["change_hfloss"] < found["high_hfloss"]
    assert sum(width for _, width in spec["groups"]) == len(spec["columns"])


def test_limits_and_provenance_are_said(page: Page) -> None:
    text = " ".join(page.text_of("main")).replace("\u00a0", " ")
    for phrase in (
        "it is the identity", "a linear filter could not restore", "lfloss 47.5 dB and hfloss 62.5 dB",
        "95 % bootstrap intervals over words", "Probe run: hfloss hearing lfloss, seed 2", "torch 9.9",
    ):  # fmt: skip
        assert phrase in text, phrase


def test_limits_follow_from_the_conditions() -> None:
    steep = Audiogram([500, 1000, 2000, 4000], [10, 20, 40, 60])
    assert limits([Condition("n2", steep)]) == [n for n in limits([Condition("n2", steep)]) if "attenuation" in n]
    assert len(limits([condition("normal")])) == 2
    assert not any("PTA4" in note for note in limits([condition("normal"), condition("lfloss")]))
    mixed = limits([condition("normal"), Condition("n2", steep)])
    assert any("not normalised alike (normal: peak and n2: none)" in note for note in mixed)


def test_audiogram_without_the_frequencies_of_the_average_is_described() -> None:
    sparse = Condition("sparse", Audiogram([250, 1000], [10, 60]))
    row = describe_condition(sparse)
    assert (row["pta"], row["grade"]) == ("–", "–")
    assert not any("PTA4" in note for note in limits([condition("hfloss"), sparse]))


def test_every_accuracy_of_a_sentence_is_in_bold() -> None:
    text = emphasise("The model tuned on a understood 4.4 % under b (unadapted: 3.1 %) and 8.8 % under c.")
    assert re.findall(r"<strong>(.*?)</strong>", text) == ["4.4\u00a0%", "8.8\u00a0%"]


def test_figures_are_numbered_described_and_drawn_from_json(page: Page) -> None:
    plots = [a for a in page.all("div") if "data-figure" in a]
    assert [a["id"] for a in plots] == [
        "fig-matrix",
        "fig-audiograms",
        "fig-distributions",
        "fig-changes",
        "fig-words-4",
        "fig-words-5",
        "fig-training",
    ]
    for plot in plots:
        figure = page.json_of(str(plot["data-figure"]))
        assert figure["data"]
        assert "template" not in figure["layout"]
        assert len(plot["aria-label"] or "") > 20
    captions = [c.split(".")[0].strip() for c in page.text_of("figcaption")]
    assert captions == [*(f"Figure {i}" for i in range(1, 7)), "Tokens", "Figure 7"]


# Readers of all kinds


def test_structure_can_be_read_without_eyes(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("main")) == len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(name) is None or attributes[name] in ids
        href = attributes.get("href") or ""
        if href.startswith("#clip="):  # the page's script shows that recording
            assert unquote(href.removeprefix("#clip=")) == attributes["data-clip"]
        elif href.startswith("#"):
            assert href[1:] in ids
    assert all((a.get("alt") or "").strip() for a in page.all("img"))
    assert all((a.get("aria-label") or "").strip() for a in page.all("audio"))
    assert all(a.get("scope") or a.get("colspan") for a in page.all("th"))
    assert all(a.get("type") in ("button", "submit") for a in page.all("button"))


def test_dark_mode_and_print_have_their_rules(page: Page) -> None:
    style = page.text_of("style")[-1]
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two hex colours."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_colours_have_contrast_in_both_modes(page: Page) -> None:
    style = page.text_of("style")[-1]
    for block in re.findall(r":root \{([^}]*)\}", style)[:2]:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for ink in ("ink", "soft", "accent", "right", "wrong"):
            for paper in ("paper", "card"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)


def test_cell_ink_stands_out_on_every_shade() -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    for reverse in (False, True):
        cmap = colormaps["cividis_r" if reverse else "cividis"]
        for value in np.linspace(0, 1, 101):
            assert contrast(cell_ink(value, 1.0, reverse=reverse), to_hex(cmap(value))) >= 4.5


# Hostile and gappy data


def test_text_of_a_corpus_cannot_become_markup(tmp_path: Path, write_probe_run: Callable[..., Path]) -> None:
    frame = pd.DataFrame(
        {
            "clip_id": ["voice0/a", "voice0/b"], "text": [EVIL, "moon"], "prediction": ["moon", EVIL],
            "correct": [False, False], "word_surprisal": [5.0, 6.0], "word_mean_rank": [3.0, 4.0],
        }
    )  # fmt: skip
    name = "<b>lf</b>"
    runs = [
        ProbeRun(write_probe_run(tmp_path / "n", frame.assign(correct=True)), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "l", frame, manifest={"note": EVIL}), "base", name),
    ]
    corpora = {}
    for folder in ("n", "l"):
        for clip in ("a", "b"):
            file = tmp_path / "sound" / folder / "voice0" / f"{clip}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, sound_of("moon", 0, 1.0), 16_000)
    corpora = {"normal": tmp_path / "sound" / "n", name: tmp_path / "sound" / "l"}
    out = write_report(
        compare(runs, resamples=100), tmp_path / "r.html", title=EVIL, provenance={EVIL: EVIL}, corpora=corpora,
        conditions=[condition("normal")],
    )  # fmt: skip
    page = Page(out)
    assert not any("alert" in s and "plotly" not in s and "use strict" not in s for s in page.text_of("script")[-2:])
    assert "<script>alert" not in out.read_text(encoding="utf-8")
    assert all((a["src"] or "").startswith("data:") for a in page.all("img"))
    assert not page.all("b")
    assert page.text_of("h1") == [EVIL]
    words = {row["word"] for row in page.rows_of("word-data")}
    assert any("alert('text')" in w for w in words)  # the data itself is kept as it is
    # Plotly reads a small HTML of its own: labels arrive there escaped.
    assert "<b>lf" not in json.dumps(page.json_of("fig-matrix-data")["data"])
    assert len(page.all("audio")) == 4


def test_missing_values_are_shown_as_missing(tmp_path: Path, write_probe_run: Callable[..., Path]) -> None:
    frame = pd.DataFrame(
        {
            "clip_id": ["1", "2", "3"], "text": ["sick", "moon", None], "prediction": ["sick", None, "mip"],
            "correct": [True, False, None], "word_surprisal": [None, 2.0, None], "word_mean_rank": [None, 1.0, None],
        }
    )  # fmt: skip
    runs = [ProbeRun(write_probe_run(tmp_path / c, frame), "base", c) for c in ("normal", "hfloss")]
    result = compare(runs, resamples=100)
    page = Page(write_report(result, tmp_path / "r.html", title="gaps", conditions=[], corpora={}))
    rows = {row["word"]: row for row in page.rows_of("word-data")}
    assert rows["sick"]["surprisal_unadapted_normal"] is None
    assert rows["moon"]["confusion_unadapted_normal"] == "(nothing)"
    assert not page.all("audio")


def test_infinite_surprisal_is_told_of_and_left_out_of_figures(tmp_path: Path, study_runs: Any) -> None:
    comparison = compare([ProbeRun(*run) for run in study_runs if run[3] == 1], resamples=100)
    clips = comparison.clips.copy()
    cells = clips["model"] + "/" + clips["condition"]
    for cell, clip_id in (
        ("base/hfloss", "voice0/moon"),
        ("base/hfloss", "voice1/moon"),
        ("lfloss/lfloss", "voice1/bed"),
    ):
        clips.loc[(cells == cell) & (clips["clip_id"] == clip_id), "word_surprisal"] = np.inf
    result = Comparison(clips, comparison.models, comparison.conditions, resamples=100)
    page = Page(write_report(result, tmp_path / "r.html", title="t", conditions=[], corpora={}))
    notes = [n for n in page.text_of("p") if "is infinite" in n]
    assert len(notes) == 1
    assert "1 recording under lfloss and 2 recordings under hfloss" in notes[0]
    assert page.text_of("td").count("∞") == 2
    rows = {row["word"]: row for row in page.rows_of("word-data")}
    assert rows["moon"]["surprisal_unadapted_hfloss"] == rows["bed"]["surprisal_tuned_lfloss"] == np.inf
    assert np.isfinite(rows["moon"]["change_hfloss"])
    recordings = {row["recording"]: row for row in page.rows_of("clip-data")}
    k = result.cells.index(("base", "hfloss"))
    assert recordings["voice1/moon"][f"value_{k}"] == np.inf
    for attributes in page.all("script"):
        if attributes.get("type") == "application/json":
            assert not re.search(r"\b(NaN|Infinity)\b", page.text_in(str(attributes["id"])))
    values = [v for row in matrix_chart(result, ORDER).data[1].z for v in row]
    assert values.count(None) == 2
    assert matrix_chart(comparison, ORDER).data[1].z[0][0] == values[0]


def test_no_values_at_all_still_make_a_page(tmp_path: Path, write_probe_run: Callable[..., Path]) -> None:
    frame = pd.DataFrame(
        {
            "clip_id": ["1"], "text": [None], "prediction": ["mip"], "correct": [None], "word_surprisal": [None],
            "word_mean_rank": [None],
        }
    )  # fmt: skip
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")])
    Page(write_report(result, tmp_path / "r.html", title="pseudowords", conditions=[], corpora={}))
    matrix_figure(result)


# Calls that cannot work


def test_wrong_calls_are_refused(comparison: Comparison, corpora: Mapping[str, Path], tmp_path: Path) -> None:
    def write(**given: Any) -> None:
        write_report(comparison, tmp_path / "r.html", **{"title": "t", "conditions": [], "corpora": {}, **given})

    with pytest.raises(InputError, match="examples=-1"):
        write(examples=-1)
    with pytest.raises(InputError, match=r"unknown condition 'hfloss2'.*Did you mean 'hfloss'"):
        write(corpora={"hfloss2": corpora["hfloss"]})
    with pytest.raises(InputError, match=r"training.csv does not exist"):
        write(training={"hfloss": tmp_path})
    other = tmp_path / "other" / "voice9"
    other.mkdir(parents=True)
    soundfile.write(other / "else.wav", np.ones(100) * 0.1, 16_000)
    with pytest.raises(InputError, match="holds none of the compared clips"):
        write(corpora={"normal": tmp_path / "other"})
    assert not (tmp_path / "r.html").exists()


def test_sound_beyond_the_budget_is_left_out(
    comparison: Comparison, corpora: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whisperprobe.report.examples.SOUND_BUDGET", 120_000)
    out = write_report(
        comparison, tmp_path / "r.html", title="t", conditions=[], corpora=corpora, examples=12
    )  # fmt: skip
    assert 0 < len(Page(out).all("audio")) < 36


# Figures


def test_audiograms_are_in_the_clinical_orientation() -> None:
    layout = audiogram_chart([condition(name) for name in ORDER]).to_plotly_json()["layout"]
    deepest, highest = layout["yaxis"]["range"]
    assert deepest > highest  # worse hearing further down
    assert layout["xaxis"]["type"] == "log"
    assert list(layout["xaxis"]["tickvals"]) == [125, 250, 500, 1000, 2000, 4000, 8000]


def test_matrix_chart_shows_the_numbers_of_the_matrix(comparison: Comparison) -> None:
    figure = matrix_chart(comparison, ORDER)
    accuracy = comparison.matrix().set_index(["model", "condition"])["mean"]
    for i, model in enumerate(comparison.models):
        for j, name in enumerate(ORDER):
            assert figure.data[0].z[i][j] == pytest.approx(100 * accuracy[model, name])
    texts = [a.text for a in figure.layout.annotations]
    assert any(t.startswith(f"<b>{100 * accuracy['base', 'normal']:.1f}</b>") for t in texts)


def test_distributions_stay_small_for_large_corpora(comparison: Comparison) -> None:
    clips = pd.concat([comparison.clips] * 50, ignore_index=True)
    figure = distribution_chart(Comparison(clips, comparison.models, comparison.conditions), ORDER)
    assert max(len(trace.y) for trace in figure.data) <= 400


def test_still_matrix_has_two_panels_and_can_be_saved(comparison: Comparison) -> None:
    figure = matrix_figure(comparison, ORDER)
    assert [axes.get_title() for axes in figure.axes] == ["Word accuracy (%)", "Surprisal of the spoken word (bits)"]
    labels = [text.get_text() for text in figure.axes[0].texts]
    mean = comparison.matrix().set_index(["model", "condition"]).loc[("hfloss", "hfloss"), "mean"]
    assert f"{100 * mean:.1f}" in labels
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_tone_lights_up_its_row_of_the_spectrogram(rate: int) -> None:
    tone = np.sin(2 * np.pi * 1500 * np.arange(rate) / rate)
    level = spectrogram_db(tone, rate)
    row = int(level[:, level.shape[1] // 2].argmax())
    width = rate / 2 / level.shape[0]
    assert abs((row + 0.5) * width - 1500) <= width
    assert spectrogram_db(np.zeros(1), rate).shape[0] == level.shape[0]


def test_a_description_stands_under_the_heading_in_paragraphs(tmp_path: Path) -> None:
    result = small([("base", c, i, w, 1.0) for c in ("normal", "hfloss") for i, w in (("1", "sun"), ("2", "moon"))])
    said = "\n<script>document.title = 'no'</script> whose speech\nit is.\n \nAnd how it was divided.\n"
    out = write_report(result, tmp_path / "r.html", title="t", conditions=[], corpora={}, description=said)
    text = out.read_text(encoding="utf-8")
    assert '<p class="about">&lt;script&gt;document.title = &#39;no&#39;&lt;/script&gt; whose speech' in text
    assert '<p class="about">And how it was divided.</p>' in text
    plain = write_report(result, tmp_path / "p.html", title="t", conditions=[], corpora={})
    assert 'class="about"' not in plain.read_text(encoding="utf-8")
