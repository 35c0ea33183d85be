import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.plots import matrix


def test_a_matrix_has_its_numbers_in_its_cells():
    values = [[1.0, -0.5, np.nan], [0.25, 0.0, -1.0]]
    figure = matrix(values, ["kl", "learning_rate"], ["mig", "sap", "$5"], name="correlation")
    axes, bar = figure.axes
    written = [text.get_text().replace("\N{MINUS SIGN}", "-") for text in axes.texts]
    assert written == ["1.00", "-0.50", "0.25", "0.00", "-1.00"]
    places = [text.get_position() for text in axes.texts]
    assert places == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["KL", "learning rate"]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), values)
    assert axes.images[0].get_clim() == (-1, 1)
    assert bar.get_ylabel() == "correlation"
    middle = axes.images[0].cmap(0.5)
    assert min(middle[:3]) > 0.9  # white


def test_numbers_can_be_read_on_their_colours():
    dark, light = matrix([[1.0, 0.0]], ["a"], ["b", "c"], name="x").axes[0].texts
    assert (dark.get_color(), light.get_color()) == ("white", "#1a1a1a")


@pytest.mark.parametrize(
    ("values", "rows", "message"),
    [
        ([[1.0]], ["a", "b"], "are named"),
        (np.zeros((0, 0)), [], "are named"),
        ([[1.5]], ["a"], "beyond"),
        ([[-1.5]], ["a"], "beyond"),
    ],
)
def test_what_is_no_matrix_of_these_names_is_refused(values, rows, message):
    with pytest.raises(InputError, match=message):
        matrix(values, rows, name="x")
