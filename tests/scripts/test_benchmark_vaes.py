"""PyTorch's twins of VAEs are ours: the same losses of the same draws, and as many parameters."""

import importlib
import math
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ae_jax
from ae_jax import losses
from ae_jax.methods import bounds, latent_regularisers, posteriors
from ae_jax.probability import gaussian

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def twins(monkeypatch):
    pytest.importorskip("torch", reason="the peers come with pip install -e '.[bench]'")
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("benchmark_torch_vaes")


def test_losses_are_ours(twins):
    import torch

    count, size, latents, data_size = 3, 5, 4, 50
    rng = np.random.default_rng(0)
    mean, log_var, drawn = rng.normal(size=(3, size, latents)).astype(np.float32)
    noise = rng.normal(size=(count, size, latents)).astype(np.float32)
    z = mean + np.exp(0.5 * log_var) * noise
    logits = rng.normal(size=(count, size, 6)).astype(np.float32)
    x = rng.uniform(size=(size, 6)).astype(np.float32)

    @jax.jit
    def ours():
        own = posteriors.Gaussian(mean, log_var)
        nothing = jnp.zeros(size)
        seen = latent_regularisers.Encoded(
            z[0], own, nothing, nothing, drawn, {}, posteriors.gaussian()
        )
        parts = (
            latent_regularisers.total_correlation(1.0, data_size=data_size),
            latent_regularisers.matching(1.0),
        )
        terms = [part.apply(jax.random.key(0), seen, None, part.hparams)[0] for part in parts]
        errors = jnp.stack([losses.bernoulli_nll(made, x) for made in logits])
        divergence = jnp.stack(
            [
                gaussian.log_prob(one, mean, log_var) - gaussian.log_prob(one, 0 * mean, 0 * mean)
                for one in z
            ]
        )
        bound = bounds.iwae(count).loss(bounds.Terms(errors, divergence), {"beta": 1.0})
        plain = jnp.sum(losses.bernoulli_nll(logits[0], x) + gaussian.kl_standard(mean, log_var))
        return *terms, jnp.mean(bound), plain

    given = {
        name: torch.tensor(value)
        for name, value in {
            **{"z": z, "mean": mean, "log_var": log_var, "drawn": drawn},
            **{"noise": noise, "logits": logits, "x": x},
        }.items()
    }
    t = types.SimpleNamespace(**given)
    weights = twins.log_weights(size, data_size, "cpu")
    scales = 2 * latents * torch.tensor(twins.SCALES)
    theirs = (
        twins.total_correlation(t.z[0], t.mean, t.log_var, weights),
        twins.discrepancy(t.z[0], t.drawn, scales),
        twins.importance_weighted(t.logits.flatten(0, 1), t.x, t.z, t.noise, t.log_var),
        twins.error(t.logits[0], t.x) + twins.kl_standard(t.mean, t.log_var),
    )
    np.testing.assert_allclose([float(value) for value in theirs], ours(), rtol=2e-5, atol=2e-6)


def test_networks_have_as_many_parameters_as_ours(twins):
    workloads = importlib.import_module("benchmark_workloads").WORKLOADS
    for name, layers in twins.LAYERS.items():
        method = workloads[name].method(ae_jax)
        batch = {"image": np.zeros((4, *workloads[name].image_shape), np.float32)}
        state = jax.eval_shape(
            lambda key, m=method, b=batch: m.init(key, b, m.hparams), jax.random.key(0)
        )
        ours = {network: jax.tree.leaves(own) for network, own in state.params.items()}
        ours = [sum(leaf.size for leaf in leaves) for _, leaves in sorted(ours.items())]
        encoder, decoder, *rest = twins.vae_networks(layers)
        theirs = [sum(p.numel() for p in n.parameters()) for n in (decoder, *rest, encoder)]
        assert theirs == ours, name  # in the order of their names


def written_out(twins, name, networks, x):
    """The losses of the coders and of any discriminator, by PyTorch's distributions."""
    import torch
    from torch.distributions import Bernoulli, Normal, kl_divergence

    encoder, decoder, *judge = networks
    mean, log_var = encoder(x).chunk(2, dim=1)
    own, prior = Normal(mean, (log_var / 2).exp()), Normal(0, 1)
    count = twins.DRAWS if name == "iwae" else 1
    z = own.mean + own.stddev * torch.randn(count, *mean.shape)
    logits = decoder(z.flatten(0, 1)).reshape(count, *x.shape)
    log_prob = Bernoulli(logits=logits, validate_args=False).log_prob(x).sum((2, 3, 4))
    if name == "iwae":
        log_weights = log_prob + (prior.log_prob(z) - own.log_prob(z)).sum(2)
        return [(math.log(count) - log_weights.logsumexp(0)).mean()]
    (z,) = z
    loss = (kl_divergence(own, prior).sum(1) - log_prob[0]).mean()
    if name == "beta_tcvae":
        weights = twins.log_weights(len(x), twins.EXAMPLES, "cpu")
        return [loss + 5 * twins.total_correlation(z, mean, log_var, weights)]
    if name == "info_vae":
        scales = 2 * z.shape[1] * torch.tensor(twins.SCALES)
        return [loss + 999 * twins.discrepancy(z, torch.randn(z.shape), scales)]
    (judge,) = judge
    joint, other = z.detach().split(len(x) // 2)
    permuted = torch.take_along_dim(other, torch.rand(other.shape).argsort(0), 0)
    right = judge(joint).sigmoid().log().mean() + (1 - judge(permuted).sigmoid()).log().mean()
    return [loss + 10 * judge(z).mean(), -right / 2]


@pytest.mark.parametrize("name", ["beta_tcvae", "info_vae", "iwae", "factor_vae"])
def test_a_step_descends_each_players_own_loss(twins, monkeypatch, name):
    import torch

    judge = (3,) if name == "factor_vae" else ()
    small = twins.Layers((1, 2, 2), (5, 2), discriminator=judge)
    torch.manual_seed(0)
    networks = twins.vae_networks(small)
    monkeypatch.setitem(twins.LAYERS, name, small)
    monkeypatch.setattr(twins, "vae_networks", lambda layers: networks)
    x = torch.rand(6, 1, 2, 2)

    def batch():
        torch.manual_seed(1)
        return x

    lowered = written_out(twins, name, networks, batch())
    players = [list(part.parameters()) for part in (networks[:2], networks[2:]) if len(part)]
    expected = [
        torch.autograd.grad(loss, own, retain_graph=True)
        for loss, own in zip(lowered, players, strict=True)
    ]
    before = [[p.detach().clone() for p in own] for own in players]
    twins.vae_step(name, batch, "cpu")()
    for own, old, slopes, rate in zip(players, before, expected, (1e-3, 1e-4), strict=False):
        for p, q, slope in zip(own, old, slopes, strict=True):
            torch.testing.assert_close(p.grad, slope, rtol=1e-4, atol=1e-5)
            # Adam's first step is the rate, against the slope's sign
            steep = slope.abs() > 1e-3
            assert bool(steep.any())
            moved = (p.detach() - q)[steep]
            torch.testing.assert_close(moved, -rate * slope[steep].sign(), rtol=1e-2, atol=0)
