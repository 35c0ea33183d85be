"""A shared encoder and a stack of decoders, against loops, gradients by hand and linear algebra."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import corruptions, losses, methods, nets
from ae_jax.core import FRACTION, NOT_NEGATIVE, InputError, Network
from ae_jax.methods import discrepancies, observations, shown
from ae_jax.methods.parts.discrepancies import Discrepancy
from tests.methods.drawn import drawn

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
SHAPE = (3, 2, 1)
BATCH, PIXELS, LATENTS = 4, 6, 2


def batch(*names):
    random = np.random.default_rng(0)
    names = names or ("image", "other")
    return {name: jnp.asarray(random.normal(size=(BATCH, *SHAPE))) for name in names}


def linear(**options):
    given = {"optimizer": optax.identity(), **options}
    return methods.domain_decoders(nets.mlp(LATENTS, ()), nets.mlp(SHAPE, ()), **given)


def of_means():
    """The squared distance of means, of which the gradient is short."""

    def between(key, x, y, hparams, present=None):
        return jnp.sum((jnp.mean(x, axis=0) - jnp.mean(y, axis=0)) ** 2)

    return Discrepancy({}, between)


def flat(x):
    return np.asarray(x).reshape(len(x), -1)


def dense(params):
    return np.array(params["Dense_0"]["kernel"]), np.array(params["Dense_0"]["bias"])


def test_a_step_is_that_of_the_gradient_by_hand():
    """What is shown is off by 0.5; the target is not."""
    method = linear(
        shown=shown.corrupted(lambda key, x, level: x + level, 0.5),
        matching=of_means(),
        matching_weight=3.0,
        learning_rate=0.1,
    )
    hparams, domains = dict(method.hparams), batch()
    state = drawn(method, domains)
    after, info = jax.jit(method.step)(KEY, state, domains, hparams)

    (w, c), (v, e) = dense(state.params["encoder"]), dense(state.params["decoders"])
    x = np.stack([flat(domains[name]) for name in ("image", "other")])
    seen, count = x + 0.5, 2 * BATCH
    z = seen @ w + c
    missed = np.stack([z[d] @ v[d] + e[d] - x[d] for d in (0, 1)])
    apart = z[0].mean(axis=0) - z[1].mean(axis=0)
    error = np.sum(missed**2) / count
    np.testing.assert_allclose(info["squared_error"], error, rtol=1e-12)
    np.testing.assert_allclose(info["discrepancy"], apart @ apart, rtol=1e-12)
    np.testing.assert_allclose(info["loss"], error + 3 * apart @ apart, rtol=1e-12)
    for d, name in enumerate(("image", "other")):
        own = np.sum(missed[d] ** 2) / BATCH
        np.testing.assert_allclose(info[f"{name}_squared_error"], own, rtol=1e-12)

    by_z = np.stack([2 * missed[d] @ v[d].T / count for d in (0, 1)])
    by_z += 3 * 2 * np.stack([apart, -apart])[:, None] / BATCH
    new_w, new_c = dense(after.params["encoder"])
    new_v, new_e = dense(after.params["decoders"])
    np.testing.assert_allclose(new_w, w - 0.1 * sum(seen[d].T @ by_z[d] for d in (0, 1)))
    np.testing.assert_allclose(new_c, c - 0.1 * by_z.sum(axis=(0, 1)))
    for d in (0, 1):
        np.testing.assert_allclose(new_v[d], v[d] - 0.1 * 2 * z[d].T @ missed[d] / count)
        np.testing.assert_allclose(new_e[d], e[d] - 0.1 * 2 * missed[d].sum(axis=0) / count)


def test_no_decoder_learns_of_another_domain():
    method = linear()
    state, hparams = drawn(method, batch()), dict(method.hparams)

    @jax.jit
    @jax.grad
    def slope(params):
        found = method.evaluate(KEY, state._replace(params=params), batch(), hparams)
        return jnp.mean(found["image_squared_error"])

    found = slope(state.params)
    for leaf in jax.tree.leaves(found["decoders"]):
        np.testing.assert_array_equal(leaf[1], 0)
        assert np.all(leaf[0] != 0)
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(found["encoder"]))


def test_with_own_encoders_it_is_as_many_autoencoders():
    """A stack is a loop: each is moved as alone, by half, as the loss is the mean of two."""
    given = nets.mlp(LATENTS, (5,), "tanh"), nets.mlp(SHAPE, (5,), "tanh")
    options = {"reconstruction": observations.bernoulli(), "optimizer": optax.identity()}
    both = methods.domain_decoders(*given, own_encoders=True, learning_rate=0.4, **options)
    alone = methods.autoencoder(*given, learning_rate=0.2, **options)
    domains = {name: jax.nn.sigmoid(x) for name, x in batch().items()}
    state = drawn(both, domains)
    after, info = jax.jit(both.step)(KEY, state, domains, dict(both.hparams))
    step, loss = jax.jit(alone.step), 0
    for d, name in enumerate(("image", "other")):
        stacks = {"encoder": "encoder", "decoder": "decoders"}

        def taken(params, d=d, stacks=stacks):
            return {one: jax.tree.map(lambda x: x[d], params[of]) for one, of in stacks.items()}

        own = state._replace(params=taken(state.params))
        single = {"image": domains[name]}
        own, figures = step(KEY, own, single, dict(alone.hparams))
        chex.assert_trees_all_close(taken(after.params), own.params, rtol=1e-12)
        loss += figures["loss"] / 2
        for view in ("encode", "reconstruct"):
            there = getattr(both.views, view)(after, {name: domains[name]}, dict(both.hparams))
            np.testing.assert_allclose(
                there, getattr(alone.views, view)(own, single, dict(alone.hparams)), rtol=1e-12
            )
    np.testing.assert_allclose(info["loss"], loss, rtol=1e-12)


@pytest.mark.parametrize("own_encoders", [False, True])
def test_networks_of_a_stack_begin_apart(own_encoders):
    method = linear(own_encoders=own_encoders)
    with jax.debug_key_reuse(True):
        params = jax.jit(method.init)(jax.random.key(0), batch(), dict(method.hparams)).params
    stacks = [params["decoders"], *([params["encoder"]] if own_encoders else [])]
    for kernels in (dense(stack)[0] for stack in stacks):
        assert kernels.shape[0] == 2
        assert np.all(kernels[0] != kernels[1])
    start = {"decoders": jax.tree.map(jnp.ones_like, params["decoders"])}
    begun = method.init(KEY, batch(), dict(method.hparams), start).params
    chex.assert_trees_all_equal(begun["decoders"], start["decoders"])


def test_equal_domains_with_equal_decoders_are_one_autoencoder():
    method, alone = linear(), methods.autoencoder(nets.mlp(LATENTS, ()), nets.mlp(SHAPE, ()))
    x = batch()["image"]
    state, hparams = drawn(method, batch()), dict(method.hparams)
    decoder = jax.tree.map(lambda leaf: leaf[0], state.params["decoders"])
    equal = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), decoder)
    state = state._replace(params={**state.params, "decoders": equal})
    own = state._replace(params={"encoder": state.params["encoder"], "decoder": decoder})
    for name in ("image", "other"):
        swap = method.views.generate(KEY, state, {name: x}, hparams)
        np.testing.assert_array_equal(swap, method.views.reconstruct(state, {name: x}, hparams))
    values = method.evaluate(KEY, state, {"image": x, "other": x}, hparams)
    expected = alone.evaluate(KEY, own, {"image": x}, dict(alone.hparams))
    for name in ("loss", "squared_error"):
        np.testing.assert_allclose(values[name], expected[name], rtol=1e-12)


def rotation(random, size):
    """A rotation or reflection, drawn uniformly."""
    q, r = np.linalg.qr(random.normal(size=(size, size)))
    return q * np.sign(np.diag(r))


def of_kernels(encoder, decoders):
    """A state of linear networks without biases."""
    stacked = np.stack(decoders)
    return methods.learners.gradient.GradientState(
        {
            "encoder": {
                "Dense_0": {"kernel": encoder, "bias": np.zeros((*encoder.shape[:-2], LATENTS))}
            },
            "decoders": {"Dense_0": {"kernel": stacked, "bias": np.zeros((2, PIXELS))}},
        },
        (),
    )


def test_only_codes_that_mean_the_same_are_swapped():
    """Both domains show the same two factors, by other patterns, and are reconstructed exactly.

    Of two autoencoders the codes are the factors up to an invertible map each: over rotations that
    are drawn, a swap misses by the distance of two examples of the domain, twice their variance.
    One encoder can have codes that are the factors, and its swap is exact; but it can turn those of
    one domain too, as the two row spaces meet in 0, and no reconstruction tells.
    """
    random = np.random.default_rng(1)
    factors = random.normal(size=(400, LATENTS))
    first, second = random.normal(size=(2, LATENTS, PIXELS))
    a, b = factors @ first, factors @ second
    images = {"image": jnp.asarray(a.reshape(-1, *SHAPE))}
    images["other"] = jnp.asarray(b.reshape(-1, *SHAPE))
    inverse = np.linalg.pinv(np.concatenate([first, second]))

    @functools.partial(jax.jit, static_argnums=1)
    def missed(state, own_encoders):
        """Mean squared distances: of reconstructions, and of swaps from the truth."""
        method, again, found = linear(own_encoders=own_encoders), [], []
        for name, truth in (("image", "other"), ("other", "image")):
            x, hparams = {name: images[name]}, dict(method.hparams)
            for made, of, kept in (
                (method.views.reconstruct(state, x, hparams), name, again),
                (method.views.generate(KEY, state, x, hparams), truth, found),
            ):
                kept.append(jnp.sum((made - images[of]) ** 2) / len(made))
        return jnp.stack(again), jnp.stack(found)

    variance = np.array([np.mean(np.sum(x**2, axis=1)) for x in (b, a)])
    shared = of_kernels(
        inverse @ np.concatenate([np.eye(LATENTS), np.eye(LATENTS)]), [first, second]
    )
    np.testing.assert_allclose(missed(shared, False), 0, atol=1e-18)
    apart, turned = [], []
    for _ in range(200):
        one, other = rotation(random, LATENTS), rotation(random, LATENTS)
        encoders = [np.linalg.pinv(first) @ one, np.linalg.pinv(second) @ other]
        decoders = [one.T @ first, other.T @ second]
        apart.append(missed(of_kernels(np.stack(encoders), decoders), True))
        encoder = inverse @ np.concatenate([np.eye(LATENTS), other])
        turned.append(missed(of_kernels(encoder, [first, other.T @ second]), False))
    for values in (apart, turned):
        again, found = np.moveaxis(np.array(values), 1, 0)
        np.testing.assert_allclose(again, 0, atol=1e-18)
        error = np.std(found, axis=0) / np.sqrt(len(found))
        np.testing.assert_array_less(np.abs(np.mean(found, axis=0) - 2 * variance), 4 * error)


def test_views_are_of_the_first_domain_that_is_there():
    """Three domains: each is made as the next, the last as the first."""
    names = ("one", "two", "three")
    method = linear(domains=names, reconstruction=observations.bernoulli())
    domains, hparams = batch(*names), dict(method.hparams)
    state, views = drawn(method, domains), method.views
    w, c = dense(state.params["encoder"])
    v, e = dense(state.params["decoders"])
    for d, name in enumerate(names):
        given = {later: domains[later] for later in names[d:]}
        code = flat(domains[name]) @ w + c
        np.testing.assert_allclose(views.encode(state, given, hparams), code, rtol=1e-12)
        for found, by in (
            (views.decode(state, jnp.asarray(code), hparams), 0),
            (views.reconstruct(state, given, hparams), d),
            (views.generate(KEY, state, given, hparams), (d + 1) % 3),
        ):
            assert found.shape == (BATCH, *SHAPE)
            np.testing.assert_allclose(flat(found), 1 / (1 + np.exp(-code @ v[by] - e[by])))
    with pytest.raises(InputError, match="has no one, but image: use such data"):
        views.encode(state, {"image": domains["one"]}, hparams)


def test_the_discrepancy_is_of_a_whole_data_set(monkeypatch):
    """The mean over pairs of three domains; of the examples that are no padding, or of a few."""
    names = ("one", "two", "three")
    method = linear(domains=names, matching=discrepancies.moments(), matching_weight=0.5)
    domains, hparams = batch(*names), dict(method.hparams)
    state = drawn(method, domains)
    values = method.evaluate(KEY, state, domains, hparams)
    codes = [np.asarray(values["latent"])[:, d] for d in range(3)]
    for d, name in enumerate(names):
        expected = method.views.encode(state, {name: domains[name]}, hparams)
        np.testing.assert_allclose(codes[d], expected, rtol=1e-12)

    def between(rows):
        return np.mean([
            losses.moment_distance(codes[i][rows], codes[j][rows])
            for i, j in ((0, 1), (0, 2), (1, 2))
        ])  # fmt: skip

    conclude = method.conclude
    for present, rows in (([1, 1, 1, 1], [0, 1, 2, 3]), ([1, 1, 0, 1], [0, 1, 3])):
        found = conclude(values, jnp.array(present, bool), hparams)
        np.testing.assert_allclose(found["discrepancy"], between(rows), rtol=1e-10)
        expected = np.mean(values["loss"][np.array(rows)]) + 0.5 * between(rows)
        np.testing.assert_allclose(found["loss"], expected, rtol=1e-10)
    monkeypatch.setattr("ae_jax.methods.parts.discrepancies.COMPARED", 2)
    few = conclude(values, jnp.ones(BATCH, bool), hparams)
    np.testing.assert_allclose(few["discrepancy"], between([0, 2]), rtol=1e-10)
    assert linear().conclude is None


def running():
    """A number times the image; in training it keeps what it saw, and its key's draw."""

    def train(key, params, x):
        return params["w"] * x, {"seen": jnp.mean(x), "key": jax.random.uniform(key)}

    return Network(
        lambda key, x: {"w": jnp.asarray(0.5), "seen": jnp.zeros(()), "key": jnp.zeros(())},
        lambda params, x: params["w"] * x,
        train,
    )


