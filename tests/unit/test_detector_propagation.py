import numpy as np
import pytest
import yaml
from detector_events import CARD, make_events, particle

from cwolaflow.production.detector.propagation import propagate

SETTINGS = yaml.safe_load(CARD.read_text())
PION = 0.13957


def run(*particles):
    return propagate(make_events(list(particles)), SETTINGS["particles"], SETTINGS["propagation"])


def test_pion_to_the_barrel():
    # Values computed independently from the helix equations.
    found = run(particle(211, 1.0, eta=0.5, m=PION))
    exit_point = [found.exit_x[0], found.exit_y[0], found.exit_z[0]]
    np.testing.assert_allclose(exit_point, [874.998, -947.881, 755.067], atol=1e-3)
    assert found.path[0] == pytest.approx(1633.93, abs=0.01)
    assert found.exit_time[0] / 299.792458 == pytest.approx(5.49180, abs=1e-4)
    assert found.d0[0] == pytest.approx(0, abs=1e-9)


def test_looping_pion_leaves_through_the_endcap():
    found = run(particle(211, 0.5, eta=0.5, m=PION))
    exit_point = [found.exit_x[0], found.exit_y[0], found.exit_z[0]]
    np.testing.assert_allclose(exit_point, [229.687, -64.898, 3000.0], atol=1e-3)
    assert found.path[0] == pytest.approx(6491.86, abs=0.01)
    assert found.exit_time[0] / 299.792458 == pytest.approx(22.30814, abs=1e-3)
    assert found.eta_exit[0] == pytest.approx(3.22597, abs=1e-5)


def test_photon_goes_straight():
    vertex = (10.0, -20.0, 30.0, 5.0)
    found = run(particle(22, 2.0, eta=0.3, phi=1.1, vertex=vertex))
    exit_point = np.array([found.exit_x[0], found.exit_y[0], found.exit_z[0]])
    assert np.hypot(*exit_point[:2]) == pytest.approx(1290)
    step = exit_point - vertex[:3]
    direction = np.array([np.cos(1.1), np.sin(1.1), np.sinh(0.3)]) / np.cosh(0.3)
    np.testing.assert_allclose(step / np.linalg.norm(step), direction, atol=1e-12)
    assert found.exit_time[0] == pytest.approx(5 + np.linalg.norm(step))


def test_slow_neutral_particle_arrives_late():
    found = run(particle(130, 0.5, m=0.498))
    velocity = 0.5 / np.hypot(0.5, 0.498)
    assert found.exit_time[0] == pytest.approx(1290 / velocity)


def helix_by_small_steps(entry, charge):
    """Exit point from the equation of motion, independent of the closed form."""
    position = np.array([entry["x"], entry["y"], entry["z"]])
    momentum = np.array([entry["px"], entry["py"], entry["pz"]])
    field = np.array([0, 0, 3.8])
    p = np.linalg.norm(momentum)
    direction = momentum / p
    kick = 0.299792458e-3 * charge / p
    step, length = 0.5, 0.0
    while np.hypot(*position[:2]) <= 1290 and abs(position[2]) <= 3000:
        k1 = kick * np.cross(direction, field)
        middle = direction + step / 2 * k1
        k2 = kick * np.cross(middle, field)
        position = position + step * middle
        direction = direction + step * k2
        direction /= np.linalg.norm(direction)
        length += step
    return position, length


@pytest.mark.parametrize(
    "entry",
    [
        particle(211, 1.3, eta=0.9, phi=2.0, m=PION, vertex=(3.0, -40.0, 12.0, 0.0)),
        particle(-211, 0.9, eta=-0.4, phi=-3.0, m=PION, vertex=(-100.0, 300.0, 50.0, 0.0)),
        particle(-2212, 20.0, eta=2.0, phi=0.3, m=0.938),
        particle(321, 0.4, eta=1.5, phi=-1.0, m=0.494, vertex=(500.0, 100.0, -800.0, 0.0)),
        particle(11, 0.75, eta=0.2, phi=1.0, m=0.000511),
        particle(-13, 0.6, eta=0.3, phi=1.0, m=0.106, vertex=(900.0, 0.0, 0.0, 0.0)),
    ],
)
def test_exit_point_against_numerical_integration(entry):
    found = run(entry)
    position, length = helix_by_small_steps(entry, found.charge[0])
    exit_point = [found.exit_x[0], found.exit_y[0], found.exit_z[0]]
    np.testing.assert_allclose(exit_point, position, atol=1.5)
    assert found.path[0] == pytest.approx(length, abs=1.5)


