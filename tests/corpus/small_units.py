"""Parameters in units of physics: mol/l, metres, farads, joules, and times far from zero."""

from functools import partial

import numpy as np

from .elementwise import log_sum_exp, softmax
from .family import LENGTH_SCALES, Family

BOLTZMANN, GAS = 1.380649e-23, 8.314462618


def square_cost(forward):
    """Return the cost of a model: half the mean square of what is left of the data."""

    def cost(xp, p, data):
        return xp.sum((forward(xp, p, data) - data["Y"]) ** 2) / (2 * data["m"])

    return cost


# Binding constants: the share of a receptor that is bound, at concentrations in mol/l.

BINDING_BUGS = (
    "saturation's slope forgotten",
    "unit of the concentration forgotten",
    "exponent forgotten",
)


def make_binding(rng, variant):
    n, m, exponent = ((3, 12, 1.0), (4, 9, 2.0))[variant]
    unit = 10 ** rng.uniform(-9, -6)
    params = {
        "K": unit * np.exp(0.6 * rng.normal(size=n)),
        "most": rng.uniform(0.5, 2, size=n),
    }
    data = {"c": unit * np.exp(rng.normal(size=(m, 1))), "Y": rng.uniform(size=(m, n)), "m": m}
    return params, data | {"exponent": exponent, "unit": unit, "lengths": {"K": unit}}


def bound(xp, p, data):
    x = (data["c"] / p["K"]) ** data["exponent"]
    return x / (1 + x)


def binding(xp, p, data):
    return p["most"] * bound(xp, p, data)


def binding_backward(p, data, bug):
    share = bound(np, p, data)
    r = (p["most"] * share - data["Y"]) / data["m"]
    slope = share if bug == BINDING_BUGS[0] else share * (1 - share)
    slope = slope * (1.0 if bug == BINDING_BUGS[2] else data["exponent"])
    over = p["K"] / (data["unit"] if bug == BINDING_BUGS[1] else 1.0)
    return {"K": -(r * p["most"] * slope).sum(axis=0) / over, "most": (r * share).sum(axis=0)}


# Peaks: lines of a spectrum at wavelengths in metres, and events in time.

SHAPES = {
    "gaussian": (lambda xp, s: xp.exp(-(s**2) / 2), lambda s: -s * np.exp(-(s**2) / 2)),
    "lorentzian": (lambda xp, s: 1 / (1 + s**2), lambda s: -2 * s / (1 + s**2) ** 2),
    "flare": (lambda xp, s: 1 / xp.cosh(s), lambda s: -np.tanh(s) / np.cosh(s)),
}
PEAK_BUGS = ("sign of the shift", "slope of another shape", "width's path forgotten")


def make_lines(rng, variant):
    n, m, shape, unit = ((3, 30, "lorentzian", 1e-9), (2, 24, "gaussian", 3e-12))[variant]
    params = {
        "centres": 5e-7 + unit * rng.uniform(-3, 3, size=n),
        "widths": unit * rng.uniform(0.7, 2, size=n),
        "heights": rng.normal(size=n),
    }
    x = 5e-7 + unit * rng.uniform(-5, 5, size=(m, 1))
    data = {"x": x, "Y": rng.normal(size=m), "m": m, "shape": shape}
    return params, data | {"lengths": {"centres": unit, "widths": unit}}


def make_events(rng, variant):
    n, m, shape, zero = ((3, 30, "gaussian", 1.7e9), (2, 25, "flare", 2.46e6))[variant]
    params = {
        "centres": zero + rng.uniform(-3, 3, size=n),
        "log_widths": rng.normal(size=n) * 0.3,
        "heights": rng.normal(size=n),
    }
    x = zero + rng.uniform(-5, 5, size=(m, 1))
    data = {"x": x, "Y": rng.normal(size=m), "m": m, "shape": shape}
    return params, data | {"lengths": {"centres": 1.0}}


def peak_widths(xp, p):
    return p["widths"] if "widths" in p else xp.exp(p["log_widths"])


def peaks(xp, p, data):
    s = (data["x"] - p["centres"]) / peak_widths(xp, p)
    return SHAPES[data["shape"]][0](xp, s) @ p["heights"]


