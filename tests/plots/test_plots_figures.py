import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from ae_jax.core import InputError
from ae_jax.plots import (
    against,
    image_grid,
    image_rows,
    learning_curves,
    manifold,
    rate_distortion,
    reconstructions,
    traversals,
)
from ae_jax.plots.style import render


def _sweep(settings=(1.0, 4.0), seeds=2, frozen=(), name="beta", rates=(None,)):
    rows = []
    for setting in settings:
        for rate in rates:
            for seed in range(seeds):
                lane = len(rows)
                stopped = lane in frozen
                rows.append(
                    {"lane": lane, name: setting}
                    | ({} if rate is None else {"learning_rate": rate})
                    | {"seed": seed, "status": "frozen" if stopped else "ok"}
                    | {"frozen_step": 15 if stopped else None, "kl": 20.0 - lane}
                    | {"reconstruction": 50.0 + lane, "mig": 0.1 + 0.01 * lane}
                )
    return rows


def _records(rows, metric="loss"):
    return [
        {"step": step, "split": split, "lane": row["lane"], metric: 100.0 - step + row["lane"]}
        for row in rows
        for split in ("train", "validation")
        for step in (0, 10, 20)
    ]


def _lines(axes, style):
    return [line for line in axes.lines if line.get_linestyle() == style]


def _crosses(axes):
    return [line for line in axes.lines if line.get_marker() == "x"]


def _texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def _points(axes):
    return sum(len(collection.get_offsets()) for collection in axes.collections
               if hasattr(collection, "get_sizes") and len(collection.get_sizes()))  # fmt: skip


def test_curves_are_a_line_per_lane_and_split_coloured_by_the_hyperparameter():
    rows = _sweep()
    figure = learning_curves(_records(rows), "loss", rows)
    (axes,) = figure.axes
    assert len(_lines(axes, "--")) == len(_lines(axes, "-")) == 4
    colours = [to_hex(line.get_color()) for line in _lines(axes, "-")]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert _texts(figure) == ["1", "4", "train", "validation"]
    assert figure.legends[0].get_title().get_text() == "β"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training step", "loss")


def test_a_frozen_lane_ends_in_a_cross_at_its_step_and_does_not_set_the_scale():
    rows = _sweep(frozen=(3,))
    records = _records(rows)
    records += [{"step": s, "split": "train", "lane": 3, "loss": 1e30} for s in (14, 16)]
    figure = learning_curves(records, "loss", rows)
    (axes,) = figure.axes
    (cross,) = _crosses(axes)
    assert cross.get_xdata() == [15]
    assert axes.get_ylim()[0] < cross.get_ydata()[0] < axes.get_ylim()[1] < 200
    assert max(_lines(axes, "--")[-1].get_xdata()) == 14  # nothing after it stopped
    assert "stopped: not finite" in _texts(figure)


def test_curves_where_every_lane_is_frozen_before_any_finite_value():
    rows = _sweep(frozen=range(4))
    records = [{"step": 0, "split": "train", "lane": n, "loss": math.nan} for n in range(4)]
    (axes,) = learning_curves(records, "loss", rows).axes
    assert [cross.get_xdata()[0] for cross in _crosses(axes)] == [15] * 4
    render(axes.figure, "png")


def test_a_step_written_twice_counts_once():
    rows = _sweep(settings=(1.0,), seeds=1)
    records = [{"step": 0, "split": "train", "lane": 0, "loss": y} for y in (3.0, 2.0)]
    (axes,) = learning_curves(records, "loss", rows).axes
    assert list(axes.lines[0].get_ydata()) == [2.0]


def test_other_hyperparameters_have_a_panel_each():
    rows = _sweep(rates=(0.001, 0.01))
    figure = learning_curves(_records(rows), "loss", rows)
    assert [axes.get_title() for axes in figure.axes] == [
        "learning rate = 0.001", "learning rate = 0.01",
    ]  # fmt: skip
    assert all(len(axes.lines) == 8 for axes in figure.axes)
    figure = learning_curves(_records(rows), "loss", rows, hyperparameter="learning_rate")
    assert [axes.get_title() for axes in figure.axes] == ["β = 1", "β = 4"]


