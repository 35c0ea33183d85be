import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from ae_jax import losses, nets
from ae_jax.core import InputError
from ae_jax.methods import observations
from ae_jax.probability import gaussian


@pytest.mark.parametrize("name", observations.OBSERVATIONS)
def test_equal_outputs_and_data_lose_least_and_means_are_in_data_space(name):
    observation = observations.OBSERVATIONS[name]()
    hparams = dict(observation.hparams)
    outputs = jnp.array([[-2.0, 0.5, 3.0]])
    mean = observation.mean(outputs)
    least = observation.loss(outputs, mean, hparams)
    assert least.shape == (1,)
    assert observation.loss(outputs + 0.1, mean, hparams) > least
    assert observation.loss(outputs - 0.1, mean, hparams) > least


def test_likelihoods_draw_data_and_errors_do_not():
    key, outputs = jax.random.key(0), jnp.array([[0.5, -2.0]]) + jnp.zeros((4000, 2))
    assert observations.gaussian().hparams == {"variance": 1.0}
    assert observations.correntropy().hparams == {"sigma": 0.5}
    drawn = observations.gaussian().sample(key, outputs, {"variance": 0.25})
    np.testing.assert_allclose(
        drawn, outputs + 0.5 * jax.random.normal(key, outputs.shape), rtol=1e-6
    )
    drawn = observations.bernoulli().sample(key, outputs, {})
    assert set(np.unique(drawn)) == {0, 1}
    np.testing.assert_allclose(drawn.mean(axis=0), jax.nn.sigmoid(outputs[0]), atol=0.03)
    for error in (
        observations.squared_error,
        observations.absolute_error,
        observations.correntropy,
    ):
        assert error().sample is None


def test_the_width_of_correntropy_is_a_hyperparameter():
    observation = observations.correntropy(0.3)
    assert observation.hparams == {"sigma": 0.3}
    assert observation.sample is None  # no likelihood
    x_hat, x = jnp.array([[0.0, 1.0]]), jnp.array([[0.2, 0.1]])
    for sigma in (0.3, 2.0):
        np.testing.assert_array_equal(
            observation.loss(x_hat, x, {"sigma": sigma}), losses.correntropy(x_hat, x, sigma)
        )
    # an outlier costs at most 2 sigma^2
    loss = observation.loss(jnp.array([[1e3]]), jnp.zeros((1, 1)), observation.hparams)
    np.testing.assert_allclose(loss, [0.18], rtol=1e-6)


def test_a_learned_variance_is_read_from_the_outputs_other_half():
    observation = observations.learned_gaussian(1e-2)
    assert observation.hparams == {"least_variance": 1e-2}
    outputs = jnp.array([[[0.5, -1.0, -9.0, 0.3]]])
    x = jnp.array([[[0.4, 0.7]]])
    np.testing.assert_array_equal(observation.mean(outputs), [[[0.5, -1.0]]])
    for least in (1e-2, 1e-8):
        variance = np.exp([-9, 0.3]) + least
        expected = np.sum((np.array([0.1, 1.7]) ** 2 / variance + np.log(2 * np.pi * variance)) / 2)
        loss = observation.loss(outputs, x, {"least_variance": least})
        np.testing.assert_allclose(loss, [expected], rtol=1e-4)
        many = jnp.broadcast_to(outputs, (4000, 1, 4))
        drawn = observation.sample(jax.random.key(0), many, {"least_variance": least})
        np.testing.assert_allclose(drawn.std(axis=(0, 1)), np.sqrt(variance), rtol=0.06)
        np.testing.assert_allclose(drawn.mean(axis=(0, 1)), [0.5, -1.0], atol=0.1)
    # however far an output falls, a pixel that never changes has no more density than that
    least = observation.loss(
        jnp.array([[[0.5, -200.0]]]), jnp.array([[[0.5]]]), {"least_variance": 1e-2}
    )
    np.testing.assert_allclose(least, [np.log(2 * np.pi * 1e-2) / 2], rtol=1e-5)
    with pytest.raises(InputError, match=r"twice the data's channels, and gives \[1, 3\]"):
        observation.loss(jnp.zeros((1, 3)), x, {"least_variance": least})


