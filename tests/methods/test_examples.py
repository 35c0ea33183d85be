"""The examples are those that the contract tests' steps and margins were chosen for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax.core import Method, Views
from tests.methods.examples import REGISTRY
from tests.methods.registered import sample_discrepancy

#: Examples to learn from, numbers in the parameters, size of the latents, of those with margins
#: chosen for these.
SIZES = {
    "autoencoder": (1197, 1120, 16),
    "classifier": (1197, 2778, 16),
    "stage": (1197, 2820, 4),
    "vae": (1197, 4616, 4),
    "rbm": (1197, None, 16),
    "boltzmann_machine": (1197, None, 4),
    "deep_belief_network": (1197, None, 16),
    "gan": (1197, 4385, None),
    "recurrent_autoencoder": (1197, 2380, 8),
    "skip_gram": (2000, 8000, 4),
}
#: What is not a factory's default.
CHOSEN = {
    "autoencoder": {
        "contractive_weight": 1e-3,
        "sparsity_weight": 1e-2,
        "sparsity_target": 0.2,
        "sparsity_momentum": 0.9,
        "l1_weight": 1e-4,
        "weight_decay": 1e-5,
        "k": 12,
        "dropout_rate": 0.1,
    },
    "rbm": {"sparsity_weight": 0.01},
    "gan": {"learning_rate": 1e-3},
    "skip_gram": {"learning_rate": 0.03},
}


@pytest.mark.parametrize("name", REGISTRY)
def test_examples_are_small(name):
    row = REGISTRY[name]
    method, dataset = row.example(), row.data()
    batch = jax.eval_shape(dataset.fetch, dataset.arrays, np.arange(4))
    key = jax.random.key(0)
    state = jax.eval_shape(method.init, key, batch, dict(method.hparams))
    kept = sum(leaf.size for leaf in jax.tree.leaves(method.inference(state)))
    assert dataset.size <= 2000
    assert kept <= 12_000
    examples, numbers, latents = SIZES.get(name, (dataset.size, None, None))
    assert dataset.size == examples
    assert numbers in (kept, None)
    if latents is not None:
        encoded = jax.eval_shape(method.views.encode, state, batch, dict(method.hparams))
        assert encoded.shape == (4, latents)
    assert method.hparams.items() >= CHOSEN.get(name, {}).items()
    assert row.steps <= 600
    assert row.improvement <= 0.85


def test_samples_are_compared_with_as_many_examples():
    """Of a point mass at 0 and one at a distance of 2: 2 (1 - exp(-2^2 / (2 2^2)))."""
    views = Views(sample=lambda key, state, count, hparams: jnp.zeros((count, 2, 2, 1)))
    method, batch = Method({}, None, None, None, views), {"image": jnp.ones((5, 2, 2, 1))}
    found = sample_discrepancy(method, None, None, batch, {})
    np.testing.assert_allclose(found, 2 * (1 - np.exp(-0.5)), rtol=1e-5)
