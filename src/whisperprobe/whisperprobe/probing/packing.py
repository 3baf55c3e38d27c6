"""Many token sequences of a clip side by side in one decoder pass.

The prompt is written once; behind it stand the greedy output and every variant of the ground truth. A block mask
lets each token see the prompt and its own sequence up to itself, and position ids count each sequence from the
prompt's end, so that every state is what it would be if its sequence had been read alone.

    clip 0   prompt  g1 g2 g3  a1 a2  b1 b2  ·  ·
    clip 1   prompt  g1 g2     a1 a2 a3   ·  ·  ·
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

__all__ = ["GREEDY", "Packed", "Rows", "pack", "without_lead"]

GREEDY = -1
"""`variant` of a greedy row; forced rows carry an index into `labels.VARIANT_NAMES`."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One entry per scored token, `(rows,)`: greedy rows of a clip first, then its variants; clips in order.

    Attributes
    ----------
    clip : int64 array
        Clip within the batch.
    variant : int64 array
        `GREEDY` or an index into `labels.VARIANT_NAMES`.
    position : int64 array
        Position within the text, from 0.
    token_id : int64 array
        The token.
    state : int64 array
        Which state predicts the token (h_t).
    next_state : int64 array
        Which state follows the token (h_t+1), −1 after an end token.
    """

    clip: np.ndarray
    variant: np.ndarray
    position: np.ndarray
    token_id: np.ndarray
    state: np.ndarray
    next_state: np.ndarray

    def __len__(self) -> int:
        return len(self.clip)

    @property
    def greedy(self) -> np.ndarray:
        """Which rows are greedy, bool."""
        return np.asarray(self.variant == GREEDY)


@dataclass(frozen=True, eq=False)
class Packed:
    """One decoder pass.

    Attributes
    ----------
    input_ids, position_ids : int64 array, shape (clips, length)
        What the decoder reads.
    visible : bool array, shape (clips, length, length)
        `[clip, query, key]`: which keys a query may see.
    states : int64 array, shape (states,)
        Places in the flattened `(clips * length)` output that matter: the last prompt token of each clip, then every
        fed token.
    rows : Rows
        What is to be scored, in terms of these states.
    """

    input_ids: np.ndarray
    position_ids: np.ndarray
    visible: np.ndarray
    states: np.ndarray
    rows: Rows


def pack(prompt: Sequence[int], sequences: Sequence[Sequence[tuple[int, Sequence[int]]]], end_id: int) -> Packed:
    """Lay the sequences of every clip side by side.

    Parameters
    ----------
    prompt : sequence of int
        The prompt, the same for every clip.
    sequences : per clip, sequence of (variant, token ids)
        What is scored; token ids without the prompt, possibly ending in the end token.
    end_id : int
        The end token, which is never read in; also used as padding.
    """
    n_clips, n_prompt = len(sequences), len(prompt)
    flat = [(clip, variant, ids) for clip, own in enumerate(sequences) for variant, ids in own]
    lengths = np.array([len(ids) for _, _, ids in flat], dtype=np.int64)
    clip_of = np.array([clip for clip, _, _ in flat], dtype=np.int64)
    tokens = np.array([i for _, _, ids in flat for i in ids], dtype=np.int64)
    ended = np.array([len(ids) > 0 and ids[-1] == end_id for _, _, ids in flat], dtype=bool)
    fed = lengths - ended  # an end token is scored but never read in

    sequence = np.repeat(np.arange(len(flat)), lengths)
    starts = np.cumsum(lengths) - lengths
    position = np.arange(len(tokens)) - starts[sequence] if len(tokens) else np.empty(0, dtype=np.int64)
    is_fed = position < fed[sequence]

    # states: one per clip for its prompt, then the fed tokens in order
    first_state = n_clips + np.cumsum(fed) - fed
    state = np.where(position == 0, clip_of[sequence], first_state[sequence] + position - 1)
    next_state = np.where(is_fed, first_state[sequence] + position, -1)

    # columns: the fed tokens of a clip behind its prompt, sequence by sequence
    before = np.cumsum(fed) - fed
    per_clip = np.bincount(clip_of, weights=fed, minlength=n_clips).astype(np.int64)
    clip_start = np.cumsum(per_clip) - per_clip
    column = n_prompt + (before - clip_start[clip_of])[sequence] + position
    length = n_prompt + int(per_clip.max(initial=0))
    at = (clip_of[sequence][is_fed], column[is_fed])

    input_ids = np.full((n_clips, length), end_id, dtype=np.int64)
    input_ids[:, :n_prompt] = prompt
    input_ids[at] = tokens[is_fed]
    position_ids = np.zeros((n_clips, length), dtype=np.int64)
    position_ids[:, :n_prompt] = np.arange(n_prompt)
    position_ids[at] = n_prompt + position[is_fed]
    owner = np.full((n_clips, length), -1, dtype=np.int64)  # padding sees the prompt, so no softmax is empty
    owner[:, :n_prompt] = 0
    owner[at] = 1 + sequence[is_fed]
    earlier = np.tri(length, dtype=bool)
    visible = earlier & ((owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None]))

    states = np.concatenate([np.arange(n_clips) * length + n_prompt - 1, at[0] * length + at[1]])
    variants = np.array([variant for _, variant, _ in flat], dtype=np.int64)
    rows = Rows(clip_of[sequence], variants[sequence], position, tokens, state, next_state)
    return Packed(input_ids, position_ids, visible, states, rows)


def without_lead(packed: Packed, n: int) -> Packed:
    """Leave the first `n` tokens of every forced sequence out of the rows: they are read in, but not scored."""
    if n == 0:
        return packed
    rows = packed.rows
    keep = rows.greedy | (rows.position >= n)
    rows = replace(rows, position=np.where(rows.greedy, rows.position, rows.position - n))
    return replace(packed, rows=Rows(**{entry.name: getattr(rows, entry.name)[keep] for entry in fields(Rows)}))
