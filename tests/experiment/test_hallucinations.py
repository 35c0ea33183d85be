"""Hallucinations against networks of one filter, whose activations NumPy has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ae_jax import data, methods, metrics, nets
from ae_jax.core import InputError
from ae_jax.experiment import hallucinations

KEY = jax.random.key(0)


class Filters(nn.Module):
    """The difference of neighbours, and the mean of four pixels, of every place."""

    @nn.compact
    def __call__(self, x):
        fine = nn.Conv(2, (1, 2), padding="VALID", use_bias=False, name="fine")(x)
        coarse = nn.Conv(2, (4, 4), padding="VALID", use_bias=False, name="coarse")(x)
        return jnp.concatenate([jnp.mean(y, axis=(1, 2)) for y in (fine, coarse)], axis=1)


@pytest.fixture(scope="module")
def dreamt():
    """Starts, parameters and what is hallucinated of them."""
    method = methods.classifier(nets.flax_network(Filters()), 2)
    starts = np.stack([np.full((8, 8, 1), 0.5), np.random.default_rng(0).uniform(size=(8, 8, 1))])
    starts = starts.astype(np.float32)
    batch = {"image": starts, "label": np.array([0, 1], np.int32)}
    state = jax.jit(method.init)(KEY, batch, method.hparams)
    fine = np.array([[1.0, -1.0], [-1.0, 1.0]]).T.reshape(1, 2, 1, 2)  # [1, 2, 1, channels]
    coarse = np.ones((4, 4, 1, 2)) / 16 * np.array([1.0, -1.0])
    encoder = {"fine": {"kernel": fine}, "coarse": {"kernel": coarse}}
    head = {"Dense_0": {"kernel": np.eye(4)[:, [1, 2]], "bias": np.zeros(2)}}
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), {"encoder": encoder, "head": head})
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, state.params)
    layers = [hallucinations.layer(method, name) for name in ("fine", "coarse")]
    dream = hallucinations.dreamer(method, layers, 1, (1,), 4, octaves=1)
    arguments = state._replace(params=params), method.hparams, starts
    return dream, arguments, jax.tree.map(np.asarray, dream(KEY, *arguments, 0.02))


def squares(image):
    """What the first channels of the layers show, of an image [H, W, 1], as means of squares."""
    x = image[..., 0]
    fine = np.maximum(x[:, :-1] - x[:, 1:], 0)
    coarse = np.lib.stride_tricks.sliding_window_view(x, (4, 4)).mean(axis=(2, 3))
    return np.mean(fine**2), np.mean(coarse**2)


def test_measures_are_those_of_the_images(dreamt):
    _, (_, _, starts), (images, measures) = dreamt
    assert images.shape == (2, 3, 8, 8, 1)
    assert {name: x.shape for name, x in measures.items()} == dict.fromkeys(measures, (2, 3))
    noisy = starts[1]
    for place in (0, 1):
        gain = squares(images[1, place])[place] / squares(noisy)[place]
        np.testing.assert_allclose(measures["gain"][1, place], gain, rtol=1e-4)
        assert gain > 1.05
        # noise of the same length does less
        assert 0.8 < measures["random_gain"][1, place] < 1 + 0.5 * (gain - 1)
        change = images[1, place] - noisy
        size = np.sqrt(np.mean(change**2))
        np.testing.assert_allclose(measures["change"][1, place], size, rtol=1e-4)
        centroid = metrics.frequency_centroid(change[None])[0]
        np.testing.assert_allclose(measures["centroid"][1, place], centroid, rtol=1e-3)
    # differences of neighbours are fine, means of four pixels a side are coarse
    assert measures["centroid"][1, 0] > 2 * measures["centroid"][1, 1]
    # an image without any difference stays as it is: no neighbour differs, and nothing pulls
    np.testing.assert_array_equal(images[0, 0], starts[0])
    before, after = (1 / (1 + np.exp(-logits(x))) for x in (noisy, images[1, 2]))
    np.testing.assert_allclose(measures["probability_before"][1, 2], before, rtol=1e-4)
    np.testing.assert_allclose(measures["probability_after"][1, 2], after, rtol=1e-4)
    assert after > before
    absent = np.isnan(measures["gain"][1]), ~np.isnan(measures["probability_after"][1])
    np.testing.assert_array_equal(absent, [[False, False, True]] * 2)


def logits(image):
    """Of class 1 less class 0: the mean of the third feature, a mean, less the second's."""
    x = image[..., 0]
    coarse = np.lib.stride_tricks.sliding_window_view(x, (4, 4)).mean()
    return coarse - np.mean(x[:, 1:] - x[:, :-1])


