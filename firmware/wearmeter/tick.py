"""The tick, ten times a second, from a soft timer: sample, meter, ledger, button, LED, and save.

It runs even while the loop waits in a socket. It alone changes the ledger and writes its record, so that the loop never
sees a half-made change; the loop asks for one through `order`. It allocates nothing when nothing has changed.
"""

from micropython import const

from wearmeter import faults, wire
from wearmeter.drivers import button as buttons
from wearmeter.drivers import led as lights

PERIOD_MS = const(100)
# A cut loses what ran since the last save: 700 ms, up to 100 ms until the tick notices, and the write itself
# (25 to 43 ms on an ESP32) stay below the second that is promised, with room for a late tick.
SAVE_MS = const(700)


class Tick:
    """One call is one tick. `inputs` are drivers, `parts_of` the consumables (a tuple of indices) on each of them,
    `pushbuttons` and `parts` the button and the product's description of each consumable.

    `count` grows by one with each tick: the watchdog's proof of life. `save_failed` says that the last save reached no
    home at all.
    """

    def __init__(self, ledger, store, clock, faults_now, inputs, parts_of, pushbuttons, parts, led, ticks_ms, log):
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._faults = faults_now
        self._inputs = inputs
        self._parts_of = parts_of
        self._buttons = pushbuttons
        self._parts = parts
        self._led = led
        self._ticks_ms = ticks_ms
        self._log = log
        self.count = 0
        self.running = False
        self.save_failed = False
        self.order = None  # (command number, operation, index, generation), from the loop
        self.result = None  # (command number, result), to the loop
        self.released = [0] * len(parts)  # generations whose replacement has entered the outbox
        self.want_second_home = False

    def __call__(self, timer=None):
        now_ms = self._ticks_ms()
        ledger = self._ledger
        seconds = self._clock.tick(now_ms)
        self._sample(now_ms)
        if seconds:
            ledger.pass_seconds(seconds)
        self._press(now_ms)
        if self.order is not None:
            self._obey()
        self._settle_released()
        unsaved_ms = ledger.unsaved_ms
        due = unsaved_ms >= SAVE_MS or ledger.dirty or self.want_second_home or (unsaved_ms and not self.running)
        if due and not (self.save_failed and self.count & 7):  # a flash that refuses is asked every 0.8 s
            self.save(self.want_second_home)
            # No callback ran during the write. Looking again bounds what an edge meanwhile can be mistaken by.
            self._sample(self._ticks_ms())
        self.count = (self.count + 1) & 0xFFFFFF

    def save(self, second_home=False):
        """Write the ledger's record; returns whether it is in flash, in one home at least."""
        ledger = self._ledger
        utc_s = self._clock.now()
        if utc_s is not None:
            ledger.utc_floor_s = utc_s
        kept = self._store.save(ledger.encode(), second_home)
        if kept:
            ledger.saved()
        if second_home:
            self.want_second_home = False  # Where it refused, the relay hears of it; the next occasion tries again.
        if self._store.refused:
            self._faults.raise_(faults.WRITE_FAILED)
        self.save_failed = not kept
        return kept

    def hold(self, how=1):
        """The loop is about to hold up all callbacks for a while, as each operation on a file may. With 2, again and
        again until the next call: a waiting socket lets them run only each 100 ms."""
        for source in self._inputs:
            source.meter.held = how

    def _sample(self, now_ms):
        running = stuck = noisy = False
        for at in range(len(self._inputs)):
            source = self._inputs[at]
            ran_ms = source.sample(now_ms)
            if ran_ms:
                for index in self._parts_of[at]:
                    self._ledger.add(index, ran_ms)
            running = running or source.meter.on
            stuck = stuck or source.meter.stuck
            noisy = noisy or source.noisy
        self.running = running
        self._faults.set(faults.INPUT_STUCK, stuck)
        self._faults.set(faults.INPUT_NOISY, noisy)

    def _press(self, now_ms):
        stuck = held = False
        for index in range(len(self._buttons)):
            button = self._buttons[index]
            if button is None:
                continue
            event = button.sample(now_ms)
            if event == buttons.LONG:
                self._long_press(index)
            elif event == buttons.SHORT:
                self._show(index)
            stuck = stuck or button.stuck
            held = held or button.held
        self._faults.set(faults.BUTTON_STUCK, stuck)
        self._led.tick(held)

    def _long_press(self, index):
        replacement = self._ledger.consumables[index].replacement
        if replacement is not None and replacement.left_s:
            self._led.play(lights.UNDONE if self._undo(index) else lights.REFUSED)
        else:
            self._led.play(lights.REPLACED if self._replace(index, 0) else lights.REFUSED)

    def _replace(self, index, source):
        ledger = self._ledger
        utc_s = self._clock.now()
        if utc_s is None:
            done = ledger.replace(index, source, ledger.utc_floor_s, 0, self._clock.uptime_s)
        else:
            done = ledger.replace(index, source, utc_s, utc_s, self._clock.uptime_s)
        if not done:
            return False
        if not self.save(True):
            ledger.undo(index)
            return False
        part = ledger.consumables[index]
        self._log(
            "wm replaced instance=%s generation=%d lifetime_ms=%d ago_ms=%d"
            % (
                self._parts[index].instance,
                part.generation,
                part.at_replacement_ms,
                self._clock.since_ms(self._ticks_ms()),
            )
        )
        return True

    def _undo(self, index):
        ledger = self._ledger
        part = ledger.consumables[index]
        before = part.replacement, part.at_replacement_ms
        if not ledger.undo(index):
            return False
        if not self.save(True):
            part.replacement, part.at_replacement_ms = before
            part.generation += 1
            return False
        self._log("wm undone instance=%s generation=%d" % (self._parts[index].instance, part.generation))
        return True

    def _obey(self):
        number, operation, index, generation = self.order
        ledger = self._ledger
        before = ledger.last_command
        result = wire.REFUSED
        if number == before:
            result = wire.ALREADY_DONE
        elif number < before:
            pass  # Overtaken by a newer one; if it ever was done, the answer that says so is in the outbox.
        elif index < len(ledger.consumables) and generation == ledger.consumables[index].generation:
            # The number is in the same record as what it did: a command is never obeyed twice.
            ledger.last_command = number
            done = self._replace(index, number) if operation == wire.REPLACED else self._undo(index)
            if not done:
                ledger.last_command = before
            result = wire.DONE if done else wire.NOT_NOW
        self.result = number, result
        self.order = None

    def _settle_released(self):
        parts = self._ledger.consumables
        for index in range(len(parts)):
            part = parts[index]
            if part.replacement is not None and self.released[index] >= part.generation:
                part.replacement = None
                self._ledger.dirty = True

    def _show(self, index):
        used_ms = self._ledger.consumables[index].used_ms
        rated_ms = self._parts[index].rated_life_h * 3600000
        if self._faults.bits:
            pattern = lights.FAULT
        elif used_ms >= rated_ms:
            pattern = lights.STATE_DUE
        elif used_ms >= rated_ms // 10 * 9:
            pattern = lights.STATE_SOON
        else:
            pattern = lights.STATE_GOOD
        self._led.play(pattern)