def peaks_backward(p, data, bug):
    width = peak_widths(np, p)
    s = (data["x"] - p["centres"]) / width
    value, slope = SHAPES[data["shape"]]
    shape = value(np, s)
    r = (shape @ p["heights"] - data["Y"]) / data["m"]
    other = SHAPES["gaussian" if data["shape"] != "gaussian" else "lorentzian"][1]
    ds = r[:, None] * p["heights"] * (other if bug == PEAK_BUGS[1] else slope)(s)
    dwidth = -(ds * s).sum(axis=0) * (0.0 if bug == PEAK_BUGS[2] else 1.0)
    sign = -1.0 if bug == PEAK_BUGS[0] else 1.0
    return {
        "centres": -sign * ds.sum(axis=0) / width,
        "widths": dwidth / width,
        "log_widths": dwidth,
        "heights": shape.T @ r,
    }


# Diffraction: light from several points, whose positions are a few wavelengths apart.

LIGHT_BUGS = ("wavenumber forgotten", "sign of the sine", "half of the intensity's slope")


def make_light(rng, variant):
    n, m, wavelength = ((4, 15, 5e-7), (3, 10, 3e-2))[variant]
    number = 2 * np.pi / wavelength
    params = {
        "positions": wavelength * rng.uniform(-4, 4, size=n),
        "amplitudes": rng.uniform(0.3, 1, size=n),
        "phases": rng.uniform(-3, 3, size=n),
    }
    data = {"u": rng.uniform(-0.5, 0.5, size=(m, 1)), "Y": rng.uniform(0, 2, size=m), "m": m}
    return params, data | {"number": number, "lengths": {"positions": 1 / number}}


def field(xp, p, data):
    """Return the phase of each point's light in each direction, and the sums of both parts."""
    phase = data["number"] * data["u"] * p["positions"] + p["phases"]
    return phase, xp.cos(phase) @ p["amplitudes"], xp.sin(phase) @ p["amplitudes"]


def light(xp, p, data):
    _, real, imaginary = field(xp, p, data)
    return real**2 + imaginary**2


def light_backward(p, data, bug):
    phase, real, imaginary = field(np, p, data)
    d = (real**2 + imaginary**2 - data["Y"]) / data["m"] * (1.0 if bug == LIGHT_BUGS[2] else 2.0)
    dreal, dimaginary = (d * real)[:, None], (d * imaginary)[:, None]
    sign = 1.0 if bug == LIGHT_BUGS[1] else -1.0
    dphase = (sign * np.sin(phase) * dreal + np.cos(phase) * dimaginary) * p["amplitudes"]
    number = 1.0 if bug == LIGHT_BUGS[0] else data["number"]
    return {
        "positions": (dphase * number * data["u"]).sum(axis=0),
        "amplitudes": (np.cos(phase) * dreal + np.sin(phase) * dimaginary).sum(axis=0),
        "phases": dphase.sum(axis=0),
    }


# Occupied levels: energies in joules, of the size of k T.

LEVEL_BUGS = ("temperature not squared", "normalisation forgotten", "sign of the temperature")


def make_levels(rng, variant):
    n, m = ((5, 6), (4, 8))[variant]
    unit = BOLTZMANN * 300
    params = {"energies": unit * rng.normal(size=n), "temperature": rng.uniform(250, 350, size=1)}
    data = {"relative": rng.uniform(0.5, 2, size=(m, 1)), "m": m}
    data["Y"] = rng.dirichlet(np.ones(n), size=m)
    return params, data | {"lengths": {"energies": unit}}


def exponents(p, data):
    return -p["energies"] / (BOLTZMANN * p["temperature"] * data["relative"])


def level_cost(xp, p, data):
    z = exponents(p, data)
    return (xp.sum(log_sum_exp(xp, z)) - xp.sum(data["Y"] * z)) / data["m"]


def level_backward(p, data, bug):
    z = exponents(p, data)
    d = ((0.0 if bug == LEVEL_BUGS[1] else softmax(np, z)) - data["Y"]) / data["m"]
    by_temperature = -(d * z).sum() / (1.0 if bug == LEVEL_BUGS[0] else p["temperature"])
    sign = -1.0 if bug == LEVEL_BUGS[2] else 1.0
    return {
        "energies": -(d / (BOLTZMANN * p["temperature"] * data["relative"])).sum(axis=0),
        "temperature": np.reshape(sign * by_temperature, 1),
    }


