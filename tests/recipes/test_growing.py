import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, losses, methods, nets, training
from ae_jax.core import InputError
from ae_jax.recipes import growing


def stages(channels=(4, 3), steps=(2, 3), image_shape=(8, 8, 1)):
    build = functools.partial(
        methods.progressive_gan,
        latent_size=2,
        objective=losses.adversarial.least_squares(),
        regularisers=(),
        average=True,
        ema_decay=0.5,
    )
    return growing.stages(build, channels, image_shape, steps, fade_steps=2)


def test_a_stage_goes_on_from_the_one_before(tmp_path):
    digits = data.subset(data.load("digits"), np.arange(64))
    lanes = training.grid(learning_rate=[1e-3, 1e-2], seed=0)
    made = stages()
    assert [stage.side for stage in made] == [4, 8]
    assert not made[0].schedules
    run = functools.partial(
        growing.train, dataset=digits, lanes=lanes, directory=tmp_path, test=digits, batch_size=16
    )
    (alone,) = run(made[:1])
    first, second = run(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["side-4", "side-8"]
    assert (first.compilations, second.compilations) == (0, 1)  # the first one was done
    assert first.rows == alone.rows
    assert all("generator_loss" in row for row in second.rows)

    method, before, hparams = training.lane(first, 1)
    start = growing.handed_on(before, made[1].networks)
    assert set(start) == {
        "generator_4",
        "to_image_4",
        "discriminator_4",
        "from_image_4",
        "average",
    }
    small = data.resized(digits, 4)
    assert small.fetch(small.arrays, jnp.arange(3))["image"].shape == (3, 4, 4, 1)
    next_method, after, faded = training.lane(second, 1)
    assert faded["fade"] == 1.0  # as the schedule left it

    key, batch = jax.random.key(1), digits.fetch(digits.arrays, jnp.arange(4))

    @jax.jit
    def begins():
        begun = next_method.init(key, batch, faded, start)
        low = next_method.views.sample(key, begun, 5, {**faded, "fade": 0.0})
        old = nets.upsample(method.views.sample(key, before, 5, hparams))
        return begun, next_method.init(key, batch, faded), low, old

    begun, fresh, low, old = begins()
    np.testing.assert_array_equal(low, old)
    for name in made[1].networks:
        same = before.params if name in before.params else fresh.params
        chex.assert_trees_all_equal(begun.params[name], same[name])
        if name in begun.running["average"]:
            same = before.running["average"] if name in before.params else fresh.params
            chex.assert_trees_all_equal(begun.running["average"][name], same[name])
    # it was trained from there, and not from anew: three steps of Adam are no further
    moved = jax.tree.map(
        lambda a, b: np.max(np.abs(a - b)),
        after.params["generator_4"],
        before.params["generator_4"],
    )
    assert 0 < max(jax.tree.leaves(moved)) < 0.1


def test_stages_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="3 stages need square images of a multiple of 4 pixels"):
        stages((4, 3, 2), (1, 1, 1), (10, 10, 1))
    with pytest.raises(InputError, match="need square images"):
        stages(image_shape=(8, 4, 1))
    with pytest.raises(InputError, match="2 stages need as many numbers of steps, got 1"):
        stages(steps=(3,))
    with pytest.raises(InputError, match="at least one stage"):
        growing.train([], data.load("digits"), training.grid(seed=0))
