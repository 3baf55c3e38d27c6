"""The logit lens: what intermediate decoder layers would have predicted, had they been the last.

Layers are numbered as in the literature: 0 is the embedding of token and position, before any layer and blind to the
sound; n of n is the last. The states of a layer are taken as they leave it, so the final layer norm is applied once
to each of them; `output_hidden_states` of transformers would hand out the last one normalised already.

References
----------
nostalgebraist (2020), Interpreting GPT: the logit lens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from audiogram.errors import InputError
from whisperprobe import measures
from whisperprobe.probing.decode import at_least_float32
from whisperprobe.probing.head import Head, logits_of, pieces
from whisperprobe.probing.packing import Rows
from whisperprobe.probing.score import Scores

__all__ = ["captured", "layer_columns", "layer_vectors", "parse_layers"]


def parse_layers(layers: str | int | Sequence[int] | None, n_layers: int) -> tuple[int, ...]:
    """Return the decoder layers that are meant, ascending.

    Parameters
    ----------
    layers : "all", str of numbers, int, sequence of int, or None
        0 (embeddings) to `n_layers` (the last layer); None is none.
    n_layers : int
        Decoder layers of the model.

    Raises
    ------
    InputError
        What is no number, is named twice, or is no layer of this model.

    Examples
    --------
    >>> parse_layers("all", 2), parse_layers("1,2", 4), parse_layers([4, 0], 4)
    ((0, 1, 2), (1, 2), (0, 4))
    """
    if layers is None:
        return ()
    if isinstance(layers, str) and layers == "all":
        return tuple(range(n_layers + 1))
    numbers: list[Any]
    if isinstance(layers, str):
        parts = [part.strip() for part in layers.split(",")]
        numbers = [int(part) if part.isdecimal() else part for part in parts]
    else:
        numbers = [layers] if isinstance(layers, int) else list(layers)
    if not numbers or any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in numbers):
        raise InputError(f"layers {layers!r}: give 'all' or numbers from 0 to {n_layers}, e.g. '1,{n_layers}'.")
    wrong = [int(i) for i in numbers if not 0 <= i <= n_layers]
    if wrong:
        raise InputError(
            f"this model has decoder layers 1 to {n_layers} (0: the embeddings), received {wrong[0]} in {layers!r}."
        )
    if len(set(numbers)) != len(numbers):
        raise InputError(f"layers {layers!r} names a layer twice; name each once.")
    return tuple(sorted(int(i) for i in numbers))


@contextlib.contextmanager
def captured(model: Any, layers: Sequence[int], states: np.ndarray) -> Iterator[dict[int, torch.Tensor]]:
    """Collect what leaves the decoder's layers while it reads a packed pass, at the states that matter only.

    Parameters
    ----------
    model : WhisperForConditionalGeneration
        The model.
    layers : sequence of int
        From `parse_layers`.
    states : int64 array, shape (states,)
        `Packed.states`.

    Yields
    ------
    dict of int to tensor, shape (states, d)
        By layer, before the final layer norm; filled when the pass has run.
    """
    found: dict[int, torch.Tensor] = {}
    blocks = model.model.decoder.layers

    def keep(layer: int, x: torch.Tensor) -> None:
        found[layer] = x.reshape(-1, x.shape[-1])[torch.from_numpy(states).to(x.device)]

    def at_entry(_: Any, args: tuple[Any, ...]) -> None:
        keep(0, args[0])

    def at_exit(layer: int) -> Any:
        return lambda _module, _args, out: keep(layer, out)

    with contextlib.ExitStack() as hooks:
        for layer in layers:
            hook = (
                blocks[layer - 1].register_forward_hook(at_exit(layer))
                if layer
                else blocks[0].register_forward_pre_hook(at_entry)
            )
            hooks.callback(hook.remove)
        yield found


def layer_columns(
    model: Any, by_layer: dict[int, torch.Tensor], rows: Rows, scores: Scores, head: Head
) -> dict[str, np.ndarray]:
    """Measure every row's token under every layer.

    Returns
    -------
    dict of str to array, shape (rows, layers)
        `log_probability`, `rank` and `entropy`. The last layer's are the rows' own numbers.
    """
    out = {
        "log_probability": np.empty((len(rows), len(by_layer))),
        "rank": np.empty((len(rows), len(by_layer)), dtype=np.int64),
        "entropy": np.empty((len(rows), len(by_layer))),
    }
    order = np.argsort(rows.state, kind="stable")
    for number, (layer, x) in enumerate(sorted(by_layer.items())):
        if layer == len(model.model.decoder.layers):
            for name, column in out.items():
                column[:, number] = scores.rows[name]
            continue
        h = at_least_float32(model.model.decoder.layer_norm(x)).to(head.embedding.dtype)
        for start, stop, z in logits_of(h, head):
            low, high = np.searchsorted(rows.state[order], [start, stop])
            log_norm = measures.log_normaliser(z)
            entropy = measures.entropy(z, log_norm)
            for a, b in pieces(high - low, head.embedding):
                own = order[low + a : low + b]
                at = torch.from_numpy(rows.state[own] - start).to(z.device)
                token = torch.from_numpy(rows.token_id[own]).to(z.device)
                out["log_probability"][own, number] = (z[at, token] - log_norm[at]).cpu().numpy()
                out["rank"][own, number] = measures.rank(z[at], token).cpu().numpy()
                out["entropy"][own, number] = entropy[at].cpu().numpy()
    return out


def layer_vectors(by_layer: dict[int, torch.Tensor], rows: Rows, keep: np.ndarray) -> np.ndarray:
    """Return the states of the kept rows as they leave each layer, float32 `(kept, layers, d)`."""
    at = rows.state[keep]
    return np.stack([x.float().cpu().numpy()[at] for _, x in sorted(by_layer.items())], axis=1)
