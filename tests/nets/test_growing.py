"""Growing networks against closed forms; at both ends the fade is one stage or the other."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import nets
from ae_jax.core import InputError
from ae_jax.nets import growing

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)
#: `progressive.x` of the reference values.
X = np.sin(0.7 * np.arange(8 * 2 * 2 * 3) + 1).reshape(8, 2, 2, 3)


def test_standard_deviations_of_groups():
    found = jax.jit(nets.minibatch_stddev)(X)
    np.testing.assert_allclose(found, np.tile([0.6922849986587679, 0.6837250444111539], 4))
    # what others write: groups of neighbours, an unbiased variance
    for groups, ddof in ((X.reshape(2, 4, -1), 0), (X.reshape(4, 2, -1).swapaxes(0, 1), 1)):
        wrong = np.sqrt(np.var(groups, axis=1, ddof=ddof) + 1e-8).mean(axis=-1)
        assert np.min(np.abs(np.asarray(found[:2]) - wrong)) > 1e-3
    np.testing.assert_allclose(nets.minibatch_stddev(X, 8), 0.7060912694139674)
    np.testing.assert_allclose(nets.minibatch_stddev(X, 9), 0.7060912694139674)
    np.testing.assert_allclose(nets.minibatch_stddev(np.ones((4, 3))), 1e-4)
    with pytest.raises(InputError, match="batch of 8 cannot be cut into groups of 3") as error:
        nets.minibatch_stddev(X, 3)
    assert "\n" not in str(error.value)


def test_the_plane_of_standard_deviations_is_the_groups_own_in_training_alone():
    network = nets.flax_network(nets.MinibatchStddev(4))
    params = network.init(KEY, X)
    y, moved = network.train(KEY, params, X)
    own = np.tile([0.6922849986587679, 0.6837250444111539], 4)
    np.testing.assert_array_equal(y[..., :3], X)
    np.testing.assert_allclose(y[..., 3], np.broadcast_to(own[:, None, None], (8, 2, 2)))
    after = 0.9 * 1 + 0.1 * own.mean()
    np.testing.assert_allclose(moved["batch_stats"]["deviation"], after)
    y = network.apply({**params, **moved}, X[:3])
    np.testing.assert_allclose(y[..., 3], after)


def test_pixel_norm():
    found = nets.pixel_norm(jnp.asarray(X))
    expected = [0.9945133869254206, 1.1720236908263564, 0.7983129395563183]
    np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(np.mean(np.square(found)), 0.9999999781110455, rtol=1e-12)
    np.testing.assert_allclose(np.mean(np.square(found), axis=-1), 1, rtol=1e-6)


def test_equalised_layers_use_their_kernels_times_a_constant_of_the_fan_in():
    x = jnp.zeros((1, 3, 3, 512)).at[0, 1, 1, 0].set(1)
    conv, dense = nets.EqualisedConv(1), nets.EqualisedDense(1, gain=1.0)
    params = conv.init(KEY, x)["params"]
    assert abs(np.std(params["kernel"]) - 1) < 0.05
    ones = jax.tree.map(jnp.ones_like, params)
    np.testing.assert_allclose(conv.apply({"params": ones}, x), 1 + 0.020833333333333332)
    params = dense.init(KEY, x[0, 1, 1:2])["params"]
    np.testing.assert_array_equal(params["bias"], 0)
    ones = jax.tree.map(jnp.ones_like, params)
    np.testing.assert_allclose(dense.apply({"params": ones}, x[0, 1, 1:2]), 1 + 0.04419417382415922)


@pytest.mark.parametrize(
    ("optimizer", "ratio"),
    [(optax.identity(), 0.1111111111111111), (optax.scale_by_adam(eps=0.0), 0.3333333333333333)],
)
def test_learning_rates_are_equalised(optimizer, ratio):
    """A step of w moves c w as a step of W does: SGD c^2 times as far, Adam's first one c times."""
    c = 0.3333333333333333  # sqrt(2 / 18)
    x = jax.random.normal(KEY, (2, 3, 3, 2))
    layer = nets.EqualisedConv(3)
    params = layer.init(KEY, x)["params"]

    def equalised(kernel):
        return jnp.sum(jnp.tanh(layer.apply({"params": {**params, "kernel": kernel}}, x)))

    def plain(kernel):
        return jnp.sum(jnp.tanh(nets.conv(x, kernel)))

    def step(loss, kernel):
        gradient = jax.jit(jax.grad(loss))(kernel)
        return optimizer.update(gradient, optimizer.init(kernel))[0]

    w = params["kernel"]
    np.testing.assert_allclose(c * step(equalised, w), ratio * step(plain, c * w), rtol=1e-10)


def calls(params):
    return lambda name, network, x: network.apply(params[name], x)


