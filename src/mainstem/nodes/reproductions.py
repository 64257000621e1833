"""Whether a version could be made again, to the byte."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.nodes import notebook


@dataclass(frozen=True)
class Compared:
    """One step of a reproduction: whether it gave the same as when the version was trained, in words."""

    step: str
    same: bool
    told: str


@dataclass(frozen=True, repr=False)
class Reproduction:
    """A version that was fitted again with its recorded choices.

    `equal`: its artifacts are the same bytes; of trees that Spark fits, perhaps not `exact`ly, but the same scores
    within a tolerance.
    """

    version: str
    equal: bool
    steps: tuple[Compared, ...]
    exact: bool = True

    @property
    def text(self) -> str:
        """What came of it, in a sentence."""
        if self.equal and not self.exact:
            return f"{self.version} is reproduced within a tolerance: Spark adds up float32 sums in another order"
        if self.equal:
            return f"{self.version} is reproduced: the artifacts are equal, byte by byte"
        first = next(step for step in self.steps if not step.same)
        return f"{self.version} is not reproduced; the first step that differs: {first.step}"

    def __repr__(self) -> str:
        differing = [step.step for step in self.steps if not step.same]
        told = f"differs in {', '.join(differing)}" if differing else "every step is the same"
        return notebook.line("Reproduction", self.version, "reproduced" if self.equal else "not reproduced", told)

    def _repr_html_(self) -> str:
        rows = [{"step": s.step, "": "same" if s.same else "differs", "what": s.told} for s in self.steps]
        return notebook.html(self.version, "", rows) + notebook.said(self.text)
