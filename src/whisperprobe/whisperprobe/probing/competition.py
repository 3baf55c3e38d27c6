"""How the words of a lexicon compete for a clip: their scores over the trie, and what follows from them.

A word's score is the logarithm of the probability that it was said and is over: ln Σ over spellings of Π p · (mass of
what may follow a finished word), the `word_log_probability` of a ground truth. All words are scored exactly, or the
best N of a first pass: a best-first search that reads prefixes in order of their probability, which no continuation
can exceed, until no unread spelling can reach a sixth of the N-th best word (a word has up to six spellings).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from whisperprobe import measures
from whisperprobe.probing.decode import at_least_float32
from whisperprobe.probing.head import Head, logits_of
from whisperprobe.probing.lexicon import Lexicon
from whisperprobe.probing.tree import TokenTree, cache_of_clips

__all__ = ["competition_columns", "competitors", "word_scores"]

_CACHE_BYTES = {"cpu": 1 << 28, "cuda": 1 << 32}
"""Keys and values of the words that are read at once; with `_PASS` it bounds memory, whatever lexicon and model."""

_PASS = {"cpu": 96, "cuda": 512}
"""Prefixes per clip and decoder pass: long enough to be efficient, short enough that attention stays a small part."""

_ROUND = 64
_LIMIT = 16
"""The first pass reads `_ROUND` prefixes a clip and round (N where that is more) and ends after `_LIMIT` times N."""


def word_scores(
    model: Any,
    states: torch.Tensor,
    cross_cache: Any,
    prompt: Sequence[int],
    lexicon: Lexicon,
    head: Head,
    *,
    candidates: int | None = None,
    spoken: Sequence[int | None] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Score the words of a lexicon for every clip.

    Parameters
    ----------
    model, states, cross_cache, prompt
        As for `TokenTree`.
    lexicon : Lexicon
        The words.
    head : Head
        Output side of the model.
    candidates : int, optional
        Score only the best so many words of a first pass, and the spoken one. All words by default.
    spoken : per clip, int or None
        Number of the spoken word in the lexicon.

    Returns
    -------
    scores : float64 array, shape (clips, words)
        Log-probability of each word; −inf where it was not scored.
    found : bool array, shape (clips, words)
        Which words the first pass found; without one, all.
    """
    n_slots = len(prompt) + _pass_length(states)
    if candidates is not None:
        n_slots += (
            (_LIMIT + 1) * candidates
            + 2 * _ROUND
            + candidates * lexicon.ends.shape[1] * (int(lexicon.depths.max()) + 1)
        )
    layers = model.model.decoder.layers
    slot_bytes = 2 * len(layers) * states.shape[-1] * states.element_size()
    together = max(1, _CACHE_BYTES.get(states.device.type, _CACHE_BYTES["cpu"]) // (n_slots * slot_bytes))
    scores, found = [], []
    for start in range(0, len(states), together):
        stop = min(start + together, len(states))
        cache = cross_cache if stop - start == len(states) else cache_of_clips(cross_cache, start, stop)
        reading = _Reading(TokenTree(model, states[start:stop], cache, prompt), lexicon, head)
        if candidates is None:
            reading.read_all()
            chosen = np.ones((stop - start, len(lexicon)), dtype=bool)
            scores.append(reading.words())
        else:
            chosen = reading.search(candidates)
            scored = chosen.copy()
            for clip, word in enumerate(spoken[start:stop]):
                if word is not None:
                    scored[clip, word] = True
            reading.read_words(scored)
            scores.append(np.where(scored, reading.words(), -np.inf))
        found.append(chosen)
    return np.concatenate(scores), np.concatenate(found)


def _pass_length(states: torch.Tensor) -> int:
    return _PASS.get(states.device.type, _PASS["cpu"])


class _Reading:
    """What is known of the trie's nodes, per clip: `(clips, nodes)`, NaN where nothing is.

    `step` is ln p of a node's token behind its prefix, `end` ln of the mass of what may follow a finished word there.
    """

    def __init__(self, tree: TokenTree, lexicon: Lexicon, head: Head) -> None:
        self._tree, self._lexicon, self._head = tree, lexicon, head
        self._clips = np.arange(len(tree.root))
        shape = (len(tree.root), len(lexicon.tokens))
        self.step, self.end = np.full(shape, np.nan), np.full(shape, np.nan)
        self._slot = np.full(shape, -1, dtype=np.int64)
        self._note(tree.root, self._clips, np.full(len(self._clips), -1))

    def _note(self, hidden: torch.Tensor, clip: np.ndarray, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take what states `(rows, d)` behind nodes say; returns clip and node of what was learnt in `step`."""
        lexicon, head = self._lexicon, self._head
        learnt = []
        for start, stop, z in logits_of(at_least_float32(hidden).to(head.embedding.dtype), head):
            log_norm = measures.log_normaliser(z)
            own_clip, own_node = clip[start:stop], node[start:stop]
            ends = np.flatnonzero((own_node >= 0) & lexicon.is_end[own_node])
            at = torch.from_numpy(ends).to(z.device)
            mass = measures.log_mass(z[at], head.word_ends, log_norm[at])
            self.end[own_clip[ends], own_node[ends]] = mass.cpu().numpy()
            first = lexicon.first_child[own_node + 1]
            count = lexicon.first_child[own_node + 2] - first
            row = np.repeat(np.arange(stop - start), count)
            child = lexicon.children[np.arange(len(row)) - np.repeat(np.cumsum(count) - count - first, count)]
            at, token = (torch.from_numpy(x).to(z.device) for x in (row, lexicon.tokens[child]))
            self.step[own_clip[row], child] = (z[at, token] - log_norm[at]).cpu().numpy()
            learnt.append((own_clip[row], child))
        clips, children = zip(*learnt, strict=True) if learnt else ((np.empty(0, int),), (np.empty(0, int),))
        return np.concatenate(clips), np.concatenate(children)

    def totals(self) -> np.ndarray:
        """ln p of every prefix, `(clips, nodes)`."""
        lexicon, out = self._lexicon, self.step.copy()
        for depth in range(1, int(lexicon.depths.max()) + 1):
            level = np.flatnonzero(lexicon.depths == depth)
            out[:, level] += out[:, lexicon.parents[level]]
        return out

    def _spellings(self, totals: np.ndarray) -> np.ndarray:
        """ln p of every spelling of every word, its end included, `(clips, words, spellings)`; −inf if not known."""
        ends = self._lexicon.ends
        out: np.ndarray = totals[:, ends] + self.end[:, ends]
        out[:, ends < 0] = -np.inf
        out[np.isnan(out)] = -np.inf
        return out

    def words(self) -> np.ndarray:
        """Score of every word, `(clips, words)`."""
        return np.asarray(measures.log_normaliser(self._spellings(self.totals())))

    def read_all(self) -> None:
        """Read the whole trie, run by run of subtrees; nothing is kept in the cache from one run to the next."""
        lexicon, n = self._lexicon, _pass_length(self._tree.root)
        for start in range(0, len(lexicon.tokens), n):
            own = np.arange(start, min(start + n, len(lexicon.tokens)))
            nodes = lexicon.above(own)  # its first prefixes may have been read with the run before: read again
            parents = np.searchsorted(nodes, lexicon.parents[nodes])
            parents[lexicon.parents[nodes] < 0] = -1
            self._tree.clear()
            hidden = self._tree.feed(lexicon.tokens[nodes][None], parents[None])[:, len(nodes) - len(own) :]
            clip, node = np.repeat(self._clips, len(own)), np.tile(own, len(self._clips))
            self._note(hidden.reshape(-1, hidden.shape[-1]), clip, node)

    def _read(self, nodes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Read these nodes of each clip, prefixes first; what they follow has been read or is among them."""
        lexicon = self._lexicon
        counts = np.array([len(own) for own in nodes])
        clip, node = np.repeat(self._clips, counts), np.concatenate(nodes)
        column = np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts)
        self._slot[clip, node] = len(self._tree) + column
        above = lexicon.parents[node]
        tokens = np.zeros((len(nodes), counts.max()), dtype=np.int64)  # what fills a row up is read and forgotten
        parents = np.full(tokens.shape, -1)
        tokens[clip, column] = lexicon.tokens[node]
        parents[clip, column] = np.where(above >= 0, self._slot[clip, above], -1)
        hidden = self._tree.feed(tokens, parents)
        at = torch.from_numpy(clip * tokens.shape[1] + column).to(hidden.device)
        return self._note(hidden.reshape(-1, hidden.shape[-1])[at], clip, node)

    def search(self, n: int) -> np.ndarray:
        """Find the best `n` words of each clip, best prefix first; returns which, `(clips, words)`."""
        totals = self.totals()
        width = max(_ROUND, n)
        while len(self._tree) < _LIMIT * n + _ROUND:
            best = self._spellings(totals).max(-1)
            bound = np.partition(best, best.shape[1] - n, axis=1)[:, best.shape[1] - n] - np.log(6)
            unread = np.where((self._slot < 0) & ~np.isnan(totals), totals, -np.inf)
            rank = np.argpartition(-unread, min(width, unread.shape[1]) - 1, axis=1)[:, :width]
            wanted = np.take_along_axis(unread, rank, axis=1)
            wanted = (wanted > bound[:, None]) & (wanted > -np.inf)
            if not wanted.any():
                break
            clip, node = self._read([np.sort(own[keep]) for own, keep in zip(rank, wanted, strict=True)])
            above = self._lexicon.parents[node]
            totals[clip, node] = self.step[clip, node] + totals[clip, above]
        scores = np.asarray(measures.log_normaliser(self._spellings(totals)))
        order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        found = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(found, order, True, axis=1)
        return np.asarray(found & (scores > -np.inf))

    def read_words(self, words: np.ndarray) -> None:
        """Read every spelling of some words, bool `(clips, words)`, as far as it has not been read."""
        lexicon, n = self._lexicon, _pass_length(self._tree.root)
        missing = [lexicon.above(lexicon.ends[own]) for own in words]
        missing = [nodes[self._slot[clip, nodes] < 0] for clip, nodes in enumerate(missing)]
        for start in range(0, max(map(len, missing)), n):
            self._read([nodes[start : start + n] for nodes in missing])


def competition_columns(
    scores: np.ndarray, found: np.ndarray, spoken: Sequence[int | None], lexicon: Lexicon
) -> dict[str, Any]:
    """Return the columns that a lexicon adds to `clips`; parameters as `word_scores` takes and returns them.

    Rank and probability are those of the spoken word among the words that were scored: None without one.
    """
    log_norm = np.asarray(measures.log_normaliser(scores))
    any_scored = np.isfinite(log_norm)  # a first pass may come upon no whole word
    log_p = scores - np.where(any_scored, log_norm, 0.0)[:, None]
    entropy = -np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0), axis=1)
    best = scores.argmax(1)
    clips = np.arange(len(scores))
    known = np.array([word is not None for word in spoken], dtype=bool)
    word = np.array([0 if word is None else word for word in spoken], dtype=np.int64)
    rank = 1 + (scores > scores[clips, word][:, None]).sum(1)
    return {
        "lexicon_words": np.isfinite(scores).sum(1),
        "lexicon_found": known & found[clips, word],
        "lexicon_best": [lexicon.words[i] if any_ else None for i, any_ in zip(best, any_scored, strict=True)],
        "lexicon_rank": np.where(known, rank, np.nan),
        "lexicon_probability": np.where(known, np.exp(log_p[clips, word]), np.nan),
        "lexicon_entropy": np.where(any_scored, entropy, np.nan),
        "lexicon_mass": np.exp(log_norm),
    }


def competitors(scores: np.ndarray, lexicon: Lexicon, n: int) -> dict[str, Any]:
    """Return the most probable `n` words of each clip: `clip` (number), and the columns of `competitors`."""
    n = min(n, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n]
    log_norm = np.asarray(measures.log_normaliser(scores))
    chosen = np.take_along_axis(scores, order, axis=1)
    keep = np.isfinite(chosen)
    place = np.broadcast_to(np.arange(1, n + 1), chosen.shape)
    return {
        "clip": np.nonzero(keep)[0],
        "place": place[keep],
        "word": [lexicon.words[i] for i in order[keep]],
        "log_probability": chosen[keep],
        "probability": np.exp(chosen[keep] - np.broadcast_to(log_norm[:, None], chosen.shape)[keep]),
    }
