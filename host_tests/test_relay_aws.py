"""The relay as functions behind AWS IoT Core, on moto's stand-in for SQS and IoT: no account is needed."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import boto3
import cbor2
import pytest
from cryptography.fernet import Fernet
from moto import mock_aws
from packaging.markers import Marker

from tools.alexa_gateway.gateway import Gateway
from tools.alexa_gateway.lwa import Lwa
from tools.relay.accounts.accounts import Accounts
from tools.relay.accounts.claims import Claims
from tools.relay.accounts.owners import owners_only
from tools.relay.aws import handler
from tools.relay.aws.handler import Deliverer, Intake
from tools.relay.core import wire
from tools.relay.settings import Settings
from tools.relay.store import schema
from tools.relay.store.store import Store
from tools.relay.testing import ABOUT, EPOCH, NOW_S, Clock, report
from tools.setup import relay_package

pytest_plugins = ["tools.relay.store.stores_for_tests"]
AWS = Path(handler.__file__).parent
RELAY = AWS.parent
LOCALES = ["de-DE", "en-GB", "en-US", "es-ES", "es-US", "fr-FR", "it-IT", "ja-JP"]  # where Dash Replenishment is
STATUS = wire.encode([wire.VERSION, 1, 7, EPOCH, 0, 0, 3, 1, "0.1.0", 1, 0])


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str, str]]:
    """SQS, the URL of the rule's queue and that of the FIFO queue."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        sqs = boto3.client("sqs")
        said = sqs.create_queue(QueueName="said")["QueueUrl"]
        due = sqs.create_queue(QueueName="due.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        monkeypatch.setenv("DELIVERY_QUEUE_URL", due)
        yield sqs, said, due


def body(kind: str, payload: bytes, device: str = "vacuum1") -> str:
    """What template.yaml's rule makes of a message."""
    return json.dumps({"payload": base64.b64encode(payload).decode(), "topic": f"wearmeter/{device}/{kind}"})


def event(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{number}", "body": text} for number, text in enumerate(bodies)]}


def taken(sqs: Any, url: str) -> dict[str, Any]:
    """What is on a queue, as Lambda hands it to a function; it is gone from the queue."""
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return {
        "Records": [
            {"messageId": message["MessageId"], "body": message["Body"], "attributes": message["Attributes"]}
            for message in found
        ]
    }


def test_what_a_device_says_is_stored_answered_and_told_through_the_two_queues(
    queues: tuple[Any, str, str], store_url: str
) -> None:
    sqs, said, due = queues
    store = Store(store_url, lambda: NOW_S)
    gateway = Gateway(tokens={"good"})
    settings = Settings(store=store_url, gateway=gateway.start(), token="good")
    published: list[tuple[str, bytes]] = []
    intake = Intake(
        settings, store, lambda topic, payload: published.append((topic, payload)),
        lambda device: sqs.send_message(
            QueueUrl=due, MessageBody=device, MessageGroupId=device, MessageDeduplicationId=device
        ), lambda: NOW_S,
    )  # fmt: skip
    for kind, payload in (("status", STATUS), ("about", wire.encode(ABOUT)), ("up", report(1, 60, 1, 60))):
        sqs.send_message(QueueUrl=said, MessageBody=body(kind, payload))
    while records := taken(sqs, said)["Records"]:
        assert intake.handler({"Records": records}) == {"batchItemFailures": []}
    answers = [cbor2.loads(payload)[1] for topic, payload in published if topic == "wearmeter/vacuum1/down"]
    assert (wire.WELCOME in answers, wire.ACK in answers, len(answers)) == (True, True, len(published))
    woken = taken(sqs, due)
    assert {record["attributes"]["MessageGroupId"] for record in woken["Records"]} == {"vacuum1"}
    assert Deliverer(settings, store, lambda: NOW_S).handler(woken) == {"batchItemFailures": []}
    gateway.stop()
    store.close()
    assert [one["event"]["payload"]["usage"]["value"] for one in gateway.accepted] == ["PT1M"]


def test_while_the_database_is_away_every_record_stays_on_the_queue(tmp_path: Path) -> None:
    published: list[Any] = []
    store = Store(f"sqlite:///{tmp_path}/relay.sqlite3", lambda: NOW_S)
    intake = Intake(Settings(), store, lambda *message: published.append(message), published.append, lambda: NOW_S)
    with store.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE devices RENAME TO away")  # "no such table" is an OperationalError
    found = intake.handler(event(body("status", STATUS), body("up", report(1, 60, 1, 60))))
    store.close()
    assert found == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert published == []


def test_a_record_that_the_rule_did_not_make_hurts_itself_alone(store_url: str) -> None:
    store = Store(store_url, lambda: NOW_S)
    intake = Intake(Settings(), store, lambda topic, payload: None, lambda device: None, lambda: NOW_S)
    strange = ["", "[]", "{}", '{"topic": "wearmeter/vacuum1/up", "payload": "?"}']
    found = intake.handler(event(*strange, body("up", report(1, 60, 1, 60)), body("up", b"\xff")))
    held = store.count(schema.messages)
    store.close()
    assert [failure["itemIdentifier"] for failure in found["batchItemFailures"]] == ["m0", "m1", "m2", "m3"]
    assert held == 1


def test_a_device_that_still_waits_stays_on_the_queue(store_url: str) -> None:
    store = Store(store_url, lambda: NOW_S)
    settings = Settings(store=store_url, gateway="http://127.0.0.1:9", token="good")
    intake = Intake(settings, store, lambda topic, payload: None, lambda device: None, lambda: NOW_S)
    intake.handler(event(body("about", wire.encode(ABOUT)), body("up", report(1, 60, 1, 60))))
    found = Deliverer(settings, store, lambda: NOW_S, limit_s=0.5).handler(event("vacuum1", "vacuum2"))
    store.close()
    assert found == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_the_functions_by_their_names_use_the_environment(
    queues: tuple[Any, str, str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs, _, due = queues
    monkeypatch.setenv("RELAY_STORE", store_url)
    for cached in (handler._store, handler._intake):
        cached.cache_clear()
    found = handler.intake(event(body("status", STATUS), body("up", report(1, 60, 1, 60))), None)
    handler._store()[1].close()
    assert found == {"batchItemFailures": []}
    assert [record["body"] for record in taken(sqs, due)["Records"]] == ["vacuum1"]


def test_an_owner_is_told_through_the_two_queues_with_the_owners_token(store_url: str) -> None:
    gateway = Gateway(lwa=Lwa())
    url = gateway.start()
    assert gateway.lwa is not None
    settings = Settings(
        store=store_url, key=Fernet.generate_key().decode(), gateway=url, lwa=url, lwa_client_id="client",
        lwa_client_secret="secret",
    )  # fmt: skip
    store = Store(store_url, time.time, owners_only=owners_only(settings))
    woken: list[str] = []
    intake = Intake(settings, store, lambda topic, payload: None, woken.append)
    said = report(1, 60, 1, 60, at=int(time.time()))
    intake.handler(event(body("about", wire.encode(ABOUT)), body("up", said)))
    assert store.count(schema.queue) == 0
    Accounts(settings, store, time.time).accept_grant(gateway.lwa.code("anna"), gateway.lwa.user_token("anna"))
    claims = Claims(store)
    claims.claim("anna", claims.new_code("vacuum1"), "NA")
    intake.tend()
    assert woken[-1] == "vacuum1" and Deliverer(settings, store).handler(event("vacuum1")) == {"batchItemFailures": []}
    gateway.stop()
    store.close()
    names = [message["event"]["header"]["name"] for message in gateway.accepted]
    assert names == ["AddOrUpdateReport", "InventoryConsumed"]


def test_with_a_key_what_nobody_owns_is_not_queued(
    queues: tuple[Any, str, str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_STORE", store_url)
    monkeypatch.setenv("RELAY_KEY", Fernet.generate_key().decode())
    for cached in (handler._store, handler._intake):
        cached.cache_clear()
    assert handler.intake(event(body("up", report(1, 60, 1, 60))), None) == {"batchItemFailures": []}
    store = handler._store()[1]
    assert (store.count(schema.messages), store.count(schema.queue)) == (1, 0)
    store.close()


def test_what_time_alone_brings_happens_each_minute(store_url: str) -> None:
    """A missing replacement is inferred, a command is sent again, a delivery whose wake was lost is woken."""
    clock = Clock()
    store = Store(store_url, clock)
    published: list[list[Any]] = []
    woken: list[str] = []
    intake = Intake(
        Settings(), store, lambda topic, payload: published.append(cbor2.loads(payload)), woken.append, clock
    )
    said = [body("status", STATUS), body("up", report(1, 60, 1, 60)), body("up", report(3, 90, 2, 5))]
    intake.handler(event(body("about", wire.encode(ABOUT)), *said))
    store.add_command("vacuum1", wire.REPORT_NOW, [])
    del woken[:], published[:]
    intake.tend()
    assert (store.count(schema.queue), woken, [message[1] for message in published]) == (1, ["vacuum1"], [wire.COMMAND])
    clock.now_s += 3600
    intake.tend()
    assert [(row.name, row.inferred) for row in store.rows(schema.queue)][1:] == [
        ("InventoryReplaced", True), ("InventoryConsumed", False),
    ]  # fmt: skip
    assert woken == ["vacuum1", "vacuum1"] and len(published) == 2
    store.close()


def test_the_function_of_the_schedule_makes_the_coming_months_and_condenses_what_is_old(
    queues: tuple[Any, str, str], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_STORE", store_url)
    for cached in (handler._store, handler._intake):
        cached.cache_clear()
    store = handler._store()[1]
    store.clock = lambda: NOW_S
    handler.intake(event(body("up", report(1, 60, 1, 60))), None)
    store.clock = lambda: NOW_S + 300 * 86400
    handler.tend({}, None)
    assert (store.count(schema.messages), store.count(schema.history)) == (0, 1)
    store.close()


def test_every_function_sees_the_same_store_and_key() -> None:
    from cfnlint.decode import decode

    template, _ = decode(str(AWS / "template.yaml"))
    resources = template["Resources"].values()
    functions = [one["Properties"] for one in resources if one["Type"] == "AWS::Lambda::Function"]
    for name in ("RELAY_STORE", "RELAY_KEY"):
        assert len({str(one["Environment"]["Variables"].get(name)) for one in functions}) == 1


def test_the_linter_of_aws_has_nothing_to_say_about_the_template() -> None:
    from cfnlint import lint_file

    assert [str(match) for match in lint_file(AWS / "template.yaml")] == []


def test_the_functions_of_the_template_are_there() -> None:
    from cfnlint.decode import decode

    template, _ = decode(str(AWS / "template.yaml"))
    for name in ("Intake", "Tend", "Deliver", "Skill"):
        module, _, function = template["Resources"][name]["Properties"]["Handler"].rpartition(".")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make aws` packs: the relay's wheel and each package of requirements.txt. They are this Python's, and linked
    from its environment; `make aws` downloads those for Lambda's."""
    folder = tmp_path_factory.mktemp("lambda")
    contents = folder / "contents"
    with zipfile.ZipFile(relay_package.build(folder)) as wheel:
        wheel.extractall(contents)
    for line in (RELAY / "requirements.txt").read_text().splitlines():
        wanted = re.match(r"([\w.-]+)==[^ ;]+(?: ; (.*?))? \\$", line)
        if wanted and (not wanted[2] or Marker(wanted[2]).evaluate()):
            installed = metadata.distribution(wanted[1])
            for file in installed.files or []:
                if ".." not in file.parts and file.suffix != ".pyc":
                    target = contents / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(str(installed.locate_file(file)))
    return contents


@pytest.mark.slow
def test_the_packed_functions_answer_with_nothing_else_to_import(package: Path, tmp_path: Path) -> None:
    """By the names in the template, on a Python without any site-packages and far from the repository."""
    program = f"""
import sys
sys.path.insert(0, {str(package)!r})
from tools.relay.aws import handler
from tools.relay.accounts import skill
assert handler.__file__.startswith({str(package)!r})
print(handler.intake({{"Records": []}}, None), handler.deliver({{"Records": []}}, None))
print(skill.handler({{"directive": {{}}}}, None)["event"]["payload"]["type"])
"""
    environment = {
        "RELAY_STORE": f"sqlite:///{tmp_path}/relay.sqlite3", "AWS_DEFAULT_REGION": "eu-west-1",
        "DELIVERY_QUEUE_URL": "https://sqs.invalid/due.fifo", "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test", "RELAY_KEY": Fernet.generate_key().decode(), "RELAY_LWA_CLIENT_ID": "client",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-600:]
    assert done.stdout.splitlines() == ["{'batchItemFailures': []} {'batchItemFailures': []}", "INVALID_DIRECTIVE"]


def test_the_skill_is_described_in_each_language_that_can_order() -> None:
    manifest = json.loads((AWS / "skill.json").read_text())["manifest"]
    locales = manifest["publishingInformation"]["locales"]
    assert list(locales) == list(manifest["privacyAndCompliance"]["locales"]) == LOCALES
    assert all(locale["name"] and locale["description"] for locale in locales.values())
    assert set(manifest["apis"]["smartHome"]["regions"]) == {"NA", "EU", "FE"}
    assert manifest["permissions"] == [{"name": "alexa::async_event:write"}]
