"""Particles from their vertex to the surface of the calorimeter."""

from dataclasses import dataclass

import numpy as np

from cwolaflow.kinematics import wrap_phi
from cwolaflow.production.detector.geometry import pseudorapidity
from cwolaflow.production.detector.particles import GeneratorEvents, charge_of, is_known

CURVATURE = 0.299792458e-3  # pt [GeV] = CURVATURE * q * B [T] * r [mm]
_TRAJECTORY = (
    "phi",
    "exit_x",
    "exit_y",
    "exit_z",
    "duration",
    "closest_x",
    "closest_y",
    "closest_z",
    "d0",
    "path",
)


@dataclass(frozen=True)
class StableParticles:
    """Stable particles at the surface of the calorimeter, in event order.

    Parameters
    ----------
    index : int64 array
        Position of the particle in the batch's flat arrays.
    event, pid, charge : int64 arrays
    pt, eta, phi, mass, energy : float64 arrays
        Of the momentum at the closest approach to the z axis, GeV.
    exit_x, exit_y, exit_z, exit_time : float64 arrays
        Where and when it leaves the tracker, mm (time: c*t).
    eta_exit, phi_exit : float64 arrays
        Direction of the exit point seen from the origin.
    closest_x, closest_y, closest_z : float64 arrays
        Point of closest approach to the z axis, mm (vertex for neutral particles).
    d0, path : float64 arrays
        Signed transverse impact parameter and path length, mm.
    """

    index: np.ndarray
    event: np.ndarray
    pid: np.ndarray
    charge: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    mass: np.ndarray
    energy: np.ndarray
    exit_x: np.ndarray
    exit_y: np.ndarray
    exit_z: np.ndarray
    exit_time: np.ndarray
    eta_exit: np.ndarray
    phi_exit: np.ndarray
    closest_x: np.ndarray
    closest_y: np.ndarray
    closest_z: np.ndarray
    d0: np.ndarray
    path: np.ndarray

    def __len__(self) -> int:
        """Number of particles."""
        return len(self.event)


def propagate(events: GeneratorEvents, particles: dict, geometry: dict) -> StableParticles:
    """Propagate the stable particles of a batch to the cylinder around the tracker.

    Straight lines and helices without energy loss, decays in flight or limit on the number of
    turns. Particles made outside the cylinder, and those along z, are dropped.

    Parameters
    ----------
    events : GeneratorEvents
    particles : dict
        ``charges`` and ``unknown`` of the card.
    geometry : dict
        ``radius`` and ``half_length`` in mm, ``magnetic_field`` in T, ``pt_min`` in GeV.
    """
    radius, half_length = geometry["radius"], geometry["half_length"]
    keep = (
        (events.status == 1)
        & (np.hypot(events.px, events.py) >= geometry["pt_min"])
        & (np.hypot(events.x, events.y) <= radius)
        & (np.abs(events.z) <= half_length)
    )
    index = np.flatnonzero(keep)
    index = index[is_known(events.pid[index], particles["unknown"])]
    column = {name: getattr(events, name)[index] for name in ("px", "py", "pz", "e", "x", "y", "z")}
    pid = events.pid[index]
    charge = charge_of(pid, particles["charges"])

    curved = (charge != 0) & (geometry["magnetic_field"] != 0)
    track = {name: np.empty(len(index)) for name in _TRAJECTORY}
    for select, follow in ((~curved, _line), (curved, _helix)):
        part = {name: values[select] for name, values in column.items()}
        for name, values in follow(part, charge[select], geometry).items():
            track[name][select] = values
    return StableParticles(
        index=index,
        event=events.event[index],
        pid=pid,
        charge=charge,
        pt=np.hypot(column["px"], column["py"]),
        eta=pseudorapidity(np.hypot(column["px"], column["py"]), column["pz"]),
        phi=track["phi"],
        mass=events.m[index],
        energy=column["e"],
        exit_x=track["exit_x"],
        exit_y=track["exit_y"],
        exit_z=track["exit_z"],
        exit_time=events.t[index] + track["duration"],
        eta_exit=pseudorapidity(np.hypot(track["exit_x"], track["exit_y"]), track["exit_z"]),
        phi_exit=np.arctan2(track["exit_y"], track["exit_x"]),
        closest_x=track["closest_x"],
        closest_y=track["closest_y"],
        closest_z=track["closest_z"],
        d0=track["d0"],
        path=track["path"],
    )


