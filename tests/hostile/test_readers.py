"""Files as people have them, and what the system says of those that it does not read."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ae_jax import cli, experiment
from ae_jax.core import InputError
from ae_jax.data import load
from tests.hostile.reading import SPLITS, images_of, read

ROOT = Path(__file__).parents[2]


def test_binarised_mnist_as_everybody_saves_it(tmp_path):
    bits = (np.random.default_rng(0).uniform(size=(30, 1, 28, 28)) < 0.2).astype(np.uint8)
    label = np.arange(30)[:, None] % 10  # Keras' [N, 1]
    np.savez(tmp_path / "mnist.npz", x_train=bits, y_train=label, x_test=bits[:5], y_test=label[:5])
    with pytest.warns(UserWarning) as said:  # noqa: PT030
        splits = experiment.load_splits(experiment.Config(dataset=f"npz:{tmp_path / 'mnist.npz'}"))
    assert {"are taken as that" in str(one.message) for one in said} == {True, False}
    assert splits.image_shape == (28, 28, 1)
    np.testing.assert_array_equal(images_of(splits.test), bits[:5].transpose(0, 2, 3, 1))
    assert splits.validation.fetch is splits.test.fetch
    assert splits.train.spec["label"].shape == ()


def test_data_of_another_scale_have_a_way_in(tmp_path):
    faces = np.random.default_rng(0).uniform(-1, 1, (20, 3, 8, 8))
    np.savez(tmp_path / "faces.npz", image=faces.transpose(0, 2, 3, 1))
    config = experiment.Config(dataset=f"npz:{tmp_path / 'faces.npz'}")
    with pytest.raises(InputError, match="--value-range LOW HIGH"):
        experiment.load_splits(config)
    options = ["--dataset", config.dataset, "--value-range", "-1", "1"]
    config = cli.parse({"default": experiment.Config()}, options)
    assert cli.identity(config)["value_range"] == [-1, 1]
    image = np.concatenate([images_of(part) for part in experiment.load_splits(config)])
    expected = (faces.transpose(0, 2, 3, 1) + 1) / 2
    np.testing.assert_allclose(np.sort(image, axis=0), np.sort(expected, axis=0), atol=1e-6)


def test_other_content_under_the_same_name_has_another_digest(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 4, 4), np.uint8)
    digests = []
    for images in (pixels[0], pixels[1], pixels[0]):
        np.savez(tmp_path / "data.npz", x_train=images)
        (tmp_path / "folder").mkdir(exist_ok=True)
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "folder" / f"{i:02}.png")
        names = f"npz:{tmp_path / 'data.npz'}", f"images:{tmp_path / 'folder'}"
        digests.append([[load(name, split).digest for split in SPLITS] for name in names])
    assert digests[0] == digests[2]
    assert all(a != b for a, b in zip(np.ravel(digests[0]), np.ravel(digests[1]), strict=True))


@pytest.mark.parametrize("script", ["rbm_bars_and_stripes", "boltzmann_machine"])
def test_an_enumerated_distribution_is_seen_whole(script, tmp_path, monkeypatch):
    patterns = (np.arange(20)[:, None] >> np.arange(6) & 1).reshape(20, 2, 3).astype(bool)
    np.savez(tmp_path / "patterns.npz", image=patterns)
    spec = importlib.util.spec_from_file_location(script, ROOT / "experiments" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seen = []

    class Stop(Exception):
        pass

    def sweep(config, name, method, splits, *_, batch_size, **__):
        seen.append((splits, batch_size))
        raise Stop

    monkeypatch.setattr(experiment, "sweep", sweep)
    config = module.Config(dataset=f"npz:{tmp_path / 'patterns.npz'}")
    with pytest.raises(Stop):
        getattr(module, script)(config)
    splits, batch_size = seen[0]
    assert batch_size == 20
    for part in splits:
        np.testing.assert_array_equal(images_of(part)[..., 0], patterns)


def test_an_enumerated_distribution_is_one_of_bits(tmp_path):
    np.savez(tmp_path / "greys.npz", image=np.full((20, 2, 3), 0.5))
    for name, message in [
        (f"npz:{tmp_path / 'greys.npz'}", "needs images of zeros and ones"),
        ("tones", "but no image"),
    ]:
        with pytest.raises(InputError, match=message):
            experiment.load_splits(experiment.Config(dataset=name), whole=True)


def denied(*_):
    raise PermissionError(13, "x")


def test_what_the_system_says_is_not_called_damage(tmp_path, monkeypatch):
    np.savez(tmp_path / "data.npz", image=np.full((4, 2, 2), 99, np.uint8))
    for error, message in [(OSError(5, "x"), "Input/output error"), (MemoryError(), "not enough")]:
        with monkeypatch.context() as patch:

            def failing(*_, error=error, **__):
                raise error

            patch.setattr(np.lib.format, "read_array", failing)
            with pytest.raises(InputError, match=rf"cannot read .*: [^(]*{message}") as refused:
                load(f"npz:{tmp_path / 'data.npz'}")
            assert "damaged" not in str(refused.value)
    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(InputError, match=r"cannot read .*: Permission denied"):
        load(f"npz:{tmp_path / 'data.npz'}")
    monkeypatch.undo()
    for path in ["x" * 5000, "~nobody-has-this-name/x", "a\0b", str(tmp_path / "data.npz" / "x")]:
        assert read(f"npz:{path}")[0] is None
        assert read(f"images:{path}")[0] is None