def initialised(player, passed, x):
    @jax.jit
    def init(x):
        params = {}

        def call(name, network, x):
            params[name] = network.init(jax.random.key(len(params)), x)
            return network.apply(params[name], x)

        passed(player, call, x, 0.5)
        return params

    return init(x)


def test_a_generator_fades_from_the_stage_before_to_its_own():
    before, player, whole = (
        nets.growing_generator(widths, 3, fades=fades)
        for widths, fades in (((5, 4), True), ((5, 4, 3), True), ((5, 4, 3), False))
    )
    z = jax.random.normal(KEY, (2, 6))
    params = initialised(player, growing.drawn, z)
    assert set(params) == set(player.names)
    assert list(player.blocks) == ["generator_4", "generator_8", "generator_16"]
    assert list(player.images) == ["to_image_8", "to_image_16"]
    layer = {"kernel": jnp.ones((1, 1, 5, 3)), "bias": z[0, :3]}
    params |= {"to_image_4": {"EqualisedConv_0": layer}}

    @jax.jit
    def made(fade):
        def drawn(old):
            call = calls({**params, "to_image_8": old})
            return growing.drawn(player, call, z, fade)

        images, pull = jax.vjp(drawn, params["to_image_8"])
        return images, pull(jnp.ones_like(images))

    old = jax.jit(lambda: growing.drawn(before, calls(params), z, 1.0))()
    new = jax.jit(lambda: growing.drawn(whole, calls(params), z, 0.3))()
    assert old.shape == (2, 8, 8, 3)
    assert new.shape == (2, 16, 16, 3)
    low, _ = made(0.0)
    np.testing.assert_array_equal(low, nets.upsample(old))
    high, gradient = made(1.0)
    np.testing.assert_array_equal(high, new)
    chex.assert_trees_all_equal(gradient, jax.tree.map(jnp.zeros_like, gradient))
    half, gradient = made(0.25)
    np.testing.assert_allclose(half, 0.75 * low + 0.25 * high, rtol=1e-12)
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_a_discriminator_fades_from_the_stage_before_to_its_own():
    before, player, whole = (
        nets.growing_discriminator(widths, fades=fades)
        for widths, fades in (((5, 4), True), ((5, 4, 3), True), ((5, 4, 3), False))
    )
    x = jax.random.uniform(KEY, (2, 16, 16, 1))
    params = initialised(player, growing.judged, x)
    assert set(params) == set(player.names)
    assert list(player.blocks) == ["discriminator_16", "discriminator_8", "discriminator_4"]
    assert list(player.images) == ["from_image_8", "from_image_16"]
    small = jax.random.uniform(KEY, (2, 4, 4, 1))
    params |= initialised(nets.growing_discriminator((5,)), growing.judged, small)
    judge = jax.jit(functools.partial(growing.judged, player, calls(params)))
    old = jax.jit(lambda: growing.judged(before, calls(params), nets.avg_pool(x), 1.0))()
    new = jax.jit(lambda: growing.judged(whole, calls(params), x, 0.0))()
    low, high = judge(x, 0.0), judge(x, 1.0)
    assert low.shape == (2, 1)
    np.testing.assert_allclose(low, old, rtol=1e-12)
    np.testing.assert_allclose(high, new, rtol=1e-12)
    assert np.all(judge(x, 0.5) != low)
    # images without their finest details are all that the stage before has seen
    flat = growing.blended(x, 0.0)
    np.testing.assert_allclose(judge(flat, 0.0), low, rtol=1e-12)
    np.testing.assert_array_equal(growing.blended(x, 1.0), x)
    np.testing.assert_allclose(growing.blended(x, 0.25), 0.75 * flat + 0.25 * x, rtol=1e-12)
    np.testing.assert_allclose(flat[0, :2, 2:4, 0], np.full((2, 2), np.mean(x[0, :2, 2:4])))


def test_refuses():
    for build in (nets.growing_generator, nets.growing_discriminator):
        with pytest.raises(InputError, match="channels of one block at least"):
            build(())
        with pytest.raises(InputError, match=r"channels is .*: use a whole number"):
            build((4, 0))
        assert not build((4,)).fades
    with pytest.raises(InputError, match=r"group is .*: use a whole number"):
        nets.growing_discriminator((4,), group=0)
    with pytest.raises(InputError, match="unknown activation"):
        nets.growing_generator((4,), output_activation="nonsense")


def test_blocks_have_as_many_convolutions_as_asked_for():
    x = jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float64)
    for count in (1, 3):
        larger = nets.growing_generator((4, 3), convolutions=count).blocks["generator_8"]
        smaller = nets.growing_discriminator((5, 4), convolutions=count).blocks["discriminator_8"]
        for block, widths in ((larger, [3] * count), (smaller, [*[4] * (count - 1), 5])):
            params = jax.eval_shape(block.init, KEY, x)
            assert [layer["bias"].shape[0] for layer in params.values()] == widths
