"""Agents of the demo, written against `semloop.Agent` as your own would be.

Their messages and tool calls are simulated, and the same in every demo: the random
numbers are seeded with the session id. Tool durations are random numbers too.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from semloop.agent.agent import Agent
from semloop.agent.session import Session


@dataclass(frozen=True)
class Tool:
    """A simulated tool: how often it fails, and which tool replaces it then."""

    query: str
    result: str
    median_ms: float
    failure_rate: float = 0.0
    error: str = ""
    fallback: str = ""


@dataclass(frozen=True)
class Scenario:
    """A kind of task: the user's request, the tools it needs, the agent's reply."""

    agent: str
    task_type: str
    task: str
    request: str
    tools: tuple[str, ...]
    reply: str


@dataclass(frozen=True)
class Person:
    """A fictional user with reserved names, numbers and test cards."""

    user_id: str
    name: str
    email: str
    phone: str
    card: str = "4111 1111 1111 1111"
    iban: str = "DE89 3704 0044 0532 0130 00"


MODELS = ("small-1", "large-2")
TAGS = (("web",), ("app",), ("call", "vip"))
CREDITS_PER_TOKEN = 2e-6

PEOPLE = (
    Person("u-17", "Ann", "ann.berg@example.com", "+1 202 555 0143"),
    Person("u-23", "Bo", "bo@mail.example.org", "+1 202 555 0119"),
    Person("u-42", "Chloé", "chloe+travel@example.com", "+1 202 555 0187"),
    Person("u-58", "Dimitri", "dimitri@example.net", "+1 202 555 0101"),
    Person("u-71", "Eun-ji", "eunji.park@example.com", "+1 202 555 0164"),
)

TOOLS = {
    "orders.find": Tool("order {number}", "found", 120, 0.08, "Timeout", "orders.copy"),
    "orders.copy": Tool("order {number}", "2 min old", 310, 0.05, "NotFound"),
    "refunds.create": Tool("{iban}", "paid", 450, 0.12, "RateLimited", "refunds.queue"),
    "refunds.queue": Tool("{iban}", "queued for tonight", 60, 0.05, "QueueFull"),
    "flights.search": Tool("OSL", "3 flights", 900, 0.22, "Timeout", "flights.cached"),
    "flights.cached": Tool("OSL", "2 flights", 35, 0.10, "NotFound"),
    "seats.hold": Tool("SK 1472", "14C held", 260, 0.06, "SoldOut"),
    "cards.charge": Tool("{card}", "paid", 640, 0.10, "RateLimited", "cards.other"),
    "cards.other": Tool("{card}", "paid", 980, 0.05, "Declined"),
    "bank.transfer": Tool("{iban}", "booked", 1_400, 0.04, "Declined"),
    "code.search": Tool("round(", "7 matches", 90),
    "code.edit": Tool("prices.py", "1 line changed", 30),
    "tests.run": Tool("tests/", "212 passed", 8_200, 0.28, "TestsFailed", "tests.last"),
    "tests.last": Tool("tests/", "3 passed", 2_600, 0.30, "TestsFailed"),
    "web.search": Tool("heat pumps", "10 pages", 700, 0.18, "RateLimited", "papers"),
    "papers": Tool("heat pumps", "4 papers", 1_200, 0.05, "Timeout"),
    "page.read": Tool("page {number}", "1 page", 400, 0.15, "Forbidden", "page.copy"),
    "page.copy": Tool("page {number}", "1 page of 2024", 850, 0.10, "NotFound"),
}

SCENARIOS = (
    Scenario(
        "support", "refund", "refund an order",
        "Order {number} arrived broken, I want my money back. Write to {email}.",
        ("orders.find", "refunds.create"),
        "Sorry, {name}! The refund is on its way; a receipt goes to {email}.",
    ),
    Scenario(
        "support", "delivery", "find a parcel",
        "Where is order {number}? Call me: {phone}.",
        ("orders.find",),
        "Order {number} is with the courier and arrives tomorrow, {name}.",
    ),
    Scenario(
        "travel", "booking", "book a flight",
        "A seat to Oslo on Friday, please. Card {card}, ticket to {email}.",
        ("flights.search", "seats.hold", "cards.charge"),
        "Booked, {name}: SK 1472, seat 14C. The ticket goes to {email}.",
    ),
    Scenario(
        "billing", "payment", "pay a supplier",
        "Pay invoice {number} to {iban} by tonight, then mail {email}.",
        ("orders.find", "bank.transfer"),
        "Invoice {number} is paid to {iban}.",
    ),
    Scenario(
        "coder", "bugfix", "fix a failing test",
        "test_rounding fails since change {number}. Can you fix it?",
        ("code.search", "code.edit", "tests.run"),
        "Fixed: prices were rounded twice. All tests pass.",
    ),
    Scenario(
        "research", "summary", "summarise a question",
        "What is known about heat pumps below -20 °C? Three sentences are enough.",
        ("web.search", "page.read", "page.read"),
        "They work down to about -25 °C, at half of their efficiency. See 2 sources.",
    ),
)  # fmt: skip
AGENTS = tuple(dict.fromkeys(scenario.agent for scenario in SCENARIOS))


def work(agent: Agent, session_id: str) -> Iterator[str]:
    """Run one session, from the request to the outcome; yield the id of each event."""
    random = seeded_random(session_id)
    task = random.choice([s for s in SCENARIOS if s.agent == agent.name])
    person = random.choice(PEOPLE)
    facts = vars(person) | {"number": random.randrange(1_000, 10_000)}
    with agent.session(
        session_id,
        task=task.task,
        task_type=task.task_type,
        user_id=person.user_id,
        tags=random.choice(TAGS),
    ) as session:
        yield session.message("user", task.request.format(**facts))
        yield session.state_change("working", from_state="waiting")
        for tool in task.tools:
            if not (yield from use(session, tool, facts, random)):
                yield session.error("NoToolLeft", f"no fallback for {tool}")
                yield session.complete("failure", reward=-0.5, summary="gave up")
                return
        read, written = random.randrange(600, 6_000), random.randrange(40, 400)
        yield session.message(
            "assistant",
            task.reply.format(**facts),
            model=random.choice(MODELS),
            input_tokens=read,
            output_tokens=written,
            credits_used=round((read + 4 * written) * CREDITS_PER_TOKEN, 6),
        )
        reward = round(random.triangular(0.4, 1.0, 0.9), 2)
        yield session.complete("success", reward=reward, summary=task.task)
        if random.random() < 0.25:
            yield session.feedback("helpful", float(reward > 0.6), source="human")


def use(
    session: Session, name: str, facts: Mapping[str, object], random: Random
) -> Generator[str, None, bool]:
    """Call a tool, or its fallback if it fails; return True if one succeeded."""
    while name:
        tool = TOOLS[name]
        failed = random.random() < tool.failure_rate
        yield session.tool_call(
            name,
            {"query": tool.query.format(**facts)},
            result=None if failed else tool.result,
            status="error" if failed else "success",
            error_type=tool.error if failed else None,
            duration_ms=round(tool.median_ms * random.lognormvariate(0, 0.5), 1),
        )
        if not failed:
            return True
        name = tool.fallback
    return False


def seeded_random(seed: str) -> Random:
    """Return a generator of the same random numbers for the same seed."""
    return Random(seed)  # noqa: S311 - not used for secrets
