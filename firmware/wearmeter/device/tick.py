"""The tick, ten times a second, from a soft timer: inputs, state, panel, one event of the loop's, and save.

It runs between the loop's bytecodes and while it waits; the loop never holds it up for longer than one flash write or
one TLS record. It alone changes the state. It allocates nothing while a motor runs, but for a save.
"""

from micropython import const

from wearmeter.state import faults

PERIOD_MS = const(100)
_MOST_EVENTS = const(8)
# A cut loses what ran since the last save began: the pause between saves, up to a tick until it is noticed, and the
# save itself. All of it stays below the second that is promised.
_PROMISED_MS = const(1000)
_LONGEST_PAUSE_MS = const(700)
_SHORTEST_PAUSE_MS = const(200)
_MARGIN_MS = const(30)
# A save that only appends takes 17-31 ms on an ESP32. Each 41st compacts its folder: one erase (45 ms typically, 400
# at most) and some 700 reads of a few bytes, each about a tenth of a millisecond.
_PLAIN_SAVE_MS = const(60)
# What two saves that erase are taken to last until they were seen, within the first minute of the first clean.
_ASSUMED_SAVE_MS = const(500)
# A save of the ledger erases a block for its data, each 50th one two: 0.6 s at 150 ms an erase. While a motor runs,
# what may need one waits until the counts were just saved.
_JUST_SAVED_MS = const(250)
_RETRY_MS = const(800)
# A tick that is so late has others behind it. They come first, each takes some 6 ms, and then what writes to flash: a
# TLS record (450 ms) and two compactions (340 ms each) in a row would fill MicroPython's queue of 8 callbacks.
_BEHIND_US = const(200000)
_LONGEST_HURRY_MS = const(50)


class Tick:
    """One call is one tick. `inputs` holds (input, places of the parts on it in state.parts), `panel` may be None.

    Each input is a Guarded. `count` grows by one with each tick: the watchdog's proof of life. `guard(room, action,
    argument, leave_out)` calls the action and deals with its errors: an error in one room does not silence another.
    """

    def __init__(self, state, inputs, panel, attention, ticks_ms, ticks_us, ticks_diff, guard):
        self._state = state
        self.inputs = inputs
        self._attention = attention
        self._ticks_ms = ticks_ms
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._guard = guard
        # Bound once: binding a method allocates.
        self._look = panel and panel.tick
        self._apply = state.apply
        self._each_second = (
            ("inputs", self._tell_failed),
            ("time", state.pass_seconds),
            ("replacements", state.release_due),
            ("faults", state.tell_faults),
            ("report", state.report_due),
        )
        self._events = []
        self._seconds = 0
        self._saved_ms = ticks_ms()
        self._again = False
        self._longest_ms = state.numbers.save_ms
        self._hurrying = False
        self._hurries_ms = 0
        self._set_pause()
        self.count = 0

    def post(self, event):
        """From the loop: apply an event in one of the next ticks. Returns False where too many wait already."""
        if len(self._events) >= _MOST_EVENTS:
            return False
        self._events.append(event)
        return True

    @property
    def waiting(self):
        """How many events are still to be applied."""
        return len(self._events)

    def __call__(self, timer=None):
        now_ms = self._ticks_ms()
        state = self._state
        self._seconds += state.clock.tick(now_ms)
        hurries = self._hurries(self._sample(), now_ms)
        saved = not state.unsaved_ms or self._ticks_diff(now_ms, self._saved_ms) <= _JUST_SAVED_MS
        if self._look:
            self._guard("panel", self._look, now_ms)
        if self._events and saved and not hurries:
            # An error is that of this one event: what comes next is not left out.
            self._guard("events", self._apply, self._events.pop(0), False)
        if self._seconds and saved:
            for room, action in self._each_second:
                self._guard(room, action, self._seconds)
            self._seconds = 0
        due = state.unsaved_ms and self._ticks_diff(now_ms, self._saved_ms) >= self.pause_ms
        if due and not hurries or self.count == 0:
            self._save()
        self.count = (self.count + 1) & 0xFFFFFF or 1
        self._attention.done(self._ticks_us())

    def _sample(self):
        now_us = self._ticks_us()
        late_us = self._attention.beat(now_us)
        state = self._state
        stuck = noisy = False
        for item in self.inputs:
            source = item[0]
            ran_ms = source.sample(now_us, late_us)
            if ran_ms:
                for place in item[1]:
                    state.ran(place, ran_ms)
            stuck = stuck or source.stuck
            noisy = noisy or source.noisy
        state.faults.set(faults.INPUT_STUCK, stuck)
        state.faults.set(faults.INPUT_NOISY, noisy)
        return late_us

    def _hurries(self, late_us, now_ms):
        """Whether ticks wait behind this one. Where callbacks were lost the lateness is an estimate: not for long."""
        if late_us < _BEHIND_US:
            self._hurrying = False
        elif not self._hurrying:
            self._hurrying = True
            self._hurries_ms = now_ms
        return self._hurrying and self._ticks_diff(now_ms, self._hurries_ms) < _LONGEST_HURRY_MS

    def _tell_failed(self, seconds):
        for source, _ in self.inputs:
            if source.error:
                self._state.faults.raise_(faults.INPUT_FAILED, "%s: %r" % (source.signal, source.error))

    def _save(self):
        began_ms = self._ticks_ms()
        kept = self._guard("save", self._state.save_counts, self._again, False)
        took_ms = self._ticks_diff(self._ticks_ms(), began_ms)
        if kept:
            self._saved_ms = began_ms
            # After a save that compacted its folder the next one goes there again: it cannot have to compact it.
            self._again = not self._again and took_ms > _PLAIN_SAVE_MS
            if self._state.saves > 2:  # The first one of each copy has made its folders.
                self._learn(took_ms)
        else:
            self._saved_ms = began_ms + _RETRY_MS - self.pause_ms

    def _learn(self, took_ms):
        """A save took so long. What counts is the longest time seen twice: a save may have compacted two folders, if
        hardly ever (in 100,000 none did but the two that made the folders)."""
        known_ms = self._state.numbers.save_ms
        if took_ms > max(known_ms, _PLAIN_SAVE_MS):
            self._state.note_save(min(took_ms, self._longest_ms))
            self._longest_ms = max(took_ms, self._longest_ms)
            self._set_pause()

    def _set_pause(self):
        """Find the pause between two saves that keeps the promise even if the next one takes longest."""
        known_ms = self._state.numbers.save_ms
        self.bound_ms = (known_ms or _ASSUMED_SAVE_MS) + PERIOD_MS + _MARGIN_MS
        self.pause_ms = max(_SHORTEST_PAUSE_MS, min(_LONGEST_PAUSE_MS, _PROMISED_MS - self.bound_ms))
        self.bound_ms += self.pause_ms
        self._state.faults.set(faults.FLASH_SLOW, known_ms and self.bound_ms > _PROMISED_MS)
