"""Four players and two pools against their gradients by hand; what the pools give back."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods.adversarial import pool

pytestmark = pytest.mark.usefixtures("x64")

KEY = jax.random.key(5)
RATES = {
    "learning_rate": 0.3,
    "discriminator_a_learning_rate": 0.7,
    "discriminator_b_learning_rate": 0.2,
}
PARAMS = {"forward": 1.4, "backward": 0.6, "discriminator_a": 0.8, "discriminator_b": -1.1}
POOL = 2


def batch():
    """Three images of each domain, of two pixels."""
    random = np.random.default_rng(0)
    return {name: jnp.asarray(random.normal(size=(3, 2, 1, 1))) for name in ("image", "other")}


def player(weight, trains=False):
    """A number times the image; in training it keeps a running mean of what it saw."""

    def init(key, x):
        return {"w": jnp.asarray(weight), "running": jnp.asarray(0.25)}

    def apply(params, x):
        return params["w"] * x

    def train(key, params, x):
        return params["w"] * x, {"running": (params["running"] + jnp.mean(x)) / 2}

    return Network(init, apply, train)


def built(**options):
    given = {"optimizer": optax.identity(), "output": lambda x: x, "pool_size": POOL, **options}
    return methods.cycle_gan(*map(player, PARAMS.values()), **given)


class Played:
    """The game in NumPy, of least squares, weights 3 and 0.5."""

    def __init__(self):
        self.w = dict(PARAMS)
        self.seen = dict.fromkeys(PARAMS, 0.25)
        self.pools = {"discriminator_a": [], "discriminator_b": []}
        self.loss = {}

    def saw(self, name, *images):
        """All passes begin with the same mean; that of what they make of it is kept."""
        self.seen[name] = np.mean([(self.seen[name] + x.mean()) / 2 for x in images])

    def pooled(self, name, key, images):
        past, given = self.pools[name], []
        for image, own in zip(images, jax.random.split(key, len(images)), strict=True):
            coin, slot = jax.random.split(own)
            if len(past) < POOL:
                past.append(image)
                given.append(image)
            elif jax.random.bernoulli(coin):
                place = int(jax.random.randint(slot, (), 0, POOL, jnp.int32))
                given.append(past[place])
                past[place] = image
            else:
                given.append(image)
        return np.stack(given)

    def step(self, key, a, b, simultaneous):
        keys, before = jax.random.split(key, 3), dict(self.w)
        sides = (("discriminator_a", a, "backward", b), ("discriminator_b", b, "forward", a))
        for (name, real, maker, source), own in zip(sides, keys, strict=False):
            fake = self.pooled(name, jax.random.split(own, 3)[1], before[maker] * source)
            d = before[name]
            # (D(x) - 1)^2 / 2 + D(G)^2 / 2
            self.loss[name] = np.mean((d * real - 1) ** 2 + (d * fake) ** 2) / 2
            self.w[name] -= RATES[f"{name}_learning_rate"] * np.mean(
                (d * real - 1) * real + d * fake**2
            )
            self.saw(name, real, fake)
        seen = before if simultaneous else dict(self.w)
        g, f, p, q = (seen[name] for name in PARAMS)
        # (D_b(g a) - 1)^2 / 2 + (D_a(f b) - 1)^2 / 2 + 3 (|f g a - a| + |g f b - b|)
        # + 0.5 (|g b - b| + |f a - a|)
        self.loss["generators"] = (
            np.mean((q * g * a - 1) ** 2 + (p * f * b - 1) ** 2) / 2
            + 3 * abs(f * g - 1) * np.mean(np.abs(a) + np.abs(b))
            + 0.5 * (abs(g - 1) * np.mean(np.abs(b)) + abs(f - 1) * np.mean(np.abs(a)))
        )
        cycle = 3 * np.sign(f * g - 1) * np.mean(np.abs(a) + np.abs(b))
        by_g = (
            np.mean((q * g * a - 1) * q * a) + cycle * f + 0.5 * np.sign(g - 1) * np.mean(np.abs(b))
        )
        by_f = (
            np.mean((p * f * b - 1) * p * b) + cycle * g + 0.5 * np.sign(f - 1) * np.mean(np.abs(a))
        )
        self.saw("forward", a, f * b, b)
        self.saw("backward", g * a, b, a)
        self.w["forward"] -= RATES["learning_rate"] * by_g
        self.w["backward"] -= RATES["learning_rate"] * by_f


@pytest.mark.parametrize("simultaneous", [False, True])
def test_steps(simultaneous):
    """The second one with pools that are full."""
    method = built(cycle_weight=3.0, identity_weight=0.5, simultaneous=simultaneous)
    hparams, played = {**method.hparams, **RATES}, Played()
    state, step = method.init(KEY, batch(), hparams), jax.jit(method.step)
    a, b = (np.asarray(batch()[name]) for name in ("image", "other"))
    for i in range(3):
        state, info = step(jax.random.key(i), state, batch(), hparams)
        played.step(jax.random.key(i), a, b, simultaneous)
        for name, loss in played.loss.items():
            np.testing.assert_allclose(info[f"{name}_loss"], loss, rtol=1e-12)
        for name in PARAMS:
            np.testing.assert_allclose(state.params[name]["w"], played.w[name], rtol=1e-12)
            found = state.params[name]["running"]
            np.testing.assert_allclose(found, played.seen[name], rtol=1e-12)
        for name, past in played.pools.items():
            np.testing.assert_allclose(state.running[f"{name}_pool"].images, past, rtol=1e-12)
    assert method.inference(state).running == {
        "discriminator_a_pool": (), "discriminator_b_pool": (),
    }  # fmt: skip


def test_exact_inverses_come_back_whatever_the_identity_is():
    """gan_values.json, reconstructions.cycle_with_G_2x_F_half and identity_with_G_2x_F_half."""
    a, b = np.sin(np.arange(12) + 1.0), np.cos(np.arange(12.0))
    domains = {
        "image": jnp.asarray(a.reshape(3, 4, 1, 1)),
        "other": jnp.asarray(b.reshape(3, 4, 1, 1)),
    }
    method = methods.cycle_gan(*map(player, (2.0, 0.5, 1.0, 1.0)), pool_size=0, output=lambda x: x)
    hparams = dict(method.hparams)
    state = method.init(KEY, domains, hparams)
    assert state.running == {}
    values = jax.jit(method.evaluate)(KEY, state, domains, hparams)
    np.testing.assert_array_equal(values["cycle_error"], 0)
    np.testing.assert_allclose(
        np.mean(values["identity_error"]) / 4, 0.9592488863364972, rtol=1e-12
    )
    expected = ((2 * a - 1) ** 2 + (b / 2 - 1) ** 2) / 2
    np.testing.assert_allclose(
        values["adversarial_loss"], expected.reshape(3, 4).mean(1), rtol=1e-12
    )
    for name, real, fake in (("a", a, b / 2), ("b", b, 2 * a)):
        expected = (((real - 1) ** 2 + fake**2) / 2).reshape(3, 4).mean(axis=1)
        np.testing.assert_allclose(values[f"discriminator_{name}_loss"], expected, rtol=1e-12)
    # both ways, by what the batch has
    views = method.views
    forth = views.generate(KEY, state, domains, hparams)
    np.testing.assert_array_equal(forth, 2 * domains["image"])
    back = views.generate(KEY, state, {"other": forth}, hparams)
    np.testing.assert_array_equal(back, domains["image"])
    np.testing.assert_array_equal(views.reconstruct(state, domains, hparams), domains["image"])


def test_without_the_identity_loss_domains_may_have_other_channels():
    domains = {"image": jnp.ones((2, 2, 2, 1)), "other": jnp.ones((2, 2, 2, 3))}
    networks = nets.mlp((2, 2, 3), ()), nets.mlp((2, 2, 1), ()), nets.mlp(1, ()), nets.mlp(1, ())
    method = methods.cycle_gan(*networks, identity_weight=None, pool_size=3)
    assert "identity_weight" not in method.hparams
    state = jax.eval_shape(method.init, KEY, domains, dict(method.hparams))
    _, info = jax.eval_shape(method.step, KEY, state, domains, dict(method.hparams))
    assert not any("identity" in name for name in info)
    method = methods.cycle_gan(*networks)
    with pytest.raises(InputError, match=r"domains of one shape, .*: use identity_weight=None"):
        jax.eval_shape(method.init, KEY, domains, dict(method.hparams))


def test_a_player_at_rest_does_not_move():
    method = built()
    state, step = method.init(KEY, batch(), dict(method.hparams)), jax.jit(method.step)
    for still in ("discriminator_a", "discriminator_b"):
        hparams = {**method.hparams, **RATES, f"{still}_learning_rate": 0.0}
        after, _ = step(KEY, state, batch(), hparams)
        for name in PARAMS:
            assert (after.params[name]["w"] == state.params[name]["w"]) == (name == still)


def test_refuses():
    with pytest.raises(InputError, match="pool_size is -1: use a whole number, 0 or more"):
        built(pool_size=-1)
    method = built()

    def init(given, method=method):
        return jax.eval_shape(method.init, KEY, given, dict(method.hparams))

    with pytest.raises(InputError, match="a domain is missing: a batch has no other; make the"):
        init({"image": batch()["image"]})
    wrong = methods.cycle_gan(nets.mlp((2, 1, 3), ()), *map(player, (1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match=r"the forward generator makes \[2, 1, 3\], .*\[2, 1, 1\]"):
        init(batch(), wrong)
    state = method.init(KEY, batch(), dict(method.hparams))
    with pytest.raises(InputError, match="a translation needs an image"):
        method.views.generate(KEY, state, {"label": jnp.zeros(3)}, {})


def test_what_a_pool_gives_back():
    """gan_values.json, image_pool: shares, ages, and how often an image comes back."""
    size, count = 50, 20_000
    images = jnp.arange(count, dtype=float)[:, None]
    past, given = jax.jit(pool.exchanged)(KEY, pool.empty(size, (1,), float), images)
    given, every = np.asarray(given)[:, 0].astype(int), np.arange(count)
    np.testing.assert_array_equal(given[:size], every[:size])  # while it fills
    later = given[size:]
    old = later < every[size:]
    assert abs(old.mean() - 0.5) < 4 * 0.5 / len(later) ** 0.5  # image_pool.fraction_old
    ages = (every[size:] - later)[old]
    assert abs(ages.mean() - 100) < 4 * 100 / len(ages) ** 0.5  # image_pool.mean_age_of_old
    # image_pool.max_times_returned_after_fill: a pool that keeps what it gives fails here
    assert np.unique(later, return_counts=True)[1].max() == 1
    # what neither came back nor is there any more was lost: nothing
    kept = set(np.asarray(past.images)[:, 0].astype(int))
    assert kept.isdisjoint(later[old])
    assert set(every[size:]) | set(every[:size]) == set(later) | kept | set(given[:size])
    assert int(past.count) == size


def test_a_pool_of_none_gives_back_what_it_is_given():
    """gan_values.json, image_pool.size0."""
    nothing = pool.empty(0, (2,), float)
    images = jnp.ones((3, 2))
    chex.assert_trees_all_equal(pool.exchanged(KEY, nothing, images), (nothing, images))
