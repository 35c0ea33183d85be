"""Networks from images to images: an autoencoder without a code."""

from collections.abc import Callable, Sequence
from typing import Literal

import optax

from ae_jax.core import Array, Batch, Method, Network, Views, require_kind, require_networks
from ae_jax.methods.autoencoders.autoencoder import autoencoder
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.penalties import Penalty
from ae_jax.methods.parts.shown import Shown
from ae_jax.nets.combine import identity


def restorer(
    network: Network,
    shown: Shown,
    *,
    target: Callable[[Batch], Array] | None = None,
    reconstruction: Observation | None = None,
    penalties: Sequence[Penalty] = (),
    evaluated: Literal["clean", "shown"] = "shown",
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the network that makes a target of what it is shown.

    It is the `autoencoder` whose encoder hands on what it is shown, as `nets.identity` does.

    Args:
      network: what is shown [B, ...] -> outputs [B, ...], such as
        `nets.correction(nets.unet(1, dropout=0.0))`.
      shown: what the network sees of a batch, from `methods.shown`.
      target: batch -> what outputs are compared with, [B, ...]; its `image` where None.
      reconstruction: how; squared error where None.
      penalties: terms to add.
      evaluated: whether evaluation's `loss` is of a batch as training shows it, or as it is.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method; the network is moved by the name of `decoder`. Evaluation is the autoencoder's. Of
      views there is `reconstruct`, which shows the network a batch as it is.

    Raises:
      InputError: as `autoencoder`.

    Reference:
      Jain and Seung (2008), Natural Image Denoising with Convolutional Networks.
    """
    require_networks(network=network)
    require_kind(Shown, "shown.corrupted(corruptions.masking)", shown=shown)
    method = autoencoder(
        identity(),
        network,
        reconstruction=reconstruction,
        penalties=penalties,
        shown=shown,
        target=target,
        evaluated=evaluated,
        learning_rate=learning_rate,
        optimizer=optimizer,
    )
    return method._replace(views=Views(reconstruct=method.views.reconstruct))
