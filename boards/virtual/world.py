"""The world around the virtual board: its time, and everything that happens to the unit.

One instance, `the`, made by boot.py from a session file; the stand-ins of `machine`, `time`, `socket` and
`network` ask it. Instants are microseconds since power-on; a session's events are given in milliseconds.

Virtual mode: nothing waits, sleeping moves `now_us`, and so does what work costs (costs.py). Real mode: `now_us`
follows the PC's clock.

Soft callbacks wait in the scheduler's queue (scheduler.py). They run one at a time where C hands back to MicroPython:
at calls of the stand-ins, each 100 ms of a blocking socket call, and whenever something happens in a sleep. None runs
within a flash operation, a name look-up or another callback.
"""

import gc
import json
import os
import struct
import termios
import utime as pc_time
import costs
from pulses import Storm
from scheduler import QUEUE_DEPTH, Scheduler

SOCKET_POLL_US = 100_000  # SOCKET_POLL_US of the ESP32 port
REST_US = 15_000_000  # inputs at rest for so long: periodic timers may be stretched
STRETCHED_US = 1_000_000
HEAP_SAMPLE_US = 60_000_000
PACE_STEP_US = 100_000  # while an answer is due, so much virtual time ...
PACE_REAL_MS = 20  # ... is worth so much real time
NEVER = 1 << 60
_ISIG = 1  # of a terminal's local modes: Ctrl-C is a signal

the = None


