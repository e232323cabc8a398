"""Which answers are due on an MQTT connection: what pacing goes by.

The world's time may rush only while nobody owes the device an answer. So this looks at the packets that pass:
CONNECT, SUBSCRIBE, PINGREQ and PUBLISH with QoS 1 are answered by the broker, and what goes to .../up and .../status
is answered by the relay with a message. What is sent in another protocol counts as answered by the next bytes. In TLS
any record may ask for several answers, but for those as long as a PUBACK; so the world waits a little after each.
"""

_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 1, 2, 3, 4
_SUBSCRIBE, _SUBACK, _PINGREQ, _PINGRESP = 8, 9, 12, 13
_ANSWER = {_CONNECT: _CONNACK, _SUBSCRIBE: _SUBACK, _PINGREQ: _PINGRESP}
_HEAD_BYTES = 160  # of a packet's body: enough for its topic
_TLS_HANDSHAKE = 22
_TLS_PUBACK_BYTES = (25, 26, 33)  # 4 bytes in a record of ChaCha20 or AES-GCM, TLS 1.2 or 1.3


class Packets:
    """Cuts a byte stream into packets: feed() returns [(first byte, head of the body)] of those it completed."""

    def __init__(self):
        self.first = None
        self.length = None
        self.shift = 0
        self.partial = 0
        self.head = b""

    def feed(self, data):
        packets = []
        at = 0
        end = len(data)
        while at < end:
            if self.first is None:
                self.first = data[at]
                self.partial = self.shift = 0
                self.length = None
                self.head = b""
                at += 1
            elif self.length is None:
                byte = data[at]
                at += 1
                self.partial |= (byte & 127) << self.shift
                self.shift += 7
                if byte < 128 or self.shift > 21:
                    self.length = self.partial
            else:
                count = min(self.length, end - at)
                if len(self.head) < _HEAD_BYTES:
                    self.head += bytes(data[at : at + min(count, _HEAD_BYTES)])
                self.length -= count
                at += count
            if self.length == 0:
                packets.append((self.first, self.head))
                self.first = None
                self.length = None
        return packets


class Answers:
    def __init__(self):
        self.is_mqtt = None
        self.is_tls = False
        self.out = Packets()
        self.back = Packets()
        self.owed = {}
        self.opaque = False

    def due(self):
        return self.opaque or bool(self.owed)

    def forget(self):
        self.owed.clear()
        self.opaque = False

    def _owe(self, kind, by=1):
        count = self.owed.get(kind, 0) + by
        if count > 0:
            self.owed[kind] = count
        else:
            self.owed.pop(kind, None)

    def sent(self, data):
        if self.is_mqtt is None:
            self.is_mqtt = data[0] == _CONNECT << 4
            self.is_tls = data[0] == _TLS_HANDSHAKE
        if not self.is_mqtt:
            if not self.is_tls or len(data) not in _TLS_PUBACK_BYTES:
                self.opaque = True
            return
        for first, head in self.out.feed(data):
            kind = first >> 4
            if kind in _ANSWER:
                self._owe(_ANSWER[kind])
            elif kind == _PUBLISH and first & 6:
                self._owe(_PUBACK)
                topic = head[2 : 2 + (head[0] << 8 | head[1])]
                if topic.endswith(b"/up") or topic.endswith(b"/status"):
                    self._owe(_PUBLISH)

    def received(self, data):
        if not self.is_mqtt:
            self.opaque = self.is_tls
            return
        for first, _ in self.back.feed(data):
            self._owe(first >> 4, -1)
