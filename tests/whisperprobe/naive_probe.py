"""Every scalar of a probe once more, as plainly as it can be said: one clip, one token, loops over the vocabulary.

Used by the tests on tiny random models and by `benchmarks/probe_deviation.py` on any model and corpus. Nothing here
calls the library's measures, packing, cache or vocabulary: each prefix is read by the model from the start, on its
own, and its logits are turned to float64 before anything is done with them.
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

import numpy as np
import torch
from transformers.convert_slow_tokenizer import bytes_to_unicode

SCALARS = (
    "log_probability", "processed_log_probability", "probability", "surprisal", "rank", "ties", "entropy",
    "semantic_density", "normalised_probability", "normalised_rank", "normalised_entropy", "word_end_mass",
)  # fmt: skip
TARGET_SCALARS = ("rank", "probability", "cosine_similarity", "correlation")
CLIP_SCALARS = (
    "n_tokens", "log_probability", "word_log_probability", "prefix_log_probability", "word_surprisal",
    "word_mean_rank", "word_mean_entropy", "mean_rank", "mean_probability", "geometric_mean_probability",
    "mean_entropy", "cosine_similarity", "correlation", "semantic_density",
)  # fmt: skip


class Naive:
    """A model and its vocabulary, asked one prefix at a time."""

    def __init__(self, model: Any, tokenizer: Any, prompt: list[int]) -> None:
        self.model, self.tokenizer, self.prompt = model, tokenizer, prompt
        self.end = model.generation_config.eos_token_id
        self.E = model.get_output_embeddings().weight.detach().cpu().double().numpy()
        self.size = len(self.E)
        self.lengths = [math.sqrt(row @ row) for row in self.E]
        self.suppress = set(model.generation_config.suppress_tokens or [])
        self.begin = set(model.generation_config.begin_suppress_tokens or []) | self.suppress
        byte_of = {c: b for b, c in bytes_to_unicode().items()}
        added = tokenizer.get_added_vocab()
        self.key: list[Any] = ["special"] * self.size
        self.kind = ["special"] * self.size
        self.ends_word = [False] * self.size
        for token, i in tokenizer.get_vocab().items():
            if i == self.end:
                self.kind[i], self.ends_word[i] = "end", True
            elif token in added:
                if i > added["<|notimestamps|>"]:
                    self.kind[i] = "timestamp"
            else:
                raw = bytes(byte_of[c] for c in token)
                self.kind[i] = "text"
                try:
                    text = raw.decode()
                    self.key[i] = (text.strip().casefold(),)
                    if all(c.isspace() or unicodedata.category(c)[0] == "P" for c in text):
                        self.kind[i] = "punctuation"
                except UnicodeDecodeError:
                    self.key[i] = raw
                self.ends_word[i] = raw[:1] == b" " or self.kind[i] == "punctuation"
        self.states: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
        self.known: dict[Any, Any] = {}  # what was computed of this clip already: the loops are slow

    def hear(self, features: torch.Tensor) -> None:
        """Take one clip's features, `(bands, frames)`; what was read of the clip before is forgotten."""
        self.states, self.known = {}, {}
        weight = self.model.get_output_embeddings().weight
        with torch.no_grad():
            self.encoded = self.model.model.encoder(features[None].to(weight.device, weight.dtype))

    def state(self, prefix: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Hidden state and logits after the prompt and a prefix, float64."""
        if prefix not in self.states:
            ids = torch.tensor([[*self.prompt, *prefix]], device=self.model.device)
            with torch.no_grad():
                out = self.model.model(encoder_outputs=self.encoded, decoder_input_ids=ids, use_cache=False)
                h = out.last_hidden_state[0, -1]
                z = self.model.proj_out(h)
            self.states[prefix] = (h.cpu().double().numpy(), z.cpu().double().numpy())
        return self.states[prefix]

    def generate(self, longest: int) -> tuple[int, ...]:
        """Arg max, token by token."""
        text: tuple[int, ...] = ()
        while len(text) < longest:
            z = self.state(text)[1]
            banned = self.suppress if text else self.begin
            best = max((v for v in range(self.size) if v not in banned), key=lambda v: z[v])
            text += (best,)
            if best == self.end:
                break
        return text

    def log_p(self, prefix: tuple[int, ...]) -> list[float]:
        """ln p of every token behind a prefix."""
        if prefix not in self.known:
            self.known[prefix] = self.log_softmax(self.state(prefix)[1])
        return self.known[prefix]

    def log_softmax(self, z: np.ndarray) -> list[float]:
        peak = max(z)
        norm = peak + math.log(math.fsum(math.exp(v - peak) for v in z))
        return [float(v) - norm for v in z]

    def density(self, h: np.ndarray) -> float:
        cosines, length = [], math.sqrt(h @ h)
        for row, own in zip(self.E, self.lengths, strict=True):
            cosines.append(float(row @ h) / (own * length) if own * length > 0 else 0.0)
        nearest = sorted(cosines, reverse=True)[:10]
        return math.fsum(nearest) / len(nearest)

    def distribution(self, prefix: tuple[int, ...]) -> dict[str, Any]:
        """What belongs to a prefix and not to a token."""
        if (prefix, "distribution") not in self.known:
            p = [math.exp(v) for v in self.log_p(prefix)]
            banned = self.suppress if prefix else self.begin
            groups: dict[Any, float] = {}
            for v in range(self.size):
                groups[self.key[v]] = groups.get(self.key[v], 0.0) + p[v]
            self.known[prefix, "distribution"] = {
                "groups": groups,
                "left": math.fsum(p[v] for v in range(self.size) if v not in banned),
                "entropy": -math.fsum(a * b for a, b in zip(p, self.log_p(prefix), strict=True)),
                "group_entropy": -math.fsum(g * math.log(g) for g in groups.values() if g > 0),
                "density": self.density(self.state(prefix)[0]),
            }
        return self.known[prefix, "distribution"]

    def row(self, prefix: tuple[int, ...], token: int) -> dict[str, float]:
        """Every scalar of one token behind a prefix."""
        if (prefix, token) not in self.known:
            self.known[prefix, token] = self.scalars(prefix, token)
        return self.known[prefix, token]

    def scalars(self, prefix: tuple[int, ...], token: int) -> dict[str, float]:
        z, log_p, known = self.state(prefix)[1], self.log_p(prefix), self.distribution(prefix)
        groups, p = known["groups"], math.exp(log_p[token])
        banned = self.suppress if prefix else self.begin
        mass = math.nan
        if token != self.end:
            after = [math.exp(v) for v in self.log_p((*prefix, token))]
            mass = math.fsum(after[v] for v in range(self.size) if self.ends_word[v])
        return {
            "log_probability": log_p[token],
            "processed_log_probability": -math.inf if token in banned else log_p[token] - math.log(known["left"]),
            "probability": p,
            "surprisal": -math.log2(p) if p > 0 else -log_p[token] / math.log(2),
            "rank": 1 + sum(v > z[token] for v in z),
            "ties": sum(v == z[token] for v in z) - 1,
            "entropy": known["entropy"],
            "semantic_density": known["density"],
            "normalised_probability": groups[self.key[token]],
            "normalised_rank": 1 + sum(g > groups[self.key[token]] for g in groups.values()),
            "normalised_entropy": known["group_entropy"],
            "word_end_mass": mass,
        }

    def target(self, prefix: tuple[int, ...], token: int) -> dict[str, float]:
        """Every scalar of one ground-truth token under the distribution behind a prefix."""
        h, z = self.state(prefix)
        e = self.E[token]
        return {
            "rank": 1 + sum(v > z[token] for v in z),
            "probability": math.exp(self.log_p(prefix)[token]),
            "cosine_similarity": cosine(h, e),
            "correlation": float(np.corrcoef(h, e)[0, 1]),
        }

    def clip(
        self, greedy: tuple[int, ...], truth: tuple[int, ...], variants: list[tuple[int, ...]]
    ) -> dict[str, float]:
        """Every scalar of one clip; without a ground truth give empty `truth` and `variants`."""
        at = [t for t in range(len(greedy)) if self.kind[greedy[t]] == "text"]
        rows = [self.row(greedy[:t], greedy[t]) for t in at]
        out = dict.fromkeys(CLIP_SCALARS, math.nan)
        out["n_tokens"] = len(rows)
        if rows:
            out["log_probability"] = sum(r["log_probability"] for r in rows)
            out["geometric_mean_probability"] = math.exp(out["log_probability"] / len(rows))
            for name, column in (
                ("mean_rank", "rank"),
                ("mean_probability", "probability"),
                ("mean_entropy", "entropy"),
            ):
                out[name] = sum(r[column] for r in rows) / len(rows)
            h = sum(self.state(greedy[:t])[0] for t in at) / len(at)
            out["semantic_density"] = self.density(h)
            if truth:
                e = sum(self.E[g] for g in truth) / len(truth)
                out["cosine_similarity"], out["correlation"] = cosine(h, e), float(np.corrcoef(h, e)[0, 1])
        if variants:
            scored = [[self.row(v[:t], v[t]) for t in range(len(v))] for v in variants]
            prefix = [sum(r["log_probability"] for r in own) for own in scored]
            word = [s + math.log(own[-1]["word_end_mass"]) for s, own in zip(prefix, scored, strict=True)]
            out["prefix_log_probability"] = math.log(math.fsum(math.exp(s - max(prefix)) for s in prefix)) + max(prefix)
            out["word_log_probability"] = math.log(math.fsum(math.exp(s - max(word)) for s in word)) + max(word)
            out["word_surprisal"] = -out["word_log_probability"] / math.log(2)
            best = scored[word.index(max(word))]
            out["word_mean_rank"] = sum(r["rank"] for r in best) / len(best)
            out["word_mean_entropy"] = sum(r["entropy"] for r in best) / len(best)
        return out


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = math.sqrt(a @ a) * math.sqrt(b @ b)
    return float(a @ b) / norms if norms > 0 else 0.0


def apart(a: float | None, b: float) -> float:
    """How far two scalars are apart; missing is equal to missing only, infinite to the same infinite only."""
    a = math.nan if a is None else float(a)
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return 0.0 if a == b else abs(a - b)


def deviations(result: Any, naive: Naive, features: torch.Tensor) -> dict[str, float]:
    """Recompute every scalar of a `ProbeResult`; return the largest deviation of each, as "table.column".

    Features are one clip each, in the order of `result.clips`. The greedy token ids are taken from the result (the
    caller checks the decode itself), the variants from its forced rows, the ground truth from its `ground_truth`.
    """
    import pandas as pd

    worst: dict[str, float] = {}

    def note(name: str, ours: Any, plain: float) -> None:
        worst[name] = max(worst.get(name, 0.0), apart(None if pd.isna(ours) else ours, plain))

    tokens = dict(list(result.tokens.groupby("clip_id", sort=False)))
    targets = dict(list(result.ground_truth.groupby("clip_id", sort=False)))
    for number, clip in enumerate(result.clips.to_dict("records")):
        naive.hear(features[number])
        rows = tokens[clip["clip_id"]]
        sequences = []
        for _, own in rows.groupby(["decoding", "variant"], sort=False, dropna=False):
            ids = tuple(int(i) for i in own["token_id"])
            for t, row in enumerate(own.to_dict("records")):
                plain = naive.row(ids[:t], ids[t])
                assert row["position"] == t
                assert row["kind"] == naive.kind[ids[t]]
                for name in SCALARS:
                    note(f"tokens.{name}", row[name], plain[name])
            sequences.append((own["decoding"].iloc[0], ids))
        greedy = next((ids for decoding, ids in sequences if decoding == "greedy"), ())
        own = targets.get(clip["clip_id"])
        truth: tuple[int, ...] = ()
        if own is not None:
            truth = tuple(int(i) for i in own[own["position"] == 0]["token_id"])
            assert len(own) == len(truth) * len(greedy)
            for row in own.to_dict("records"):
                plain = naive.target(greedy[: row["position"]], truth[row["target_index"]])
                for name in TARGET_SCALARS:
                    note(f"ground_truth.{name}", row[name], plain[name])
        plain = naive.clip(greedy, truth, [ids for decoding, ids in sequences if decoding == "forced"])
        for name in CLIP_SCALARS:
            note(f"clips.{name}", clip[name], plain[name])
    return worst


def tiny_whisper(
    words: list[str],
    *,
    seconds: int = 1,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    init_std: float = 0.3,
    vocabulary_size: int = 420,
    tokenizer: Any = None,
    suppress: list[int] | None = None,
) -> tuple[Any, Any]:
    """A random Whisper of some ten thousand parameters with its own tokenizer."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    from whisperprobe.training.tokenizer import train_tokenizer

    tokenizer = tokenizer or train_tokenizer(words, vocabulary_size)
    vocab = tokenizer.get_vocab()
    end, start = vocab["<|endoftext|>"], vocab["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=80, d_model=24, encoder_layers=1, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_source_positions=50 * seconds, max_target_positions=48, init_std=init_std, pad_token_id=end,
        bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
    )  # fmt: skip
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config).to(dtype).eval()
    torch.random.set_rng_state(state)
    settings = model.generation_config
    settings.eos_token_id = settings.pad_token_id = end
    settings.decoder_start_token_id = start
    settings.suppress_tokens = suppress
    settings.begin_suppress_tokens = [vocab["Ġ"], end]
    settings.is_multilingual = True
    settings.no_timestamps_token_id = vocab["<|notimestamps|>"]
    settings.lang_to_id = {"<|en|>": vocab["<|en|>"]}
    settings.task_to_id = {t: vocab[f"<|{t}|>"] for t in ("transcribe", "translate")}
    return model, tokenizer


