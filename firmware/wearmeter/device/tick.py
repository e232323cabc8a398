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
# A save that erases nothing takes 17-31 ms on an ESP32. One that compacts a folder erases up to four blocks.
_ERASES_ONCE_MS = const(60)
_MOST_ERASES = const(4)
# A data sheet's typical 45 ms are learnt at the first compaction, within the first minute of the first clean; until
# then the unit saves as if it took this long.
_ASSUMED_ERASE_MS = const(150)
_PLAIN_SAVE_MS = const(35)
_RETRY_MS = const(800)
# A tick that is so late has others behind it. They come first, each takes some 6 ms, and then what writes to flash: a
# TLS record (450 ms) and two compactions (340 ms each) in a row would fill MicroPython's queue of 8 callbacks.
_BEHIND_US = const(200000)
_LONGEST_HURRY_MS = const(50)
# The first compaction seen may have been one of four erases: no fault is raised before there were so many.
_ENOUGH = const(3)


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
        self._saved_ms = ticks_ms()
        self._again = False
        self._erase_ms = state.numbers.erase_ms or _ASSUMED_ERASE_MS
        self._erasing_ms = state.numbers.erase_ms or _PROMISED_MS
        self._compactions = 0
        self._hurrying = False
        self._hurries_ms = 0
        self._set_pause()
        self.count = 0
        self.running = False

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
        seconds = state.clock.tick(now_ms)
        hurries = self._hurries(self._sample(), now_ms)
        if self._look:
            self._guard("panel", self._look, now_ms)
        if self._events and not hurries:
            # An error is that of this one event: what comes next is not left out.
            self._guard("events", self._apply, self._events.pop(0), False)
        if seconds:
            for room, action in self._each_second:
                self._guard(room, action, seconds)
        due = state.unsaved_ms and self._ticks_diff(now_ms, self._saved_ms) >= self.pause_ms
        if due and not hurries or self.count == 0:
            self._save()
        self.count = (self.count + 1) & 0xFFFFFF or 1
        self._attention.done(self._ticks_us())

    def _sample(self):
        now_us = self._ticks_us()
        late_us = self._attention.beat(now_us)
        state = self._state
        running = stuck = noisy = False
        for item in self.inputs:
            source = item[0]
            ran_ms = source.sample(now_us, late_us)
            if ran_ms:
                for place in item[1]:
                    state.ran(place, ran_ms)
            running = running or source.on
            stuck = stuck or source.stuck
            noisy = noisy or source.noisy
        self.running = running
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
        ended_ms = self._ticks_ms()
        took_ms = self._ticks_diff(ended_ms, began_ms)
        if kept:
            self._saved_ms = began_ms
            # After a save that compacted its folder the next one goes there again: it cannot have to compact it.
            self._again = not self._again and took_ms > _ERASES_ONCE_MS
            if took_ms > _ERASES_ONCE_MS:
                self._learn(took_ms)
        else:
            self._saved_ms = began_ms + _RETRY_MS - self.pause_ms

    def _learn(self, took_ms):
        """A save took so long that it erased: at least once, at most four times. The shortest such save erased once."""
        erasing_ms = max(1, took_ms - _PLAIN_SAVE_MS)
        self._erasing_ms = min(self._erasing_ms, erasing_ms)
        self._compactions += 1
        erase_ms = max(self._erasing_ms, erasing_ms // _MOST_ERASES)
        if erase_ms != self._erase_ms:
            self._erase_ms = erase_ms
            self._state.note_erase(erase_ms)
        self._set_pause()

    def _set_pause(self):
        """Find the pause between two saves that keeps the promise even if the next one erases most."""
        self.bound_ms = _MOST_ERASES * self._erase_ms + _PLAIN_SAVE_MS + PERIOD_MS + _MARGIN_MS
        left_ms = _PROMISED_MS - self.bound_ms
        self.pause_ms = max(_SHORTEST_PAUSE_MS, min(_LONGEST_PAUSE_MS, left_ms))
        self.bound_ms += self.pause_ms
        slow = self.bound_ms > _PROMISED_MS and self._compactions >= _ENOUGH
        self._state.faults.set(faults.FLASH_SLOW, slow)
