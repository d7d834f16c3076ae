"""From measurements to findings."""

from collections.abc import Iterator

import jax
import numpy as np

from pliant.lint._advice import advice, spoken
from pliant.lint._compare import against_differences, against_reverse_mode, number
from pliant.lint._flow import Flow, Path, Site
from pliant.lint._margins import CHOICES
from pliant.lint._probe import Edge, Probe, Sample
from pliant.lint.report import MILD, Finding

# Nearer than this an edge is where the arguments are.
_HERE = 1e-9
# Further than this, in units of a direction, it is out of reach.
_REACH = 1.0 + 1e-6
_FEW, _MOST = 4, 32
# Those after the first few are taken in so many rounds, until one is seen.
_ROUNDS = 4
# A tangent that has grown by a million more than the values says nothing about them.
_BLOWN = np.log(1e6)


Candidate = tuple[Site, int, float]


class Judge:
    """Asks a probe what there is to ask."""

    def __init__(self, probe: Probe, flow: Flow):
        self.probe, self.flow = probe, flow
        self.count = len(probe.directions)
        # At the arguments along every direction; at both ends of the reach along the first one.
        self.around = probe.sample([0.0] * self.count + [1.0, -1.0], [*range(self.count), 0, 0])
        # Of every site, a row for each of these.
        self._records = jax.tree.map(lambda *rows: np.stack(rows), *self.around.records)

    @property
    def here(self) -> Sample:
        """What there is at the arguments, a row for every direction."""
        return Sample(
            self.around.value[: self.count], self.around.slope[: self.count], self.around.records[: self.count]
        )

    def ends(self, direction: int) -> tuple[np.ndarray, np.ndarray]:
        """Values and slopes at both ends of the reach, (2, outputs)."""
        found = self.probe.sample([1.0, -1.0], [direction] * 2, looking=False)
        return found.value, found.slope

    def secant(self, direction: int) -> np.ndarray:
        """Mean slopes over the whole reach, of every output."""
        up, down = self.ends(direction)[0]
        return 0.5 * (up - down)

    def passed(self, path: Path) -> np.ndarray:
        """For every direction, whether elements of a site change sides before an end that was looked at."""
        sides = self._records[path].sides
        return np.where(np.arange(self.count) == 0, np.any(sides[self.count :] != sides[0]), False)

    def findings(self) -> list[Finding]:
        """All of them, those with the largest effect first."""
        found = [*self._broken(), *self._blown(), *self._not_finite()]
        edges = self._edges()
        found += [finding for edge in edges for finding in self._across(edge)]
        found += self._unseen(edges)
        hopeless = self.flow.rejects or any(finding.severity in ("NAN", "BLOWUP") for finding in found)
        compared = not hopeless and not any(_is_here(edge) for edge in edges)
        if not hopeless and all(finding.severity in MILD for finding in found):
            found += self._blind_at_large()
        if compared:
            found += self._disagreements(edges)
        found += self._declared({(finding.kind, finding.place) for finding in found}, compared)
        return _ranked(found, {site.name for site in self.flow.sites.values() if site.group == "declared"})

    def _edges(self) -> list[Edge]:
        """Those that are gone to: of every line the nearest, then others where that has not told the worst already."""
        near, far = self._candidates()
        lines = [_line(site) for site, _, _ in near]
        first = [candidate for i, candidate in enumerate(near) if lines[i] not in lines[:i]]
        edges = self.probe.locate(first)
        told, vain = {_line(edge.site) for edge in edges if edge.jump}, {edge.site for edge in edges if _vain(edge)}
        more = [c for c in near if c not in first and c[0] not in vain and _line(c[0]) not in told]
        edges += self.probe.locate(more)
        for some in (far[i::_ROUNDS] for i in range(_ROUNDS)):
            seen = {_line(site) for site in _seen(edges)}
            edges += self.probe.locate([candidate for candidate in some if _line(candidate[0]) not in seen])
        return edges

    def _candidates(self) -> tuple[list[Candidate], list[Candidate]]:
        """Edges in reach of each site, the nearest few; and where chance meets parameters, any, and the next few."""
        near, far = [], []
        for path, record in self._records.items():
            site = self.flow.sites[path]
            if site.group not in ("blocks", "bends", "edges"):
                continue
            steps, passed = record.crossings[: self.count], self.passed(path)[:, None]
            # Where a tangent sees no edge but elements change sides, the search starts from afar.
            steps = np.where(passed & ~np.isfinite(steps), 1.0, steps)
            chance = site.random and site.group == "blocks"
            wanted = np.isfinite(steps) & ((np.abs(steps) <= 1) | passed | chance)
            if site.random and not chance:
                # Another key moves these: they count where the arguments are.
                wanted &= np.abs(steps) < 1e3 * _HERE
            if wanted.any():
                direction = int(np.argmin(np.where(wanted, np.abs(steps), np.inf).min(axis=1)))
                found = dict.fromkeys(sorted(steps[direction, wanted[direction]].tolist(), key=abs))
                candidates = [(site, direction, step) for step in found]
                near += candidates[:_FEW]
                far += candidates[_FEW:] if chance else []
        return sorted(near, key=lambda candidate: abs(candidate[2]))[:_MOST], far[:_MOST]

    def _across(self, edge: Edge) -> Iterator[Finding]:
        """What an edge does to the derivative, if anything."""
        site, at = edge.site, f"{spoken(edge.site.name)} has an edge {self._where(edge)}"
        if edge.located and abs(edge.t) > _REACH and not site.random:
            return
        if site.group == "edges":
            if edge.located and not (edge.finite and edge.bounded) and not _is_here(edge):
                yield self._finding("NAN", site, f"{at}, where the derivative ceases to be finite", 1.0)
            elif edge.located and edge.finite and _is_here(edge):
                yield from self._bends(edge, at)
        elif not edge.located:
            yield from self._not_located(edge)
        elif edge.jump:
            # With one parameter jumps are those of its increase.
            jump = edge.jump * np.sign(self.probe.length(edge.direction))
            yield self._jumps(edge, f"{at}, where the value jumps by {jump:.3g}")
        elif not site.random or _is_here(edge):
            yield from self._bends(edge, at)

    def _unseen(self, edges: list[Edge]) -> Iterator[Finding]:
        for site in {edge.site: None for edge in edges if edge.site.random and edge.site.group == "blocks"}:
            mine = [edge for edge in edges if edge.site == site]
            if site not in _seen(edges) and all(edge.located for edge in mine):
                what = f"random numbers meet parameters in {spoken(site.name)}"
                blind = f"its {len(mine)} nearest edges do not reach the output, but there may be others that do"
                yield self._finding("BIAS", site, f"{what}; {blind}", 0.1)

    def _not_located(self, edge: Edge) -> Iterator[Finding]:
        site = edge.site
        if site.random and site.group == "blocks":
            what = f"random numbers meet parameters in {spoken(site.name)}, and its edge was not located"
            yield self._finding("BIAS", site, what, 0.5)
        elif self.passed(site.path)[edge.direction]:
            yield self._finding(
                "UNKNOWN", site, f"{spoken(site.name)} has an edge within reach that was not located", 0.5
            )

    def _jumps(self, edge: Edge, jump: str) -> Finding:
        slope, secant = self._slopes(edge)
        effect = abs(edge.jump) / (abs(slope) + abs(secant) + abs(edge.jump))
        if edge.site.random:
            return self._finding(
                "BIAS", edge.site, f"random numbers meet parameters: {jump}; the derivative misses it", effect
            )
        if _is_here(edge) or edge.site.name not in CHOICES or self._blind(edge):
            unit = self.probe.length(edge.direction)
            slopes = f"the derivative is {number(slope / unit)}, the mean slope over the reach {number(secant / unit)}"
            return self._finding("LIES", edge.site, f"{jump}; {slopes}", effect)
        return self._finding("JUMP", edge.site, jump, effect)

    def _blind(self, edge: Edge) -> bool:
        """Whether the derivative sees nothing of what the function does over the reach."""
        slope, secant = self._slopes(edge)
        ends = self.ends(edge.direction)[1][:, edge.output]
        return bool(max(abs(slope), *np.abs(ends)) < 1e-2 * abs(secant))

    def _bends(self, edge: Edge, at: str) -> Iterator[Finding]:
        slope, unit = self._slopes(edge)[0], self.probe.length(edge.direction)
        size = abs(edge.before) + abs(edge.after)
        sides = sorted([(-np.sign(unit), edge.before / unit), (np.sign(unit), edge.after / unit)])
        (_, left), (_, right) = sides
        effect = abs(edge.bend) / (size + 1e-300)
        if _is_here(edge) and (edge.bend or abs(slope - edge.before) > 1e-6 * size):
            slopes = f"{at}: slopes are {number(left)} and {number(right)}, the derivative is {number(slope / unit)}"
            yield self._finding("LIES", edge.site, slopes, max(effect, abs(slope - edge.before) / (size + 1e-300)))
        elif edge.bend:
            yield self._finding(
                "kink", edge.site, f"{at}, where the slope goes from {number(left)} to {number(right)}", effect
            )

    def _slopes(self, edge: Edge) -> tuple[float, float]:
        """The derivative at the arguments and the mean slope over the reach, along the edge's direction."""
        here, secant = self.here.slope[edge.direction], self.secant(edge.direction)
        return float(here[edge.output]), float(secant[edge.output])

    def _where(self, edge: Edge) -> str:
        if _is_here(edge):
            return "at the arguments"
        if self.probe.theta.size == 1:
            return f"at {float(self.probe.theta[0]) + edge.t * self.probe.length(edge.direction):.6g}"
        return f"{abs(edge.t):.2g} of the reach away"

    def _broken(self) -> Iterator[Finding]:
        for site in self.flow.sites.values():
            if site.group == "none":
                yield self._finding("BREAK", site, f"{spoken(site.name)} has no derivative: {site.why}", 1.0)
            elif site.group == "loop" and site.why:
                yield self._finding("BREAK", site, "a loop whose length depends on parameters has no reverse mode", 1.0)
            elif site.group == "loop":
                yield self._finding("info", site, "a loop of unknown length has forward mode, and no reverse mode", 0.0)

    def _blown(self) -> Iterator[Finding]:
        for path, record in self._records.items():
            site = self.flow.sites[path]
            rate, length = float(np.max(record.rate[: self.count])), self.flow.lengths.get(path, 0)
            if site.group == "grows" and rate * length > _BLOWN:
                grown = f"tangents grow by {np.exp(min(rate, 700)):.4g} a step beyond the values, over {length} steps"
                horizon = f"the signal is gone after {int(np.log(10.0) / rate)}, where they are ten times the values"
                yield self._finding("BLOWUP", site, f"{grown}; {horizon}", 1.0)

    def _not_finite(self) -> Iterator[Finding]:
        gradient = self.probe.gradient
        if np.all(np.isfinite(self.here.slope)) and (gradient is None or np.all(np.isfinite(gradient))):
            return
        at_edge = [
            self.flow.sites[path]
            for path, record in self._records.items()
            if self.flow.sites[path].group == "edges" and np.min(record.margin[: self.count]) == 0
        ]
        for site in at_edge:
            yield self._finding(
                "NAN", site, f"{spoken(site.name)} is at its edge, and the derivative is not finite", 1.0
            )
        if not at_edge:
            what = "it is not finite, and no line was found that is at an edge"
            yield Finding("NAN", "derivative", None, what, advice("NAN", "derivative"), 1.0)

    def _blind_at_large(self) -> Iterator[Finding]:
        """A derivative of zero all over the reach, where the value changes."""
        slopes, moved = np.concatenate([self.ends(0)[1], self.here.slope[:1]]), np.abs(self.secant(0))
        seen = np.abs(slopes).max(axis=0)
        if np.any((moved > 1e-9 * np.abs(self.here.value[0])) & (seen < 1e-6 * moved)):
            yield from self._blame(("blocks",), "it is zero, but the value changes over the reach", 1.0)

    def _disagreements(self, edges: list[Edge]) -> Iterator[Finding]:
        """What no edge explains: a derivative that is not that of the function next to the arguments."""
        numbers, effect = against_differences(self.probe, self.here, edges)
        if numbers:
            yield from self._blame(("declared", "rule", "blocks", "library"), numbers, effect)
        numbers, effect = against_reverse_mode(self.probe, self.here)
        if numbers:
            yield from self._blame(("declared", "rule", "library"), numbers, effect)

    def _blame(self, groups: tuple[str, ...], numbers: str, effect: float) -> Iterator[Finding]:
        for group in groups:
            blamed = [site for site in self.flow.sites.values() if site.group == group and site.place]
            if blamed:
                for site in blamed:
                    yield self._finding("LIES", site, f"the derivative is not that of the function: {numbers}", effect)
                return
        if not self.flow.accepted:
            what = f"it is not that of the function: {numbers}"
            yield Finding("LIES", "derivative", None, what, advice("LIES", "derivative"), effect)

    def _declared(self, told: set, compared: bool) -> Iterator[Finding]:
        """What says itself that its derivative is none."""
        for site in self.flow.sites.values():
            if site.group == "declared" and (site.name, site.place) not in told:
                shows = "which does not show at the arguments" if compared else "by how much was not measured"
                severity, effect = ("info", 0.0) if compared else ("LIES", 0.5)
                yield self._finding(severity, site, f"biased by declaration, {shows}", effect)

    def _finding(self, severity: str, site: Site, message: str, effect: float) -> Finding:
        # What cannot be measured is taken for all.
        known = effect if np.isfinite(effect) else 1.0
        return Finding(severity, site.name, site.place, message, advice(severity, site.name), known)


