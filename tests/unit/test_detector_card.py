import pytest
import yaml
from detector_events import CARD

from cwolaflow.errors import ConfigError
from cwolaflow.production.detector import read_card


def written(tmp_path, change):
    settings = yaml.safe_load(CARD.read_text())
    change(settings)
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_changes_replace_single_values():
    card = read_card(CARD, {"jets": {"radius": 0.4}})
    assert card.settings["jets"]["radius"] == 0.4
    assert card.settings["jets"]["pt_min"] == 20
    assert read_card(CARD).settings["jets"]["radius"] == 0.5


def drop_radius(settings):
    del settings["jets"]["radius"]


def misspell(settings):
    settings["jets"]["raduis"] = 0.4


def text_for_number(settings):
    settings["propagation"]["magnetic_field"] = "strong"


def true_for_number(settings):
    settings["jets"]["pt_min"] = True


def bad_formula(settings):
    settings["b_tag"]["by_flavour"][5] = "open('x')"


def bad_bin_formula(settings):
    settings["tracking"]["muon"]["resolution"][1]["value"] = "0.01*energy"


def no_section(settings):
    settings["photons"] = None


def gap(settings):
    settings["calorimeters"]["hcal"]["grid"].pop(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_radius, r"card\.yaml: jets: key 'radius' is missing"),
        (misspell, r"card\.yaml: jets: key 'raduis' is unknown"),
        (text_for_number, r"propagation: magnetic_field is 'strong'; expected a number"),
        (true_for_number, r"jets: pt_min is True; expected a number"),
        (bad_formula, r"b_tag\.by_flavour\.5: .*not understood"),
        (bad_bin_formula, r"tracking\.muon\.resolution\[1\]\.value: .*'energy'.*not understood"),
        (no_section, r"photons: expected the keys efficiency, isolation, found None"),
        (gap, r"calorimeters\.hcal\.grid: eta bins do not join"),
    ],
)
def test_mistakes_are_named(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        read_card(written(tmp_path, change))


@pytest.mark.parametrize("content", ["[1, 2]", "jets: [", ""])
def test_not_a_card(tmp_path, content):
    path = tmp_path / "card.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"card\.yaml"):
        read_card(path)


def test_missing_card(tmp_path):
    with pytest.raises(ConfigError, match="not readable"):
        read_card(tmp_path / "none.yaml")
