"""What a variational autoencoder adds to its bound about the latents of all examples together.

They combine freely, and bring numbers of their own: with the weights of all but one at 0, each is a
lane of the same program. A factory's first number is its weight.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import losses
from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    REAL,
    Array,
    Domain,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    traced,
)
from ae_jax.losses.disentanglement import Weights
from ae_jax.losses.moments import count_present
from ae_jax.methods.parts.discrepancies import (
    Discrepancy,
    between_rows,
    compared,
    inverse_multiquadric,
)
from ae_jax.methods.parts.discrete import largest_kl
from ae_jax.methods.parts.latents import Posterior
from ae_jax.probability._examples import widened

#: Numbers in memory at a time where the posteriors of a whole data set meet its latents.
IN_MEMORY = 4_000_000


class Encoded(NamedTuple):
    """What a regulariser may look at, of a batch or of a whole data set.

    Attributes:
      latent: [N, Z], a draw of each example's posterior.
      parameters: of the posteriors, a pytree of [N, ...].
      kl: [N], each one's divergence from the prior, nats.
      log_prior: [N], log p(z) of the draws, nats.
      drawn: [N, Z], draws of the prior.
      params: of all networks by name; nothing where a whole data set is seen.
      posterior: what `parameters` are of.
    """

    latent: Array
    parameters: Any
    kl: Array
    log_prior: Array
    drawn: Array
    params: Mapping[str, Any]
    posterior: Posterior


class LatentRegulariser(NamedTuple):
    """A term added to minus the bound.

    Attributes:
      hparams: its traced hyperparameters and their defaults, weights among them.
      apply: (key, Encoded, present, hparams) -> the weighted term, a scalar or [N], and figures to
        report, likewise. `present` is None in training, which shows it a batch.
      whole: whether it is no mean over examples: it is then evaluated once, on a whole data set,
        with `present` bool [N], False where an example is padding. Otherwise it has a value for
        each example, and is evaluated beside the others.
      check: posterior -> None, raises InputError where it does not hold for it.
      domains: the values that each hyperparameter may take.
      weights: of a whole term that costs something, the names of its weights. Where all are 0
        training does not compute it; so its figures are those of evaluation alone.
    """

    hparams: Mapping[str, float]
    apply: Callable[[Array, Encoded, Array | None, HParams], tuple[Array, Mapping[str, Array]]]
    whole: bool = True
    check: Callable[[Posterior], None] = lambda posterior: None
    domains: Mapping[str, Domain] = {}
    weights: Sequence[str] = ()

    def of_batch(
        self, key: Array, seen: Encoded, hparams: HParams
    ) -> tuple[Array, Mapping[str, Array]]:
        """The term of a batch, in training, and what it reports.

        Lanes that take turns, as on a CPU, pay for their own terms alone; side by side each has all
        of them computed, and chooses.
        """
        if not self.weights:
            return self.apply(key, seen, None, hparams)

        weighted = functools.reduce(jnp.logical_or, (hparams[name] != 0 for name in self.weights))
        term, own = jax.closure_convert(lambda: self.apply(key, seen, None, hparams)[0])

        def with_slope(weighted: Array, own: Sequence[Array]) -> tuple[Array, Sequence[Array]]:
            # at once: what a slope of a branch would need, a lane without it would write as zeros
            def some() -> tuple[Array, Sequence[Array]]:
                return jax.value_and_grad(lambda own: term(*own))(own)

            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(some))
            return jax.lax.cond(weighted, some, lambda: zeros)

        @jax.custom_vjp
        def value(weighted: Array, own: Sequence[Array]) -> Array:
            return with_slope(weighted, own)[0]

        value.defvjp(with_slope, lambda slope, way: (None, jax.tree.map(lambda x: way * x, slope)))
        return value(weighted, own), {}


def capacity(weight: float = 1000.0, nats: float = 25.0) -> LatentRegulariser:
    """Holds the mean KL divergence at a number of nats: weight |mean KL - capacity|.

    Swept as `capacity_weight` and `capacity`, which `training.ramp` raises from 0. It takes the
    place of the bound's own divergence: set `beta` to 0. The mean is that of the batch: of each
    example's distance from the capacity the mean would be larger, and ask every example for the
    same divergence.

    Args:
      weight: gamma.
      nats: the capacity C.

    Reference:
      Burgess et al. (2018), Understanding disentangling in beta-VAE, section 5.
    """

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        away = _distance(_mean(seen.kl, present), hparams["capacity"])
        return hparams["capacity_weight"] * away, {}

    numbers = {"capacity_weight": (weight, NOT_NEGATIVE), "capacity": (nats, NOT_NEGATIVE)}
    return LatentRegulariser(**traced(**numbers), apply=apply)


def capacities(weight: float = 30.0, **nats: float) -> LatentRegulariser:
    """Holds the mean KL divergence of each part of a joint posterior at a number of nats.

    weight sum_part |mean KL_part - capacity_part|, swept as `capacity_weight` and, of a part that
    is called style, `style_capacity`; what it comes to is reported as `style_kl`. With `beta` 0 it
    is a JointVAE's, whose divergence of relaxed categories is that of the categories themselves: no
    bound, which is what `loss` then is not. Of one part it is `capacity`.

    A part's divergence is of each example, and full where all examples have one category for sure.
    So let capacities rise from 0 by `training.ramp`, and the weight be no more than what
    reconstructions gain from a nat: the paper's 30 is of images of 32x32 pixels.

    Args:
      weight: gamma.
      **nats: the capacity of each part, by its name. Of V variables of K categories no more than
        V log K is asked for.

    Raises:
      InputError: for a posterior of other parts, or one of whose parts has no divergence in closed
        form.

    Reference:
      Dupont (2018), Learning Disentangled Joint Continuous and Discrete Representations, equation
      7.
    """

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        term, means = 0, {}
        for name, part in seen.posterior.parts.items():
            mean = _mean(part.kl_standard(seen.parameters[name]), present)
            goal = jnp.minimum(hparams[f"{name}_capacity"], largest_kl(part))
            term, means[f"{name}_kl"] = term + _distance(mean, goal), mean
        return hparams["capacity_weight"] * term, means

    def check(posterior: Posterior) -> None:
        parts = posterior.parts
        if set(parts) != set(nats) or not all(part.kl_standard for part in parts.values()):
            raise InputError(
                f"capacities are of {', '.join(nats) or 'nothing'}, and the posterior's parts are "
                f"{', '.join(parts) or 'none'}: name those of a posteriors.joint(), whose "
                "divergences have a closed form"
            )

    numbers = {f"{name}_capacity": (value, NOT_NEGATIVE) for name, value in nats.items()}
    own = traced(capacity_weight=(weight, NOT_NEGATIVE), **numbers)
    return LatentRegulariser(**own, apply=apply, check=check)


def total_correlation(
    weight: float = 5.0,
    *,
    data_size: int,
    mutual_information_weight: float = 0.0,
    dimension_wise_weight: float = 0.0,
    weights: Weights = "symmetric",
) -> LatentRegulariser:
    """The three parts of the aggregate posterior's divergence, each with a weight.

    mutual_information_weight I(x; z) + weight TC(z) + dimension_wise_weight sum_d KL(q(z_d) ||
    p(z_d)), swept as `mutual_information_weight`, `tc_weight` and `dimension_wise_weight`. They sum
    to the KL divergence, so that by default, beside a closed-form one of `beta` 1, this is the
    beta-TCVAE of beta = 1 + weight, with less noise than the three parts have; for these alone set
    `beta` to 0.

    Args:
      weight: of the total correlation.
      data_size: N, how many examples batches are drawn from.
      mutual_information_weight: the paper's alpha.
      dimension_wise_weight: the paper's gamma.
      weights: how a batch estimates the aggregate posterior; see `losses.aggregate_weights`.

    Returns:
      The regulariser. Training estimates the parts from a batch, and an estimate may be below 0.
      Evaluation reports `total_correlation`, `mutual_information` and `dimension_wise_kl`, where
      the aggregate posterior is that of the whole data set, exactly, at the draws of at most
      1000 examples.

    Raises:
      InputError: if there are no examples or the weights are unknown; for a posterior whose
        dimensions depend on each other; when traced, for a batch of 1, or larger than the data.

    Reference:
      Chen et al. (2018), Isolating Sources of Disentanglement in VAEs, equations 2 and 4.
    """
    require(COUNT, data_size=data_size)
    losses.aggregate_weights(2, max(data_size, 2), weights)

    def of_batch(seen: Encoded) -> tuple[Array, Array]:
        count = len(seen.latent)
        pairs = _log_probs(seen, seen.latent)
        log_weights = losses.aggregate_weights(count, data_size, weights)
        return losses.aggregate_log_prob(pairs, jnp.asarray(log_weights, pairs.dtype))

    def of_all(seen: Encoded, present: Array, rows: slice) -> tuple[Array, Array]:
        log_count = jnp.log(count_present(present, seen.log_prior))

        def of_one(z: Array) -> tuple[Array, Array]:
            log_weights = jnp.where(present, -log_count, -jnp.inf)
            found = losses.aggregate_log_prob(_log_probs(seen, z[None]), log_weights[None])
            return found[0][0], found[1][0]

        at_a_time = max(1, IN_MEMORY // seen.latent.size)
        return jax.lax.map(of_one, seen.latent[rows], batch_size=at_a_time)

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        rows = slice(None) if present is None else compared(seen.latent)
        joint, product = of_batch(seen) if present is None else of_all(seen, present, rows)
        own = seen.posterior.log_prob(seen.latent, seen.parameters)[rows]
        some = None if present is None else present[rows]
        parts = {
            "mutual_information": _mean(own - joint, some),
            "total_correlation": _mean(joint - product, some),
            "dimension_wise_kl": _mean(product - seen.log_prior[rows], some),
        }
        return sum(hparams[names[part]] * value for part, value in parts.items()), parts

    def check(posterior: Posterior) -> None:
        if posterior.log_probs is None:
            raise InputError(
                "the total correlation needs a posterior of independent dimensions, such as "
                "posteriors.gaussian()"
            )

    names = {
        "mutual_information": "mutual_information_weight",
        "total_correlation": "tc_weight",
        "dimension_wise_kl": "dimension_wise_weight",
    }
    numbers = {
        "tc_weight": (weight, NOT_NEGATIVE),
        "mutual_information_weight": (mutual_information_weight, NOT_NEGATIVE),
        "dimension_wise_weight": (dimension_wise_weight, NOT_NEGATIVE),
    }
    return LatentRegulariser(**traced(**numbers), apply=apply, check=check, weights=(*numbers,))


def dip(
    kind: Literal["i", "ii"] = "i",
    off_diagonal_weight: float = 10.0,
    diagonal_weight: float | None = None,
) -> LatentRegulariser:
    """How far the latents' covariance is from the identity, in squares.

    Swept as `dip_i_off_diagonal_weight` and `dip_i_diagonal_weight`, or `dip_ii_...`, so that both
    kinds are lanes of one program.

    Args:
      kind: of the covariance of posterior means, `i`, or of draws of the posteriors, `ii`.
      off_diagonal_weight: of the entries off the diagonal.
      diagonal_weight: of the diagonal's distance from 1; where None ten times that of the others
        for `i`, and the same for `ii`.

    Returns:
      The regulariser. Evaluation reports the two sums of squares as `dip_i_off_diagonal` and
      `dip_i_diagonal`, or `dip_ii_...`.

    Raises:
      InputError: for another kind, or a weight below 0; for a posterior whose dimensions depend on
        each other; when traced, for a batch of 1.

    Reference:
      Kumar, Sattigeri and Balakrishnan (2018), Variational Inference of Disentangled Latent
      Concepts, equations 6 and 7.
    """
    if kind not in ("i", "ii"):
        raise InputError(f"unknown kind {kind!r} of DIP-VAE: use i or ii")
    require(NOT_NEGATIVE, off_diagonal_weight=off_diagonal_weight)
    if diagonal_weight is None:
        diagonal_weight = off_diagonal_weight * (10 if kind == "i" else 1)
    off, on = f"dip_{kind}_off_diagonal", f"dip_{kind}_diagonal"

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        mean = seen.posterior.mean(seen.parameters)
        if present is None and len(mean) < 2:
            raise InputError("the covariance of a batch of 1 is not defined: use 2 or more")
        variance = seen.posterior.variance(seen.parameters) if kind == "ii" else None
        squares = losses.covariance_penalties(mean, variance, present)
        term = sum(
            hparams[f"{n}_weight"] * square for n, square in zip((off, on), squares, strict=True)
        )
        return term, dict(zip((off, on), squares, strict=True))

    def check(posterior: Posterior) -> None:
        if posterior.variance is None:
            raise InputError(
                "DIP-VAE needs a posterior of independent dimensions, such as posteriors.gaussian()"
            )

    numbers = {
        f"{off}_weight": (off_diagonal_weight, NOT_NEGATIVE),
        f"{on}_weight": (diagonal_weight, NOT_NEGATIVE),
    }
    return LatentRegulariser(**traced(**numbers), apply=apply, check=check, weights=(*numbers,))


def matching(weight: float = 10.0, discrepancy: Discrepancy | None = None) -> LatentRegulariser:
    """A discrepancy of latents, of all examples together, from draws of the prior.

    Swept as `matching_weight`. With `beta` 0 it is a Wasserstein autoencoder's, with an encoder
    that has noise; `info_vae` has the weights of an InfoVAE.

    Args:
      weight: of the discrepancy.
      discrepancy: from `discrepancies`; `inverse_multiquadric()` where None.

    Returns:
      The regulariser. Evaluation reports the discrepancy as `prior_discrepancy`, from at most 1000
      examples.

    Raises:
      InputError: if that is no discrepancy.

    Reference:
      Tolstikhin et al. (2018), Wasserstein Auto-Encoders, algorithm 2; Zhao, Song and Ermon (2019),
      InfoVAE, section 4.
    """
    discrepancy = inverse_multiquadric() if discrepancy is None else discrepancy
    require_kind(Discrepancy, "discrepancies.mmd()", discrepancy=discrepancy)

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        value = between_rows(discrepancy, key, seen.latent, seen.drawn, hparams, present)
        return hparams["matching_weight"] * value, {"prior_discrepancy": value}

    numbers = traced(matching_weight=(weight, NOT_NEGATIVE))
    return LatentRegulariser(
        {**numbers["hparams"], **discrepancy.hparams},
        apply,
        domains={**numbers["domains"], **discrepancy.domains},
        weights=("matching_weight",),
    )


def info_vae(alpha: float = 0.0, scale: float = 1000.0) -> dict[str, float]:
    """An InfoVAE's `beta` = 1 - alpha and `matching_weight` = alpha + scale - 1, for a lane.

    Args:
      alpha: how much the mutual information of examples and latents counts; with alpha = scale = 1
        the discrepancy alone is left.
      scale: lambda, of the aggregate posterior's divergence.

    Raises:
      InputError: if one is no number, or a weight were below 0, so that its term would be raised.

    Reference:
      Zhao, Song and Ermon (2019), InfoVAE, section 4.
    """
    require(REAL, alpha=alpha, scale=scale)
    beta, weight = 1 - alpha, alpha + scale - 1
    if not (beta >= 0 and weight >= 0):
        raise InputError(
            f"alpha {alpha:g} and scale {scale:g} give the KL divergence the weight {beta:g} and "
            f"the discrepancy {weight:g}: use alpha <= 1 and scale >= 1 - alpha"
        )
    return {"beta": beta, "matching_weight": weight}


def density_ratio(discriminator: Network, weight: float = 10.0) -> LatentRegulariser:
    """The total correlation as a discriminator sees it, the mean of its logits.

    Swept as `tc_weight`, and reported as `total_correlation`. It is a player's term: who trains the
    discriminator, the network of that name, is `factor_vae`.

    Args:
      discriminator: [B, Z] -> logits of "drawn jointly", [B, 1].
      weight: gamma.

    Raises:
      InputError: when traced, if it does not give such logits, or is not there.

    Reference:
      Kim and Mnih (2018), Disentangling by Factorising, equation 2.
    """

    def apply(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        if "discriminator" not in seen.params:
            raise InputError("nobody trains this discriminator: methods.factor_vae() does")
        logits = one_logit(discriminator.apply(seen.params["discriminator"], seen.latent))
        return hparams["tc_weight"] * logits, {"total_correlation": logits}

    return LatentRegulariser(**traced(tc_weight=(weight, NOT_NEGATIVE)), apply=apply, whole=False)


def one_logit(logits: Array) -> Array:
    """Logits [B, 1] as [B]; half precision as float32.

    Raises:
      InputError: if they have another shape.
    """
    if logits.ndim != 2 or logits.shape[1] != 1:
        raise InputError(
            f"the discriminator must give one logit, [B, 1], and gives {list(logits.shape)}"
        )
    return widened(logits)[:, 0]


def _distance(mean: Array, goal: Array) -> Array:
    """|mean - goal|, with a slope of 0 where they are the same."""
    return (mean - goal) * jnp.sign(mean - goal)


def _mean(values: Array, present: Array | None) -> Array:
    if present is None:
        return jnp.mean(values)
    return jnp.sum(jnp.where(present, values, 0)) / count_present(present, values)


def _log_probs(seen: Encoded, latent: Array) -> Array:
    """log q(z_id | x_j) of latents [S, Z] for every example, [Z, S, N]."""
    count = len(seen.latent)

    def of_dimension(z: Array, own: Any) -> Array:
        return jax.vmap(lambda one: seen.posterior.log_probs(jnp.broadcast_to(one, count), own))(z)

    return jax.vmap(of_dimension)(latent.T, jax.tree.map(jnp.transpose, seen.parameters))
