"""A unit in memory: the firmware's App on a fake board, the real VfsLfs2 over NOR flash, and a strict relay.

Time moves only in `run`, `spend` and `settle`. Everything that a power cut can tear is told to `operations`, so that a
history needs to run but once: the flash at any cut is made from that list.
"""

import builtins
import time
import vfs
from binascii import crc32

import nor
from truth import Broken, Truth
from wearmeter import app, cbor, start, wire

TICK_US = 100000
BOOT_US = 1500000
START_UTC_S = 1782900000
_REST = {"filter_button": 1, "brush_button": 1}
SIGNALS = ("suction_motor", "brush_motor", "motor_current", "motor_speed", "status_led") + tuple(_REST)
_MOTORS = {"suction_motor": "suction", "brush_motor": "brush"}
_real_open = builtins.open


class Pin:
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __init__(self, level):
        self.level = level
        self.handler = None

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level

    def irq(self, handler=None, trigger=3):
        self.handler = handler


class Home:
    def __init__(self, unit, name):
        self._unit = unit
        self._name = name

    def load(self):
        return self._unit.homes.get(self._name)

    def save(self, data):
        if self._unit.home_refuses:
            return False
        self._unit.operation(nor.HOME, self._name, bytes(data), nor.HOME_US)
        self._unit.homes[self._name] = bytes(data)
        return True


class Board:
    NAME = "torture"
    PINS = {signal: at for at, signal in enumerate(SIGNALS)}

    def __init__(self, unit):
        self._unit = unit

    def device_id(self):
        return "unit"

    def level_input(self, signal, pull):
        return self._unit.pins[signal]

    def output(self, signal):
        return self._unit.pins[signal]

    def start_tick(self, period_ms, callback):
        self._unit.callback = callback
        self._unit._tick_us = self._unit.now_us + TICK_US
        return self

    def deinit(self):
        self._unit.callback = None

    def watchdog(self, timeout_ms):
        return self

    def feed(self):
        pass

    def second_home(self, name="ledger"):
        return Home(self._unit, name)

    def reset_cause(self):
        return "power"

    def sync_ntp(self, host):
        if not self._unit.ntp:
            raise OSError(116)
        return self._unit.utc_s() + self._unit.ntp_error_s


class Link:
    """Stands in for wearmeter.link: to the relay without a broker. `unit.net` says whether there is a network."""

    def __init__(self, unit):
        self._unit = unit
        self.online = False
        self.talking = False
        self.refused = 0
        self.reason = 0
        self.losses = 0
        self.nonce = 0
        self.on_online = self.on_message = None

    @property
    def has_wifi(self):
        return self._unit.net

    def look_up(self, host):
        return host

    def step(self, now_ms):
        unit = self._unit
        if not unit.net:
            if self.online:
                self.online = False
                self.losses += 1
            return 500
        if not self.online:
            self.nonce += 1
            self.online = True
            unit.inbox = []
            if self.on_online:
                self.on_online(self)
        else:
            inbox, unit.inbox = unit.inbox, []
            for fields in inbox:
                self.on_message(fields)
        return 100 if self.talking else 500

    def publish(self, branch, payload, retain=False):
        unit = self._unit
        if not unit.net:
            self.online = False
            return False
        unit.breathe()
        unit.receive(bytes(branch), payload, self.nonce)
        return True

    def stop(self):
        self.online = False


def mount(image, operation=lambda kind, at, data, cost_us: None):
    """Put the file system of this flash at /. Raises OSError."""
    try:
        vfs.umount("/")
    except OSError:
        pass  # The last one didn't mount.
    vfs.mount(vfs.VfsLfs2(nor.Nor(image, operation)), "/")


