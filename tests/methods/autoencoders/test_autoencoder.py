import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import corruptions, data, losses, methods, nets, training
from ae_jax.core import FRACTION, NOT_NEGATIVE, POSITIVE, InputError
from ae_jax.methods import bottlenecks, penalties
from tests.methods.drawn import drawn

SHAPE = (4, 4, 1)


def batch(count=6, seed=0):
    return {"image": jax.random.uniform(jax.random.key(seed), (count, *SHAPE))}


def sigmoid_layer(size=5):
    return nets.mlp(size, (), output_activation="sigmoid")


KEY = jax.random.key(4)


def noisy(key, x, level):
    return x + level * jax.random.normal(key, x.shape, x.dtype)


def all_penalties(momentum=None):
    return [
        penalties.contractive(0.5),
        penalties.sparsity(0.25, 0.1, momentum=momentum),
        penalties.l1(2.0),
        penalties.weight_decay(3.0),
    ]


#: What an autoencoder may have besides its networks: nothing, penalties, everything.
PARTS = {
    "plain": {},
    "penalized": {"penalties": all_penalties(), "reconstruction": methods.observations.bernoulli()},
    "everything": {
        "penalties": [penalties.contractive(0.5, "hutchinson", 2), *all_penalties(0.75)[1:]],
        "corruption": noisy,
        "corruption_level": 0.2,
        "bottlenecks": [bottlenecks.k_sparse(3), bottlenecks.noise(0.3)],
        "tie": nets.transposed,
    },
}


def kl(rate, target):
    off = (1 - target) * jnp.log((1 - target) / (1 - rate))
    return jnp.sum(target * jnp.log(target / rate) + off)


def by_hand(name, params, x, key, training):
    """Each example's loss and error, and the means of h, as they are trained or concluded."""
    everything = name == "everything" and training
    keys = jax.random.split(key, 6)
    flat = x.reshape(x.shape[0], -1)
    encoder, decoder = params["encoder"]["Dense_0"], params["decoder"]["Dense_0"]

    def hidden_of(x):
        return jax.nn.sigmoid(x @ encoder["kernel"] + encoder["bias"][None])

    shown = noisy(keys[0], x, 0.2).reshape(flat.shape) if everything else flat
    hidden = hidden_of(shown)
    if everything:
        hidden = noisy(keys[1], hidden, 0.1)
    code = hidden
    if name == "everything":  # the three largest of five
        code = jnp.where(hidden >= jnp.sort(hidden, axis=1)[:, 2:3], hidden, 0.0)
    if everything:
        code = noisy(keys[5], code, 0.3)
    kernel = encoder["kernel"].T if name == "everything" else decoder["kernel"]
    outputs = code @ kernel + decoder["bias"][None]
    if everything:
        outputs = noisy(keys[2], outputs.reshape(x.shape), 0.1).reshape(flat.shape)
    if name == "penalized":
        error = jnp.sum(jax.nn.softplus(outputs) - flat * outputs, axis=1)
    else:
        error = jnp.sum((outputs - flat) ** 2, axis=1)
    if name == "plain":
        return error, error, None
    # sum_ij (dh_j / dx_i)^2 = sum_j (h_j (1 - h_j))^2 sum_i W_ij^2, of clean examples
    slopes = hidden_of(flat) * (1 - hidden_of(flat))
    jacobian = slopes**2 @ jnp.sum(encoder["kernel"] ** 2, axis=0)
    if name == "everything":
        jacobian = losses.contractive_hutchinson(
            jax.random.fold_in(keys[3], 0), lambda one: hidden_of(one[None])[0], flat, 2
        )
    squares = jnp.sum(encoder["kernel"] ** 2)
    squares += 0 if name == "everything" else jnp.sum(decoder["kernel"] ** 2)
    rate = jnp.mean(hidden, axis=0)
    if everything:  # the value is the running mean's, the gradient the batch's
        now = 0.75 * params["penalties"]["1"] + 0.25 * rate
        rate = rate + jax.lax.stop_gradient(now - rate)
    own = 0.5 * jacobian + 2.0 * jnp.sum(hidden, axis=1) + 3.0 * 0.5 * squares
    return error + own + (0.25 * kl(rate, 0.1) if training else 0.0), error, rate


