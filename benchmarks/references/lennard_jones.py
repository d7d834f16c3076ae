"""Reference values for the confined Lennard-Jones clusters: Metropolis sampling in numpy, which shares nothing with pliant.

Run `python benchmarks/references/lennard_jones.py`; it prints the numbers that stand in `pliant.systems`, with standard
errors over independent walkers. Some ten minutes.
"""

import argparse
import time

import numpy as np

# Particles, radius of the wall; temperature, stiffness of the wall and unit parameters are common to all.
CLUSTERS = {3: 2.0, 7: 2.2, 13: 2.6}
KT, STIFFNESS, WALKERS = 0.5, 50.0, 2048


def main() -> None:
    """Print value and gradient of every cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=5_000, help="sweeps over all particles per walker")
    sweeps = parser.parse_args().sweeps
    for count, radius in CLUSTERS.items():
        started = time.perf_counter()
        rows = sample(count, radius, sweeps)
        names = ("<Rg^2>", "d/d epsilon", "d/d sigma")
        for name, (value, error) in zip(names, estimates(*rows), strict=True):
            print(f"LJ{count}  {name:12s} {value:.6f} +- {error:.6f}", flush=True)
        print(f"LJ{count}  {time.perf_counter() - started:.0f} s", flush=True)


def sample(count: int, radius: float, sweeps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Averages per walker: of the observable, of the two derivatives of U, and of their products."""
    draw = np.random.default_rng(count)
    positions = lattice(count, draw)
    step, kept = 0.25 * radius / count ** (1 / 3), 0
    totals = np.zeros(WALKERS), np.zeros((WALKERS, 2)), np.zeros((WALKERS, 2))
    for sweep in range(sweeps):
        accepted = [move(positions, particle, step, radius, draw) for particle in range(count)]
        if sweep < sweeps // 5:
            step *= 1.05 if np.mean(accepted) > 0.4 else 0.95
            continue
        if sweep % 5 == 0:
            observed, slopes = measure(positions)
            for total, value in zip(totals, (observed, slopes, observed[:, None] * slopes), strict=True):
                total += value
            kept += 1
    observed, slopes, products = (total / kept for total in totals)
    return observed, slopes, products


def lattice(count: int, draw: np.random.Generator) -> np.ndarray:
    """A compact start, jittered."""
    side = int(np.ceil(count ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3) - (side - 1) / 2
    nearest = grid[np.argsort(np.sum(grid**2, axis=1), kind="stable")[:count]]
    return 1.1 * nearest + 0.02 * draw.standard_normal((WALKERS, count, 3))


def pair(square: np.ndarray) -> np.ndarray:
    """The pair energy at unit parameters."""
    sixth = square**-3.0
    return 4 * (sixth**2 - sixth)


def wall(square: np.ndarray, radius: float) -> np.ndarray:
    """The wall's energy at a squared distance from the origin."""
    return 0.5 * STIFFNESS * np.maximum(np.sqrt(square) - radius, 0) ** 2


def move(positions: np.ndarray, particle: int, step: float, radius: float, draw: np.random.Generator) -> float:
    """A Metropolis step of one particle in every walker, in place; the share that moved."""
    old = positions[:, particle]
    new = old + step * draw.uniform(-1, 1, old.shape)
    others = np.delete(positions, particle, axis=1)

    def energy(at: np.ndarray) -> np.ndarray:
        return pair(np.sum((others - at[:, None]) ** 2, axis=-1)).sum(axis=1) + wall(np.sum(at**2, axis=-1), radius)

    moved = np.log(draw.uniform(size=WALKERS)) < (energy(old) - energy(new)) / KT
    positions[moved, particle] = new[moved]
    return float(np.mean(moved))


def measure(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The squared radius of gyration, and the derivatives of U by epsilon and sigma at one."""
    i, j = np.triu_indices(positions.shape[1], 1)
    sixth = np.sum((positions[:, i] - positions[:, j]) ** 2, axis=-1) ** -3.0
    by_epsilon = np.sum(4 * (sixth**2 - sixth), axis=1)
    by_sigma = np.sum(4 * (12 * sixth**2 - 6 * sixth), axis=1)
    centred = positions - positions.mean(axis=1, keepdims=True)
    return np.mean(np.sum(centred**2, axis=-1), axis=1), np.stack([by_epsilon, by_sigma], axis=1)


def estimates(observed: np.ndarray, slopes: np.ndarray, products: np.ndarray) -> list[tuple[float, float]]:
    """The average, and minus the covariances over kT, with standard errors by the delta method over walkers."""
    found = [(observed.mean(), observed.std(ddof=1) / np.sqrt(WALKERS))]
    for slope, product in zip(slopes.T, products.T, strict=True):
        # Products of deviations from the grand means: their mean is the covariance, their spread its error.
        influence = product - observed.mean() * slope - slope.mean() * observed + observed.mean() * slope.mean()
        found.append((-influence.mean() / KT, influence.std(ddof=1) / np.sqrt(WALKERS) / KT))
    return found


if __name__ == "__main__":
    main()
