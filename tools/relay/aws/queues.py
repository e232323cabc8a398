"""What comes out of Amazon SQS: records, each with the body that IoT Core's rule made of an MQTT message."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from tools.relay.intake.edge import Arrival, arrival


def read(record: dict[str, Any], root: str) -> Arrival:
    """Return the message of a record. Raises ValueError where template.yaml's rule did not make it."""
    try:
        body = json.loads(record["body"])
        topic, payload = str(body["topic"]), base64.b64decode(body["payload"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"not a message of the rule: {type(error).__name__}") from error
    return arrival(root, topic, payload, lambda: None)


def failed(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer that makes SQS keep these records, and these only, for another try."""
    return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
