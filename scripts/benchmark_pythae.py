"""pythae's models with given networks, and its trainers; imported where they are used."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

#: Names that do not follow the others'.
CONFIGS = {name: f"{name}_Config" for name in ("INFOVAE_MMD", "WAE_MMD", "RAE_L2")}


def silence() -> None:
    """To be called before PyTorch is imported, since tqdm asks once whether it is disabled."""
    os.environ["TQDM_DISABLE"] = "1"
    logging.disable(logging.INFO)


def trainer_of(
    model: str,
    numbers: Mapping[str, float],
    networks: Any,
    images: np.ndarray,
    batch_size: int,
    *,
    directory: str,
    epochs: int = 1,
    learning_rate: float = 1e-3,
    discriminator_learning_rate: float = 1e-4,
) -> Any:
    """Returns what trains a model, by `train()` or an epoch at a time.

    Args:
      model: by the name of its class.
      numbers: of its configuration.
      networks: PyTorch's: to latents, or means and log-variances side by side, from latents to
        logits, and FactorVAE's from latents to one logit of "drawn jointly".
      images: float32 [N, H, W, C] in [0, 1].
      batch_size: examples per step.
      directory: where it writes.
      epochs: over the images.
      learning_rate: Adam's.
      discriminator_learning_rate: likewise.
    """
    import torch
    from pythae import models, trainers
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    encoder, decoder, *discriminator = networks
    latents = next(decoder.parameters()).shape[1]

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = encoder

        def forward(self, x):
            outputs = self.network(x)
            mean, rest = outputs[:, :latents], outputs[:, latents:]
            return ModelOutput(embedding=mean, log_covariance=rest)

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = decoder

        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(self.network(z)))

    class Discriminator(torch.nn.Module):
        """Two logits, of which pythae takes the first for "drawn jointly"."""

        def __init__(self):
            super().__init__()
            (self.network,) = discriminator

        def forward(self, z):
            logit = self.network(z)
            return torch.cat([logit, torch.zeros_like(logit)], dim=1)

    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    config = getattr(models, CONFIGS.get(model, f"{model}Config"))(
        input_dim=tuple(images.shape[1:]), latent_dim=latents, **numbers
    )
    if hasattr(config, "reconstruction_loss"):
        config.reconstruction_loss = "bce"
    made = getattr(models, model)(config, encoder=Encoder(), decoder=Decoder())
    options = {
        "output_dir": directory,
        "num_epochs": epochs,
        "per_device_train_batch_size": batch_size,
    }
    if discriminator:
        made.discriminator = Discriminator()
        own = trainers.AdversarialTrainerConfig(
            autoencoder_learning_rate=learning_rate,
            discriminator_learning_rate=discriminator_learning_rate,
            discriminator_optimizer_params={"betas": (0.5, 0.9)},
            **options,
        )
        trainer = trainers.AdversarialTrainer
    else:
        own = trainers.BaseTrainerConfig(learning_rate=learning_rate, **options)
        trainer = trainers.BaseTrainer
    return trainer(made, BaseDataset(images, torch.zeros(len(images))), training_config=own)
