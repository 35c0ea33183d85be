"""Games against trajectories in closed form, and who moves what, when and by which part."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets, training
from ae_jax.core import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Dataset, InputError, Views
from ae_jax.methods.learners.composing import Numbers
from ae_jax.methods.learners.game import Move, game
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.training import engine

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(0)


def nothing(key, state, batch, hparams):
    return {"figure": jnp.zeros(len(batch["image"]))}


def batch(*image):
    return {"image": jnp.asarray(image, float)}


def numbers(values):
    """A data set of numbers, which images are not."""
    spec = {"image": jax.ShapeDtypeStruct((), jnp.result_type(float))}
    return Dataset(spec, len(values), values, lambda arrays, i: {"image": arrays[i]})


def dirac(loss, simultaneous):
    """Mescheder et al. (2018): real examples at 0, a generator of theta, D(x) = psi x."""

    def critic(params, x):
        return params["critic"] * x

    def told(key, params, batch, hparams, training):
        real = batch["image"]
        slopes = jax.vmap(jax.grad(lambda x: critic(params, x)))(real)
        real, fake = critic(params, real), critic(params, params["generator"])
        lowered = {
            "logistic": lambda: jax.nn.softplus(-real) + jax.nn.softplus(fake),
            "wasserstein": lambda: fake - real,
        }[loss]()
        return {"loss": lowered + hparams["r1"] / 2 * slopes**2}, {}

    def fooled(key, params, batch, hparams, training):
        fake = critic(params, params["generator"])
        lowered = jax.nn.softplus(-fake) if loss == "logistic" else -fake
        return {"loss": lowered * jnp.ones(len(batch["image"]))}, {}

    first = Move("critic", ("critic",), told, optax.identity(), 0.1)
    second = Move("generator", ("generator",), fooled, optax.identity(), 0.1)

    def init(key, batch, hparams):
        return {"generator": jnp.ones(()), "critic": jnp.ones(())}

    turns = [[first, second]] if simultaneous else [[first], [second]]
    parts = [Numbers({"r1": 0.0}, {"r1": NOT_NEGATIVE})]
    return game(init, turns, nothing, Views(), parts=parts, main="generator")


#: theta and psi after 100 steps without R1, and of weight 0.5, computed in double precision
#: without this library by the recursions of Mescheder, Geiger and Nowozin (2018), section 2.
TRAJECTORIES = {
    ("logistic", False): (
        (-0.31832352495196, 0.664852342538518),
        (-0.11267407237833109, 0.06826923300228568),
    ),
    ("logistic", True): (
        (-0.3782616726624412, 0.7092586755771303),
        (-0.12739867493838156, 0.0812525400536952),
    ),
    ("wasserstein", False): (
        (-1.3575869406767258, -0.31600291354404897),
        (-0.10575418785997083, -0.03577586053813726),
    ),
    ("wasserstein", True): (
        (-2.257353911673798, -0.5603400541582387),
        (-0.19205860144732062, -0.03913291791515718),
    ),
}


def test_dirac_gans_follow_their_closed_forms():
    """Alternating and simultaneous ones of two losses, all in one program."""
    zeros = batch(*np.zeros(10))

    def trained(method, r1):
        hparams = {**method.hparams, "r1": r1}

        def step(state, _):
            return method.step(KEY, state, zeros, hparams)[0], None

        state = method.init(KEY, zeros, hparams)
        params = jax.lax.scan(step, state, length=100)[0].params
        return jnp.stack([params["generator"], params["critic"]])

    @jax.jit
    def all_trained(weights):
        return [
            jax.vmap(functools.partial(trained, dirac(*kind)))(weights) for kind in TRAJECTORIES
        ]

    ends = all_trained(np.array([0.0, 0.5]))
    for (loss, simultaneous), found in zip(TRAJECTORIES, ends, strict=True):
        expected = TRAJECTORIES[loss, simultaneous]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
        if loss == "wasserstein":
            # alternating, theta^2 + psi^2 - h theta psi is kept; simultaneous, the radius grows
            theta, psi = found[0]
            kept = theta**2 + psi**2 - (0 if simultaneous else 0.1 * theta * psi)
            at_first = 2 * 1.01**100 if simultaneous else 1.9
            np.testing.assert_allclose(kept, at_first, rtol=1e-12)


def counting(name, other):
    """w of `name` grows by 1; a pass counts itself in the statistics of both networks."""

    def terms(key, params, batch, hparams, training):
        assert training
        loss = -params[name]["w"] + 0.0 * params[other]["w"]
        values = {"loss": loss * jnp.ones(2), "saw": params[other]["w"] * jnp.ones(2)}
        values["drawn"] = jax.random.uniform(key, (1,))
        return values, {n: {"stats": {"count": params[n]["stats"]["count"] + 1}} for n in params}

    return Move(name, (name,), terms, optax.scale_by_adam(eps=0.0, b1=0.0, b2=0.0), 1.0)


def pair(key, batch, hparams):
    return {name: {"w": jnp.zeros(()), "stats": {"count": jnp.zeros(())}} for name in "ab"}


@pytest.mark.parametrize("simultaneous", [False, True])
def test_a_move_moves_its_own_networks_and_keeps_what_its_pass_moves_of_them(simultaneous):
    a, b = counting("a", "b"), counting("b", "a")
    method = game(pair, [[a, b]] if simultaneous else [[a], [b]], nothing, Views())
    assert method.hparams == {"learning_rate": 1.0, "b_learning_rate": 1.0}
    assert method.domains == {"learning_rate": POSITIVE, "b_learning_rate": NOT_NEGATIVE}
    state = method.init(KEY, batch(0, 0), method.hparams)
    # no moment of what no gradient reaches, nor of the other network
    assert {name: len(jax.tree.leaves(s)) for name, s in state.optimizer.items()} == {
        "a": 3,
        "b": 3,
    }
    after, info = jax.jit(method.step)(KEY, state, batch(0, 0), {**method.hparams})
    for network in after.params.values():
        np.testing.assert_allclose(network["w"], 1, rtol=1e-12)
        assert network["stats"]["count"] == 1
    assert (info["a_saw"], info["b_saw"]) == (0, 0 if simultaneous else 1)
    assert (info["a_gradient_norm"], info["b_gradient_norm"]) == (1, 1)
    assert info["a_drawn"] != info["b_drawn"]
    slow, _ = jax.jit(method.step)(
        KEY, state, batch(0, 0), {**method.hparams, "learning_rate": 0.5}
    )
    np.testing.assert_allclose([slow.params[n]["w"] for n in "ab"], [0.5, 1], rtol=1e-12)
    assert method.inference(after) == after._replace(optimizer=())


def scaled(repeats, name="a"):
    """w times the mean of what it is shown, which it remembers the sum of."""

    def terms(key, params, batch, hparams, training):
        x = batch["image"]
        changes = {"seen": params["seen"] + jnp.sum(x)} if training else {}
        return {"loss": params[name] ** 2 * x / 2, "drawn": jax.random.uniform(key, (1,))}, changes

    return Move(name, (name,), terms, optax.identity(), 0.5, repeats)


def remembering(turns, **options):
    def init(key, batch, hparams):
        return {"a": jnp.ones(()), "b": 3 * jnp.ones(())}

    def running(params, batch, hparams):
        return {"seen": jnp.zeros(())}

    def evaluate(key, state, batch, hparams):
        return {"w": state.params["a"] * jnp.ones(len(batch["image"]))}

    views = Views(
        decode=lambda state, latent, hparams: state.params["a"] * latent,
        sample=lambda key, state, count, hparams: jnp.full((count,), state.params["a"]),
    )
    return game(init, turns, evaluate, views, running=running, **options)


def test_a_move_made_several_times_sees_a_part_of_the_batch_each_time():
    method = remembering([[scaled(3)], [scaled(1, "b")]], conclude=max)
    assert method.conclude is max
    given = batch(0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
    state = method.init(KEY, given, method.hparams)
    after, info = jax.jit(method.step)(KEY, state, given, dict(method.hparams))
    w, losses, norms = 1.0, [], []
    for mean in (0.3, 0.7, 1.1):
        losses.append(w**2 * mean / 2)
        norms.append(w * mean)
        w -= 0.5 * w * mean
    np.testing.assert_allclose(after.params["a"], w, rtol=1e-12)
    np.testing.assert_allclose(info["a_loss"], np.mean(losses), rtol=1e-12)
    np.testing.assert_allclose(info["a_gradient_norm"], np.mean(norms), rtol=1e-12)
    np.testing.assert_allclose(after.params["b"], 3 * (1 - 0.5 * 0.7), rtol=1e-12)
    # both have seen all of it, one after the other; each time with a key of its own
    np.testing.assert_allclose(after.running["seen"], 2 * 4.2, rtol=1e-12)
    keys = jax.random.split(jax.random.split(KEY)[0], 3)
    drawn = np.mean([jax.random.uniform(key, (1,)) for key in keys])
    np.testing.assert_allclose(info["a_drawn"], drawn, rtol=1e-12)
    for function in (method.init, method.step):
        args = (KEY, batch(1, 2, 3, 4), dict(method.hparams))
        with pytest.raises(
            InputError, match="batch of 4 cannot be cut into 3 equal parts for the a"
        ):
            function(*(args if function is method.init else (KEY, state, *args[1:])))


def test_averages_of_weights_are_what_is_evaluated_and_viewed():
    method = remembering([[scaled(1)]], average=["a"], ema_decay=0.75)
    assert method.hparams == {"learning_rate": 0.5, "ema_decay": 0.75}
    assert method.domains["ema_decay"] == BELOW_ONE
    given, step = batch(0.4, 0.8), jax.jit(method.step)
    begun = method.init(KEY, given, method.hparams, {"a": jnp.asarray(2.0)})
    chex.assert_trees_all_equal(begun.running["average"], {"a": jnp.asarray(2.0)})
    for decay in (0.0, 0.75):
        hparams = {**method.hparams, "ema_decay": decay}
        state, average = begun, 2.0
        for i in range(1, 4):
            state, _ = step(KEY, state, given, hparams)
            raw = 2 * 0.7**i  # each step takes 0.5 * 0.6 of it
            average = decay * average + (1 - decay) * raw
        np.testing.assert_allclose(state.params["a"], raw, rtol=1e-12)
        np.testing.assert_allclose(state.running["average"]["a"], average, rtol=1e-12)
        if decay == 0:
            assert state.running["average"]["a"] == state.params["a"]
        for seen in (
            method.evaluate(KEY, state, given, hparams)["w"],
            method.views.decode(state, jnp.ones(2), hparams),
            method.views.sample(KEY, state, 2, hparams),
        ):
            np.testing.assert_allclose(seen, [average, average], rtol=1e-12)
    assert method.views.encode is None
    other = method.init(KEY, given, method.hparams, {"average": {"a": jnp.asarray(5.0)}})
    assert (other.params["a"], other.running["average"]["a"]) == (1, 5)
    with pytest.raises(InputError, match="do not fit the b"):
        method.init(KEY, given, method.hparams, {"average": {"b": jnp.asarray(5.0)}})
    raw = remembering([[scaled(1)]])
    assert raw.views.decode(begun, jnp.ones(1), {}) == 2


def test_a_run_of_everything_that_runs_along_goes_on_bit_for_bit(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    saved = engine.checkpoint.save

    def save_then_die(directory, step, tree, record):
        saved(directory, step, tree, record)
        if step == 2:
            raise Killed

    method = remembering([[scaled(2)], [scaled(1, "b")]], average=["a"])
    given = numbers(np.random.default_rng(0).uniform(size=12))

    def run(*directory):
        lanes = training.grid(b_learning_rate=[0.0, 0.3])
        options = {"batch_size": 4, "evaluate_every": 2, "checkpoint_seconds": 0.0}
        return training.run(method, given, lanes, 6, *directory, **options).groups[0].state

    with monkeypatch.context() as patched:
        patched.setattr(engine.checkpoint, "save", save_then_die)
        with pytest.raises(Killed):
            run(tmp_path / "run")
    whole = run()
    chex.assert_trees_all_equal(run(tmp_path / "run"), whole)
    assert np.all(whole.running["seen"] > 5)
    assert whole.params["b"][0] == 3 > whole.params["b"][1]


def test_what_breaks_one_network_freezes_the_whole_lane():
    """As it was after the step before, all its networks, while its sibling goes on."""
    method = dirac("wasserstein", simultaneous=False)
    zeros = numbers(np.zeros(20))
    # theta + 1e306 psi overflows at the second step, when the critic has moved already
    lanes = training.grid(learning_rate=[1e306, 0.1])
    trained = training.run(method, zeros, lanes, 5, batch_size=10)
    assert [row["status"] for row in trained.rows] == ["frozen", "ok"]
    broken, sound = (training.lane(trained, i)[1] for i in range(2))
    steps = {"learning_rate": 1e306}, {"learning_rate": 0.1}
    for state, hparams, count in zip((broken, sound), steps, (1, 5), strict=True):
        hparams = {**method.hparams, **hparams}
        expected = method.init(KEY, batch(0.0), hparams)
        for _ in range(count):
            expected, _ = jax.jit(method.step)(KEY, expected, batch(0.0), hparams)
        chex.assert_trees_all_close(state.params, expected.params, rtol=1e-12)


def quick(network):
    """The same network with an initializer that is compiled sooner."""

    def init(key, x):
        leaves, structure = jax.tree.flatten(jax.eval_shape(network.init, key, x))
        drawn = jax.random.uniform(key, (sum(leaf.size for leaf in leaves),), minval=-1.0)
        parts = jnp.split(drawn, np.cumsum([leaf.size for leaf in leaves])[:-1])
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return structure.unflatten(shaped)

    return network._replace(init=init)


def test_a_game_whose_first_move_is_a_vaes_trains_as_the_vae_where_the_rest_has_no_weight():
    """FactorVAE: a second player tells latents from their permutations."""
    sizes = (4, (5,)), ((3,), (5,)), (2, (4,))
    encoder, decoder, told = (quick(nets.mlp(*size)) for size in sizes)
    bound = vae_objective(latent_model(encoder, decoder, 2))

    def latents(params, batch):
        return encoder.apply(params["encoder"], batch["image"])[:, :2]

    def coding(key, params, batch, hparams, training):
        values, changes = bound.terms(key, params, batch, hparams, training)
        logits = told.apply(params["critic"], latents(params, batch))
        penalty = hparams["tc_weight"] * (logits[:, 0] - logits[:, 1])
        return {**values, "loss": values["loss"] + penalty}, changes

    def telling(key, params, batch, hparams, training):
        z = latents(params, batch)
        logits = told.apply(params["critic"], z), told.apply(params["critic"], z[::-1])
        joint, mixed = (jax.nn.log_softmax(logit) for logit in logits)
        return {"loss": -joint[:, 0] - mixed[:, 1]}, {}

    def init(key, batch, hparams):
        critic = told.init(jax.random.fold_in(key, 1), jnp.zeros((1, 2)))
        return {**bound.init(key, batch, hparams), "critic": critic}

    moves = [
        Move("vae", ("encoder", "decoder"), coding, learning_rate=1e-3),
        Move("critic", ("critic",), telling),
    ]
    parts = [bound, Numbers({"tc_weight": 0.0}, {"tc_weight": NOT_NEGATIVE})]
    method = game(init, [moves], nothing, Views(), parts=parts)
    alone = methods.vae(encoder, decoder, 2)
    given = batch([0.1, 0.8, 0.3], [0.5, 0.9, 0.2])

    @jax.jit
    def trained(weight):
        hparams = {**method.hparams, "tc_weight": weight}
        begun = [m.init(KEY, given, hparams) for m in (method, alone)]

        def step(states, key):
            both = zip((method, alone), (key, jax.random.split(key)[0]), states, strict=True)
            return [m.step(k, state, given, hparams)[0] for m, k, state in both], None

        return jax.lax.scan(step, begun, jax.random.split(KEY, 5))[0], begun[0].params

    (factor, vae), at_first = trained(0.0)
    critic = factor.params["critic"]
    chex.assert_trees_all_equal(factor.params, {**vae.params, "critic": critic})
    assert np.any(critic["Dense_0"]["kernel"] != at_first["critic"]["Dense_0"]["kernel"])
    weighted = trained(1.0)[0][0].params["encoder"]["Dense_0"]["kernel"]
    assert np.any(weighted != vae.params["encoder"]["Dense_0"]["kernel"])


def test_refuses():
    a, b = scaled(1), scaled(1, "b")
    for turns, options, message in (
        ([[a], [a]], {}, "moves need a name each"),
        ([[a], [b]], {"main": "c"}, "one of them the main one's, c"),
        ([[a, a._replace(name="c")]], {}, "a moves twice in one turn: give it two"),
        ([[a._replace(repeats=0)]], {}, "repeats of a is 0: use a whole number, 1 or more"),
        ([[a]], {"parts": [Numbers({"learning_rate": 1.0})]}, "share the hyperparameter"),
        ([[a._replace(moves="a")]], {}, r"a moves several networks: give \('a',\)"),
    ):
        with pytest.raises(InputError, match=message):
            remembering(turns, **options)
    unknown = a._replace(moves=("a", "z"))
    for method in (remembering([[unknown]]), remembering([[a]], average=["z"])):
        with pytest.raises(InputError, match="there is no network z: they are a, b"):
            method.init(KEY, batch(1.0), method.hparams)
