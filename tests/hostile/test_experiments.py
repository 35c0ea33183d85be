"""Experiments as a careless user starts them; their training is left out."""

import csv
import io
import locale
import sys

import numpy as np
import pytest

from ae_jax import experiment
from tests.hostile.without_training import SCRIPTS, UNTRAINED, load, replace_training, run
from tests.marks import rare

TRAINED = [name for name in SCRIPTS if name not in UNTRAINED]


@pytest.fixture
def untrained(monkeypatch):
    """What comes of training, which is left out."""
    return replace_training(monkeypatch)


def refused(name, out, arguments, untrained, capsys):
    """The line that refuses the arguments, before anything is trained or written."""
    with pytest.raises(SystemExit) as caught:
        run(name, out, arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2, line
    assert line.startswith("error: ")
    assert untrained.runs == 0, line
    assert not out.exists()
    return line


LATE = [
    ("adversarial_ae", "--dataset shapes32", "shapes32 has no labels, which this experiment needs"),
    ("adversarial_ae", "--dataset letters", "for 10 classes, and letters has 26: choose"),
    ("boltzmann_machine", "--mixing-sweeps 0", "--mixing-sweeps is 0: use a whole"),
    ("boltzmann_machine", "--timed-units 1", "--timed-units is 1: use a whole"),
    ("capacity", "--capacity -1", "capacity is -1: use 0 or more"),
    ("capacity", "--ramp-steps -1", "--ramp-steps is -1: use a whole"),
    ("conditional_gan", "--widths", "--widths has no layer"),
    ("conditional_gan", "--r1-weight -1", "--r1-weight is -1.0: use 0 or more"),
    (
        "conditional_vae",
        "--dataset shapes32",
        "shapes32 has no labels, which this experiment needs",
    ),
    ("conditional_vae", "--discrete-capacity -1", "--discrete-capacity is -1.0: use 0 or more"),
    ("context_encoder", "--side 0", "--side 0 leaves 64 of 64 pixels known: a hole has"),
    ("context_encoder", "--side 1", "--side 1 leaves 0 of 64 pixels known: a hole has"),
    ("context_encoder", "--adversarial-weight 2", "--adversarial-weight is 2.0: use from 0 to 1"),
    ("context_encoder", "--dataset words", "words"),
    ("crowding", "--dimensions", "--dimensions has no value"),
    ("crowding", "--dimensions 1", "--dimensions is 1: use a whole number, 2 or more"),
    ("crowding", "--neighbours 60", "100 points are too few for 60 neighbours and t-SNE's"),
    ("crowding", "--points 30", "perplexity of 30: take 31 or more"),
    ("crowding", "--simplex 1", "--simplex is 1: use a whole number, 2 or more"),
    ("cycle_gan", "--dataset digits", "digits is one domain: give a second one with --other"),
    ("cycle_gan", "--other digits", "are [8, 8, 1]: give it the outputs of these, or use"),
    ("cycle_gan", "--patch-layers 3", "needs images of 24 pixels a side or more, got 16x16"),
    ("dbn", "--steps 0", "--steps is 0: use a whole"),
    ("dbn", "--layer-steps 0", "--layer-steps is 0: use a whole"),
    ("dbn", "--learning-rate 1 1", "--learning-rate has a value twice"),
    ("dbn", "--top-estimator exact", "20"),
    ("dbn", "--annealing-chains 0", "--annealing-chains is 0: use a whole"),
    ("dbn_pretraining", "--steps 0", "--steps is 0: use a whole"),
    ("dbn_pretraining", "--learning-rate", "--learning-rate has no value to sweep"),
    ("dbn_pretraining", "--corruption-level nan", "--corruption-level is nan: use a finite number"),
    ("deep_ae", "--depth -1", "--depth is -1: use a whole"),
    ("deep_ae", "--depth 2", "depth 2 needs as many widths, got (16,)"),
    ("deep_autoencoder_rbm", "--latent-size 0", "--latent-size is 0: use a whole"),
    ("deep_autoencoder_rbm", "--latent-size 65", "65 components of"),
    ("deep_autoencoder_rbm", "--steps 0", "--steps is 0: use a whole"),
    ("deep_autoencoder_rbm", "--widths 16 40 40 --estimator exact", "20"),
    ("deep_image_prior", "--channels 4 4 4 4 4", "use sides that are multiples of 32, or fewer"),
    ("deep_image_prior", "--missing 1", "--missing is 1.0: use more than 0 and less than 1"),
    ("deep_image_prior", "--side 214", "no square of 214 begins at 24, 64"),
    ("deep_image_prior", "--channels", "needs channels of one level or more"),
    ("dirac_gan", "--gamma -1", "--gamma is -1.0: use 0 or more"),
    ("dirac_gan", "--learning-rate 0", "--learning-rate is 0.0: use more than 0"),
    ("dirac_gan", "--learning-rate 1e30", "numbers pass 1e150: lower learning_rate, gamma"),
    ("dirac_gan", "--gamma nan", "--gamma is nan: use"),
    ("dirac_gan", "--steps 1", "--steps is 1: use a whole number, 2 or more"),
    ("domain_decoders", "--letters A", "letters are told from each other, got 'A': give two"),
    (
        "domain_decoders",
        "--faces DejaVuSans DejaVuSans",
        "two faces or two renderings are compared",
    ),
    (
        "domain_decoders",
        "--dataset sprites",
        "two renderings of filled, outline, dark are compared, got filled, filled",
    ),
    ("domain_decoders", "--images 9000", "fewer than 9,000: take fewer, or more letters"),
    ("domain_decoders", "--dataset digits", "--dataset"),
    ("gan", "--momentum 1", "--momentum is 1.0: use 0 or more and less than 1"),
    ("gan", "--dataset nonsense", "unknown density 'nonsense'; choose from ring, grid"),
    ("gan", "--r1-weight -1", "r1_weight is -1"),
    ("gan_images", "--samples 3", "measured by 4 samples or more, got 3"),
    ("gan_images", "--model wgan_gp --batch-size 300", "batch_size 1500 is larger than"),
    ("hyperspherical_vae", "--labels 4", "--labels is 4: use a whole number, 5 or more"),
    ("hyperspherical_vae", "--labels 5", "labels must be from 10, the number of classes, to 1197"),
    ("hyperspherical_vae", "--latent-size 0", "--latent-size is 0: use a whole"),
    rare("hallucination", "--labels 0 10", "--labels (0, 10): numerals has 0 to 9"),
    rare(
        "hallucination", "--layers Conv_9", "no layer 'Conv_9'; use one of: Conv_0, Conv_1, output"
    ),
    rare("hallucination", "--channels 5", "a layer has 4 channels, and not 5: use fewer"),
    rare("hallucination", "--octaves 16", "a scale of images 16x16: use fewer scales"),
    rare("hallucination", "--side 300", "china has no square of 900 pixels a side"),
    ("hallucination", "--rates", "--rates has no value"),
    ("image_compression", "--linear --latent-size 65", "is 65: PCA has 64 components"),
    ("image_compression", "--tile -1", "--tile is -1: use a whole"),
    ("image_to_image", "--dataset halves:ring", "halves pairs are made of images [H, W, C], and"),
    ("image_to_image", "--dataset digits", "digits has no pairs: use halves:digits"),
    ("image_to_image", "--architecture unet --widths 2 2 2", "sides that are multiples of 8"),
    ("image_to_image", "--dataset grey:digits", "grey pairs need images of three channels, got 1"),
    ("importance_weighted", "--gradients 1", "--gradients is 1: use a whole number, 2 or more"),
    ("importance_weighted", "--samples 0", "--samples is 0: use a whole"),
    rare("inpainting", "--hole 8", "a hole of 8 pixels a side does not fit images 8x8"),
    rare("inpainting", "--components 65", "65 components of"),
    rare(
        "inpainting", "--hole 6 --components 30", "28 known numbers say too little of 30 components"
    ),
    ("inpainting", "--fill-rate 0", "--fill-rate is 0.0: use more than 0"),
    ("likelihoods", "--levels 1", "--levels is 1: use a whole number, 2 or more"),
    ("likelihoods", "--variance 0", "--variance is 0.0: use more than 0"),
    ("linear_ae", "--latent-size 65", "65 components of"),
    rare(
        "manifolds", "--batch-size 64", "batch_size 64 is larger than the data set: lower it to 60"
    ),
    ("manifolds", "--counted cube:3in2", "cube:3in2: a cube of 3 takes a space of 3"),
    ("manifolds", "--counted-points 7", "7 counted points do not have 7 neighbours: take more"),
    rare("manifolds", "--dataset shapes32", "shapes32 has neither classes nor coordinates: choose"),
    ("manifolds", "--dataset nonsense", "unknown data set 'nonsense'"),
    ("manifolds", "--latent-size 1", "--latent-size is 1: use a whole number, 2 or more"),
    rare("manifolds", "--neighbours 15", "30 points of discs2 are too few to judge 15 neighbours"),
    ("manifolds", "--perplexity 15", "a perplexity of 15 takes more neighbours than a batch of 16"),
    ("manifolds", "--perplexity 1", "perplexity is 1"),
    ("moment_matching", "--kernel-scale 0", "kernel_scale is 0"),
    ("moment_matching", "--code-learning-rate 0", "--code-learning-rate is 0.0: use more than 0"),
    ("moment_matching", "--samples 3", "measured by 4 samples or more, got 3"),
    ("moment_matching", "--batch-size 2000", "batch_size 2000 is larger than"),
    ("moment_matching", "--code-size 0", "--code-size is 0: use a whole"),
    ("poincare_vae", "--dataset swiss_roll3d", "unknown tree 'swiss_roll3d': use tree:2x5in50"),
    ("poincare_vae", "--curvature 0", "--curvature is 0.0: use more than 0"),
    ("poincare_vae", "--widths", "--widths has no layer: distances from geodesics are one"),
    ("rbm", "--temperatures 0", "--temperatures is 0: use a whole"),
    ("rbm", "--test-images 0", "--test-images is 0: use a whole"),
    ("rbm", "--annealing-chains 0", "--annealing-chains is 0: use a whole"),
    ("rbm", "--annealing-temperatures 0", "--annealing-temperatures is 0: use a whole"),
    ("rbm", f"--hidden-size {10**30}", f"--hidden-size is {10**30}: use less than 2^31"),
    ("rbm_bars_and_stripes", "--temperatures 0", "--temperatures is 0: use a whole"),
    ("rbm_bars_and_stripes", "--gradient-steps 0", "--gradient-steps is 0: use a whole"),
    ("rbm_bars_and_stripes", "--gradient-estimator cd-0", "unknown estimator 'cd-0'"),
    (
        "rbm_bars_and_stripes",
        "--gradient-learning-rate 1 1",
        "--gradient-learning-rate has a value",
    ),
    ("rbm_vs_vae", "--rbm-steps 0", "--rbm-steps is 0: use a whole"),
    ("recurrent_ae", "--embedding-steps -1", "--embedding-steps is -1: use a whole"),
    ("representations", "--layer-steps 0", "--layer-steps is 0: use a whole"),
    ("representations", "--sparsity-target nan", "--sparsity-target is nan: use a finite number"),
    ("representations", "--sparsity-weight 1 1", "--sparsity-weight has a value twice"),
    ("robust_ae", "--stack-widths 0", "--stack-widths is 0: use a whole"),
    ("robust_ae", "--fraction 2", "--fraction is 2.0: use from 0 to 1"),
    ("sampling", "--samples 0", "--samples is 0: use a whole"),
    ("sampling", "--width 0.9", "--width is 0.9: use 1 or more"),
    ("sparse_ae", "--regulariser", "--regulariser has no value to sweep"),
    ("sparse_ae", "--contractive-weight 1 1", "--contractive-weight has a value twice"),
    ("vae_zoo", "--latent-size 65", "65 components of"),
    ("vq_vae", "--size 5000 --latents k-means", "k-means finds no more clusters than 4788, as"),
    ("semi_supervised_vae", "--labels 5", "labels must be from 10, the number of classes, to 1197"),
    ("semi_supervised_vae", "--noise -1", "--noise is -1.0: use 0 or more"),
    ("semi_supervised_vae", "--widths", "--widths has no layer"),
    rare("sequence_anomalies", "--length 22", "a fault of 22 steps is put into sequences"),
    ("sequence_anomalies", "--order 33", "an order of 33 needs 66 steps or more, got 64"),
    ("sequence_anomalies", "--latent-size 65", "65 components of"),
    rare("sequence_anomalies", "--examples 30", "15 scores are too few for alpha 0.05: give 19"),
    ("sequence_anomalies", "--level 0", "--level is 0.0: use more than 0"),
    ("sequence_anomalies", "--dataset digits", "digits has image, label, but no sequence"),
    ("stacked_ae", "--classifier-steps 0", "--classifier-steps is 0: use a whole"),
    ("stacked_ae", "--steps 0", "--steps is 0: use a whole"),
    ("stacked_denoising", "--patch-size 40", "a piece of 40 pixels does not fit into 32"),
    ("stacked_denoising", "--sigma 0", "--sigma is 0.0: use more than 0"),
    ("stacked_denoising", "--stride 7", "a stride of 7 leaves gaps between pieces of 6 pixels"),
    ("stacked_denoising", "--widths", "--widths has no layer"),
    ("text_removal", "--heights 2", "a stamp has 4 pixels a side or more, not 2x"),
    ("text_removal", "--other-face Fraktur", "there is no typeface 'Fraktur': choose from DejaVu"),
    ("total_correlation", "--batch-size 1", "--batch-size is 1: use a whole number, 2 or more"),
    ("total_correlation", "--batch-size 4 64", "data_size is 32, less than the batch of 64"),
    ("total_correlation", "--correlation 1", "--correlation is 1.0: use 0 or more and less than 1"),
    ("total_correlation", "--deviation 0", "--deviation is 0.0: use from 0.001 to 1"),
    ("total_correlation", "--latent-size 1", "--latent-size is 1: use a whole number, 2 or more"),
    ("total_correlation", "--passes 0", "--passes is 0: use a whole"),
    ("watermark", "--dataset digits", "stamps of 12x28 pixels are larger than images of 8x8"),
    ("watermark", "--logos moon", "there is no logo 'moon': choose from ring"),
    ("watermark", "--opacity 1", "--opacity is 1.0: use"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), LATE)
def test_what_was_refused_after_training_or_with_a_traceback(
    name, arguments, words, tmp_path, untrained, capsys
):
    assert words in refused(name, tmp_path / "run", arguments.split(), untrained, capsys)


def test_nothing_is_compared_with_the_truth_before_the_translator_is_tried(
    tmp_path, untrained, capsys, monkeypatch
):
    monkeypatch.delattr(load("image_to_image").Reference, "of")
    arguments = ["--architecture", "unet", "--widths", "2", "2", "2"]
    line = refused("image_to_image", tmp_path / "run", arguments, untrained, capsys)
    assert "sides that are multiples of 8" in line


KINDS = ("frozen", "half", "nan", "one")
#: Every twentieth experiment in one of the ways; each in all with --full.
REPORTS = [
    pytest.param(kind, name, marks=[] if at % 80 == 20 * turn else [pytest.mark.full])
    for turn, kind in enumerate(KINDS)
    for at, name in enumerate(TRAINED)
]


@pytest.mark.parametrize(("kind", "name"), REPORTS)
def test_the_table_is_shown_whatever_came_of_the_lanes(kind, name, tmp_path, untrained, capsys):
    if kind in ("frozen", "half"):
        untrained.frozen = lambda lanes: lanes < (len(lanes) + 1) // 2 * (1 + (kind == "frozen"))
    untrained.value = np.nan if kind == "nan" else 0.5
    out = tmp_path / "run"
    run(name, out, ["--seeds", "1"] if kind == "one" else [])
    said = capsys.readouterr().out
    assert "lanes" in said.splitlines()[0]  # the table
    assert f"report: {out / 'report.html'}" in said
    with (out / "results.csv").open(encoding="utf-8") as file:
        lost = [row["status"] for row in csv.DictReader(file)].count("frozen")
    assert said.count("was frozen at step 1: loss was not finite") == lost
    assert (lost > 0) == (kind in ("frozen", "half"))


def archive(path, images, labels=None, **more):
    given = {} if labels is None else {"y_train": labels}
    np.savez(path, x_train=images, **given, **more)
    return ["--dataset", f"npz:{path}", "--batch-size", "4"]


@pytest.mark.parametrize("name", ["conditional_gan", "dbn", "dbn_pretraining", "stacked_ae"])
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 10**9], "2 of them, 0 to 1000000000: number them with numpy.unique"),
        ([0, 3, 7], "3 of them, 0 to 7: number them"),
        ([0], "has one class, 0: give at least two"),
        (None, "has no labels"),
    ],
    ids=["huge", "gaps", "one", "none"],
)
def test_labels_that_do_not_count_are_refused(name, labels, words, tmp_path, untrained, capsys):
    images = np.random.RandomState(0).uniform(size=(120, 4, 4)).astype(np.float32)
    labels = None if labels is None else np.resize(labels, len(images))
    arguments = archive(tmp_path / "own.npz", images, labels)
    assert words in refused(name, tmp_path / "run", arguments, untrained, capsys)


