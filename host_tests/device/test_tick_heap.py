"""The tick allocates nothing when nothing has changed, nor while a motor merely runs: it may strike in a full heap."""

import micropython
from fakes import Pin, Shelf, Ticks, ticks_diff

from wearmeter import clock, faults, ledger, tick
from wearmeter.drivers import button, current, led, level

HOURS_6 = 6 * 3600000


class Adc:
    raw = 0

    def read_u16(self):
        return self.raw


def unit():
    ticks = Ticks(12345)
    motor = Pin(0)
    adc = Adc()
    inputs = [
        level.LevelInput(motor, 1, HOURS_6, ticks, ticks_diff),
        current.CurrentInput(adc, 9000, 6000, HOURS_6, ticks_diff),
    ]
    buttons = [button.Button(Pin(1), 0, ticks_diff), button.Button(Pin(1), 0, ticks_diff)]
    part = type("Part", (), {"instance": "Sensor.X", "rated_life_h": 100})()
    book = ledger.Ledger(2)
    book.epoch = 7
    made = tick.Tick(
        book,
        Shelf(),
        clock.Clock(ticks_diff),
        faults.Faults(),
        inputs,
        [(0,), (1,)],
        buttons,
        [part, part],
        led.Led(Pin(0), 1),
        ticks,
        print,
    )
    for _ in range(20):
        ticks.go(100)
        made()
    return made, ticks, motor, adc, book


def locked(made, ticks, ticks_to_make):
    """Make ticks in a heap that gives nothing: MemoryError at the first allocation."""
    lock = getattr(micropython, "heap_lock", None)
    for _ in range(ticks_to_make):
        ticks.now_ms += 100
        if lock:
            lock()
        try:
            made(None)
        finally:
            if lock:
                micropython.heap_unlock()


def test_at_rest():
    made, ticks, _, _, _ = unit()
    locked(made, ticks, 1000)


def test_while_both_kinds_of_input_run_between_two_saves():
    made, ticks, motor, adc, book = unit()
    motor.set(1)
    adc.raw = 30000
    for _ in range(30):
        ticks.go(100)
        made()
        if not book.unsaved_ms:
            break
    before = book.consumables[0].lifetime_ms
    locked(made, ticks, 6)
    assert book.consumables[0].lifetime_ms == before + 600 and book.consumables[1].unsaved_ms == 600


def test_in_an_edges_interrupt():
    made, ticks, motor, _, book = unit()
    ticks.go(30)
    lock = getattr(micropython, "heap_lock", None)
    motor.level = 1
    if lock:
        lock()
    try:
        motor.handler(motor)
    finally:
        if lock:
            micropython.heap_unlock()
    ticks.go(70)
    locked(made, ticks, 0)
    made()
    assert book.unsaved_ms == 70
