"""Penalties alone, and what they refuse; their sum is tested in test_autoencoder.py."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import losses, methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import penalties
from tests.methods.drawn import drawn

SHAPE = (4, 4, 1)
KEY = jax.random.key(4)


def batch():
    return {"image": jax.random.uniform(jax.random.key(0), (6, *SHAPE))}


def begin(method):
    return jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))


def sigmoid_layer(size=5):
    return nets.mlp(size, (), output_activation="sigmoid")


def kl(rate, target):
    return target * np.log(target / rate) + (1 - target) * np.log((1 - target) / (1 - rate))


def test_the_three_contractive_penalties_agree(x64):
    three = [
        methods.autoencoder(
            sigmoid_layer(), nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, way, 4000)]
        )
        for way in ("jacobian", "sigmoid", "hutchinson")
    ]

    @jax.jit
    def evaluated(state):
        return [m.evaluate(KEY, state, batch(), dict(m.hparams))["loss"] for m in three]

    wanted, closed, estimate = evaluated(drawn(three[0], batch()))
    np.testing.assert_allclose(closed, wanted, rtol=1e-12)
    np.testing.assert_allclose(estimate, wanted, rtol=0.01)


def scaled_sigmoid(slope=1.0, skip=0.0):
    """sigmoid(slope x W) + skip x W, of one kernel."""

    def apply(params, x):
        z = x.reshape(x.shape[0], -1) @ params
        return jax.nn.sigmoid(slope * z) + skip * z

    return Network(lambda key, x: jnp.ones((16, 5), x.dtype), apply)


@pytest.mark.parametrize(
    "encoder",
    [
        *(nets.mlp(5, (), output_activation=ends) for ends in ("tanh", "relu", "linear", "binary")),
        nets.mlp(5, (3,), output_activation="sigmoid"),
        scaled_sigmoid(2.0),
        scaled_sigmoid(-1.0),
        scaled_sigmoid(skip=0.03),
    ],
)
def test_the_closed_form_refuses_what_is_not_one_sigmoid_layer(encoder):
    method = methods.autoencoder(
        encoder, nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, "sigmoid")]
    )
    with pytest.raises(InputError, match="one dense sigmoid layer"):
        jax.eval_shape(method.init, KEY, batch(), dict(method.hparams))


@pytest.mark.parametrize("encoder", [sigmoid_layer(1), sigmoid_layer(300), scaled_sigmoid()])
def test_the_closed_form_takes_every_sigmoid_layer(encoder):
    method = methods.autoencoder(
        encoder, nets.mlp(SHAPE, ()), penalties=[penalties.contractive(1.0, "sigmoid")]
    )
    init = jax.vmap(method.init, in_axes=(0, None, None))  # traced, as in a sweep
    jax.eval_shape(init, jax.random.split(KEY), batch(), dict(method.hparams))


def test_sparsity_refuses_latents_that_are_a_little_above_a_rate():
    layer = sigmoid_layer()
    method = methods.autoencoder(
        Network(layer.init, lambda params, x: 1.5 * layer.apply(params, x)),
        nets.mlp(SHAPE, ()),
        penalties=[penalties.sparsity()],
    )
    with pytest.raises(InputError, match="leaves the range of sigmoid units"):
        begin(method)


def test_their_defaults():
    assert penalties.contractive().hparams == {"contractive_weight": 1.0}
    assert penalties.sparsity().hparams == {"sparsity_weight": 1.0, "sparsity_target": 0.05}
    assert penalties.l1().hparams == {"l1_weight": 1.0}
    assert penalties.weight_decay().hparams == {"weight_decay": 1e-4}
    kernel = jax.random.normal(KEY, (16, 5))
    seen = penalties.Pass({}, lambda x: jnp.tanh(x @ kernel), jnp.ones((2, 16)), jnp.ones((2, 5)))
    estimates = [
        penalties.contractive(1.0, "hutchinson", *samples).apply(
            KEY, seen, {"contractive_weight": 1.0}
        )
        for samples in ((), (1,), (2,))
    ]
    np.testing.assert_array_equal(estimates[0], estimates[1])
    assert np.all(estimates[0] != estimates[2])


def test_an_unknown_way_to_the_jacobian_is_refused():
    with pytest.raises(InputError, match="jacobian, sigmoid or hutchinson"):
        penalties.contractive(1.0, "fast")
    with pytest.raises(InputError, match="samples is 0: use a whole number, 1 or more"):
        penalties.contractive(1.0, "hutchinson", samples=0)


def test_running_sparsity_is_a_running_mean_with_the_batch_gradient(x64):
    penalty = penalties.sparsity(1.0, 0.2, momentum=0.75)
    hidden = jax.nn.sigmoid(jax.random.normal(jax.random.key(0), (6, 3)))
    running = jnp.array([0.1, 0.2, 0.9])

    def seen(latent, running):
        return penalties.Pass({}, lambda x: x, latent, latent, running)

    np.testing.assert_allclose(
        penalty.run(seen(hidden, running), penalty.hparams),
        0.75 * running + 0.25 * jnp.mean(hidden, axis=0),
    )
    np.testing.assert_allclose(
        penalty.run(seen(hidden, None), penalty.hparams), jnp.mean(hidden, axis=0)
    )

    def value(latent):
        return penalty.apply(jax.random.key(0), seen(latent, running), penalty.hparams)[0]

    rho = 0.2
    kl = rho * np.log(rho / running) + (1 - rho) * np.log((1 - rho) / (1 - running))
    found, gradient = jax.jit(jax.value_and_grad(value))(hidden)
    np.testing.assert_allclose(found, kl.sum(), rtol=1e-12)
    slope = ((1 - rho) / (1 - running) - rho / running) / 6
    np.testing.assert_allclose(gradient, np.broadcast_to(slope, (6, 3)), rtol=1e-12, atol=1e-15)


def test_what_is_not_present_may_be_anything():
    penalty = penalties.sparsity(2.0, 0.25)
    latent = np.array([[0.5, 0.25], [0.25, 0.75], [np.nan, np.inf]], np.float32)
    value = penalty.over(latent, np.array([True, True, False]), penalty.hparams)
    np.testing.assert_allclose(value, 2 * kl(np.array([0.375, 0.5]), 0.25).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("activation", "inside"),
    [
        ("sigmoid", {"sigmoid", "binary"}),
        ("tanh", {"sigmoid", "binary", "tanh"}),
        ("relu", {"sigmoid", "binary", "relu", "softplus"}),
    ],
)
def test_sparsity_refuses_latents_that_are_no_rates(activation, inside):
    for ends in ("sigmoid", "binary", "tanh", "relu", "softplus", "linear"):
        method = methods.autoencoder(
            nets.mlp(5, (), output_activation=ends),
            nets.mlp(SHAPE, ()),
            penalties=[penalties.sparsity(activation=activation)],
        )
        if ends in inside:
            assert begin(method).params
        else:
            with pytest.raises(InputError, match=f"leaves the range of {activation} units"):
                begin(method)
    with pytest.raises(InputError, match="no rate"):
        penalties.sparsity(activation="linear")


RAE = {
    "W": np.array([[0.8, -0.3], [0.1, 0.9], [-0.5, 0.4]]),
    "z": np.array([[0.4, -0.7], [0.0, 0.0]]),
}


@pytest.mark.parametrize("method", ["jacobian", "hutchinson"])
def test_the_decoders_jacobian_is_of_its_outputs_by_the_latent(method, x64):
    weights, z = RAE["W"], jnp.asarray(RAE["z"])
    penalty = penalties.decoder_jacobian(2.0, method, 4000)
    tolerance = {"atol": 1e-10} if method == "jacobian" else {"rtol": 0.05}

    def of(decode):
        seen = penalties.Pass({}, lambda x: x, z, z, decode=decode)
        return penalty.apply(KEY, seen, penalty.hparams) / 2

    found = of(lambda z: jnp.tanh(weights @ z))
    np.testing.assert_allclose(found, [1.11367543733, np.sum(weights**2)], **tolerance)
    assert abs(found[0] - 0.62520429986) > 0.1  # of the sum of the outputs
    np.testing.assert_allclose(of(lambda z: weights @ z + 1), [1.96] * 2, **tolerance)


def test_the_latents_length_is_halved_and_squared(x64):
    z = jnp.asarray(RAE["z"])
    penalty = penalties.latent_norm(3.0)
    seen = penalties.Pass({}, lambda x: x, z, z)
    np.testing.assert_allclose(penalty.apply(KEY, seen, penalty.hparams) / 3, [0.325, 0.0])


def test_a_regularised_autoencoder_is_moved_by_all_three_terms(x64):
    weights = {"latent_norm_weight": 0.3, "decoder_jacobian_weight": 0.2, "weight_decay": 0.1}
    method = methods.autoencoder(
        nets.mlp(2, ()),
        nets.mlp(SHAPE, (4,), "tanh"),
        reconstruction=methods.observations.gaussian(0.5),
        penalties=[
            penalties.latent_norm(),
            penalties.decoder_jacobian(),
            penalties.weight_decay(),
        ],
        optimizer=optax.identity(),
        learning_rate=1.0,
    )
    x = jax.random.uniform(KEY, (3, *SHAPE))
    hparams = {**method.hparams, **weights}
    state = method.init(KEY, {"image": x}, hparams)

    def layer(params, x):
        return x @ params["kernel"] + params["bias"][None]

    @jax.jit
    def expected(params):
        def loss(params):
            z = layer(params["encoder"]["Dense_0"], x.reshape(3, -1))
            first, last = (params["decoder"][f"Dense_{i}"] for i in (0, 1))
            hidden = jnp.tanh(layer(first, z))
            made = layer(last, hidden)
            # J = V' diag(1 - h^2) U'
            jacobian = jnp.einsum("hd,bh,zh->bdz", last["kernel"], 1 - hidden**2, first["kernel"])
            kernels = [params["encoder"]["Dense_0"]["kernel"], first["kernel"], last["kernel"]]
            error = jnp.sum((made - x.reshape(3, -1)) ** 2, axis=1) + 8 * jnp.log(jnp.pi)
            terms = error + 0.3 * jnp.sum(z**2, axis=1) / 2
            terms += 0.2 * jnp.sum(jacobian**2, axis=(1, 2))
            return jnp.mean(terms) + 0.05 * sum(jnp.sum(kernel**2) for kernel in kernels)

        return jax.value_and_grad(loss)(params)

    after, info = jax.jit(method.step)(KEY, state, {"image": x}, hparams)
    loss, slope = expected(state.params)
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-10)
    moved = jax.tree.map(lambda old, new: old - new, state.params, after.params)
    chex.assert_trees_all_close(moved, slope, rtol=1e-8, atol=1e-12)


def test_the_decoders_kernels_alone(x64):
    params = {"encoder": {"kernel": jnp.full((3, 2), 5.0)}, "decoder": {"kernel": RAE["W"]}}
    seen = penalties.Pass(params, lambda x: x, jnp.ones((2, 3)), jnp.ones((2, 2)))
    for of, norm in (("decoder", 1.96), ("encoder", 150.0), (None, 151.96)):
        penalty = penalties.weight_decay(0.1, of)
        found = penalty.apply(KEY, seen, penalty.hparams)
        np.testing.assert_allclose(found, [0.05 * norm] * 2, rtol=1e-12)
    with pytest.raises(InputError, match="unknown network 'both': use encoder or decoder"):
        penalties.weight_decay(of="both")


def test_a_regularised_decoder_of_spectral_norm_1_composes_with_all_penalties(x64):
    method = methods.autoencoder(
        nets.mlp(2, ()),
        nets.spectral(nets.mlp(SHAPE, (4,), "tanh"), iterations=30),
        penalties=[
            penalties.latent_norm(0.3),
            penalties.decoder_jacobian(0.2),
            penalties.weight_decay(0.1, "decoder"),
        ],
    )
    hparams, x = dict(method.hparams), batch()
    state = drawn(method, x)
    # directions of length 1, or their norms are none
    unit = jax.tree.map(lambda v: v / np.linalg.norm(v), state.params["decoder"]["spectral"])
    state.params["decoder"]["spectral"] = unit
    step = jax.jit(method.step)
    for _ in range(2):  # the second begins with directions that are found
        state, info = step(KEY, state, x, hparams)
    assert np.isfinite(info["loss"])
    kernels = [k for k in jax.tree.leaves(state.params["decoder"]["params"]) if k.ndim > 1]
    largest = [np.linalg.norm(kernel, 2) for kernel in kernels]
    assert max(largest) > 1.1  # what is divided by its norm
    z = np.array([0.3, -0.8])

    @jax.jit
    def decoded(state):
        def decode(z):
            return method.views.decode(state, z[None], hparams).ravel()

        return decode(z), jax.jacfwd(decode)(z)

    made, jacobian = decoded(jax.tree.map(jnp.asarray, state))
    layers = jax.tree.map(np.asarray, state.params["decoder"]["params"])
    first, last = (layers[f"Dense_{i}"] for i in (0, 1))
    for layer in (first, last):
        layer["kernel"] = layer["kernel"] / np.linalg.norm(layer["kernel"], 2)
    hidden = np.tanh(z @ first["kernel"] + first["bias"])
    np.testing.assert_allclose(made, hidden @ last["kernel"] + last["bias"], rtol=1e-3)
    # two layers of norm 1, and tanh between: the Jacobian's norm is at most 1
    assert np.linalg.norm(jacobian, 2) <= 1


def test_latents_are_compared_with_draws_of_a_prior(x64):
    z = jax.random.normal(jax.random.key(1), (7, 2))
    part = methods.discrepancies.inverse_multiquadric()
    penalty = penalties.matching(3.0, part)
    drawn_ones = np.asarray(jax.random.normal(jax.random.split(KEY)[1], z.shape))

    def kernel(a, b, c):
        return c / (c + np.sum((a[:, None] - b[None]) ** 2, axis=-1))

    # the seven kernels of 2 Z = 4, summed; unbiased: no point beside itself, cross terms all
    squares = 0.0
    for c in 4 * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10]):
        for a, sign in ((np.asarray(z), 1), (drawn_ones, 1)):
            squares += sign * (kernel(a, a, c).sum() - len(a)) / (len(a) * (len(a) - 1))
        squares -= 2 * kernel(np.asarray(z), drawn_ones, c).mean()
    apply = jax.jit(lambda z: penalty.apply(KEY, penalties.Pass({}, None, z, z), penalty.hparams))
    np.testing.assert_allclose(apply(z), [3 * squares] * 7, rtol=1e-9)
    # padding is not compared
    over, present = jax.jit(penalty.over), np.arange(14) < 7
    padded = [over(np.concatenate([z, other]), present, penalty.hparams) for other in (9 + z, -z)]
    np.testing.assert_allclose(*padded, rtol=1e-12)
    assert penalty.hparams == {"matching_weight": 3.0, "kernel_scale": 1.0}
    with pytest.raises(InputError, match="discrepancy is the function mmd: call it"):
        penalties.matching(discrepancy=methods.discrepancies.mmd)
    with pytest.raises(InputError, match=r"prior is .*probability.priors.normal\(\)"):
        penalties.matching(prior=methods.priors.normal())


def test_a_perceptual_vae_is_an_autoencoder_with_noise_and_a_divergence(x64):
    method = methods.autoencoder(
        nets.mlp(4, ()),
        nets.mlp(SHAPE, (), output_activation="sigmoid"),
        reconstruction=methods.observations.multiscale_ssim(1, 0.5),
        bottlenecks=[methods.bottlenecks.gaussian()],
        penalties=[penalties.divergence(0.3)],
        optimizer=optax.identity(),
    )
    hparams, x = dict(method.hparams), batch()
    state = drawn(method, x)
    assert state.params["decoder"]["Dense_0"]["kernel"].shape == (2, 16)
    assert method.views.sample is method.views.log_likelihood is None

    @jax.jit
    def everything(state):
        values = method.evaluate(KEY, state, x, hparams)
        steps = [method.step(jax.random.key(i), state, x, hparams)[1]["loss"] for i in range(2)]
        made = method.views.reconstruct(state, x, hparams)
        unlike = 1 - losses.ssim(made, x["image"])
        return values, steps, method.views.encode(state, x, hparams), unlike

    values, steps, code, unlike = everything(state)
    layer = jax.tree.map(np.asarray, state.params["encoder"]["Dense_0"])
    outputs = np.asarray(x["image"]).reshape(6, 16) @ layer["kernel"] + layer["bias"]
    mean, log_var = outputs[:, :2], outputs[:, 2:]
    np.testing.assert_allclose(code, mean, rtol=1e-12)
    kl = (mean**2 + np.exp(log_var) - 1 - log_var).sum(1) / 2
    # for each of 16 pixels, by a weight of 1/2
    np.testing.assert_allclose(values["reconstruction"], 8 * unlike, rtol=1e-9)
    np.testing.assert_allclose(values["loss"], 8 * unlike + 0.3 * kl, rtol=1e-9)
    assert "elbo" not in values
    assert steps[0] != steps[1]  # draws reach the decoder
    with pytest.raises(InputError, match="a VAE needs a likelihood, and this is a plain error"):
        methods.vae(
            nets.mlp(4), nets.mlp(SHAPE), 2, likelihood=methods.observations.multiscale_ssim()
        )
    odd = methods.autoencoder(
        nets.mlp(3), nets.mlp(SHAPE), bottlenecks=[methods.bottlenecks.gaussian()]
    )
    with pytest.raises(InputError, match=r"means and log-variances, side by side, and gives"):
        begin(odd)
