"""Makes the way to the relay for a device: imported by the loop after it has begun to count."""

import os
import select
import socket
import time

import umqtt.simple

from wearmeter.exchange.exchange import Exchange
from wearmeter.network.deadline import Deadline
from wearmeter.network.link import Link
from wearmeter.network.sockets import Sockets


def go_online(device):
    """Give the device a link over umqtt.simple, each of its sockets under a deadline."""
    config, attention, tick = device.config, device.attention, device.tick
    station = device.board.station()

    def make_deadline():
        return Deadline(attention.rest, time.ticks_ms, time.ticks_diff)

    resolver = None
    if config.ntp_host or not config.host.replace(".", "").isdigit():
        from wearmeter.network.names import Resolver

        resolver = Resolver(socket, select.poll, make_deadline, lambda: station.ifconfig()[3])
    sockets = Sockets(socket, select.poll, make_deadline(), resolver, _secure(device))
    umqtt.simple.socket = sockets
    link = Link(
        config,
        device.id,
        station,
        sockets,
        umqtt.simple.MQTTClient,
        lambda: int.from_bytes(os.urandom(4), "big"),
    )
    ntp = None
    if config.ntp_host:
        from wearmeter.network.ntp import Ntp

        ntp = Ntp(
            config.ntp_host,
            resolver,
            socket,
            select.poll,
            make_deadline,
            device.state,
            tick.post,
            lambda: link.has_wifi,
            time.ticks_diff,
        )
    device.go_online(link, Exchange, ntp)


def _secure(device):
    config, tick = device.config, device.tick
    if config.transport == "plain":
        return None
    from wearmeter.network.tls import Psk, Tls

    def waiting():
        return tick.waiting

    if config.transport == "psk":
        return Psk(config, tick.post, device.attention.rest, waiting)
    return Tls(config, device.state, device.board.set_rtc, tick.post, device.attention.rest, waiting)
