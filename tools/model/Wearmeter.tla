------------------------------- MODULE Wearmeter -------------------------------
(* How one part's use gets from a motor to Alexa: device, broker, relay, event gateway.                              *)
(*                                                                                                                   *)
(*   generation   counts the parts fitted: 1 is the first, 2 the one after the first replacement                     *)
(*   position     <<generation, used>>: what a message says of the part, ordered as they happen                      *)
(*   sequence     numbers the device's messages; `from` is lower where a report stands for reports merged into it    *)
(*   witness      the position and sequence of the newest message the device has queued: nothing beyond it can ever  *)
(*                have been told                                                                                     *)
(*   incarnation  drawn anew by a relay whose database came back from a backup                                       *)
(*                                                                                                                   *)
(* Left out: several parts (their messages only take sequence numbers: Speak), clocks, epochs, damaged flash.        *)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
    Increment,       \* TRUE: an event tells what was added since the last. FALSE: the use since the part was fitted.
    Amounts,         \* what a motor may run for, in one step
    Unit,            \* the device counts in 1/Unit of what it reports, and rounds down
    MaxLife, MaxGeneration, MaxSequence,
    MaxOnTheWay,     \* messages from the device that broker and network hold at a time
    MaxSpeeches, MaxCuts, MaxKills, MaxRestores, MaxGaps    \* how often each of these may happen

VARIABLES
    life,            \* the count in RAM
    counts,          \* in flash, one record: life, generation, `at` (life when the part was fitted), `previous` at
    rare,            \* in flash, another record: queue, next sequence, released generation, history, witness, incarnation
    link,            \* of the device: "down", "connected", "welcomed"
    up, down,        \* what broker and network hold, to hand on in any order and any number of times
    db, backup,      \* of the relay
    flying,          \* the event that is being posted, as a sequence of at most one
    alexa,           \* the tally of the part that Alexa believes fitted, and whether nothing of it was given up
    final,           \* what each part had been used when it was taken out (nobody reads it but the invariants)
    luck             \* how often each of what is bounded has happened

device == <<life, counts, rare, link>>
relay == <<db, backup, flying>>
vars == <<device, up, down, relay, alexa, final, luck>>

Max(a, b) == IF a > b THEN a ELSE b
Newer(p, q) == p[1] > q[1] \/ (p[1] = q[1] /\ p[2] > q[2])
Without(queue, gone(_)) == SelectSeq(queue, LAMBDA m : ~gone(m))
Happens(what, most) == luck[what] < most /\ luck' = [luck EXCEPT ![what] = @ + 1]

Init ==
    /\ life = 0
    /\ counts = [life |-> 0, generation |-> 1, at |-> 0, previous |-> 0]
    /\ rare = [queue |-> <<>>, next |-> 1, released |-> 1, history |-> <<>>,
               witness |-> [position |-> <<1, 0>>, sequence |-> 0], incarnation |-> 0]
    /\ link = "down"
    /\ up = {} /\ down = {}
    /\ db = [held |-> {}, waiting |-> {}, sequence |-> 0, generation |-> 1, used |-> -1, events |-> <<>>,
             mark |-> <<1, 0>>, sure |-> 1, incarnation |-> 0, witnessed |-> TRUE]
    /\ backup = db
    /\ flying = <<>>
    /\ alexa = [generation |-> 1, tally |-> 0, exact |-> TRUE]
    /\ final = [generation \in 1..MaxGeneration |-> 0]
    /\ luck = [speech |-> 0, cut |-> 0, kill |-> 0, restore |-> 0, gap |-> 0]

--------------------------------------------------------------------------------
\* the device: counts

Pending == counts.generation > rare.released    \* a replacement that can still be undone

Run(amount) ==
    /\ life + amount <= MaxLife
    /\ life' = life + amount
    /\ UNCHANGED <<counts, rare, link, up, down, relay, alexa, final, luck>>

Save ==
    /\ life # counts.life
    /\ counts' = [counts EXCEPT !.life = life]
    /\ UNCHANGED <<life, rare, link, up, down, relay, alexa, final, luck>>

Cut ==    \* the power, at any moment between two writes
    /\ Happens("cut", MaxCuts)
    /\ life' = counts.life
    /\ link' = "down" /\ down' = {}
    /\ UNCHANGED <<counts, rare, up, relay, alexa, final>>

Replace ==
    /\ ~Pending /\ counts.generation < MaxGeneration
    /\ counts' = [life |-> life, generation |-> counts.generation + 1, at |-> life, previous |-> counts.at]
    /\ final' = [final EXCEPT ![counts.generation] = life - counts.at]
    /\ UNCHANGED <<life, rare, link, up, down, relay, alexa, luck>>

Undo ==
    /\ Pending
    /\ counts' = [life |-> life, generation |-> counts.generation - 1, at |-> counts.previous, previous |-> 0]
    /\ UNCHANGED <<life, rare, link, up, down, relay, alexa, final, luck>>

--------------------------------------------------------------------------------
\* the device: its queue

\* Only what is in flash is told, and of a part that can still come back what it had been used when it was taken out.
Position ==
    IF Pending THEN <<counts.generation - 1, (counts.at - counts.previous) \div Unit>>
               ELSE <<counts.generation, (counts.life - counts.at) \div Unit>>

Message(kind, position, used, from) ==
    [kind |-> kind, sequence |-> rare.next, from |-> from, position |-> position, used |-> used]

Queued(record, message) ==
    [record EXCEPT !.queue = Append(@, message), !.next = message.sequence + 1,
                   !.witness = [position |-> message.position, sequence |-> message.sequence]]

Report ==
    /\ rare.next <= MaxSequence
    /\ rare' = Queued(rare, Message("report", Position, 0, rare.next))
    /\ UNCHANGED <<life, counts, link, up, down, relay, alexa, final, luck>>

Release ==    \* it can no longer be undone
    /\ Pending /\ rare.next <= MaxSequence
    /\ LET used == (counts.at - counts.previous) \div Unit
           message == Message("replaced", <<counts.generation, 0>>, used, rare.next)
       IN rare' = [Queued(rare, message) EXCEPT !.released = counts.generation]
    /\ UNCHANGED <<life, counts, link, up, down, relay, alexa, final, luck>>

Speak ==    \* of a fault, of another part: nothing that this part's events depend on
    /\ rare.next <= MaxSequence
    /\ Happens("speech", MaxSpeeches)
    /\ rare' = Queued(rare, Message("other", rare.witness.position, 0, rare.next))
    /\ UNCHANGED <<life, counts, link, up, down, relay, alexa, final>>

Merge ==    \* the queue is full: of two neighbouring reports the newer stands for both
    \E at \in 1..Len(rare.queue) - 1 :
        LET old == rare.queue[at] new == rare.queue[at + 1] IN
        /\ old.kind = "report" /\ new.kind = "report" /\ new.from = old.sequence + 1
        /\ rare' = [rare EXCEPT !.queue = SubSeq(@, 1, at - 1) \o <<[new EXCEPT !.from = old.from]>>
                                          \o SubSeq(@, at + 2, Len(@))]
        /\ UNCHANGED <<life, counts, link, up, down, relay, alexa, final, luck>>

--------------------------------------------------------------------------------
\* the device: what it says and hears

Status == [kind |-> "status", witness |-> rare.witness, incarnation |-> rare.incarnation]

Hello ==
    /\ link' = "connected"
    \* A new connection has a new nonce: answers to older ones are not believed, so they are dropped here. On the same
    \* connection the status is only said again.
    /\ down' = {} \/ (link # "down" /\ down' = down)
    /\ up' = {m \in up : m.kind # "status"} \union {Status}
    /\ UNCHANGED <<life, counts, rare, relay, alexa, final, luck>>

