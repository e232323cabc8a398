"""A unit for tests of behaviour: tick, ledger, store, outbox and reporter as they are, over two files in a folder.

`go` lets time pass, `press` holds a button, `cut` takes the power away and brings it back.
"""

import os

from fakes import Pin, Ticks, ticks_diff

from wearmeter import clock, faults, ledger, outbox, reporter, schedule, store, tick, wire
from wearmeter.cbor import decode
from wearmeter.drivers import button, led, level

EPOCH = 77
START_S = 1782900000
HOURS_6 = 6 * 3600000


class Link:
    def __init__(self):
        self.online = False
        self.nonce = 1
        self.reason = self.losses = self.refused = 0
        self.talking = False
        self.on_message = None
        self.sent = []

    def publish(self, branch, payload, retain=False):
        self.sent.append((bytes(branch), payload))
        return True


class Home:
    def __init__(self):
        self.data = None

    def load(self):
        return self.data

    def save(self, data):
        self.data = data
        return True


class Part:
    rated_life_h = 100

    def __init__(self, instance):
        self.instance = instance


class House:
    """One unit with two consumables, each with a motor and a button. `true_s` is the world's UTC second."""

    def __init__(self, name):
        try:
            os.mkdir(name)
        except OSError:
            pass
        for folder in ("/a/", "/b/"):
            for record in ("ledger", "outbox"):
                try:
                    os.remove(name + folder + record)
                except OSError:
                    pass
        self.name = name
        self.home = Home()
        self.true_ms = START_S * 1000
        self.levels = [0, 0]
        self.down = [1, 1]
        self.minute = schedule.report_minute("unit1")
        self.on()

    @property
    def true_s(self):
        return self.true_ms // 1000

    def on(self, zero_ms=0):
        """Power on: `zero_ms` is where ticks_ms begins."""
        self.ticks = Ticks(zero_ms)
        self.lines = []
        self.patterns = []
        self.ledger = book = ledger.Ledger(2)
        self.store = store.Store(self.name + "/ledger", self.home)
        record = self.store.load(ledger.is_valid)
        if record is None:
            book.epoch = EPOCH
            book.dirty = True
        else:
            book.restore(record)
        parts = book.consumables
        self.outbox = outbox.Outbox(store.Store(self.name + "/outbox"), 2)
        generations = [part.generation - 1 if part.replacement else part.generation for part in parts]
        assert self.outbox.load(book.epoch, book.next_sequence, generations)
        self.clock = clock.Clock(ticks_diff)
        self.faults = faults.Faults()
        self.motors = [Pin(at) for at in self.levels]
        self.pins = [Pin(at) for at in self.down]
        inputs = [level.LevelInput(pin, 1, HOURS_6, self.ticks, ticks_diff) for pin in self.motors]
        light = led.Led(Pin(0), 1)
        play = light.play

        def played(pattern):
            self.patterns.append(pattern)
            self.at_light = [part.generation for part in self.flash().consumables]
            play(pattern)

        light.play = played
        self.tick = tick.Tick(
            book,
            self.store,
            self.clock,
            self.faults,
            inputs,
            [(0,), (1,)],
            [button.Button(pin, 0, ticks_diff) for pin in self.pins],
            [Part("Sensor.A"), Part("Sensor.B")],
            light,
            self.ticks,
            self.lines.append,
        )
        for index, part in enumerate(parts):
            self.tick.released[index] = self.outbox.released[index] if part.replacement else part.generation
        self.link = Link()
        self.reporter = reporter.Reporter(
            book,
            self.outbox,
            self.clock,
            self.faults,
            self.tick,
            self.link,
            b"about",
            self.minute,
            self.ticks,
            ticks_diff,
            self.lines.append,
        )
        self.tick()
        self.go(300)  # the buttons have been seen up

    def flash(self):
        """The ledger as a start would find it now."""
        found = ledger.Ledger(2)
        record = store.Store(self.name + "/ledger", self.home).load(ledger.is_valid)
        if record is not None:
            found.restore(record)
        return found

    def go(self, ms, step_ms=100):
        for _ in range(max(1, ms // step_ms)):
            self.true_ms += step_ms
            self.ticks.go(step_ms)
            self.tick()
            self.reporter.step(self.ticks())

    def wait(self, seconds):
        """At rest: long steps."""
        self.go(seconds * 1000, 20000 if not seconds % 20 else 1000)

    def cut(self, off_s=5, zero_ms=0):
        """The plug is pulled, and back in after a while."""
        self.true_ms += off_s * 1000
        self.on(zero_ms)

    def hold(self, index, level):
        self.down[index] = self.pins[index].level = level

    def press(self, *indices, ms=3300):
        for index in indices:
            self.hold(index, 0)
        self.go(ms)
        for index in indices:
            self.hold(index, 1)
        self.go(300)

    def run(self, index, ms):
        self.levels[index] = 1
        self.motors[index].set(1)
        self.go(ms)
        self.levels[index] = 0
        self.motors[index].set(0)
        self.go(100)

    def learn_time(self, error_s=0):
        self.reporter.set_time(self.true_s + error_s)

    def command(self, number, operation, index, generation):
        self.link.on_message([1, wire.COMMAND, self.link.nonce, self.true_s, number, operation, index + 1, generation])
        self.go(400)

    def say(self, kind, *fields):
        self.link.on_message([1, kind, self.link.nonce, self.true_s] + list(fields))

    def queued(self, kind):
        return [decode(outbox.message(entry)) for entry in self.outbox.entries if entry[outbox.KIND] == kind]

    def answers(self):
        """Results of commands that wait for the relay; taken as acknowledged."""
        found = self.queued(wire.ANSWER)
        for fields in found:
            self.say(wire.ACK, fields[2], fields[3])
        return [tuple(fields[6:8]) for fields in found]

    def generations(self):
        return [part.generation for part in self.ledger.consumables]
