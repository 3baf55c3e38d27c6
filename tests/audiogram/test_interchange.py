"""JSON and tables: nothing is lost on the way, and what clinics write is read openly."""

import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, Listener, from_table, preset, read_json, to_table, write_json
from audiogram.clinic_cells import Cell, Column, column_of, frequency_of, threshold_of
from audiogram.errors import AudiogramWarning, InputError, WorkError
from audiogram.interchange import ears_of, from_json, to_json

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=8)


@st.composite
def audiograms(draw, side, *, with_bone=True):
    frequencies = sorted(draw(st.sets(st.integers(125, 16_000) | st.floats(20, 20_000), min_size=1, max_size=6)))
    levels = draw(st.lists(st.floats(-20, 120), min_size=len(frequencies), max_size=len(frequencies)))
    some = st.sets(st.sampled_from(frequencies))
    bone = draw(st.none() | audiograms(side, with_bone=False)) if with_bone else None
    return Audiogram(
        frequencies, levels, ear=side, name=draw(words), masked=draw(some), no_response=draw(some), bone=bone
    )


@st.composite
def listeners(draw, ids=words):
    left, right = draw(st.none() | audiograms("left")), draw(st.none() | audiograms("right"))
    if left is None and right is None:
        left = draw(audiograms("left"))
    return Listener(left, right, id=draw(ids), date=draw(st.none() | st.dates()), source=draw(words))


people = st.lists(listeners(), max_size=3)
EARS = Listener(
    left=Audiogram([500, 1000.5, 4000], [10, 20.25, 110], ear="left", masked=[1000.5], no_response=[4000]),
    right=Audiogram([250, 500], [30, 35], ear="right", name="after", bone=Audiogram([500], [10], ear="right")),
    id="p01",
    date="2024-05-31",
    source="clinic A",
)


@settings(max_examples=40, deadline=None)
@given(people)
def test_json_keeps_everything(several):
    assert from_json(to_json(several)) == several
    assert all(from_json(to_json(one)) == one for one in several)


def test_json_files(tmp_path):
    for value in (EARS, EARS.left, [EARS, preset("hfloss")]):
        write_json(tmp_path / "a.json", value)
        assert read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("3", "is a mapping"),
        ('{"left": {"frequencies": [500]}}', "left: the audiogram has no 'thresholds'"),
        ('[{"frequencies": [500], "thresholds": [10]}, {}]', "item 2 of the list: the audiogram has no 'frequencies'"),
        ('{"left": null, "rigth": {}}', "Did you mean 'right'"),
    ],
)
def test_json_that_is_none_of_ours(text, said, tmp_path):
    with pytest.raises(InputError, match=said):
        from_json(text)
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=f"a.json: .*{said}"):
        read_json(tmp_path / "a.json")


