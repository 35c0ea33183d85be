import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

from ae_jax.core import InputError
from ae_jax.plots import (
    Estimate,
    against,
    bars,
    filters,
    lines,
    plane,
    reconstructions,
    scatter,
    scatters,
    spectrum,
    traverse,
    walk,
    walks,
)
from ae_jax.plots.layout import end_labels, separate
from ae_jax.plots.scatter import CLASSES
from ae_jax.plots.series import NOTHING
from ae_jax.plots.style import INK, figure, render

POINTS = np.array([[0, 0], [1, 0], [5, 1], [10, 10], [11, 10], [12, 40]], np.float32)
LABELS = np.array([3, 3, 3, 7, 7, 7])


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def _legend(drawn):
    return [text.get_text() for legend in drawn.legends for text in legend.get_texts()]


def _line(axes, index=0):
    return axes.lines[index].get_xdata().tolist(), axes.lines[index].get_ydata().tolist()


def _reference(axes):
    (index,) = (place for place, line in enumerate(axes.lines) if line.get_color() == INK)
    return _line(axes, index)


def test_scatter_names_each_class_at_its_median_in_its_colour():
    (axes,) = (drawn := scatter(POINTS, LABELS)).axes
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "3": pytest.approx((1, 0)),
        "7": pytest.approx((11, 10)),
    }
    (dots,) = axes.collections
    found = {
        tuple(at): to_hex(colour)
        for at, colour in zip(dots.get_offsets().tolist(), dots.get_facecolors(), strict=True)
    }
    assert found == {
        tuple(point): CLASSES[int(label == 7)]
        for point, label in zip(POINTS.tolist(), LABELS, strict=True)
    }
    assert _legend(drawn) == ["3", "7"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z1", "z2")
    assert axes.get_aspect() == 1


def test_scatter_takes_names_and_leaves_out_what_is_not_finite():
    points = np.where(POINTS == 40, np.nan, POINTS)
    (axes,) = (drawn := scatter(points, LABELS - 3, [*"abcde"])).axes
    assert _texts(axes) == ["a", "e"]
    assert "1 points" in drawn.get_supxlabel()
    (axes,) = scatter(np.full((2, 2), np.nan), [0, 1]).axes
    assert _texts(axes) == ["no point is finite"]


def test_panels_share_the_colours_of_classes_that_one_of_them_lacks():
    drawn = scatters({"before": (POINTS, LABELS), "after": (POINTS[3:], LABELS[3:])})
    before, after = drawn.axes
    assert (before.get_title(), after.get_title()) == ("before", "after")
    assert {to_hex(colour) for colour in after.collections[0].get_facecolors()} == {CLASSES[1]}
    assert _legend(drawn) == ["3", "7"]
    assert before.get_xticks().size == 0  # an embedding's axes mean nothing


def test_classes_beyond_ten_have_another_marker():
    points = np.random.default_rng(0).normal(size=(12, 2))
    (axes,) = scatter(points, np.arange(12)).axes
    assert [len(dots.get_offsets()) for dots in axes.collections] == [10, 2]
    with pytest.raises(InputError, match="31 classes"):
        scatter(np.zeros((31, 2)), np.arange(31))


@pytest.mark.parametrize(
    ("points", "labels", "names", "words"),
    [
        (np.zeros((4, 3)), np.zeros(4, int), None, r"must be \[N, 2\]"),
        (np.zeros((4, 2)), np.zeros(3, int), None, r"must be \[N, 2\]"),
        (np.zeros((0, 2)), np.zeros(0, int), None, r"must be \[N, 2\]"),
        (np.zeros((4, 2)), np.full(4, 2), ["a", "b"], "class 2 has no name"),
        (np.zeros((4, 2)), np.full(4, -1), ["a", "b"], "class -1 has no name"),
    ],
)
def test_scatter_refuses_what_it_cannot_draw(points, labels, names, words):
    with pytest.raises(InputError, match=words):
        scatter(points, labels, names)
    with pytest.raises(InputError, match="at least one panel"):
        scatters({})


def test_names_at_one_place_are_moved_apart():
    sizes = np.array([[20.0, 10.0], [30.0, 10.0], [20.0, 12.0], [20.0, 10.0]])
    centres = np.zeros((4, 2))
    centres[3] = 500
    moved = separate(centres, sizes)
    assert moved[3].tolist() == [500, 500]
    for first in range(4):
        for second in range(first):
            offset = np.abs(moved[first] - moved[second])
            assert (offset >= (sizes[first] + sizes[second]) / 2 - 1e-9).any()


def test_labels_at_line_ends_keep_their_order_and_a_distance():
    drawn = figure("", 6, 4)
    axes = drawn.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 10))
    heights = [5.0, 5.01, 9.99, 0.2]
    end_labels(axes, [(1, height, str(height), "black") for height in heights], "heading")
    assert _texts(axes) == ["5.0", "5.01", "9.99", "0.2", "heading"]
    places = np.array([text.get_position()[1] for text in axes.texts])
    assert np.argsort(places).tolist() == [3, 0, 1, 2, 4]
    # A line of 14 points at 1.35 spacing in 77% of 4 inches, matplotlib's default height.
    assert np.diff(np.sort(places)).min() == pytest.approx(1.35 * 14 / 72 / (0.77 * 4))
    assert places.max() <= 1
    assert places[:2].mean() == pytest.approx(0.5005)  # neither is moved more than the other


