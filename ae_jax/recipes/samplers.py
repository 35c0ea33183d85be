"""Sampling a trained autoencoder: densities that are fitted to the codes of its training examples.

    codes = samplers.codes(model, train)
    density = samplers.gaussian_mixture(codes, 10)
    images = samplers.generated(key, model, density, (64, codes.shape[1]))

Whatever encodes and decodes can be drawn from by any of them. A density is a
`probability.priors.Prior`, as a model's own is, `priors.normal()` say. What is trained on latents
in the place of images is a `stage`: `two_stage`, or `methods.stage` of a `methods.density_model`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ae_jax import data, methods, nets, training
from ae_jax.core import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Array,
    Dataset,
    Domain,
    HParams,
    InputError,
    Method,
    Network,
    State,
    require,
    require_kind,
    require_networks,
)
from ae_jax.methods import observations, posteriors
from ae_jax.probability import priors
from ae_jax.probability.priors import Prior
from ae_jax.recipes.clustering import latents

#: What scikit-learn takes.
SEED = Domain(0, 2**32 - 1, whole=True)
#: How far from the origin codes may be for their squares to be numbers in single precision.
FARTHEST = 1e18
#: How many of the codes are kernels of a density, at most.
KERNELS = 5000


def codes(model: training.Model, dataset: Dataset) -> np.ndarray:
    """Returns the codes of all examples of a data set, [N, Z]; of a VAE, its posteriors' means.

    Raises:
      InputError: if the model does not both encode and decode.
    """
    missing = [name for name in ("encode", "decode") if not getattr(model.method.views, name)]
    if missing:
        raise InputError(f"only what encodes and decodes is sampled so: this does not {missing[0]}")
    return latents(model, dataset)


def drawn_codes(
    key: Array, model: training.Model, dataset: Dataset, encoder: Network
) -> np.ndarray:
    """Returns a draw of the posterior of each example of a data set, [N, Z].

    They have the variance that the decoder has learned to decode, of which means lack a part.

    Args:
      key: PRNG key.
      model: a VAE, with the parameters `encoder`.
      dataset: the examples.
      encoder: of `posteriors.encoding`, of the VAE's own.

    Raises:
      InputError: if the network has no draws.
    """
    require_networks(encoder=encoder)
    if encoder.noisy is None:
        raise InputError("an encoder that draws is made by posteriors.encoding(encoder, 2)")
    x = jnp.asarray(data.all_images(dataset))
    return np.asarray(jax.jit(encoder.noisy)(key, model.state.params["encoder"], x))


def generated(key: Array, model: training.Model, density: Prior, shape: tuple[int, int]) -> Array:
    """Returns what a model decodes of draws of a density, [count, ...].

    Args:
      key: PRNG key.
      model: that decodes.
      density: of its codes.
      shape: (count, Z), as of `jax.random.normal`.

    Raises:
      InputError: if the model has no decoder, or the density is of another Z.
    """
    return model.decode(density(key, shape))


def gaussian(codes: np.ndarray, ridge: float = 0.0) -> Prior:
    """Returns the Gaussian with the mean and the covariance of codes, their most likely one.

    Args:
      codes: [N, Z].
      ridge: is added to variances.

    Raises:
      InputError: if there are not two finite codes, or their covariance is of no density.
    """
    codes = _checked(codes, 2, "a Gaussian")
    require(NOT_NEGATIVE, ridge=ridge)
    covariance = np.atleast_2d(np.cov(codes.T, bias=True)) + ridge * np.eye(codes.shape[1])
    varied = np.linalg.matrix_rank(covariance, hermitian=True)
    if varied < codes.shape[1]:
        raise InputError(
            f"the codes vary in {varied} of {codes.shape[1]} directions only, and have no density: "
            "give a ridge, such as 1e-6"
        )
    return priors.correlated_mixture(np.ones(1), codes.mean(axis=0)[None], covariance[None])


def gaussian_mixture(
    codes: np.ndarray,
    components: int = 10,
    *,
    ridge: float = 1e-6,
    restarts: int = 1,
    seed: int = 0,
) -> Prior:
    """Returns a mixture of Gaussians with any covariances, by expectation maximisation.

    Args:
      codes: [N, Z].
      components: K.
      ridge: is added to variances.
      restarts: of which the likeliest is kept.
      seed: of where it begins.

    Raises:
      InputError: if there are fewer different codes than components, one is not finite, or a
        component has shrunk to no density.

    Reference:
      Ghosh et al. (2020), From Variational to Deterministic Autoencoders, section 4.
    """
    from sklearn.mixture import GaussianMixture

    require(COUNT, components=components, restarts=restarts)
    require(NOT_NEGATIVE, ridge=ridge)
    require(SEED, seed=seed)
    codes = _checked(codes, components, f"a mixture of {components} components")
    mixture = GaussianMixture(
        components, reg_covar=ridge, n_init=restarts, max_iter=500, random_state=seed
    )
    try:
        found = mixture.fit(codes)
    except ValueError:  # which it raises where a covariance is of no density
        raise InputError(
            "a component of the mixture has shrunk to no density: use fewer components, or a "
            "larger ridge"
        ) from None
    return priors.correlated_mixture(found.weights_, found.means_, found.covariances_)


def kernel_density(
    codes: np.ndarray, bandwidths: Sequence[float] | None = None, *, folds: int = 5, seed: int = 0
) -> Prior:
    """Returns the mean of isotropic Gaussians about codes, with the likeliest of some deviations.

    The likelihood is of codes that are left out, a fold at a time: test data are not looked at.

    Args:
      codes: [N, Z]; of more than 5000 so many are drawn.
      bandwidths: the deviations to choose from; where None, sixteen from an eighth of Scott's to
        four times that.
      folds: of the cross-validation.
      seed: of what is drawn.

    Raises:
      InputError: if there are fewer different codes than folds, one is not finite, or a bandwidth
        is not positive.

    Reference:
      Scott (1992), Multivariate Density Estimation, equation 6.42.
    """
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KernelDensity

    require(Domain(2, whole=True), folds=folds)
    require(SEED, seed=seed)
    codes = _checked(codes, folds, f"a kernel density of {folds} folds")
    if len(codes) > KERNELS:
        codes = np.random.default_rng(seed).permutation(codes)[:KERNELS]
    if bandwidths is None:
        scott = np.sqrt(codes.var(axis=0).mean()) * len(codes) ** (-1 / (codes.shape[1] + 4))
        bandwidths = scott * np.geomspace(1 / 8, 4, 16)
    if (
        np.ndim(bandwidths) != 1
        or not len(bandwidths)
        or any(b not in POSITIVE for b in bandwidths)
    ):
        raise InputError(f"bandwidths are {bandwidths!r}: use a list of one or more, above 0")
    search = GridSearchCV(
        KernelDensity(),
        {"bandwidth": bandwidths},
        cv=KFold(folds, shuffle=True, random_state=seed),
    )
    width = search.fit(codes).best_params_["bandwidth"]
    return priors.mixture(codes[None], float(width))._replace(classes=0, centres=None)


def sphere(codes: np.ndarray) -> Prior:
    """Returns the uniform density on the unit sphere, on which codes have to lie.

    Raises:
      InputError: if they do not.
    """
    lengths = np.linalg.norm(_checked(codes, 1, "a sphere"), axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise InputError(
            f"the codes are {lengths.min():.3g} to {lengths.max():.3g} long, and not on the unit "
            "sphere: use another sampler, or posteriors and a prior on it"
        )
    return priors.sphere()


def aggregate_posterior(
    model: training.Model,
    examples: Dataset,
    encoder: Network,
    latent_size: int,
    posterior: posteriors.Posterior | None = None,
) -> Prior:
    """Returns the mean of a VAE's posteriors of examples, as a VampPrior is of pseudo-inputs.

    Args:
      model: a VAE, with the parameters `encoder`.
      examples: of its training data; of all of them it is the aggregate posterior.
      encoder: the VAE's.
      latent_size: Z.
      posterior: the VAE's, without parameters of its own; `posteriors.gaussian()` where None.

    Raises:
      InputError: if a part is none, or the posterior has no density or parameters of its own.

    Reference:
      Tomczak and Welling (2018), VAE with a VampPrior, for the aggregate posterior.
    """
    posterior = posteriors.gaussian() if posterior is None else posterior
    posteriors.encoding(encoder, latent_size, posterior)  # refuses what is none
    x = jnp.asarray(data.all_images(examples))
    outputs = jax.jit(encoder.apply)(model.state.params["encoder"], x)
    parameters = posterior.read(outputs, latent_size, model.hparams)
    return posteriors.mixed(posterior, parameters)


def trained(
    codes: np.ndarray,
    method: Method,
    steps: int = 2000,
    *,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Prior:
    """Returns the density that a method learns of codes: a flow's, or that of `second_stage`.

    It sees codes in units of their deviations, about their mean.

    Args:
      codes: [N, Z].
      method: that samples, such as `methods.density_model(priors.flow(...), Z)`.
      steps: of its training.
      batch_size: examples per step.
      learning_rate: of the method.
      seed: of the training.

    Returns:
      The density. Without a view `log_likelihood` its `log_prob` cannot be called; that of a
      `vae` is a bound.

    Raises:
      InputError: if a code is not finite, or the method has no samples; as `training.run`; if the
        training ends in numbers that are not finite.
    """
    codes = _checked(codes, 2, "what is trained")
    require_kind(Method, "methods.density_model(priors.flow(flows.coupling()), 2)", method=method)
    require(POSITIVE, learning_rate=learning_rate)
    require(SEED, seed=seed)
    sample, likelihood = method.views.sample, method.views.log_likelihood
    if sample is None:
        raise InputError("a method that has no samples is no sampler: use methods.density_model")
    mean, deviation = codes.mean(axis=0), codes.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    shown = data.stored((codes - mean) / deviation)
    lanes = training.grid(learning_rate=learning_rate, seed=seed)
    result = training.run(method, shown, lanes, steps, batch_size=min(batch_size, len(codes)))
    if (row := result.rows[0])["status"] != "ok":
        raise InputError(
            f"the training of this density was frozen at step {row['frozen_step']} of {steps}, "
            f"{row['frozen_by']} being not finite: lower learning_rate"
        )
    _, _, state, hparams = training.model(result, 0)

    def draw(key: Array, shape: tuple[int, int], label: Array | None = None) -> Array:
        if tuple(shape[1:]) != codes.shape[1:]:
            raise InputError(f"this density is of {codes.shape[1]} numbers, not {list(shape[1:])}")
        z = sample(key, state, shape[0], hparams)
        return z * jnp.asarray(deviation, z.dtype)[None] + jnp.asarray(mean, z.dtype)[None]

    def log_prob(z: Array, label: Array | None = None) -> Array:
        if likelihood is None:
            raise InputError("this method has no log_likelihood: it draws alone")
        centred = (z - jnp.asarray(mean, z.dtype)[None]) / jnp.asarray(deviation, z.dtype)[None]
        found = likelihood(jax.random.key(seed), state, {"image": centred}, hparams)
        return found - float(np.sum(np.log(deviation)))

    return Prior(draw, log_prob)


def second_stage(
    latent_size: int,
    widths: Sequence[int] = (1024, 1024),
    *,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the VAE of latents of a two-stage VAE, whose samples have the noise of its decoder.

    As many latents as it sees: where the first stage fills its space this one has an optimum at
    which its own posteriors match their prior. The decoder's variance is one number, and learned.

    Args:
      latent_size: Z.
      widths: hidden layers of the encoder; the decoder's are the same, backwards.
      learning_rate: traced.
      optimizer: as for `vae`.

    Reference:
      Dai and Wipf (2019), Diagnosing and Enhancing VAE Models, section 4.
    """
    decoder = nets.shared_scale(nets.mlp(latent_size, widths[::-1]))
    likelihood = observations.learned_gaussian()
    method = methods.vae(
        nets.mlp(2 * latent_size, widths),
        decoder,
        latent_size,
        likelihood=likelihood,
        learning_rate=learning_rate,
        optimizer=optimizer,
    )

    def sample(key: Array, state: State, count: int, hparams: HParams) -> Array:
        latent_key, noise_key = jax.random.split(key)
        u = priors.normal()(latent_key, (count, latent_size))
        return likelihood.sample(noise_key, decoder.apply(state.params["decoder"], u), hparams)

    return method._replace(views=method.views._replace(sample=sample))


