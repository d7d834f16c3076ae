"""What flows where in a program, before anything is computed: which values move, which are random, where sites are."""

import dataclasses
import enum
import functools
from collections.abc import Callable, Sequence

from pliant.core.activity import inexact
from pliant.core.labels import is_accepted, label
from pliant.core.programs import Branch, Call, Equation, Literal, Program, Scan, Variable, While
from pliant.core.source_lines import Place
from pliant.lint._accepted import is_ignored
from pliant.lint._margins import BENDS, EDGES
from pliant.lint._tangents import backwards_alone, passes

Path = tuple[int, ...]
# Their whole numbers are the order in which rows are taken, which results do not depend on.
_PIVOTS = ("lu", "lu_pivots_to_permutation")
_RANDOM = ("random_bits", "random_gamma", "rng_bit_generator", "rng_uniform", "threefry2x32")


class Flag(enum.IntFlag):
    """What is known of a value."""

    NONE = 0
    MOVES = enum.auto()
    """It has a tangent."""
    DEPENDS = enum.auto()
    """It depends on the parameters, whether a tangent says so or not."""
    RANDOM = enum.auto()
    """It descends from random numbers."""


@dataclasses.dataclass(frozen=True)
class Site:
    """An operation whose derivative may lie.

    **Fields**: `path`: where it stands; `name` of the operation; `group`: "blocks", "bends", "edges", "rule", "library"
    (a rule of one), "loop", "grows", "declared" or "none"; `place` in the source; `random`: whether random numbers and
    parameters meet there; `why`: for "none", what kept it from being differentiated; for "loop", whether its length depends
    on parameters.
    """

    path: Path
    name: str
    group: str
    place: Place | None
    random: bool = False
    why: str = ""