Send ==    \* one at a time; also where no welcome came
    /\ link # "down" /\ rare.queue # <<>>
    /\ up' = up \union {Head(rare.queue)}
    /\ Cardinality(up') <= MaxOnTheWay
    /\ UNCHANGED <<device, down, relay, alexa, final, luck>>

\* Each part's newest replacement is kept for a relay that has lost it.
Stored(record, gone(_)) ==
    LET replaced == SelectSeq(record.queue, LAMBDA m : gone(m) /\ m.kind = "replaced")
    IN [record EXCEPT !.queue = Without(@, gone),
                      !.history = IF replaced = <<>> THEN @ ELSE <<replaced[Len(replaced)]>>]

HearAck(answer) ==
    /\ link # "down" /\ answer.kind = "ack"
    /\ \E at \in 1..Len(rare.queue) : rare.queue[at].sequence = answer.sequence
    /\ rare' = Stored(rare, LAMBDA m : m.sequence = answer.sequence)
    /\ UNCHANGED <<life, counts, link, up, down, relay, alexa, final, luck>>

\* The relay knows less than it once acknowledged: offer the replacement again, and one report for all the rest.
Offered(record, have) ==
    LET lowest == IF record.queue = <<>> THEN record.next ELSE Head(record.queue).from
        lost == SelectSeq(record.history, LAMBDA m : m.sequence > have /\ m.sequence < lowest)
        again == [record EXCEPT !.queue = lost \o @]
    IN IF have >= lowest - 1 THEN record
       ELSE Queued(again, [Message("report", Position, 0, have + 1) EXCEPT !.sequence = record.next])

HearWelcome(answer) ==
    /\ link # "down" /\ answer.kind = "welcome"
    /\ LET stored == Stored(rare, LAMBDA m : m.sequence <= answer.have) IN
       rare' = [Offered(stored, answer.have) EXCEPT !.incarnation = answer.incarnation]
    /\ rare'.next <= MaxSequence + 1
    \* A relay with another incarnation wants to hear the witness in a status that can only have been made for it.
    /\ link' = IF answer.incarnation = rare.incarnation THEN "welcomed" ELSE "down"
    /\ UNCHANGED <<life, counts, up, down, relay, alexa, final, luck>>

--------------------------------------------------------------------------------
\* broker and network

Lose ==
    \/ /\ \E m \in up : up' = up \ {m}
       /\ UNCHANGED <<device, down, relay, alexa, final, luck>>
    \/ /\ \E m \in down : down' = down \ {m}
       /\ UNCHANGED <<device, up, relay, alexa, final, luck>>

Wipe ==    \* a broker that comes back empty; the connections end
    /\ up # {} \/ down # {}
    /\ up' = {} /\ down' = {} /\ link' = "down"
    /\ UNCHANGED <<life, counts, rare, relay, alexa, final, luck>>

--------------------------------------------------------------------------------
\* the relay: intake

Contiguous(d) == CHOOSE n \in 0..Cardinality(d.held) : 1..n \subseteq d.held /\ n + 1 \notin d.held

Missing(d, before) == Cardinality((d.sequence + 1..before - 1) \ d.held)

Used(generation, used) == [kind |-> "used", position |-> <<generation, used>>]
Replaced(generation) == [kind |-> "replaced", position |-> <<generation, 0>>]

\* Facts become events in the order of their sequences. One that speaks of a newer part than is known waits for the
\* missing replacements while the sequences say that they may still come; then they are inferred.
RECURSIVE Tell(_)
Tell(d) ==
    IF d.waiting = {} \/ ~d.witnessed THEN d ELSE
    LET fact == CHOOSE m \in d.waiting : \A other \in d.waiting : m.sequence <= other.sequence
        is_replaced == fact.kind = "replaced"
        generation == fact.position[1]
        unknown == generation - d.generation - (IF is_replaced THEN 1 ELSE 0)
        inferred == [n \in 1..Max(unknown, 0) |-> Replaced(d.generation + n)]
        last == IF unknown > 0 THEN 0 ELSE d.used
        taken_out == IF is_replaced /\ fact.used > last THEN <<Used(generation - 1, fact.used)>> ELSE <<>>
        told == IF is_replaced THEN inferred \o taken_out \o <<Replaced(generation)>>
                ELSE inferred \o <<Used(generation, fact.position[2])>>
        next == [d EXCEPT !.waiting = @ \ {fact}, !.sequence = fact.sequence]
    IN IF unknown > 0 /\ Missing(d, fact.sequence) >= unknown THEN d
       ELSE IF unknown < 0 THEN Tell(next)
       ELSE Tell([next EXCEPT !.events = @ \o told, !.generation = generation, !.used = fact.position[2]])

Accepted(m) ==
    LET held == [db EXCEPT !.held = @ \union (m.from..m.sequence)]
        late == m.sequence < db.sequence \/ m.kind = "other"
    IN IF late THEN held ELSE Tell([held EXCEPT !.waiting = @ \union {m}])

Answer(answer) == down' = IF link = "down" THEN down ELSE down \union {answer}

Store(m) ==    \* the message stays where it was: it may come again. What is stored and its acknowledgment lost is Lose.
    /\ m.kind # "status"
    /\ db' = IF m.sequence \in db.held THEN db ELSE Accepted(m)
    /\ Answer([kind |-> "ack", sequence |-> m.sequence])
    /\ UNCHANGED <<device, up, backup, flying, alexa, final, luck>>

\* A relay back from a backup begins anew at the witness. A replacement it is not sure to have told is told (again:
\* that only makes the part younger); of use, what the witness says, and of increments none.
Witnessed(witness) ==
    LET position == witness.position
        replaced == IF position[1] > db.sure THEN <<Replaced(position[1])>> ELSE <<>>
    IN Tell([db EXCEPT !.witnessed = TRUE, !.sequence = witness.sequence,
                  !.waiting = {m \in @ : m.sequence > witness.sequence},
                  !.generation = position[1], !.used = position[2],
                  !.mark = IF Newer(position, @) THEN position ELSE @,
                  !.events = replaced \o (IF Increment THEN <<>> ELSE <<Used(position[1], position[2])>>)])

Welcome(m) ==
    /\ m.kind = "status"
    /\ db' = IF db.witnessed \/ m.incarnation # db.incarnation THEN db ELSE Witnessed(m.witness)
    /\ Answer([kind |-> "welcome", have |-> Contiguous(db), incarnation |-> db.incarnation])
    /\ UNCHANGED <<device, up, backup, flying, alexa, final, luck>>

GiveUpGap ==    \* after an hour
    /\ db.waiting # {}
    /\ Happens("gap", MaxGaps)
    /\ db' = Tell([db EXCEPT !.held = 1..(CHOOSE n \in @ : \A other \in @ : n >= other)])
    /\ UNCHANGED <<device, up, down, backup, flying, alexa, final>>

--------------------------------------------------------------------------------
\* the relay: delivery

IsIncrement(event) == Increment /\ event.kind = "used"

Overtaken(event) == IsIncrement(event) /\ ~Newer(event.position, db.mark)

Skip ==
    /\ db.events # <<>> /\ flying = <<>> /\ Overtaken(Head(db.events))
    /\ db' = [db EXCEPT !.events = Tail(@)]
    /\ UNCHANGED <<device, up, down, backup, flying, alexa, final, luck>>

\* An increment leaves the queue, and is marked as told, before it is posted: its fate unknown, it is not told again.
Post ==
    /\ db.events # <<>> /\ flying = <<>> /\ db.witnessed
    /\ LET event == Head(db.events)
           before == IF db.mark[1] = event.position[1] THEN db.mark[2] ELSE 0
           amount == IF IsIncrement(event) THEN event.position[2] - before ELSE event.position[2]
       IN /\ ~Overtaken(event)
          /\ flying' = <<[event |-> event, amount |-> amount, landed |-> FALSE]>>
          /\ db' = [db EXCEPT !.mark = IF Newer(event.position, @) THEN event.position ELSE @,
                              !.events = IF IsIncrement(event) THEN Tail(@) ELSE @]
    /\ UNCHANGED <<device, up, down, backup, alexa, final, luck>>

