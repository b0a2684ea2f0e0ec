"""Average images and p_T maps of a study whose images are rendered from sets."""

import yaml

from conftest import Project

SAMPLES = """
sample process files cross_section_pb k_factor branching_fraction filter_efficiency
vbf_haa vbf tests/data/delphes_14tev/vbf_haa.root 4.278 1 2.27e-3 1
ggf_haa ggf tests/data/delphes_14tev/ggf_haa.root 54.67 1 2.27e-3 1
"""
STUDY = {"extends": "vbf_ggf.yaml", "samples": "config/samples/rendered.tsv", "produce": None}
NAMES = ("channels_cnn_with", "channels_cnn_without", "pt_map_constituents")
TARGETS = [f"results/rendered/summary/figures/{name}.png" for name in NAMES]


def made(folder) -> Project:
    project = Project(folder)
    table = "\n".join("\t".join(row.split()) for row in SAMPLES.split("\n") if row) + "\n"
    (project.folder / "config/samples/rendered.tsv").write_text(table)
    (project.folder / "config/studies/rendered.yaml").write_text(yaml.safe_dump(STUDY))
    config = {"studies": ["config/studies/rendered.yaml"], "device": "cpu", "training_threads": 1}
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    return project


def test_figures_of_rendered_sets(tmp_path):
    project = made(tmp_path)
    planned = project.planned("figures")
    assert planned["plot_channels"] == 2
    assert planned["plot_pt_map"] == 1
    # No training is needed for them.
    run = project.run(*TARGETS)
    assert "train_classifier" not in run.stdout + run.stderr
    figures = project.folder / "results/rendered/summary/figures"
    assert {path.name for path in figures.iterdir()} == {
        f"{name}.{suffix}" for name in NAMES for suffix in ("pdf", "png")
    }
    run = project.snakemake("-n", "results/rendered/summary/figures/channels_part_with.png")
    assert run.returncode != 0
    assert "it does for the classifiers: cnn_with, cnn_without" in run.stdout + run.stderr