def composed(name, **options):
    networks = sigmoid_layer(), nets.mlp(SHAPE, ())
    if name == "everything":
        networks = map(shaky, networks)
    return methods.autoencoder(*networks, **PARTS[name], **options)


def shaky(network):
    """With noise in its training pass."""
    return network._replace(
        train=lambda key, params, x: (noisy(key, network.apply(params, x), 0.1), {})
    )


def begun(method):
    """A state in which nothing is zero but the optimizer's."""
    state = drawn(method, batch())
    return state._replace(running=jax.tree.map(lambda x: x + 0.3, state.running))


@pytest.mark.parametrize("name", PARTS)
def test_a_step_descends_the_objective(name, x64):
    method = composed(name, learning_rate=0.25, optimizer=optax.identity())
    state, hparams, x = begun(method), dict(method.hparams), batch()["image"]

    @jax.jit
    def both(state):
        def objective(params):
            seen = {**state.running, **params}
            loss, error, rate = by_hand(name, seen, x, KEY, training=True)
            return jnp.mean(loss), (jnp.mean(error), rate)

        expected = jax.value_and_grad(objective, has_aux=True)(state.params)
        return method.step(KEY, state, batch(), hparams), expected

    (after, info), ((loss, (error, rate)), gradient) = both(state)
    moved = jax.tree.map(lambda p, g: p - 0.25 * g, state.params, gradient)
    chex.assert_trees_all_close(after.params, moved, rtol=1e-10, atol=1e-12)
    running = {"penalties": {"1": rate}} if name == "everything" else {}
    chex.assert_trees_all_close(after.running, running, rtol=1e-12)
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(info["reconstruction"], error, rtol=1e-12)


@pytest.mark.parametrize("name", PARTS)
def test_evaluation_is_clean_and_concludes_over_the_whole_set(name, x64):
    """Of 5 examples at once and in batches of 2, the last of them padded."""
    method, data_set = composed(name), batch(5, seed=5)["image"]
    state, hparams = begun(method), dict(method.hparams)
    cut = np.minimum(np.arange(6), 4).reshape(3, 2)

    @jax.jit
    def evaluated(state, hparams):
        whole = method.evaluate(KEY, state, {"image": data_set}, hparams)
        parts = jax.vmap(lambda x: method.evaluate(KEY, state, {"image": x}, hparams))(
            data_set[cut]
        )
        parts = jax.tree.map(lambda x: x.reshape(6, *x.shape[2:]), parts)
        concluded = []
        if method.conclude:
            concluded = [
                method.conclude(values, jnp.arange(count) < 5, hparams)
                for values, count in ((whole, 5), (parts, 6))
            ]
        by_hands = by_hand(name, state.params, data_set, KEY, training=False)
        return by_hands, whole, parts, concluded

    (loss, error, rate), whole, parts, found = evaluated(state, hparams)
    np.testing.assert_allclose(whole["loss"], loss, rtol=1e-12)
    np.testing.assert_allclose(whole["reconstruction"], error, rtol=1e-12)
    if name == "plain":
        assert method.conclude is None
        np.testing.assert_array_equal(whole["squared_error"], whole["loss"])
        return
    sparse = 0.25 * kl(rate, 0.1)
    for values, concluded in zip((whole, parts), found, strict=True):
        assert set(concluded) == {"loss"}
        mean = np.mean(values["loss"][:5])  # an estimate draws each batch's signs
        np.testing.assert_allclose(concluded["loss"], mean + sparse, rtol=1e-12)
        if name == "penalized":
            np.testing.assert_allclose(mean, np.mean(loss), rtol=1e-12)


