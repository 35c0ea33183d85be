"""How every figure looks: sizes for a talk, colours that a colour-blind reader can tell apart.

Figures are matplotlib objects made without pyplot: no backend, no global state.
"""

import io
from collections.abc import Sequence
from typing import Any

from ae_jax.plots.text import label, value

INK = "#1a1a1a"
MUTED = "#6b6b6b"
FAINT = "#dddddd"
FONT, SMALL = 14, 11.5
#: Okabe and Ito's colours for unordered choices, without their yellow.
CATEGORIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def sequential(count: int) -> list[Any]:
    """`count` colours for ordered values, dark to light, all legible on white."""
    import matplotlib

    scale = matplotlib.colormaps["viridis"]
    if count == 1:
        return [CATEGORIES[0]]
    return [scale(0.02 + 0.73 * index / (count - 1)) for index in range(count)]


def colours(values: Sequence[Any]) -> dict[Any, Any]:
    """A colour for each value: sequential for numbers (given in order), else categories."""
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in values):
        return dict(zip(values, sequential(len(values)), strict=True))
    return {item: CATEGORIES[index % len(CATEGORIES)] for index, item in enumerate(values)}


def figure(name: str, width: float, height: float) -> Any:
    """An empty Figure.

    Args:
      name: what the report calls its file.
      width: inches.
      height: inches.
    """
    from matplotlib.figure import Figure

    result = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    result.set_label(name)
    return result


def dress(axes: Any, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Labels the axes; two spines, a faint horizontal grid, readable ticks."""
    axes.set_xlabel(plain(xlabel), fontsize=FONT, color=INK, labelpad=6)
    axes.set_ylabel(plain(ylabel), fontsize=FONT, color=INK, labelpad=6)
    axes.set_title(plain(title), fontsize=FONT, color=INK)
    axes.tick_params(which="both", labelsize=SMALL, colors=MUTED, labelcolor=INK, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def width(text: str) -> float:
    """The inches that a text takes at a tick."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=SMALL)
    return text_to_path.get_text_width_height_descent(plain(text), font, ismath=False)[0] / 72


def legend(figure: Any, handles: Sequence[Any], title: str = "") -> None:
    """A legend to the right of the axes, clear of the data."""
    if not handles:
        return
    box = figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        fontsize=SMALL,
        title=plain(title) or None,
        title_fontsize=FONT,
        labelcolor=INK,
        alignment="left",
        borderaxespad=1.0,
    )
    box.get_title().set_color(INK)


def message(axes: Any, text: str) -> None:
    """Says in an empty plot why it is empty."""
    axes.text(
        0.5, 0.5, plain(text), transform=axes.transAxes, ha="center", va="center",
        fontsize=FONT, color=MUTED,
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])


def footnote(figure: Any, text: str) -> None:
    """A short remark under the plot, or none."""
    if text:
        figure.supxlabel(plain(text), fontsize=SMALL, color=MUTED, x=0.99, ha="right")


def setting(names: Sequence[str], values: Sequence[Any]) -> str:
    """A configuration in words: "learning rate = 0.001, β = 4"."""
    pairs = zip(names, values, strict=True)
    return ", ".join(f"{label(name)} = {value(item)}" for name, item in pairs)


def plain(text: str) -> str:
    """Text in which a dollar sign is a dollar sign."""
    return text.replace("$", r"\$")


def render(figure: Any, format: str) -> bytes:
    """A figure's file, the same bytes every time.

    Args:
      figure: the Figure.
      format: "png" (at twice the size in CSS pixels) or "svg".
    """
    import matplotlib

    fixed = {"svg.hashsalt": "ae_jax", "svg.fonttype": "path", "savefig.bbox": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context(fixed):
        metadata = {"Date": None} if format == "svg" else {"Software": None}
        figure.savefig(buffer, format=format, dpi=192, facecolor="white", metadata=metadata)
    return buffer.getvalue()


def pixels(figure: Any) -> Any:
    """A figure as [H, W, 3], uint8, at its size in CSS pixels."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(96)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
