"""Whisper models as folders: load one, make a new one from its shape, save one so that plain transformers reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.features import WindowSpec
from whisperprobe.labels import is_multilingual
from whisperprobe.model_source import folder_of
from whisperprobe.probing.windowing import PADDED, Windowing

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

__all__ = ["Listener", "load_listener", "new_listener", "read_windowing", "weights_digest"]

LISTENING = "listening.json"  # how sound meets the window, where it is not padded to the whole of it

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_TOKENIZER = ("tokenizer.json", "vocab.json")
_SETTINGS = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json")

# Short names for what Whisper's configuration spells out for encoder and decoder apart.
_BOTH = {
    "attention_heads": ("encoder_attention_heads", "decoder_attention_heads"),
    "ffn_dim": ("encoder_ffn_dim", "decoder_ffn_dim"),
}
_SHAPE = (
    "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
    "encoder_ffn_dim", "decoder_ffn_dim", "num_mel_bins", "max_source_positions", "max_target_positions", "dropout",
    "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop", "activation_function",
    "init_std", "scale_embedding",
)  # fmt: skip
_ALIASES = ("attention_heads", "ffn_dim", "window_seconds", "n_mels")


@dataclass(frozen=True)
class Listener:
    """A Whisper model with all that it needs to hear and to write.

    Attributes
    ----------
    model : WhisperForConditionalGeneration
        float32 weights.
    tokenizer : WhisperTokenizer
        Its vocabulary.
    window : WindowSpec
        What it takes in.
    windowing : Windowing, default PADDED
        How sound meets that window: padded to the whole of it, or trimmed to the clip and a margin.
    """

    model: WhisperForConditionalGeneration
    tokenizer: Any
    window: WindowSpec
    windowing: Windowing = PADDED

    def save(self, folder: Path) -> None:
        """Write config, safetensors, generation config, tokenizer and feature extractor for plain transformers.

        The tokenizer is left with the prompt that the generation config asks for, so that `tokenizer(text)` makes the
        labels that the model was trained on, and decoding is greedy, as in evaluations. Windows other than padded ones
        are told in `listening.json`, which plain transformers does not read: it always pads.
        """
        from transformers import WhisperFeatureExtractor

        settings: Any = self.model.generation_config
        if settings.num_beams is None:  # else transformers' pipeline would search with five beams
            settings.num_beams = 1
        self.model.save_pretrained(folder)
        for weights in folder.glob("*.safetensors"):  # written for the owner alone; a model folder is to be shared
            weights.chmod((folder / "config.json").stat().st_mode & 0o777)
        if is_multilingual(self.tokenizer, settings) and getattr(settings, "language", None):
            prompt = {"language": settings.language, "task": settings.task}
            self.tokenizer.set_prefix_tokens(**prompt, predict_timestamps=False)
            self.tokenizer.init_kwargs.update(prompt)  # what is written into tokenizer_config.json
        self.tokenizer.save_pretrained(folder)
        # Without the file `tokenizer.normalize` fails; an empty table leaves spellings as they are.
        spelling = getattr(self.tokenizer, "english_spelling_normalizer", None) or {}
        (folder / "normalizer.json").write_text(json.dumps(spelling, sort_keys=True) + "\n", encoding="utf-8")
        extractor: Any = WhisperFeatureExtractor(  # type: ignore[no-untyped-call]
            feature_size=self.window.n_mels, chunk_length=self.window.n_frames // 100, sampling_rate=16_000
        )
        extractor.save_pretrained(folder)
        if self.windowing == PADDED:
            (folder / LISTENING).unlink(missing_ok=True)
        else:
            told = json.dumps(self.windowing.describe(), indent=2, sort_keys=True)
            (folder / LISTENING).write_text(told + "\n", encoding="utf-8")


def read_windowing(name: str | Path) -> Windowing:
    """Return how a model was trained to hear: what its folder's `listening.json` says, else padded windows.

    Raises
    ------
    InputError
        For a file that says something else, naming it.
    """
    from whisperprobe.probing.extras import NOTHING_MORE

    file = Path(name) / LISTENING
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Windowing.of(NOTHING_MORE, **told)
    except (FileNotFoundError, NotADirectoryError):
        return PADDED
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{file} does not say how sound meets the window ({error}); copy it from the model folder again, or remove "
            "it to have windows padded."
        ) from error


def load_listener(name: str | Path) -> Listener:
    """Load a Whisper model, its tokenizer and its window from a folder or from the hub.

    Raises
    ------
    InputError
        For a folder that is no Whisper, or lacks a file, naming it.
    """
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

    folder = Path(name)
    if folder.is_dir():
        _check_tables(folder)
    else:
        folder_of(name)
    window = WindowSpec.of(str(name))
    _check_whole_seconds(window.n_frames / 100)
    if folder.is_dir():
        for what, files in (("weights", _WEIGHTS), ("a tokenizer", _TOKENIZER)):
            if not any((folder / file).is_file() for file in files):
                raise InputError(f"model folder {folder} lacks {what}: none of {', '.join(files)}. Copy it again.")
        if not (folder / "generation_config.json").is_file():
            raise InputError(
                f"model folder {folder} lacks generation_config.json, which says how its prompts begin. Copy it from "
                "the model that this one was made from."
            )
    try:
        load: Any = WhisperForConditionalGeneration.from_pretrained
        model, found = load(str(name), dtype=torch.float32, output_loading_info=True)
        tokenizer = WhisperTokenizer.from_pretrained(str(name))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"the model {str(name)!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    except Exception as error:
        if type(error).__name__ not in ("SafetensorError", "UnpicklingError"):
            raise
        raise InputError(f"the weights of {str(name)!r} are damaged ({error}); copy the folder again.") from error
    if found["missing_keys"]:  # transformers would fill them with random numbers and go on
        missing = sorted(found["missing_keys"])
        raise InputError(
            f"the weights of {str(name)!r} lack {len(missing)} tensors ({missing[0]}, ...); copy them again."
        )
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}. "
            "One of the two comes from another model."
        )
    return Listener(model, tokenizer, window, read_windowing(name))


def new_listener(shape: Mapping[str, Any], tokenizer: Any, *, language: str, task: str, seed: int) -> Listener:
    """Make a Whisper model of random weights.

    Parameters
    ----------
    shape : mapping
        Fields of `WhisperConfig` (`d_model`, `encoder_layers`, ...), or for short `attention_heads` and `ffn_dim`
        (encoder and decoder alike), `n_mels`, and `window_seconds` (whole seconds, 1 to 30).
    tokenizer : WhisperTokenizer
        From `train_tokenizer`.
    language, task : str
        What the generation config asks for.
    seed : int
        Of the weights.

    Returns
    -------
    Listener

    Raises
    ------
    InputError
        For an unknown field, a window of broken seconds, or heads that do not divide the width.
    """
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
    from transformers.activations import ACT2FN

    fields = _fields(shape)
    activation = fields.get("activation_function", "gelu")
    if activation not in ACT2FN:
        raise unknown_name("activation_function of from_config", activation, ACT2FN)
    ids = tokenizer.convert_tokens_to_ids
    start = ids("<|startoftranscript|>")
    end = tokenizer.eos_token_id
    config = WhisperConfig(
        **fields, vocab_size=len(tokenizer), pad_token_id=end, bos_token_id=end, eos_token_id=end,
        decoder_start_token_id=start, begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
    vocabulary = tokenizer.get_added_vocab()
    languages = {token: i for token, i in vocabulary.items() if start < i < ids("<|translate|>")}
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        decoder_start_token_id=start, bos_token_id=end, eos_token_id=end, pad_token_id=end,
        max_length=config.max_target_positions, is_multilingual=True, language=language, task=task,
        lang_to_id=dict(sorted(languages.items(), key=lambda item: item[1])),
        task_to_id={name: ids(f"<|{name}|>") for name in ("transcribe", "translate")},
        no_timestamps_token_id=ids("<|notimestamps|>"), prev_sot_token_id=ids("<|startofprev|>"),
        return_timestamps=False, suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    return Listener(model, tokenizer, WindowSpec.of(config))


def _check_tables(folder: Path) -> None:
    """Refuse damaged settings: transformers passes over a generation config that it cannot read."""
    for file in (folder / name for name in _SETTINGS):
        if not file.is_file():
            continue
        try:
            whole = isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
        except ValueError:
            whole = False
        if not whole:
            raise InputError(f"{file} is not a JSON table; the model folder is damaged, copy it again.")


def _fields(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Whisper's own field names and values, checked, with defaults that follow the width."""
    given: dict[str, Any] = {}
    for name, value in shape.items():
        if name not in (*_SHAPE, *_ALIASES):
            raise unknown_name("field of from_config", name, (*_SHAPE, *_ALIASES))
        if name == "window_seconds":
            given["max_source_positions"] = 50 * _check_whole_seconds(value)
        elif name == "n_mels":
            given["num_mel_bins"] = value
        else:
            given.update(dict.fromkeys(_BOTH.get(name, (name,)), value))
    for name, value in given.items():
        if (name.endswith(("layers", "heads", "dim", "bins", "positions")) or name == "d_model") and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            raise InputError(f"from_config: {name} is {value!r}; give a whole number of at least 1.")
        if name.endswith(("dropout", "layerdrop")) and (
            not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1
        ):
            raise InputError(f"from_config: {name} is {value!r}; give a share, 0 up to below 1.")
    width = given.setdefault("d_model", 128)
    for side in ("encoder", "decoder"):
        heads = given.setdefault(f"{side}_attention_heads", max(1, width // 64))
        given.setdefault(f"{side}_ffn_dim", 4 * width)
        if width % heads:
            raise InputError(f"from_config: d_model {width} is not divisible by {heads} {side} attention heads.")
    given.setdefault("encoder_layers", 3)
    given.setdefault("decoder_layers", 2)
    _check_whole_seconds(given.setdefault("max_source_positions", 1500) / 50)
    return given


def _check_whole_seconds(seconds: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != int(seconds) or not seconds >= 1:
        raise InputError(f"the window is {seconds!r} s; Whisper's feature extractor knows whole seconds: give 2 or 3.")
    return int(seconds)


def weights_digest(name: str | Path) -> str | None:
    """SHA-256 over a model folder's weights; None for a name on the hub."""
    folder = Path(name)
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".bin")):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
