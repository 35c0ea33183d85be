"""Patch discriminators see the windows that they are said to; U-Nets keep sides."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import nets
from ae_jax.core import InputError

#: gan_values.json, patchgan.receptive_field; 0 is patchgan.pixel.
FIELDS = {0: 1, 1: 16, 2: 34, 3: 70, 4: 142, 5: 286}
#: gan_values.json, patchgan.output_side: (layers, side of the images) -> side of the output.
SIDES = {
    (3, 256): 30,
    (3, 70): 6,
    (2, 64): 14,
    (1, 32): 14,
    (1, 28): 12,
    (2, 28): 5,
    (2, 32): 6,
    (0, 9): 9,
}


def shape(network, *sides):
    x = jax.ShapeDtypeStruct(sides, jnp.result_type(float))
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    return jax.eval_shape(network.apply, params, x).shape


def test_a_patch_discriminator_gives_a_logit_for_each_patch():
    for (layers, side), found in SIDES.items():
        assert shape(nets.patch(2, layers), 1, side, side, 3) == (1, found, found, 1)
    assert {n: nets.receptive_field(n) for n in FIELDS} == FIELDS


def test_channels_double_up_to_eightfold():
    x = jax.ShapeDtypeStruct((1, 96, 96, 3), jnp.float32)
    params = jax.eval_shape(nets.patch(4, 5).init, jax.random.key(0), x)
    kernels = [params[f"Conv_{i}"]["kernel"].shape for i in range(7)]
    widths = [3, 4, 8, 16, 32, 32, 32, 1]
    assert kernels == [(4, 4, *pair) for pair in itertools.pairwise(widths)]
    params = jax.eval_shape(nets.patch(4, 0).init, jax.random.key(0), x)
    assert [params[f"Conv_{i}"]["kernel"].shape for i in range(3)] == [
        (1, 1, 3, 4), (1, 1, 4, 8), (1, 1, 8, 1),
    ]  # fmt: skip


def parameters(network, x, positive=False):
    """Without a compilation: normal numbers, or such above 0."""
    random = np.random.default_rng(0)

    def drawn(leaf):
        numbers = random.normal(size=leaf.shape).astype(leaf.dtype)
        return np.abs(numbers) if positive else numbers

    return jax.tree.map(drawn, jax.eval_shape(network.init, jax.random.key(0), x))


def slope(network, x, positive=False):
    """Of a logit near the middle by the image, [H, W]."""
    params = parameters(network, x, positive)
    middle = shape(network, *x.shape)[1] // 2
    found = jax.jit(jax.grad(lambda x: network.apply(params, x)[0, middle, middle, 0]))(x)
    return np.asarray(found)[0, ..., 0]


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_a_logit_depends_on_its_window_and_nothing_else(layers):
    field = FIELDS[layers]
    side = 2 * field + 2**layers
    # of kernels that are all above 0 nothing cancels
    found = slope(nets.patch(1, layers), np.ones((1, side, side, 1), np.float32), positive=True)
    for axis in (0, 1):
        seen = np.flatnonzero(np.any(found, axis=1 - axis))
        assert len(seen) == field == seen[-1] - seen[0] + 1


def test_with_instance_normalisation_it_depends_on_the_whole_image():
    x = np.random.default_rng(1).normal(size=(1, 40, 40, 1)).astype(np.float32)
    assert np.all(np.any(slope(nets.patch(2, 1, "instance"), x), axis=0))


def test_instance_norm():
    x = (np.random.default_rng(1).normal(size=(2, 3, 4, 2)) * 3 + 1).astype(np.float32)
    norm = jax.jit(nets.instance_norm)
    y = np.asarray(norm(x, 0.0))
    np.testing.assert_allclose(y.mean(axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(1, 2)), 1, rtol=1e-5)
    # neither the brightness nor the contrast of an image is seen
    np.testing.assert_allclose(norm(2 * x - 1, 0.0), y, atol=1e-5)
    assert jax.eval_shape(norm, jnp.asarray(x, jnp.bfloat16), 0.0).dtype == jnp.bfloat16


@pytest.mark.parametrize(("side", "normalization"), [(8, "none"), (28, "instance"), (64, "none")])
def test_a_u_net_keeps_the_sides(side, normalization):
    network = nets.unet(3, (2, 4), normalization=normalization)
    assert shape(network, 2, side, side, 1) == (2, side, side, 3)
    assert shape(network, 2, side, 2 * side, 1) == (2, side, 2 * side, 3)
    assert shape(nets.unet(1, (1, 1)), 1, side, side, 1) == (1, side, side, 1)


def test_what_is_above_a_level_reaches_the_output_beside_it():
    """The outermost level hands its features across: they matter where the others are cut."""
    network = nets.unet(1, (2, 4, 8))
    x = np.random.default_rng(1).normal(size=(1, 8, 8, 1)).astype(np.float32)
    params = parameters(network, x)
    kernels = {name: layer["kernel"].shape for name, layer in params.items()}
    assert kernels == {
        "Conv_0": (4, 4, 1, 2),
        "Conv_1": (4, 4, 2, 4),
        "Conv_2": (4, 4, 4, 8),
        "ConvTranspose_0": (4, 4, 8, 4),
        "ConvTranspose_1": (4, 4, 8, 2),
        "ConvTranspose_2": (4, 4, 4, 1),
    }
    apply = jax.jit(network.apply)
    cut = {**params, "ConvTranspose_1": jax.tree.map(np.zeros_like, params["ConvTranspose_1"])}
    outer = apply(cut, x)
    assert np.std(outer) > 0.01
    deaf = {**cut, "Conv_1": jax.tree.map(np.zeros_like, cut["Conv_1"])}
    np.testing.assert_array_equal(apply(deaf, x), outer)


def test_dropout_is_the_noise_of_a_training_pass():
    network = nets.unet(1, (2, 4))
    x = np.ones((1, 8, 8, 1), np.float32)
    params = parameters(network, x)
    train = jax.jit(network.train)
    (one, moved), (other, _) = (train(jax.random.key(i), params, x) for i in (0, 1))
    assert not moved
    assert np.any(one != other)
    still = jax.jit(nets.unet(1, (2, 4), dropout=0.0).train)(jax.random.key(0), params, x)[0]
    np.testing.assert_allclose(still, jax.jit(network.apply)(params, x), rtol=1e-5)


@pytest.mark.parametrize("skips", [0, 2])
def test_an_hourglass_keeps_the_sides_and_hands_little_across(skips):
    network = nets.hourglass(1, (3, 5), skips)
    x = np.random.default_rng(1).normal(size=(2, 8, 12, 2)).astype(np.float32)
    params = parameters(network, x)
    apply = jax.jit(network.apply)
    assert apply(params, x).shape == (2, 8, 12, 1)
    shapes = [params[f"Conv_{i}"]["kernel"].shape for i in range(len(params))]
    across = [(1, 1, 2, skips), (1, 1, 3, skips)] if skips else []
    assert sorted(shapes) == sorted(
        [
            *across,
            *((3, 3, 2, 3), (3, 3, 3, 3), (3, 3, 3, 5), (3, 3, 5, 5)),
            *((3, 3, 5 + skips, 5), (1, 1, 5, 5), (3, 3, 5 + skips, 3), (1, 1, 3, 3)),
            (1, 1, 3, 1),
        ]
    )
    # an image's own pixels normalise it: the others of a batch do not matter
    np.testing.assert_allclose(apply(params, x[1:]), apply(params, x)[1:], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(InputError, match=r"of 2 strided layers needs images of 12 pixels.*11x12"):
        shape(nets.patch(2, 2), 1, 11, 12, 1)
    assert shape(nets.patch(2, 2), 1, 12, 12, 1) == (1, 1, 1, 1)
    with pytest.raises(InputError, match=r"3 levels halves .* 3 times, .*multiples of 8, or fewer"):
        shape(nets.unet(1, (2, 2, 2)), 1, 12, 12, 1)
    with pytest.raises(InputError, match=r"an hourglass of 2 levels .* multiples of 4, or fewer"):
        shape(nets.hourglass(1, (2, 2)), 1, 8, 6, 1)
    for make, message in (
        (lambda: nets.hourglass(0), "outputs is 0: use a whole number"),
        (lambda: nets.hourglass(1, ()), "needs channels of one level or more"),
        (lambda: nets.hourglass(1, (2, 0)), "needs channels of one level or more"),
        (lambda: nets.hourglass(1, skips=-1), "skips of 0 or more"),
        (lambda: nets.patch(0), "channels is 0: use a whole number"),
        (lambda: nets.patch(2, -1), "layers may not be negative"),
        (lambda: nets.patch(4, 1.5), "layers must be a whole number, not 1.5"),
        (lambda: nets.patch(4.5), "channels is 4.5: use a whole number"),
        (lambda: nets.patch(2, 1, "batch"), "unknown normalization 'batch'; use none or instance"),
        (lambda: nets.unet(0), "outputs is 0: use a whole number"),
        (lambda: nets.unet(1, (4,)), "two levels of channels or more"),
        (lambda: nets.unet(1, (4, 0)), "two levels of channels or more"),
        (lambda: nets.unet(1, dropout=1.0), "dropout is 1.0: use from 0|dropout is 1.0: use 0"),
        (lambda: nets.unet(1, normalization="layer"), "unknown normalization"),
    ):
        with pytest.raises(InputError, match=message):
            make()


@pytest.mark.parametrize("levels", [2, 3])
def test_a_u_net_sees_as_far_as_its_margin(levels):
    """Kernels above 0, so that nothing is cut off or cancels: where does a white pixel matter?"""
    network, margin, side = nets.unet(1, (1,) * levels, dropout=0.0), nets.unet_margin(levels), 64
    first = np.arange(2**levels) + 24
    x = np.zeros((len(first), side, side, 1), np.float32)
    params = jax.tree.map(lambda p: np.abs(p) * (p.ndim > 1), parameters(network, x))
    x[np.arange(len(first)), first, first] = 1
    y = np.asarray(jax.jit(network.apply)(params, x))[..., 0]
    distances = [
        np.abs(np.argwhere(made > 0) - pixel).max() for pixel, made in zip(first, y, strict=True)
    ]
    assert max(distances) == margin == {2: 9, 3: 21}[levels]


def test_a_margin_is_of_levels():
    assert nets.unet_margin(1) == 3
    with pytest.raises(InputError, match="levels is 0: use"):
        nets.unet_margin(0)
