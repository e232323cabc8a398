"""The servers that answer datagrams: the house's name server, and time servers. Without internet, nobody does."""

import struct

_DNS_PORT, _NTP_PORT = 53, 123
_FROM_1900_TO_1970_S = 2_208_988_800
_TIME_SERVER = "203.0.113.123"


def answer(world, query, port):
    """What comes back for a datagram to that port, or None."""
    if world.wifi != "up":
        return None
    if port == _DNS_PORT:
        return name_answer(query, world.session.get("hosts", {}))
    if port == _NTP_PORT and world.ntp and len(query) >= 48:
        return time_answer(query, world.utc_ms() + world.ntp_error_ms)
    return None


def time_answer(query, utc_ms):
    """SNTP (RFC 4330): the query's transmit time comes back as the originate time."""
    seconds, thousandths = divmod(utc_ms, 1000)
    now = struct.pack(">II", seconds + _FROM_1900_TO_1970_S & 0xFFFFFFFF, (thousandths << 32) // 1000)
    return struct.pack(">BBbb", 0x24, 2, 6, -20) + bytes(8) + b"GPS\0" + now + query[40:48] + now + now


def name_answer(query, hosts):
    """The answer to the query's one question, by the table `hosts`, name -> IPv4 address; time servers always have one.

    A name ending in .alias is answered by a CNAME and the address of the name before it, as big brokers' are.
    """
    name = []
    at = 12
    while query[at]:
        name.append(query[at + 1 : at + 1 + query[at]].decode())
        at += query[at] + 1
    name = ".".join(name)
    address = hosts.get(name) or (_TIME_SERVER if "ntp" in name or "time" in name else None)
    if name == "localhost":
        address = "127.0.0.1"
    question = query[12 : at + 5]
    if address is None:
        return query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question
    canonical = b"\5other\xc0\x0c"
    records = b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0" + bytes([len(canonical)]) + canonical
    records += b"\xc0" + bytes([12 + len(question) + 12]) + b"\0\1\0\1\0\0\0\x3c\0\4"
    records += bytes(int(part) for part in address.split("."))
    return query[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + question + records