@pytest.mark.parametrize("name", ["autoencoder", "robust_ae"])
def test_splits_that_differ_are_refused(name, tmp_path, untrained, capsys):
    images = np.random.RandomState(0).uniform(size=(120, 4, 4)).astype(np.float32)
    arguments = archive(tmp_path / "own.npz", images, np.arange(120) % 3, x_test=images)
    line = refused(name, tmp_path / "run", arguments, untrained, capsys)
    assert "label is not the same in all splits" in line


def test_nothing_that_pca_leaves_out_is_no_division_by_zero(tmp_path, untrained, capsys):
    images = np.random.RandomState(0).uniform(size=(120, 2, 1)).astype(np.float32)
    arguments = archive(tmp_path / "own.npz", images)
    run("linear_ae", tmp_path / "run", [*arguments, "--latent-size", "2"])
    assert "largest_angle_degrees" in capsys.readouterr().out


@pytest.mark.full
def test_one_class_does_without_a_probe(tmp_path, untrained, capsys):
    images = np.random.RandomState(0).uniform(size=(3000, 8, 8)).astype(np.float32)
    arguments = archive(tmp_path / "own.npz", images, np.zeros(3000, int))
    run("rbm_vs_vae", tmp_path / "run", arguments)
    assert "linear_probe" not in capsys.readouterr().out


