import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, losses, methods, nets, training
from ae_jax.core import InputError
from ae_jax.recipes import growing

GAN = functools.partial(
    methods.progressive_gan,
    latent_size=2,
    objective=losses.adversarial.least_squares(),
    regularisers=(),
    average=True,
    ema_decay=0.5,
)


def dense(*sides, **options):
    """A stage of dense networks; those of the last two sides make images."""
    generator = {f"generator_{side}": nets.mlp((side, side, 1), (), "tanh") for side in sides}
    discriminator = {f"discriminator_{side}": nets.mlp((side // 2,) * 2 + (1,)) for side in sides}
    discriminator = {**dict(reversed(discriminator.items())), "discriminator_4": nets.mlp(1, ())}
    ends = {
        kind: {f"{kind}_image_{side}": nets.mlp((side, side, 1), ()) for side in sides[-2:]}
        for kind in ("to", "from")
    }
    players = nets.Growing(generator, ends["to"]), nets.Growing(discriminator, ends["from"])
    names = [name for player in players for name in player.names]
    schedules = [training.warmup(2, "fade")] if len(sides) > 1 else []
    return growing.Stage(sides[-1], GAN(*players, **options), names, 1 + len(sides), schedules)


@pytest.mark.full
def test_a_stage_goes_on_from_the_one_before(tmp_path):
    digits = data.subset(data.load("digits"), np.arange(64))
    lanes = training.grid(learning_rate=[1e-3, 1e-2], seed=0)
    stages = [dense(4), dense(4, 8)]
    run = functools.partial(
        growing.train, dataset=digits, lanes=lanes, directory=tmp_path, test=digits, batch_size=16
    )
    (alone,) = run(stages[:1], dataset=data.resized(digits, 4), test=data.resized(digits, 4))
    first, second = run(stages)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["side-4", "side-8"]
    assert (first.compilations, second.compilations) == (0, 1)  # the first one was done
    assert first.rows == alone.rows
    assert all("generator_loss" in row for row in second.rows)

    method, before, hparams = training.lane(first, 1)
    next_method, after, faded = training.lane(second, 1)
    assert faded["fade"] == 1.0  # as the schedule left it
    start = growing.handed_on(before, stages[1].networks)
    known = {"generator_4", "to_image_4", "discriminator_4", "from_image_4"}
    assert set(start) == {*known, "average"}
    key, batch = jax.random.key(1), digits.fetch(digits.arrays, jnp.arange(4))

    @jax.jit
    def begins():
        begun = next_method.init(key, batch, faded, start)
        low = next_method.views.sample(key, begun, 5, {**faded, "fade": 0.0})
        old = nets.upsample(method.views.sample(key, before, 5, hparams))
        return begun, next_method.init(key, batch, faded), low, old

    begun, fresh, low, old = begins()
    assert old.shape == (5, 8, 8, 1)
    np.testing.assert_array_equal(low, old)
    for name in stages[1].networks:
        same = (before if name in known else fresh).params
        chex.assert_trees_all_equal(begun.params[name], same[name])
        if name in begun.running["average"]:
            same = before.running["average"] if name in known else fresh.params
            chex.assert_trees_all_equal(begun.running["average"][name], same[name])
    # it was trained from there, and not from anew: three steps of Adam are no further
    moved = jax.tree.map(
        lambda a, b: np.max(np.abs(a - b)),
        after.params["generator_4"],
        before.params["generator_4"],
    )
    assert 0 < max(jax.tree.leaves(moved)) < 0.1


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (dense(4, 8)._replace(steps=0), "of 8 pixels a side: steps is 0: use a whole number"),
        (dense(4, 8)._replace(side=4), r"images must grow from stage to stage, got sides \[4, 4\]"),
        (dense(4, 8, 16)._replace(side=8), "of 8 pixels a side: the generator makes .*16"),
        (dense(4, 8, latent_size=3), "of 8 pixels a side: the parameters .* fit the generator_4"),
        (None, r"of 4 pixels a side, and the data's have 8: use data.resized\(dataset, 4\)"),
    ],
)
def test_all_stages_are_checked_before_the_first_is_trained(last, message, tmp_path):
    digits = data.subset(data.load("digits"), np.arange(32))
    lanes, stages = training.grid(learning_rate=1e-3, seed=0), [dense(4), *[last] * bool(last)]
    with pytest.raises(InputError, match=message) as error:
        growing.train(stages, digits, lanes, tmp_path / "run", batch_size=16)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def stages(channels=(4, 3), steps=(2, 3), image_shape=(8, 8, 1)):
    return growing.stages(GAN, channels, image_shape, steps, fade=0.6)


def test_stages_of_a_progressive_gan():
    small, large = stages()
    assert (small.side, small.steps, large.side, large.steps) == (4, 2, 8, 3)
    assert small.schedules == []
    assert large.schedules[0].hparams == {"fade_warmup_steps": 2}
    assert "fade" not in small.method.hparams
    assert "fade" in large.method.hparams
    shared = {"generator_4", "to_image_4", "discriminator_4", "from_image_4"}
    assert set(small.networks) == shared
    new = {"generator_8", "to_image_8", "discriminator_8", "from_image_8"}
    assert set(large.networks) == shared | new
    assert growing.sides(3, (28, 28, 1)) == [7, 14, 28]
    whole = jax.ShapeDtypeStruct((4, 28, 28, 1), jnp.float32)
    last = stages((4, 3, 2), (1, 1, 1), (28, 28, 1))[-1]
    state = jax.eval_shape(last.method.init, jax.random.key(0), {"image": whole}, {"fade": 1.0})
    assert set(state.params) == set(last.networks)


def test_stages_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="3 stages need square images of a multiple of 4 pixels"):
        stages((4, 3, 2), (1, 1, 1), (10, 10, 1))
    with pytest.raises(InputError, match="need square images"):
        stages(image_shape=(8, 4, 1))
    with pytest.raises(InputError, match="2 stages need as many numbers of steps, got 1"):
        stages(steps=(3,))
    with pytest.raises(InputError, match="stages is 0: use a whole number, 1 or more"):
        stages((), ())
    with pytest.raises(InputError, match="fade is 2: use from 0 to 1"):
        growing.stages(None, (4,), (8, 8, 1), (1,), fade=2)
    with pytest.raises(InputError, match="at least one stage"):
        growing.train([], data.load("digits"), training.grid(seed=0))
