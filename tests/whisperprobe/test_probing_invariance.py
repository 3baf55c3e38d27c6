"""The trained demo model gives the same numbers however clips are batched, ordered and padded; whole windows."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from audiogram import sound
from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe import demo
from whisperprobe.features import log_mel
from whisperprobe.probing.probe import Probe

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

DEMO = Path(demo.__file__).parent
KEYS = {
    "tokens": ["clip_id", "decoding", "variant", "position"],
    "clips": ["clip_id"],
    "ground_truth": ["clip_id", "position", "target_index"],
}


@pytest.fixture(scope="module")
def probe():
    return Probe.from_pretrained(DEMO / "model", device="cpu")


@pytest.fixture(scope="module")
def speech():
    """Twenty-four clips of the demo's test voices, 0.3 to 1 s long, and what is said: id, sound, text."""
    clips = open_corpus(DEMO / "speech").sample(24, seed=2).read("test")
    return [(clip.id, sound.resample(*clip.audio(), 16_000), clip.text) for clip in clips]


@pytest.fixture(scope="module")
def together(probe, speech):
    return run(probe, speech, len(speech))


def run(probe, speech, batch_size):
    ids, clips, texts = zip(*speech, strict=True)
    return probe(clips, texts, ids=ids, batch_size=batch_size, vectors="both", top_k=20)


def largest_difference(a, b):
    """Over all tables and hidden states of two runs of the same clips; whatever is no number must be equal."""
    worst = 0.0
    for name, keys in KEYS.items():
        left = getattr(a, name).sort_values(keys, kind="stable", ignore_index=True)
        right = getattr(b, name).sort_values(keys, kind="stable", ignore_index=True)
        assert len(left) == len(right)
        for column in left:
            if column == "vector_row":
                hidden = np.abs(a.hidden[left[column]] - b.hidden[right[column]])
                worst = max(worst, float(hidden.max()))
            elif left[column].dtype.kind == "f":
                assert left[column].isna().equals(right[column].isna())
                nats = np.log(2) if column.endswith("surprisal") else 1.0  # the same number in bits is larger
                worst = max(worst, nats * float((left[column] - right[column]).abs().max()))
            else:
                assert left[column].equals(right[column]), (name, column)
    return worst


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_batch_size(probe, speech, together, batch_size):
    assert largest_difference(together, run(probe, speech, batch_size)) < 1e-5


@pytest.mark.parametrize("batch_size", [7, 24])
def test_order_and_neighbours(probe, speech, together, batch_size):
    order = np.random.default_rng(0).permutation(len(speech))
    assert largest_difference(together, run(probe, [speech[i] for i in order], batch_size)) < 1e-5


def test_neighbours_that_go_on_for_long(probe, speech, together):
    # noise makes the model babble; the clips beside it are padded in every decoder pass
    noise = [(f"noise-{i}", (0.3 * np.random.default_rng(i).standard_normal(32_000)).astype(np.float32), "word " * 5)
             for i in range(3)]  # fmt: skip
    mixed = run(probe, [noise[0], *speech[:12], noise[1], *speech[12:], noise[2]], 9)
    own = {name: getattr(mixed, name)["clip_id"].isin([i for i, *_ in speech]) for name in KEYS}
    assert mixed.tokens.groupby("clip_id").size().max() > together.tokens.groupby("clip_id").size().max()
    for name, keep in own.items():
        setattr(mixed, name, getattr(mixed, name)[keep])
    assert largest_difference(together, mixed) < 1e-5


def test_silence_behind_a_clip(probe, speech, together):
    longer = [(i, np.pad(x, (0, (32_000 - len(x)) // (2 + n % 3))), text) for n, (i, x, text) in enumerate(speech)]
    assert largest_difference(together, run(probe, longer, 24)) < 1e-5


def whole_windows(seconds):
    """A model with such a window, a clip that fills it to the last sample, and one that is longer by one."""
    model, tokenizer = naive_probe.tiny_whisper(["sick", "fish"], seconds=seconds)
    samples = 16_000 * seconds
    x = (0.1 * np.random.default_rng(seconds).standard_normal(samples + 1)).astype(np.float32)
    return Probe(model, tokenizer, max_new_tokens=3), x[:samples], x


@pytest.mark.parametrize("seconds", [1, 30])
def test_a_clip_of_exactly_the_window_and_one_beyond(seconds):
    probe, whole, beyond = whole_windows(seconds)
    clips = [whole, whole[: len(whole) // 3]]
    result = probe(clips, ["sick", "fish"], batch_size=2)
    plain = naive_probe.Naive(probe.model, probe.tokenizer, probe.prompt)
    worst = naive_probe.deviations(result, plain, log_mel(clips, probe.model))
    assert max(worst.values()) < 1e-9
    with pytest.raises(InputError, match=rf"^1: .* window of {seconds} s"):
        probe([whole, beyond])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_a_whole_window_at_another_rate_still_fits(rate):
    probe, *_ = whole_windows(1)
    x = np.sin(np.arange(rate + rate // 100) / 9).astype(np.float32)
    assert len(probe([x[:rate]], sample_rate=rate).clips) == 1
    with pytest.raises(InputError, match="window of 1 s"):
        probe([x], sample_rate=rate)
