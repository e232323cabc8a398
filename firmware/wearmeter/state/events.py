"""What can happen to the state: the names of its events. An event is a tuple, its name first; see State.apply.

(REPLACED, part id, source)            a button was held; `source` is 0
(UNDONE, part id)
(TOLD_TIME, clock.RELAY or clock.NTP, UTC seconds since 1970)
(ACKNOWLEDGED, epoch, sequence)        the relay has stored a message
(WELCOMED, epoch, have sequence)       what the relay lacks nothing up to
(COMMANDED, number, operation, part id, generation)
(REFUSED_MESSAGE,)                     a down message was not valid
(SAVE,)                                something is about to hold up the tick: save what has run
(FAULT, bit, detail)                   somebody outside the state has found a fault
(CONFIGURED, CRC-32 of the config, minute of the day at which the report is due)
"""

from micropython import const

REPLACED = const(1)
UNDONE = const(2)
TOLD_TIME = const(3)
ACKNOWLEDGED = const(4)
WELCOMED = const(5)
COMMANDED = const(6)
REFUSED_MESSAGE = const(7)
SAVE = const(8)
FAULT = const(9)
CONFIGURED = const(10)