# Reaction rates: activation energies of 50,000 J/mol, and R T is 3,000.

RATE_BUGS = ("gas constant forgotten", "sign of the energy", "decay's slope forgotten")


def make_rates(rng, variant):
    n, m = ((2, 10), (3, 8))[variant]
    energy = rng.uniform(4e4, 9e4, size=n)
    params = {"energy": energy, "log_rate": energy / (GAS * 350) + 0.3 * rng.normal(size=n)}
    data = {"T": rng.uniform(320, 380, size=(m, 1)), "Y": rng.uniform(size=(m, n)), "m": m}
    return params, data | {"lengths": {"energy": 3e3, "log_rate": 1.0}}


def rates(xp, p, data):
    return xp.exp(p["log_rate"] - p["energy"] / (GAS * data["T"]))


def decay(xp, p, data):
    return xp.exp(-rates(xp, p, data))


def rates_backward(p, data, bug):
    rate = rates(np, p, data)
    left = np.exp(-rate)
    d = -(left - data["Y"]) / data["m"] * rate * (1.0 if bug == RATE_BUGS[2] else left)
    gas = (1.0 if bug == RATE_BUGS[0] else GAS) * (-1.0 if bug == RATE_BUGS[1] else 1.0)
    return {"energy": -(d / (gas * data["T"])).sum(axis=0), "log_rate": d.sum(axis=0)}


# Resonant circuits: the gain at frequencies near 1e6, with farads, henries and ohms.

CIRCUIT_BUGS = (
    "path through the resistance forgotten",
    "frequency not squared",
    "gain's power wrong",
)


def make_circuit(rng, variant):
    n, m, capacity = ((3, 12, 1e-9), (2, 15, 3e-12))[variant]
    inductance = 1e-3
    middle = 1 / np.sqrt(inductance * capacity)
    params = {
        "L": inductance * rng.uniform(0.5, 2, size=n),
        "C": capacity * rng.uniform(0.5, 2, size=n),
        "R": inductance * middle * rng.uniform(0.3, 1, size=n),
    }
    frequency = middle * rng.uniform(0.5, 2, size=(m, 1))
    data = {"frequency": frequency, "Y": rng.uniform(0, 2, size=(m, n)), "m": m}
    lengths = {"L": inductance, "C": capacity, "R": inductance * middle}
    return params, data | {"lengths": lengths}


def impedance(p, data):
    w = data["frequency"]
    return 1 - w**2 * p["L"] * p["C"], w * p["R"] * p["C"]


def gain(xp, p, data):
    real, imaginary = impedance(p, data)
    return 1 / xp.sqrt(real**2 + imaginary**2)


def circuit_backward(p, data, bug):
    real, imaginary = impedance(p, data)
    size = 1 / np.sqrt(real**2 + imaginary**2)
    d = -(size - data["Y"]) / data["m"] * size ** (2 if bug == CIRCUIT_BUGS[2] else 3)
    dreal, dimaginary = d * real, d * imaginary
    w = data["frequency"]
    squared = w if bug == CIRCUIT_BUGS[1] else w**2
    through = 0.0 if bug == CIRCUIT_BUGS[0] else w * p["R"] * dimaginary
    return {
        "L": (-squared * p["C"] * dreal).sum(axis=0),
        "C": (-squared * p["L"] * dreal + through).sum(axis=0),
        "R": (w * p["C"] * dimaginary).sum(axis=0),
    }


# Their parameters have lengths of their own; none of them is regularised.
family = partial(Family, kind=LENGTH_SCALES, ordinary=False, weights=())

FAMILIES = (
    family("binding constants", make_binding, square_cost(binding), binding_backward, BINDING_BUGS),
    family("spectral lines", make_lines, square_cost(peaks), peaks_backward, PEAK_BUGS),
    family("events in time", make_events, square_cost(peaks), peaks_backward, PEAK_BUGS),
    family("diffraction", make_light, square_cost(light), light_backward, LIGHT_BUGS),
    family("energy levels", make_levels, level_cost, level_backward, LEVEL_BUGS),
    family("reaction rates", make_rates, square_cost(decay), rates_backward, RATE_BUGS),
    family("resonant circuits", make_circuit, square_cost(gain), circuit_backward, CIRCUIT_BUGS),
)
