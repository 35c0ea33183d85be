import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.methods import bottlenecks


def test_k_sparse_passes_the_k_largest_units():
    latent = jnp.array([[3.0, -1.0, 2.0, 0.5], [0.0, 4.0, 1.0, 2.0]])
    k_sparse = bottlenecks.k_sparse(2)
    for k, expected in {
        1: [[3, 0, 0, 0], [0, 4, 0, 0]],
        2: [[3, 0, 2, 0], [0, 4, 0, 2]],
        4: [[3, -1, 2, 0.5], [0, 4, 1, 2]],
    }.items():
        np.testing.assert_array_equal(k_sparse.apply(latent, {"k": float(k)}), expected)
    for k in (9.0, 1e30):
        np.testing.assert_array_equal(k_sparse.apply(latent, {"k": k}), latent)
    assert k_sparse.hparams == {"k": 2}
    slope = jax.grad(lambda z: jnp.sum(k_sparse.apply(z, {"k": 2.0})))(latent)
    np.testing.assert_array_equal(slope, [[1, 0, 1, 0], [0, 1, 0, 1]])


def test_dropout_and_noise_act_in_training_only():
    latent = jax.random.normal(jax.random.key(0), (200, 50))
    assert bottlenecks.dropout().hparams == {"dropout_rate": 0.5}
    assert bottlenecks.noise().hparams == {"latent_noise": 0.1}
    for bottleneck in (bottlenecks.dropout(0.5), bottlenecks.noise(0.5)):
        np.testing.assert_array_equal(bottleneck.apply(latent, bottleneck.hparams), latent)
        trained = bottleneck.train(jax.random.key(1), latent, bottleneck.hparams)
        other = bottleneck.train(jax.random.key(2), latent, bottleneck.hparams)
        assert np.any(other != trained)
        # noise of variance 1/4; of a unit of variance 1, kept twice as large or lost: variance 1
        expected = 0.25 if "latent_noise" in bottleneck.hparams else 1.0
        np.testing.assert_allclose(jnp.mean((trained - latent) ** 2), expected, rtol=0.05)
        np.testing.assert_allclose(jnp.mean(trained - latent), 0, atol=0.05)


def test_k_sparse_takes_any_leading_axes():
    latent = np.random.RandomState(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = bottlenecks.k_sparse(2).apply(jnp.asarray(latent), {"k": 2.0})
    alone = [bottlenecks.k_sparse(2).apply(jnp.asarray(x), {"k": 2.0}) for x in latent]
    np.testing.assert_array_equal(found, np.stack(alone))
