"""The shop project end to end, as a story: every step is a command that a user could type, and is shown.

begin     a project from the template, and the company's systems that deliver its data
clean     collect, clean, join and check; see what was set aside; run the unit tests
learn     the model that the first run trained is shipped and asked
refuse    a faulty export arrives: the run fails, and every reader still sees the month before
mend      the export is corrected; the next run publishes it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mainstem.cli.demo import Demo
from mainstem.cli.processes import free_port, mainstem, python
from mainstem.errors import RunFailed

MONTHLY = "select month, sum(orders) as orders, sum(revenue) as revenue from monthly group by month order by month desc"
ASIDE = 'select _check, count(*) as orders from "quarantine.purchases" group by _check order by orders desc'
NEWEST = "select strftime(max(month), '%Y-%m') as month from monthly"


class ShopDemo(Demo):
    """One run of the story of the shop."""

    script = "company.py"
    again = "PROJECT=shop SERVE=1 make demo"

    def missing(self) -> list[str]:
        """Return the expected results that are missing."""
        nodes = {node["name"]: node for node in self.seen.get("status", {}).get("nodes", ())}
        churn: dict[str, Any] = next(iter(self.seen.get("status", {}).get("endpoints", ())), {})
        expected = {
            "orders are set aside": (nodes.get("purchases", {}).get("quarantined") or 0) > 0,
            "the unit tests pass": self.seen.get("tests", False),
            "the model is better than guessing": (churn.get("low") or 0) > (churn.get("baseline") or 1),
            "predictions over HTTP": "prediction" in self.seen,
            "the faulty export is refused": self.seen.get("refused") == "2025-12",
            "the corrected export is published": self.seen.get("mended") == "2026-01",
        }
        return [what for what, shown in expected.items() if not shown]

    def _chapters(self) -> tuple[Callable[[], None], ...]:
        return (self._begin, self._clean, self._learn, self._refuse, self._mend)

    def _begin(self) -> None:
        self._title("A project, and the systems of a shop")
        self._init("shop")
        port = free_port(8121)
        self.environment = {"SHOP_URL": f"http://127.0.0.1:{port}", "SHOP_PORT": str(port)}
        with self._step("company", "$ python company.py &"):
            self._start("company", python("company.py"), self.environment["SHOP_URL"], "/")
        self._say(
            "Two years of orders as monthly CSV exports of two systems, a customer database in SQLite, and the API of"
        )
        self._say(
            "the help desk. Dates and amounts are German until 2024 and English since; orders are exported twice."
        )

    def _clean(self) -> None:
        self._title("Collect, clean, join, check")
        self._run("first run", "run")
        self._run("nothing to do", "run")
        self._run("describe", "describe", "orders")
        self._say(
            "All columns are texts, and channels are written in nine ways. The table purchases has one row per order:"
        )
        self._run("describe purchases", "describe", "purchases")
        self._say("What cannot be repaired is set aside, with the reason:")
        self._run("set aside", "query", ASIDE)
        self._run("monthly", "query", MONTHLY, "--limit", "4")
        self._run("test", "test")
        self.seen["tests"] = True  # a failed test ends the story

    def _learn(self) -> None:
        self._title("Who will not come back?")
        self._say("The first run has trained a model: at the start of each month it is asked about recent customers.")
        self._run("promote", "promote", "churn")
        self.live = self._serve("serve", "main", 8100)
        self.seen["url"] = self.live.url
        rows = [{"customer_no": f"{number:05}"} for number in (3, 42, 143)]
        self._ask_for("prediction", "retention", rows, "2026-01-01T00:00:00Z")

    def _refuse(self) -> None:
        self._title("January arrives, with amounts in cents")
        self._python("faulty export", "company.py", "export", "2026-01", "--cents")
        with self._step("refused run", "$ mainstem run"):
            try:
                self._show(mainstem("run"))
            except RunFailed:
                self._say("Exit code 1. Nothing was published; readers still see December:")
        self._run("still December", "query", MONTHLY, "--limit", "2")
        self.seen["refused"] = self._newest()

    def _mend(self) -> None:
        self._title("The export is corrected")
        self._python("correct export", "company.py", "export", "2026-01")
        self._run("corrected run", "run")
        self._run("January", "query", MONTHLY, "--limit", "2")
        self.seen["mended"] = self._newest()
        self._run("status", "status")
        self.seen["status"] = self._ask("status")

    def _close(self) -> None:
        self._title("What it took")
        self._took()
        self._title("What it showed")
        for row, answer in zip(self.seen["prediction"]["rows"], self.seen["prediction"]["predictions"], strict=True):
            self._say(f"customer {row['customer_no']} will not come back with probability {answer['score']:.2f}")
        self._untold()

    def _newest(self) -> Any:
        return self._ask("query", NEWEST)["rows"][0]["month"]
