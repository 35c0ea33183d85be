import numpy as np
import pytest
from matplotlib.colors import to_hex

from ae_jax.core import InputError
from ae_jax.plots import located, neighbours, spelled, style, time_series


def _texts(figure):
    (axes,) = figure.axes
    return {
        (round(text.get_position()[0]), round(text.get_position()[1])): text for text in axes.texts
    }


def test_a_panel_per_series_with_a_line_per_model():
    inputs = np.sin(np.arange(40.0)).reshape(5, 8)
    figure = time_series(inputs, {"lstm": inputs + 1, "gru": inputs - 1}, list("abcde"))
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == list("abcde")
    for axes, row in zip(shown, inputs, strict=True):
        drawn = [line.get_ydata() for line in axes.lines]
        np.testing.assert_allclose(drawn, [row, row + 1, row - 1])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["input", "lstm", "gru"]
    style.render(figure, "png")


def test_where_series_differ_is_shaded_above_and_below():
    inputs = np.sin(np.arange(16.0)).reshape(2, 8)
    inside = np.array([[0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]], bool)
    figure = located(inputs, inside, {"a": inputs + 1}, {"a": inputs**2, "b": inputs**4}, "xy")
    top, bottom = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title() for axes in figure.axes] == ["x", "y", "", ""]
    for axes, lines in ((top, (inputs, inputs + 1)), (bottom, (inputs**2, inputs**4))):
        for index, own in enumerate(axes):
            drawn = [line.get_ydata() for line in own.lines]
            np.testing.assert_allclose(drawn, [line[index] for line in lines])
            (shade,) = own.patches
            found = [shade.get_x(), shade.get_x() + shade.get_width()]
            assert found == [[1.5, 3.5], [6.5, 7.5]][index]
    assert top[0].lines[1].get_color() == bottom[0].lines[0].get_color()
    assert bottom[0].get_yscale() == "log"
    assert bottom[0].get_ylim()[0] == pytest.approx(1e-4 * np.max(inputs**2))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["input", "fault", "a", "b"]
    style.render(figure, "png")


def test_wrong_and_missing_letters_stand_out():
    figure = spelled(["word", "an"], {"lstm": ["wird", "and"], "gru": ["wor", "an"]})
    texts = _texts(figure)
    lstm = next(x for (x, y), text in texts.items() if text.get_text() == "lstm")
    gru = next(x for (x, y), text in texts.items() if text.get_text() == "gru")
    wrong = {
        (x, y): text.get_text()
        for (x, y), text in texts.items()
        if to_hex(text.get_color()) == "#d55e00"
    }
    assert wrong == {(lstm + 1, 1): "i", (lstm + 2, 2): "d", (gru + 3, 1): "_"}
    assert "".join(texts[x, 1].get_text() for x in range(4)) == "word"
    style.render(figure, "png")


def test_neighbours_stand_beside_their_word():
    figure = neighbours({"list": ["lists", "last"], "class": ["clash"]}, "near")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"list", "lists, last", "class", "clash"}
    style.render(figure, "png")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: time_series(np.zeros((2, 3)), {"a": np.zeros((2, 4))}), r"\[2, 4\]"),
        (lambda: time_series(np.zeros(3), {"a": np.zeros(3)}), r"pass both \[N, T\]"),
        (lambda: located(np.zeros((1, 3)), np.zeros((1, 4)), {}, {}, "a"), r"'inside' is \[1, 4\]"),
        (lambda: located(np.zeros(3), np.zeros(3), {}, {}, "a"), r"pass both \[N, T\]"),
        (lambda: spelled(["a"], {"m": ["a", "b"]}), "word 1, m 2"),
        (lambda: spelled([], {}), "at least 1"),
        (lambda: neighbours({}), "no word"),
    ],
)
def test_refuses(draw, message):
    with pytest.raises(InputError, match=message):
        draw()
