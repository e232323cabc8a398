"""A unit for tests of behaviour: the device that wire_up makes, over files in a folder, with a link that a test plays.

`go` lets time pass, `press` holds a button, `cut` takes the power away and brings it back.
"""

import os

from wearmeter.device.guard import RECORD_BYTES, Guard
from wearmeter.device.testing import Board, Clockwork, config, install, product
from wearmeter.device.wire_up import configure, wire_up
from wearmeter.exchange import schedule, wire
from wearmeter.exchange.cbor import decode
from wearmeter.exchange.exchange import Exchange
from wearmeter.exchange.testing import Link
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.state import clock, events, ledger, state

START_S = 1782900000
DAY_S = 86400


class House:
    """One unit with two parts, each with a motor and a button. `true_s` is the world's UTC second.

    Of the newest power-on: `lines` of its log, `patterns` of its light, `at_light` the generations that were in flash
    when the light answered.
    """

    def __init__(self, name, pins=None, **options):
        for folder in ("/a/", "/b/"):
            for record in ("state%scounts", "state%sledger", "state%scrash", "unit%sproduct", "unit%sconfig"):
                try:
                    os.remove(name + "/" + record % folder)
                except OSError:
                    pass  # A test of this name has not run here before.
        self.root = name
        self.backups = {}
        self.pins = pins or {}
        self.true_ms = START_S * 1000
        self.minute = schedule.report_minute("unit1")
        install("product", product(**options), name)
        install("config", config(), name)
        self.on()

    @property
    def true_s(self):
        return self.true_ms // 1000

    def on(self, zero_ms=0):
        """Power on: `zero_ms` is where ticks_ms begins."""
        self.lines = []
        self.patterns = []
        self.clockwork = clockwork = Clockwork(zero_ms)
        self.board = board = Board(clockwork, self.backups, self.pins)
        log = self.lines.append
        crashes = Record(bytearray(RECORD_BYTES + FRAME_BYTES), "crash", None, self.root + "/state")
        self.guard = Guard(crashes, clockwork.ticks_ms, clockwork.ticks_diff, log)
        self.device = device = wire_up(board, self.guard, clockwork, log, self.root)
        self.state = device.state
        light = device.panel._light
        play = light.play

        def played(pattern):
            self.patterns.append(pattern)
            self.at_light = [part.generation for part in self.flash()]
            play(pattern)

        light.play = played
        device.begin()
        configure(device, self.root)
        self.link = Link()
        self.link.online = False
        device.go_online(self.link, Exchange)
        self.go(300)  # the buttons have been seen up

    def cut(self, off_s=5, zero_ms=0):
        """The plug is pulled, and back in after a while."""
        self.true_ms += off_s * 1000
        self.on(zero_ms)

    def go(self, ms, step_ms=100):
        """Let time pass, with a tick and a turn of the loop each `step_ms`."""
        timer, clockwork = self.board.timer, self.clockwork
        for _ in range(max(1, ms // step_ms)):
            timer.period_ms = step_ms
            timer.due_ms = clockwork.passed_ms + step_ms
            self.true_ms += step_ms
            clockwork.go(step_ms)
            self.device.step()
            if self.guard.error:
                raise self.guard.error

    def wait(self, seconds):
        """At rest: long steps."""
        self.go(seconds * 1000, 20000 if not seconds % 20 else 1000)

    def flash(self):
        """The parts as a start would find them in the ledger now."""
        found = Record(bytearray(state.LEDGER_BYTES), "ledger", self.backups.get("ledger"), self.root + "/state")
        size = found.load()
        return ledger.decode(found.payload[:size])[1] if size else []

    def refuse(self):
        """From now on neither flash nor NVS take the ledger, until the next power-on."""
        self.state._ledger._write = lambda at, data: False
        self.backups["ledger"].refuse = True

    # ---- the owner

    def button(self, identity):
        return self.pins["button_%d" % identity]

    def motor(self, identity):
        return self.pins["motor_%d" % identity]

    def press(self, *identities, ms=3300):
        for identity in identities:
            self.button(identity).level = 0
        self.go(ms)
        for identity in identities:
            self.button(identity).level = 1
        self.go(300)

    def undo(self, identity):
        """Hold the button for as long as undoing takes."""
        self.press(identity, ms=10300)

    def run(self, identity, ms):
        self.motor(identity).set(1)
        self.go(ms)
        self.motor(identity).set(0)
        self.go(100)

    def part(self, identity):
        return self.state.part(identity)

    def generations(self):
        return [part.generation for part in self.state.parts]

    def lifetimes(self):
        return [part.lifetime_ms for part in self.state.parts]

    # ---- the relay

    def learn_time(self, error_s=0, source=clock.RELAY):
        self.state.apply((events.TOLD_TIME, source, self.true_s + error_s))

    def say(self, kind, *fields, utc_s=None):
        now_s = self.true_s if utc_s is None else utc_s
        self.link.on_message([wire.VERSION, kind, self.link.nonce, now_s] + list(fields))
        self.go(200)

    def command(self, number, operation, identity, generation):
        self.say(wire.COMMAND, number, operation, identity, generation)
        self.go(200)

    def welcome(self, have=0, epoch=None, crc=None):
        self.say(wire.WELCOME, epoch or self.state.numbers.epoch, have, crc)

    def ack(self, sequence, epoch=None):
        self.say(wire.ACK, epoch or self.state.numbers.epoch, sequence)

    def entries(self, kind=None):
        """What waits for the relay."""
        return [entry for entry in self.state.queue.entries() if not entry.told and kind in (None, entry.kind)]

    def queued(self, kind=None):
        """The same, as it is sent."""
        return [decode(wire.up(entry)) for entry in self.entries(kind)]

    def sequences(self):
        return [entry.sequence for entry in self.entries()]

    def acknowledge_all(self):
        for entry in self.entries():
            self.ack(entry.sequence, entry.epoch)

    def answers(self):
        """Results of commands that wait for the relay; taken as acknowledged."""
        found = self.queued(wire.ANSWER)
        for fields in found:
            self.ack(fields[3])
        return [tuple(fields[6:8]) for fields in found]

    def report(self):
        """Have a report made now, whatever the day; returns its sequence."""
        self.state._do(self.state._report, (self.state.numbers.last_period,))
        return self.state.numbers.next_sequence - 1
