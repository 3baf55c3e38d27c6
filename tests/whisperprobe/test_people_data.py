"""People's responses: files as they come, which rows count, how words meet, and what is said when they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.comparison.people_data import HumanSource, People, join_key, people_from_trials, read_people
from whisperprobe.comparison.people_join import join_words
from whisperprobe.comparison.people_table import read_text_table

ITEMS = (
    "Item\tIsWord\tDuration\tFreqSUBTLEX\tPronunciation\n"
    "CAT\tTRUE\t500\t9\tK AE1 T\nDOG\tTRUE\t520\t0\tD AO1 G\nZAB\tFALSE\t480\tNA\t\n"
)
RESPONSES = (
    "Experiment\tSubject\tItem\tRT\tACC\tHearingScore\tTrial\n"
    "MALD\ts1\tcat\t900\tTRUE\t12\t1\nMALD\ts1\tdog\t1000\tTRUE\t12\t2\nMALD\ts1\tzab\t1500\tTRUE\t12\t3\n"
    "MALD\ts2\tCat\t1100\tTRUE\t7\t2\nMALD\ts2\tDog\t1300\tFALSE\t7\t1\nMALD\ts2\tdog\t-4\tTRUE\t7\t3\n"
    "MALD\ts3\tdog\tNA\tTRUE\t7\t1\nMALD\t\tdog\t900\tTRUE\t7\t1\nMALD\ts3\tcow\t900\tTRUE\t7\t1\n"
)


def write(folder: Path, text: str, name: str = "responses.txt", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


# Files as they come


@pytest.mark.parametrize("separator", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_are_read_whatever_wrote_them(tmp_path: Path, separator: str, encoding: str, end: str) -> None:
    text = end.join(separator.join(row) for row in (["Item", "RT"], ["café", "812.5"], ["null", "NA"])) + end
    table = read_text_table(write(tmp_path, text, encoding=encoding))
    assert table.columns == ["Item", "RT"]
    assert table.text("item").tolist() == ["café", "null"]  # a word, not a missing value
    np.testing.assert_array_equal(table.numbers("rt"), [812.5, np.nan])


def test_names_of_rows_as_r_writes_them_are_no_column(tmp_path: Path) -> None:
    table = read_text_table(write(tmp_path, '"Item"\t"RT"\n"1"\t"cat"\t"900"\n"2"\t"dog"\t"1e3"\n'))
    assert table.columns == ["Item", "RT"]
    assert table.numbers("RT").tolist() == [900.0, 1000.0]
    assert read_text_table(write(tmp_path, ",Item,RT\n1,cat,900\n")).text("Item").tolist() == ["cat"]


def test_other_encodings_are_read_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(AudiogramWarning, match=r"is not UTF-8 \(byte 8\); read as Windows-1252"):
        table = read_text_table(write(tmp_path, "Item\ncaf\u00e9\n", encoding="cp1252"))
    assert table.text("Item").tolist() == ["café"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Item,RT,item\na,1,b\n", "more than one column 'item'"),
        ("Item,RT\n", "holds 1 lines"),
        ("", "holds 1 lines"),
        ("Item,RT\na,1\nb,2,3\n", r"damaged line.*saw 3.*needs 2 columns"),
        ('Item,RT\n"a,1\nb,2\n', "damaged line"),
        ("Item\0RT\n", "is no text"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_text_table(write(tmp_path, text))


def test_files_that_are_no_text_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*missing.txt"):
        read_text_table(tmp_path / "missing.txt")
    with pytest.raises(InputError, match=r"file of R, .* write.table"):
        read_text_table(tmp_path / "MALD1_AllData.rda")
    with pytest.raises(InputError, match="cannot be read"):
        read_text_table(tmp_path)


def test_decimal_commas_are_named_and_read_when_said(tmp_path: Path) -> None:
    table = read_text_table(write(tmp_path, "Item;RT\ncat;812,5\ndog;900\n"))
    with pytest.raises(InputError, match=r"column 'RT': 1 values are no numbers, e.g. '812,5'.*decimal comma"):
        table.numbers("RT")
    assert table.numbers("RT", ",").tolist() == [812.5, 900.0]
    with pytest.raises(InputError, match=r"e\.g\. 'fast'\. Name another column"):
        read_text_table(write(tmp_path, "Item;RT\ncat;fast\ndog;9\n")).numbers("RT")


def test_truths_are_read_in_all_their_spellings(tmp_path: Path) -> None:
    table = read_text_table(write(tmp_path, "ACC\nTRUE\nfalse\n1\n0\nyes\nNo\ncorrect\nincorrect\nNA\n"))
    assert table.truths("acc").tolist() == [True, False, True, False, True, False, True, False, pd.NA]
    with pytest.raises(InputError, match=r"'ACC' holds '0.5', which is neither true nor false"):
        read_text_table(write(tmp_path, "ACC\n1\n0.5\n")).truths("ACC")


def test_unknown_columns_name_close_matches(tmp_path: Path) -> None:
    table = read_text_table(write(tmp_path, RESPONSES))
    with pytest.raises(InputError, match=r"unknown column in responses.txt: 'Subjekt'.*Did you mean 'Subject'"):
        table.column("Subjekt")


# Which rows count


def test_mald_tables(tmp_path: Path) -> None:
    source = HumanSource(
        write(tmp_path, RESPONSES), write(tmp_path, ITEMS, "items.txt"), word="Item",
        baseline=["Duration", "FreqSUBTLEX"], log=["FreqSUBTLEX"], pronunciation="Pronunciation",
    )  # fmt: skip
    people = read_people(source)
    words = people.words.set_index("word")
    assert words.index.tolist() == ["cat", "dog"]
    assert words["n_responses"].tolist() == [2, 1]
    assert words["Duration"].tolist() == [500, 520]
    np.testing.assert_allclose(words["log_FreqSUBTLEX"], [np.log(10), 0])
    assert words["pronunciation"].tolist() == ["K AE1 T", "D AO1 G"]
    assert people.baseline == ("Duration", "log_FreqSUBTLEX")
    counts = {reason: n for reason, n in people.counts.items() if n}
    assert counts == {
        "rows": 9, "without a subject": 1, "not in the items": 1, "pseudowords": 1, "wrong answers": 1,
        "without a reaction time": 1, "reaction time of 0 or less": 1,
    }  # fmt: skip
    assert sum(n for reason, n in counts.items() if reason != "rows") + len(people.trials) == 9
    assert people.trials["HearingScore"].tolist() == ["12", "12", "7"]
    assert "Experiment" not in people.trials  # the same for all
    assert people.uncounted == {"zab", "cow"}
    assert people.what == "log reaction time of correct responses"


def test_subjects_are_centred_before_words_are_averaged() -> None:
    """Subject b is slow throughout and heard one word: that word is not slow for it."""
    trials = pd.DataFrame({"subject": list("aabb"), "word": ["x", "y", "y", "z"], "response": [1.0, 3.0, 13.0, 11.0]})
    words = people_from_trials(trials).words.set_index("word")["response"]
    mean = 7.0
    assert words.to_dict() == {"x": mean - 1, "y": mean + 1, "z": mean - 1}
    plain = people_from_trials(trials.drop(columns="subject"))
    assert plain.words.set_index("word")["response"].to_dict() == {"x": 1, "y": 8, "z": 11}
    assert plain.trials is None


def test_any_table_with_a_column_of_words(tmp_path: Path) -> None:
    ratings = read_people(HumanSource(write(tmp_path, "Word,Rating\nCat,3\ndog,5\ncat,4\ncow,NA\n"), response="rating"))
    assert ratings.words[["word", "response", "n_responses"]].to_numpy().tolist() == [["cat", 3.5, 2], ["dog", 5, 1]]
    assert ratings.what == "Rating"
    assert ratings.trials is None
    means = read_people({"file": write(tmp_path, "Word,RT,ACC\ncat,900,0.93\ndog,1000,0.5\n")})
    np.testing.assert_allclose(means.words["response"], np.log([900, 1000]))  # a share correct leaves no word out


def test_a_baseline_that_is_there_and_was_not_asked_for_is_offered(tmp_path: Path) -> None:
    people = read_people(
        HumanSource(write(tmp_path, RESPONSES), write(tmp_path, ITEMS, "items.txt"), baseline=["duration"])
    )
    assert people.offered == ("FreqSUBTLEX",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"baseline": ["Durations"]},
            r"unknown column in items.txt and responses.txt: 'Durations'.*Did you mean 'Duration'",
        ),
        ({"word": "Words"}, "unknown column in responses.txt: 'Words'"),
        ({"accuracy": "Trial"}, "'Trial' holds '2', which is neither true nor false"),
        ({"rt": "Item"}, "column 'Item': 9 values are no numbers"),
        ({"baseline": ["IsWord"]}, "column 'IsWord': 3 values are no numbers, e.g. 'TRUE'"),
        ({"baseline": ["Duration", "duration"]}, "names 'Duration' twice"),
        ({"is_word": "ACC", "accuracy": "IsWord"}, "unknown column in responses.txt: 'IsWord'"),
    ],
)
def test_wrong_columns_are_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    files = {"file": write(tmp_path, RESPONSES), "items": write(tmp_path, ITEMS, "items.txt")}
    with pytest.raises(InputError, match=said):
        read_people({**files, **given})


def test_sources_are_validated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="baseline='Duration'; give a list"):
        HumanSource("x", baseline="Duration")
    with pytest.raises(InputError, match=r"unknown column of the baseline in log: 'Freq'"):
        HumanSource("x", baseline=["Duration"], log=["Freq"])
    with pytest.raises(InputError, match="decimal=';'"):
        HumanSource("x", decimal=";")
    with pytest.raises(InputError, match="has no column of reaction times"):
        read_people(write(tmp_path, "Word,Rating\ncat,3\n"))
    with pytest.raises(InputError, match=r"has no column Item, .* \(--word\). Its columns: Wort, RT"):
        read_people(write(tmp_path, "Wort,RT\ncat,3\n"))
    with pytest.raises(InputError, match=r"no row of responses.txt counts .*wrong answers: 2"):
        read_people(write(tmp_path, "Word,Subject,RT,ACC\ncat,a,3,0\ndog,a,3,0\n"))
    negative = HumanSource(write(tmp_path, "Word,RT,Freq\ncat,900,-1\n"), baseline=["Freq"], log=["Freq"])
    with pytest.raises(InputError, match="'Freq' has values below 0"):
        read_people(negative)


# How words meet


def people_of(*words: str, uncounted: frozenset[str] = frozenset()) -> People:
    frame = pd.DataFrame({"word": words, "response": 1.0, "n_responses": 1})
    return People(frame, None, (), "log RT", "ln RT", uncounted=uncounted)


def test_words_meet_in_any_case_and_spelling_of_accents() -> None:
    assert join_key(" CAFE\u0301! ") == join_key("caf\u00e9") == "caf\u00e9"
    assert join_key("DON’T") == join_key("don't")
    assert join_key(None) is None
    join = join_words(["cat", "dog"], people_of("cat", "cow", "dog"))
    assert join.matched == ("cat", "dog")
    assert join.n_people == 3
    assert join.describe() == "2 of the 2 words that were heard have responses of people."


def test_a_join_of_few_words_says_how_many_and_shows_ten() -> None:
    heard = [f"w{chr(97 + i)}" for i in range(26)]
    with pytest.warns(AudiogramWarning, match=r"few words meet: 2 of the 26 words .*; 24 have none: “wc”") as caught:
        join = join_words(heard, people_of("wa", "wb", "else"))
    text = str(caught[0].message)
    assert text.count("“") == 10
    assert "and 14 more. Likely cause: people heard other words" in text
    assert len(join.missed) == 24


@pytest.mark.parametrize(
    ("heard", "people", "cause"),
    [
        (["1", "2"], ("one", "two"), "numerals; write them as words with text_map"),
        (["3_anna_01", "4_anna_01"], ("three",), "names of files; say with text_pattern"),
        (["cat", "dog"], ("cat.wav", "dog.wav"), "people's column holds names of files"),
        (["cat", "dog"], ("12", "0.5"), "people's column holds numbers"),
        (["the cat sat", "the dog ran"], ("cat", "dog"), "several words each; cut them first"),
        (["cat1", "dog2"], ("cat", "dog"), "end in numbers"),
        (["café", "naïve"], ("cafe", "naive"), "accents"),
        (["cat", "dog"], ("red", "blue"), "people heard other words"),
    ],
)
def test_no_word_in_common_names_the_likely_cause(heard: list[str], people: tuple[str, ...], cause: str) -> None:
    with pytest.raises(InputError, match=cause) as error:
        join_words(heard, people_of(*people))
    assert "no word is common: 0 of the 2 words" in str(error.value)
    assert error.value.exit_code == 2


def test_runs_that_have_no_measure_are_told_so(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("word,rt\nship,600\nfish,700\n", encoding="utf-8")
    with pytest.raises(InputError, match="both a text and one of the measures"):
        join_words([], read_people(file))


def test_words_whose_responses_do_not_count_are_told_from_words_that_are_not_there() -> None:
    with pytest.raises(InputError, match="with no response that counts"):
        join_words(["zab", "zob"], people_of("cat", uncounted=frozenset({"zab", "zob"})))


def test_a_stray_quotation_mark_swallows_no_rows(tmp_path: Path) -> None:
    rows = ["Item\tRT", "cat\t900", '"cow\t800', "dog\t700", '"owl\t600', "pig\t500"]
    with pytest.raises(InputError, match=r"row 2, column 'Item': a quotation mark before 'cow\\t800' takes in 2 more"):
        read_people(write(tmp_path, "\n".join(rows)))
    rows = ["Item,RT,Remark", 'cat,900,"slow,', 'or ""loud"""', "cow,800,", '"dog",700,"two', 'lines"']
    with pytest.raises(InputError, match="row 1, column 'Remark'"):
        read_people(write(tmp_path, "\n".join(rows)))
    assert len(read_people(write(tmp_path, "\n".join(rows).replace("slow,", "slow"))).words) == 3


def test_commas_between_thousands_are_not_taken_for_decimal_ones(tmp_path: Path) -> None:
    file = write(tmp_path, "Item\tRT\ncat\t1,200\ndog\t900\n")
    with pytest.raises(
        InputError, match=r"1 values are no numbers, e\.g\. '1,200'\. Are these commas between thousands"
    ):
        read_people(file)


def test_fields_that_are_not_known_are_named() -> None:
    with pytest.raises(InputError, match=r"unknown field of the people's data 'basline'\. Did you mean 'baseline'"):
        read_people({"file": "a.txt", "basline": []})
    with pytest.raises(InputError, match="have no file"):
        read_people({"baseline": ["Duration"]})
    with pytest.raises(InputError, match="people's data are NoneType"):
        read_people(None)  # type: ignore[arg-type]
