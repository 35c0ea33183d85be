import io

import numpy as np
import pytest

from ae_jax.core import InputError
from ae_jax.plots import animation, dots, film, histograms, lines, write_report
from ae_jax.plots.animation import gif
from ae_jax.plots.series import NOTHING


def frames(count=5):
    return np.random.RandomState(0).uniform(size=(count, 8, 4, 4, 1))


def test_an_animation_has_its_frames_and_a_strip_that_fills_up():
    from PIL import Image

    moving = animation(frames(), rows=2, milliseconds=50, name="particles")
    with Image.open(io.BytesIO(gif(moving))) as opened:
        assert opened.n_frames == 5
        assert opened.size == moving.frames.shape[2:0:-1]
    strip = moving.frames[:, -1, :, 0]
    filled = (strip == strip[-1, 0]).sum(axis=1)
    np.testing.assert_array_equal(np.diff(filled) > 0, True)
    assert filled[-1] == moving.frames.shape[2]


def test_a_report_shows_an_animation(tmp_path):
    moving = animation(frames(), name="particles")
    page = write_report(tmp_path, "title", {}, [], [], {"Particles that move.": moving})
    assert (tmp_path / "figures" / "particles.gif").read_bytes() == gif(moving)
    assert "data:image/gif;base64," in page.read_text()


def test_a_film_has_a_frame_of_each_figure():
    figures = [lines({"a": ([1, 2], [1.0, y], None)}, "step", "loss") for y in (1, 2, 2)]
    shown = film(figures, milliseconds=30)
    width, height = (round(96 * inches) for inches in figures[0].get_size_inches())
    assert abs(shown.frames.shape[2] - width) <= 1
    assert abs(shown.frames.shape[1] - 6 - height) <= 1
    assert shown.get_label() == figures[0].get_label()
    assert np.any(shown.frames[0, :-6] != shown.frames[1, :-6])
    np.testing.assert_array_equal(shown.frames[1, :-6], shown.frames[2, :-6])
    with pytest.raises(InputError, match="figures of one size, at least one"):
        film([])


@pytest.mark.parametrize("shape", [(5, 8, 4, 4), (5, 8, 4, 4, 2), (5, 3, 4, 4, 1)])
def test_what_cannot_be_animated_is_refused(shape):
    with pytest.raises(InputError, match="an animation needs"):
        animation(np.zeros(shape))


def test_histograms_share_bins_and_sum_to_a_hundred_percent():
    figure = histograms({"a": [0.0, 1.0, np.nan], "b": np.full(10, 0.25)}, "weight")
    shares = [patch.get_data() for patch in figure.axes[0].patches]
    assert len(shares) == 4  # an outline and an area for each label
    for values, edges, _ in shares:
        assert values.sum() == pytest.approx(100)
        np.testing.assert_allclose(edges[[0, -1]], [0, 1])
    figure = histograms({"a": [np.nan], "b": [0.5]}, "weight")
    assert len(figure.axes[0].patches) == 2
    (text,) = histograms({"a": [np.nan]}, "weight").axes[0].texts
    assert text.get_text() == "no value is finite"


def test_a_line_that_ends_early_is_led_to_its_name_by_dots():
    curves = {"short": ([1, 10], [1, 2], [0, 0]), "long": ([1, 100], [1, 3], [0, 0])}
    (axes,) = lines(curves, "x", "y").axes
    styles = {t.get_text(): t.arrow_patch.get_linestyle() for t in axes.texts}
    assert styles["long"] in ("-", "solid")
    assert styles["short"] == (0, (1, 3))


def test_many_dots_stand_below_each_other():
    table = {f"a way of many words, {i}": {"PSNR": (10.0 + i, 0.5)} for i in range(12)}
    (axes,) = (figure := dots(table, "PSNR (dB)")).axes
    assert figure.get_size_inches()[0] < 16
    assert axes.get_xlabel() == "PSNR (dB)"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(table)
    (points, *_) = axes.containers[0]
    np.testing.assert_allclose(points.get_xdata(), 10.0 + np.arange(12))
    np.testing.assert_array_equal(points.get_ydata(), np.arange(12))
    low, high = axes.get_ylim()
    assert low > high  # the first on top


def test_dots_are_at_their_values():
    table = {"CD-1": {"AIS": (-84.9, 0.1), "reverse AIS": -96.6}, "PCD": {"AIS": -85.0}}
    figure = dots(table, "log-likelihood (nats)")
    heights = [container.lines[0].get_ydata() for container in figure.axes[0].containers]
    np.testing.assert_array_equal(heights, [[-84.9, -85.0], [-96.6, np.nan]])
    low, high = figure.axes[0].get_ylim()
    assert low < -96.6 < -84.9 < high < -80
    (text,) = dots({}, "log-likelihood (nats)").axes[0].texts
    assert text.get_text() == NOTHING


def test_a_band_on_a_logarithmic_axis_ends_above_zero():
    series = {"a": ([1, 2], [1.0, 100.0], [5.0, 10.0]), "b": ([1, 2], [3.0, np.nan], None)}
    axes = lines(series, "step", "gap (nats)", log_y=True).axes[0]
    assert axes.get_yscale() == "log"
    (band,) = axes.collections
    edges = band.get_paths()[0].vertices
    found = {x: edges[edges[:, 0] == x, 1] for x in (1, 2)}
    assert (found[1].min(), found[1].max()) == (0.1, 6.0)  # 1 - 5 is below a tenth of 1
    assert (found[2].min(), found[2].max()) == (90.0, 110.0)


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_what_a_logarithmic_axis_cannot_show_is_refused(low):
    series = {"a": ([1, 2], [1.0, low], None)}
    lines(series, "step", "gap (nats)")
    with pytest.raises(InputError, match="logarithmic axis; leave it out"):
        lines(series, "step", "gap (nats)", log_y=True)