def test_what_cannot_be_emphasised_is_refused_from_shapes_alone(dreamt):
    _, (state, hparams, starts), _ = dreamt
    method = methods.classifier(nets.flax_network(Filters()), 2)
    fine = [hallucinations.layer(method, "fine")]

    def trial(layers, *arguments, **options):
        dream = hallucinations.dreamer(method, layers, *arguments, **options)
        jax.eval_shape(dream, KEY, state, hparams, starts, 0.1)

    with pytest.raises(InputError, match="a layer has 2 channels, and not 3: use fewer"):
        trial(fine, 3, (0,), 1)
    with pytest.raises(InputError, match=r"a label is \[.*2.*\]: use"):
        trial(fine, 1, (0, 2), 1)
    with pytest.raises(InputError, match="'Conv_7'; use one of: fine, coarse"):
        trial([hallucinations.layer(method, "Conv_7")], 1, (0,), 1)
    with pytest.raises(InputError, match="a scale of images 8x8"):
        trial(fine, 1, (0,), 1, octaves=12)


def test_numerals_before_photographs_are_the_same_digits_and_stand_out():
    plain = hallucinations.numerals(40, 20, ground=False)
    shown = hallucinations.numerals(40, 20)
    digits, images = (data.head(part.train, 40) for part in (plain, shown))
    np.testing.assert_array_equal(digits["label"], images["label"])
    assert shown.image_shape == (32, 32, 1)
    assert [part.size for part in shown] == [40, 20, 20]
    for digit, image in zip(np.asarray(digits["image"]), np.asarray(images["image"]), strict=True):
        # g (1 - d) + d is at least d, and g (1 - d) at most 1 - d
        white, black = np.all(image >= digit - 1e-6), np.all(image <= 1 - digit + 1e-6)
        assert white or black
        ground = image[digit == 0]
        assert np.std(ground) > 0
        if abs(np.mean(ground) - 0.5) > 0.1:  # what is under the digit counts too
            assert white == (np.mean(ground) < 0.5)


def test_a_photograph_is_its_middle_made_smaller():
    picture = data.photographs("all")["china"]
    luma = picture.astype(np.float64) @ [0.299, 0.587, 0.114] / 255
    rows, columns = ((length - 12) // 2 for length in luma.shape)
    middle = luma[rows:, columns:][:12, :12].reshape(4, 3, 4, 3).mean(axis=(1, 3))
    found = np.asarray(hallucinations.photograph("china", 4, 3, 2))
    np.testing.assert_allclose(found[0, ..., 0], middle, atol=1e-5)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    with pytest.raises(InputError, match="china has no square of 900 pixels a side"):
        hallucinations.photograph("china", 300, 3)


def test_what_excites_units_is_found_by_an_ascent_and_is_their_weights():
    slopes = np.random.default_rng(2).normal(size=(4, 3, 3, 1)).astype(np.float32)
    slopes *= np.array([3, 1, 4, 2])[:, None, None, None]
    flat = slopes.reshape(4, -1).T

    def features(x):
        return jax.nn.sigmoid(x.reshape(len(x), -1) @ flat / 9 + 0.5)

    climbed, known = hallucinations.excited(features, (3, 3, 1), 2, 3.0)
    longest = flat.T[[2, 0]]
    expected = 3 * longest / np.linalg.norm(longest, axis=1, keepdims=True)
    np.testing.assert_allclose(np.reshape(known, (2, -1)), expected, rtol=1e-4)
    np.testing.assert_allclose(climbed, known, atol=1e-4)
    grey = hallucinations.signed(np.stack([slopes[0], 0 * slopes[0]]))
    np.testing.assert_allclose(grey[0], 0.5 + slopes[0] / np.abs(slopes[0]).max() / 2, rtol=1e-6)
    np.testing.assert_array_equal(grey[1], 0.5)
