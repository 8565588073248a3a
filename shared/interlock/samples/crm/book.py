"""What the CRM knows, in memory: a restart forgets every change."""

from dataclasses import dataclass, field, replace
from enum import StrEnum


class Stage(StrEnum):
    """How far a deal has come."""

    LEAD = "lead"
    QUALIFIED = "qualified"
    PROPOSAL = "proposal"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True)
class Deal:
    """An opportunity to sell."""

    id: str
    customer: str
    title: str
    amount: int
    """In euros."""
    stage: Stage
    discount: int = 0
    """Per cent, the sum of all that was granted."""


@dataclass(frozen=True)
class Customer:
    """Personal data: why an export is sensitive."""

    name: str
    contact: str
    email: str


@dataclass(frozen=True)
class DiscountRequest:
    """Somebody asks for a discount; granting one is another's right."""

    number: int
    deal: str
    percent: int
    reason: str


def _deals() -> dict[str, Deal]:
    rows = [
        Deal("opp-1", "Northwind", "Fleet telemetry", 120_000, Stage.PROPOSAL),
        Deal("opp-2", "Northwind", "Spare parts portal", 45_000, Stage.LEAD),
        Deal("opp-3", "Contoso", "Plant monitoring", 310_000, Stage.QUALIFIED),
        Deal("opp-4", "Fabrikam", "Line balancing", 88_000, Stage.WON),
        Deal("opp-5", "Tailspin", "Cabin sensors", 150_000, Stage.LOST),
    ]
    return {row.id: row for row in rows}


def _customers() -> list[Customer]:
    return [
        Customer("Northwind", "Ana Ruiz", "ana.ruiz@northwind.example"),
        Customer("Contoso", "Li Wei", "li.wei@contoso.example"),
        Customer("Fabrikam", "Jon Berg", "jon.berg@fabrikam.example"),
        Customer("Tailspin", "Mia Okoye", "mia.okoye@tailspin.example"),
    ]


class UnknownDeal(Exception):
    """There is no such opportunity."""


@dataclass
class Book:
    """All deals, customers and wishes."""

    deals: dict[str, Deal] = field(default_factory=_deals)
    customers: list[Customer] = field(default_factory=_customers)
    requests: list[DiscountRequest] = field(default_factory=list)

    def search(self, query: str, stage: Stage | None, most: int) -> list[Deal]:
        """Deals whose customer or title holds `query`, in any case."""
        wanted = query.casefold()
        return [
            deal
            for deal in self.deals.values()
            if wanted in f"{deal.customer} {deal.title}".casefold() and stage in {None, deal.stage}
        ][:most]

    def move(self, deal_id: str, stage: Stage) -> Deal:
        """Doing it twice is doing it once."""
        return self._change(replace(self._deal(deal_id), stage=stage))

    def request(self, deal_id: str, percent: int, reason: str) -> DiscountRequest:
        """Doing it twice makes two requests."""
        wish = DiscountRequest(len(self.requests) + 1, self._deal(deal_id).id, percent, reason)
        self.requests.append(wish)
        return wish

    def grant(self, deal_id: str, percent: int) -> Deal:
        """Doing it twice costs twice."""
        deal = self._deal(deal_id)
        return self._change(replace(deal, discount=deal.discount + percent))

    def _deal(self, deal_id: str) -> Deal:
        if deal_id not in self.deals:
            known = ", ".join(f"`{name}`" for name in self.deals)
            raise UnknownDeal(f"there is no opportunity `{deal_id}`, only {known}")
        return self.deals[deal_id]

    def _change(self, deal: Deal) -> Deal:
        self.deals[deal.id] = deal
        return deal