#: A data set of another kind than a script's, and what is said of it; elsewhere points of a plane.
OTHERS = {
    "domain_decoders": ("ring", "invalid choice 'ring' for argument '--dataset'"),
    "gan": ("digits", "unknown density 'digits'"),
    "manifolds": ("ring", "ring is in a plane already"),
    "poincare_vae": ("ring", "unknown tree 'ring'"),
    "stacked_denoising": ("digits", "photographs are photos or photos11, and not 'digits'"),
    "text_removal": ("digits", "photographs are photos or photos11, and not 'digits'"),
}


@pytest.mark.parametrize("name", TRAINED)
def test_data_of_another_kind_are_refused(name, tmp_path, untrained, capsys):
    if name != "recurrent_ae":  # words are for it
        refused(name, tmp_path / "run", ["--dataset", "words"], untrained, capsys)
    other, words = OTHERS.get(name, ("ring", "ring has point, label, but no"))
    line = refused(name, tmp_path / "run", ["--dataset", other], untrained, capsys)
    assert words in line


def test_a_few_images_and_many_classes_are_enough(tmp_path, untrained, capsys):
    images = np.random.RandomState(0).uniform(size=(3000, 8, 8)).astype(np.float32)
    many = archive(tmp_path / "many.npz", images, np.arange(3000) % 40)
    few = archive(tmp_path / "few.npz", images[:12], np.arange(12) % 2)
    for number, arguments in enumerate((many, few)):
        run("deep_ae", tmp_path / f"run-{number}", arguments)
        said = capsys.readouterr().out
        assert "report:" in said
        assert "There are no figures" not in said


