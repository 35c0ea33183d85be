import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import losses, metrics
from ae_jax.core import InputError
from ae_jax.losses.similarity import SCALE_WEIGHTS

pytestmark = pytest.mark.usefixtures("x64")
ssim = jax.jit(metrics.ssim)
multiscale = jax.jit(metrics.multiscale_ssim, static_argnames="weights")


def images(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random(shape)
    return np.clip(x + 0.3 * rng.normal(size=shape), 0, 1), x


def reference_ssim(x_hat, x, size):
    """Window by window, as the paper writes it, of images [H, W]; and of contrast and structure."""
    place = np.arange(size) - (size - 1) / 2
    window = np.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values, structures = [], []
    for i in range(x.shape[0] - size + 1):
        for j in range(x.shape[1] - size + 1):
            a, b = x_hat[i : i + size, j : j + size], x[i : i + size, j : j + size]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a = (window * (a - mean_a) ** 2).sum()
            var_b = (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            structures.append((2 * covariance + 9e-4) / (var_a + var_b + 9e-4))
            values.append(luminance * structures[-1])
    return np.mean(values), np.mean(structures)


def reference_multiscale(x_hat, x, sizes, weights):
    """Scale by scale, of images [H, W]; each is a mean of four of the one before."""
    product = 1.0
    for last, size, weight in zip(range(1 - len(sizes), 1), sizes, weights, strict=True):
        both, structure = reference_ssim(x_hat, x, size)
        product *= (structure if last else both) ** weight
        x_hat, x = (
            (a[:-1:2, :-1:2] + a[1::2, :-1:2] + a[:-1:2, 1::2] + a[1::2, 1::2]) / 4
            for a in (a[: len(a) // 2 * 2, : a.shape[1] // 2 * 2] for a in (x_hat, x))
        )
    return product


@pytest.mark.parametrize(
    ("shape", "size"),
    [((2, 14, 13, 1), 11), ((2, 8, 8, 3), 7), ((1, 11, 20, 1), 11), ((1, 9, 30, 1), 9)],
)
def test_ssim_equals_the_paper_s_definition(shape, size):
    x_hat, x = images(shape)
    expected = [
        np.mean([reference_ssim(a[..., c], b[..., c], size)[0] for c in range(shape[-1])])
        for a, b in zip(x_hat, x, strict=True)
    ]
    np.testing.assert_allclose(ssim(x_hat, x), expected, rtol=1e-10)
    assert np.all(np.asarray(expected) < 0.95)


def test_several_scales_equal_the_paper_s_definition():
    x_hat, x = images((1, 25, 27, 2))
    x_hat = 0.7 * x + 0.3 * x_hat
    weights = (0.2, 0.5, 0.3)
    each = [
        reference_multiscale(x_hat[0, ..., c], x[0, ..., c], (11, 11, 5), weights) for c in range(2)
    ]
    found = multiscale(x_hat, x, weights)
    np.testing.assert_allclose(found, [np.mean(each)], rtol=1e-10)
    np.testing.assert_allclose(multiscale(x_hat, x, (1.0,)), ssim(x_hat, x), rtol=1e-12)
    # brightness counts at the last scale alone
    offset = multiscale(x + 0.1, x, weights)
    quarter = x[0, :24, :24].reshape(6, 4, 6, 4, 2).mean((1, 3))
    at_last = [reference_ssim(quarter[..., c] + 0.1, quarter[..., c], 5) for c in range(2)]
    np.testing.assert_allclose(offset, [np.mean([both**0.3 for both, _ in at_last])], rtol=1e-10)


def test_several_scales_of_equal_images_are_1_and_have_a_slope():
    _, x = images((2, 12, 12, 1))
    weights = SCALE_WEIGHTS[:3]
    value = jax.jit(jax.value_and_grad(lambda y: jnp.sum(losses.multiscale_ssim(y, x, weights))))
    found, slope = value(x)
    np.testing.assert_allclose(found, 2, rtol=1e-12)
    np.testing.assert_allclose(slope, 0, atol=1e-10)
    # of opposed images a power would be no number
    found, slope = value(1 - x)
    assert 0 < found < 1
    assert np.all(np.isfinite(slope))


def test_what_has_too_few_pixels_for_the_scales_is_refused():
    x = np.zeros((1, 47, 60, 1))
    with pytest.raises(InputError, match="47x60 are too small for 5 scales, which need 48 pixels"):
        metrics.multiscale_ssim(x, x)
    with pytest.raises(InputError, match="no scale"):
        metrics.multiscale_ssim(x, x, ())
    for weights, message in ((0.5, "no scale"), ((-1.0,), r"weights\[0\] is -1.0: use 0 or more")):
        with pytest.raises(InputError, match=message):
            metrics.multiscale_ssim(x, x, weights)
    with pytest.raises(InputError, match=r"multi-scale ssim needs images \[B, H, W, C\]"):
        metrics.multiscale_ssim(x[0], x[0])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (2, 4, 4, 1), (2, 1, 5, 2)])
def test_ssim_of_equal_images_is_1_and_it_is_symmetric(shape, dtype):
    x_hat, x = (image.astype(dtype) for image in images(shape))
    # variances are differences of numbers of order 1, beside 9e-4
    tolerance = 4 * float(jnp.finfo(dtype).eps) / 9e-4
    np.testing.assert_allclose(ssim(x, x), 1, rtol=tolerance)
    there, back = np.asarray(ssim(x_hat, x)), np.asarray(ssim(x, x_hat))
    assert there.dtype == dtype
    np.testing.assert_allclose(there, back, rtol=tolerance)
    assert np.all(there < 1)


def test_ssim_of_constant_images_compares_their_means():
    a, b = 0.3, 0.7
    value = ssim(np.full((1, 12, 12, 1), a), np.full((1, 12, 12, 1), b))
    # no variance: (2 a b + C1) / (a^2 + b^2 + C1) = 0.4201 / 0.5801
    np.testing.assert_allclose(value, [0.4201 / 0.5801], rtol=1e-10)


def test_ssim_of_a_negative_is_negative():
    _, x = images((1, 12, 12, 1))
    assert np.asarray(ssim(1 - x, x)) < 0