class Flow:
    """Flags through a program, and what is inside.

    **Fields**: `sites` by their paths; of loops by theirs `moves`: which parts of a carry do, and `lengths`; `rigid`: where
    operations stand that have no derivative; `backwards`: where custom rules do whose derivative reverse mode alone can
    follow, and `passing`: where labels do in such rules; `accepted`: whether the author stands by some sites; `rejects`:
    whether a library draws by rejection, with a derivative that differences at fixed random numbers do not have.
    """

    def __init__(self, program: Program, moving: Sequence[bool]):
        self.sites: dict[Path, Site] = {}
        self.moves: dict[Path, list[bool]] = {}
        self.lengths: dict[Path, int] = {}
        self.rigid: set[Path] = set()
        self.backwards: set[Path] = set()
        self.passing: set[Path] = set()
        self.accepted = self.rejects = self._silent = self._trusted = self._looped = self._reversed = False
        flags = [Flag.MOVES | Flag.DEPENDS if moves else Flag.NONE for moves in moving]
        self.outputs = self._program(program, flags, (), None, [True] * len(program.outputs))

    @property
    def shape(self) -> tuple:
        """All that the walk through a program depends on."""
        sites = {path: (site.name, site.group) for path, site in self.sites.items()}
        return sites, self.moves, self.rigid, self.backwards, self.passing

    def _program(
        self, program: Program, inputs: Sequence[Flag], path: Path, place: Place | None, wanted: Sequence[bool]
    ) -> list[Flag]:
        flags: dict[Variable, Flag] = dict.fromkeys(program.captured, Flag.NONE)
        flags.update(zip(program.inputs, inputs, strict=True))
        read = lambda atom: Flag.NONE if isinstance(atom, Literal) else flags[atom]
        needed, unaccepted = program.needed(wanted), program.needed(wanted, stop=is_accepted)
        for index, equation in enumerate(program.equations):
            arrive = [read(atom) for atom in equation.inputs]
            results = [variable in needed for variable in equation.outputs]
            if any(results):
                accepted = unaccepted.isdisjoint(equation.outputs) or is_ignored(equation)
                silent, self._silent = self._silent, self._silent or accepted
                self.accepted |= self._silent
                outs = self._equation(equation, arrive, (*path, index), equation.place or place, results)
                self._silent = silent
            else:
                outs = [Flag.NONE] * len(equation.outputs)
            flags.update(zip(equation.outputs, outs, strict=True))
        return [read(atom) for atom in program.outputs]

    def _equation(
        self, equation: Equation, arrive: list[Flag], path: Path, place: Place | None, wanted: list[bool]
    ) -> list[Flag]:
        match equation.structure:
            case Call(body) if label(equation):
                return self._declared(equation, body, arrive, path, place)
            case Call(body, custom):
                library = custom and _is_library(equation, body)
                trusted, self._trusted = self._trusted, self._trusted or library
                reverse, self._reversed = self._reversed, self._reversed or equation.name == "custom_vjp_call"
                outs = self._program(body, arrive, path, place, wanted)
                self._trusted, self._reversed = trusted, reverse
                if custom and _any(arrive, Flag.MOVES):
                    why = self._refusal(equation, arrive, path)
                    if why:
                        return self._without(equation, arrive, path, place, why)
                    self._site(equation, arrive, path, place, "library" if library else "rule")
                    outs = [
                        flag | Flag.MOVES if inexact(v.aval) else flag
                        for flag, v in zip(outs, equation.outputs, strict=True)
                    ]
                return outs
            case Scan() as scan:
                return self._scan(equation, scan, arrive, path, place, wanted)
            case While() as loop:
                return self._while(equation, loop, arrive, path, place)
            case Branch(branches):
                inner = [
                    self._program(branch, arrive[1:], (*path, index), place, wanted)
                    for index, branch in enumerate(branches)
                ]
                chosen = arrive[0] & (Flag.DEPENDS | Flag.RANDOM)
                return [_join(flags) | chosen for flags in zip(*inner, strict=True)]
        return self._operation(equation, arrive, path, place, wanted)

    def _operation(
        self, equation: Equation, arrive: list[Flag], path: Path, place: Place | None, wanted: list[bool]
    ) -> list[Flag]:
        moving = _moving(arrive)
        common = _join(arrive) & (Flag.DEPENDS | Flag.RANDOM)
        if equation.name in _RANDOM:
            common |= Flag.RANDOM
            self.rejects |= any(moving)
        if not any(moving):
            return [common] * len(equation.outputs)
        try:
            passed = passes(equation, moving)
        except Exception as error:  # whatever the operation's author raises
            return self._without(equation, arrive, path, place, str(error).splitlines()[0])
        group = _group(equation, passed, wanted)
        if group:
            self._site(equation, arrive, path, place, group)
        return [common | Flag.MOVES if moves else common for moves in passed]

    def _declared(
        self, equation: Equation, body: Program, arrive: list[Flag], path: Path, place: Place | None
    ) -> list[Flag]:
        if _any(arrive, Flag.DEPENDS):
            self._site(equation, arrive, path, place, "declared", label(equation))
        if self._reversed:
            # The label of a rule in reverse mode alone: what the function does has the derivative of the identity.
            self.passing.add(path)
            return arrive
        silent, self._silent = self._silent, True
        outs = self._program(body, arrive, path, place, [True] * len(body.outputs))
        self._silent = silent
        return outs

    def _refusal(self, equation: Equation, arrive: list[Flag], path: Path) -> str:
        """Why a custom rule gives no derivative here, if it gives none."""
        if equation.name == "custom_vjp_call":
            return "a custom_vjp has no forward mode, and the loop around it no reverse mode" if self._looped else ""
        try:
            if backwards_alone(equation, _moving(arrive)):
                self.backwards.add(path)
        except Exception as error:  # whatever the rule's author raises
            return str(error).splitlines()[0]
        return ""

    def _without(self, equation: Equation, arrive: list[Flag], path: Path, place: Place | None, why: str) -> list[Flag]:
        self.rigid.add(path)
        self._site(equation, arrive, path, place, "none", why)
        return [_join(arrive) & (Flag.DEPENDS | Flag.RANDOM)] * len(equation.outputs)

    def _scan(
        self, equation: Equation, scan: Scan, arrive: list[Flag], path: Path, place: Place | None, wanted: list[bool]
    ) -> list[Flag]:
        first, last = scan.constants, scan.constants + scan.carry
        inner = [True] * scan.carry + wanted[scan.carry :]

        def body(carry: list[Flag]) -> list[Flag]:
            return self._program(scan.body, [*arrive[:first], *carry, *arrive[last:]], path, place, inner)

        carry, outs = _settle(arrive[first:last], body)
        self.moves[path] = [bool(flag & Flag.MOVES) for flag in carry]
        if any(self.moves[path]) and scan.length > 1:
            self.lengths[path] = scan.length
            self._site(equation, arrive, path, place, "grows")
        return carry + outs[scan.carry :]

    def _while(
        self, equation: Equation, loop: While, arrive: list[Flag], path: Path, place: Place | None
    ) -> list[Flag]:
        first, last = loop.condition_constants, loop.condition_constants + loop.body_constants
        every = [True] * len(loop.body.outputs)

        def body(carry: list[Flag]) -> list[Flag]:
            return self._program(loop.body, [*arrive[first:last], *carry], (*path, 1), place, every)

        looped, self._looped = self._looped, True
        carry, _ = _settle(arrive[last:], body)
        self._looped = looped
        going = self._program(loop.condition, [*arrive[:first], *carry], (*path, 0), place, [True])
        self.moves[path] = [bool(flag & Flag.MOVES) for flag in carry]
        if any(self.moves[path]):
            self._site(equation, arrive, path, place, "loop", "depends" if _any(going, Flag.DEPENDS) else "")
        return carry

    def _site(
        self, equation: Equation, arrive: list[Flag], path: Path, place: Place | None, group: str, why: str = ""
    ) -> None:
        # Within a library's own rule there may be what has no derivative; what is not smooth stays so.
        if self._silent or self._trusted and group in ("none", "loop", "grows", "rule", "library"):
            return
        random = _any(arrive, Flag.RANDOM)
        self.sites[path] = Site(path, why if group == "declared" else equation.name, group, place, random, why)


