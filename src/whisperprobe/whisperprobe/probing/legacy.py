"""A probe run in the JSON of the scripts that came before this library; docs/legacy-json.md says what each field is.

Everything that needs a distribution is made again from the stored hidden states, so that it does not matter what else
the run kept; scalars come from the run's tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from audiogram.errors import InputError
from whisperprobe import labels, measures
from whisperprobe.probing.distributions import logits_of
from whisperprobe.probing.export import audio_ids
from whisperprobe.probing.head import Head, group_logits
from whisperprobe.probing.store import ProbeResult

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Legacy"]

_SPOKEN = ("text", "punctuation")


class Legacy:
    """The entries of one run, one after the other.

    Parameters
    ----------
    result : ProbeResult
        A finished run that kept hidden states of greedy rows.
    model : path or hub name, optional
        Where its model is now.
    top_k : int, optional
        Tokens and groups to list per position; by default as many as the run kept.

    Raises
    ------
    InputError
        The run kept no hidden states or has no greedy rows, `top_k` is out of range, or the model is not the run's.
    """

    def __init__(self, result: ProbeResult, *, model: str | Path | None = None, top_k: int | None = None) -> None:
        options = result.manifest.get("options", {})
        self._hidden = result.hidden  # refused here where there are none
        k = options.get("top_k") or 1000 if top_k is None else top_k
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise InputError(f"top_k is a whole number of tokens, at least 1, got {k!r}.")
        self._model = str(model if model is not None else options.get("model", ""))
        side = result.output_side(model)
        self._head, self._tokenizer = side.head, side.tokenizer
        self._k = min(k, len(self._head.embedding))
        self._clips = result.clips
        greedy = result.tokens[result.tokens["decoding"] == "greedy"]
        self._tokens = {clip: rows.sort_values("position") for clip, rows in greedy.groupby("clip_id", sort=False)}
        if len(self._clips) and not self._tokens:
            raise InputError("this run has no greedy rows; probe again with the greedy decoding.")
        truth = result.ground_truth
        self._truth = dict(iter(truth.groupby("clip_id", sort=False)))
        self._failures = result.failures
        ids = audio_ids([*self._clips["clip_id"], *self._failures["id"]])
        self._names, self._failed_names = ids[: len(self._clips)], ids[len(self._clips) :]

    def __len__(self) -> int:
        return len(self._clips) + len(self._failures)

    def head(self) -> dict[str, Any]:
        """What stands before the entries."""
        return {"model_path": self._model, "num_samples": len(self)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for name, clip in zip(self._names, _records(self._clips), strict=True):
            yield self._entry(name, clip)
        for name, failure in zip(self._failed_names, self._failures.to_dict("records"), strict=True):
            yield {
                "audio_id": name,
                "clip_id": failure["id"],
                "ground_truth": None,
                "ground_truth_embeddings": None,
                "predictions": [],
                "pooled_predictions": None,
                "error": failure["error"],
            }

    def _entry(self, name: str, clip: dict[str, Any]) -> dict[str, Any]:
        text = clip["text"] if isinstance(clip["text"], str) else None
        rows = self._tokens.get(clip["clip_id"])
        kept = [] if rows is None else _without_final_punctuation(_records(rows))
        predictions: list[dict[str, Any]] = []
        pooled = None
        if kept:
            hidden = self._hidden[np.array([row["vector_row"] for row in kept], dtype=np.int64)]
            truth = self._truth.get(clip["clip_id"])
            spoken = {} if truth is None else dict(iter(truth.groupby("position")))
            z = logits_of(hidden, self._head)
            for i, row in enumerate(kept):
                targets = [] if row["position"] not in spoken else _records(spoken[row["position"]])
                predictions.append(self._prediction(row, hidden[i], z[i], targets))
            pooled = _pooled(clip, kept, hidden)
        return {
            "audio_id": name,
            "clip_id": clip["clip_id"],
            "ground_truth": text,
            "ground_truth_embeddings": self._spoken(text),
            "predictions": predictions,
            "pooled_predictions": pooled,
            "error": None,
        }

    def _spoken(self, text: str | None) -> dict[str, Any] | None:
        if text is None:
            return None
        ids = labels.ground_truth_ids(text, self._tokenizer)
        return {
            "text": labels.capitalise(text.strip()),
            "token_ids": ids,
            "tokens": [self._head.vocabulary.tokens[i] for i in ids],
            "embeddings": [_numbers(self._head.embedding[i]) for i in ids],
            "is_multi_token": len(ids) > 1,
            "is_in_vocab": len(ids) == 1,
            "error": None if ids else "the text has no tokens",
        }

    def _prediction(
        self, row: dict[str, Any], hidden: npt.NDArray[Any], z: torch.Tensor, targets: list[dict[str, Any]]
    ) -> dict[str, Any]:
        head, names = self._head, self._head.vocabulary.tokens
        log_norm = measures.log_normaliser(z)
        best = z.topk(self._k)
        ids = best.indices.tolist()
        ranks = list(range(1, len(ids) + 1))
        probabilities: list[float | None] = [*_numbers((best.values - log_norm).exp())]
        listed = set(ids)
        for target in targets:
            if target["token_id"] not in listed:
                listed.add(target["token_id"])
                ids.append(int(target["token_id"]))
                ranks.append(int(target["rank"]))
                probabilities.append(_number(target["probability"]))
        return {
            "token_id": int(row["token_id"]),
            "token_text": row["token"],
            "hidden_state": _numbers(torch.from_numpy(hidden)),
            "original_metrics": {
                "predicted_rank": int(row["rank"]),
                "predicted_probability": _number(row["probability"]),
                "top_k_tokens": ids,
                "top_k_texts": [names[i] for i in ids],
                "top_k_probabilities": probabilities,
                "top_k_ranks": ranks,
                "entropy": _number(row["entropy"]),
                "semantic_density": _number(row["semantic_density"]),
                "ground_truth_metrics": {
                    f"ground_truth_{target['target_index']}": {
                        "token_id": int(target["token_id"]),
                        "rank": int(target["rank"]),
                        "probability": _number(target["probability"]),
                        "cosine_similarity": _number(target["cosine_similarity"]),
                        "correlation": _number(target["correlation"]),
                    }
                    for target in targets
                },
            },
            "normalized_metrics": self._normalised(row, z, log_norm, head),
        }

    def _normalised(self, row: dict[str, Any], z: torch.Tensor, log_norm: torch.Tensor, head: Head) -> dict[str, Any]:
        grouped = group_logits(z[None], head)[0]
        best = grouped.topk(min(self._k, len(grouped)))
        probabilities = _numbers((best.values - log_norm).exp())
        members = head.vocabulary.members(int(head.vocabulary.groups[int(row["token_id"])]))
        weighted, mean, likeliest = measures.group_embeddings(z, head.embedding, torch.from_numpy(members))
        return {
            "normalized_text": row["normalised_text"],
            "top_k_normalized_texts": [head.vocabulary.group_texts[i] for i in best.indices.tolist()],
            "top_k_normalized_probabilities": probabilities,
            "normalized_entropy": _number(row["normalised_entropy"]),
            "top_normalized_probability": probabilities[0],
            "normalized_embeddings": {
                "probability_weighted": _numbers(weighted),
                "simple_average": _numbers(mean),
                "most_probable": _numbers(likeliest),
            },
        }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _without_final_punctuation(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [row for row in rows if row["kind"] in _SPOKEN]
    while kept and kept[-1]["kind"] == "punctuation":
        kept.pop()
    return kept


def _pooled(clip: dict[str, Any], kept: list[dict[str, Any]], hidden: npt.NDArray[Any]) -> dict[str, Any] | None:
    """Means over the text tokens, as the run's `clips` table has them; None for one token, as in the older scripts."""
    text = [i for i, row in enumerate(kept) if row["kind"] == "text"]
    if len(text) < 2:
        return None
    return {
        "pooled_hidden_state": _numbers(torch.from_numpy(hidden[text].astype(np.float64).mean(0))),
        "num_tokens_pooled": len(text),
        "average_rank": _number(clip["mean_rank"]),
        "average_probability": _number(clip["mean_probability"]),
        "average_entropy": _number(clip["mean_entropy"]),
        "pooled_ground_truth_metrics": {
            name: _number(clip[name]) for name in ("cosine_similarity", "correlation", "semantic_density")
        },
    }


def _number(value: Any) -> float | None:
    """A number as JSON has it: a missing one is null."""
    number = float("nan") if value is None else float(value)
    return number if np.isfinite(number) else None


def _numbers(values: torch.Tensor) -> list[float]:
    """Nine significant digits, all that float32 holds: half the text of what its float64 twin would print."""
    return [float(f"{v:.9g}") for v in values.tolist()]
