"""Variational autoencoders beyond the plain one, as plain eager PyTorch: twins of `benchmark.py`.

PyTorch is imported where it is used: others are measured without it. Losses are of a batch, in
nats, and functions of the draws, so that they can be compared.
"""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

#: Of which batches are drawn.
EXAMPLES = 10_000
#: Of the posterior, where its bound is importance-weighted.
DRAWS = 50
#: Of the inverse multiquadric kernels, in units of 2 Z.
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Layers(NamedTuple):
    """Dense networks of a VAE.

    Attributes:
      image_shape: [C, H, W].
      widths: of the encoder's layers, latents last; reversed in the decoder.
      activation: of PyTorch.
      discriminator: widths of the hidden layers of FactorVAE's; none where there is none.
    """

    image_shape: tuple[int, int, int]
    widths: tuple[int, ...]
    activation: str = "ReLU"
    discriminator: tuple[int, ...] = ()


LAYERS = {
    "beta_tcvae": Layers((1, 28, 28), (400, 20)),
    "info_vae": Layers((1, 28, 28), (400, 20)),
    "iwae": Layers((1, 28, 28), (200, 200, 50), "Tanh"),
    "factor_vae": Layers((1, 16, 16), (128, 128, 6), discriminator=(128, 128)),
    "factor_vae_1000": Layers((1, 28, 28), (400, 10), discriminator=(1000,) * 6),
}


def vae_networks(layers: Layers, outputs: int | None = None) -> Any:
    """Encoder, decoder to logits, and any discriminator to one logit.

    The encoder has so many outputs; where None means and log-variances.
    """
    from torch import nn

    def dense(sizes: Sequence[int], activation: Callable[[], Any]) -> Any:
        pairs = [(nn.Linear(i, o), activation()) for i, o in itertools.pairwise(sizes)]
        return nn.Sequential(*[layer for pair in pairs for layer in pair][:-1])

    shape, (*inner, latents), activation, discriminator = layers
    chosen, pixels = getattr(nn, activation), math.prod(shape)
    outputs = outputs or 2 * latents
    encoder = nn.Sequential(nn.Flatten(), dense((pixels, *inner, outputs), chosen))
    decoder = dense((latents, *reversed(inner), pixels), chosen)
    networks = nn.ModuleList([encoder, nn.Sequential(decoder, nn.Unflatten(1, shape))])
    if discriminator:
        networks.append(dense((latents, *discriminator, 1), functools.partial(nn.LeakyReLU, 0.2)))
    return networks


def kl_standard(mean: Any, log_var: Any) -> Any:
    """The divergence from N(0, I), summed over the batch."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()


def error(logits: Any, x: Any) -> Any:
    """Cross-entropy, summed over the batch."""
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")


def total_correlation(z: Any, mean: Any, log_var: Any, log_weights: Any) -> Any:
    """Mean of log q(z) - sum_d log q(z_d), of z [B, Z] and log-weights [B, B].

    The pairs are [Z, B, B], so that sums of exponentials are of neighbours in memory; constants
    cancel.
    """
    precision, log_var = (-log_var).exp().T[:, None], log_var.T[:, None]
    pairs = -0.5 * ((z.T[:, :, None] - mean.T[:, None]).square() * precision + log_var)
    joint = (pairs.sum(0) + log_weights).logsumexp(1)
    marginals = (pairs + log_weights).logsumexp(2)
    return (joint - marginals.sum(0)).mean()


def log_weights(batch_size: int, data_size: int, device: Any) -> Any:
    """Of every other posterior (N - 1) / (N (B - 1)), of an example's own 1 / N: [B, B]."""
    import torch

    other = (data_size - 1) / (data_size * (batch_size - 1))
    weights = torch.full((batch_size, batch_size), other, device=device)
    return weights.fill_diagonal_(1 / data_size).log()


