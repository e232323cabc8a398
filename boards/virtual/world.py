"""The world around the virtual board: its time, and everything that happens to the unit.

One instance, `the`, made by boot.py from a session file; the stand-ins of `machine`, `time`, `socket` and
`network` ask it. Instants are microseconds since power-on; a session's events are given in milliseconds.

Virtual mode: nothing waits, sleeping moves `now_us`. Real mode: `now_us` follows the PC's clock.

Soft callbacks (timers, pin interrupts) wait in a queue of 8 as in MicroPython's scheduler and run only where the
ESP32 would run them: while Python sleeps, when a blocking socket call comes up for air (each 100 ms), at calls of
the `time` module. They never run inside one another, nor inside a flash operation or a name look-up.
"""

import gc
import json
import os
import utime as pc_time

CALLBACK_QUEUE = 8  # MICROPY_SCHEDULER_DEPTH of the ESP32 port
SOCKET_POLL_US = 100_000  # SOCKET_POLL_US of the ESP32 port
REST_US = 15_000_000  # inputs at rest for so long: periodic timers may be stretched
STRETCHED_US = 1_000_000
HEAP_SAMPLE_US = 60_000_000
PACE_STEP_US = 100_000  # while an answer is due, so much virtual time ...
PACE_REAL_MS = 20  # ... is worth so much real time
NEVER = 1 << 60

the = None