def _settle(flags: list[Flag], step: Callable[[list[Flag]], list[Flag]]) -> tuple[list[Flag], list[Flag]]:
    """The smallest flags of a carry that a further round of the loop does not change, and all that such a round gives."""
    while True:
        outs = step(flags)
        after = [old | new for old, new in zip(flags, outs[: len(flags)], strict=True)]
        if after == flags:
            return flags, outs
        flags = after


def _group(equation: Equation, passed: list[bool], wanted: list[bool]) -> str:
    if equation.name in EDGES and _has_edge(equation):
        return "edges"
    # Whatever has no derivative where it could have one, whatever answers in whole numbers, and what a sort takes along.
    blocked = any(want and not moves for moves, want in zip(passed, wanted, strict=True)) or _reorders(equation, wanted)
    if equation.name in BENDS and not blocked:
        return "bends"
    return "blocks" if blocked and equation.name not in _PIVOTS else ""


def _reorders(equation: Equation, wanted: list[bool]) -> bool:
    """Whether results are wanted that stand in the order of others."""
    return equation.name == "sort" and any(wanted[equation.parameters["num_keys"] :])


def _has_edge(equation: Equation) -> bool:
    return equation.name != "integer_pow" or equation.parameters["y"] < 0


def _is_library(equation: Equation, body: Program) -> bool:
    return equation.by_library or all(inner.place is None for inner in body.equations)


def _moving(flags: Sequence[Flag]) -> tuple[bool, ...]:
    return tuple(bool(flag & Flag.MOVES) for flag in flags)


def _any(flags: Sequence[Flag], kind: Flag) -> bool:
    return any(flag & kind for flag in flags)


def _join(flags: Sequence[Flag]) -> Flag:
    return functools.reduce(lambda a, b: a | b, flags, Flag.NONE)