Land ==    \* Amazon has it, and may say so
    /\ flying # <<>> /\ ~flying[1].landed
    /\ LET event == flying[1].event amount == flying[1].amount IN
       alexa' = IF event.kind = "replaced" THEN
                    [generation |-> event.position[1], tally |-> 0,
                     exact |-> alexa.exact \/ event.position[1] > alexa.generation]
                ELSE [alexa EXCEPT !.tally = IF Increment THEN @ + amount ELSE amount]
    /\ flying' = <<[flying[1] EXCEPT !.landed = TRUE]>>
    /\ UNCHANGED <<device, up, down, db, backup, final, luck>>

Commit202 ==
    /\ flying # <<>> /\ flying[1].landed
    /\ LET event == flying[1].event IN
       db' = [db EXCEPT !.events = IF IsIncrement(event) THEN @ ELSE Tail(@),
                        !.sure = IF event.kind = "replaced" THEN Max(@, event.position[1]) ELSE @]
    /\ flying' = <<>>
    /\ UNCHANGED <<device, up, down, backup, alexa, final, luck>>

Kill ==    \* of the relay, or an answer that never came: the lease ends after the post's own deadline
    /\ flying # <<>>
    /\ Happens("kill", MaxKills)
    /\ flying' = <<>>
    /\ alexa' = IF IsIncrement(flying[1].event) /\ ~flying[1].landed THEN [alexa EXCEPT !.exact = FALSE] ELSE alexa
    /\ UNCHANGED <<device, up, down, db, backup, final>>