class World:
    def __init__(self, session):
        self.session = session
        self.real = session.get("mode", "virtual") == "real"
        self.start_utc_ms = session["start_utc_ms"]
        self.started_us = session.get("elapsed_ms", 0) * 1000
        self.now_us = self.started_us
        self.ticks_start_us = session.get("ticks_ms_start", 0) * 1000
        self.rtc_offset_us = session.get("rtc_us", 0) - self.started_us
        end_ms = session.get("end_ms")
        self.end_us = NEVER if end_ms is None else end_ms * 1000
        self.events = session.get("events", [])
        self.event = 0
        self.pins = {}  # gpio -> level driven from outside
        self.analog = {}  # gpio -> 16-bit reading
        self.mains = {}  # gpio -> (rms in 12-bit counts, hertz): a current transformer, biased to mid-range
        self.rest = {int(gpio): value for gpio, value in session.get("rest", {}).items()}
        self.unrest = set()
        self.quiet_us = self.now_us + REST_US
        self.edge_listeners = {}  # gpio -> function(level, gpio)
        self.wifi = "up"
        self.broker = "up"
        self.ntp = True
        self.ntp_error_ms = 0
        self.on_network_change = []
        self.radio = None
        self.radio_due_us = NEVER
        self.nvs_file = open(session["nvs_file"], "r+b") if session.get("nvs_file") else None
        self.timers = []
        self.watchdog_us = NEVER
        self.watchdog_timeout_us = NEVER
        self.queue = []
        self.locked = 0
        self.dropped_callbacks = 0
        self.sockets = []
        self.paced_us = 0  # real time spent waiting for the host's processes
        self.flash = None
        self.heap_base = 0
        self.heap_peak = 0
        self.heap_due_us = self.now_us + HEAP_SAMPLE_US
        self.clock_file = open(session["clock_file"], "r+b") if session.get("clock_file") else None
        self.clock_bytes = bytearray(8)
        self.watchdog_file = open(session["watchdog_file"], "r+b") if session.get("watchdog_file") else None
        self.end_file = open(session["end_file"], "w") if session.get("end_file") else None
        self.clock_due_us = 0
        self.due_us = 0
        self.pc_zero_us = pc_time.ticks_us() - self.now_us
        self.lock()
        self.happen()  # what was already so at this instant
        self.unlock_quietly()

    # --- time ---------------------------------------------------------------------------------------------------

    def utc_ms(self):
        """True UTC, in milliseconds since 1970."""
        return self.start_utc_ms + self.now_us // 1000

    def tell_clock(self):
        """Write the true UTC for the processes on the host (8 bytes, little endian, milliseconds since 1970)."""
        if self.clock_file:
            utc_ms = self.utc_ms()
            for i in range(8):
                self.clock_bytes[i] = utc_ms & 255
                utc_ms >>= 8
            self.clock_file.seek(0)
            self.clock_file.write(self.clock_bytes)
        self.clock_due_us = self.now_us + 1_000_000

    def tell_watchdog(self):
        """In real mode the host bites, as no code of ours runs at the prompt: here is when (8 bytes, UTC ms)."""
        if self.real and self.watchdog_file:
            now_ms = pc_time.time_ns() // 1_000_000
            self.watchdog_file.seek(0)
            self.watchdog_file.write((now_ms + self.watchdog_timeout_us // 1000).to_bytes(8, "little"))

    def plan(self):
        """Find the next instant at which anything happens."""
        due = self.end_us
        if self.watchdog_us < due:
            due = self.watchdog_us
        if self.event < len(self.events):
            event_us = self.events[self.event][0] * 1000
            if event_us < due:
                due = event_us
        for timer in self.timers:
            if timer.due_us < due:
                due = timer.due_us
        if self.radio_due_us < due:
            due = self.radio_due_us
        if self.clock_due_us < due:
            due = self.clock_due_us
        if self.heap_due_us < due:
            due = self.heap_due_us
        self.due_us = due

    def happen(self):
        """Everything that is due now, then the callbacks if they may run."""
        now = self.now_us
        if now >= self.end_us:
            self.die("cut")
        if now >= self.watchdog_us:
            self.die("watchdog")
        events = self.events
        while self.event < len(events) and events[self.event][0] * 1000 <= now:
            event = events[self.event]
            self.event += 1
            self.apply(event)
        for timer in self.timers:
            while timer.due_us <= now:
                self.schedule(timer.callback, timer)
                if not timer.period_us:
                    timer.due_us = NEVER
                    break
                timer.due_us += self.step_us(timer.period_us)
        if now >= self.radio_due_us:
            self.radio.step()
        if now >= self.clock_due_us:
            self.tell_clock()
        if now >= self.heap_due_us:
            self.sample_heap()
        self.plan()
        if self.queue and not self.locked:
            self.run_callbacks()

    def step_us(self, period_us):
        if self.real or period_us >= STRETCHED_US or self.unrest or self.now_us < self.quiet_us:
            return period_us
        return STRETCHED_US // period_us * period_us

    def advance(self, target_us):
        """Let time pass until target_us."""
        if self.real:
            return self.wait_real(target_us)
        while self.due_us <= target_us:
            if self.due_us > self.now_us:
                self.now_us = self.due_us
            self.happen()
        if target_us > self.now_us:
            self.now_us = target_us

    def look(self):
        """A glance at the clock: the time it costs lets loops that only look at the clock end."""
        if self.real:
            self.now_us = pc_time.ticks_us() - self.pc_zero_us
        else:
            self.now_us += 2
        if self.due_us <= self.now_us:
            self.happen()
        elif self.queue and not self.locked:
            self.run_callbacks()
        return self.now_us

    def wait_real(self, target_us):
        while True:
            self.now_us = now = pc_time.ticks_us() - self.pc_zero_us
            if self.due_us <= now:
                self.happen()
            elif self.queue and not self.locked:
                self.run_callbacks()
            if now >= target_us:
                return
            pc_time.sleep_ms(max(1, min(self.due_us, target_us) - now) // 1000 or 1)

    def sleep(self, duration_us):
        """As time.sleep on the device: callbacks run exactly when they are due."""
        target = self.look() + duration_us
        if not self.real:
            while self.now_us < target and self.answer_due():
                step = min(PACE_STEP_US, target - self.now_us)
                self.wait_for_answer(PACE_REAL_MS * step // PACE_STEP_US or 1)
                self.advance(self.now_us + step)
        self.advance(target)

    def block(self, duration_us):
        """Time inside C code that lets no callback run; they run when it returns."""
        self.lock()
        self.advance(self.now_us + duration_us)
        self.unlock()

    def spend(self, duration_us):
        """Time of a flash operation: no callback runs until Python looks at the clock again.

        Returns None, or, when the power is cut within, how much of the duration was left to it.
        """
        if self.real:
            return None
        if self.now_us + duration_us > self.end_us:
            return self.end_us - self.now_us
        self.locked += 1
        self.advance(self.now_us + duration_us)
        self.locked -= 1
        return None

    # --- callbacks ----------------------------------------------------------------------------------------------

    def lock(self):
        self.locked += 1

    def unlock_quietly(self):
        self.locked -= 1

    def unlock(self):
        self.locked -= 1
        if self.queue and not self.locked:
            self.run_callbacks()

    def schedule(self, callback, argument):
        if len(self.queue) < CALLBACK_QUEUE:
            self.queue.append((callback, argument))
        else:
            self.dropped_callbacks += 1

    def run_callbacks(self):
        queue = self.queue
        self.locked += 1
        try:
            while queue:
                callback, argument = queue.pop(0)
                try:
                    callback(argument)
                except Exception as error:  # as the scheduler does: printed, and the program goes on
                    import sys

                    sys.print_exception(error)
        finally:
            self.locked -= 1

    # --- what happens from outside ------------------------------------------------------------------------------

    def apply(self, event):
        kind = event[1]
        if kind == "pin" or kind == "adc":
            gpio, value = event[2], event[3]
            if kind == "pin":
                before = self.pins.get(gpio)
                self.pins[gpio] = value
                if before != value and gpio in self.edge_listeners:
                    self.edge_listeners[gpio](value)
            else:
                self.analog[gpio] = value
            rest = self.rest.get(gpio, 0)
            if value == rest or (kind == "adc" and value <= rest):
                self.unrest.discard(gpio)
            else:
                self.unrest.add(gpio)
            self.disturb()
        elif kind == "wifi" or kind == "broker":
            if kind == "wifi":
                self.wifi = event[2]
            else:
                self.broker = event[2]
            for listener in self.on_network_change:
                listener(kind)
        elif kind == "ntp":
            self.ntp = event[2]
        elif kind == "ntp_error":
            self.ntp_error_ms = event[2]
        elif kind == "mains":
            gpio, rms, hertz = event[2:5]
            self.mains[gpio] = rms, hertz
            if rms:
                self.unrest.add(gpio)
            else:
                self.unrest.discard(gpio)
            self.disturb()
        elif kind == "rtc_jump":
            self.rtc_offset_us += event[2] * 1000
        else:
            raise ValueError("session event " + repr(event))

    def disturb(self):
        """An input changed: periodic timers are back on their true beat from here."""
        self.quiet_us = self.now_us + REST_US
        for timer in self.timers:
            period = timer.period_us
            if period and timer.due_us > self.now_us + period:
                timer.due_us -= (timer.due_us - self.now_us) // period * period

    # --- answers from real brokers ------------------------------------------------------------------------------

    def answer_due(self):
        for socket in self.sockets:
            if socket.patience_ms > 0 and socket.answers_due():
                return True
        return False

    def wait_for_answer(self, real_ms):
        """Give the processes on the host real time to answer what the device sent. True when data arrived."""
        for socket in self.sockets:
            if socket.patience_ms > 0 and socket.answers_due():
                began = pc_time.ticks_us()
                arrived = socket.poll_real(real_ms)
                waited_us = pc_time.ticks_diff(pc_time.ticks_us(), began)
                self.paced_us += waited_us
                socket.patience_ms -= waited_us // 1000 + (0 if arrived else 1)
                return arrived
        return False

    # --- the end ------------------------------------------------------------------------------------------------

    def sample_heap(self):
        gc.collect()
        used = gc.mem_alloc()
        if used - self.heap_base > self.heap_peak:
            self.heap_peak = used - self.heap_base
        self.heap_due_us = self.now_us + HEAP_SAMPLE_US

    def die(self, reason):
        """End as hardware ends: at once, no finally, no atexit."""
        self.locked += 1
        self.due_us = NEVER
        if not self.real:
            self.sample_heap()
        self.tell_clock()
        if self.end_file:
            record = {
                "reason": reason,
                "now_us": self.now_us,
                "rtc_us": self.now_us + self.rtc_offset_us,
                "heap_peak": self.heap_peak,
                "paced_ms": self.paced_us // 1000,
                "dropped_callbacks": self.dropped_callbacks,
                "flash_operations": self.flash.operation if self.flash else 0,
            }
            self.end_file.write(json.dumps(record))
            self.end_file.close()
        os.system("kill -9 $PPID")
        while True:
            pc_time.sleep(1)


def begin(session):
    global the
    the = World(session)
    return the