def test_curves_take_a_logarithmic_axis_where_it_helps():
    rows = _sweep(settings=(1.0,), seeds=1)
    for values, scale in (((500.0, 10.0), "log"), ((12.0, 10.0), "linear"), ((9, -3), "linear")):
        records = [
            {"step": s, "split": "train", "lane": 0, "loss": v} for s, v in enumerate(values)
        ]
        assert learning_curves(records, "loss", rows).axes[0].get_yscale() == scale


def test_curves_refuse_a_metric_that_nobody_wrote():
    rows = _sweep()
    with pytest.raises(InputError, match=r"no column 'elbo'.*loss"):
        learning_curves(_records(rows), "elbo", rows)
    with pytest.raises(InputError, match="no record belongs"):
        learning_curves(_records(rows), "loss", [{**rows[0], "lane": 99}])


def test_rate_distortion_joins_seed_means_and_labels_them():
    rows = _sweep(seeds=2)
    (axes,) = rate_distortion(rows).axes
    # lanes 0, 1: rates 20, 19 and distortions 50, 51; lanes 2, 3: 18, 17 and 52, 53
    assert list(axes.lines[0].get_xdata()) == [19.5, 17.5]
    assert list(axes.lines[0].get_ydata()) == [50.5, 52.5]
    assert [text.get_text() for text in axes.texts] == ["β = 1", "β = 4"]
    assert _points(axes) == 4
    assert axes.get_xlabel() == "rate: KL (nats)"
    assert axes.get_ylabel() == "distortion: reconstruction (nats)"


def test_against_draws_every_seed_the_mean_and_its_spread():
    rows = _sweep(settings=(1.0, 2.0, 4.0), seeds=3, frozen=(8,))
    (axes,) = (figure := against(rows, "beta", "mig")).axes
    assert list(axes.lines[0].get_xdata()) == [1.0, 2.0, 4.0]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.11, 0.14, 0.165])
    assert _points(axes) == 8  # nine seeds, one of them frozen
    (segment,) = axes.containers[0][2][0].get_segments()[:1]
    assert segment[:, 1] == pytest.approx([0.10, 0.12])  # 0.11 ± 0.01
    assert "1 of 9 lanes stopped early" in figure.get_supxlabel()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("β", "MIG")


@pytest.mark.parametrize(
    ("settings", "scale", "ticks", "joined"),
    [
        ((1.0, 2.0, 4.0, 8.0), "log", ["1", "2", "4", "8"], True),
        ((1.0, 2.0, 3.0), "linear", ["1", "2", "3"], True),
        ((0.0, 1e-3, 1.0), "linear", ["0", "0.001", "1"], True),
        (("relu", "tanh"), "linear", ["relu", "tanh"], False),
        ((3.0,), "linear", ["3"], True),
    ],
)
def test_against_lays_its_axis_out_by_the_values(settings, scale, ticks, joined):
    (axes,) = (figure := against(_sweep(settings, seeds=1), "beta", "mig")).axes
    assert axes.get_xscale() == scale
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
    assert (axes.lines[0].get_linestyle() == "-") == joined
    if 0.0 in settings:  # values that would lie on top of each other are spaced evenly
        assert list(axes.lines[0].get_xdata()) == [0, 1, 2]
    render(figure, "png")


@pytest.mark.parametrize("draw", [rate_distortion, lambda rows: against(rows, "beta", "mig")])
def test_sweep_figures_say_so_where_no_lane_finished(draw):
    (axes,) = (figure := draw(_sweep(frozen=range(4)))).axes
    assert [text.get_text() for text in axes.texts] == ["no lane has a finite result"]
    assert "4 of 4 lanes" in figure.get_supxlabel()
    with pytest.raises(InputError, match="no rows"):
        draw([])
    with pytest.raises(InputError, match="no column"):
        draw([{"lane": 0, "seed": 0}])


