"""The Alexa messages, field for field as Amazon's pages print them. Pure: identifiers and times are arguments."""

from __future__ import annotations

import datetime
from typing import Any

from tools.relay.core.wire import About

SENSOR = "Alexa.InventoryLevelUsageSensor"
CONSUMED = "InventoryConsumed"
REPLACED = "InventoryReplaced"


def duration(seconds: int) -> str:
    """Return an ISO 8601 duration of hours, minutes, seconds: 4380 is PT1H13M, 0 is PT0S. Raises ValueError below 0."""
    if seconds < 0:
        raise ValueError(f"a duration is never negative: {seconds} s")
    hours, rest = divmod(seconds, 3600)
    parts = [f"{count}{unit}" for count, unit in ((hours, "H"), (rest // 60, "M"), (rest % 60, "S")) if count]
    return "PT" + ("".join(parts) or "0S")


def timestamp(utc_s: int) -> str:
    """Return UTC as YYYY-MM-DDThh:mm:ssZ."""
    return datetime.datetime.fromtimestamp(utc_s, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def inventory_consumed(
    message_id: str, endpoint_id: str, token: str, instance: str, usage_s: int, sample_utc_s: int
) -> dict[str, Any]:
    """Return the event that tells how long the fitted part has been used."""
    payload = {"usage": {"@type": "Duration", "value": duration(usage_s)}, "timeOfSample": timestamp(sample_utc_s)}
    return _sensor_event(CONSUMED, message_id, endpoint_id, token, instance, payload)


def inventory_replaced(
    message_id: str, endpoint_id: str, token: str, instance: str, replaced_utc_s: int
) -> dict[str, Any]:
    """Return the event that tells of a new part. The date has seconds, as the page's format, though not its example."""
    return _sensor_event(
        REPLACED, message_id, endpoint_id, token, instance, {"replacedDate": timestamp(replaced_utc_s)}
    )


def _sensor_event(
    name: str, message_id: str, endpoint_id: str, token: str, instance: str, payload: dict[str, Any]
) -> dict[str, Any]:
    header = {
        "namespace": SENSOR,
        "name": name,
        "instance": instance,
        "messageId": message_id,
        "payloadVersion": "3",
    }
    endpoint = {"scope": scope(token), "endpointId": endpoint_id}
    return {"event": {"header": header, "endpoint": endpoint, "payload": payload}}


def scope(token: str) -> dict[str, str]:
    """Return the bearer token as the body of an event carries it."""
    return {"type": "BearerToken", "token": token}


def header(namespace: str, name: str, message_id: str, correlation: str | None = None) -> dict[str, str]:
    """Return the header of an answer or a discovery message."""
    fields = {"namespace": namespace, "name": name, "payloadVersion": "3", "messageId": message_id}
    if correlation is not None:
        fields["correlationToken"] = correlation
    return fields


def discover_response(message_id: str, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the answer to a discovery. Amazon takes at most 300 endpoints."""
    return {
        "event": {
            "header": header("Alexa.Discovery", "Discover.Response", message_id),
            "payload": {"endpoints": endpoints},
        }
    }


def add_or_update_report(message_id: str, token: str, endpoints: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the report of changed endpoints. The scope is required, though the sensor page's example leaves it out."""
    payload = {"endpoints": endpoints, "scope": scope(token)}
    return {"event": {"header": header("Alexa.Discovery", "AddOrUpdateReport", message_id), "payload": payload}}


def delete_report(message_id: str, token: str, endpoint_ids: list[str]) -> dict[str, Any]:
    """Return the report of endpoints that are no longer the customer's."""
    payload = {"endpoints": [{"endpointId": endpoint_id} for endpoint_id in endpoint_ids], "scope": scope(token)}
    return {"event": {"header": header("Alexa.Discovery", "DeleteReport", message_id), "payload": payload}}


def endpoint(
    device: str,
    about: About,
    friendly_name: str | None = None,
    replenishment: dict[str, str] | None = None,
    power: bool = False,
) -> dict[str, Any]:
    """Return the device as a discovery lists it.

    `replenishment` maps instances to Dash ids that arrived after the device was made; its own ids come first.
    `power` adds Alexa.PowerController, for a product that can be switched by voice.
    """
    capabilities: list[dict[str, Any]] = []
    for consumable in about.consumables:
        configuration: dict[str, Any] = {"measurement": {"@type": "Duration"}}
        dash_id = consumable.replenishment_id or (replenishment or {}).get(consumable.instance)
        if dash_id:
            configuration["replenishment"] = {"@type": "DashReplenishmentId", "value": dash_id}
        names = [{"@type": "text", "value": {"text": text, "locale": locale}} for locale, text in consumable.names]
        capabilities.append(
            {
                "type": "AlexaInterface",
                "interface": SENSOR,
                "instance": consumable.instance,
                "version": "3",
                "configuration": configuration,
                "capabilityResources": {"friendlyNames": names},
            }
        )
    if power:
        properties = {"supported": [{"name": "powerState"}], "retrievable": True, "proactivelyReported": True}
        capabilities.append(
            {"type": "AlexaInterface", "interface": "Alexa.PowerController", "version": "3", "properties": properties}
        )
    capabilities.append({"type": "AlexaInterface", "interface": "Alexa", "version": "3"})
    return {
        "endpointId": device,
        "manufacturerName": about.manufacturer,
        "description": about.description,
        "friendlyName": friendly_name or about.description,
        "displayCategories": ["VACUUM_CLEANER"],
        "additionalAttributes": {
            "manufacturer": about.manufacturer,
            "model": about.model,
            "serialNumber": about.serial,
            "firmwareVersion": about.firmware,
            "softwareVersion": about.firmware,
            "customIdentifier": device,
        },
        "cookie": {},
        "capabilities": capabilities,
    }