def test_a_shared_variance_is_best_at_the_error_of_the_whole_data():
    decoder = nets.shared_scale(nets.mlp(2, ()), initial=-1.0)
    latent, x = jnp.ones((5, 3)), jax.random.normal(jax.random.key(1), (5, 2))
    params = decoder.init(jax.random.key(0), latent)
    outputs = decoder.apply(params, latent)
    assert outputs.shape == (5, 4)
    np.testing.assert_array_equal(outputs[:, 2:], -1)
    observation = observations.learned_gaussian(1e-12)
    error = jnp.mean((x - outputs[:, :2]) ** 2)

    def total(scale):
        outputs = decoder.apply({**params, "scale": scale}, latent)
        return jnp.mean(observation.loss(outputs, x, observation.hparams))

    value, slope = jax.value_and_grad(total)(jnp.log(error))
    np.testing.assert_allclose(slope, 0, atol=1e-5)
    np.testing.assert_allclose(value, np.log(2 * np.pi * error) + 1, rtol=1e-5)
    assert abs(jax.grad(total)(jnp.log(error) + 0.5)) > 0.1
    assert decoder.train is None
    noisy = nets.shared_scale(nets.chain(nets.dropout(0.5), nets.mlp(2, ())))
    params = noisy.init(jax.random.key(0), latent)
    drawn, moved = noisy.train(jax.random.key(2), params, latent)
    assert moved == {"network": {}}
    assert drawn.shape == (5, 4)
    assert not np.allclose(drawn, noisy.apply(params, latent))


def test_levels_are_predicted_by_location_and_scale():
    observation = observations.discretised_logistic(5)
    outputs = jnp.array([[0.4, 1.7, -2.0, -1.0]])
    x = jnp.array([[0.5, 1.0]])
    expected = losses.discretised_logistic_nll(outputs[:, :2], x, outputs[:, 2:], 5)
    np.testing.assert_array_equal(observation.loss(outputs, x, {}), expected)
    np.testing.assert_allclose(observation.mean(outputs), [[0.4, 1.0]], rtol=1e-6)
    drawn = observation.sample(jax.random.key(0), jnp.broadcast_to(outputs, (50, 4)), {})
    assert set(np.unique(drawn)) <= {0, 0.25, 0.5, 0.75, 1}
    default = observations.discretised_logistic()
    assert default.loss(outputs, x, {}) > expected  # of 256 levels each has less


def test_grey_levels_have_a_density_of_which_the_mean_is_no_parameter():
    observation = observations.continuous_bernoulli()
    logits = jnp.array([[2.0]]) + jnp.zeros((4000, 1))
    drawn = observation.sample(jax.random.key(0), logits, {})
    # 1 / (1 - e^-2) - 1 / 2, where sigmoid(2) is 0.88
    mean = 1 / (1 - np.exp(-2)) - 1 / 2
    np.testing.assert_allclose(observation.mean(logits)[0], mean, rtol=1e-6)
    assert abs(drawn.mean() - mean) < 4 * drawn.std() / np.sqrt(4000)


def test_the_error_of_an_example_is_its_own_best_variance():
    observation = observations.optimal_gaussian(1e-4)
    assert observation.hparams == {"least_variance": 1e-4}
    assert observation.sample is None  # no likelihood: a VAE refuses it
    mean, x = jnp.array([[0.0, 1.0], [1.0, 1.0]]), jnp.array([[1.0, 1.5], [1.0, 1.0]])
    expected = [-gaussian.log_prob(x[:1], mean[:1], jnp.full((1, 2), np.log(0.625)))[0]]
    expected += [np.log(2 * np.pi * 1e-4)]
    np.testing.assert_allclose(
        observation.loss(mean, x, {"least_variance": 1e-4}), expected, rtol=1e-5
    )
    np.testing.assert_array_equal(observation.mean(mean), mean)


def test_an_unknown_variance_is_one_of_each_example():
    observation = observations.student(3.0, 0.04)
    assert observation.hparams == {"degrees": 3.0, "variance": 0.04}
    mean = jnp.tile(jnp.array([[1.0, -1.0]]), (4000, 1))
    x, hparams = mean[:2] + 0.3, {"degrees": 5.0, "variance": 0.1}
    np.testing.assert_array_equal(
        observation.loss(mean[:2], x, hparams), losses.student_nll(mean[:2], x, 5.0, 0.1)
    )
    drawn = observation.sample(jax.random.key(3), mean, hparams)
    error = np.asarray(drawn - mean, float) / np.sqrt(0.1)
    for column in error.T:
        assert stats.kstest(column, stats.t(5).cdf).pvalue > 0.01
    # sizes of errors go together, which is what one variance means
    assert np.corrcoef(np.abs(error).T)[0, 1] > 0.1
    np.testing.assert_array_equal(observation.mean(mean), mean)