def doubled(latent):
    return 2 * latent.reshape(-1, 2, 1, 1)


def test_one_dimension_at_a_time_is_moved():
    images = traverse(doubled, jnp.array([1.0, 3.0]), np.array([-1.0, 5.0]))
    assert images[..., 0, 0].tolist() == [[[-2, 6], [10, 6]], [[2, -2], [2, 10]]]


def test_a_plane_is_laid_out_by_its_two_latents():
    images = plane(doubled, np.array([[0.0, 1.0], [3.0, 4.0]]))
    assert images[..., 0, 0].tolist() == [[[0, 6], [0, 8]], [[2, 6], [2, 8]]]


def test_a_walk_is_a_straight_line_with_both_ends(x64):
    start, end = jnp.array([0.0, 4.0]), jnp.array([1.0, -4.0])
    images = walk(doubled, start, end, 5)
    assert images.shape == (5, 2, 1, 1)
    assert images[:, :, 0, 0].tolist() == [[0, 8], [0.5, 4], [1, 0], [1.5, -4], [2, -8]]
    for wrong in ((start, end[:1], 5), (start[None], end[None], 5), (start, end, 1)):
        with pytest.raises(InputError, match="two latents"):
            walk(doubled, *wrong)


def test_walks_lie_between_their_examples():
    images = np.full((2, 3, 4, 4, 1), 0.4)
    drawn = walks(images, np.zeros((2, 4, 4, 1)), np.full((2, 4, 4, 1), 0.8))
    (axes,) = drawn.axes
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["example", "0", "0.5", "1", "example"]
    picture = np.asarray(axes.images[0].get_array())[..., 0]
    middle = picture.shape[1] // 10
    assert picture[middle, middle :: 2 * middle].tolist() == [0, 102, 102, 102, 204]
    assert [patch.get_xy() for patch in axes.patches] == [
        (-0.5, -0.5), (-0.5, 0.5), (3.5, -0.5), (3.5, 0.5),
    ]  # fmt: skip
    for starts, ends in ((np.zeros((1, 4, 4, 1)), np.zeros((2, 4, 4, 1))),
                         (np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 5, 1)))):  # fmt: skip
        with pytest.raises(InputError, match="walks need"):
            walks(images, starts, ends)