@pytest.mark.parametrize("own_encoders", [False, True])
def test_a_shared_encoder_sees_all_domains_in_one_pass(own_encoders):
    method = methods.domain_decoders(running(), running(), own_encoders=own_encoders)
    state = method.init(KEY, batch(), dict(method.hparams))
    after, _ = jax.jit(method.step)(KEY, state, batch(), dict(method.hparams))
    means = np.array([jnp.mean(x) for x in batch().values()])
    seen = after.params["encoder"]["seen"]
    np.testing.assert_allclose(seen, means if own_encoders else means.mean(), rtol=1e-12)
    np.testing.assert_allclose(after.params["decoders"]["seen"], 0.5 * means, rtol=1e-12)
    keys = [np.ravel(after.params[name]["key"]) for name in ("encoder", "decoders")]
    assert len(np.unique(np.concatenate(keys))) == (4 if own_encoders else 3)


def test_each_domain_is_spoiled_on_its_own_and_evaluated_as_it_is():
    seen = []

    def noted(key, x, level):
        seen.append(x)
        return corruptions.gaussian_noise(key, x, level)

    method = linear(shown=shown.corrupted(noted, 0.3))
    state, hparams = drawn(method, batch()), dict(method.hparams)
    same = {"image": batch()["image"], "other": batch()["image"]}
    decoders = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 2), state.params["decoders"])
    state = state._replace(params={**state.params, "decoders": decoders})
    _, info = method.step(KEY, state, same, hparams)
    assert info["image_squared_error"] != info["other_squared_error"]
    traced = len(seen)
    values = method.evaluate(KEY, state, same, hparams)
    np.testing.assert_array_equal(values["image_squared_error"], values["other_squared_error"])
    assert len(seen) == traced