def test_its_defaults():
    method = methods.autoencoder(sigmoid_layer(), nets.mlp(SHAPE, ()), corruption=noisy)
    assert method.hparams == {"learning_rate": 1e-3, "corruption_level": 0.3}
    assert method.domains == {"learning_rate": POSITIVE, "corruption_level": NOT_NEGATIVE}
    masked = methods.autoencoder(
        sigmoid_layer(), sigmoid_layer(), corruption=corruptions.masking, penalties=[penalties.l1()]
    )
    assert masked.domains["corruption_level"] == FRACTION
    assert masked.domains.items() >= penalties.l1().domains.items()
    assert "corruption_level" not in methods.autoencoder(sigmoid_layer(), sigmoid_layer()).hparams
    adam = composed("plain", optimizer=optax.scale_by_adam())
    both = adam, composed("plain")
    states = [begun(m) for m in both]
    chex.assert_trees_all_equal(*states)
    hparams = dict(adam.hparams)
    steps = jax.jit(lambda state: [m.step(KEY, state, batch(), hparams) for m in both])(states[0])
    chex.assert_trees_all_equal(*steps)


def test_two_parts_cannot_share_a_hyperparameter():
    with pytest.raises(InputError, match="l1_weight"):
        methods.autoencoder(
            sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.l1(), penalties.l1()]
        )


def test_training_sees_corrupted_inputs_and_compares_with_clean_ones(x64):
    seen = []

    def corruption(key, x, level):
        seen.append(level)
        return jnp.zeros_like(x) + level

    method = methods.autoencoder(
        sigmoid_layer(), nets.mlp(SHAPE, ()), corruption=corruption, corruption_level=0.25
    )
    hparams, constant = dict(method.hparams), {"image": jnp.full((6, *SHAPE), 0.25)}

    @jax.jit
    def looked_at(state, hparams):
        _, info = method.step(KEY, state, batch(), hparams)
        assert {leaf.shape for leaf in seen} == {()}
        values = method.evaluate(KEY, state, batch(), hparams)
        before = len(seen)
        outputs = [method.views.reconstruct(state, x, hparams) for x in (constant, batch())]
        assert len(seen) == before  # views show the encoder what there is
        return info, values, [losses.squared_error(x, batch()["image"]) for x in outputs]

    info, values, (of_constant, of_clean) = looked_at(begun(method), hparams)
    np.testing.assert_allclose(info["loss"], np.mean(of_constant), rtol=1e-12)
    np.testing.assert_allclose(values["loss"], of_clean, rtol=1e-12)
    np.testing.assert_allclose(values["shown_squared_error"], of_constant, rtol=1e-12)


def test_a_tied_decoder_has_biases_only_and_gradients_through_both_uses(x64):
    encoder, decoder = sigmoid_layer(3), nets.mlp(SHAPE, ())
    # with plain gradient descent a step's change is minus the gradient
    method = methods.autoencoder(
        encoder, decoder, tie=nets.transposed, learning_rate=1.0, optimizer=optax.identity()
    )
    state = begun(method)
    assert jax.tree.map(jnp.shape, state.params["decoder"]) == {"Dense_0": {"bias": (16,)}}

    flat = batch()["image"].reshape(6, -1)

    def by_hand(kernel, bias, own):
        hidden = jax.nn.sigmoid(flat @ kernel + bias[None])
        return jnp.mean(jnp.sum((hidden @ kernel.T + own[None] - flat) ** 2, axis=1))

    @jax.jit
    def both(state):
        layer = state.params["encoder"]["Dense_0"]
        own = state.params["decoder"]["Dense_0"]["bias"]
        expected = jax.grad(by_hand, argnums=(0, 1, 2))(layer["kernel"], layer["bias"], own)
        return method.step(KEY, state, batch(), dict(method.hparams))[0], expected

    after, expected = both(state)
    change = jax.tree.map(jnp.subtract, state.params, after.params)
    found = (*[change["encoder"]["Dense_0"][name] for name in ("kernel", "bias")],)
    found = (*found, change["decoder"]["Dense_0"]["bias"])
    chex.assert_trees_all_close(found, expected, rtol=1e-10)