def test_filters_are_sorted_by_norm_on_a_scale_of_their_own():
    kernel = np.zeros((4, 3))
    kernel[:, 1] = [2, -2, 0, 1]
    kernel[0, 2] = 5
    (axes,) = (drawn := filters(kernel, (2, 2, 1), columns=3)).axes
    (bar,) = axes.child_axes
    picture = np.asarray(axes.images[0].get_array())
    picture = picture.astype(int)
    tile = picture.shape[0]

    def pixel(unit, row, column):
        return picture[tile // 4 + row * tile // 2, unit * tile + tile // 4 + column * tile // 2]

    red, blue, grey = ([179, 3, 38], [58, 76, 192], [221, 220, 219])  # of the colour map
    assert pixel(0, 0, 0) == pytest.approx(red, abs=2)  # 5
    assert pixel(1, 0, 0) == pytest.approx(red, abs=2)  # 2, the largest of its own
    assert pixel(1, 0, 1) == pytest.approx(blue, abs=2)  # -2
    assert pixel(0, 1, 1) == pytest.approx(grey, abs=2)
    assert pixel(1, 1, 0) == pytest.approx(grey, abs=2)
    assert pixel(2, 0, 0) == pytest.approx(grey, abs=2)  # a dead unit
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["\N{MINUS SIGN}max", "0", "max"]
    assert "all filters by norm" in drawn.get_supxlabel()
    assert "2 of 3 filters" in filters(kernel, (2, 2, 1), 2).get_supxlabel()


def test_filters_of_colour_images_are_grey_at_zero():
    kernel = np.zeros((12, 1))
    kernel[0], kernel[1] = 3, -3
    (axes,) = filters(kernel, (2, 2, 3)).axes
    picture = np.asarray(axes.images[0].get_array())
    part = len(picture) // 4
    assert picture[part, part].tolist() == [255, 0, 128]
    assert picture[3 * part, 3 * part].tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [(np.zeros((5, 3)), (2, 2, 1)), (np.zeros((3, 4)), (2, 2, 1)), (np.zeros((4, 3)), (2, 2))],
)
def test_filters_refuse_a_kernel_that_sees_no_image(kernel, shape):
    with pytest.raises(InputError, match="need a kernel"):
        filters(kernel, shape)


def _rows(settings):
    return [
        {"lane": lane, "size": size, "seed": seed, "status": "ok", "error": 10 / (lane + 1)}
        for lane, (size, seed) in enumerate((size, seed) for size in settings for seed in (0, 1))
    ]


def test_against_draws_a_reference_beside_the_sweep():
    pca = {64: 1.0, 2: 8.0, 4.0: 6.0, 8: 3.0}
    (axes,) = against(_rows((2, 4, 8)), "size", "error", {"PCA": pca}, "ours").axes
    assert _reference(axes) == ([2, 4, 8, 64], [8, 6, 3, 1])
    assert _texts(axes) == ["ours", "PCA"]
    assert axes.texts[1].xy == (64, 1.0)
    assert len(against(_rows((2, 4, 8)), "size", "error").axes[0].texts) == 0


def test_a_reference_of_a_categorical_axis_lies_at_its_values():
    rows = _rows((0, 1e-3, 1.0))  # evenly spaced: they would lie on top of each other
    (axes,) = against(rows, "size", "error", {"PCA": {0.0: 8.0, 0.5: 5.0, 1: 2.0}}).axes
    assert _reference(axes) == ([0, 2], [8, 2])
    (axes,) = against(_rows(("relu", "tanh")), "size", "error", {"a": {"tanh": 2.0}}).axes
    assert _reference(axes) == ([1], [2])
    with pytest.raises(InputError, match="'PCA' has no finite value"):
        against(rows, "size", "error", {"PCA": {0.5: 5.0, 1: np.nan}})
    frozen = [row | {"status": "frozen"} for row in rows]
    render(against(frozen, "size", "error", {"PCA": {0: 1.0}}), "png")


