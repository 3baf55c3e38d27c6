"""A model that trains on trimmed windows: its encoder over each clip and a margin, not over the silence behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError
from whisperprobe.probing.trimming import hidden_behind, trimmed_encoder

if TYPE_CHECKING:
    from whisperprobe.probing.windowing import Windowing

__all__ = ["heard_by"]


@contextlib.contextmanager
def heard_by(model: Any, windowing: Windowing) -> Iterator[None]:
    """Let a model take what `SpeechDataset.prepare` gives it, while active.

    With padded windows nothing changes. With trimmed ones the model takes log-mels shorter than its window together
    with the keyword `positions`, how many encoder positions each clip has: a clip hears its own positions alone,
    whatever else is in the batch, as a trimmed probe does. Without that keyword it is the model as it was. To be active
    around the whole training: under gradient checkpointing the backward pass runs the layers once more.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        Alone or within what wraps it (peft, DistributedDataParallel).
    windowing : Windowing
        Of the run.

    Raises
    ------
    InputError
        Where the model's attention takes no masks.
    """
    if windowing.padding == "window":
        yield
        return
    from transformers.models.whisper.modeling_whisper import WhisperDecoder, WhisperEncoder

    encoder: Any = next(part for part in model.modules() if isinstance(part, WhisperEncoder))
    decoder: Any = next(part for part in model.modules() if isinstance(part, WhisperDecoder))
    if encoder.config._attn_implementation not in ("sdpa", "eager"):
        raise InputError(
            f"padding='trimmed' needs attention that takes masks, and the model has "
            f"{encoder.config._attn_implementation!r}. Load it with attn_implementation='sdpa'."
        )
    own = encoder.forward

    def forward(input_features: Any, *rest: Any, positions: Sequence[int] | None = None, **given: Any) -> Any:
        if positions is None:
            return own(input_features, *rest, **given)
        from transformers.modeling_outputs import BaseModelOutput

        return BaseModelOutput(last_hidden_state=trimmed_encoder(encoder, input_features, positions))

    def masked(part: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        # the keyword comes down through the decoder, so that a layer that is run once more finds it again
        positions = given.pop("positions", None)
        if positions is None:
            return None
        return args, {**given, "attention_mask": hidden_behind(positions, given["key_value_states"], part.config)}

    encoder.forward = forward
    hooks = [
        layer.encoder_attn.register_forward_pre_hook(masked, with_kwargs=True)  # the decoder passes no mask itself
        for layer in decoder.layers
    ]
    try:
        yield
    finally:
        del encoder.forward
        for hook in hooks:
            hook.remove()