@pytest.mark.full
def test_a_density_without_modes_is_measured_by_its_distance_alone(tmp_path, untrained, capsys):
    run("gan", tmp_path / "run", ["--dataset", "two_moons"])
    table = capsys.readouterr().out.splitlines()[0]
    assert "sliced_wasserstein" in table
    assert "modes" not in table


def test_a_distribution_of_ones_own_is_learned_whole(tmp_path, untrained, monkeypatch):
    seen = []
    monkeypatch.setattr(experiment, "report", lambda *args, **more: seen.append(args[3]))
    images = (np.arange(20)[:, None] >> np.arange(9) & 1).astype(bool).reshape(-1, 3, 3)
    for name in ("rbm_bars_and_stripes", "boltzmann_machine"):
        untrained.value = -2.0
        run(name, tmp_path / name, archive(tmp_path / "own.npz", images))
    for rows in seen:
        assert {row["log_likelihood"] for row in rows} == {20 * -2.0}


def test_a_console_without_unicode_gets_its_table(tmp_path, untrained, monkeypatch):
    out, before = tmp_path / "run", locale.setlocale(locale.LC_CTYPE)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    locale.setlocale(locale.LC_CTYPE, "C")  # and so are files that are opened without an encoding
    try:
        run("tied_ae", out, [])
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert b" ? " in sys.stdout.buffer.getvalue()
    assert "±" in (out / "report.html").read_text(encoding="utf-8")
