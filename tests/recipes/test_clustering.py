"""What deep clustering begins with: networks of an autoencoder, and clusters of its latents."""

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from ae_jax import data, methods, nets, probability, training
from ae_jax.core import InputError
from ae_jax.methods import priors
from ae_jax.recipes import clustering


@pytest.fixture(scope="module")
def dataset():
    return data.subset(data.load("digits"), slice(60))


@pytest.fixture(scope="module")
def result(dataset):
    method = methods.autoencoder(nets.mlp(2, ()), nets.mlp((8, 8, 1), ()))
    return training.run(method, dataset, training.grid(seed=[3, 4]), 2, batch_size=20)


def test_lanes_begin_with_their_networks_and_the_best_centres(dataset, result):
    starts = clustering.begun(result, dataset, 3, restarts=2)
    assert [set(start) for start in starts] == [{"encoder", "decoder", "centres"}] * 2
    x = data.all_images(dataset)
    for lane, start in enumerate(starts):
        model = training.model(result, lane)
        latent = np.asarray(model.encode({"image": x}))
        np.testing.assert_allclose(clustering.latents(model, dataset), latent, rtol=1e-5, atol=1e-6)
        best = KMeans(3, n_init=2, random_state=3 + lane).fit(latent)
        np.testing.assert_allclose(start["centres"], best.cluster_centers_, rtol=1e-4, atol=1e-5)
        own = model.state.params
        for name in ("encoder", "decoder"):
            jax.tree.map(np.testing.assert_array_equal, start[name], own[name])


def test_vaes_begin_with_the_mixture_of_their_latents(dataset):
    method = methods.vae(
        nets.mlp(4, ()), nets.mlp((8, 8, 1), ()), 2, prior=priors.gaussian_mixture(3)
    )
    lanes = training.grid(beta=0.0, seed=3)
    result = training.run(method, dataset, lanes, 2, batch_size=20)
    (start,) = clustering.begun_mixture(result, dataset, 3, restarts=2)
    model = training.model(result, 0)
    latent = np.asarray(model.encode({"image": data.all_images(dataset)}))
    for name in ("encoder", "decoder"):
        jax.tree.map(np.testing.assert_array_equal, start[name], model.state.params[name])
    mixture = GaussianMixture(3, covariance_type="diag", n_init=2, random_state=3)
    mixture.fit(latent.astype(np.float64))
    responsible = jax.jit(probability.gaussian_mixture.log_responsibilities)
    found = np.exp(responsible(latent, **start["prior"]))
    np.testing.assert_allclose(found, mixture.predict_proba(latent), atol=1e-2)
    weights = np.exp(start["prior"]["logits"])
    np.testing.assert_allclose(weights, mixture.weights_, rtol=1e-2)
    batch = data.head(dataset, 2)
    state = jax.eval_shape(method.init, jax.random.key(0), batch, model.hparams, start)
    assert set(state.params) == set(start)


def test_nothing_to_cluster(dataset, result):
    with pytest.raises(InputError, match="clusters is 0"):
        clustering.begun(result, dataset, 0)
    with pytest.raises(InputError, match="components is 0"):
        clustering.begun_mixture(result, dataset, 0)
    with pytest.raises(InputError, match="clusters is 61, and of 60 examples: use fewer"):
        clustering.begun(result, dataset, 61)
    with pytest.raises(InputError, match="components is 61, and of 60 examples"):
        clustering.begun_mixture(result, dataset, 61)
