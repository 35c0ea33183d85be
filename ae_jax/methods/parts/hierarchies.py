"""Latents in levels z_1, ..., z_L, each of which is drawn given the next higher one.

A hierarchy is a posterior and a prior of all latents side by side, [z_1, ..., z_L], which `vae`
takes as it takes others: p(z) = p(z_L) p(z_{L-1} | z_L) ... p(z_1 | z_2), with Gaussians below the
top. All bounds, likelihoods and views hold for it; with one level it is `posteriors.gaussian()`. A
decoder sees all levels, or `nets.chain(nets.part(0, sizes[0]), decoder)` the lowest alone.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ae_jax import nets
from ae_jax.core import (
    COUNT,
    Array,
    Batch,
    HParams,
    InputError,
    Network,
    require,
    require_counts,
    require_kind,
)
from ae_jax.methods.parts.latent_regularisers import Encoded, LatentRegulariser
from ae_jax.methods.parts.posteriors import Gaussian, Posterior
from ae_jax.methods.parts.priors import Prior, normal
from ae_jax.probability import gaussian


class Hierarchy(NamedTuple):
    """What `vae` is given.

    Attributes:
      posterior: of all levels.
      prior: likewise. Its parameters are those of the top, `top`, where it has some, and of the
        networks of the levels below by their numbers, `1` the lowest.
      levels: a regulariser that adds nothing, and reports each level's part of the divergence,
        log q(z_l | ...) - log p(z_l | z_{l+1}) of the draws, as `kl_1`, ..., `kl_L`, nats. It goes
        with the posterior and the prior of the same hierarchy.
    """

    posterior: Posterior
    prior: Prior
    levels: LatentRegulariser


class Levels(NamedTuple):
    """Parameters of a hierarchy's posterior.

    Attributes:
      outputs: of the encoder, [B, O].
      own: of the posterior's networks, by level.
      prior: of the prior's, where the posterior reads them.
    """

    outputs: Array
    own: Mapping[str, Any]
    prior: Mapping[str, Any] = {}


#: (level from 0, Levels, latents by level, as far as they are drawn) -> that level's distribution
Conditional = Callable[[int, Levels, Mapping[int, Array]], Gaussian]


def bottom_up(
    sizes: Sequence[int],
    *,
    top: Prior | None = None,
    widths: Sequence[int] = (64,),
    activation: str = "relu",
) -> Hierarchy:
    """Inference from below: q(z_1 | x) q(z_2 | z_1) ... q(z_L | z_{L-1}).

    The encoder gives means and log-variances of z_1, [B, 2 Z_1].

    Args:
      sizes: latents of each level, the lowest first; `latent_size` is their sum.
      top: the prior of the highest level, in the plane; `priors.normal()` where None.
      widths: hidden layers of each network between two levels.
      activation: of the hidden layers, by name.

    Raises:
      InputError: if a size is none, the top is no prior in the plane, of all examples alike, or the
        activation unknown; when traced, for another `latent_size` or an encoder of other outputs.

    Reference:
      Rezende, Mohamed and Wierstra (2014); Sonderby et al. (2016), Ladder Variational Autoencoders,
      section 2.1.
    """
    network = _networks(sizes, widths, activation)

    def conditional(level: int, seen: Levels, found: Mapping[int, Array]) -> Gaussian:
        if level == 0:
            return _gaussian(seen.outputs)
        return _gaussian(network[level].apply(seen.own[str(level + 1)], found[level - 1]))

    def init(key: Array) -> dict[str, Any]:
        return _begun(key, network, {level: sizes[level - 1] for level in range(1, len(sizes))})

    return _hierarchy(sizes, top, network, 2 * sizes[0], conditional, init, upwards=True)


def top_down(
    sizes: Sequence[int],
    *,
    features: int = 64,
    top: Prior | None = None,
    widths: Sequence[int] = (64,),
    activation: str = "relu",
) -> Hierarchy:
    """Inference from above: q(z_L | x) q(z_{L-1} | x, z_L) ... q(z_1 | x, z_2).

    The encoder gives what all levels below the top are told about x, and then means and
    log-variances of the top, [B, F + 2 Z_L].

    Args:
      sizes: as for `bottom_up`.
      features: F.
      top: as for `bottom_up`. A hierarchical VampPrior is the mixture of the top's posteriors,
        `priors.vamp(nets.some_outputs(encoder, -2 * sizes[-1]))`.
      widths: as for `bottom_up`.
      activation: likewise.

    Raises:
      InputError: as `bottom_up`; if there are no features.

    Reference:
      Tomczak and Welling (2018), VAE with a VampPrior.
    """
    network = _networks(sizes, widths, activation)
    require(COUNT, features=features)

    def conditional(level: int, seen: Levels, found: Mapping[int, Array]) -> Gaussian:
        if level == len(sizes) - 1:
            return _gaussian(seen.outputs[:, features:])
        told = jnp.concatenate([seen.outputs[:, :features], found[level + 1]], axis=1)
        return _gaussian(network[level].apply(seen.own[str(level + 1)], told))

    def init(key: Array) -> dict[str, Any]:
        below = range(len(sizes) - 1)
        return _begun(key, network, {level: features + sizes[level + 1] for level in below})

    return _hierarchy(sizes, top, network, features + 2 * sizes[-1], conditional, init)


def ladder(
    sizes: Sequence[int],
    *,
    top: Prior | None = None,
    widths: Sequence[int] = (64,),
    activation: str = "relu",
) -> Hierarchy:
    """Inference from above that shares the prior's networks: the ladder VAE.

    q(z_l | x, z_{l+1}) is the product of p(z_l | z_{l+1}) with a Gaussian that the encoder gives,
    but for its height: means weighted by precisions. The encoder gives means and log-variances of
    all levels, the lowest first, [B, 2 (Z_1 + ... + Z_L)].

    Args:
      sizes: as for `bottom_up`.
      top: as for `top_down`. The highest level's posterior is the encoder's Gaussian alone.
      widths: as for `bottom_up`.
      activation: likewise.

    Raises:
      InputError: as `bottom_up`; when traced, beside another prior.

    Reference:
      Sonderby et al. (2016), section 2.2.
    """
    network = _networks(sizes, widths, activation)
    ends = list(itertools.accumulate(2 * size for size in sizes))

    def conditional(level: int, seen: Levels, found: Mapping[int, Array]) -> Gaussian:
        told = _gaussian(seen.outputs[:, ends[level] - 2 * sizes[level] : ends[level]])
        if level == len(sizes) - 1:
            return told
        above = _gaussian(network[level].apply(seen.prior[str(level + 1)], found[level + 1]))
        return Gaussian(*gaussian.product(*told, *above))

    return _hierarchy(sizes, top, network, ends[-1], conditional, lambda key: {}, shares=True)


def _networks(sizes: Sequence[int], widths: Sequence[int], activation: str) -> list[Network]:
    """One of the outputs of each level's distribution, which posterior and prior both build on."""
    require_counts(sizes=sizes)
    if not len(sizes):
        raise InputError("a hierarchy needs at least one level: use sizes=(8, 4)")
    return [nets.mlp(2 * size, widths, activation) for size in sizes]


