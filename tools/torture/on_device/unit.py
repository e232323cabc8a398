"""A unit in memory: the firmware's own wire_up on a fake board, the real VfsLfs2 over NOR flash, and a strict relay.

Time moves only in `sleep`, `spend` and `settle`. Callbacks wait in MicroPython's queue: eight slots, what comes to a
full one is dropped, at most one runs each time C hands back, and none within another. Everything that a power cut can
tear is told to `operations`, so that a history needs to run but once: the flash at any cut is made from that list.
"""

import builtins
import os
import vfs
from binascii import crc32

import nor
from truth import Broken, Truth
from wearmeter.device.guard import RECORD_BYTES, Guard
from wearmeter.device.wire_up import configure, wire_up
from wearmeter.exchange import cbor, wire
from wearmeter.exchange.exchange import Exchange
from wearmeter.flash.record import FRAME_BYTES, Record
from wearmeter.network.ntp import Ntp

TICK_US = 100000
BOOT_US = 1500000
START_UTC_S = 1782900000
_QUEUE = 8
# What Python takes on the ESP32: an edge's callback, and the tick beside its flash writes.
_EDGE_US = 150
_TICK_PYTHON_US = 2000
_STEP_PYTHON_US = 700
_OPEN_US = 1500  # of a file, beside the reads
_RECORD_US = 15000  # a message: packing it, and a TLS record
_EDGE_DOUBT_US = 2000
_SOON_US = 3000  # an edge this soon after something long has perhaps waited for it
_WRAP = 1 << 30
_REST = {"filter_button": 1, "brush_button": 1}
SIGNALS = ("suction_motor", "brush_motor", "status_led") + tuple(_REST)
_MOTORS = {"suction_motor": "suction", "brush_motor": "brush"}
real_open = builtins.open


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


class Backup:
    """The backup copy of one record, in a blob of its own."""

    def __init__(self, unit, key):
        self._unit = unit
        self._key = key

    def load_into(self, buffer):
        data = self._unit.backups.get(self._key, b"")
        if len(data) > len(buffer):
            return 0
        buffer[: len(data)] = data
        return len(data)

    def save(self, data):
        unit = self._unit
        if unit.backup_refuses:
            return False
        unit.operation(nor.BACKUP, self._key, bytes(data), nor.BACKUP_US)
        unit.backups[self._key] = bytes(data)
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
        self._unit.start_timer(period_ms * 1000, callback)
        return self

    def deinit(self):
        self._unit.callback = None

    def watchdog(self, timeout_ms):
        return self

    def feed(self):
        pass

    def backup(self, key):
        return Backup(self._unit, key)

    def reset_cause(self):
        return "power"

    def sealed(self):
        return False


class Clockwork:
    """The module `time` of the unit. Both clocks wrap, as on the ESP32, and begin with the chip."""

    def __init__(self, unit):
        self._unit = unit
        self._zero_us = unit.now_us
        self.sleep_ms = unit.sleep

    def ticks_us(self):
        return (self._unit.now_us - self._zero_us) & (_WRAP - 1)

    def ticks_ms(self):
        return (self._unit.now_us - self._zero_us) // 1000 & (_WRAP - 1)

    def ticks_diff(self, later, earlier):
        return ((later - earlier + (_WRAP >> 1)) & (_WRAP - 1)) - (_WRAP >> 1)


class Time(Ntp):
    """The firmware's NTP, asking the unit instead of a server."""

    def __init__(self, unit, state, post, ticks_diff):
        super().__init__("ntp", None, None, None, None, state, post, lambda: unit.net, ticks_diff, unit.log)
        self._unit = unit

    def _ask(self):
        if not self._unit.ntp:
            raise OSError(116)
        return self._unit.utc_s() + self._unit.ntp_error_s


