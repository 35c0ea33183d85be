"""The Hamiltonian VAE: draws of a posterior that the decoder's own slope takes further.

Reference:
  Caterini, Doucet and Sejdinovic (2018), Hamiltonian Variational Auto-Encoder.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import logit

from ae_jax.core import (
    POSITIVE,
    WHOLE,
    Array,
    Batch,
    Domain,
    HParams,
    InputError,
    Method,
    Network,
    require,
)
from ae_jax.methods.learners.composing import joined
from ae_jax.methods.learners.objective import descend
from ae_jax.methods.parts.labels import Classes, beside
from ae_jax.methods.parts.latent_regularisers import LatentRegulariser
from ae_jax.methods.parts.observations import Observation
from ae_jax.methods.parts.posteriors import Posterior
from ae_jax.methods.parts.priors import Prior
from ae_jax.methods.variational.bounds import Bound
from ae_jax.methods.variational.model import latent_model
from ae_jax.methods.variational.objective import vae_objective
from ae_jax.methods.variational.views import vae_views
from ae_jax.probability import hamiltonian

Tempering = Literal["quadratic", "free"]


def hamiltonian_vae(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    steps: int = 3,
    tempering: Tempering = "quadratic",
    learned: bool = True,
    step_size: float = 0.05,
    inverse_temperature: float = 0.3,
    likelihood: Observation | None = None,
    posterior: Posterior | None = None,
    prior: Prior | None = None,
    regularisers: Sequence[LatentRegulariser] = (),
    bound: Bound | None = None,
    classes: Classes = 0,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
    importance_samples: int = 100,
) -> Method:
    """Returns the VAE whose draws move by K tempered leapfrog steps along log p(x, z).

    z_0 is a draw of the posterior, gamma_0 of N(0, I), and rho_0 = gamma_0 / sqrt(beta_0). From
    z_K and rho_K, whose joint density is that of z_0 and gamma_0, it lowers minus

      log p(x, z_K) + log N(rho_K; 0, I) - log q(z_0 | x) - log N(gamma_0; 0, I),

    whose mean is a bound on log p(x), and whose exponential's mean is p(x) itself: so importance
    weights are of the same. The paper takes the mean over gamma_0 of the last term. Without steps
    it is the `vae` with a sampled divergence. Steps see the decoder without dropout and by running
    statistics.

    Args:
      encoder: as for `vae`.
      decoder: as for `vae`.
      latent_size: as for `vae`, Z.
      steps: K; static.
      tempering: `quadratic`, sqrt(beta_k) on the paper's schedule from beta_0 to 1; `free`, a
        number in (0, 1) of each step, which starts there.
      learned: whether step sizes, one of each dimension, and tempering are learned.
      step_size: of the leapfrog, or where it starts; traced.
      inverse_temperature: beta_0, likewise; 1 is no tempering, whatever is learned.
      likelihood: as for `vae`.
      posterior: of z_0, a plain one in the plane.
      prior: as for `vae`, with a density that has slopes.
      regularisers: as for `vae`; they see z_K.
      bound: as for `vae`, of draws that know their own density.
      classes: as for `vae`.
      beta: as for `vae`; steps do not see it.
      learning_rate: as for `vae`.
      optimizer: as for `vae`.
      importance_samples: as for `vae`.

    Returns:
      The method, as that of `vae`: `kl` is that of (z_K, rho_K) from prior and N(0, I). `encode`
      gives what the posterior's mean moves to, from rest.

    Raises:
      InputError: as `vae`; for less than 0 steps, an unknown tempering, or a posterior that is
        not plain.

    Reference:
      Caterini, Doucet and Sejdinovic (2018), algorithm 1.
    """
    model = latent_model(
        encoder,
        decoder,
        latent_size,
        likelihood=likelihood,
        posterior=posterior,
        prior=prior,
        classes=classes,
    )
    base = model.posterior
    require(WHOLE, steps=steps)
    if tempering not in ("quadratic", "free"):
        raise InputError(f"unknown tempering {tempering!r}: use quadratic or free")
    if base.support != "plane" or base.init is not None:
        raise InputError("leapfrog starts from a plain posterior: use posteriors.gaussian()")

    def init(key: Array, latent_size: int) -> dict[str, Array]:
        if not learned:
            return {}
        dtype = jnp.result_type(float)
        scales = () if tempering == "quadratic" else (steps,)
        return {"step_size": jnp.zeros(latent_size, dtype), "tempering": jnp.zeros(scales, dtype)}

    def read(
        outputs: Array, latent_size: int, hparams: HParams, params: Mapping[str, Any], batch: Batch
    ) -> _Moving:
        own = params["posterior"] if learned else {"step_size": jnp.zeros(latent_size)}
        step_size = hparams["step_size"] * jnp.exp(own["step_size"])[None]
        start, shift = hparams["inverse_temperature"], own.get("tempering", 0.0)
        if tempering == "quadratic":
            start, shift = jax.nn.sigmoid(logit(start) + shift), 0.0
        scales = hamiltonian.quadratic_tempering(start, steps)
        if tempering == "free":
            scales = jax.nn.sigmoid(logit(scales) + shift)
        return _Moving(
            base.read(outputs, latent_size, hparams),
            step_size,
            scales,
            params,
            batch["image"],
            model.given(batch),
            dict(hparams),
        )

    def moved(z: Array, momentum: Array, by: _Moving) -> tuple[Array, Array]:
        def log_joint(z: Array) -> Array:
            outputs = decoder.apply(by.params["decoder"], beside(z, by.given))
            nats = model.prior_of(by.given).log_prob(z, by.params, by.hparams)
            return jnp.sum(nats - model.likelihood.loss(outputs, by.x, by.hparams))

        return hamiltonian.leapfrog(jax.grad(log_joint), z, momentum, by.step_size, by.tempering)

    def draw(key: Array, by: _Moving) -> tuple[Array, Array]:
        first = base.sample(key, by.base)
        noise = jax.random.normal(jax.random.fold_in(key, 1), first.shape, first.dtype)
        z, momentum = moved(first, noise / jnp.prod(by.tempering), by)
        # log q(z_0 | x) + log N(gamma_0; 0, I) - log N(rho_K; 0, I)
        gained = 0.5 * jnp.sum(momentum**2 - noise**2, axis=1)
        return z, base.log_prob(first, by.base) + gained

    def mean(by: _Moving) -> Array:
        first = base.mean(by.base)
        return moved(first, jnp.zeros_like(first), by)[0]

    numbers = joined(
        base,
        step_size=(step_size, POSITIVE),
        inverse_temperature=(inverse_temperature, Domain(0, 1, low_open=True)),
    )
    moving = Posterior(
        outputs=base.outputs,
        read=read,
        sample=lambda key, by: draw(key, by)[0],
        log_prob=None,
        mean=mean,
        init=init,
        draw=draw,
        **numbers,
    )
    model = model._replace(posterior=moving)
    objective = vae_objective(model, regularisers=regularisers, bound=bound, beta=beta)
    views = vae_views(model, importance_samples)
    return descend(objective, views, optimizer=optimizer, learning_rate=learning_rate)


class _Moving(NamedTuple):
    """Parameters of a posterior whose draws are moved.

    Attributes:
      base: of what is drawn.
      step_size: [1, Z].
      tempering: [K].
      params: of all networks by name, of which decoder and prior say where draws go.
      x: [B, ...], what they explain.
      given: labels one-hot, or ().
      hparams: of likelihood and prior.
    """

    base: Any
    step_size: Array
    tempering: Array
    params: Mapping[str, Any]
    x: Array
    given: Any
    hparams: Mapping[str, Any]
