"""How tokens of a Whisper are usually probed: one clip at a time, `generate` with scores and hidden states, JSON out.

Written fresh as the straightforward way, without tricks and without waste: what depends on the vocabulary alone is
made once. Every token gets its rank, probability, entropy, semantic density, the 1,000 most probable tokens with their
texts, the ground truth's numbers, and the distribution over normalised texts, for which Python walks over the whole
vocabulary. Nothing is read in by force: that is more than such scripts do.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

TOP_K = 1000


class PerClip:
    """A model, its tokenizer, and what is made of them once.

    Parameters
    ----------
    model, tokenizer, extractor
        Of transformers.
    new_tokens : int
        Longest output.
    """

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, new_tokens: int) -> None:
        self.model, self.tokenizer, self.extractor, self.new_tokens = model, tokenizer, extractor, new_tokens
        self.E = model.get_output_embeddings().weight.detach().float()
        self.unit = torch.nn.functional.normalize(self.E, dim=-1)
        self.texts = [tokenizer.decode([i]) for i in range(len(self.E))]
        self.normal = [text.strip().casefold() for text in self.texts]

    @torch.no_grad()
    def __call__(self, clip: np.ndarray, text: str, file: Path) -> None:
        """Probe one clip at 16 kHz and write its JSON."""
        features = self.extractor(clip, sampling_rate=16_000, return_tensors="pt").input_features
        out = self.model.generate(
            features.to(self.model.device, self.model.dtype), max_new_tokens=self.new_tokens, do_sample=False,
            language="en", task="transcribe", return_dict_in_generate=True, output_logits=True,
            output_hidden_states=True,
        )  # fmt: skip
        truth = self.tokenizer.encode(text.capitalize(), add_special_tokens=False)
        ids = out.sequences[0, -len(out.logits) :].tolist()
        tokens = [
            self.token(ids[step], logits[0].float(), states[-1][0, -1].float(), truth)
            for step, (logits, states) in enumerate(zip(out.logits, out.decoder_hidden_states, strict=True))
        ]
        spoken = {"text": text, "token_ids": truth, "embeddings": self.E[truth].tolist()}
        result = {"ground_truth": text, "ground_truth_embeddings": spoken, "predictions": tokens}
        file.write_text(json.dumps(result), encoding="utf-8")

    def token(self, chosen: int, logits: torch.Tensor, h: torch.Tensor, truth: list[int]) -> dict[str, Any]:
        """All numbers of one token."""
        p = torch.softmax(logits, -1)
        order = torch.argsort(p, descending=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(1, len(order) + 1, device=order.device)
        cosine = self.unit @ torch.nn.functional.normalize(h, dim=-1)
        top = order[:TOP_K].tolist()
        metrics = {
            "predicted_rank": int(rank[chosen]),
            "predicted_probability": float(p[chosen]),
            "top_k_tokens": top,
            "top_k_texts": [self.texts[i] for i in top],
            "top_k_probabilities": p[order[:TOP_K]].tolist(),
            "top_k_ranks": list(range(1, TOP_K + 1)),
            "entropy": float(-(p * torch.log(p + 1e-12)).sum()),
            "semantic_density": float(cosine.topk(10).values.mean()),
            "ground_truth_metrics": {
                f"ground_truth_{n}": {
                    "token_id": i,
                    "rank": int(rank[i]),
                    "probability": float(p[i]),
                    "cosine_similarity": float(cosine[i]),
                    "correlation": float(torch.corrcoef(torch.stack([h, self.E[i]]))[0, 1]),
                }
                for n, i in enumerate(truth)
            },
        }
        return {
            "token_id": chosen,
            "token_text": self.texts[chosen],
            "hidden_state": h.tolist(),
            "original_metrics": metrics,
            "normalized_metrics": self.normalised(chosen, p),
        }

    def normalised(self, chosen: int, p: torch.Tensor) -> dict[str, Any]:
        """The distribution over normalised texts, and the embedding of the predicted token's group."""
        groups: dict[str, float] = defaultdict(float)
        members: dict[str, list[int]] = defaultdict(list)
        for i, probability in enumerate(p.tolist()):
            groups[self.normal[i]] += probability
            members[self.normal[i]].append(i)
        ordered = sorted(groups.items(), key=lambda pair: pair[1], reverse=True)
        values = np.array([value for _, value in ordered])
        own = members[self.normal[chosen]]
        weights = p[own] / p[own].sum()
        return {
            "normalized_text": self.normal[chosen],
            "top_k_normalized_texts": [text for text, _ in ordered[:TOP_K]],
            "top_k_normalized_probabilities": [value for _, value in ordered[:TOP_K]],
            "normalized_entropy": float(-(values * np.log(values + 1e-12)).sum()),
            "top_normalized_probability": ordered[0][1],
            "normalized_embeddings": {
                "probability_weighted": (weights @ self.E[own]).tolist(),
                "simple_average": self.E[own].mean(0).tolist(),
                "most_probable": self.E[own[int(weights.argmax())]].tolist(),
            },
        }
