"""The buttons and the light together: what a press asks for, and what the light answers.

Held for 3 s: a new part is fitted. Held so again within ten minutes, to be sure: the light says so again, nothing else
happens. Held for 10 s while a replacement can be undone, by a press that began after it: it is undone. A short press
asks for the part's state.
"""

from wearmeter.panel import button as buttons
from wearmeter.panel import light as patterns
from wearmeter.state import events, faults


class Panel:
    """`buttons_of` holds (part id, its rated life in ms, Button), `light` is a Light."""

    def __init__(self, state, buttons_of, light):
        self._state = state
        self._buttons = buttons_of
        self._light = light
        self._held = False
        self._undoes = 0  # the part whose replacement was there when the press under way reached 3 s

    @property
    def pressed(self):
        """Whether a button is down, be it since power-on."""
        return any([item[2].down for item in self._buttons])

    def tick(self, now_ms):
        """Look at the buttons and go on with the light, in each tick."""
        # First what was begun before: a pattern's first tenth is not cut short by the tick that begins it.
        self._light.tick(self._held)
        stuck = held = False
        for item in self._buttons:
            button = item[2]
            event = button.sample(now_ms)
            if event:
                self._light.play(self._answer(event, item[0], item[1]))
            stuck = stuck or button.stuck
            held = held or button.held
        self._held = held
        self._state.faults.set(faults.BUTTON_STUCK, stuck)

    def _answer(self, event, identity, rated_ms):
        state = self._state
        part = state.part(identity)
        if event == buttons.SHORT:
            return self._state_of(part, rated_ms)
        fitted = part.replacement and part.replacement.left_s
        if event == buttons.LONG:
            self._undoes = identity if fitted else 0
            done = fitted or state.apply((events.REPLACED, identity, 0))
            return patterns.REPLACED if done else patterns.REFUSED
        if self._undoes == identity:
            return patterns.UNDONE if state.apply((events.UNDONE, identity)) else patterns.REFUSED
        return patterns.REPLACED if fitted else patterns.REFUSED

    def _state_of(self, part, rated_ms):
        if self._state.faults.bits:
            return patterns.FAULT
        if part.used_ms >= rated_ms:
            return patterns.STATE_DUE
        return patterns.STATE_SOON if part.used_ms >= rated_ms // 10 * 9 else patterns.STATE_GOOD
