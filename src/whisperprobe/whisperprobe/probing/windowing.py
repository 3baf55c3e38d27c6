"""How sound meets the model's window: padded to the whole of it or trimmed; what becomes of clips that exceed it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from audiogram.errors import InputError
from whisperprobe.features import WindowSpec
from whisperprobe.probing import schemas
from whisperprobe.probing.batches import check_choice
from whisperprobe.probing.extras import Extras

__all__ = ["LONG_AUDIO", "PADDED", "PADDING", "Windowing", "count_windows"]

PADDING = ("window", "trimmed")
LONG_AUDIO = ("refuse", "windows")

BUCKET = 25
"""Trimmed lengths are whole multiples of so many encoder positions, half a second: clips of one length are run
together, and a clip's own length alone decides which it has."""


@dataclass(frozen=True)
class Windowing:
    """How clips are brought to the model's window.

    Attributes
    ----------
    padding : {"window", "trimmed"}
        Run the encoder over the whole window, silence behind the clip included, as Whisper was trained, or only over
        the clip and a margin.
    margin : float
        Silence behind the clip that a trimmed encoder hears at least, seconds.
    long_audio : {"refuse", "windows"}
        Refuse clips longer than the window, or cut them into consecutive windows.
    """

    padding: str = "window"
    margin: float = 1.0
    long_audio: str = "refuse"

    @classmethod
    def of(
        cls,
        extras: Extras,
        *,
        padding: str | None = None,
        margin: float | None = None,
        long_audio: str = "refuse",
        trained: Windowing | None = None,
    ) -> Windowing:
        """Check the options, alone and with what else is asked for.

        What is not given is as the model was trained, and else the default.

        Raises
        ------
        InputError
            An unknown name, a margin that is no number of seconds from 0 or belongs to no trimmed window, or options
            that exclude each other.
        """
        like = trained or cls()
        padding = check_choice("padding", like.padding if padding is None else padding, PADDING)
        if margin is not None and padding == "window":
            raise InputError(
                f"margin is {margin!r}, the silence behind a clip in a trimmed window, and windows are whole here. "
                "Give padding 'trimmed' too, or leave margin out."
            )
        margin = like.margin if margin is None else margin
        check_choice("long_audio", long_audio, LONG_AUDIO)
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin < math.inf:
            raise InputError(f"margin is {margin!r}; give seconds of silence behind each clip, 0 or more.")
        if padding == "trimmed" and extras.encoder == "window":
            raise InputError(
                "encoder='window' averages the whole window, which padding='trimmed' does not compute. "
                "Use encoder='mean', or padding='window'."
            )
        asked = {"encoder": extras.encoder != "none", "lexicon": extras.lexicon is not None, "n_best": extras.n_best}
        refused = [name for name, value in asked.items() if value]
        if long_audio == "windows" and refused:
            raise InputError(
                f"long_audio='windows' cannot go with {' and '.join(refused)}: they are about a clip that is heard as "
                "one. Leave them out, or cut the clips into utterances first."
            )
        return cls(padding, float(margin), long_audio)

    def describe(self) -> dict[str, Any]:
        """Return what was asked for, for a manifest."""
        out: dict[str, Any] = {"padding": self.padding}
        if self.padding == "trimmed":
            out["margin"] = self.margin
        if self.long_audio != "refuse":
            out["long_audio"] = self.long_audio
        return out

    def columns(self, tables: Mapping[str, pa.Schema]) -> dict[str, pa.Schema]:
        """Return the columns of a run's tables, with those that say where in a long clip a row is from."""
        if self.long_audio == "refuse":
            return dict(tables)
        return {
            **tables,
            "clips": tables["clips"].append(schemas.N_WINDOWS),
            "tokens": tables["tokens"].append(schemas.WINDOW),
        }

    def positions(self, n_samples: int, window: WindowSpec) -> int | None:
        """Return over how many positions the encoder runs for a clip of one window; None is the whole window."""
        whole = window.n_frames // 2
        if self.padding == "window":
            return None
        covered = (n_samples + self.margin * window.sample_rate) / (2 * window.hop_length)
        needed = BUCKET * math.ceil(covered / BUCKET)
        return needed if needed < whole else None


PADDED = Windowing()
"""The default: the whole window, and nothing longer."""


def count_windows(n_samples: int, window: WindowSpec) -> int:
    """Return how many windows a clip takes; one that fills the window exactly takes one."""
    return max(1, math.ceil(n_samples / window.n_samples))
