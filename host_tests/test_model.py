"""The protocol's specification holds what it says, each fault put into it shows."""

from __future__ import annotations

import pytest

from tools.model.checker import Sizes, Unavailable, check, specification
from tools.model.mutants import MUTANTS, Mutant

LIMIT_S = 200
SMALL = {
    "cuts": Sizes(life=1, generation=1, sequence=2, on_the_way=1, cuts=1),
    "increments": Sizes(increment=True, life=1, generation=1, sequence=2, on_the_way=1, cuts=1, kills=1),
    "a replacement": Sizes(life=1, generation=2, sequence=1, on_the_way=2, cuts=1, kills=1),
    "a restored backup": Sizes(increment=True, life=1, generation=2, sequence=1, on_the_way=1, restores=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SMALL.values(), ids=list(SMALL))
def test_every_state_of_the_small_configurations_keeps_the_promises(sizes: Sizes) -> None:
    try:
        found = check({"Wearmeter": specification()}, "Wearmeter", sizes.configuration(), LIMIT_S)
    except Unavailable as error:
        pytest.skip(str(error))
    assert found.violated is None, "\n".join(found.path)
    assert found.distinct > 1_000  # an invariant of few states says little


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name.replace(" ", "-") for mutant in MUTANTS])
def test_the_model_checker_finds_what_is_wrong_with_a_mutant(mutant: Mutant) -> None:
    modules = {"Wearmeter": mutant.applied(specification())}
    try:
        found = check(modules, "Wearmeter", mutant.sizes.configuration(), LIMIT_S)
    except Unavailable as error:
        pytest.skip(str(error))
    assert found.violated is not None, mutant.name
