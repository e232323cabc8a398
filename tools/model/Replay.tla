-------------------------------- MODULE Replay --------------------------------
(* Is what was recorded a behaviour of Wearmeter.tla? `Traces` is a sequence of traces, each a sequence of the steps *)
(* that README.md lists; it is written by trace.py into Recorded.tla. `reached` is printed for each step taken.      *)
EXTENDS Wearmeter, Recorded, TLC

VARIABLES trace, at

ReplayInit == Init /\ trace \in 1..Len(Traces) /\ at = 1

\* The message that was put into the queue is the one recorded.
Queues(step) ==
    LET m == rare'.queue[Len(rare'.queue)] IN
    /\ m.sequence = step.sequence
    /\ m.kind # "other" => m.position[1] = step.generation
    /\ m.kind = "report" => m.position[2] = step.used_s
    /\ m.kind = "replaced" => m.used = step.used_s

Events(d) == [n \in 1..Len(d.events) |-> <<d.events[n].kind, d.events[n].position[1], d.events[n].position[2]>>]

Takes(step) ==
    CASE step.step = "run" -> Run(step.ms)
      [] step.step = "save" -> Save /\ counts'.life = step.life_ms
      [] step.step = "cut" -> Cut
      [] step.step = "replace" -> Replace
      [] step.step = "undo" -> Undo
      [] step.step = "report" -> Report /\ Queues(step)
      [] step.step = "release" -> Release /\ Queues(step)
      [] step.step = "speak" -> Speak /\ Queues(step)
      [] step.step = "merge" ->
            Merge /\ \A n \in 1..Len(rare'.queue) : rare'.queue[n].sequence # step.sequence
      [] step.step = "hello" -> Hello
      [] step.step = "send" -> Send /\ Head(rare.queue).sequence = step.sequence
      [] step.step = "store" ->
            /\ \E m \in up : m.kind # "status" /\ m.sequence = step.sequence /\ Store(m)
            /\ Events(db') = Events(db) \o step.events
      [] step.step = "welcome" -> \E m \in up : Welcome(m) /\ Contiguous(db) = step.have
      [] step.step = "hear_ack" -> \E m \in down : HearAck(m) /\ m.sequence = step.sequence
      [] step.step = "hear_welcome" -> \E m \in down : HearWelcome(m) /\ m.have = step.have

ReplayNext ==
    /\ at <= Len(Traces[trace])
    /\ Takes(Traces[trace][at])
    /\ PrintT(<<"reached", trace, at>>)
    /\ at' = at + 1
    /\ UNCHANGED trace

ReplaySpec == ReplayInit /\ [][ReplayNext]_<<vars, trace, at>>
================================================================================
