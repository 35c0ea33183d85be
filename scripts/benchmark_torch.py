"""The workloads of `benchmark.py`, layer for layer, as plain eager PyTorch.

PyTorch is imported where it is used: others are measured without it.
"""

from collections.abc import Callable
from typing import Any

from benchmark_torch_vaes import LAYERS, vae_step


def twin_step(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """Returns what trains a workload's twin by a step.

    Args:
      name: of the workload.
      batch: gives images [B, C, H, W] in [0, 1].
      device: where they and the parameters are.
    """
    own = {
        "rbm": _rbm,
        "contractive": _contractive,
        "contractive_closed_form": _contractive,
        "lstm": _lstm,
        "mlp_gan": _gan,
        "dcgan_r1": _gan,
        "wgan_gp": _gan,
        **dict.fromkeys(LAYERS, vae_step),
    }
    return own.get(name, _autoencoder)(name, batch, device)


def _autoencoder(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """An autoencoder, or a VAE, with cross-entropy from logits and Adam."""
    import torch

    networks = twin_networks(name).to(device)
    encoder, decoder = networks
    variational = name != "keras_autoencoder"
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-3)

    def step() -> None:
        x = batch()
        latent, kl = encoder(x), 0.0
        if variational:
            mean, log_var = latent.chunk(2, dim=1)
            kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
            latent = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        error = torch.nn.functional.binary_cross_entropy_with_logits(
            decoder(latent), x, reduction="sum"
        )
        optimizer.zero_grad()
        ((error + kl) / len(x)).backward()
        optimizer.step()

    return step


def twin_networks(name: str) -> Any:
    """Encoder and decoder, layer for layer those of the workload."""
    from torch import nn
    from torch.nn import Conv2d, ConvTranspose2d, Flatten, Linear, ReLU, Sequential, Unflatten

    if name == "mlp_vae":
        return nn.ModuleList(
            [
                Sequential(Flatten(), Linear(784, 400), ReLU(), Linear(400, 40)),
                Sequential(Linear(20, 400), ReLU(), Linear(400, 784), Unflatten(1, (1, 28, 28))),
            ]
        )
    if name == "keras_autoencoder":

        def pooled(i, o):
            return [Conv2d(i, o, 3, padding=1), ReLU(), nn.MaxPool2d(2, ceil_mode=True)]

        def upsampled(i, o, padding=1):
            return [Conv2d(i, o, 3, padding=padding), ReLU(), nn.Upsample(scale_factor=2)]

        return nn.ModuleList(
            [
                Sequential(*pooled(1, 16), *pooled(16, 8), *pooled(8, 8), Flatten()),
                Sequential(
                    Unflatten(1, (8, 4, 4)),
                    *upsampled(8, 8),
                    *upsampled(8, 8),
                    *upsampled(8, 16, padding=0),
                    Conv2d(16, 1, 3, padding=1),
                ),
            ]
        )

    def down(i, o):
        return [Conv2d(i, o, 4, 2, 1), ReLU()]

    def up(i, o):
        return [ConvTranspose2d(i, o, 4, 2, 1), ReLU()]

    return nn.ModuleList(
        [
            Sequential(
                *(down(1, 32) + down(32, 32) + down(32, 64) + down(64, 64)),
                *(Flatten(), Linear(1024, 256), ReLU(), Linear(256, 20)),
            ),
            Sequential(
                *(Linear(10, 256), ReLU(), Linear(256, 1024), ReLU(), Unflatten(1, (64, 4, 4))),
                *(up(64, 64) + up(64, 32) + up(32, 32) + up(32, 1)[:1]),
            ),
        ]
    )


def _rbm(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """CD-1 with momentum and weight decay; unlike ours, it reports no loss."""
    import torch

    weights = 0.01 * torch.randn(784, 500, device=device)
    visible_bias, hidden_bias = torch.zeros(784, device=device), torch.zeros(500, device=device)
    params = (weights, visible_bias, hidden_bias)
    velocity = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step() -> None:
        v = batch().flatten(1)
        h = torch.sigmoid(v @ weights + hidden_bias)
        chain_v = torch.bernoulli(torch.sigmoid(torch.bernoulli(h) @ weights.T + visible_bias))
        chain_h = torch.sigmoid(chain_v @ weights + hidden_bias)
        gradients = (
            (v.T @ h - chain_v.T @ chain_h) / len(v) - 1e-4 * weights,
            (v - chain_v).mean(0),
            (h - chain_h).mean(0),
        )
        for p, u, g in zip(params, velocity, gradients, strict=True):
            u.mul_(0.5).add_(g, alpha=0.1)
            p.add_(u)

    return step


def _contractive(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """A sigmoid layer, its Jacobian's norm penalised, and a linear layer of logits."""
    import torch

    encoder = torch.nn.Linear(784, 200, device=device)
    decoder = torch.nn.Linear(200, 784, device=device)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    def encode(x: Any) -> Any:
        return torch.sigmoid(encoder(x))

    jacobian = torch.func.vmap(torch.func.jacfwd(encode))

    def step() -> None:
        x = batch().flatten(1)
        latent = encode(x)
        error = torch.nn.functional.binary_cross_entropy_with_logits(
            decoder(latent), x, reduction="sum"
        )
        if name == "contractive":
            penalty = (jacobian(x) ** 2).sum()
        else:
            penalty = ((latent * (1 - latent)) ** 2 @ (encoder.weight**2).sum(1)).sum()
        optimizer.zero_grad()
        ((error + 0.1 * penalty) / len(x)).backward()
        optimizer.step()

    return step


def _players(name: str) -> Any:
    """Generator and discriminator, layer for layer those of the workload."""
    from torch import nn
    from torch.nn import BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, LeakyReLU, Linear, ReLU

    if name == "mlp_gan":
        pixels = nn.Unflatten(1, (1, 28, 28))
        return nn.ModuleList(
            [
                nn.Sequential(Linear(64, 256), ReLU(), Linear(256, 784), pixels),
                nn.Sequential(Flatten(), Linear(784, 256), ReLU(), Linear(256, 1)),
            ]
        )
    side = {"dcgan_r1": 7, "wgan_gp": 4}[name]
    return nn.ModuleList(
        [
            nn.Sequential(
                *(Linear(64, 32 * side**2, bias=False), nn.Unflatten(1, (32, side, side))),
                *(BatchNorm2d(32), ReLU(), ConvTranspose2d(32, 16, 4, 2, 1, bias=False)),
                *(BatchNorm2d(16), ReLU(), ConvTranspose2d(16, 1, 4, 2, 1)),
            ),
            nn.Sequential(
                *(Conv2d(1, 16, 4, 2, 1), LeakyReLU(0.2), Conv2d(16, 32, 4, 2, 1)),
                *(LeakyReLU(0.2), Flatten(), Linear(32 * side**2, 1)),
            ),
        ]
    )


def _gan(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """A GAN: plain, with R1, or of five Wasserstein critic steps with a gradient penalty.

    What is not moved is not differentiated, and R1 takes the logits that the loss takes.
    """
    import torch
    from torch.nn.functional import softplus

    generator, discriminator = players = _players(name).to(device)
    optimizers = [torch.optim.Adam(p.parameters(), lr=2e-4, betas=(0.5, 0.999)) for p in players]
    wasserstein = name == "wgan_gp"

    def made(count: int) -> Any:
        return torch.sigmoid(generator(torch.randn(count, 64, device=device)))

    def slopes(x: Any, logits: Any) -> Any:
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return slope.square().sum((1, 2, 3))

    def discriminating(real: Any) -> Any:
        with torch.no_grad():
            fake = made(len(real))
        real = real.requires_grad_(name == "dcgan_r1")
        real_logit, fake_logit = discriminator(real), discriminator(fake)
        if wasserstein:
            share = torch.rand(len(real), 1, 1, 1, device=device)
            between = (share * real + (1 - share) * fake).requires_grad_()
            penalty = (slopes(between, discriminator(between)).sqrt() - 1).square().mean()
            return fake_logit.mean() - real_logit.mean() + 10 * penalty
        loss = softplus(-real_logit).mean() + softplus(fake_logit).mean()
        return loss + (0.5 * slopes(real, real_logit).mean() if name == "dcgan_r1" else 0)

    def move(player: int, loss: Any) -> None:
        optimizers[player].zero_grad()
        loss.backward()
        optimizers[player].step()

    def step() -> None:
        x = batch()
        for real in x.chunk(5 if wasserstein else 1):
            move(1, discriminating(real))
        discriminator.requires_grad_(False)
        logit = discriminator(made(len(x)))
        move(0, -logit.mean() if wasserstein else softplus(-logit).mean())
        discriminator.requires_grad_(True)

    return step


def _lstm(name: str, batch: Callable[[], Any], device: Any) -> Callable[[], None]:
    """Rows to a vector and back: the latent sets the first state and is an input of every step."""
    import torch
    from torch.nn import LSTM, Linear

    layers = torch.nn.ModuleDict(
        {
            "encoder": LSTM(28, 128),
            "latent": Linear(128, 32),
            "state": Linear(32, 256),
            "decoder": LSTM(28 + 32, 128),
            "output": Linear(128, 28),
        }
    ).to(device)
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3)

    def step() -> None:
        x = batch().flatten(0, 1).transpose(0, 1)  # [T, B, D]
        latent = layers["latent"](layers["encoder"](x)[0][-1])
        state = torch.tanh(layers["state"](latent))[None].chunk(2, dim=2)
        previous = torch.cat([torch.zeros_like(x[:1]), x[:-1]])
        given = torch.cat([previous, latent.expand(len(x), *latent.shape)], dim=2)
        hidden, _ = layers["decoder"](given, tuple(part.contiguous() for part in state))
        error = torch.nn.functional.binary_cross_entropy_with_logits(
            layers["output"](hidden), x, reduction="sum"
        )
        optimizer.zero_grad()
        (error / x.shape[1]).backward()
        torch.nn.utils.clip_grad_norm_(layers.parameters(), 10.0)
        optimizer.step()

    return step
