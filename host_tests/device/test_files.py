"""A bad file is named in one line: file, field, value, what is allowed; and the last good one goes on."""

import json
import os

from fakes import raises

from wearmeter import checked, config, last_good, product

SIGNALS = ("suction_motor", "brush_motor", "motor_current", "filter_button", "brush_button", "status_led")
HERE = __file__.replace("\\", "/").rsplit("/", 1)[0] if "/" in __file__ else "."
PRODUCT = HERE + "/../../firmware/products/vacuum.json"


def good_config():
    return {
        "schema": 1,
        "wifi": {"ssid": "home", "password": "long enough"},
        "broker": {"host": "mqtt.example", "transport": "tls", "user": "unit", "password": "secret-of-the-unit"},
        "serial": "SN-1",
        "ntp_host": None,
    }


def good_product():
    with open(PRODUCT) as file:
        return json.load(file)


def make_product(data, where):
    return product.Product(data, where, SIGNALS)


def refused(make, data, *words):
    line = raises(checked.FileError, make, data, "/x.json")
    assert "\n" not in line
    for word in ("/x.json",) + words:
        assert word in line, line
    return line


def test_the_products_that_ship_are_good():
    for name in ("vacuum.json", "vacuum_current.json"):
        made = product.Product(checked.load(PRODUCT.replace("vacuum.json", name)), name, SIGNALS)
        assert [part.instance for part in made.consumables] == ["Sensor.DustFilter", "Sensor.Brush"]


def test_a_config_takes_its_defaults():
    made = config.Config(good_config(), "/config.json")
    assert (made.port, made.transport, made.topic_root, made.device) == (8883, "tls", "wearmeter", None)


def test_plain_transport_needs_to_be_asked_for_in_so_many_words():
    data = good_config()
    del data["broker"]["transport"]
    assert config.Config(data, "/x.json").transport == "tls"
    data["broker"]["transport"] = "plain"
    assert config.Config(data, "/x.json").port == 1883
    data["broker"]["transport"] = "none"
    refused(config.Config, data, "broker", "transport", '"none"', '"tls" or "plain"')


def test_mistakes_in_a_config_are_named():
    for way, key, value, allowed in (
        ((), "schema", 2, "1"),
        (("wifi",), "ssid", "", "1 to 32 bytes"),
        (("wifi",), "ssid", 5, "1 to 32 bytes"),
        (("broker",), "port", 0, "1 to 65535"),
        (("broker",), "port", True, "1 to 65535"),
        (("broker",), "user", None, "user and password"),
        ((), "topic_root", "a/#", "without + and #"),
        ((), "device", "no spaces", "letters, digits"),
        ((), "extra", 1, "unknown"),
    ):
        data = good_config()
        place = data
        for step in way:
            place = place[step]
        place[key] = value
        refused(config.Config, data, key, allowed)


def test_a_secret_is_never_shown_in_an_error():
    data = good_config()
    data["wifi"]["password"] = "short"
    assert "short" not in refused(config.Config, data, "password", "(secret)")


def test_mistakes_in_a_product_are_named():
    def nine(data):
        data["consumables"] = data["consumables"] * 5

    def twice(data):
        data["consumables"][1]["instance"] = "Sensor.DustFilter"

    def no_input(data):
        data["consumables"][0]["input"] = "turbine"

    def reversed_threshold(data):
        data["inputs"][0] = {
            "name": "suction",
            "driver": "current",
            "signal": "motor_current",
            "on_raw": 5,
            "off_raw": 5,
        }

    def unknown_signal(data):
        data["inputs"][0]["signal"] = "turbine"

    def one_pin_for_two(data):
        data["led"]["signal"] = "filter_button"

    def nameless(data):
        data["consumables"][0]["names"] = {}

    for change, words in (
        (nine, ("consumables", "1 to 8")),
        (twice, ("consumables", "only once")),
        (no_input, ("consumables[0]", "input", '"turbine"', '"suction"')),
        (reversed_threshold, ("inputs[0]", "off_raw", "0 to 4")),
        (unknown_signal, ("inputs[0]", "signal", '"turbine"', '"suction_motor"')),
        (one_pin_for_two, ("led", "only once")),
        (nameless, ("names", "an object with fields")),
    ):
        data = good_product()
        change(data)
        refused(make_product, data, *words)


class Home:
    """A second home in RAM."""

    data = None

    def load(self):
        return self.data

    def save(self, data):
        self.data = data
        return True


def test_a_bad_file_is_replaced_by_the_last_good_one_and_said():
    home = Home()
    with open("p.json", "w") as file:
        json.dump(good_product(), file)
    made, why = last_good.load("p.json", home, make_product)
    assert why is None and made.model == "VPM1"
    for spoiled in ("", "{", '{"schema": 1}', "[]"):
        with open("p.json", "w") as file:
            file.write(spoiled)
        made, why = last_good.load("p.json", home, make_product)
        assert made.model == "VPM1" and "p.json" in why
    os.remove("p.json")
    assert last_good.load("p.json", home, make_product)[0].model == "VPM1"
    for nothing in (None, b"", b"{", b"\xff\xff"):
        home.data = nothing
        assert "p.json" in raises(checked.FileError, last_good.load, "p.json", home, make_product)


def test_a_good_file_is_copied_once():
    home = Home()
    with open("p.json", "w") as file:
        json.dump(good_product(), file)
    last_good.load("p.json", home, make_product)
    kept = home.data
    last_good.load("p.json", home, make_product)
    assert home.data is kept
    os.remove("p.json")


def test_eight_consumables_are_a_product_and_a_part_may_have_no_button():
    data = good_product()
    first = data["consumables"][0]
    for number in range(6):
        part = dict(first)
        part["id"] = 3 + number
        part["instance"] = "Sensor.Part%d" % number
        del part["button"]
        data["consumables"].append(part)
    made = product.Product(data, "/x.json", SIGNALS)
    assert len(made.consumables) == 8
    assert [part.button_signal for part in made.consumables[1:3]] == ["brush_button", None]
