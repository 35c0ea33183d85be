"""Latents of several kinds side by side, for `posteriors` and `priors`: parts by name."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ae_jax.core import Array, HParams, InputError, mistaken
from ae_jax.methods.parts.labels import same_classes
from ae_jax.methods.parts.latents import Posterior, Prior, Product


def joint_posterior(**parts: Posterior) -> Posterior:
    """Independent latents of several kinds, side by side in the order that they are named in.

    As in `joint(style=gaussian(), category=concrete(10))`. Those of a fixed size take theirs, and
    one that may have any size takes what is left of the latents; outputs are the parts' own, side
    by side. Numbers of one name, such as several temperatures, are one number.

    Args:
      **parts: each one's posterior, by a name of your own; the prior's parts have the same.

    Raises:
      InputError: if there is none, one is no posterior or has parameters of its own, two have no
        size of their own, or two have a number of one name and different defaults.

    Reference:
      Dupont (2018), Learning Disentangled Joint Continuous and Discrete Representations.
    """
    numbers = _checked(Posterior, "posteriors.gaussian()", parts)
    if plain := [name for name, part in parts.items() if part.init is not None]:
        raise InputError(f"{plain[0]} has parameters of its own: join plain posteriors")

    def outputs(latent_size: int) -> int:
        return sum(parts[name].outputs(n) for name, n in _sizes(parts, latent_size).items())

    def read(given: Array, latent_size: int, hparams: HParams) -> dict[str, Any]:
        if given.shape[1:] != (outputs(latent_size),):
            raise InputError(
                f"the encoder must give the outputs of {', '.join(parts)}, side by side, "
                f"[B, {outputs(latent_size)}], and gives {list(given.shape)}"
            )
        sizes = _sizes(parts, latent_size)
        own = _cut(given, {name: parts[name].outputs(n) for name, n in sizes.items()})
        return {name: part.read(own[name], sizes[name], hparams) for name, part in parts.items()}

    def beside(function: Callable[[str, Posterior], Array]) -> Array:
        return jnp.concatenate([function(name, part) for name, part in parts.items()], axis=1)

    def sample(key: Array, parameters: Mapping[str, Any]) -> Array:
        keys = _keys(key, parts)
        return beside(lambda name, part: part.sample(keys[name], parameters[name]))

    def log_prob(z: Array, parameters: Mapping[str, Any]) -> Array:
        own = _cut(z, _sizes(parts, z.shape[1]))
        return sum(part.log_prob(own[name], parameters[name]) for name, part in parts.items())

    def kl_standard(parameters: Mapping[str, Any]) -> Array:
        return sum(part.kl_standard(parameters[name]) for name, part in parts.items())

    return Posterior(
        outputs=outputs,
        read=read,
        sample=sample,
        log_prob=log_prob,
        mean=lambda parameters: beside(lambda name, part: part.mean(parameters[name])),
        kl_standard=kl_standard if all(part.kl_standard for part in parts.values()) else None,
        support=_support(parts),
        size=_size(parts),
        parts=parts,
        **numbers,
    )


def joint_prior(**parts: Prior) -> Prior:
    """Independent latents of several kinds, side by side, for `posteriors.joint`.

    Parts that are learned have the entries of `prior` that are called as they are.

    Args:
      **parts: each one's prior, named and ordered as the posterior's are.

    Raises:
      InputError: as `posteriors.joint`; if parts are of different classes.
    """
    numbers = _checked(Prior, "priors.normal()", parts)
    told = [part.classes for part in parts.values() if part.of is not None]
    if not all(same_classes(classes, told[0]) for classes in told):
        raise InputError(
            f"the parts of a joint prior are of the classes {told}: give them the same"
        )

    def own(params: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        learned = params.get("prior", {})
        return {**params, "prior": learned[name]} if name in learned else params

    def init(key: Array, x: Array, latent_size: int) -> dict[str, Any]:
        sizes, keys = _sizes(parts, latent_size), _keys(key, parts)
        learned = {name: part for name, part in parts.items() if part.init is not None}
        return {name: part.init(keys[name], x, sizes[name]) for name, part in learned.items()}

    def sample(
        key: Array, params: Mapping[str, Any], shape: tuple[int, int], hparams: HParams
    ) -> Array:
        sizes, keys = _sizes(parts, shape[1]), _keys(key, parts)
        drawn = [
            part.sample(keys[name], own(params, name), (shape[0], sizes[name]), hparams)
            for name, part in parts.items()
        ]
        return jnp.concatenate(drawn, axis=1)

    def log_prob(z: Array, params: Mapping[str, Any], hparams: HParams) -> Array:
        cut = _cut(z, _sizes(parts, z.shape[1]))
        return sum(
            part.log_prob(cut[name], own(params, name), hparams) for name, part in parts.items()
        )

    def of(given: Array) -> Prior:
        return joint_prior(
            **{name: part.of(given) if part.of else part for name, part in parts.items()}
        )

    return Prior(
        sample,
        log_prob,
        init=init if any(part.init for part in parts.values()) else None,
        standard=all(part.standard for part in parts.values()),
        support=_support(parts),
        of=of if told else None,
        classes=told[0] if told else 0,
        size=_size(parts),
        reads_encoder=any(part.reads_encoder for part in parts.values()),
        **numbers,
    )


def _checked(kind: type, example: str, parts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the numbers of the parts, after looking at them."""
    if not parts:
        raise InputError(f"nothing is joined: name some parts, such as style={example}")
    for name, part in parts.items():
        if not isinstance(part, kind):
            raise mistaken(name, part, example)
    if len(free := [name for name, part in parts.items() if part.size is None]) > 1:
        raise InputError(f"{' and '.join(free)} may have any size: join one such part with others")
    numbers: dict[str, dict[str, Any]] = {"hparams": {}, "domains": {}}
    for name, part in parts.items():
        for number, default in part.hparams.items():
            if numbers["hparams"].setdefault(number, default) != default:
                raise InputError(
                    f"parts share the number {number}, and {name} has another default: give them "
                    "the same"
                )
        numbers["domains"] |= part.domains
    return numbers


def _size(parts: Mapping[str, Any]) -> int | None:
    sizes = [part.size for part in parts.values()]
    return None if None in sizes else sum(sizes)


def _support(parts: Mapping[str, Any]) -> Product:
    return Product(tuple((name, part.support) for name, part in parts.items()))


def _sizes(parts: Mapping[str, Any], latent_size: int) -> dict[str, int]:
    """Returns how many latents each part has of so many."""
    left = latent_size - sum(part.size or 0 for part in parts.values())
    if left < 0 or (left == 0) != (_size(parts) is not None):
        taken = ", ".join(f"{name} {part.size or '1 or more'}" for name, part in parts.items())
        raise InputError(
            f"{latent_size} latents are to be shared: {taken}: give another latent_size"
        )
    return {name: part.size or left for name, part in parts.items()}


def _cut(x: Array, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Returns the columns of each part."""
    ends = [sum(list(sizes.values())[: i + 1]) for i in range(len(sizes))]
    return dict(zip(sizes, jnp.split(x, ends[:-1], axis=1), strict=True))


def _keys(key: Array, parts: Mapping[str, Any]) -> dict[str, Array]:
    """Returns a key for each part; the first draws what it draws alone."""
    return {name: jax.random.fold_in(key, i) if i else key for i, name in enumerate(parts)}
