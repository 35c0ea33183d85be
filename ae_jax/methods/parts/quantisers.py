"""What makes codes of latents, and latents of codes: learned codebooks, or given levels."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import (
    BELOW_ONE,
    COUNT,
    NOT_NEGATIVE,
    Array,
    Domain,
    HParams,
    InputError,
    Network,
    require,
    require_kind,
    require_networks,
    shaped,
    traced,
)
from ae_jax.probability._examples import sum_dimensions, widened

_SEVERAL = Domain(2, whole=True)


class Quantised(NamedTuple):
    """What a quantiser makes of latents [B, ..., D], vectors or maps of them.

    Attributes:
      latent: [B, ..., D], what the codes stand for; gradients pass as if it were the encoder's.
      codes: int [B, ..., L], below the quantiser's size.
      loss: [B], what is added to an example's loss.
    """

    latent: Array
    codes: Array
    loss: Array


class Quantiser(NamedTuple):
    """A map of latents [B, ..., D] to those of codes, at every place alike.

    Attributes:
      size: K, how many values a code has.
      levels: L, how many codes there are at each place.
      init: (key, latents) -> parameters, a mapping, of which there may be none.
      apply: (parameters, latents, hparams) -> Quantised.
      decode: (parameters, codes int [B, ..., L]) -> the latents that they stand for.
      train: (key, parameters, latents, hparams) -> (Quantised, changes): that of a training step,
        and what it moves of the parameters, in the place of any optimizer. None where it is
        that of `apply`.
      hparams: its traced hyperparameters and their defaults.
      domains: the values that each of them may take.
    """

    size: int
    levels: int
    init: Callable[[Array, Array], Mapping[str, Array]]
    apply: Callable[[Mapping[str, Array], Array, HParams], Quantised]
    decode: Callable[[Mapping[str, Array], Array], Array]
    train: (
        Callable[
            [Array, Mapping[str, Array], Array, HParams], tuple[Quantised, Mapping[str, Array]]
        ]
        | None
    ) = None
    hparams: Mapping[str, float] = {}
    domains: Mapping[str, Domain] = {}


def nearest(x: Array, centres: Array) -> Array:
    """Which of some centres [K, D] is the nearest to each of x [..., D]: int [...]."""
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2
    score = jnp.matmul(x.reshape(-1, x.shape[-1]), centres.T, precision="highest")
    score = score - jnp.sum(centres**2, axis=1)[None] / 2
    return jnp.argmax(score, axis=-1).reshape(x.shape[:-1])


def codebook(
    size: int = 512,
    levels: int = 1,
    *,
    commitment: float = 0.25,
    ema: bool = True,
    decay: float = 0.99,
    restart: float = 0.0,
) -> Quantiser:
    """The nearest entry of a codebook that is learned; with several levels, of what is left over.

    The latent is replaced by the sum of the entries, through which its gradient passes as if
    nothing had been done to it. Each level adds `commitment` |r - e|^2, that of the encoder's
    distance r from the entry e, summed over places and dimensions, to the loss of its example. The
    entries move in one of two ways:

    - By an exponential moving average of the latents that chose them, after they were chosen:
      n <- g n + (1 - g) count and m <- g m + (1 - g) sum, with e = m / n. Counts begin at 1 and
      sums at the entries. It is computed as e <- e + (1 - g) (sum - count e) / n, so that an entry
      which nobody chooses stays where it is. The authors' code has Laplace smoothing in the
      quotient alone, (n + epsilon) N / (N + K epsilon) of N counts, which draws such entries to the
      origin; of those in use it changes some parts in a million.
    - By the gradient of |r - e|^2, of weight 1, that the loss has beside the commitment.

    Of latents in half precision entries and counts are in single precision.

    Entries begin at draws of a Gaussian with the mean and the deviations of the first latents.

    Args:
      size: K, entries of each level; static.
      levels: L, codebooks, each of which quantises what those before it left; static.
      commitment: weight beta; traced.
      ema: whether entries are moved by averages; static.
      decay: g, of the averages, traced as `codebook_decay`.
      restart: entries whose count falls below are put at one of the batch's latents, with a count
        of 1; 0 for never. Traced as `codebook_restart`.

    Raises:
      InputError: if there are less than two entries or no level, or entries that a gradient moves
        are to be restarted.

    Reference:
      Van den Oord, Vinyals and Kavukcuoglu (2017), Neural Discrete Representation Learning,
      equation 3 and appendix A.1; Lee et al. (2022), Autoregressive Image Generation using Residual
      Quantization, section 3.1; Dhariwal et al. (2020), Jukebox, for restarts.
    """
    require(_SEVERAL, size=size)
    require(COUNT, levels=levels)
    if restart and not ema:
        raise InputError("restart is for entries that averages move: use ema=True, or leave it out")
    hold = jax.lax.stop_gradient

    def passed(books: Array, z: Array, hparams: HParams) -> tuple[Quantised, list[Array]]:
        """And what each level is to quantise."""
        left = widened(z)
        total, error, codes, seen = jnp.zeros_like(left), jnp.zeros(len(z), left.dtype), [], []
        for book in books:
            code = nearest(left, book)
            entry = jnp.take(book, code, axis=0)
            error = error + hparams["commitment"] * sum_dimensions((left - hold(entry)) ** 2)
            if not ema:
                error = error + sum_dimensions((hold(left) - entry) ** 2)
            codes.append(code)
            seen.append(hold(left))
            left, total = left - hold(entry), total + hold(entry)
        latent = _straight_through(z, total.astype(z.dtype))
        return Quantised(latent, jnp.stack(codes, axis=-1), error), seen

    def init(key: Array, z: Array) -> dict[str, Array]:
        books, left = [], widened(z).reshape(-1, z.shape[-1])
        for own in jax.random.split(key, levels):
            mean, deviation = (f(left, axis=0, keepdims=True) for f in (jnp.mean, jnp.std))
            noise = jax.random.normal(own, (size, z.shape[-1]), left.dtype)
            books.append(mean + deviation * noise)
            left = left - books[-1][nearest(left, books[-1])]
        counts = {"counts": jnp.ones((levels, size), left.dtype)} if ema else {}
        return {"codebook": jnp.stack(books), **counts}

    def train(
        key: Array, params: Mapping[str, Array], z: Array, hparams: HParams
    ) -> tuple[Quantised, dict[str, Array]]:
        found, seen = passed(params["codebook"], z, hparams)

        def moved(key: Array, book: Array, count: Array, left: Array, code: Array) -> Any:
            left = left.reshape(-1, left.shape[-1])
            chosen = jax.nn.one_hot(code.reshape(-1), size, dtype=left.dtype)
            new, sums = jnp.sum(chosen, axis=0), jnp.matmul(chosen.T, left, precision="highest")
            kept = jnp.asarray(hparams["codebook_decay"], left.dtype)
            count = kept * count + (1 - kept) * new
            least = jnp.finfo(count.dtype).tiny  # of a count that has decayed to nothing
            step = (1 - kept) / jnp.maximum(count, least)
            book = book + step[:, None] * (sums - new[:, None] * book)
            unused = count < hparams["codebook_restart"]
            fresh = left[jax.random.randint(key, (size,), 0, len(left))]
            return jnp.where(unused[:, None], fresh, book), jnp.where(unused, 1, count)

        keys, codes = jax.random.split(key, levels), jnp.moveaxis(found.codes, -1, 0)
        books, counts = jax.vmap(moved)(
            keys, params["codebook"], params["counts"], jnp.stack(seen), codes
        )
        return found, {"codebook": books, "counts": counts}

    def decode(params: Mapping[str, Array], codes: Array) -> Array:
        return sum(
            jnp.take(book, codes[..., i], axis=0) for i, book in enumerate(params["codebook"])
        )

    numbers = {"commitment": (commitment, NOT_NEGATIVE)}
    if ema:
        numbers |= {
            "codebook_decay": (decay, BELOW_ONE),
            "codebook_restart": (restart, BELOW_ONE),
        }
    return Quantiser(
        size,
        levels,
        init,
        lambda params, z, hparams: passed(params["codebook"], z, hparams)[0],
        decode,
        train if ema else None,
        **traced(**numbers),
    )


def finite_scalar(levels: Sequence[int] = (8, 5, 5, 5)) -> Quantiser:
    """Each dimension is rounded to one of a few values of [-1, 1], and there is nothing to learn.

    tanh(z) is rounded to the nearest of its dimension's values, which are equally far apart with
    -1 and 1 among them; a place's code is the number of their combination, the first dimension the
    fastest. Where a dimension has an even number of them, the authors shift its values by half a
    distance so that 0 is one; here they are symmetric.

    Args:
      levels: how many values each of the D dimensions has; K is their product.

    Raises:
      InputError: if a dimension has less than two values, there is none, or K is 2^31 or more; when
        traced, if the encoder gives another number of dimensions.

    Reference:
      Mentzer et al. (2023), Finite Scalar Quantization: VQ-VAE Made Simple, section 3.1.
    """
    if np.ndim(levels) != 1 or not len(levels):
        raise InputError(f"levels is {levels!r}: use how many values each dimension has, (8, 5, 5)")
    require(_SEVERAL, **{f"levels[{i}]": count for i, count in enumerate(levels)})
    if (size := math.prod(map(int, levels))) >= 2**31:  # codes are 32-bit numbers
        raise InputError(f"levels are of {size:,} values: use less than 2^31")
    counts, weights = np.asarray(levels), np.cumprod([1, *levels[:-1]])

    def values(digits: Array, dtype: Any) -> Array:
        return digits.astype(dtype) * _row(2 / (counts - 1), digits).astype(dtype) - 1

    def apply(params: Mapping[str, Array], z: Array, hparams: HParams) -> Quantised:
        if z.shape[-1] != len(counts):
            raise InputError(
                f"levels are of {len(counts)} dimensions, and the encoder gives {list(z.shape)}: "
                f"use [B, ..., {len(counts)}]"
            )
        bounded = jnp.tanh(widened(z))
        steps = _row((counts - 1) / 2, z).astype(bounded.dtype)
        digits = jnp.round((bounded + 1) * steps).astype(int)
        codes = jnp.sum(digits * _row(weights, z).astype(digits.dtype), axis=-1, keepdims=True)
        latent = _straight_through(bounded, values(digits, bounded.dtype)).astype(z.dtype)
        return Quantised(latent, codes, jnp.zeros(len(z), bounded.dtype))

    def decode(params: Mapping[str, Array], codes: Array) -> Array:
        digits = codes // _row(weights, codes).astype(codes.dtype)
        return values(digits % _row(counts, codes).astype(codes.dtype), jnp.result_type(float))

    return Quantiser(size, 1, lambda key, z: {}, apply, decode)


def usage(codes: Array, size: int, present: Array | None = None) -> dict[str, Array]:
    """How many of the values of codes are used.

    Args:
      codes: int [N, ..., L].
      size: K, how many values a code has.
      present: bool [N], which examples count; all where None.

    Returns:
      `perplexity`, the exponential of the entropy of a code's values over all places, from 1 to K;
      `codes_used`, how many values there are. Of several levels, the geometric and the
      arithmetic mean.
    """
    levels = codes.shape[-1]
    flat = codes.reshape(len(codes), -1, levels)
    dtype = jnp.result_type(float)
    weight = jnp.ones(len(codes), dtype) if present is None else present.astype(dtype)
    weight = jnp.broadcast_to(weight[:, None, None], flat.shape)
    level = jnp.broadcast_to(jnp.arange(levels)[None, None], flat.shape)
    counts = jnp.zeros((levels, size), dtype).at[level, flat].add(weight)
    share = counts / jnp.sum(counts, axis=1, keepdims=True)
    entropy = -jnp.sum(jax.scipy.special.xlogy(share, share), axis=1)
    used = jnp.sum((counts > 0).astype(dtype), axis=1)
    return {"perplexity": jnp.exp(jnp.mean(entropy)), "codes_used": jnp.mean(used)}


class Coding(NamedTuple):
    """An encoder to codes and a decoder from them, for a `stage` on top of a trained quantiser.

    Attributes:
      encoder: [B, ...] -> codes int [B, ..., L].
      decoder: codes int [B, ..., L] -> outputs [B, ...].
      quantiser: what is between them.
      parts: parameters of `encoder`, `decoder` and `quantiser` by name, such as those of a
        `vq_vae` -> the parameters of this encoder and decoder: what a stage begins with.
    """

    encoder: Network
    decoder: Network
    quantiser: Quantiser
    parts: Callable[[Mapping[str, Any]], dict[str, Any]]


def coding(
    encoder: Network, decoder: Network, quantiser: Quantiser, latent_shape: int | Sequence[int]
) -> Coding:
    """Returns what encodes to codes and decodes from them, as two networks.

    Args:
      encoder: [B, ...] -> latents [B, *latent_shape].
      decoder: latents -> outputs [B, ...].
      quantiser: of the latents.
      latent_shape: D, or (H, W, D).

    Raises:
      InputError: if a network or the quantiser is none, or a length of a latent; when traced, if
        the encoder does not give such latents.
    """
    require_networks(encoder=encoder, decoder=decoder)
    require_kind(Quantiser, "quantisers.codebook(512)", quantiser=quantiser)
    shape = shaped("latent_shape", latent_shape)

    def to_codes_init(key: Array, x: Array) -> dict[str, Any]:
        own, other = jax.random.split(key)
        params = encoder.init(own, x)
        return {"encoder": params, "quantiser": quantiser.init(other, encoder.apply(params, x))}

    def to_codes(params: Mapping[str, Any], x: Array) -> Array:
        latent = encoder.apply(params["encoder"], x)
        return quantiser.apply(params["quantiser"], latent, quantiser.hparams).codes

    def from_codes_init(key: Array, codes: Array) -> dict[str, Any]:
        own, other = jax.random.split(key)
        latent = jnp.zeros((len(codes), *shape))
        return {"decoder": decoder.init(own, latent), "quantiser": quantiser.init(other, latent)}

    def from_codes(params: Mapping[str, Any], codes: Array) -> Array:
        return decoder.apply(params["decoder"], quantiser.decode(params["quantiser"], codes))

    def parts(params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: {name: params[name], "quantiser": params["quantiser"]}
            for name in ("encoder", "decoder")
        }

    to, back = Network(to_codes_init, to_codes), Network(from_codes_init, from_codes)
    return Coding(to, back, quantiser, parts)


def _straight_through(z: Array, quantised: Array) -> Array:
    """What is quantised, with the slope of z: exactly, since z - z is 0."""
    return jax.lax.stop_gradient(quantised) + (z - jax.lax.stop_gradient(z))


def _row(numbers: np.ndarray, like: Array) -> Array:
    """Numbers of each dimension, to stand beside [..., D]."""
    return jnp.asarray(numbers).reshape(*[1] * (like.ndim - 1), -1)
