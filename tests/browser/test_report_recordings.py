"""Recordings of the report: chosen, heard, read token by token. What is heard is what the models heard."""

from __future__ import annotations

from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

import whisperprobe
from audiogram import open_corpus

# At the sound's own rate, for decoding to another would resample.
DECODED = """async (player, rate) => {
  const coded = Uint8Array.from(atob(player.src.split(",")[1]), (letter) => letter.charCodeAt(0));
  const heard = await new OfflineAudioContext(1, 1, rate).decodeAudioData(coded.buffer);
  return { channels: heard.numberOfChannels, samples: Array.from(heard.getChannelData(0)) };
}"""
PLAYED = """(player) => { player.end = new Promise((tell, fail) => {
  player.addEventListener("ended", () => tell(player.currentTime));
  player.addEventListener("error", () => fail(new Error(player.error.message)));
}); }"""


@pytest.fixture
def page(study, reports) -> Page:
    """The report, whatever recording the test before has chosen."""
    return reports(study)


@pytest.fixture(scope="module")
def clips(study) -> pd.DataFrame:
    return whisperprobe.load_comparison(study.comparison).clips


def assert_decodes_to_what_was_heard(player, study, condition: str, clip_id: str) -> None:
    corpus = open_corpus(study.corpora[condition])
    found = [(s, i) for s in corpus.splits for i, row in enumerate(corpus.rows(s)) if row["id"] == clip_id]
    samples, rate = next(iter(corpus.read(found[0][0], [found[0][1]]))).audio()
    decoded = player.evaluate(DECODED, rate)
    assert decoded["channels"] == 1
    # 16 bits of a recording that is turned down where it would clip; above zero Chromium takes 32767 for 1
    np.testing.assert_allclose(decoded["samples"], samples / max(1.0, np.abs(samples).max()), atol=2 / 32768)


def look_up(page: Page, text: str) -> None:
    page.locator("#clip-q").fill(text)
    page.locator("#clip-q").press("Enter")


def test_a_player_plays_to_its_end(page):
    player = page.locator("#listen audio").first
    player.evaluate(PLAYED)
    player.focus()
    page.keyboard.press("Space")
    end = player.evaluate("(player) => player.end")
    assert end == pytest.approx(player.evaluate("(player) => player.duration"), abs=0.05)
    assert end > 0.2


def test_one_recording_at_a_time(page):
    first, second = page.locator("#listen audio").nth(0), page.locator("#listen audio").nth(1)
    for player in (first, second):
        player.evaluate("(player) => { player.loop = true; return player.play(); }")
    assert first.evaluate("(player) => player.paused")
    assert not second.evaluate("(player) => player.paused")
    second.evaluate("(player) => player.pause()")


@pytest.mark.parametrize("condition", ["normal", "lfloss", "hfloss"])
def test_the_browser_decodes_what_the_models_heard(condition, page, study):
    example = page.locator("#listen article").last
    player = example.locator(f".player[data-condition={condition}] audio")
    assert_decodes_to_what_was_heard(player, study, condition, example.get_attribute("data-clip"))


def test_players_of_a_recording_that_was_looked_up(page, study):
    clip_id = page.locator("#listen article").first.get_attribute("data-clip")
    look_up(page, clip_id)
    expect(page.locator("#clip-recording")).to_have_value(clip_id)
    players = page.locator("#clip-players audio")
    expect(players).to_have_count(len(study.corpora))
    for condition, player in zip(study.corpora, players.all(), strict=True):
        assert_decodes_to_what_was_heard(player, study, condition, clip_id)


def test_a_word_opens_its_recording(page, clips):
    link = page.locator("#word-table tbody a[data-word]").nth(3)
    word = link.inner_text()
    link.click()
    expect(page.locator("#clip-title")).to_be_focused()
    expect(page.locator("#clip-title")).to_have_text(f"“{word}”")
    expect(page.locator("#clip-title")).to_be_in_viewport()
    clip_id = page.locator("#clip-recording").input_value()
    assert set(clips.loc[clips["clip_id"] == clip_id, "word"]) == {word}
    assert clip_id in page.locator("#clip-note").inner_text()


def test_recordings_are_gone_through(page, clips):
    ids = sorted(clips["clip_id"].unique())
    look_up(page, ids[7])
    expect(page.locator("#clip-recording")).to_have_value(ids[7])
    assert page.evaluate("decodeURIComponent(location.hash)") == f"#clip={ids[7]}"
    page.locator("#clip-next").click()
    expect(page.locator("#clip-recording")).not_to_have_value(ids[7])
    page.locator("#clip-previous").click()
    expect(page.locator("#clip-recording")).to_have_value(ids[7])
    look_up(page, "no such word")
    expect(page.locator("#clip-found")).to_contain_text("no such word")
    expect(page.locator("#clip-recording")).to_have_value(ids[7])


def test_a_link_leads_to_a_recording(read, large):
    clip_id = whisperprobe.load_comparison(large.comparison).clips["clip_id"].max()
    page = read(large, anchor=f"#clip={quote(clip_id, safe='')}")
    expect(page.locator("#clip-recording")).to_have_value(clip_id)
    expect(page.locator("#clip-title")).to_be_in_viewport()


def test_answers_and_their_tokens(page, clips, download):
    clip_id = page.locator("#listen article").first.get_attribute("data-clip")
    look_up(page, clip_id)
    expect(page.locator("#clip-recording")).to_have_value(clip_id)
    answers = download(page, "answer-table")
    expected = clips[clips["clip_id"] == clip_id]
    heard = zip(expected["condition"], expected["prediction"].str.strip(), strict=True)
    assert sorted(zip(answers["hearing"], answers["answer"].str.strip(), strict=True)) == sorted(heard)
    measured = expected["word_surprisal"]
    if "target_correlation" in expected:  # of lexicons, which give no probabilities
        measured = measured.fillna(expected["target_correlation"])
    assert sorted(answers["value"]) == pytest.approx(sorted(measured), abs=0.0051)

    tokens = download(page, "token-table")
    assert tokens["probability"].between(0, 1).all()
    np.testing.assert_allclose(tokens["bits"], -np.log2(tokens["probability"]), rtol=0.01, atol=0.01)
    said = tokens[(tokens["part"] == "answer") & ~tokens["token"].str.fullmatch(r"<\|.*\|>")]
    joined = said.groupby(["model", "hearing"])["token"].agg("".join).str.strip()
    compared = answers.set_index(["model", "hearing"])["answer"].str.strip()
    assert len(joined) >= 3
    assert joined.to_dict() == compared[joined.index].to_dict()
    assert page.locator("#fig-tokens svg.main-svg").count() >= 1
    assert f"{tokens['probability'].iloc[0]:.2f}" in page.locator("#fig-tokens").get_attribute("aria-label")
