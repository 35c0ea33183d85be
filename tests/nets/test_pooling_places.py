"""Places of the largest values, and back: by enumeration, and what both owe each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError

CASES = [((6, 4), (2, 2), "VALID"), ((5, 7), (2, 2), "SAME"), ((7, 5), (2, 3), "VALID")]
CASES += [((4, 7), (3, 3), "SAME")]  # a row and a column are added before as well
each = pytest.mark.parametrize(("size", "window", "padding"), CASES)


def image(size, count=2, channels=3, seed=0):
    # few values, so that there are ties
    return np.random.default_rng(seed).integers(-3, 4, (count, *size, channels)).astype(np.float64)


def by_enumeration(x, window, padding):
    """Values and places, window by window; what SAME adds is split, less of it before."""
    (rows, columns), (height, width) = window, x.shape[1:3]
    ceil = padding == "SAME"
    many = [-(-n // k) if ceil else n // k for n, k in ((height, rows), (width, columns))]
    low = [(many[a] * window[a] - x.shape[1 + a]) // 2 if ceil else 0 for a in (0, 1)]
    values, places = (np.zeros((len(x), *many, x.shape[3]), t) for t in (x.dtype, np.int64))
    for b, i, j, c in np.ndindex(values.shape):
        best = None
        for p in range(rows * columns):
            r, s = i * rows + p // columns - low[0], j * columns + p % columns - low[1]
            inside = 0 <= r < height and 0 <= s < width
            if inside and (best is None or x[b, r, s, c] > best[0]):
                best = x[b, r, s, c], p
        values[b, i, j, c], places[b, i, j, c] = best
    return values, places


@each
def test_pooling_tells_the_first_of_the_largest(x64, size, window, padding):
    x = image(size)
    values, places = nets.max_pool_with_places(x, window, padding)
    expected = by_enumeration(x, window, padding)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(places, expected[1])
    np.testing.assert_array_equal(values, nets.max_pool(x, window, padding=padding))


@each
def test_what_is_put_back_is_the_largest_at_its_place(x64, size, window, padding):
    x = image(size)
    values, places = nets.max_pool_with_places(x, window, padding)
    back = nets.unpool(values, places, size, window, padding)
    # x itself at one pixel of each window, 0 elsewhere
    assert back.shape == x.shape
    np.testing.assert_array_equal(back, np.where(back != 0, x, 0))
    assert np.sum(back) == np.sum(values)
    y = jnp.abs(values) + 1
    again = nets.max_pool_with_places(
        nets.unpool(y, places, size, window, padding), window, padding
    )
    np.testing.assert_array_equal(again[0], y)
    np.testing.assert_array_equal(again[1], places)
    # the adjoint of taking values at the places, which is the slope of pooling
    _, pull = jax.vjp(lambda x: nets.max_pool(x, window, padding=padding), x)
    np.testing.assert_array_equal(pull(y)[0], nets.unpool(y, places, size, window, padding))


def test_examples_do_not_depend_on_each_other(x64):
    x = image((5, 7), count=3)

    def there_and_back(x):
        return nets.unpool(*nets.max_pool_with_places(x, padding="SAME"), (5, 7), padding="SAME")

    mapped = jax.vmap(lambda one: there_and_back(one[None])[0])(x)
    np.testing.assert_array_equal(mapped, there_and_back(x))


def test_sizes_that_do_not_fit_are_refused():
    values, places = nets.max_pool_with_places(jnp.ones((1, 5, 7, 1)))
    with pytest.raises(InputError, match=r"pool images of 6x8 to 3x4; got y \[1, 2, 3, 1\]"):
        nets.unpool(values, places, (6, 8))
    with pytest.raises(InputError, match="pool images of 6x7 to 3x3"):  # of 5x7, 2x3
        nets.unpool(values, places, (6, 7))
    with pytest.raises(InputError, match="places"):
        nets.unpool(values, places[..., :0], (5, 7))
