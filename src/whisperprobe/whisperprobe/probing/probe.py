"""`Probe`: a Whisper as a listener, from waveforms to tables of numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError
from whisperprobe import labels
from whisperprobe.features import WindowSpec
from whisperprobe.probing import showing
from whisperprobe.probing.batches import DECODINGS, Batch, end_id_of
from whisperprobe.probing.clip_input import checked_waveform, named_clips
from whisperprobe.probing.decode import Suppression, room_for_text
from whisperprobe.probing.extras import Extras
from whisperprobe.probing.grouping import probe_group
from whisperprobe.probing.head import Head
from whisperprobe.probing.in_memory import probe_in_memory
from whisperprobe.probing.loading import folder_of, hashes, load_checkpoint
from whisperprobe.probing.timestamps import TimestampRules
from whisperprobe.probing.vocabulary import vocabulary_of
from whisperprobe.probing.windowing import PADDED, Windowing

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
    timestamps : bool, default False
        Let the model write timestamps, under Whisper's rules; a ground truth is then read in behind `<|0.00|>`.
    source : dict, optional
        Where the model came from, for the run's record; `from_pretrained` fills it in.
    windowing : Windowing, default padded
        How the model was trained to meet its window: what `padding` and `margin` are when they are not given.

    Raises
    ------
    InputError
        Model and tokenizer do not belong together, or the prompt cannot be made, or there are no timestamp tokens.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        language: str = "en",
        task: str = "transcribe",
        max_new_tokens: int = 225,
        timestamps: bool = False,
        source: dict[str, Any] | None = None,
        windowing: Windowing = PADDED,
    ) -> None:
        if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int | np.integer) or max_new_tokens < 1:
            raise InputError(f"max_new_tokens is {max_new_tokens!r}; give a whole number of at least 1.")
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.language, self.task, self.max_new_tokens = labels.language_code(language), task, int(max_new_tokens)
        self.window = WindowSpec.of(model)
        settings = model.generation_config
        self.end_id = end_id_of(settings, tokenizer)
        self.rules = TimestampRules(tokenizer, settings, end_id=self.end_id) if timestamps else None
        self.prompt = labels.prompt_ids(tokenizer, settings, language=language, task=task, timestamps=timestamps)
        self.lead = () if self.rules is None else (self.rules.zero,)
        size = model.get_output_embeddings().weight.shape[0]
        self.suppression = Suppression.of(settings, size)
        self.vocabulary = vocabulary_of(tokenizer, size, end_id=self.end_id)
        self.head = Head.of(model, self.vocabulary, self.suppression, timestamps=timestamps)
        self.normalise = labels.text_normaliser(tokenizer, language)
        self.windowing = windowing
        self._source = dict(source or {})
        self.variants = functools.lru_cache(maxsize=65536)(self._variants_of)
        self.text_of = functools.lru_cache(maxsize=65536)(self._text_of)
        if self.room < 1:
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
        timestamps: bool = False,
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
        language, task, max_new_tokens, timestamps
            As for the class.

        Raises
        ------
        InputError
            No such folder, not a Whisper, a file is missing or damaged, or an option that it does not know.
        """
        from whisperprobe.training.model_folder import read_windowing

        loaded = load_checkpoint(path, device=device, dtype=dtype)
        return cls(
            loaded.model,
            loaded.tokenizer,
            language=language,
            task=task,
            max_new_tokens=max_new_tokens,
            timestamps=timestamps,
            source={
                "model": loaded.source,
                "model_sha256": loaded.model_sha256,
                "tokenizer_sha256": loaded.tokenizer_sha256,
            },
            windowing=read_windowing(folder_of(str(path))),
        )

    def __repr__(self) -> str:
        return showing.probe_as_text(self)

    def _repr_html_(self) -> str:
        return showing.probe_as_html(self)

    @property
    def name(self) -> str:
        """Where the model comes from, or its class."""
        return str(self._source.get("model", type(self.model).__name__))

    @property
    def room(self) -> int:
        """Tokens that a ground truth may have: what the decoder's positions leave."""
        return room_for_text(self.model, [*self.prompt, *self.lead])

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
            **({"timestamps": True} if self.rules is not None else {}),
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
        homophones: str | Path | Iterable[Sequence[str]] | None = None,
        long_audio: str = "refuse",
        padding: str | None = None,
        margin: float | None = None,
    ) -> ProbeResult:
        """Probe waveforms in memory.

        Parameters
        ----------
        waveforms : array, tensor, or sequence of them
            Mono sound, full scale ±1, each `(samples,)`.
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
        homophones : path or iterable of sequences of str, optional
            Sets of words that sound alike (column `correct_homophone` of `clips`); a file has one set per line.
        long_audio : {"refuse", "windows"}
            What becomes of clips longer than the model's window: an error, or consecutive windows. A text cannot be
            aligned with windows, so what is forced is missing for clips of several.
        padding : {"window", "trimmed"}, optional
            Run the encoder over the whole window, as Whisper was trained, or over the clip and a margin only: much
            faster for short clips, and, unless the model was trained so, an approximation; `probe_agreement` says how
            good a one. Default: as the model was trained.
        margin : float, optional
            Silence behind the clip that a trimmed encoder hears at least, seconds; rounded up with the clip to 0.5 s.
            Default: as the model was trained, else 1.

        Returns
        -------
        ProbeResult

        Raises
        ------
        InputError
            A clip or an option that cannot be used; the clip is named.
        """
        extras = self.extras(
            layers=layers,
            layer_vectors=layer_vectors,
            encoder=encoder,
            lexicon=lexicon,
            candidates=candidates,
            competitors=competitors,
            n_best=n_best,
            homophones=homophones,
        )
        return probe_in_memory(
            self,
            *named_clips(waveforms, texts, ids),
            sample_rate=sample_rate,
            top_k=top_k,
            decodings=decodings,
            vectors=vectors,
            batch_size=batch_size,
            extras=extras,
            windowing=Windowing.of(
                extras, padding=padding, margin=margin, long_audio=long_audio, trained=self.windowing
            ),
        )

    def extras(self, **options: Any) -> Extras:
        """Check what is asked for beside the three tables; options as for the call, from `layers` on."""
        prompt = [*self.prompt, *self.lead]
        return Extras.of(self.model, self.tokenizer, prompt, normalise=self.normalise, **options)

    def prepare(
        self,
        waveform: Any,
        sample_rate: int,
        text: str | None,
        *,
        name: str = "clip",
        windowing: Windowing = PADDED,
    ) -> tuple[np.ndarray, str | None]:
        """Check one clip and bring it to the model's rate; over-length input is refused here unless it is windowed.

        Returns
        -------
        waveform : float32 array, shape (samples,)
            At the model's sample rate.
        text : str or None
            None where there is no text.

        Raises
        ------
        InputError
            The sound is empty, not mono, not finite or longer than the window, or the text is no Unicode text or
            longer than the decoder.
        """
        any_length = windowing.long_audio == "windows"
        x = checked_waveform(waveform, sample_rate, self.window, name=name, any_length=any_length)
        said = (text or "").strip() or None
        if said is not None and any("\ud800" <= c <= "\udfff" for c in said):
            raise InputError(f"{name}: the text {said!r} holds half of a surrogate pair; read it as UTF-8.")
        if said is not None and len(x) <= self.window.n_samples:  # of longer clips nothing is forced
            longest = max((len(ids) for _, ids in self.variants(said)[0]), default=0)
            if longest > self.room:
                raise InputError(f"{name}: the text has {longest} tokens, but the decoder has room for {self.room}.")
        return x, said

    def batch(
        self, ids: Sequence[str], waveforms: Sequence[np.ndarray], texts: Sequence[str | None], **options: Any
    ) -> Batch:
        """Probe clips that `prepare` has passed; options and their defaults as for `grouping.probe_group`."""
        return probe_group(self, ids, waveforms, texts, **options)

    def _variants_of(self, text: str) -> tuple[list[tuple[int, tuple[int, ...]]], list[int]]:
        """What is scored for a text: (index of the variant's name, tokens), and the ground truth g."""
        variants = labels.text_variants(text, self.tokenizer)
        numbered = [(labels.VARIANT_NAMES.index(v.name), v.token_ids) for v in variants]
        return numbered, labels.ground_truth_ids(text, self.tokenizer)

    def _text_of(self, token_ids: tuple[int, ...]) -> str:
        """Return what tokens say, without special ones and white space at the ends."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()