def test_a_tied_decoder_must_mirror_the_encoder():
    method = methods.autoencoder(nets.mlp(3, (8,)), nets.mlp(SHAPE, (7,)), tie=nets.transposed)
    with pytest.raises(InputError, match="widths in reverse"):
        jax.eval_shape(method.evaluate, KEY, begun(method), batch(), dict(method.hparams))


def test_running_statistics_live_beside_the_parameters():
    method = methods.autoencoder(
        sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.sparsity(0.1, momentum=0.9)]
    )
    state = begun(method)
    assert state.params.keys() == {"encoder", "decoder"}
    before = state.running["penalties"]["0"]

    @jax.jit
    def moved(state):
        after, _ = method.step(KEY, state, batch(seed=3), dict(method.hparams))
        latent = method.views.encode(state, batch(seed=3), dict(method.hparams))
        return after.running["penalties"]["0"], jnp.mean(latent, axis=0)

    now, rate = moved(state)
    np.testing.assert_allclose(now, 0.9 * before + 0.1 * rate, rtol=1e-6)


def test_starts_from_given_parameters_and_running_statistics_begin_with_them():
    method = methods.autoencoder(
        sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.sparsity(0.1, momentum=0.9)]
    )
    given, hparams = {"encoder": begun(method).params["encoder"]}, dict(method.hparams)

    @jax.jit
    def both():
        plain, state = (method.init(KEY, batch(), hparams, *start) for start in ((), (given,)))
        return plain, state, jnp.mean(method.views.encode(state, batch(), hparams), axis=0)

    plain, state, rate = both()
    chex.assert_trees_all_equal(state.params, {**plain.params, **given})
    np.testing.assert_allclose(state.running["penalties"]["0"], rate, rtol=1e-6)
    assert np.all(np.abs(plain.running["penalties"]["0"] - rate) > 1e-3)
    other = methods.autoencoder(sigmoid_layer(7), nets.mlp(SHAPE, ()))
    with pytest.raises(InputError, match="do not fit the encoder"):
        jax.eval_shape(other.init, KEY, batch(), dict(other.hparams), given)


def test_a_combined_sweep_over_all_strengths_is_one_compilation():
    method = methods.autoencoder(
        sigmoid_layer(),
        nets.mlp(SHAPE, ()),
        penalties=[penalties.contractive(), penalties.sparsity()],
        corruption=corruptions.masking,
        tie=nets.transposed,
    )
    lanes = training.grid(
        contractive_weight=[0.0, 1e-2],
        sparsity_weight=[0.0, 1e-2],
        sparsity_target=[0.05, 0.2],
        corruption_level=[0.0, 0.5],
        seed=0,
    )
    images = data.stored(np.asarray(batch(40)["image"]))
    result = training.run(method, images, lanes, 5, batch_size=16)
    assert result.compilations == 1
    assert len({row["loss"] for row in result.rows}) > 8


def test_linear_autoencoder_finds_the_principal_subspace(x64):
    # one direction out of three: the discarded variances are what is left
    x = np.random.default_rng(0).standard_normal((400, 3)) * [[3.0, 1.0, 0.5]]
    x = x - x.mean(axis=0, keepdims=True)
    method = methods.autoencoder(nets.mlp(1, ()), nets.mlp(3, ()), learning_rate=0.02)
    data_batch = {"image": x}

    @jax.jit
    def trained(state):
        def step(state, _):
            state, info = method.step(KEY, state, data_batch, dict(method.hparams))
            return state, info["reconstruction"]

        return jax.lax.scan(step, state, length=600)[1]

    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    error = trained(drawn(method, data_batch))[-1]
    np.testing.assert_allclose(error, eigenvalues[:2].sum(), rtol=1e-4)
