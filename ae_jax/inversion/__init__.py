"""Images and latents found by descending what a trained model says of them.

`descent` lowers any objective; `inpainting` does with known pixels kept, `latent_search` in a
generator's latents, `deep_image_prior` in the parameters of a network that was never trained.
`octaves` goes from coarse to fine, and hallucinates. Objectives are functions of images that add
up. `fills` are the closed forms beside them.
"""

from ae_jax.inversion import fills
from ae_jax.inversion.descent import Found, descent, inpainting
from ae_jax.inversion.directions import ball, fourier, hartley, most_exciting, normalised_gradient
from ae_jax.inversion.image_prior import Fitted, deep_image_prior
from ae_jax.inversion.latents import (
    context_error,
    context_weights,
    latent_search,
    normal_prior,
    realism,
    squared_context_error,
)
from ae_jax.inversion.masks import composed, hole, known_pixels, missing
from ae_jax.inversion.objectives import (
    Objective,
    activation,
    denoising_score,
    improbability,
    keyless,
    of_class,
    of_unit,
    one_of,
    reconstruction_error,
    weighted,
)
from ae_jax.inversion.octaves import jittered, octaves, resize, resized, rolled

__all__ = [
    "Fitted",
    "Found",
    "Objective",
    "activation",
    "ball",
    "composed",
    "context_error",
    "context_weights",
    "deep_image_prior",
    "denoising_score",
    "descent",
    "fills",
    "fourier",
    "hartley",
    "hole",
    "improbability",
    "inpainting",
    "jittered",
    "keyless",
    "known_pixels",
    "latent_search",
    "missing",
    "most_exciting",
    "normal_prior",
    "normalised_gradient",
    "octaves",
    "of_class",
    "of_unit",
    "one_of",
    "realism",
    "reconstruction_error",
    "resize",
    "resized",
    "rolled",
    "squared_context_error",
    "weighted",
]