def random_particles(count=300):
    rng = np.random.default_rng(3)
    ids = rng.choice([211, -211, 22, 130, 2212], count)
    return [
        particle(
            pid,
            rng.exponential(2) + 0.05,
            eta=rng.uniform(-4, 4),
            phi=rng.uniform(-3.1, 3.1),
            m=0.14,
            vertex=(*rng.normal(0, 30, 3), 0.0),
        )
        for pid in ids
    ]


def test_every_exit_point_lies_on_the_cylinder():
    found = run(*random_particles())
    radius = np.hypot(found.exit_x, found.exit_y)
    barrel = np.isclose(radius, 1290) & (np.abs(found.exit_z) <= 3000 + 1e-6)
    endcap = np.isclose(np.abs(found.exit_z), 3000) & (radius <= 1290 + 1e-6)
    assert np.all(barrel | endcap)
    assert barrel.any() and endcap.any()


def test_closest_approach_is_the_closest_point_of_the_circle():
    entry = particle(211, 2.0, eta=0.1, phi=0.7, m=PION, vertex=(30.0, 10.0, 0.0, 0.0))
    found = run(entry)
    # Distance of the circle from the z axis, from its centre and radius.
    r = 2.0 / (0.299792458e-3 * 3.8)
    centre = 30.0 + r * np.sin(0.7), 10.0 - r * np.cos(0.7)
    assert abs(found.d0[0]) == pytest.approx(abs(np.hypot(*centre) - r))
    assert np.hypot(found.closest_x[0], found.closest_y[0]) == pytest.approx(abs(found.d0[0]))
    direction = np.cos(found.phi[0]), np.sin(found.phi[0])
    assert found.closest_x[0] * direction[0] + found.closest_y[0] * direction[1] == pytest.approx(
        0, abs=1e-9
    )


def test_opposite_charges_are_mirror_images():
    plus = run(particle(211, 1.5, eta=0.4, phi=0.6, m=PION))
    minus = run(particle(-211, 1.5, eta=0.4, phi=-0.6, m=PION))
    np.testing.assert_allclose(
        [plus.exit_x, plus.exit_y, plus.exit_z], [minus.exit_x, -minus.exit_y, minus.exit_z]
    )


def test_rotation_about_the_beam():
    angle = 1.234
    rotated = []
    for entry in random_particles():
        entry = dict(entry)
        for a, b in (("px", "py"), ("x", "y")):
            entry[a], entry[b] = (
                entry[a] * np.cos(angle) - entry[b] * np.sin(angle),
                entry[a] * np.sin(angle) + entry[b] * np.cos(angle),
            )
        rotated.append(entry)
    before, after = run(*random_particles()), run(*rotated)
    turn = np.angle(np.exp(1j * (after.phi_exit - before.phi_exit - angle)))
    np.testing.assert_allclose(turn, 0, atol=1e-6)
    np.testing.assert_allclose(after.eta_exit, before.eta_exit, atol=1e-6)
    np.testing.assert_allclose(after.d0, before.d0, atol=1e-6)


def test_what_is_dropped():
    found = run(
        particle(211, 5.0, m=PION, vertex=(1300.0, 0.0, 0.0, 0.0)),
        particle(211, 5.0, m=PION, vertex=(0.0, 0.0, -3001.0, 0.0)),
        particle(22, 1e-6, eta=3.0),
        particle(22, 5.0, status=2),
        particle(4900111, 5.0),
        particle(22, 7.0),
    )
    np.testing.assert_allclose(found.pt, [7.0])
    np.testing.assert_array_equal(found.index, [5])