--------------------------------------------------------------------------------
\* the relay: backups

BackUp ==
    /\ luck.restore < MaxRestores
    /\ backup' = db
    /\ UNCHANGED <<device, up, down, db, flying, alexa, final, luck>>

Restore ==    \* of a relay that was stopped, whoever restores it says so: it begins a new incarnation
    /\ flying = <<>>
    /\ Happens("restore", MaxRestores)
    /\ db' = [backup EXCEPT !.incarnation = luck'.restore, !.witnessed = FALSE]
    /\ alexa' = IF Increment THEN [alexa EXCEPT !.exact = FALSE] ELSE alexa
    /\ UNCHANGED <<device, up, down, backup, flying, final>>

--------------------------------------------------------------------------------

Next ==
    \/ \E amount \in Amounts : Run(amount)
    \/ Save \/ Cut \/ Replace \/ Undo
    \/ Report \/ Release \/ Speak \/ Merge
    \/ Hello \/ Send
    \/ \E answer \in down : HearAck(answer)
    \/ \E answer \in down : HearWelcome(answer)
    \/ Lose \/ Wipe
    \/ \E m \in up : Store(m)
    \/ \E m \in up : Welcome(m)
    \/ GiveUpGap \/ Skip \/ Post \/ Land \/ Commit202 \/ Kill
    \/ BackUp \/ Restore