class World:
    def __init__(self, session):
        self.session = session
        self.interruptible = True
        self.real = session.get("mode", "virtual") == "real"
        self.start_utc_ms = session["start_utc_ms"]
        self.started_us = session.get("elapsed_ms", 0) * 1000
        self.now_us = self.started_us
        self.ticks_start_us = session.get("ticks_ms_start", 0) * 1000
        self.rtc_offset_us = session.get("rtc_us", 0) - self.started_us
        end_ms = session.get("end_ms")
        self.end_us = NEVER if end_ms is None else end_ms * 1000
        self.events = session.get("events", [])
        for event in self.events:
            event[0] = round(event[0] * 1000)
        self.event = 0
        self.pins = {}  # gpio -> level driven from outside
        self.analog = {}  # gpio -> 16-bit reading
        self.mains = {}  # gpio -> (rms in 12-bit counts, hertz): a current transformer, biased to mid-range
        self.rest = {int(gpio): value for gpio, value in session.get("rest", {}).items()}
        self.unrest = set()
        self.quiet_us = self.now_us + REST_US
        self.stretch = not self.real and session.get("stretch", True)
        self.listeners = {}  # gpio -> machine.Pin with an interrupt handler
        self.storms = []
        self.outputs = {}  # gpio -> Wave of a PWM output
        self.counters = []  # esp32.PCNT units
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
        self.watchdog_tell_us = 0
        self.scheduler = Scheduler(self.charge, costs.CALLBACK_US)
        self.queue = self.scheduler.queue
        self.charges = False  # until the first line of Python on the flash: boot_ms has all that comes before
        self.in_c = 0
        self.calls = 0
        self.console_free_us = 0
        self.motor_gpios = session.get("motor_gpios", ())
        self.main_us = self.first_sample_us = None
        self.sockets = []
        self.paced_us = 0  # real time spent waiting for the host's processes
        self.flash = None
        self.heap_base = 0
        self.heap_peak = 0
        self.heap_due_us = self.now_us + HEAP_SAMPLE_US
        self.clock_file = open(session["clock_file"], "r+b") if session.get("clock_file") else None
        self.watchdog_file = open(session["watchdog_file"], "r+b") if session.get("watchdog_file") else None
        self.end_file = open(session["end_file"], "w") if session.get("end_file") else None
        self.clock_due_us = 0
        self.due_us = 0
        self.pc_zero_us = pc_time.ticks_us() - self.now_us
        self.happen()  # what was already so at this instant

    # --- time ---------------------------------------------------------------------------------------------------

    def utc_ms(self):
        """True UTC, in milliseconds since 1970."""
        return self.start_utc_ms + self.now_us // 1000

    def tell_clock(self):
        """Write the true UTC for the processes on the host (8 bytes, little endian, milliseconds since 1970)."""
        if self.clock_file:
            self.clock_file.seek(0)
            self.clock_file.write(self.utc_ms().to_bytes(8, "little"))
        self.clock_due_us = self.now_us + 1_000_000

    def tell_watchdog(self):
        """For the host, who must bite where no code of ours runs: at the prompt in real mode, in C that never hands
        back in virtual mode. 16 bytes, little endian: UTC ms of the bite, us of the RTC against `now_us` (signed).
        In virtual mode not at each feed, but once a second."""
        if not self.watchdog_file or not self.real and self.now_us < self.watchdog_tell_us:
            return
        self.watchdog_tell_us = self.now_us + 1_000_000
        if self.real:
            bite_ms = pc_time.time_ns() // 1_000_000 + self.watchdog_timeout_us // 1000
        else:
            bite_ms = self.start_utc_ms + self.watchdog_us // 1000
        self.watchdog_file.seek(0)
        self.watchdog_file.write(struct.pack("<Qq", bite_ms, self.rtc_offset_us))

    def plan(self):
        """Find the next instant at which anything happens."""
        due = self.end_us
        if self.watchdog_us < due:
            due = self.watchdog_us
        if self.event < len(self.events):
            event_us = self.events[self.event][0]
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
        for storm in self.storms:
            edge_us = storm.end_us
            if storm.gpio in self.listeners and len(self.scheduler.queue) < QUEUE_DEPTH:
                edge_us = storm.next_edge_us()
            if edge_us < due:
                due = edge_us
        self.due_us = due

    def happen(self):
        """Everything that is due at this instant. Callbacks only get into the queue."""
        now = self.now_us
        if now >= self.end_us:
            self.die("cut")
        if now >= self.watchdog_us:
            self.die("watchdog")
        if self.storms:
            self.blow()
        events = self.events
        while self.event < len(events) and events[self.event][0] <= now:
            event = events[self.event]
            self.event += 1
            self.apply(event)
        for timer in self.timers:
            if timer.due_us <= now:
                self.scheduler.interrupt(timer.callback, timer)
                timer.due_us = timer.due_us + self.step_us(timer.period_us) if timer.period_us else NEVER
        if now >= self.radio_due_us:
            self.radio.step()
        if now >= self.clock_due_us:
            self.tell_clock()
        if now >= self.heap_due_us:
            self.sample_heap()
        self.plan()

    def step_us(self, period_us):
        if not self.stretch or period_us >= STRETCHED_US or self.unrest or self.now_us < self.quiet_us:
            return period_us
        return STRETCHED_US // period_us * period_us

    def advance(self, target_us):
        """Let time pass until target_us, each thing at its instant; no callback runs."""
        if self.real:
            return self.wait_real(target_us)
        if target_us < self.now_us:
            target_us = self.now_us
        while self.due_us <= target_us:
            self.now_us = self.due_us  # may lie before what was charged meanwhile: nobody sees it go back
            self.happen()
        self.now_us = target_us
        if self.storms:
            self.blow()

    def charge(self, cost_us):
        """Work that takes time. What is due meanwhile happens when Python next looks, at its own instant."""
        if self.charges:
            self.now_us += cost_us

    def look(self):
        """A call into C: it costs time, what is due happens, and then C hands back: at most one callback runs."""
        if self.real:
            self.now_us = pc_time.ticks_us() - self.pc_zero_us
            if self.due_us <= self.now_us:
                self.happen()
        else:
            self.now_us += costs.CALL_US
            self.calls += 1
            if self.calls >= costs.COLLECT_EVERY_CALLS:
                self.collected()
            if self.due_us <= self.now_us or self.storms:
                self.advance(self.now_us)
        if self.queue and not self.in_c:
            self.hand_back()
        return self.now_us

    def hand_back(self):
        """At most one callback runs. Returns whether one did."""
        ran = self.scheduler.hand_back()
        if ran and self.storms:
            self.plan()  # there is room in the queue for the next edge
        return ran

    def collected(self):
        """A garbage collection, the program's or an automatic one."""
        self.calls = 0
        self.charge(costs.COLLECT_US)

    def written(self, characters):
        """So many characters went to the console: who fills its FIFO waits."""
        if not self.real:
            self.console_free_us = max(self.console_free_us, self.now_us) + characters * costs.CONSOLE_CHARACTER_US
            full_us = self.console_free_us - costs.CONSOLE_FIFO_CHARACTERS * costs.CONSOLE_CHARACTER_US
            self.now_us = max(self.now_us, full_us)

    def sampled(self, gpio):
        """Python read a pin."""
        if gpio in self.motor_gpios:
            self.first_sample_us = self.now_us
            self.motor_gpios = ()

    def hear_ctrl_c(self, on):
        """Whether the terminal makes a signal of Ctrl-C. Returns whether it did."""
        try:
            attributes = termios.tcgetattr(0)
        except OSError:
            return False  # There is no terminal: a test's pipe.
        before = attributes[3] & _ISIG
        attributes[3] = attributes[3] & ~_ISIG | (_ISIG if on else 0)
        termios.tcsetattr(0, termios.TCSANOW, attributes)
        return bool(before)

    def wait_real(self, target_us):
        if not self.interruptible:
            return self._wait_real(target_us)
        # The unix port hears no Ctrl-C while a command of the raw prompt runs; the chip does.
        heard = self.hear_ctrl_c(True)
        try:
            self._wait_real(target_us)
        finally:
            self.hear_ctrl_c(heard)

    def _wait_real(self, target_us):
        while True:
            self.now_us = now = pc_time.ticks_us() - self.pc_zero_us
            if self.due_us <= now:
                self.happen()
            if now >= target_us:
                return
            pc_time.sleep_ms(max(1, min(self.due_us, target_us) - now) // 1000 or 1)

    def sleep(self, duration_us):
        """As mp_hal_delay_ms: C hands back once, and then whenever something has happened. A callback that is late
        makes the sleep longer; what is in the queue when the sleep is over stays there."""
        queue = self.queue
        target_us = self.look() + duration_us
        while self.now_us < target_us:
            step_us = target_us
            if not self.real and self.answer_due():
                step_us = min(self.now_us + PACE_STEP_US, target_us)
                self.wait_for_answer(PACE_REAL_MS * (step_us - self.now_us) // PACE_STEP_US or 1)
            while self.now_us < step_us:
                if not queue or not self.hand_back():
                    self.advance(step_us if self.due_us > step_us else max(self.due_us, self.now_us))

    def block(self, duration_us):
        """Time inside C code that hands back only when it returns."""
        self.advance(self.now_us + duration_us)
        self.hand_back()

    def spend(self, duration_us):
        """Time of a flash operation. Returns None, or, when the chip dies within, how much of the duration was left."""
        if self.real:
            return None
        dies_us = min(self.end_us, self.watchdog_us)
        if self.now_us + duration_us > dies_us:
            left_us = max(dies_us - self.now_us, 0)
            self.now_us = dies_us
            return left_us
        self.advance(self.now_us + duration_us)
        return None

    def die_in_flash(self):
        """The power goes, or the watchdog bites, in the midst of a flash operation."""
        self.die("watchdog" if self.watchdog_us < self.end_us and self.now_us >= self.watchdog_us else "cut")

    # --- what happens from outside ------------------------------------------------------------------------------

    def apply(self, event):
        kind = event[1]
        if kind == "pin":
            gpio, value = event[2], event[3]
            self.drive(gpio, value)
            self.unsettle(gpio, value != self.rest.get(gpio, 0))
        elif kind == "adc":
            gpio, value = event[2], event[3]
            self.analog[gpio] = value
            self.unsettle(gpio, value > self.rest.get(gpio, 0))
        elif kind == "storm":
            gpio, hertz, duration_ms = event[2:5]
            end_us = self.now_us + duration_ms * 1000
            self.storms.append(Storm(gpio, self.now_us, 500_000 // hertz, end_us, self.pins.get(gpio, 0)))
            self.unsettle(gpio, True)
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
            self.unsettle(gpio, rms)
        elif kind == "rtc_jump":
            self.rtc_offset_us += event[2] * 1000
        else:
            raise ValueError("session event " + repr(event))

    def drive(self, gpio, level):
        """A pin's level changes from outside: hardware counts it, and an interrupt may be waiting for it."""
        before = self.pins.get(gpio)
        if before == level:
            return
        for counter in self.counters:
            counter.edge(gpio, level)
        self.pins[gpio] = level
        pin = self.listeners.get(gpio)
        if pin is not None and pin.trigger & (pin.IRQ_RISING if level else pin.IRQ_FALLING):
            self.scheduler.interrupt(pin.handler, pin)

    def blow(self):
        """The storms' edges up to now."""
        for storm in list(self.storms):
            storm.tell(self.now_us, self.listeners.get(storm.gpio), self.scheduler)
            self.pins[storm.gpio] = storm.level(self.now_us)
            if self.now_us >= storm.end_us:
                for counter in self.counters:
                    counter.settle()
                self.storms.remove(storm)
                self.unsettle(storm.gpio, self.pins[storm.gpio] != self.rest.get(storm.gpio, 0))
        self.plan()

    def wave_on(self, gpio):
        """The square wave on a pin, a PWM output's or a storm's, or None."""
        for storm in self.storms:
            if storm.gpio == gpio:
                return storm
        return self.outputs.get(gpio)

    def next_change_us(self, gpio):
        """Until then a pin's level stays as it is; something else may happen at that instant."""
        wave = self.wave_on(gpio)
        return min(self.due_us, wave.edge_after(self.now_us)) if wave else self.due_us

    def unsettle(self, gpio, running):
        """An input changed: periodic timers are back on their true beat from here."""
        if running:
            self.unrest.add(gpio)
        else:
            self.unrest.discard(gpio)
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
        self.scheduler.locked += 1
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
                "dropped_callbacks": self.scheduler.dropped,
                "flash_reads": self.flash.reads if self.flash else 0,
                "main_us": self.main_us,
                "first_sample_us": self.first_sample_us,
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