def test_other_hyperparameters_make_a_curve_each():
    rows = _sweep(rates=(0.001, 0.01))
    for figure in (rate_distortion(rows), against(rows, "beta", "mig")):
        assert _texts(figure) == ["learning rate = 0.001", "learning rate = 0.01"]


def _picture(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


@pytest.mark.parametrize("channels", [1, 3])
def test_reconstructions_are_rows_under_their_inputs(channels):
    black, white = np.zeros((5, 8, 8, channels)), np.ones((5, 8, 8, channels))
    figure = reconstructions(black, {"β = 1": white, "β = 4": 2 * white})
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["input", "β = 1", "β = 4"]
    picture = _picture(figure)
    third = picture.shape[0] // 3
    assert (picture[third // 2, third // 2] == 0).all()
    assert (picture[third + third // 2, third // 2] == 255).all()
    with pytest.raises(InputError, match="same examples"):
        reconstructions(black, {"β = 1": white[:3]})
    with pytest.raises(InputError, match="no row"):
        image_rows({})


@pytest.mark.parametrize("count", [2, 16])
@pytest.mark.parametrize("label", ["", "0", "a label of thirty-two characters", 20 * "W"])
def test_labels_of_rows_are_inside_the_figure_and_beside_their_images(label, count):
    images = np.zeros((count, 8, 8, 1))
    for figure in (
        image_rows({label: images, "1": images}),
        reconstructions(images, {"1": images}, label),
    ):
        render(figure, "png")
        box = figure.axes[0].get_tightbbox()
        assert 0 <= box.x0 < 0.8 * figure.dpi
        assert box.x1 <= figure.bbox.width


def test_a_pixel_that_is_not_a_number_is_seen():
    images = np.zeros((1, 4, 4, 1))
    images[0, 0, 0] = np.nan
    picture = _picture(image_grid(images))
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
    assert (230, 158, 0) in colours


def test_traversals_put_the_dimension_that_carries_most_first():
    images = np.stack([np.full((3, 6, 6, 1), level) for level in (0.2, 0.6, 1.0)])
    figure = traversals(images, [-1, 0, 1], scores=[0.5, 2.0, np.nan])
    (axes,) = figure.axes
    assert [tick.get_text().split() for tick in axes.get_yticklabels()] == [
        ["z2", "2.00"], ["z1", "0.50"], ["z3", "nan"],
    ]  # fmt: skip
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["\N{MINUS SIGN}1", "0", "1"]
    picture = _picture(figure)
    third = picture.shape[0] // 3
    assert [picture[third * k + third // 2, third // 2, 0] for k in range(3)] == [153, 51, 255]
    with pytest.raises(InputError, match="3 dimensions at 3 values"):
        traversals(images, [-1, 0], scores=[1, 2, 3])


def test_the_manifold_has_its_first_dimension_to_the_right_and_its_second_upwards():
    values = np.array([0.0, 1.0])
    images = np.zeros((2, 2, 4, 4, 1))
    images[1, 0] = 0.2  # z1 = 1, z2 = 0: bottom right
    images[0, 1] = 1.0  # z1 = 0, z2 = 1: top left
    picture = _picture(manifold(images, values))
    middle = picture.shape[0] // 4  # of the first tile
    assert picture[middle, middle, 0] == 255
    assert picture[3 * middle, 3 * middle, 0] == 51
    assert picture[middle, 3 * middle, 0] == 0
    with pytest.raises(InputError, match="as many values"):
        manifold(images, [0.0])


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 2), (0, 8, 8, 1)])
def test_images_of_another_layout_are_refused(shape):
    with pytest.raises(InputError, match="got shape"):
        image_grid(np.zeros(shape))


def test_a_grid_shows_every_image():
    (axes,) = image_grid(np.zeros((7, 4, 4, 1))).axes
    dark = (_picture(axes.figure) == 0).all(axis=-1).sum()
    scale = 48 // 4
    assert dark == 7 * (4 * scale) ** 2