def discrepancy(x: Any, y: Any, scales: Any) -> Any:
    """Unbiased squared discrepancy of x and y [B, Z] by kernels c / (c + |x - y|^2) of scales [S].

    The three matrices of distances are one batch of products.
    """
    import torch

    count = len(x)
    left, right = torch.stack([x, y, x]), torch.stack([x, y, y])
    squares = left.square().sum(2)[:, :, None] + right.square().sum(2)[:, None]
    distances = torch.baddbmm(squares, left, right.mT, alpha=-2).clamp(min=0)
    amounts = scales[:, None, None, None]
    kernels = (amounts / (amounts + distances)).sum(0)
    totals = kernels.sum((1, 2))
    own = kernels[:2].diagonal(dim1=1, dim2=2).sum(1)
    return (totals[:2] - own).sum() / (count * (count - 1)) - 2 * totals[2] / count**2


def importance_weighted(logits: Any, x: Any, z: Any, noise: Any, log_var: Any) -> Any:
    """Minus the bound, the batch's mean, of K draws: logits [K B, ...], z and noise [K, B, Z].

    log q(z | x) is that of the noise, since z is mean + std * noise.
    """
    import torch

    count = len(z)
    x = x.flatten(1).expand(count, -1, -1)
    errors = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.reshape(x.shape), x, reduction="none"
    ).sum(2)
    divergence = 0.5 * (z.square() - noise.square() - log_var).sum(2)
    return (math.log(count) - (-errors - divergence).logsumexp(0)).mean()


def vae_step(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """As `benchmark_torch.twin_step`."""
    layers = LAYERS[name]
    if layers.discriminator:
        return _factor_vae(layers, batch, device)
    import torch

    encoder, decoder = networks = vae_networks(layers).to(device)
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-3)
    weights = functools.cache(lambda count: log_weights(count, EXAMPLES, device))
    scales = 2 * layers.widths[-1] * torch.tensor(SCALES, device=device)

    def loss(x: Any) -> Any:
        mean, log_var = encoder(x).chunk(2, dim=1)
        draws = (DRAWS,) if name == "iwae" else ()
        noise = torch.randn(*draws, *mean.shape, device=device)
        z = mean + torch.exp(0.5 * log_var) * noise
        if name == "iwae":
            return importance_weighted(decoder(z.flatten(0, 1)), x, z, noise, log_var)
        plain = (error(decoder(z), x) + kl_standard(mean, log_var)) / len(x)
        if name == "beta_tcvae":
            return plain + 5 * total_correlation(z, mean, log_var, weights(len(x)))
        return plain + 999 * discrepancy(z, torch.randn_like(z), scales)

    def step() -> None:
        optimizer.zero_grad()
        loss(batch()).backward()
        optimizer.step()

    return step


def _factor_vae(layers: Layers, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """Both players move by one pass of the encoder, and neither differentiates the other."""
    import torch
    from torch.nn.functional import softplus

    encoder, decoder, discriminator = vae_networks(layers).to(device)
    coders = [*encoder.parameters(), *decoder.parameters()]
    optimizers = [
        torch.optim.Adam(coders, lr=1e-3),
        torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.5, 0.9)),
    ]

    def step() -> None:
        x = batch()
        for optimizer in optimizers:
            optimizer.zero_grad()
        mean, log_var = encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        discriminator.requires_grad_(False)
        plain = (error(decoder(z), x) + kl_standard(mean, log_var)) / len(x)
        (plain + 10 * discriminator(z).mean()).backward()
        discriminator.requires_grad_(True)
        joint, other = z.detach().chunk(2)
        permuted = other.gather(0, torch.rand_like(other).argsort(0))
        of_joint, of_permuted = discriminator(torch.cat([joint, permuted])).chunk(2)
        (0.5 * (softplus(-of_joint).mean() + softplus(of_permuted).mean())).backward()
        for optimizer in optimizers:
            optimizer.step()

    return step