def two_stage(
    encoder: Network,
    decoder: Network,
    latent_size: int,
    *,
    posterior: posteriors.Posterior | None = None,
    likelihood: observations.Observation | None = None,
    widths: Sequence[int] = (1024, 1024),
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the second stage of a VAE that is trained: a VAE of draws of the first's posteriors.

    Of their means it would learn less variance than the decoder has learned to decode.

    Args:
      encoder: of the VAE.
      decoder: of the VAE.
      latent_size: Z, of both stages.
      posterior: of the VAE; `posteriors.gaussian()` where None.
      likelihood: of the VAE; Bernoulli where None.
      widths: as for `second_stage`.
      learning_rate: traced.
      optimizer: as for `vae`.

    Returns:
      The method, as `methods.stage` has it: its `init` takes the first stage's parameters,
      `encoder` and `decoder`, as a fourth argument. `sample` draws in both stages' spaces: what is
      decoded of latents that are drawn with their noise.

    Raises:
      InputError: if a part is none, or latents lie on a sphere, where this stage's noise does not.

    Reference:
      Dai and Wipf (2019), Diagnosing and Enhancing VAE Models, section 4.
    """
    posterior = posteriors.gaussian() if posterior is None else posterior
    likelihood = observations.bernoulli() if likelihood is None else likelihood
    drawing = posteriors.encoding(encoder, latent_size, posterior)
    if posterior.support != "plane":
        raise InputError(
            f"a second stage is of latents in the plane, and these are on the {posterior.support}"
        )
    second = second_stage(latent_size, widths, learning_rate=learning_rate, optimizer=optimizer)
    return methods.stage(drawing, second, observations.decoding(decoder, likelihood), noisy=True)


def _checked(codes: np.ndarray, least: int, what: str) -> np.ndarray:
    """Returns codes [N, Z] in double precision, of which `least` differ."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "biuf":
        raise InputError(f"codes are numbers [N, Z], got {codes.dtype}")
    codes = codes.astype(np.float64)
    if codes.ndim != 2 or not codes.size:
        raise InputError(f"codes are [N, Z], got {list(codes.shape)}")
    broken = int(np.sum(~np.isfinite(codes).all(axis=1)))
    if broken:
        raise InputError(f"{broken} of {len(codes)} codes are not finite: no density is of them")
    if np.abs(codes).max() > FARTHEST:
        raise InputError(
            f"codes are up to {np.abs(codes).max():.3g} from 0: scale what makes them, "
            f"{FARTHEST:g} is the most"
        )
    different = len(np.unique(codes, axis=0)) if least > 1 else least
    if different < least:
        raise InputError(
            f"{what} needs {least} codes that differ, and of {len(codes)} there are {different}"
        )
    return codes