def test_json_files_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_json(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_json(tmp_path / "b.json")
    with pytest.raises(WorkError, match="cannot write"):
        write_json(tmp_path / "no" / "a.json", EARS)
    with pytest.raises(InputError, match="list of them is asked for, got int"):
        to_json([3])


def test_ears_of_a_listener_say_which_they_are():
    both = Listener(left=Audiogram([500], [10]), right=Audiogram([500], [20]))
    assert [(ear.ear, ear.thresholds) for ear in ears_of([both, preset("normal")])][:2] == [
        ("right", (20,)),
        ("left", (10,)),
    ]
    with pytest.raises(InputError, match="got str"):
        ears_of("hfloss")


@settings(max_examples=40, deadline=None)
@given(people)
def test_a_wide_table_keeps_everything(several):
    assert from_table(to_table(several)) == several if several else to_table(several).empty


@settings(max_examples=40, deadline=None)
@given(st.lists(listeners(), max_size=3, unique_by=lambda one: (one.id, one.date, one.source)))
def test_a_long_table_keeps_everything(several):
    assert from_table(to_table(several, "long")) == several


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("dtype", [None, str])
def test_tables_survive_csv(layout, dtype):
    text = to_table([EARS, Listener(right=preset("hfloss"), id="p02")], layout).to_csv(index=False)
    first, second = from_table(pd.read_csv(io.StringIO(text), dtype=dtype))
    assert first == EARS
    assert (second.right.thresholds, second.right.name) == (preset("hfloss").thresholds, "hfloss")


def test_layout_of_tables():
    wide, long = to_table(EARS), to_table(EARS, "long")
    assert list(wide.columns) == [
        "id", "date", "source", "right_air_name", "left_air_500", "left_air_1000.5", "left_air_1000.5_masked",
        "left_air_4000", "left_air_4000_no_response", "right_air_250", "right_air_500", "right_bone_500",
    ]  # fmt: skip
    assert wide.loc[0, "left_air_1000.5"] == 20.25
    assert list(long.columns) == [
        "id", "date", "source", "ear", "conduction", "frequency", "threshold", "masked", "no_response", "name",
    ]  # fmt: skip
    assert len(long) == 6
    assert long.query("conduction == 'bone'")[["ear", "frequency", "threshold"]].to_numpy().tolist() == [
        ["right", 500, 10]
    ]


def test_tables_of_what_they_cannot_hold():
    with pytest.raises(InputError, match="would become one; give each an id"):
        to_table([EARS, EARS], "long")
    with pytest.raises(InputError, match=r"got Audiogram; Listener\(left=ear\)"):
        to_table([preset("hfloss")])
    with pytest.raises(InputError, match="Did you mean 'wide'"):
        to_table(EARS, "wid")


CLINIC = pd.DataFrame(
    {
        "patient": ["007", "008"],
        "visit": ["2024-01-02", ""],
        "age": [70, 60],
        "AC_R_1k": ["35", "NR"],
        "AC_R_4k": [">110", "110+"],
        "AC_R_8k": ["DNT", "45 dB"],
        "AC_L_1k": ["40M", ""],
        "BC_R_1k": [10, np.nan],
    }
)
PATTERN = r"(?P<conduction>[AB]C)_(?P<ear>[LR])_(?P<frequency>[0-9.]+k?)"


def test_a_clinic_s_export_by_pattern():
    first, second = from_table(CLINIC, pattern=PATTERN, id="patient", date="visit", no_response_at={1000: 120})
    assert (first.id, first.date, second.date) == ("007", dt.date(2024, 1, 2), None)
    assert first.right == Audiogram(
        [1000, 4000], [35, 110], ear="right", no_response=[4000], bone=Audiogram([1000], [10], ear="right")
    )
    assert first.left == Audiogram([1000], [40], ear="left", masked=[1000])
    assert second.right == Audiogram([1000, 4000, 8000], [120, 110, 45], ear="right", no_response=[1000, 4000])
    assert second.left is None


def test_a_clinic_s_export_by_columns():
    columns = {"R1": ("R", "AC", "1k"), "R1M": ("R", "AC", 1000, "masked threshold"), "RB": ("right", "bone", 500)}
    columns |= {"NR1": ("R", None, 1000, "no_response")}
    frame = pd.DataFrame({"R1": [40, 50], "R1M": [55, None], "RB": [20, None], "NR1": [0, 1], "note": ["x", "y"]})
    first, second = from_table(frame, columns=columns)
    assert (first.right.thresholds, first.right.masked, first.right.bone.thresholds) == ((55,), (1000,), (20,))
    assert (second.right.thresholds, second.right.masked, second.right.no_response) == ((50,), (), (1000,))


def test_a_row_per_ear():
    frame = pd.DataFrame({"id": [1, 1, 2], "side": ["R", "L", "AS"], "f500": [10, 20, 30]})
    first, second = from_table(frame, pattern=r"f(?P<frequency>\d+)", ear="side")
    assert (first.id, first.right.thresholds, first.left.thresholds) == ("1", (10,), (20,))
    assert (second.id, second.left.thresholds, second.right) == ("2", (30,), None)


def test_codes_of_surveys():
    frame = pd.DataFrame({"R500": [666, 888, 20], "R1000": [30.0, 40.0, 888.0]})
    codes = {666: "no response", 888: "not measured"}
    read = from_table(frame, pattern=r"(?P<ear>R)(?P<frequency>\d+)", codes=codes, no_response_at={"air": 110})
    assert [one.right.frequencies for one in read] == [(500, 1000), (1000,), (500,)]
    assert read[0].right.no_response == (500,)
    assert read[0].right.thresholds == (110, 30)


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"AC_R_1k": ["loud", 1]}, {}, r"row 0, column 'AC_R_1k': 'loud' is no threshold"),
        ({"AC_R_1k": [True, 1]}, {}, "True is no threshold"),
        ({}, {"no_response_at": None}, r"column 'AC_R_1k': no response, but at which level\? .* no_response_at="),
        ({}, {"no_response_at": {250: 100}}, r"air, 1000 Hz"),
        ({"AC_R_1k": [666, 1]}, {}, "row 0: threshold 666 dB HL is outside"),
        ({"AC_R_1000": [1, 1]}, {}, "right ear, air conduction, 1000 Hz is given twice for 007"),
        ({}, {"pattern": "x(?P<frequency>.)(?P<ear>.)"}, "no column has thresholds; there are patient"),
        ({}, {"pattern": "("}, "not a regular expression"),
        ({}, {"pattern": "AC_(?P<ear>R)_1k"}, "needs the named group"),
        ({}, {"pattern": "AC_R_(?P<frequency>.*)"}, "which ear is column 'AC_R_1k' of"),
        ({}, {"columns": {"x": ("R", "air", 1)}}, "not both"),
        ({}, {"pattern": None, "columns": {"x": ("R", "air", 1)}}, "'x', which is no column"),
        ({}, {"pattern": None, "columns": {"age": "R"}}, r"\(ear, conduction, frequency\)"),
        ({}, {"pattern": None, "columns": {"age": ("R", "sea", 1)}}, "'sea' is neither air nor bone"),
        ({}, {"pattern": None, "columns": {"age": ("mouth", "air", 1)}}, "'mouth' is no ear"),
        ({}, {"pattern": None, "columns": {"age": ("R", "air", 1, "loudness")}}, "no role"),
        ({}, {"id": "code"}, "id='code' is no column"),
        ({}, {"codes": {1: "dead"}}, "'no response' or 'not measured', got 'dead'"),
        ({"visit": ["yesterday", ""]}, {}, "row 0: date 'yesterday' is none"),
        ({"AC_R_1k": ["", 5], "AC_R_4k": ["", ""], "AC_R_8k": ["", ""]}, {}, "bone conduction and no air"),
    ],
)
def test_clinic_tables_refused(changes, arguments, said):
    given = {"pattern": PATTERN, "id": "patient", "date": "visit", "no_response_at": 120} | arguments
    with pytest.raises(InputError, match=said):
        from_table(CLINIC.assign(**changes), **given)


