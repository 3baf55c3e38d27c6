"""The logit lens and encoder means: against transformers' own hidden states, one clip and one sequence at a time."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from audiogram.errors import InputError
from whisperprobe.features import log_mel
from whisperprobe.probing.layers import parse_layers
from whisperprobe.probing.probe import Probe

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
TEXTS = ["sick", "fish ship", None, "naïve"]
KEYS = ["clip_id", "decoding", "variant", "position"]


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 400)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def whisper():
    return naive_probe.tiny_whisper(WORDS, suppress=[5, 70])


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=4)


@pytest.fixture(scope="module")
def result(probe):
    return probe(sounds(), TEXTS, layers="all", layer_vectors=True, vectors="both", encoder="mean", batch_size=3)


def test_layers_have_a_row_for_every_token_and_layer(result):
    assert len(result.layers) == 3 * len(result.tokens)
    for layer in range(3):
        own = result.layers[result.layers["layer"] == layer].reset_index(drop=True)
        assert own[KEYS].equals(result.tokens[KEYS])


def test_the_last_layer_has_the_numbers_of_the_tokens(result):
    last = result.layers[result.layers["layer"] == 2].reset_index(drop=True)
    for column in ("log_probability", "rank", "entropy"):
        assert last[column].equals(result.tokens[column]), column


def test_every_layer_against_the_hidden_states_of_transformers(whisper, probe, result):
    model = whisper[0]
    features = log_mel(sounds(), model).double()
    E, norm = model.proj_out.weight, model.model.decoder.layer_norm
    layers = result.layers.pivot(index=KEYS, columns="layer", values=["log_probability", "rank", "entropy"])
    worst = {"log_probability": 0.0, "rank": 0.0, "entropy": 0.0}
    for (clip, decoding, variant), own in result.tokens.groupby(KEYS[:3], dropna=False):
        ids = own["token_id"].tolist()
        read = torch.tensor([[*probe.prompt, *ids]])
        with torch.no_grad():
            out = model(
                input_features=features[int(clip)][None], decoder_input_ids=read, output_hidden_states=True
            ).decoder_hidden_states
            # transformers hands out the last state normalised, the others as they are
            states = [norm(out[0]), norm(out[1]), out[2]]
            for layer, h in enumerate(states):
                log_p = torch.log_softmax(h[0] @ E.T, -1)[len(probe.prompt) - 1 : -1]
                for t, token in enumerate(ids):
                    found = layers.loc[(clip, decoding, variant, t)].xs(layer, level="layer")
                    plain = {
                        "log_probability": float(log_p[t, token]),
                        "rank": 1 + int((log_p[t] > log_p[t, token]).sum()),
                        "entropy": -float((log_p[t].exp() * log_p[t]).sum()),
                    }
                    for name, value in plain.items():
                        worst[name] = max(worst[name], abs(found[name] - value))
    assert max(worst.values()) < 1e-9, worst


def test_the_states_of_a_layer_give_its_numbers_back(whisper, result):
    model = whisper[0]
    assert result.layer_hidden.shape == (len(result.tokens), 3, 24)
    with torch.no_grad():
        h = model.model.decoder.layer_norm(torch.from_numpy(result.layer_hidden).double())
        log_p = torch.log_softmax(h @ model.proj_out.weight.T, -1).numpy()
    rows = np.arange(len(result.tokens))[:, None]
    again = log_p[rows, np.arange(3)[None], result.tokens["token_id"].to_numpy()[:, None]]
    stored = result.layers["log_probability"].to_numpy().reshape(-1, 3)
    assert np.abs(again - stored).max() < 1e-4  # states are stored in float32
    assert np.allclose(h[:, 2], result.hidden, atol=1e-5)


def test_layer_0_hears_nothing(probe):
    layers = probe(sounds(), ["fish"] * 4, layers=[0], decodings=["forced"]).layers
    alike = layers.groupby(["variant", "position"])["log_probability"].agg(np.ptp)
    assert alike.max() < 1e-12
    upper = probe(sounds(), ["fish"] * 4, layers=[1], decodings=["forced"]).layers
    assert upper.groupby(["variant", "position"])["log_probability"].agg(np.ptp).max() > 1e-3


def test_layers_do_not_depend_on_the_batch_or_on_what_else_is_asked(probe, result):
    order = [3, 1, 0, 2]
    mixed = probe([sounds()[i] for i in order], [TEXTS[i] for i in order], ids=list("3102"), layers="1,2", batch_size=1)
    left = mixed.layers.sort_values([*KEYS, "layer"], ignore_index=True)
    right = result.layers[result.layers["layer"] > 0].sort_values([*KEYS, "layer"], ignore_index=True)
    assert left[[*KEYS, "layer", "rank"]].equals(right[[*KEYS, "layer", "rank"]])
    assert np.allclose(left["log_probability"], right["log_probability"], atol=1e-10)


def test_nothing_stays_hooked_to_the_model(whisper, probe, result):
    def hooks():
        blocks = whisper[0].model.decoder.layers
        return [len(block._forward_hooks) + len(block._forward_pre_hooks) for block in blocks]

    before = hooks()  # transformers leaves its own
    probe(sounds()[:1], layers="all")
    assert hooks() == before
    plain = probe(sounds(), TEXTS)
    assert plain.table_names == ("clips", "tokens", "ground_truth")
    assert list(plain.vectors) == ["hidden", "top_k_ids", "top_k_log_probabilities"]
    assert list(plain.clips.columns) == [c for c in result.clips.columns if c != "encoder_row"]


def test_encoder_means_are_over_the_positions_that_a_clip_covers(whisper, probe, result):
    with torch.no_grad():
        states = whisper[0].model.encoder(log_mel(sounds(), whisper[0]).double()).last_hidden_state.numpy()
    covered = [50, 25, 39, 2]  # of 320 samples each, the last one in part
    plain = np.stack([own[:n].mean(0) for own, n in zip(states, covered, strict=True)])
    assert result.clips["encoder_row"].tolist() == [0, 1, 2, 3]
    assert np.abs(result.encoder - plain).max() < 1e-6
    window = probe(sounds(), TEXTS, encoder="window", batch_size=2)
    assert np.abs(window.encoder - states.mean(1)).max() < 1e-6
    assert window.clips["encoder_row"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": [3]}, "layers 1 to 2 .* received 3"),
        ({"layers": -1}, "received -1"),
        ({"layers": "1,-2"}, "give 'all' or numbers"),
        ({"layers": "last"}, "give 'all' or numbers"),
        ({"layers": []}, "give 'all' or numbers"),
        ({"layers": [True]}, "give 'all' or numbers"),
        ({"layers": [1, 1]}, "twice"),
        ({"layer_vectors": True}, "no layers are asked for"),
        ({"encoder": "max"}, "unknown encoder 'max'"),
    ],
)
def test_layers_and_states_that_there_are_not(probe, options, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), **options)


def test_what_was_not_asked_for_says_how_to_ask(probe):
    plain = probe(sounds()[:1])
    for name, option in (("layers", "layers="), ("layer_hidden", "layer_vectors="), ("encoder", "encoder=")):
        with pytest.raises(InputError, match=option):
            getattr(plain, name)


def test_layers_are_named_in_any_order():
    assert parse_layers("2, 0", 2) == parse_layers((2, 0), 2) == parse_layers(np.array([0, 2]), 2) == (0, 2)
    assert parse_layers(1, 2) == (1,)
    assert parse_layers(None, 2) == ()
