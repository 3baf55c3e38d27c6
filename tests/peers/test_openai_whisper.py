"""Features, states, logits, greedy ids and log-probabilities against OpenAI's own implementation of Whisper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions, GreedyDecoder

from whisperprobe.features import log_mel
from whisperprobe.probing.probe import Probe

TEXTS = ["thought", "Transcendentalists", "the quick brown fox", "naïve Straße", "don't!", "x"]


def sounds(samples, seed=0):
    """Noise under a slow envelope: clips of six lengths that differ in what a random model makes of them."""
    rng = np.random.default_rng(seed)
    lengths = [samples, samples // 2, samples // 3, samples - 1, 2_000, samples // 7]
    return [
        (0.2 * rng.standard_normal(n) * np.abs(np.sin(np.arange(n) / (500 * (i + 1))))).astype(np.float32)
        for i, n in enumerate(lengths)
    ]


def states_of(model, tokens, audio):
    """Last decoder states of an openai-whisper model, before the output embedding, in the model's own precision."""
    kept = []
    hook = model.decoder.ln.register_forward_hook(lambda layer, ins, out: kept.append(out))
    with torch.inference_mode():
        model.decoder(tokens, audio)
    hook.remove()
    return kept[0]


def greedy(model, audio, prompt, end, longest):
    """Greedy ids and their joint ln p by OpenAI's decoder, without logit filters; every prefix read anew."""
    decoder = GreedyDecoder(0.0, end)
    tokens, total = torch.tensor([prompt]), torch.zeros(1)
    with torch.inference_mode():
        for _ in range(longest):
            tokens, done = decoder.update(tokens, model.logits(tokens, audio)[:, -1], total)
            if done:
                break
    return tokens[0, len(prompt) :].tolist(), float(total)


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [2, 30])
def test_log_mel(bands, seconds):
    clips = sounds(16_000 * seconds)
    ours = log_mel(clips, {"num_mel_bins": bands, "max_source_positions": 50 * seconds})
    for clip, features in zip(clips, ours, strict=True):
        theirs = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip, 16_000 * seconds), bands)
        assert features.shape == theirs.shape
        assert (features - theirs).abs().max() < 1e-5


def test_the_demo_model_in_float32(demo_model, demo_speech, in_openai):
    probe = Probe.from_pretrained(demo_model, device="cpu")
    theirs = in_openai(probe.model)
    clips, texts = [x for x, _ in demo_speech], [text for _, text in demo_speech]
    result = probe(clips, texts, vectors="both", batch_size=7)
    rows = dict(list(result.tokens.groupby("clip_id", sort=False)))
    E = probe.head.embedding
    for i, clip in enumerate(clips):
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip, probe.window.n_samples), 80)
        with torch.inference_mode():
            audio = theirs.embed_audio(mel[None])
            encoded = probe.model.model.encoder(log_mel(clip, probe.window)).last_hidden_state
        assert (audio - encoded).abs().max() < 1e-4
        own = rows[str(i)]
        ids, total = greedy(theirs, audio, probe.prompt, probe.end_id, probe.model.config.max_target_positions - 4)
        ours = own[own["decoding"] == "greedy"]
        assert ours["token_id"].tolist() == ids
        assert ours["log_probability"].sum() == pytest.approx(total, abs=1e-4)
        for _, sequence in own.groupby(["decoding", "variant"], dropna=False):
            tokens = torch.tensor([[*probe.prompt, *sequence["token_id"]]])[:, :-1]
            with torch.inference_mode():
                logits = theirs.logits(tokens, audio)[0, len(probe.prompt) - 1 :]
            hidden = torch.from_numpy(np.asarray(result.hidden[sequence["vector_row"]]))
            assert (hidden @ E.T - logits).abs().max() < 1e-4
            log_p = logits.log_softmax(-1).gather(1, torch.tensor(sequence["token_id"].tolist())[:, None])[:, 0]
            assert np.abs(sequence["log_probability"] - log_p.numpy()).max() < 1e-4


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_model_in_float64(seed, random_whisper, openai_tokenizer, in_openai, in_float64):
    model = random_whisper(seed=seed)
    theirs = in_float64(in_openai(model))
    probe = Probe(model.double(), openai_tokenizer, max_new_tokens=6)
    clips = sounds(32_000, seed)
    result = probe(clips, TEXTS, vectors="none", top_k=0)
    features = log_mel(clips, model).double()
    with torch.inference_mode():
        audio = theirs.embed_audio(features)
        encoded = model.model.encoder(features).last_hidden_state
    assert (audio - encoded).abs().max() < 1e-9
    E = theirs.decoder.token_embedding.weight
    compared = 0
    for (clip, *_), own in result.tokens.groupby(["clip_id", "decoding", "variant"], dropna=False):
        ids = torch.tensor(own["token_id"].tolist())
        tokens = torch.tensor([[*probe.prompt, *own["token_id"]]])[:, :-1]
        hidden = states_of(theirs, tokens, audio[int(clip)][None])[0, len(probe.prompt) - 1 :]
        with torch.inference_mode():
            ours = model(encoder_outputs=(encoded[int(clip)][None],), decoder_input_ids=tokens).logits[0]
            logits = hidden @ E.T
        assert (ours[len(probe.prompt) - 1 :] - logits).abs().max() < 1e-9
        log_p = logits.log_softmax(-1)
        at = log_p.gather(1, ids[:, None])[:, 0].detach().numpy()
        assert np.abs(own["log_probability"] - at).max() < 1e-9
        assert np.abs(own["entropy"] + (log_p.exp() * log_p).sum(-1).detach().numpy()).max() < 1e-9
        assert own["rank"].tolist() == (1 + (log_p > log_p.gather(1, ids[:, None])).sum(-1)).tolist()
        compared += len(own)
    assert compared > 60
    assert result.tokens["rank"].max() > 1_000  # not all of it lies among the most probable


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_decode_with_openais_own_suppression(seed, random_whisper, openai_tokenizer, in_openai):
    # whisper.decode suppresses as our checkpoint's generation config says: ids and the log-probability after it agree
    model = random_whisper(seed=seed)
    probe = Probe(model, openai_tokenizer, max_new_tokens=12)
    clips = sounds(32_000, seed)
    mel = torch.stack([whisper.log_mel_spectrogram(whisper.pad_or_trim(x, 32_000), 128) for x in clips])
    options = DecodingOptions(language="en", without_timestamps=True, fp16=False, sample_len=12)
    tokens = probe(clips, vectors="none", top_k=0).tokens
    for i, theirs in enumerate(whisper.decode(in_openai(model), mel, options)):
        ours = tokens[tokens["clip_id"] == str(i)]
        assert ours[ours["kind"] != "end"]["token_id"].tolist() == theirs.tokens
        joint = ours["processed_log_probability"].sum() / (len(theirs.tokens) + 1)
        assert joint == pytest.approx(theirs.avg_logprob, abs=1e-4)


def test_the_vocabulary_is_openais(openai_tokenizer):
    from whisper.tokenizer import get_tokenizer

    theirs = get_tokenizer(True, num_languages=100, language="en", task="transcribe")
    for text in [*TEXTS, " Transcendentalists", "1,234.5 €", "日本語", "zwölf Boxkämpfer", "<|en|>"]:
        ours = openai_tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ours == theirs.encode(text, disallowed_special=())
