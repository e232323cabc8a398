"""The unit's product and config come from the first good copy: a file, another, or the backup that outlives both."""

import os
from binascii import crc32

from helpers import raises

from wearmeter.device.testing import config, install, product
from wearmeter.device.unit import Config, Product
from wearmeter.device.unit_files import SCHEMA, NoProduct, check, load
from wearmeter.exchange import cbor
from wearmeter.flash.testing import Backup


def fresh(name, fields):
    """A unit whose files and backup hold `fields`; returns (its root, its backup)."""
    install("product", fields, name)
    backup = Backup()
    check("product", backup, name)
    return name, backup


def spoil(root, *folders):
    for folder in folders:
        with open(root + "/unit/%s/product" % folder, "wb") as file:
            file.write(b"nonsense")


def test_each_copy_alone_will_do():
    fields = product()
    crc = crc32(cbor.encode(fields)) & 0xFFFFFFFF
    for spoilt in ((), ("a",), ("b",), ("a", "b")):
        root, backup = fresh("each" + "".join(spoilt), fields)
        spoil(root, *spoilt)
        assert load("product", backup, root) == (fields, crc), spoilt


def test_a_file_that_is_not_there_is_passed_over():
    root, backup = fresh("absent", product())
    os.remove(root + "/unit/a/product")
    assert load("product", backup, root)[0] == product()


def test_a_backup_larger_than_a_kilobyte_is_read_whole():
    fields = product(parts=12, inputs=8)
    fields[1] = b"x" * 3000
    root, backup = fresh("large", fields)
    spoil(root, "a", "b")
    assert load("product", backup, root)[0] == fields


def test_without_a_good_copy_it_says_what_is_missing():
    root, _ = fresh("none", product())
    spoil(root, "a", "b")
    assert raises(NoProduct, load, "product", Backup(), root).startswith("product: no good copy")


def test_a_file_packed_for_another_firmware_is_no_product():
    for fields in ([SCHEMA + 1, b""], [], 7, None):
        root, backup = fresh("schema", fields)
        assert "another firmware" in raises(NoProduct, load, "product", backup, root), fields


def test_a_damaged_or_missing_copy_is_found_and_the_backup_brought_up_to_date():
    root, backup = fresh("check", product())
    assert not check("product", backup, root) and backup.saves == 1
    install("product", product(parts=1), root)
    assert not check("product", backup, root) and backup.saves == 2
    spoil(root, "a", "b")
    assert load("product", backup, root)[0] == product(parts=1)
    for spoilt in ("a", "b"):
        root, backup = fresh("check" + spoilt, product())
        spoil(root, spoilt)
        assert check("product", backup, root)
        root, backup = fresh("gone" + spoilt, product())
        os.remove(root + "/unit/%s/product" % spoilt)
        assert check("product", backup, root)


def test_the_fields_of_both_files_have_the_places_that_the_host_gives_them():
    made = Product(product(parts=1, max_on_ms=5, powered_with_motor=True))
    assert (made.max_on_ms, made.powered_with_motor, made.led_signal, made.led_active) == (5, True, "status_led", 1)
    assert made.parts == [[1, 0, 100, "button_1", 0]] and made.inputs[0][:2] == ["level", "motor_1"]
    made = Config(config(host="broker", transport="tls", ntp_host="pool"))
    assert (made.serial, made.device, made.topic_root, made.ssid) == ("SN-1", None, "wearmeter", "Home")
    assert (made.host, made.port, made.transport, made.ntp_host) == ("broker", 1883, "tls", "pool")
