"""Word times from a Whisper's own cross-attention, by dynamic time warping; no other model is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe.alignment.cross_attention import Reading, read_transcripts
from whisperprobe.alignment.following import Following, check_heads, decoder_shape, read_following
from whisperprobe.alignment.gaps import AlignedWord, check_score, refuse_unlikely
from whisperprobe.alignment.spoken import SpokenWord, spoken_words
from whisperprobe.alignment.word_tokens import timed_words, token_words
from whisperprobe.features import WindowSpec, log_mel
from whisperprobe.labels import prompt_ids
from whisperprobe.probing.batches import end_id_of
from whisperprobe.probing.windowing import PADDED, Windowing

__all__ = ["WhisperAligner"]


class WhisperAligner:
    """Aligns transcripts with sound by where a Whisper looks while it reads them.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        Any Whisper; its window and bands are read from its configuration.
    tokenizer : WhisperTokenizer
        The tokenizer that belongs to it.
    heads : sequence of (layer, head), optional
        Whose attention is followed; default those that its generation config names, else all of the upper half of the
        decoder. `choose_alignment_heads` finds the best ones.
    scaling : {"standardised", "log"}, optional
        How attention is made comparable: every position standardised over the tokens, as OpenAI does, or the logarithm,
        which suits sharp attention; default what the generation config says, else "standardised".
    median_width : int, optional
        Positions, of 20 ms each, over which it is smoothed; odd; default what the generation config says, else 7.
    language, task : str
        What the prompt says.
    leading_space : bool, default True
        Whether the transcript is read with a space before it, as Whisper's own training text has it.
    min_score : float, default 0.0
        Clips whose words score less in the mean are refused: what is said there is not the transcript.
    batch_size : int, default 8
        Clips that are read together.
    windowing : Windowing, default padded
        How the model was trained to hear what is shorter than its window; `from_pretrained` knows it from its folder.
    source : dict, optional
        What identifies the model, for a manifest.

    References
    ----------
    A. Radford et al. (2023), Robust speech recognition via large-scale weak supervision; the word timestamps of its
    reference implementation.
    """

    method = "whisper"

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        heads: Sequence[Sequence[int]] | None = None,
        scaling: str | None = None,
        median_width: int | None = None,
        language: str = "en",
        task: str = "transcribe",
        leading_space: bool = True,
        min_score: float = 0.0,
        batch_size: int = 8,
        windowing: Windowing = PADDED,
        source: dict[str, Any] | None = None,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        named = None if heads is None else check_heads(heads, *decoder_shape(model))
        self.following = Following(named, scaling, median_width).on(model)
        self.leading_space, self.batch_size = leading_space, batch_size
        self.min_score = check_score(min_score)
        self.window = WindowSpec.of(model)
        self.sample_rate = self.window.sample_rate
        self.max_seconds: float | None = self.window.seconds
        self.prompt = prompt_ids(tokenizer, model.generation_config, language=language, task=task)
        self.end_id = end_id_of(model.generation_config, tokenizer)
        self.windowing = windowing
        self._source = dict(source or {})

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: str = "auto",
        dtype: Any = None,
        heads: str | Path | Sequence[Sequence[int]] | None = None,
        leading_space: bool | None = None,
        **options: Any,
    ) -> WhisperAligner:
        """Load a Whisper from a folder or the hub.

        Parameters
        ----------
        path : str or Path
            Folder or hub name.
        device : str, default "auto"
            A GPU where there is one.
        dtype : str, optional
            What the model runs in, float32 by default.
        heads : sequence of (layer, head), or path, optional
            As for the class, or a JSON file that `save_alignment_heads` has written, with scaling and smoothing.
        leading_space : bool, optional
            As for the class; default as `finetune` says in the folder that it has trained the model, else True.
        **options
            As for the class.
        """
        from whisperprobe.probing.loading import folder_of, load_checkpoint
        from whisperprobe.training.model_folder import read_windowing

        loaded = load_checkpoint(path, device=device, dtype=dtype)
        source = {
            "model": loaded.source,
            "model_sha256": loaded.model_sha256,
            "tokenizer_sha256": loaded.tokenizer_sha256,
            "dtype": str(loaded.model.dtype).removeprefix("torch."),
        }
        if isinstance(heads, str | Path):
            said = read_following(heads)
            heads = said.heads
            options = {"scaling": said.scaling, "median_width": said.median_width, **options}
        folder = folder_of(str(path))
        options.setdefault("windowing", read_windowing(folder))
        space = trained_with_space(folder) if leading_space is None else leading_space
        return cls(loaded.model, loaded.tokenizer, heads=heads, leading_space=space, source=source, **options)

    def describe(self) -> dict[str, Any]:
        """Return what decides the result, JSON-able."""
        return {
            **self._source,
            "prompt_ids": self.prompt,
            "leading_space": self.leading_space,
            "heads": [list(pair) for pair in self.heads],
            "scaling": self.following.scaling,
            "median_width": self.following.median_width,
            "min_score": self.min_score,
            **({} if self.windowing.padding == "window" else self.windowing.describe()),
        }

    def __call__(
        self, waveforms: Sequence[np.ndarray[Any, Any]], texts: Sequence[str]
    ) -> list[list[AlignedWord] | InputError]:
        """Align clips with their transcripts.

        Parameters
        ----------
        waveforms : sequence of float32 arrays, shape (samples,)
            At `sample_rate`, no longer than the model's window.
        texts : sequence of str
            What is said in each.

        Returns
        -------
        list of (list of AlignedWord, or InputError)
            For each clip its words, or why it cannot be aligned. The score is the mean probability of a word's tokens.
        """
        found: list[list[AlignedWord] | InputError] = []
        read = self.read(waveforms, texts, self.heads)
        for waveform, text, (words, owner, reading) in zip(waveforms, texts, read, strict=True):
            try:
                if isinstance(reading, InputError):
                    raise reading
                seconds = len(waveform) / self.sample_rate
                timed = timed_words(words, owner, reading, self.lead, self.following, seconds)
                if self.min_score:
                    heard = str(self.tokenizer.decode(list(reading.answer), skip_special_tokens=True)).strip()
                    refuse_unlikely(timed, text, heard, self.min_score)
                found.append(timed)
            except InputError as error:
                found.append(error)
        return found

    @property
    def heads(self) -> tuple[tuple[int, int], ...]:
        """Whose attention is followed, (layer, head)."""
        return self.following.heads or ()

    @property
    def lead(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt)

    def read(
        self, waveforms: Sequence[np.ndarray[Any, Any]], texts: Sequence[str], heads: Sequence[tuple[int, int]]
    ) -> list[tuple[tuple[SpokenWord, ...], list[int], Reading | InputError]]:
        """Read transcripts in; of each clip its words, the word of each token, and what the model did, or an error."""
        out: list[tuple[tuple[SpokenWord, ...], list[int], Any]] = []
        tokens: dict[int, list[int]] = {}
        for i, (waveform, text) in enumerate(zip(waveforms, texts, strict=True)):
            try:
                ids, owner, words = self._tokens(text)
                if len(waveform) > self.window.n_samples:
                    raise InputError(
                        f"{len(waveform) / self.sample_rate:.2f} s do not fit the model's window of "
                        f"{self.window.seconds:g} s. Take --method ctc, which hears clips of any length."
                    )
            except InputError as error:
                out.append(((), [], error))
            else:
                tokens[i] = [*self.prompt, *ids, self.end_id]
                out.append((words, owner, None))
        alike: dict[int | None, list[int]] = {}  # clips over which the encoder runs equally far
        for i in tokens:
            alike.setdefault(self.windowing.positions(len(waveforms[i]), self.window), []).append(i)
        batches = [
            (positions, own[start : start + self.batch_size])
            for positions, own in alike.items()
            for start in range(0, len(own), self.batch_size)
        ]
        for positions, rows in batches:
            sounds = [np.asarray(waveforms[i], dtype=np.float32) for i in rows]
            readings = read_transcripts(
                self.model, log_mel(sounds, self.window), [len(x) for x in sounds], [tokens[i] for i in rows],
                self.lead, heads, positions,
            )  # fmt: skip
            for i, reading in zip(rows, readings, strict=True):
                out[i] = (*out[i][:2], reading)
        return out

    def _tokens(self, text: str) -> tuple[list[int], list[int], tuple[SpokenWord, ...]]:
        """Tokens of a transcript, the number of the word that each belongs to (−1: none), and the words."""
        said = " ".join(text.split())
        words = spoken_words(said)
        if not words:
            raise InputError(f"no word is said in the transcript {text!r}.")
        ids, owner = token_words(self.tokenizer, said, words, leading_space=self.leading_space)
        room = int(self.model.config.max_target_positions) - self.lead - 1
        if len(ids) > room:
            raise InputError(f"the transcript has {len(ids)} tokens, but the decoder has room for {room}.")
        return ids, owner, words


def trained_with_space(folder: Path) -> bool:
    """Whether a model has learnt texts with a space before them: as `finetune` says in its folder, else as Whisper."""
    file = folder / "finetune.json"
    try:
        return bool(json.loads(file.read_text(encoding="utf-8"))["leading_space"]) if file.is_file() else True
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} does not say whether texts began with a space ({error!r}); give leading_space (--leading-space or "
            "--no-leading-space)."
        ) from error
