"""Presets, and audiograms as text."""

import pytest

from audiogram import preset, presets
from audiogram.errors import InputError
from audiogram.standard_audiograms import parse_audiogram


def test_presets_of_the_study():
    assert presets() == ("normal", "lfloss", "hfloss")
    assert preset("normal").thresholds == (10.0,) * 7
    assert preset("lfloss").thresholds == tuple(reversed(preset("hfloss").thresholds))
    assert [preset(name).pta() for name in presets()] == [10, 47.5, 62.5]
    assert [preset(name).grade() for name in presets()] == ["normal", "moderate", "moderately severe"]
    with pytest.raises(InputError, match=r"unknown preset 'hflos'\. Did you mean 'hfloss'"):
        preset("hflos")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '{"frequencies": [250, 500], "thresholds": [10, 20]}'),
        ("b.json", '{"250": 10, "500": 20}'),
        ("c.csv", "250,10\n500,20\n"),
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
    ],
)
def test_bad_files_are_named(tmp_path, name, content, words):
    path = tmp_path / name
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
