"""What every registered method owes the engine and its users.

That killed runs go on bit for bit is tested with real kills, in end_to_end/test_processes.py.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import training
from tests.methods.examples import REGISTRY

BATCH = 32
KEY = jax.random.key(0)
# A method's tests run in one process, which traces and compiles its programs once.
every_method = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.xdist_group(f"contract {name}")) for name in REGISTRY],
)


@functools.cache
def dataset(name):
    return REGISTRY[name].data()


@functools.cache
def method_of(name):
    return REGISTRY[name].example()


def first_batch(name, count=BATCH):
    return dataset(name).fetch(dataset(name).arrays, jnp.arange(count))


def start(name, seed=0):
    method = method_of(name)
    key = jax.random.key(seed)
    return method, jax.jit(method.init)(key, first_batch(name), dict(method.hparams))


def sweep(name, lanes, steps, **options):
    return training.run(
        method_of(name),
        dataset(name),
        lanes,
        steps,
        batch_size=BATCH,
        evaluate_every=steps,
        **options,
    )


def states(result):
    return [group.state for group in result.groups]


@every_method
def test_step_keeps_shapes_and_everything_is_finite(name):
    method, state = start(name)
    batch, hparams = first_batch(name), dict(method.hparams)
    after, info = jax.jit(method.step)(jax.random.key(1), state, batch, hparams)
    values = jax.jit(method.evaluate)(jax.random.key(2), after, batch, hparams)

    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    chex.assert_tree_all_finite((after, info, values))
    assert info
    assert values
    chex.assert_rank(list(info.values()), 0)
    figures = [value for value in values.values() if value.ndim == 1 or method.conclude is None]
    chex.assert_shape(figures, (BATCH,))
    chex.assert_tree_shape_prefix(values, (BATCH,))
    if method.conclude is not None:
        whole = method.conclude(values, np.arange(BATCH) < 5, hparams)
        chex.assert_rank(list(whole.values()), 0)
        chex.assert_tree_all_finite(whole)


def moved_on(name):
    """The compiled step, and a state in which nothing is zero that is not always."""
    method, state = start(name)
    step, batch, hparams = jax.jit(method.step), first_batch(name), dict(method.hparams)
    for i in range(2):
        state, _ = step(jax.random.key(i), state, batch, hparams)
    return step, state, batch, hparams


@every_method
def test_every_hyperparameter_has_its_effect_on_a_step(name):
    step, state, batch, hparams = moved_on(name)

    def stepped(**changed):
        after = step(jax.random.key(2), state, batch, hparams | changed)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(after)]

    usual, without = stepped(), set()
    for changed, value in hparams.items():
        other = stepped(**{changed: 0.7 * value + 0.01})
        if all(np.array_equal(a, b) for a, b in zip(usual, other, strict=True)):
            without.add(changed)
    assert without == set(REGISTRY[name].no_step)


@every_method
def test_evaluation_of_an_example_does_not_depend_on_the_others(name):
    method, state = start(name)
    batch, evaluate = first_batch(name, BATCH + 5), jax.jit(method.evaluate)

    def evaluated(rows):
        shown = jax.tree.map(lambda leaf: leaf[rows], batch)
        return evaluate(jax.random.key(2), state, shown, dict(method.hparams))

    values = evaluated(np.arange(BATCH))
    beside = evaluated(np.r_[:9, BATCH - 4 : BATCH + 5, 4:18])
    for figure, value in values.items():
        np.testing.assert_allclose(beside[figure][:9], value[:9], rtol=1e-6, err_msg=figure)


@every_method
def test_inference_needs_only_what_is_kept_for_it(name):
    """What is kept is the state's own, so that results are equal if they can be had."""
    method, state = start(name)
    batch, hparams, key, views = first_batch(name), dict(method.hparams), KEY, method.views
    kept = method.inference(state)
    own = {id(leaf) for leaf in jax.tree.leaves(state)}
    assert {id(leaf) for leaf in jax.tree.leaves(kept)} <= own
    assert type(kept) is type(state)
    jax.eval_shape(method.evaluate, key, kept, batch, hparams)
    if views.encode:
        latent = jax.eval_shape(views.encode, kept, batch, hparams)
        if views.decode:
            jax.eval_shape(views.decode, kept, latent, hparams)
    if views.reconstruct:
        jax.eval_shape(views.reconstruct, kept, batch, hparams)
    if views.sample:
        jax.eval_shape(lambda k, s: views.sample(k, s, 3, hparams), key, kept)
    if views.log_likelihood:
        jax.eval_shape(views.log_likelihood, key, kept, batch, hparams)


