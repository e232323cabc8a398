"""The command that walks Amazon's test cases, and its report."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import click

from tools.relay.accounts.certify import Outcome, certify
from tools.relay.accounts.owners import gateway_for_tests, routes_for
from tools.relay.commands import options
from tools.relay.delivery.routes import TEST_TOKEN, OneGateway, Routes
from tools.relay.settings import Settings
from tools.relay.store.store import Store


@click.command("certify")
@click.argument("device")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/certify.md"), show_default=True)
@click.option("--pause-s", type=click.FloatRange(0), default=2.0, show_default=True, help="Between two messages.")
@click.option("--account-of-a-test", is_flag=True, help="DEVICE's owner is one: a real order may follow, of theirs.")
@options.settings("gateway", "token", "test_gateway", "deadline_s", *options.ACCOUNT)
def certify_device(settings: Settings, device: str, out: Path, pause_s: float, account_of_a_test: bool) -> None:
    """Walk Amazon's test cases with DEVICE and write a report of what was sent and answered.

    A test device's go to --test-gateway, with the token `test`; another's to its owner's Alexa.
    """
    store = options.open_store(settings)
    row = options.known(store, device)
    if row.about is None:
        raise click.UsageError(f"device {device} has not yet described itself")
    routes = _routes(settings, store, row.test, account_of_a_test)
    outcomes = certify(settings, store, routes, device, pause_s, _tell)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(report(device, outcomes), encoding="utf-8")
    passed = sum(outcome.passed for outcome in outcomes)
    options.note(store, "certify", device, f"{passed} of {len(outcomes)} accepted")
    click.echo(f"{passed} of {len(outcomes)} accepted; the report: {out}")
    if passed < len(outcomes):
        raise SystemExit(1)


def _routes(settings: Settings, store: Store, test: bool, account_of_a_test: bool) -> Routes:
    try:
        if test and settings.test_gateway is not None:
            return OneGateway(gateway_for_tests(settings.test_gateway), TEST_TOKEN, "test")
        routes = routes_for(settings, store, store.clock)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if test:
        raise click.UsageError("a test device needs --test-gateway: python -m tools.alexa_gateway --token test")
    if not account_of_a_test:
        raise click.UsageError(
            "this tells a use that is made up, and may order: mark the device with test-device, or, where its owner's "
            "account is one for tests, say --account-of-a-test"
        )
    if routes is None:
        raise click.UsageError("there is nowhere to send to: --gateway and --token, or --key")
    return routes


def _tell(outcome: Outcome) -> None:
    click.echo(f"{'pass' if outcome.passed else 'FAIL'}  {outcome.case.title}: {outcome.case.look}  ({outcome.answer})")


def report(device: str, outcomes: list[Outcome]) -> str:
    """Return the report in Markdown: a table, then each message as it was sent."""
    passed = sum(outcome.passed for outcome in outcomes)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = [
        f"# Amazon's test cases with {device}, {now}",
        "",
        f"{passed} of {len(outcomes)} messages were accepted. Whether the Alexa app shows what the last column "
        "says has to be looked at by a person.",
        "",
        "| | case | sent | answer | attempts | | to be seen in the Alexa app |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, outcome in enumerate(outcomes, start=1):
        verdict = "pass" if outcome.passed else "**fail**"
        answer = outcome.answer.replace("|", "\\|")
        cells = [str(number), outcome.case.title, outcome.case.name, answer, str(outcome.attempts), verdict,
                 outcome.case.look]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    for number, outcome in enumerate(outcomes, start=1):
        sent = "nothing" if outcome.sent is None else json.dumps(outcome.sent, indent=2, ensure_ascii=False)
        lines += ["", f"## {number}. {outcome.case.title}", "", *(f"    {line}" for line in sent.splitlines())]
    return "\n".join(lines) + "\n"


COMMANDS = (certify_device,)