def end_after(model: Any, tokenizer: Any, clips: list[np.ndarray], lengths: list[int]) -> None:
    """Change the end token's embedding so that the greedy output of clip i has `lengths[i]` tokens, its end included.

    The end token is never read in, so nothing before it changes: its logit is made ±50 at the states that matter.
    """
    from whisperprobe.probing.probe import Probe

    end = tokenizer.eos_token_id
    settings = model.generation_config
    kept = settings.suppress_tokens
    settings.suppress_tokens = [*(kept or []), end]
    run = Probe(model, tokenizer, max_new_tokens=max(lengths))(clips, decodings=["greedy"], vectors="greedy")
    settings.suppress_tokens = kept
    settings.begin_suppress_tokens = [i for i in settings.begin_suppress_tokens or [] if i != end]
    states = np.asarray(run.hidden, dtype=np.float64).reshape(len(clips), max(lengths), -1)
    rows = [(states[i, t], 50.0 if t == n - 1 else -50.0) for i, n in enumerate(lengths) for t in range(n)]
    solution = np.linalg.lstsq(np.array([h for h, _ in rows]), np.array([z for _, z in rows]), rcond=None)[0]
    with torch.no_grad():
        model.proj_out.weight[end] = torch.from_numpy(solution).to(model.dtype)