def test_a_spectrum_is_a_line_per_weight_in_order():
    values = {1.0: [2.0, 1e-1, 1e-3], 0.0: [4.0, 2.0, 1.0], 10.0: [1.0, 1e-2, 1e-9]}
    (axes,) = (drawn := spectrum(values, name="weight")).axes
    assert _line(axes) == ([1, 2, 3], [4, 2, 1])
    assert _line(axes, 2) == ([1, 2], [1, 1e-2])
    assert _texts(axes) == ["0", "1", "10", "weight"]
    assert axes.get_yscale() == "log"
    assert "1 values below a millionth" in drawn.get_supxlabel()
    for nothing in ({"a": [0.0, np.nan]}, {"a": [np.inf]}, {}):
        (axes,) = spectrum(nothing).axes
        assert _texts(axes) == ["no value is finite and above 0"]
    for wrong in ({"a": np.ones((2, 2))}, {"a": []}):
        with pytest.raises(InputError, match="spectrum"):
            spectrum(wrong)


def test_lines_have_bands_and_names():
    series = {"scratch": ([100, 50, 1000], [0.6, 0.4, 0.9], [0.1, 0.2, 0.0]),
              "pre-trained": ([50, 100], [0.5, 0.8], None)}  # fmt: skip
    drawn = lines(series, "labels", "accuracy", log_x=True, level=0.1)
    (axes,) = drawn.axes
    assert _line(axes, 1) == ([50, 100, 1000], [0.4, 0.6, 0.9])
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    assert edges[edges[:, 0] == 50, 1].min() == pytest.approx(0.2)
    assert edges[edges[:, 0] == 50, 1].max() == pytest.approx(0.6)
    assert _texts(axes) == ["scratch", "pre-trained"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["50", "100", "1000"]
    assert axes.get_xscale() == "log"
    assert "standard deviation" in drawn.get_supxlabel()
    assert not lines({"": ([1, 2], [1, 2], None)}, "x", "y").axes[0].texts
    for nothing in ({}, {"a": ([1, 2], [np.nan, np.nan], None)}):  # as where all lanes are frozen
        assert _texts(lines(nothing, "x", "y", log_x=True, log_y=True).axes[0]) == [NOTHING]


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ({"a": ([1, 2], [1], None)}, "of one length"),
        ({"a": ([1, 2], [1, 2], [1])}, "of one length"),
        ({"a": ([], [], None)}, "of one length"),
        ({"a": ([0, 2], [1, 2], None)}, "x = 0 on a logarithmic axis"),
    ],
)
def test_lines_refuse_what_is_no_curve(series, words):
    with pytest.raises(InputError, match=words):
        lines(series, "x", "y", log_x=True)


def test_bars_stand_on_zero_and_say_their_values():
    table = {"pixels": {"linear": (0.9, 0.02), "k-NN": Estimate(0.95, 0.01, 5)},
             "latents": {"SVM": 0.975, "linear": Estimate(0.5, float("nan"), 1)}}  # fmt: skip
    (axes,) = (drawn := bars(table, "accuracy")).axes
    heights = {
        patch.get_height(): patch.get_x() + patch.get_width() / 2
        for patch in axes.patches
        if patch.get_height() > 0
    }
    assert sorted(heights) == [0.5, 0.9, 0.95, 0.975]
    assert -0.5 < heights[0.9] < heights[0.95] < 0.5 < heights[0.5] < heights[0.975] < 1.5
    assert heights[0.95] == pytest.approx(0)
    assert _texts(axes) == ["0.900", "0.500", "0.950", "0.975"]
    assert _legend(drawn) == ["linear", "k-NN", "SVM"]
    assert axes.get_ylim()[0] == 0
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["pixels", "latents"]
    with pytest.raises(InputError, match="bar"):
        bars({"pixels": {"SVM": (1, 2, 3, 4)}}, "accuracy")
    for nothing in ({}, {"pixels": {}}):
        assert _texts(bars(nothing, "accuracy").axes[0]) == [NOTHING]


def test_rows_of_images_can_be_noisy_denoised_and_original():
    images = np.zeros((3, 4, 4, 1))
    (axes,) = reconstructions(images, {"denoised": images, "original": images}, "noisy").axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["noisy", "denoised", "original"]
