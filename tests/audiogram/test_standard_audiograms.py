"""Presets, and audiograms as text."""

import pytest

from audiogram import Audiogram, Condition, iso7029, preset, presets
from audiogram.errors import InputError
from audiogram.standard_audiograms import parse_audiogram

STUDY = ("normal", "lfloss", "hfloss")
# Bisgaard, Vlaming & Dahlquist (2010), by frequency here and by audiogram in the module
BISGAARD = """
 Hz   N1 N2   N3 N4 N5   N6   N7   S1 S2   S3
 250  10 20   35 55 65   75   90   10 20   30
 375  10 20   35 55 67.5 77.5 92.5 10 20   30
 500  10 20   35 55 70   80   95   10 20   35
 750  10 22.5 35 55 72.5 82.5 100  10 22.5 47.5
1000  10 25   40 55 75   85   105  10 25   60
1500  10 30   45 60 80   90   105  10 35   70
2000  15 35   50 65 80   90   105  15 55   75
3000  20 40   55 70 80   95   105  30 75   80
4000  30 45   60 75 80   100  105  55 95   80
6000  40 50   65 80 80   100  105  70 95   85
"""


def test_presets_of_the_study():
    assert presets()[:3] == STUDY
    assert preset("normal").thresholds == (10.0,) * 7
    assert preset("lfloss").thresholds == tuple(reversed(preset("hfloss").thresholds))
    assert [preset(name).pta() for name in STUDY] == [10, 47.5, 62.5]
    assert [preset(name).grade() for name in STUDY] == ["normal", "moderate", "moderately severe"]
    with pytest.raises(InputError, match=r"unknown preset 'hflos'\. Did you mean 'hfloss'"):
        preset("hflos")


def test_standard_audiograms():
    heading, *rows = [line.split() for line in BISGAARD.strip().splitlines()]
    assert presets()[3:] == tuple(f"bisgaard-{name.lower()}" for name in heading[1:])
    for column, name in enumerate(presets()[3:], start=1):
        ear = preset(name)
        assert ear.name == name
        assert ear.frequencies == tuple(float(row[0]) for row in rows)
        assert ear.thresholds == tuple(float(row[column]) for row in rows)
    grades = [preset(f"bisgaard-n{n}").grade() for n in range(1, 8)]
    assert grades == ["normal", "mild", "moderate", "moderately severe", "severe", "profound", "complete"]


@pytest.mark.parametrize("name", ["N3", "n3"])
def test_short_names_are_a_hint_only(name):
    with pytest.raises(InputError, match=rf"unknown preset '{name}'\. Did you mean 'bisgaard-n3'"):
        preset(name)
    with pytest.raises(InputError, match=rf"unknown audiogram '{name}'\. Did you mean 'bisgaard-n3'.*Or give a \.json"):
        parse_audiogram(name)


def test_names_with_an_age():
    assert preset("iso7029-male-60") == parse_audiogram("iso7029-male-60") == iso7029(60, "male")
    assert parse_audiogram("iso7029-female-65.5-p97.5") == iso7029(65.5, "female", 97.5)
    assert preset("iso7029-male-60").name == "iso7029-male-60"
    assert Condition("old", "iso7029-male-60").audiogram == iso7029(60, "male")
    with pytest.raises(InputError, match="18 to 80 years, got 90"):
        preset("iso7029-male-90")
    with pytest.raises(InputError, match="Did you mean 'iso7029-male-AGE'"):
        preset("iso7029-male")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"frequencies": [250, 500], "thresholds": [10, 20]}'),
        ("b.json", '{"250": 10, "500": 20}'),
        ("c.csv", "250,10\n500,20\n"),
        ("semicolons.csv", "Frequenz;dB HL\n250;10,0\n500,0;20\n"),
        ("tabs.csv", "250\t10\n500\t20\n"),
        ("d.csv", "\ufeff# right ear\nfrequency,threshold\n250,10\n\n500,20\n"),
        ("E.CSV", "Hz,dB HL\r\n250.0,10\r\n500,20\r\n"),
    ],
)
def test_files(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    ear = parse_audiogram(str(tmp_path / name))
    assert (ear.frequencies, ear.thresholds) == ((250.0, 500.0), (10.0, 20.0))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        ("a.json", "[]", "is a mapping"),
        ("a.json", f'{{"frequencies": [1{"0" * 400}], "thresholds": [10]}}', "must be numbers"),
        ("a.json", '{"250": null}', "missing value"),
        ("a.csv", "", "at least one frequency"),
        ("a.csv", "250,10,20\n", "'250:10:20' is not a frequency"),
        ("a.csv", "frequency,threshold\n250,ten\n", "'250:ten' is not a frequency"),
        ("a.csv", "500,10\n250,10\n", "must increase"),
        ("a.json", '{"left": {"frequencies": [500], "thresholds": [10]}}', "a listener with ears"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        parse_audiogram(str(path))
    assert str(path) in str(caught.value)


def test_json_of_all_fields(tmp_path):
    bone = Audiogram([500, 1000], [0, 70], masked=[500], no_response=[1000])
    ear = Audiogram([500, 4000], [40, 110], ear="left", name="p01", masked=[500], no_response=[4000], bone=bone)
    (tmp_path / "ear.json").write_text(ear.to_json())
    assert parse_audiogram(str(tmp_path / "ear.json")) == ear


def test_table_of_all_columns(tmp_path):
    (tmp_path / "p01.csv").write_text(
        "Hz, dB HL, No response, Bone (dB HL), bone_no_response, masked, bone masked\n"
        "# both ears were tired\n"
        "500,40,,0,no,yes,1\n"
        "1000,50,0,70,TRUE,,\n"
        "1500,,,20,,,\n"
        "4000,110,x,,,,\n"
    )
    bone = Audiogram([500, 1000, 1500], [0, 70, 20], masked=[500], no_response=[1000])
    ear = Audiogram([500, 1000, 4000], [40, 50, 110], name="p01", masked=[500], no_response=[4000], bone=bone)
    assert parse_audiogram(str(tmp_path / "p01.csv")) == ear


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("f,t,noresponse\n500,10,1\n", "unknown or repeated column .* 'noresponse'. Did you mean 'no_response'"),
        ("f,t,bone,bone\n500,10,1,2\n", "unknown or repeated column .* 'bone'"),
        ("f,t,masked\n500,10\n", "'500,10' is not a frequency in Hz and 2 columns more"),
        ("f,t,masked\n500Hz,10,1\n", "'500Hz,10,1' is not a frequency"),
        ("f,t,masked\n500,10,maybe\n", "'maybe' in column masked is neither yes nor no"),
        ("f,t,masked,bone\n500,,1,0\n1000,10,,5\n", "masked names 500 Hz, where nothing was measured"),
        ("f,t,bone_masked\n500,10,1\n", "at least one frequency"),
        ("f,t,bone\n500,10,low\n", "'500:low' is not a frequency"),
    ],
)
def test_bad_tables_are_named(tmp_path, content, words):
    path = tmp_path / "ear.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=words) as caught:
        parse_audiogram(str(path))
    assert str(path) in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="cannot read audiogram file"):
        parse_audiogram(str(tmp_path / "none.json"))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not UTF-8"):
        parse_audiogram(str(tmp_path / "binary.csv"))


def test_inline_and_names():
    assert parse_audiogram("hfloss") is preset("hfloss")
    assert parse_audiogram("250:10, 500:-5.5,").thresholds == (10.0, -5.5)
    for text in ("hflos", "", "250", "250:", "a:b", "500:10,250:10", "250:10:20"):
        with pytest.raises(InputError):
            parse_audiogram(text)