def _time_to_endcap(z: np.ndarray, velocity: np.ndarray, half_length: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        time = (np.copysign(half_length, velocity) - z) / velocity
    return np.where(velocity == 0, np.inf, time)


def _line(p: dict, charge: np.ndarray, geometry: dict) -> dict:
    """Straight lines; lengths in mm, ``duration`` = c * time of flight."""
    pt_2 = p["px"] ** 2 + p["py"] ** 2
    cross = p["px"] * p["y"] - p["py"] * p["x"]
    along = p["px"] * p["x"] + p["py"] * p["y"]
    # s: path per momentum, mm/GeV.
    root = np.sqrt(np.maximum(pt_2 * geometry["radius"] ** 2 - cross**2, 0))
    s = np.minimum((root - along) / pt_2, _time_to_endcap(p["z"], p["pz"], geometry["half_length"]))
    return {
        "phi": np.arctan2(p["py"], p["px"]),
        "exit_x": p["x"] + p["px"] * s,
        "exit_y": p["y"] + p["py"] * s,
        "exit_z": p["z"] + p["pz"] * s,
        "duration": p["e"] * s,
        "closest_x": p["x"],
        "closest_y": p["y"],
        "closest_z": p["z"],
        "d0": -cross / np.sqrt(pt_2),
        "path": np.sqrt(pt_2 + p["pz"] ** 2) * s,
    }


def _helix(p: dict, charge: np.ndarray, geometry: dict) -> dict:
    """Helices around the field along z; lengths in mm, times as c * t in mm."""
    radius, half_length = geometry["radius"], geometry["half_length"]
    pt = np.hypot(p["px"], p["py"])
    phi_0 = np.arctan2(p["py"], p["px"])
    r = pt / (CURVATURE * charge * geometry["magnetic_field"])
    omega = pt / (p["e"] * r)
    velocity_z = p["pz"] / p["e"]
    centre_x = p["x"] + r * np.sin(phi_0)
    centre_y = p["y"] - r * np.cos(phi_0)
    centre_r = np.hypot(centre_x, centre_y)

    half_turn = np.pi / np.abs(omega)
    time_closest = (phi_0 + np.arctan2(centre_x, centre_y)) / omega
    time_closest -= half_turn * np.round(time_closest / half_turn)
    phi_closest = phi_0 - omega * time_closest
    closest_x = centre_x - r * np.sin(phi_closest)
    closest_y = centre_y + r * np.cos(phi_closest)

    abs_r = np.abs(r)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (r**2 + centre_r**2 - radius**2) / (2 * abs_r * centre_r)
    to_barrel = time_closest + np.arccos(np.clip(cosine, -1, 1)) / np.abs(omega)
    to_barrel = np.where(centre_r + abs_r < radius, np.inf, to_barrel)
    time = np.minimum(to_barrel, _time_to_endcap(p["z"], velocity_z, half_length))
    phi = phi_0 - omega * time
    return {
        "phi": wrap_phi(phi_closest),
        "exit_x": centre_x - r * np.sin(phi),
        "exit_y": centre_y + r * np.cos(phi),
        "exit_z": p["z"] + velocity_z * time,
        "duration": time,
        "closest_x": closest_x,
        "closest_y": closest_y,
        "closest_z": p["z"] + velocity_z * time_closest,
        "d0": closest_x * np.sin(phi_closest) - closest_y * np.cos(phi_closest),
        "path": time * np.hypot(velocity_z, r * omega),
    }
