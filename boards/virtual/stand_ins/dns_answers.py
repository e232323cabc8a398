"""The DNS server of the house: answers a query for an A record."""

_TIME_SERVER = "203.0.113.123"


def answer(query, hosts):
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
