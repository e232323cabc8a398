"""Wearmeter on this board: wires and runs. The board's module is the only one that knows the chip."""

import os
import select
import socket
import time

import board
import umqtt.simple
from wearmeter import app, checked, link, sockets


def make_link(device):
    """The link over umqtt.simple, each of its sockets under a deadline."""
    bounded = sockets.Sockets(socket, select.poll, time.ticks_ms, time.ticks_diff)
    umqtt.simple.socket = bounded
    return link.Link(
        device.config,
        device.device_id,
        board.station(),
        bounded,
        umqtt.simple.MQTTClient,
        time.ticks_ms,
        time.ticks_diff,
        lambda: int.from_bytes(os.urandom(4), "big"),
        app.log,
    )


def main():
    try:
        device = app.App(board)
    except checked.FileError as error:
        print("wm stopped %s" % error)
        return
    device.start(make_link)
    device.run()


main()