class Unit:
    """`image`: the flash; `homes`: the second home's blobs by name; `truth`: what has happened so far."""

    def __init__(self, image, homes, truth, now_us):
        self.image = image
        self.homes = homes
        self.truth = truth
        self.now_us = now_us
        self.operations = None
        self.net = True
        self.ntp = True
        self.ntp_error_s = 0
        self.relay_error_s = 0
        self.home_refuses = self.flash_refuses = False
        self.lose_up = self.lose_ack = self.twice = 0
        self.have_nothing = False
        self.commands = truth.unanswered()
        self.inbox = []
        self.console = None
        self.app = None
        self.erases = [0] * (len(image) // nor.BLOCK_BYTES)
        self.programmed = 0
        self._events = []

    def utc_s(self):
        return START_UTC_S + self.now_us // 1000000

    # ---- flash and time

    def operation(self, kind, at, data, cost_us):
        if self.flash_refuses and kind != nor.HOME:
            raise OSError(5)
        if self.operations is not None:
            self.operations.append((kind, at, data, self.now_us, cost_us))
        if kind == nor.ERASE:
            self.erases[at] += 1
        elif kind == nor.PROGRAM:
            self.programmed += len(data)
        self.spend(cost_us)

    def deploy(self, path, change):
        """The maker puts a file on the flash: `change(content)`. No cut is tried within that."""
        mount(self.image)
        with _real_open(path, "rb") as file:
            content = change(file.read())
        with _real_open(path, "wb") as file:
            file.write(content)

    def spend(self, cost_us):
        """Time within C code: nothing else runs, edges wait."""
        self._move(self.now_us + cost_us)

    def _move(self, to_us):
        while self._events and self._events[0][0] <= to_us:
            event = self._events.pop(0)
            self.now_us = max(self.now_us, event[0])
            self._happen(event)
        self.now_us = max(self.now_us, to_us)
        time.now_us = self.now_us

    def _to_whole_ms(self):
        """Counted is between whole milliseconds of ticks_ms: so is the truth, to compare them exactly."""
        self._move(-(-self.now_us // 1000) * 1000)

    def _happen(self, event):
        kind = event[1]
        if kind == "pin":
            pin = self.pins[event[2]]
            if pin.level != event[3]:
                pin.level = event[3]
                self._run(event[2], event[3])
                if pin.handler:
                    self._waiting.append(pin)
                    if self._busy or any([source.meter.held for source in self.app.tick._inputs]):
                        self.truth.held_up_us += 150000
        elif kind == "command":
            self.order(event[2:])
        else:
            setattr(self, kind, event[2])

    def _run(self, signal, level):
        name = _MOTORS.get(signal)
        if name in self.truth.runs and self._begun:
            runs = self.truth.runs[name]
            if level:
                runs.append([self.now_us, 1 << 60])
            elif runs:
                runs[-1][1] = min(runs[-1][1], self.now_us)

    def _deliver(self):
        while self._waiting:
            pin = self._waiting.pop(0)
            if pin.handler:
                pin.handler(pin)

    # ---- power

    def power_on(self, events=()):
        """Start the firmware; `events`: (milliseconds after power-on, kind, arguments...), in order."""
        self._events = []
        self._to_whole_ms()
        self._waiting = []
        self._busy = self._begun = False
        self.pins = {signal: Pin(_REST.get(signal, 0)) for signal in SIGNALS}
        self._events = [(self.now_us + event[0] * 1000,) + tuple(event[1:]) for event in events]
        self._move(self.now_us + BOOT_US)
        time.zero_ms = self.now_us // 1000 - 1000
        mount(self.image, self.operation)
        builtins.open = self._open
        self.inbox = []
        self.callback = None
        self._tick_us = self._loop_us = self.now_us
        self._in_tick = False
        self._busy = True
        self.app = app.App(Board(self), start.Crashes(), self._log)
        self._watch()

    def begin(self):
        """The firmware starts to count. What ran before that, while the chip started, nobody could see."""
        self._to_whole_ms()
        self._begun = True
        for signal in _MOTORS:
            if self.pins[signal].level:
                self._run(signal, 1)
        self.app.start(lambda device: Link(self))
        self._busy = False
        self._deliver()
        self._loop_us = self.now_us

    def power_off(self):
        """The power goes, between flash operations."""
        self.truth = self.truth.at(self.now_us)
        self.app = self.callback = None

    def _log(self, text):
        if self.console:
            self.console("%10.3f %s" % (self.now_us / 1e6, text))
        self.breathe()

    def _open(self, *arguments):
        self.breathe()
        return _real_open(*arguments)

    def breathe(self):
        """Between bytecodes of the loop: a tick that is due runs."""
        if self.callback and not self._in_tick and self.now_us >= self._tick_us:
            self.tick()

    def _watch(self):
        """Note replacements and undos once they are in flash."""
        tick, truth = self.app.tick, self.truth
        replace, undo, parts = tick._replace, tick._undo, self.app.ledger.consumables

        def note(index, is_replacement, source, done):
            part = parts[index]
            if done:
                truth.acts.append(
                    (
                        self._tick_began_us,
                        self.now_us,
                        index,
                        is_replacement,
                        part.at_replacement_ms,
                        part.generation,
                        source,
                    )
                )
            return done

        tick._replace = lambda index, source: note(index, True, source, replace(index, source))
        tick._undo = lambda index: note(index, False, 0, undo(index))

    # ---- running

    def tick(self):
        while self._tick_us <= self.now_us:
            self._tick_us += TICK_US
        self._tick_began_us = self.now_us
        self._in_tick = self._busy = True
        self.callback(None)
        self._in_tick = self._busy = False
        self._deliver()
        if self.app._error:
            raise self.app._error

    def step(self):
        busy, self._busy = self._busy, True
        pause_ms = self.app.step()
        self._busy = busy
        self._deliver()
        self._loop_us = self.now_us + pause_ms * 1000

    def run(self, duration_ms):
        """Let the unit live for so long."""
        end_us = self.now_us + duration_ms * 1000
        while self.now_us < end_us:
            next_us = min(end_us, self._tick_us, self._loop_us)
            if self._events:
                next_us = min(next_us, self._events[0][0])
            self._move(max(next_us, self.now_us))
            self._deliver()
            if self.now_us >= self._tick_us:
                self.tick()
            if self.now_us >= self._loop_us:
                self.step()

    def settle(self, seconds, beat_s=20):
        """Rest, in long beats: motors off, nobody touches it. The loop turns often enough to send what is queued."""
        for _ in range(seconds // beat_s):
            self._move(self.now_us + beat_s * 1000000)
            self.tick()
            for _ in range(4):
                self.step()

    # ---- the relay

    def receive(self, branch, payload, nonce):
        if branch == b"status":
            epoch = cbor.decode(payload)[3]
            have = 0 if self.have_nothing else self.contiguous(epoch)
            self.have_nothing = False
            self.inbox.append([2, 2, nonce, self.utc_s() + self.relay_error_s, epoch, have, crc32(b"")])
            self._send_commands(nonce)
        elif branch == b"up":
            if self.lose_up:
                self.lose_up -= 1
                return
            self.truth.check_message(payload, self.now_us)
            fields = cbor.decode(payload)
            if self.lose_ack:
                self.lose_ack -= 1
                return
            for _ in range(2 if self.twice else 1):
                self.inbox.append([2, 1, nonce, self.utc_s() + self.relay_error_s, fields[2], fields[3]])
            if fields[1] == wire.ANSWER:
                self.commands = [command for command in self.commands if command[0] != fields[6]]
            self._send_commands(nonce)

    def _send_commands(self, nonce):
        for number, operation, index, generation in self.commands:
            self.inbox.append(
                [2, 3, nonce, self.utc_s() + self.relay_error_s, number, operation, index + 1, generation]
            )

    def order(self, command):
        """The relay sends (number, operation, index, generation) until it is answered."""
        self.truth.orders.append((self.now_us, command))
        self.commands.append(command)
        if self.app and self.app.link and self.app.link.online:
            self._send_commands(self.app.link.nonce)

    def contiguous(self, epoch):
        """Return the highest sequence up to which the relay lacks nothing."""
        held = set()
        for fields in self.truth.messages():
            if fields[2] == epoch:
                merged = fields[7] if fields[1] == wire.REPORT and len(fields) > 7 else 0
                held.update(range(fields[3] - merged, fields[3] + 1))
        sequence = 0
        while sequence + 1 in held:
            sequence += 1
        return sequence

    def finish(self):
        """Bring everything to the relay and check the end."""
        self.net = self.ntp = True
        self.lose_up = self.lose_ack = self.twice = self.ntp_error_s = self.relay_error_s = 0
        # Until the owner can undo no more, and whatever was paused is tried again.
        self.settle(660)
        self.order((1000000 + self.now_us // 1000000, wire.REPORT_NOW, 0, 0))
        for _ in range(5):
            self.settle(8, 2)
            if not self.commands:
                break
            self._send_commands(self.app.link.nonce)
        else:
            raise Broken("commands %s are never answered" % self.commands)
        self.settle(8, 2)
        self.truth.check_end(self.app, self.now_us)


def factory(files, blocks=32):
    """Return the flash of a new unit, with the files {path: content} on it."""
    image = nor.flash(blocks)
    vfs.VfsLfs2.mkfs(nor.Nor(image, lambda kind, at, data, cost_us: None))
    mount(image)
    for path, content in files.items():
        with _real_open(path, "wb") as file:
            file.write(content)
    return image


def new_unit(files, inputs=("suction", "brush")):
    """Return a unit from the factory."""
    return Unit(factory(files), {}, Truth(inputs), 0)