def _gaussian(outputs: Array) -> Gaussian:
    return Gaussian(*jnp.split(outputs, 2, axis=1))


def _begun(key: Array, network: Sequence[Network], seen: Mapping[int, int]) -> dict[str, Any]:
    """Parameters of those levels' networks that are given by how many numbers each sees."""
    keys = jax.random.split(key, len(network))
    return {
        str(level + 1): network[level].init(keys[level], jnp.zeros((1, size)))
        for level, size in seen.items()
    }


def _hierarchy(
    sizes: Sequence[int],
    top: Prior | None,
    network: Sequence[Network],
    outputs: int,
    conditional: Conditional,
    init: Callable[[Array], dict[str, Any]],
    *,
    upwards: bool = False,
    shares: bool = False,
) -> Hierarchy:
    """Of levels, each of which the posterior draws by its conditional.

    Args:
      sizes: of the levels.
      top: prior of the highest.
      network: by level, of the prior's means and log-variances.
      outputs: how many the encoder gives.
      conditional: of the posterior.
      init: of its own networks.
      upwards: whether it draws the lowest level first.
      shares: whether it reads the prior's networks.
    """
    top = normal() if top is None else top
    require_kind(Prior, "priors.normal()", top=top)
    if top.support != "plane" or top.of is not None:
        raise InputError("a hierarchy's top lies in the plane, told nothing: use priors.normal()")
    count, size = len(sizes), sum(sizes)
    cuts = list(itertools.accumulate(sizes))[:-1]
    order = range(count) if upwards else range(count)[::-1]

    def require_size(latent_size: int) -> None:
        if latent_size != size:
            raise InputError(
                f"levels of {', '.join(map(str, sizes))} latents are {size} in all, and "
                f"latent_size is {latent_size}"
            )

    def require_prior(params: Mapping[str, Any], who: str) -> None:
        prior = params.get("prior")
        if not (isinstance(prior, Mapping) and {*map(str, range(1, count))} <= {*prior}):
            raise InputError(f"{who} its own prior: give the method that one too")

    def read(
        given: Array, latent_size: int, hparams: HParams, params: Mapping[str, Any], batch: Batch
    ) -> Levels:
        require_size(latent_size)
        if given.shape[1:] != (outputs,):
            raise InputError(
                f"the encoder must give {outputs} numbers for levels of "
                f"{', '.join(map(str, sizes))} latents, [B, {outputs}], and gives "
                f"{list(given.shape)}"
            )
        if not shares:
            return Levels(given, params["posterior"])
        require_prior(params, "a ladder reads")
        return Levels(given, params["posterior"], params["prior"])

    def walked(
        parameters: Levels, choose: Callable[[int, Gaussian], Array]
    ) -> tuple[Array, list[Array]]:
        """Latents [B, Z] that are chosen level by level, and each level's nats [B]."""
        found, nats = {}, {}
        for level in order:
            own = conditional(level, parameters, found)
            found[level] = choose(level, own)
            nats[level] = gaussian.log_prob(found[level], *own)
        latent, each = ([by[level] for level in range(count)] for by in (found, nats))
        return jnp.concatenate(latent, axis=1), each

    def draw(key: Array, parameters: Levels) -> tuple[Array, Array]:
        keys = jax.random.split(key, count) if count > 1 else [key]
        z, nats = walked(parameters, lambda level, own: gaussian.sample(keys[level], *own))
        return z, sum(nats)

    def posterior_nats(z: Array, parameters: Levels) -> list[Array]:
        parts = jnp.split(z, cuts, axis=1)
        return walked(parameters, lambda level, own: parts[level])[1]

    def below(params: Mapping[str, Any], level: int, above: Array) -> Gaussian:
        return _gaussian(network[level].apply(params["prior"][str(level + 1)], above))

    def of_top(params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**params, "prior": params["prior"].get("top", {})}

    def prior_nats(z: Array, params: Mapping[str, Any], hparams: HParams) -> list[Array]:
        parts = jnp.split(z, cuts, axis=1)
        lower = [
            gaussian.log_prob(parts[level], *below(params, level, parts[level + 1]))
            for level in range(count - 1)
        ]
        return [*lower, top.log_prob(parts[-1], of_top(params), hparams)]

    def prior_init(key: Array, x: Array, latent_size: int) -> dict[str, Any]:
        require_size(latent_size)
        level_key, top_key = jax.random.split(key)
        levels = _begun(level_key, network, dict(enumerate(sizes[1:])))
        if top.init is None:
            return levels
        return {**levels, "top": top.init(top_key, x, sizes[-1])}

    def sample(key: Array, params: Mapping[str, Any], shape: tuple[int, int], hparams: HParams):
        keys = jax.random.split(key, count) if count > 1 else [key]
        parts = [top.sample(keys[-1], of_top(params), (shape[0], sizes[-1]), hparams)]
        for level in reversed(range(count - 1)):
            parts.insert(0, gaussian.sample(keys[level], *below(params, level, parts[0])))
        return jnp.concatenate(parts, axis=1)

    def predict(z: Array, params: Mapping[str, Any], hparams: HParams) -> Array:
        return top.predict(z[:, size - sizes[-1] :], of_top(params), hparams)

    def check(posterior: Posterior) -> None:
        if posterior.read is not read:
            raise InputError(
                "these levels are of another posterior: use posterior, prior and levels of one "
                "hierarchy"
            )

    def by_level(key: Array, seen: Encoded, present: Array | None, hparams: HParams):
        require_prior(seen.params, "a hierarchy's levels are parts of")
        posterior = posterior_nats(seen.latent, seen.parameters)
        prior = prior_nats(seen.latent, seen.params, hparams)
        pairs = enumerate(zip(posterior, prior, strict=True), 1)
        return 0.0, {f"kl_{level}": q - p for level, (q, p) in pairs}

    def plain(parameters: Levels) -> Array:
        return gaussian.kl_standard(*conditional(0, parameters, {}))

    return Hierarchy(
        Posterior(
            outputs=lambda latent_size: outputs,
            read=read,
            sample=lambda key, parameters: draw(key, parameters)[0],
            log_prob=lambda z, parameters: sum(posterior_nats(z, parameters)),
            mean=lambda parameters: walked(parameters, lambda level, own: own.mean)[0],
            kl_standard=plain if count == 1 else None,
            init=lambda key, latent_size: init(key),
            draw=draw,
        ),
        Prior(
            sample=sample,
            log_prob=lambda z, params, hparams: sum(prior_nats(z, params, hparams)),
            init=prior_init,
            predict=predict if top.predict is not None else None,
            standard=top.standard and count == 1,
            hparams=top.hparams,
            domains=top.domains,
            reads_encoder=top.reads_encoder,
        ),
        LatentRegulariser(hparams={}, apply=by_level, whole=False, check=check),
    )