def _line(site: Site) -> tuple:
    """What sites share whose jumps would be told as one finding."""
    mild = site.name in CHOICES and not site.random
    return (site.path,) if site.place is None or site.group == "edges" else (site.place, site.group, site.random, mild)


def _seen(edges: list[Edge]) -> set[Site]:
    """Sites with an edge that the outputs see."""
    return {edge.site for edge in edges if edge.jump or edge.bend or not edge.finite}


def _vain(edge: Edge) -> bool:
    """Whether others of its site are no nearer: a distance that vanishes nowhere along a line."""
    return edge.site.group == "edges" and (not edge.located or not edge.finite)


def _is_here(edge: Edge) -> bool:
    return abs(edge.t) < _HERE


def _ranked(found: list[Finding], declared: set[str]) -> list[Finding]:
    """The largest effects first; of several of a kind on a line the nearest, and of several kinds the largest."""
    nearest: dict[tuple, Finding] = {}
    for finding in found:
        nearest.setdefault((finding.severity, finding.place, finding.kind), finding)
    ranked, told = [], set()
    for finding in sorted(nearest.values(), key=lambda finding: -finding.effect):
        line = finding.severity, finding.place, finding.kind in declared
        if finding.place is None or line not in told:
            ranked.append(finding)
            told.add(line)
    return ranked