def test_a_path_is_no_table():
    with pytest.raises(InputError, match=r"got str; pandas.read_csv\(path, dtype=str\)"):
        from_table("clinic.csv", pattern=PATTERN)


def test_two_columns_of_one_name():
    frame = pd.DataFrame([[1, 2]], columns=["R500", "R500"])
    with pytest.raises(InputError, match="two columns of one name"):
        from_table(frame, pattern=r"(?P<ear>R)(?P<frequency>\d+)")


def test_what_is_not_read_is_said():
    table = to_table([EARS]).assign(age=[70])
    with pytest.warns(AudiogramWarning, match="these columns are not read: age"):
        assert from_table(table) == [EARS]
    empty = CLINIC.assign(**dict.fromkeys(CLINIC.columns[3:], "")).assign(AC_L_1k=["", 5])
    with pytest.warns(AudiogramWarning, match="no threshold in row 0; left out"):
        (only,) = from_table(empty, pattern=PATTERN)
    assert only.left.thresholds == (5,)


def test_long_tables_refused():
    long = to_table(EARS, "long")
    with pytest.raises(InputError, match="has a column ear"):
        from_table(long.drop(columns="ear"))
    with pytest.raises(InputError, match="given twice for p01"):
        from_table(pd.concat([long, long], ignore_index=True))
    with pytest.raises(InputError, match="row 0: 'maybe' is neither true nor false"):
        from_table(long.assign(masked="maybe"))


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (45, Cell(45)),
        (np.int64(-5), Cell(-5)),
        ("45", Cell(45)),
        (" 45.5 dB HL ", Cell(45.5)),
        ("-10", Cell(-10)),
        ("45m", Cell(45, masked=True)),
        (">110", Cell(110, no_response=True)),
        ("≥ 110", Cell(110, no_response=True)),
        (">=110", Cell(110, no_response=True)),
        ("110+", Cell(110, no_response=True)),
        ("22,5", Cell(22.5)),
        (">102,5", Cell(102.5, no_response=True)),
        ("110NR", Cell(110, no_response=True)),
        ("NR@110", Cell(110, no_response=True)),
        ("nr 110", Cell(110, no_response=True)),
        ("No response", Cell(105, no_response=True)),
        ("NR", Cell(105, no_response=True)),
        ("", None),
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        ("DNT", None),
        ("-", None),
        ("N/A", None),
    ],
)
def test_cells(value, cell):
    assert threshold_of(value, Column("left", "bone", 500.0), {"air": 120, "bone": {500: 105}}, {}) == cell


@pytest.mark.parametrize("value", ["45-50", "x", "4 5", "<20", True, "1e3", "45dB SPL", [45]])
def test_cells_that_say_nothing(value):
    with pytest.raises(InputError, match="no threshold"):
        threshold_of(value, Column("left", "air", 500.0), 100, {})


@pytest.mark.parametrize(
    ("text", "hz"), [("1000", 1000), ("1k", 1000), ("1.5kHz", 1500), ("1k5", 1500), ("750 Hz", 750), (500.5, 500.5)]
)
def test_frequencies(text, hz):
    assert frequency_of(text) == hz


@pytest.mark.parametrize("text", ["", "k", "1k5k", "1.5k5", "1005x", None, True])
def test_no_frequencies(text):
    with pytest.raises(InputError, match="no frequency"):
        frequency_of(text)


def test_words_for_ears_and_conduction():
    for word in ("R", "right", "RE", "AD"):
        assert column_of(word, "BC", 500) == Column("right", "bone", 500)
    for word in ("l", "Left", "LE", "AS"):
        assert column_of(word, None, 500) == Column("left", "air", 500)
