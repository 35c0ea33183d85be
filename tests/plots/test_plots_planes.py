"""Clouds and paths in planes, and densities with their samples."""

import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.plots import clouds, densities, envelopes, lines, moving_clouds, paths
from ae_jax.probability.sampling import Envelope

RANDOM = np.random.RandomState(0)


def offsets(axes):
    return [np.asarray(collection.get_offsets()) for collection in axes.collections]


def colours(axes):
    return [tuple(collection.get_facecolor()[0][:3]) for collection in axes.collections]


def test_clouds_share_axes_and_colours_and_say_what_lies_outside():
    real, near, far = RANDOM.uniform(size=(20, 2)), np.full((3, 2), 0.5), np.full((2, 2), 9.0)
    figure = clouds(
        {
            "a": {"data": real, "generated": near},
            "b": {"data": real, "generated": far, "other": near},
        }
    )
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["a", "b"]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[0] < real[:, 0].min()
    np.testing.assert_array_equal(offsets(first)[0], real)
    assert [len(found) for found in offsets(second)] == [20, 0, 3]
    assert colours(first)[0] == colours(second)[0]
    assert colours(second)[2] not in colours(first)
    assert figure._supxlabel.get_text() == "2 points lie outside"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["data", "generated", "other"]


def test_clouds_of_one_kind_need_no_legend_and_no_grey():
    figure = clouds({"": {"x": RANDOM.uniform(size=(5, 2))}}, ("z1", "z2"))
    assert not figure.legends
    assert colours(figure.axes[0])[0] == pytest.approx((0, 0x72 / 255, 0xB2 / 255))
    assert figure.axes[0].get_xlabel() == "z1"
    assert figure.axes[0].get_ylabel() == "z2"


def test_clouds_move_and_nothing_else_does():
    real = RANDOM.uniform(size=(20, 2))
    moving = np.linspace(0.2, 0.8, 3)[:, None, None] * np.ones((1, 4, 2))
    panels = {"a": {"data": real, "generated": moving}, "b": {"data": real, "generated": moving}}
    film = moving_clouds(panels, ["step 1", "step 1", "step 1"], milliseconds=40)
    assert (film.name, film.milliseconds, len(film.frames)) == ("moving_clouds", 40, 3)
    pictures = film.frames[:, :-6].astype(int)  # the strip below fills up
    blue = (pictures[..., 2] - pictures[..., 0] > 60) & (pictures[..., 0] < 150)
    places = [np.argwhere(frame[:, : frame.shape[1] // 2]).mean(axis=0) for frame in blue]
    assert np.all(np.diff(places, axis=0) * [-1, 1] > 20)  # upwards and to the right, row by row
    changed = np.any(pictures != pictures[:1], axis=(0, 3))
    assert 0 < changed.mean() < 0.01
    # a moment's name is in its frame
    named = moving_clouds(panels, ["step 1", "step 2", "step 3"]).frames[:, :-6]
    assert np.any(named[1] != film.frames[1, :-6])
    np.testing.assert_array_equal(named[0], film.frames[0, :-6])


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ({"a": {"x": np.zeros((2, 5, 2))}}, "a: 'x' has 2 places and there are 3 moments"),
        ({"a": {"x": np.zeros((3, 5, 3))}}, r"points of 'x' must be \[N, 2\]"),
        ({}, "there are no points to draw"),
    ],
)
def test_clouds_that_cannot_move_are_refused(panels, message):
    with pytest.raises(InputError, match=message):
        moving_clouds(panels, ["1", "2", "3"])


def test_paths_are_drawn_about_the_origin():
    path = np.array([[1.0, 1], [0, -3], [np.nan, 0]])
    figure = paths({"a": {"one": path, "two": path / 3}, "b": {"two": path / 2}}, ("x", "y"))
    first, second = figure.axes
    assert first.get_xlim() == (-first.get_xlim()[1], first.get_xlim()[1])
    assert 3 < first.get_ylim()[1] < 4
    assert 1.5 < second.get_ylim()[1] < 2
    drawn = {line.get_color() for line in first.lines if len(line.get_xdata()) == 3}
    assert len(drawn) == 2
    starts = [line.get_xydata()[0] for line in first.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(starts, [[1, 1], [1 / 3, 1 / 3]])


@pytest.mark.parametrize("draw", [clouds, paths])
def test_what_is_no_plane_is_refused(draw):
    with pytest.raises(InputError, match="at least one panel"):
        draw({})
    with pytest.raises(InputError, match=r"a: points of 'x' must be \[N, 2\], got \[3, 3\]"):
        draw({"a": {"x": np.zeros((3, 3))}})


def test_histograms_are_densities_of_all_samples():
    x = np.linspace(0.5, 2.5, 40)
    samples = np.concatenate([np.full(30, 1.01), np.full(10, 7.0)])
    die = np.array([1, 1, 2, 9])
    figure = densities({"cut": (samples, x, x), "die": (die, np.arange(1, 4), np.full(3, 0.25))})
    cut, counted = figure.axes
    values, edges, _ = cut.patches[0].get_data()
    # what lies outside is in no bar, but counts
    np.testing.assert_allclose(np.sum(values * np.diff(edges)), 0.75)
    np.testing.assert_allclose(edges[[0, -1]], [0.5, 2.5])
    values, edges, _ = counted.patches[0].get_data()
    np.testing.assert_allclose(values, [0.5, 0.25, 0])
    np.testing.assert_allclose(edges, [0.5, 1.5, 2.5, 3.5])
    assert counted.lines[0].get_linestyle() == "None"
    with pytest.raises(InputError, match=r"x and its density must be \[K\]"):
        densities({"a": (samples, x, x[1:])})
    with pytest.raises(InputError, match="at least one panel"):
        densities({})


def test_proposals_are_accepted_below_the_density():
    envelope = Envelope(lambda x: jnp.log(x), jnp.zeros_like, None, np.log(2.0))
    x = RANDOM.uniform(0.1, 1, size=200)
    accepted = RANDOM.uniform(size=200) < x / 2
    (axes,) = envelopes({"a": (envelope, x, accepted)}).axes
    rejected, taken = offsets(axes)
    assert (len(taken), len(rejected)) == (accepted.sum(), (~accepted).sum())
    assert np.all(taken[:, 1] <= taken[:, 0] + 1e-6)
    assert np.all((rejected[:, 1] >= rejected[:, 0] - 1e-6) & (rejected[:, 1] <= 2))
    density, above = (line.get_xydata() for line in axes.lines)
    np.testing.assert_allclose(density[:, 1], density[:, 0], rtol=1e-5)
    np.testing.assert_allclose(above[:, 1], 2, rtol=1e-5)


def test_curves_with_formulas_are_points():
    series = {"a": ([1, 2], [1.0, 2.0], None)}
    (axes,) = lines(series, "x", "y", formulas={"2x": ([0, 1, 2], [0, 2, 4])}).axes
    assert sorted(line.get_linewidth() == 0 for line in axes.lines) == [False, True]
    formula = next(line for line in axes.lines if line.get_linewidth() > 0)
    np.testing.assert_array_equal(formula.get_ydata(), [0, 2, 4])
    assert {text.get_text() for text in axes.texts} == {"a", "2x"}
    (axes,) = lines(series, "x", "y").axes
    assert axes.lines[0].get_linewidth() > 0