class Link:
    """Stands in for network/link.py: to the relay without a broker. `unit.net` says whether there is a network."""

    def __init__(self, unit):
        self._unit = unit
        self.online = False
        self.talking = False
        self.reason = 0
        self.losses = 0
        self.nonce = 0
        self.on_message = self.on_refused = None

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
        elif unit.inbox:
            self.on_message(unit.inbox.pop(0))
        return 100 if self.talking else 500

    def publish(self, branch, payload, retain=False):
        unit = self._unit
        if not unit.net:
            self.online = False
            return False
        unit.spend(_RECORD_US)
        unit.deliver()
        unit.receive(bytes(branch), payload, self.nonce)
        return True


def mount(image, operation=lambda kind, at, data, cost_us: None, spend=lambda cost_us: None):
    """Put the file system of this flash at /. Raises OSError."""
    try:
        vfs.umount("/")
    except OSError:
        pass  # The last one didn't mount.
    vfs.mount(vfs.VfsLfs2(nor.Nor(image, operation, spend)), "/")


class Unit:
    """`image`: the flash; `backups`: the backup copies by name; `truth`: what has happened so far."""

    def __init__(self, image, backups, truth, now_us):
        self.image = image
        self.backups = backups
        self.truth = truth
        self.now_us = now_us
        self.operations = None
        self.net = True
        self.ntp = True
        self.ntp_error_s = 0
        self.relay_error_s = 0
        self.backup_refuses = self.flash_refuses = False
        self.lose_up = self.lose_ack = self.twice = 0
        self.have_nothing = False
        self.commands = truth.unanswered()
        self.inbox = []
        self.console = None
        self.device = None
        self.dropped = 0
        self.erases = [0] * (len(image) // nor.BLOCK_BYTES)
        self.programmed = 0
        self._events = []

    def utc_s(self):
        return START_UTC_S + self.now_us // 1000000

    # ---- flash and time

    def operation(self, kind, at, data, cost_us):
        if self.flash_refuses and kind != nor.BACKUP:
            raise OSError(5)
        if self.operations is not None:
            self.operations.append((kind, at, data, self.now_us, cost_us))
        if kind == nor.ERASE:
            self.erases[at] += 1
        elif kind == nor.PROGRAM:
            self.programmed += len(data)
        self.spend(cost_us)

    def deploy(self, path, content):
        """The maker puts a file on the flash; returns what it held. No cut is tried within that."""
        mount(self.image)
        with real_open(path, "rb") as file:
            before = file.read()
        with real_open(path, "wb") as file:
            file.write(content)
        return before

    def spend(self, cost_us):
        """Time within C code: nothing else runs, callbacks queue up."""
        self._move(self.now_us + cost_us)

    def _move(self, to_us):
        while True:
            event_us = self._events[0][0] if self._events else to_us + 1
            tick_us = self._tick_us if self.callback else to_us + 1
            if min(event_us, tick_us) > to_us:
                break
            if tick_us < event_us:
                self.now_us = max(self.now_us, tick_us)
                self._tick_us += TICK_US
                self.schedule(self.callback, self)
            else:
                self.now_us = max(self.now_us, event_us)
                self._happen(self._events.pop(0))
        self.now_us = max(self.now_us, to_us)

    def _happen(self, event):
        kind = event[1]
        if kind == "pin":
            pin = self.pins[event[2]]
            if pin.level != event[3]:
                pin.level = event[3]
                self._run(event[2], event[3])
                if pin.handler:
                    self.schedule(pin.handler, pin)
        elif kind == "command":
            self.order(event[2:])
        else:
            setattr(self, kind, event[2])

    def _run(self, signal, level):
        name = _MOTORS.get(signal)
        if name in self.truth.runs:
            runs = self.truth.runs[name]
            if level:
                runs.append([self.now_us, 1 << 60])
            elif runs:
                runs[-1][1] = min(runs[-1][1], self.now_us)
            late = not self._asleep or self._in_callback or self.now_us < self._free_us + _SOON_US
            if self.now_us > self._on_us + BOOT_US:
                self._unseen.append((self.now_us, self._looked_us if late else self.now_us))

    # ---- callbacks

    def start_timer(self, period_us, callback):
        self.callback = callback
        self._tick_us = self.now_us + period_us

    def schedule(self, callback, argument):
        if len(self._queue) >= _QUEUE:
            self.dropped += 1
        else:
            self._queue.append((callback, argument))

    def deliver(self):
        """C hands back: at most one callback runs. Returns whether one did."""
        if not self._queue or self._in_callback:
            return False
        callback, argument = self._queue.pop(0)
        self._in_callback = True
        if argument is self:
            self.tick(callback)
        else:
            self._move(self.now_us + _EDGE_US)
            callback(argument)
        self._in_callback = False
        return True

    def tick(self, callback):
        """One tick, with what Python takes before and after its look at the inputs."""
        self._tick_began_us = self.now_us
        if self._asleep and not self._queue and self.now_us > self._free_us + _SOON_US:
            self._looked_us = self.now_us
        self._move(self.now_us + _TICK_PYTHON_US // 2)
        callback(None)
        self._move(self.now_us + _TICK_PYTHON_US // 2)
        self._free_us = self.now_us
        self._check_error()

    def _check_error(self):
        if self.device and self.device.guard.error:
            raise self.device.guard.error

    def sleep(self, duration_ms):
        end_us = self.now_us + duration_ms * 1000
        self._free_us = self.now_us
        while True:
            while self.deliver():
                pass
            self._forgive()
            if self.now_us >= end_us:
                break
            next_us = end_us
            if self.callback:
                next_us = min(next_us, self._tick_us)
            if self._events:
                next_us = min(next_us, self._events[0][0])
            self._asleep = True
            self._move(max(next_us, self.now_us))
        self._asleep = False

    def _forgive(self):
        """All edges have been noticed: what each may have cost is the time since the inputs were last looked at with
        nothing held up, 0 for one that was noticed at once, and up to 2 ms of an edge's own doubt."""
        for edge_us, looked_us in self._unseen:
            cost_us = (self.now_us - looked_us if looked_us < edge_us else 0) + _EDGE_DOUBT_US
            self.truth.unseen.append((edge_us, cost_us))
        del self._unseen[:]

    # ---- power

    def power_on(self, events=()):
        """Start the firmware; `events`: (milliseconds after power-on, kind, arguments...), in order."""
        self._events = []
        self._unseen = []
        self._queue = []
        self._in_callback = self._asleep = False
        self.device = None
        self._on_us = self._looked_us = self._free_us = self.now_us
        self.callback = None
        self.pins = {signal: Pin(_REST.get(signal, 0)) for signal in SIGNALS}
        self._events = [(self.now_us + event[0] * 1000,) + tuple(event[1:]) for event in events]
        clockwork = Clockwork(self)
        self._move(self.now_us + BOOT_US)
        self._forgive_start(self._on_us)
        booted_us = self.now_us
        mount(self.image, self.operation, self.spend)
        builtins.open = self._open
        self.inbox = []
        crash = Record(bytearray(RECORD_BYTES + FRAME_BYTES), "crash")
        guard = Guard(crash, clockwork.ticks_ms, clockwork.ticks_diff, self.log)
        self.device = wire_up(Board(self), guard, clockwork, self.log)
        self.state = self.device.state
        self._forgive_start(booted_us)
        self._watch()

    def _forgive_start(self, since_us):
        """What has run since then, while the chip and the firmware started, need not be seen."""
        for runs in self.truth.runs.values():
            unseen_us = sum([min(b, self.now_us) - max(a, since_us) for a, b in runs if b > since_us])
            self.truth.unseen.append((since_us, unseen_us))

    def begin(self):
        """The firmware starts to count."""
        device = self.device
        self._tick_began_us = self._looked_us = self.now_us
        device.begin()
        self._forgive()
        configure(device)
        device.go_online(Link(self), Exchange, Time(self, device.state, device.tick.post, device._clockwork.ticks_diff))
        self.link = device.link

    def power_off(self):
        """The power goes, between flash operations."""
        self.truth = self.truth.at(self.now_us)
        self.device = self.state = self.callback = None

    def log(self, text):
        if self.console:
            self.console("%10.3f %s" % (self.now_us / 1e6, text))
        self.deliver()

    def _open(self, *arguments):
        self.spend(_OPEN_US)
        while self.deliver():
            pass
        return real_open(*arguments)

    def _watch(self):
        """Note replacements and undos once they are in flash."""
        state, truth = self.state, self.truth
        apply = state.apply

        def note(event):
            before = [part.generation for part in state.parts]
            done = apply(event)
            for index, part in enumerate(state.parts):
                if part.generation != before[index]:
                    truth.acts.append(
                        (
                            self._tick_began_us,
                            self.now_us,
                            index,
                            part.generation > before[index],
                            part.fitted_at_ms,
                            part.generation,
                        )
                    )
            return done

        state.apply = self.device.tick._apply = note

    # ---- running

    def step(self):
        """One turn of the loop, without its rest."""
        self.spend(_STEP_PYTHON_US)
        self.deliver()
        pause_ms = self.device.step()
        self._check_error()
        return pause_ms

    def run(self, duration_ms):
        """Let the unit live for so long."""
        end_us = self.now_us + duration_ms * 1000
        while self.now_us < end_us:
            pause_ms = self.step()
            self.device.attention.rest(max(1, min(pause_ms, (end_us - self.now_us) // 1000)))

    def settle(self, seconds, beat_s=20):
        """Rest, in long beats: motors off, nobody touches it. The loop turns often enough to send what is queued."""
        callback, self.callback = self.callback, None
        for _ in range(seconds // beat_s):
            self._move(self.now_us + beat_s * 1000000)
            for _ in range(6):
                self.tick(callback)
                self.step()
        self.start_timer(TICK_US, callback)

    # ---- the relay

    def receive(self, branch, payload, nonce):
        if branch == b"status":
            epoch = cbor.decode(payload)[3]
            have = 0 if self.have_nothing else self.contiguous(epoch)
            self.have_nothing = False
            self.inbox.append([wire.VERSION, wire.WELCOME, nonce, self._relay_s(), epoch, have, crc32(b"")])
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
                self.inbox.append([wire.VERSION, wire.ACK, nonce, self._relay_s(), fields[2], fields[3]])
            if fields[1] == wire.ANSWER:
                self.commands = [command for command in self.commands if command[0] != fields[6]]
            self._send_commands(nonce)

    def _relay_s(self):
        return self.utc_s() + self.relay_error_s

    def _send_commands(self, nonce):
        for number, operation, index, generation in self.commands:
            self.inbox.append(
                [wire.VERSION, wire.COMMAND, nonce, self._relay_s(), number, operation, index + 1, generation]
            )

    def order(self, command):
        """The relay sends (number, operation, index, generation) until it is answered."""
        self.truth.orders.append((self.now_us, command))
        self.commands.append(command)
        if self.device and self.device.link and self.link.online:
            self._send_commands(self.link.nonce)

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
        self.order((1000 + self.now_us // 1000000, wire.REPORT_NOW, 0, 0))
        for _ in range(8):
            self.settle(8, 2)
            if not self.commands:
                break
            self._send_commands(self.link.nonce)
        else:
            raise Broken("commands %s are never answered" % self.commands)
        self.settle(8, 2)
        self.truth.check_end(self.state, self.now_us)


def factory(files, blocks=32):
    """Return the flash of a new unit, with the files {path: content} on it."""
    image = nor.flash(blocks)
    vfs.VfsLfs2.mkfs(nor.Nor(image))
    mount(image)
    for path, content in files.items():
        at = path.find("/", 1)
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass  # It is there.
            at = path.find("/", at + 1)
        with real_open(path, "wb") as file:
            file.write(content)
    return image


def new_unit(files, inputs=("suction", "brush")):
    """Return a unit from the factory."""
    return Unit(factory(files), {}, Truth(inputs), 0)
