"""Samples that are kept through training, of a method that can be written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import data, training
from ae_jax.core import InputError, Method, Views
from ae_jax.methods import filmed


def counting(**views):
    """A method whose samples are its steps so far times the rate, beside the noise they draw."""

    def sample(key, state, count, hparams):
        level = jnp.full((count,), state * hparams["learning_rate"])
        return jnp.stack([level, jax.random.normal(key, (count,))], axis=1)

    return Method(
        {"learning_rate": 1.0},
        lambda key, batch, hparams, start=0.0: jnp.asarray(start),
        lambda key, state, batch, hparams: (state + 1, {"loss": state}),
        lambda key, state, batch, hparams: {"loss": jnp.full(len(batch["image"]), state)},
        Views(**({"sample": sample} | views)),
        inference=lambda state: 10 * state,
    )


def images(count=8):
    return data.stored(np.zeros((count, 1, 2), np.float32))


def film(steps, times, directory=None, **options):
    options = {"batch_size": 4, "checkpoint_seconds": 0} | options
    lanes = training.grid(learning_rate=[1.0, 2.0])
    method = filmed(counting(), 3, times)
    return training.run(method, images(), lanes, steps, directory, **options)


def test_frames_are_the_samples_at_their_times():
    result = film(7, [0, 2, 3, 7, 9])
    one, two = (training.lane(result, lane)[1].frames for lane in range(2))
    np.testing.assert_array_equal(one[:, :, 0], np.repeat([[0], [2], [3], [7], [0]], 3, axis=1))
    # with the hyperparameters of the lane, and the same noise in all frames and lanes
    np.testing.assert_array_equal(two[:, :, 0], 2 * one[:, :, 0])
    noise = jax.random.normal(jax.random.key(0), (3,))
    np.testing.assert_array_equal(one[:4, :, 1], np.broadcast_to(noise, (4, 3)))
    np.testing.assert_array_equal(two[:4], one[:4] * [2, 1])
    assert not np.any(one[4])


def test_a_film_may_begin_later_and_end_sooner():
    frames = training.lane(film(5, [1, 4]), 0)[1].frames
    np.testing.assert_array_equal(frames[:, 0, 0], [1, 4])


@pytest.mark.parametrize("backend", ["vmap", "pmap"])
def test_all_backends_keep_the_same_frames(backend):
    frames = training.lane(film(5, [0, 2, 5], backend=backend), 1)[1].frames
    np.testing.assert_array_equal(frames[:, 0, 0], [0, 4, 10])


def test_a_run_that_goes_on_has_the_whole_film(tmp_path):
    whole = film(6, [0, 2, 6], tmp_path)
    for path in list(tmp_path.rglob(f"{6:012d}")):
        path.rename(path.with_name("lost"))  # back to the checkpoint before
    again = film(6, [0, 2, 6], tmp_path)
    assert again.groups[0].lane_steps == 2  # the last step of two lanes
    frames = training.lane(again, 0)[1].frames
    np.testing.assert_array_equal(frames, training.lane(whole, 0)[1].frames)
    np.testing.assert_array_equal(frames[:, 0, 0], [0, 2, 6])


def test_views_and_evaluation_see_the_method_alone():
    method = filmed(counting(decode=lambda state, latent, hparams: state + latent), 2, [1])
    batch, hparams = {"image": jnp.zeros((3, 2))}, {"learning_rate": 1.0}
    begun = method.init(jax.random.key(0), batch, hparams, 5.0)
    assert begun.method == 5
    state, info = method.step(jax.random.key(0), begun, batch, hparams)
    assert info["loss"] == 5
    kept = method.inference(state)
    assert jax.tree.leaves(kept) == [60]  # of a best state there is no film
    assert method.views.decode(kept, jnp.ones(()), hparams) == 61
    np.testing.assert_array_equal(
        method.views.sample(jax.random.key(1), state, 4, hparams)[:, 0], 6
    )
    np.testing.assert_array_equal(
        method.evaluate(jax.random.key(0), state, batch, hparams)["loss"], 6
    )
    assert method.views.encode is None


@pytest.mark.parametrize("times", [[], [3, 3], [4, 2], [-1, 2], [[1], [2]]])
def test_times_that_do_not_ascend_are_refused(times):
    with pytest.raises(InputError, match="must ascend from 0"):
        filmed(counting(), 2, times)


def test_what_cannot_be_filmed_is_refused():
    with pytest.raises(InputError, match="has no view sample"):
        filmed(counting(sample=None), 1, [0])
    with pytest.raises(InputError, match="count is 0"):
        filmed(counting(), 0, [0])