def test_classes_are_those_of_the_nearest_centre_and_reconstruct_by_an_annealed_mean(x64):
    """Against SciPy, and against (a, b) = sum_q c_q z_q^(1/T) / sum_q z_q^(1/T)."""
    random = np.random.default_rng(0)
    centres, weights = random.normal(size=(5, 2)), random.uniform(0.5, 2, 5)
    x, logits = random.normal(size=(3, 4, 4, 2)), random.normal(size=(3, 4, 4, 5))
    observation = observations.quantised(centres, 0.38, weights)
    z = special.softmax(logits, axis=-1)
    nearest = np.linalg.norm(x[..., None, :] - centres, axis=-1).argmin(axis=-1)
    chosen = np.take_along_axis(z, nearest[..., None], axis=-1)[..., 0]
    loss = -np.sum(weights[nearest] * np.log(chosen), axis=(1, 2))
    np.testing.assert_allclose(observation.loss(logits, x, {}), loss, rtol=1e-12)
    annealed = z ** (1 / 0.38)
    mean = annealed @ centres / annealed.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(observation.mean(logits), mean, rtol=1e-12)
    plain = observations.quantised(centres, 1.0)
    np.testing.assert_allclose(
        plain.loss(logits, x, {}), -np.sum(np.log(chosen), axis=(1, 2)), rtol=1e-12
    )
    np.testing.assert_allclose(plain.mean(logits), z @ centres, rtol=1e-12)
    sharp = observations.quantised(centres, 1e-3).mean(logits)
    np.testing.assert_allclose(sharp, centres[logits.argmax(axis=-1)], atol=1e-6)
    assert plain.sample is None
    for wrong, message in (
        ((centres[:1],), "two or more"),
        ((centres, 0.0), "temperature is 0.0"),
        ((centres, 1.0, weights[:2]), "as many weights"),
    ):
        with pytest.raises(InputError, match=message):
            observations.quantised(*wrong)


def test_likeness_at_several_scales_is_of_all_pixels_and_no_likelihood():
    observation = observations.multiscale_ssim(2, 0.5)
    assert observation.hparams == {"ssim_weight": 0.5}
    assert observation.sample is None
    outputs, x = np.random.default_rng(0).random((2, 3, 8, 8, 1)).astype(np.float32)

    @jax.jit
    def found(outputs, x):
        twice = [jnp.concatenate([image, image], axis=-1) for image in (outputs, x)]
        likeness = losses.multiscale_ssim(outputs, x, (0.0448 / 0.3304, 0.2856 / 0.3304))
        losts = [observation.loss(*pair, observation.hparams) for pair in ((outputs, x), twice)]
        return *losts, likeness, observation.loss(x, x, observation.hparams)

    once, twice, likeness, equal = found(outputs, x)
    np.testing.assert_allclose(once, 0.5 * 64 * (1 - likeness), rtol=1e-5)
    # of twice as many numbers twice the loss, as of every other: beside nats a mean weighs nothing
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)
    np.testing.assert_allclose(equal, 0, atol=0.05)
    for scales in (0, 6):
        with pytest.raises(InputError, match=f"scales is {scales}: use a whole number, from 1"):
            observations.multiscale_ssim(scales)


def test_a_decoder_gives_data_by_its_observation():
    network = observations.decoding(nets.mlp(3, ()), observations.bernoulli())
    params = {"Dense_0": {"kernel": np.zeros((2, 3)), "bias": np.log([1.0, 3.0, 9.0])}}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    np.testing.assert_allclose(network.apply(params, jnp.ones((1, 2))), [[0.5, 0.75, 0.9]], 1e-6)
    with pytest.raises(InputError, match="observation is the function bernoulli: call it"):
        observations.decoding(nets.mlp(3, ()), observations.bernoulli)


def test_categories_are_one_hot():
    # of images it was one number for each pixel, or a traceback
    loss = observations.categorical().loss
    x = jnp.asarray(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(loss(jnp.zeros((3, 3)), x, {}), np.log(3), rtol=1e-6)
    for logits, image in ((jnp.zeros((3, 2)), x), (x[None, ..., None], x[None, ..., None])):
        with pytest.raises(InputError, match=r"shapes must be equal|one-hot, \[B, V\], got"):
            loss(logits, image, {})
