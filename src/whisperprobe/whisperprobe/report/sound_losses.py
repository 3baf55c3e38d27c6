"""Which sounds of words suffer most under each condition: how often each was heard right, and as what else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from whisperprobe.comparison.confusions import GAP
from whisperprobe.comparison.naming import model_name
from whisperprobe.comparison.phonemes import ARPABET
from whisperprobe.comparison.sounds import Sounds
from whisperprobe.report.cells import Cell, SmallTable, number
from whisperprobe.report.figures import LEGEND_ABOVE, plain
from whisperprobe.report.palette import SYMBOLS, condition_colours

__all__ = ["gloss", "loss_chart", "loss_table", "shown_sounds", "sound_losses"]

_MOST_SOUNDS = 24
_FEWEST = 10  # times spoken, below which a share is left to the table
_GREY = "#8a95a3"


def sound_losses(sounds: Sounds, model: str, reference: str) -> pd.DataFrame:
    """How often every sound was heard right by a model, condition by condition.

    Parameters
    ----------
    sounds : Sounds
        Confusions of a comparison.
    model : str
        Who listened.
    reference : str
        The condition that the others are measured against.

    Returns
    -------
    DataFrame
        condition, sound (ARPABET), n (times it was spoken in answers that could be aligned), right (share), lost
        (share right under the reference minus that; NaN without the reference), heard_as (what it was most often taken
        for, or `GAP`; None where it never was), heard_as_share.
    """
    table = sounds.confusions
    table = table[(table["model"] == model) & (table["spoken"] != GAP)]
    rows = []
    for (condition, sound), part in table.groupby(["condition", "spoken"], sort=True):
        others = part[part["heard"] != sound].sort_values(["n", "heard"], ascending=[False, True])
        total = int(part["n"].sum())
        rows.append(
            {
                "condition": condition, "sound": sound, "n": total,
                "right": part.loc[part["heard"] == sound, "n"].sum() / total,
                "heard_as": others["heard"].iloc[0] if len(others) else None,
                "heard_as_share": others["n"].iloc[0] / total if len(others) else np.nan,
            }
        )  # fmt: skip
    found = pd.DataFrame(rows, columns=["condition", "sound", "n", "right", "heard_as", "heard_as_share"])
    before = found[found["condition"] == reference].set_index("sound")["right"]
    found.insert(4, "lost", found["sound"].map(before).astype(float) - found["right"])
    return found


def loss_table(losses: pd.DataFrame, order: Sequence[str], reference: str, model: str) -> SmallTable:
    """The losses in numbers, those that lost most first."""
    rows: list[tuple[str | Cell, ...]] = []
    shown = losses[(losses["condition"] != reference) | losses["lost"].isna()]
    ordered = shown.sort_values(["lost", "sound"], ascending=[False, True], kind="stable")
    for condition, sound, n, right, lost, heard_as, share in ordered.itertuples(index=False):
        taken = "–" if np.isnan(share) else f"{'left out' if heard_as == GAP else heard_as} ({100 * share:.1f} %)"
        rows.append(
            (
                sound, ARPABET[sound].manner, condition, number(f"{n:,}", n), number(f"{100 * right:.1f}", 100 * right),
                number("–" if np.isnan(lost) else f"{100 * lost:+.1f}".replace("-", "−"), 100 * lost), taken,
            )
        )  # fmt: skip
    return SmallTable(
        "sound-loss-table",
        f"How often every sound was heard right ({model_name(model, order)}). Lost: percentage points less than under "
        f"{reference}. Answers that are no words with a known pronunciation are not counted, so that what was lost "
        "entirely is missing here.",
        ("Sound", "Manner", "Hearing", "n", "Heard right %", "Lost", "Most often heard as"),
        tuple(rows),
    )


def shown_sounds(losses: pd.DataFrame) -> tuple[list[str], int]:
    """The sounds of the figure, those that lost most first, and how many of the others could have been shown.

    Sounds spoken fewer than 10 times in the aligned answers of a condition are in the table alone.
    """
    by_sound = losses.groupby("sound")
    worst = by_sound["lost"].max()[by_sound["n"].min() >= _FEWEST].dropna().sort_values(ascending=False, kind="stable")
    return [str(s) for s in worst.index[:_MOST_SOUNDS]], max(len(worst) - _MOST_SOUNDS, 0)


def gloss(sounds: Sequence[str]) -> str:
    """Say in words what those of some ARPABET symbols stand for that do not read as they are written.

    Examples
    --------
    >>> gloss(["TH", "B", "NG"])
    'NG as in sing, TH thin'
    """
    known = [s for s in sorted(sounds) if s in _GLOSSES]
    return ", ".join(f"{s} {'as in ' if i == 0 else ''}{_GLOSSES[s]}" for i, s in enumerate(known))


_GLOSSES = {
    "AA": "sock", "AE": "cat", "AH": "but", "AO": "chalk", "AW": "mouse", "AY": "bite", "CH": "chin", "DH": "this",
    "EH": "bet", "ER": "bird", "EY": "bait", "HH": "hat", "IH": "bit", "IY": "beat", "JH": "gem", "NG": "sing",
    "OW": "boat", "OY": "boy", "SH": "ship", "TH": "thin", "UH": "book", "UW": "boot", "Y": "yes", "ZH": "measure",
}  # fmt: skip


def loss_chart(losses: pd.DataFrame, order: Sequence[str]) -> go.Figure:
    """Share of each sound that was heard right under every condition, the sounds that lost most on top."""
    chosen = shown_sounds(losses)[0][::-1]
    wide = 100 * losses.pivot_table(index="sound", columns="condition", values="right").reindex(chosen)
    spoken = losses.groupby("sound")["n"].min()
    colours = condition_colours(order)
    figure = go.Figure()
    for sound, row in wide.iterrows():
        figure.add_scatter(
            x=[row.min(), row.max()], y=[sound, sound], mode="lines", line={"color": _GREY, "width": 2},
            showlegend=False, hoverinfo="skip",
        )  # fmt: skip
    for i, condition in enumerate(c for c in order if c in wide):
        figure.add_scatter(
            x=wide[condition], y=chosen, mode="markers", name=plain(condition), cliponaxis=False,
            marker={"color": colours[condition], "size": 10, "symbol": SYMBOLS[i % len(SYMBOLS)]},
            hovertemplate="%{y}: %{x:.1f} % right<extra>" + plain(condition) + "</extra>",
        )  # fmt: skip
    figure.update_xaxes(title="Heard right (%)", range=[0, 101])
    figure.update_yaxes(
        type="category", ticks="", ticklabelstandoff=8, showline=False, automargin=True,
        tickvals=list(range(len(chosen))), ticktext=[f"{s} ({spoken[s]:,})" for s in chosen],
    )  # fmt: skip
    figure.update_layout(
        height=110 + 15 * max(len(chosen), 3), margin={"l": 60, "r": 20, "t": 20, "b": 50}, dragmode=False,
        legend=LEGEND_ABOVE, showlegend=True,
    )  # fmt: skip
    return figure