def test_its_numbers_are_those_of_its_parts():
    method = linear(
        shown=shown.corrupted(corruptions.warped, 0.2),
        matching=discrepancies.mmd(scale=2.0),
        matching_weight=7.0,
    )
    assert method.hparams["corruption_level"] == 0.2
    assert method.hparams["kernel_scale"] == 2
    assert method.hparams["matching_weight"] == 7
    assert method.domains["corruption_level"] == FRACTION
    assert method.domains["matching_weight"] == NOT_NEGATIVE
    assert linear().hparams.keys() == {"learning_rate"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domains": ("image",)}, r"two domains or more.*got \('image',\)"),
        ({"domains": ("image", "image")}, "each named once"),
        ({"shown": corruptions.masking}, "shown is the function masking: call it"),
        ({"matching": discrepancies.mmd}, "matching is the function mmd: call it"),
        ({"matching_weight": -1.0, "matching": 3}, "matching is 3: use what a function makes"),
    ],
)
def test_what_makes_no_method_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        linear(**options)


@pytest.mark.parametrize(
    ("decoder", "given", "message"),
    [
        (SHAPE, {"image": SHAPE}, "a batch has no other, but image"),
        (
            SHAPE,
            {"image": SHAPE, "other": (3, 3, 1)},
            r"one shape, got \[3, 2, 1\] and \[3, 3, 1\]",
        ),
        ((3, 3), {"image": SHAPE, "other": SHAPE}, "give it the domains' shape"),
    ],
)
def test_data_that_do_not_fit_are_refused(decoder, given, message):
    method = methods.domain_decoders(nets.mlp(2, ()), nets.mlp(decoder, ()))
    data = {name: jnp.zeros((2, *shape)) for name, shape in given.items()}
    with pytest.raises(InputError, match=message):
        method.init(KEY, data, dict(method.hparams))
