"""Faults put into the specification on purpose. Each must lead TLC to a state that breaks an invariant: an invariant
that no mutant breaks, or a rule that can go without being missed, would prove nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tools.model.checker import Sizes


@dataclass(frozen=True)
class Mutant:
    """`old` of the specification replaced by `new`; `sizes` are large enough to show what follows from it."""

    name: str
    old: str
    new: str
    sizes: Sizes

    def applied(self, specification: str) -> str:
        """Return the specification with the fault. Raises ValueError unless `old` stands in it exactly once."""
        if specification.count(self.old) != 1:
            raise ValueError(f"mutant {self.name!r}: its text stands {specification.count(self.old)} times")
        return specification.replace(self.old, self.new)


_SMALL = Sizes(life=1, sequence=2, on_the_way=1)
_CUT = Sizes(life=1, generation=1, sequence=2, cuts=1, on_the_way=1)
_KILLED = Sizes(life=1, generation=2, sequence=2, kills=1, on_the_way=1)
_INCREMENT_KILLED = Sizes(increment=True, life=1, generation=1, sequence=2, kills=1, on_the_way=1)
_FORGOTTEN = Sizes(life=0, generation=1, sequence=2, on_the_way=1, restores=1)
_OVERTAKEN = Sizes(life=0, generation=2, sequence=2, on_the_way=2, restores=1)
_INCREMENT_OVERTAKEN = Sizes(increment=True, life=1, generation=1, sequence=2, on_the_way=2, restores=1)
_REPLACED_AND_RESTORED = Sizes(life=0, generation=2, sequence=2, on_the_way=1, restores=1)
_INCREMENT_RESTORED = Sizes(increment=True, life=1, generation=1, sequence=2, on_the_way=1, restores=1)

MUTANTS = (
    Mutant(
        "a report tells what is not yet in flash",
        "ELSE <<counts.generation, (counts.life - counts.at) \\div Unit>>",
        "ELSE <<counts.generation, (life - counts.at) \\div Unit>>",
        _CUT,
    ),
    Mutant(
        "a report tells of a new part whose replacement can still be undone",
        "IF Pending THEN <<counts.generation - 1, (counts.at - counts.previous) \\div Unit>>",
        "IF FALSE THEN <<0, 0>>",
        _SMALL,
    ),
    Mutant(
        "a message is forgotten when the broker has it",
        "    /\\ UNCHANGED <<device, down, relay, alexa, final, luck>>\n\n\\* Each part's",
        "    /\\ rare' = [rare EXCEPT !.queue = Tail(@)]\n"
        "    /\\ UNCHANGED <<life, counts, link, down, relay, alexa, final, luck>>\n\n\\* Each part's",
        _SMALL,
    ),
    Mutant(
        "the queue is in RAM",
        "    /\\ link' = \"down\" /\\ down' = {}\n    /\\ UNCHANGED <<counts, rare, up, relay, alexa, final>>",
        "    /\\ link' = \"down\" /\\ down' = {} /\\ rare' = [rare EXCEPT !.queue = <<>>]\n"
        "    /\\ UNCHANGED <<counts, up, relay, alexa, final>>",
        _CUT,
    ),
    Mutant(
        "a merged report stands for itself alone",
        "<<[new EXCEPT !.from = old.from]>>",
        "<<new>>",
        _SMALL,
    ),
    Mutant(
        "a message is acknowledged before it is stored",
        "db' = IF m.sequence \\in db.held THEN db ELSE Accepted(m)",
        "db' \\in {db, IF m.sequence \\in db.held THEN db ELSE Accepted(m)}",
        _SMALL,
    ),
    Mutant(
        "an event that got no answer is not posted again",
        "    /\\ UNCHANGED <<device, up, down, db, backup, final>>",
        "    /\\ db' = [db EXCEPT !.events = IF IsIncrement(flying[1].event) THEN @ ELSE Tail(@)]\n"
        "    /\\ UNCHANGED <<device, up, down, backup, final>>",
        _KILLED,
    ),
    Mutant(
        "an increment is marked as told after the answer only",
        "db' = [db EXCEPT !.mark = IF Newer(event.position, @) THEN event.position ELSE @,\n"
        "                              !.events = IF IsIncrement(event) THEN Tail(@) ELSE @]",
        "db' = db",
        _INCREMENT_KILLED,
    ),
    Mutant(
        "a device does not offer again what a restored relay has lost",
        "IF have >= lowest - 1 THEN record",
        "IF TRUE THEN record",
        _FORGOTTEN,
    ),
    Mutant(
        "a restored relay goes on from its own watermark",
        "!.incarnation = luck'.restore, !.witnessed = FALSE]",
        "!.incarnation = luck'.restore]",
        _INCREMENT_RESTORED,
    ),
    Mutant(
        "the witness is only what was acknowledged to the device",
        "!.witness = [position |-> message.position, sequence |-> message.sequence]]",
        "!.witness = IF record.queue = <<>> THEN @ ELSE\n"
        "        [position |-> record.queue[1].position, sequence |-> record.queue[1].sequence]]",
        _INCREMENT_RESTORED,
    ),
    Mutant(
        "a restored relay believes a status from before",
        "IF db.witnessed \\/ m.incarnation # db.incarnation THEN db",
        "IF db.witnessed THEN db",
        _INCREMENT_OVERTAKEN,
    ),
    Mutant(
        "a restored relay is silent about a replacement it may not have told",
        "replaced == IF position[1] > db.sure THEN <<Replaced(position[1])>> ELSE <<>>",
        "replaced == <<>>",
        _REPLACED_AND_RESTORED,
    ),
    Mutant(
        "a restored relay forgets what it stored before it heard the witness",
        "!.waiting = {m \\in @ : m.sequence > witness.sequence}",
        "!.waiting = {}",
        _OVERTAKEN,
    ),
)  # fmt: skip
