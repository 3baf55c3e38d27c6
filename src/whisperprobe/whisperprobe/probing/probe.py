"""`Probe`: a Whisper as a listener, from waveforms to tables of numbers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe import labels
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.probing import tables
from whisperprobe.probing.batches import (
    DECODINGS,
    VECTORS,
    Batch,
    check_choice,
    end_id_of,
    exact,
    rows_to_keep,
    targets_of,
)
from whisperprobe.probing.decode import Suppression, encode, greedy_decode, room_for_text
from whisperprobe.probing.extras import NOTHING_MORE, Extras
from whisperprobe.probing.further import Further
from whisperprobe.probing.head import Head
from whisperprobe.probing.layers import captured
from whisperprobe.probing.loading import hashes, load_checkpoint
from whisperprobe.probing.output_side import OutputSide
from whisperprobe.probing.packing import GREEDY, pack
from whisperprobe.probing.pooling import pool_greedy, pool_words
from whisperprobe.probing.score import Scores, hidden_states, score
from whisperprobe.probing.showing import html_table
from whisperprobe.probing.vocabulary import vocabulary_of

if TYPE_CHECKING:
    from whisperprobe.probing.store import ProbeResult

__all__ = ["Probe"]


class Probe:
    """A Whisper that is asked what it heard, how surely, and how well it heard what was said.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        Any Whisper; window and mel bands are read from its configuration.
    tokenizer : WhisperTokenizer
        The tokenizer that belongs to it.
    language, task : str
        What the prompt says; English-only checkpoints take "en" and "transcribe" only.
    max_new_tokens : int, default 225
        Longest greedy output, end token included; bounded by the decoder's positions too.

    Raises
    ------
    InputError
        Model and tokenizer do not belong together, or the prompt cannot be made.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        language: str = "en",
        task: str = "transcribe",
        max_new_tokens: int = 225,
        source: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(max_new_tokens, bool) or int(max_new_tokens) != max_new_tokens or max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {max_new_tokens!r}; give a whole number of at least 1.")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.language, self.task, self.max_new_tokens = labels.language_code(language), task, int(max_new_tokens)
        self.window = WindowSpec.of(model)
        settings = model.generation_config
        self.prompt = labels.prompt_ids(tokenizer, settings, language=language, task=task)
        size = model.get_output_embeddings().weight.shape[0]
        self.end_id = end_id_of(settings, tokenizer)
        self.suppression = Suppression.of(settings, size)
        self.vocabulary = vocabulary_of(tokenizer, size, end_id=self.end_id)
        self.head = Head.of(model, self.vocabulary, self.suppression)
        self.normalise = labels.text_normaliser(tokenizer, language)
        self._source = dict(source or {})
        self._variants = functools.lru_cache(maxsize=65536)(self._variants_of)
        self._decoded = functools.lru_cache(maxsize=65536)(self.text_of)
        if room_for_text(model, self.prompt) < 1:
            raise InputError(f"the decoder has {model.config.max_target_positions} positions, too few for the prompt.")

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        dtype: Any = None,
        language: str = "en",
        task: str = "transcribe",
        max_new_tokens: int = 225,
    ) -> Probe:
        """Load a checkpoint from a folder or the hub.

        Parameters
        ----------
        path : str or Path
            Folder written by `save_pretrained`, or hub name.
        device : str, default "auto"
            A CUDA GPU where there is one, else the CPU.
        dtype : str or torch.dtype, optional
            What the model runs in; float32 by default. Measures are float32 or better in any case.
        language, task, max_new_tokens
            As for the class.

        Raises
        ------
        InputError
            No such folder, not a Whisper, a file is missing or damaged, or an option that it does not know.
        """
        loaded = load_checkpoint(path, device=device, dtype=dtype)
        return cls(
            loaded.model,
            loaded.tokenizer,
            language=language,
            task=task,
            max_new_tokens=max_new_tokens,
            source={
                "model": loaded.source,
                "model_sha256": loaded.model_sha256,
                "tokenizer_sha256": loaded.tokenizer_sha256,
            },
        )

    def __repr__(self) -> str:
        config = self.model.config
        return (
            f"Probe({self._source.get('model', type(self.model).__name__)!r}, d={config.d_model}, "
            f"V={len(self.vocabulary)}, window={self.window.seconds:g} s, {self.dtype}, {self.device}, "
            f"prompt={self._prompt_text()!r})"
        )

    def _repr_html_(self) -> str:
        config = self.model.config
        rows = [
            ("layers", f"{config.encoder_layers} encoder, {config.decoder_layers} decoder, d = {config.d_model}"),
            ("vocabulary", f"{len(self.vocabulary)} tokens"),
            ("window", f"{self.window.seconds:g} s, {self.window.n_mels} mel bands"),
            ("prompt", self._prompt_text()),
            ("runs in", f"{self.dtype} on {self.device}"),
        ]
        return html_table(f"Probe of {self._source.get('model', type(self.model).__name__)}", rows)

    def _prompt_text(self) -> str:
        return "".join(self.vocabulary.tokens[i] for i in self.prompt)

    @property
    def device(self) -> str:
        """Where the model is."""
        return str(self.model.device)

    @property
    def dtype(self) -> str:
        """What the model runs in, e.g. "float32"."""
        return str(self.model.dtype).removeprefix("torch.")

    def describe(self) -> dict[str, Any]:
        """Return all that identifies this listener, for a manifest."""
        return {
            **(self._source or {"model": type(self.model).__name__, **hashes(self.model, self.tokenizer)}),
            "language": self.language,
            "task": self.task,
            "prompt_ids": self.prompt,
            "max_new_tokens": self.max_new_tokens,
            "dtype": self.dtype,
            "attention": self.model.config._attn_implementation,
            "window_seconds": self.window.seconds,
            "mel_bands": self.window.n_mels,
        }

    def __call__(
        self,
        waveforms: Any,
        texts: Sequence[str | None] | None = None,
        *,
        sample_rate: int = 16_000,
        ids: Sequence[str] | None = None,
        top_k: int = 1000,
        decodings: Sequence[str] = DECODINGS,
        vectors: str = "greedy",
        batch_size: int = 16,
        layers: str | int | Sequence[int] | None = None,
        layer_vectors: bool = False,
        encoder: str = "none",
        lexicon: str | Path | Sequence[str] | None = None,
        candidates: int | None = None,
        competitors: int = 10,
        n_best: int = 0,
    ) -> ProbeResult:
        """Probe waveforms in memory.

        Parameters
        ----------
        waveforms : array, tensor, or sequence of them
            Mono sound, full scale ±1, each `(samples,)` and no longer than the model's window.
        texts : sequence of str or None, optional
            What was said; clips without text get greedy rows only.
        sample_rate : int, default 16000
            Of the waveforms, Hz.
        ids : sequence of str, optional
            Names of the clips, each once; default "0", "1", ...
        top_k : int, default 1000
            How many of the most probable tokens to keep per position (all, where the vocabulary is smaller).
        decodings : sequence of {"greedy", "forced"}
            What to score.
        vectors : {"greedy", "both", "none"}
            Which rows keep hidden state and top k.
        batch_size : int, default 16
            Clips at once; results do not depend on it.
        layers : "all" or sequence of int, optional
            Decoder layers under which every token is measured too (logit lens; table `layers`): 0 is the embedding,
            1 to n the layers; "all" is 0 to n.
        layer_vectors : bool, default False
            Keep the states of these layers for the rows that keep vectors (`layer_hidden`), before the final norm.
        encoder : {"none", "mean", "window"}
            Keep the mean of the encoder's states per clip (`encoder`): over the positions that cover the clip, or
            over the whole window, silence behind the clip included.
        lexicon : path or sequence of str, optional
            Words that compete for each clip (columns `lexicon_...` of `clips`, table `competitors`); a file has one
            per line.
        candidates : int, optional
            Score only so many words, the best of a first pass, and the spoken one; all by default.
        competitors : int, default 10
            How many of the most probable words to list per clip.
        n_best : int, default 0
            Answers of a beam search of this width (table `alternatives`).

        Returns
        -------
        ProbeResult

        Raises
        ------
        InputError
            A clip or an option that cannot be used; the clip is named.
        """
        from whisperprobe.probing.store import ProbeResult

        single = getattr(waveforms, "ndim", None) == 1
        clips = [waveforms] if single else list(waveforms)
        if single and isinstance(texts, str):
            texts = [texts]
        names = [str(i) for i in range(len(clips))] if ids is None else [str(i) for i in ids]
        said = [None] * len(clips) if texts is None else list(texts)
        if isinstance(texts, str):
            raise InputError(f"texts is one string, {texts[:40]!r}, for several waveforms; give a list, one text each.")
        if not len(clips) == len(names) == len(said):
            raise InputError(
                f"{len(clips)} waveforms, {len(said)} texts and {len(names)} ids were given; give one of each per clip."
            )
        if len(set(names)) != len(names):
            raise InputError("ids must name each clip once; two of them are equal.")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give at least 1.")
        extras = self.extras(
            layers=layers,
            layer_vectors=layer_vectors,
            encoder=encoder,
            lexicon=lexicon,
            candidates=candidates,
            competitors=competitors,
            n_best=n_best,
        )
        parts: list[Batch] = []
        offset = 0
        for start in range(0, len(clips), batch_size):
            chosen = range(start, min(start + batch_size, len(clips)))
            ready = [self.prepare(clips[i], sample_rate, said[i], name=names[i]) for i in chosen]
            part = self.batch(
                [names[i] for i in chosen],
                [x for x, _ in ready],
                [text for _, text in ready],
                top_k=top_k,
                decodings=decodings,
                vectors=vectors,
                extras=extras,
                vector_offset=offset,
                clip_offset=start,
            )
            offset += len(part.vectors.get("hidden", ()))
            parts.append(part)
        options = {**self.describe(), "top_k": top_k, "vectors": vectors, **extras.describe()}
        side = OutputSide(self.head, self.tokenizer)
        return ProbeResult.of_batches(parts, {"stage": "probe", "options": options}, side, extras.schemas())

    def extras(self, **options: Any) -> Extras:
        """Check what is asked for beside the three tables; options as for the call, from `layers` on."""
        return Extras.of(self.model, self.tokenizer, self.prompt, **options)

    def prepare(
        self, waveform: Any, sample_rate: int, text: str | None, *, name: str = "clip"
    ) -> tuple[np.ndarray, str | None]:
        """Check one clip and bring it to the model's rate; over-length input is refused here, before any decode.

        Returns
        -------
        waveform : float32 array, shape (samples,)
            At the model's sample rate.
        text : str or None
            None where there is no text.

        Raises
        ------
        InputError
            The sound is empty, not mono, not finite or longer than the window, or the text longer than the decoder.
        """
        x = np.asarray(waveform.detach().cpu() if isinstance(waveform, torch.Tensor) else waveform)
        if x.ndim != 1 or not np.issubdtype(x.dtype, np.floating):
            raise InputError(f"{name}: expected mono floating-point sound (samples,), received {x.dtype} {x.shape}.")
        if len(x) == 0:
            raise InputError(f"{name}: the sound is empty (0 samples).")
        if not np.isfinite(x).all():
            raise InputError(f"{name}: the sound holds NaN or infinite samples.")
        x = x.astype(np.float32, copy=False)
        if sample_rate != self.window.sample_rate:
            from audiogram import sound

            x = sound.resample(x, sample_rate, self.window.sample_rate)
        if len(x) > self.window.n_samples:
            raise InputError(
                f"{name}: {len(x) / self.window.sample_rate:.2f} s of sound do not fit the model's window of "
                f"{self.window.seconds:g} s. Cut the clip, or use a model with a longer window."
            )
        said = (text or "").strip() or None
        if said is not None:
            longest = max((len(ids) for _, ids in self._variants(said)[0]), default=0)
            room = room_for_text(self.model, self.prompt)
            if longest > room:
                raise InputError(f"{name}: the text has {longest} tokens, but the decoder has room for {room}.")
        return x, said

    def batch(
        self,
        ids: Sequence[str],
        waveforms: Sequence[np.ndarray],
        texts: Sequence[str | None],
        *,
        top_k: int = 1000,
        decodings: Sequence[str] = DECODINGS,
        vectors: str = "greedy",
        extras: Extras = NOTHING_MORE,
        vector_offset: int = 0,
        clip_offset: int = 0,
    ) -> Batch:
        """Probe one batch of clips that `prepare` has passed; parameters as for the call, `extras` from `extras`."""
        wanted = {check_choice("decoding", d, DECODINGS) for d in decodings}
        check_choice("vectors", vectors, VECTORS)
        if isinstance(top_k, bool) or top_k < 0:
            raise InputError(f"top_k is {top_k!r}; give a whole number, 0 for none.")
        spoken = [([], []) if text is None else self._variants(text) for text in texts]
        with exact():
            states, cross = encode(self.model, log_mel(waveforms, self.window, device=self.model.device))
            greedy: Sequence[tuple[int, ...]] = [()] * len(ids)
            if "greedy" in wanted:
                greedy = greedy_decode(
                    self.model,
                    states,
                    cross,
                    self.prompt,
                    self.suppression,
                    end_id=self.end_id,
                    max_new_tokens=self.max_new_tokens,
                ).token_ids
            sequences = [
                [(GREEDY, own)] * ("greedy" in wanted) + list(variants) * ("forced" in wanted)
                for own, (variants, _) in zip(greedy, spoken, strict=True)
            ]
            packed = pack(self.prompt, sequences, self.end_id)
            with captured(self.model, extras.layers, packed.states) as by_layer:
                hidden = hidden_states(self.model, packed, states, cross)
            targets = targets_of(packed.rows, [g for _, g in spoken])
            keep = rows_to_keep(packed.rows, vectors)
            scores = score(hidden, packed, targets, self.head, keep=keep, top_k=top_k)
            pooled: dict[str, Any] = pool_greedy(
                packed.rows, scores.rows, hidden, [g for _, g in spoken], self.head, len(ids)
            )
            pooled.update(pool_words(packed.rows, scores.rows, len(ids)))
            further = Further(self._arrays(scores))
            if extras.layers:
                further.add_layers(self, extras, ids, packed, scores, by_layer)
            if extras.encoder != "none":
                further.add_encoder(self, extras, states, [len(x) for x in waveforms], clip_offset)
            if extras.lexicon is not None:
                further.add_lexicon(self, extras, ids, texts, states, cross)
            if extras.n_best:
                further.add_alternatives(self, extras, ids, states, cross)
        predictions = [self._decoded(own) if "greedy" in wanted else None for own in greedy]
        correct = [
            None if said is None or heard is None else labels.same_text(heard, said, self.normalise)
            for heard, said in zip(predictions, texts, strict=True)
        ]
        pooled.update(further.columns)
        made = {
            "clips": tables.clips_table(ids, texts, predictions, correct, pooled, extras.schemas()["clips"]),
            "tokens": tables.tokens_table(ids, packed.rows, scores, self.vocabulary, vector_offset),
            "ground_truth": tables.ground_truth_table(ids, packed.rows, targets, scores, self.vocabulary),
        }
        return Batch(made | further.tables, further.vectors)

    def _arrays(self, scores: Scores) -> dict[str, np.ndarray]:
        """Vectors as they are stored: token ids in 16 bits where they fit."""
        if not len(scores.kept):
            return {}
        small = len(self.vocabulary) <= 1 << 16
        ids = scores.vectors["top_k_ids"].astype(np.uint16 if small else np.int32)
        return {**scores.vectors, "top_k_ids": ids}

    def _variants_of(self, text: str) -> tuple[list[tuple[int, tuple[int, ...]]], list[int]]:
        """What is scored for a text: (index of the variant's name, tokens), and the ground truth g."""
        variants = labels.text_variants(text, self.tokenizer)
        numbered = [(labels.VARIANT_NAMES.index(v.name), v.token_ids) for v in variants]
        return numbered, labels.ground_truth_ids(text, self.tokenizer)

    def text_of(self, token_ids: tuple[int, ...]) -> str:
        """Return what tokens say, without special ones and white space at the ends."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()