@every_method
def test_views_have_their_shapes(name):
    method, state = start(name)
    batch, hparams, views = first_batch(name), dict(method.hparams), method.views
    target = batch[REGISTRY[name].entry]
    assert any(view is not None for view in views)
    if views.encode:
        latent = views.encode(state, batch, hparams)
        chex.assert_rank(latent, 2)
        assert latent.shape[0] == BATCH
        if views.decode:
            chex.assert_equal_shape([views.decode(state, latent, hparams), target])
    if views.reconstruct:
        again = views.reconstruct(state, batch, hparams)
        chex.assert_equal_shape([again, target])
        chex.assert_tree_all_finite(again)
    if views.sample:
        chex.assert_shape(
            views.sample(jax.random.key(0), state, 3, hparams), (3, *target.shape[1:])
        )
    if views.log_likelihood:
        values = views.log_likelihood(jax.random.key(0), state, batch, hparams)
        chex.assert_shape(values, (BATCH,))
        chex.assert_tree_all_finite(values)


@every_method
def test_learns(name):
    row, method = REGISTRY[name], method_of(name)
    score = jax.jit(functools.partial(row.score, method))
    batch = first_batch(name, 500)
    _, before = start(name)
    result = sweep(name, training.grid(seed=0), row.steps)
    _, after, hparams = training.lane(result, 0)
    key = jax.random.key(3)
    assert score(key, after, batch, hparams) < row.improvement * score(key, before, batch, hparams)


@every_method
def test_new_hyperparameters_do_not_recompile(name):
    method, state = start(name)
    chex.clear_trace_counter()  # it goes by source text, which methods may share
    step = jax.jit(chex.assert_max_traces(method.step, n=1))
    for factor in (1.0, 2.0, 3.0):
        hparams = {key: jnp.asarray(factor * value) for key, value in method.hparams.items()}
        state, _ = step(jax.random.key(1), state, first_batch(name), hparams)


def sixteen_lanes():
    return training.grid(learning_rate=[1e-4, 2e-4, 5e-4, 1e-3], seed=range(4))


@functools.cache
def sixteen(name, backend="pmap"):
    return sweep(name, sixteen_lanes(), 20, backend=backend)


@every_method
def test_a_sweep_is_one_compilation(name):
    assert sixteen(name).compilations == 1


@every_method
def test_a_lane_of_sixteen_equals_the_same_run_alone(name):
    alone = sweep(name, [sixteen_lanes()[13]], 20)
    for figure in method_figures(alone.rows[0]):
        np.testing.assert_allclose(
            sixteen(name).rows[13][figure], alone.rows[0][figure], rtol=1e-4, err_msg=figure
        )


@every_method
def test_a_lane_of_sixteen_equals_the_same_run_alone_in_double_precision(name, x64):
    lanes = sixteen_lanes()
    together = sweep(name, lanes, 200)
    alone = sweep(name, [lanes[13]], 200)
    _, state, _ = training.lane(together, 13)
    _, state_alone, _ = training.lane(alone, 0)
    floats = [x for x in jax.tree.leaves(state) if np.issubdtype(x.dtype, np.floating)]
    assert {x.dtype for x in floats} == {np.dtype(np.float64)}
    scale = max(np.abs(x).max() for x in floats)
    chex.assert_trees_all_close(state, state_alone, rtol=1e-9, atol=1e-9 * scale)
    for figure in method_figures(alone.rows[0]):
        np.testing.assert_allclose(
            together.rows[13][figure], alone.rows[0][figure], rtol=1e-9, err_msg=figure
        )


def method_figures(row):
    described = {"lane", "learning_rate", "seed", "status", "frozen_step", "frozen_by", "best_step"}
    return [name for name in row if name not in described]


@every_method
def test_backends_agree(name):
    """`shard` vmaps lanes, as `vmap` does, where `pmap` takes them in turn on a CPU."""
    other = states(sixteen(name, "shard"))
    chex.assert_trees_all_close(states(sixteen(name)), other, rtol=1e-5, atol=1e-6)


@every_method
def test_a_lane_that_breaks_leaves_its_siblings_untouched(name):
    lanes = sixteen_lanes()
    lanes[5] = {"learning_rate": 3e38, "seed": 5}
    healthy, beside = sixteen(name), sweep(name, lanes, 20)

    status = [row["status"] for row in beside.rows]
    assert status == ["frozen" if lane == 5 else "ok" for lane in range(16)]
    assert 0 <= beside.rows[5]["frozen_step"] < 20
    assert beside.rows[5]["frozen_by"]

    def siblings(result):
        return jax.tree.map(lambda x: np.delete(x, 5, axis=0), states(result))

    chex.assert_trees_all_equal(siblings(beside), siblings(healthy))


@every_method
def test_no_key_is_used_twice(name):
    method, state = start(name)
    batch, hparams = first_batch(name), dict(method.hparams)
    key = jax.random.key(0)
    with jax.debug_key_reuse(True):
        jax.jit(method.init)(key, batch, hparams)
        jax.jit(method.step)(jax.random.key(1), state, batch, hparams)
        jax.jit(method.evaluate)(jax.random.key(2), state, batch, hparams)
        if method.views.sample:
            sample = jax.jit(method.views.sample, static_argnums=2)
            sample(jax.random.key(3), state, 3, hparams)