Spec == Init /\ [][Next]_vars

--------------------------------------------------------------------------------
\* what holds

\* True use of a part, as far as it is in flash: what a cut takes away was never told.
True(generation) ==
    (IF generation < counts.generation THEN final[generation] ELSE counts.life - counts.at) \div Unit

NeverMoreThanTheTruth == alexa.tally <= True(alexa.generation)

NoReplacementInvented == alexa.generation <= rare.released /\ db.generation <= rare.released

\* Nothing is on its way, and the relay has heard the device since it last came back.
Quiet ==
    /\ rare.queue = <<>> /\ link = "welcomed" /\ rare.incarnation = db.incarnation
    /\ db.witnessed /\ db.waiting = {} /\ db.events = <<>> /\ flying = <<>>

NothingLost ==
    Quiet => /\ 1..rare.next - 1 \subseteq db.held
             /\ alexa.generation = rare.released
             /\ (~Increment \/ alexa.exact) => alexa.tally = rare.witness.position[2]

\* What the device must say again is still in its queue, or the relay has it, or will be told of it at the welcome.
KeptUntilStored ==
    \A n \in 1..rare.next - 1 :
        \/ n \in db.held
        \/ \E at \in 1..Len(rare.queue) : n \in rare.queue[at].from..rare.queue[at].sequence
        \/ luck.restore > 0
================================================================================
