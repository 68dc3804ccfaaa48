"""The SDK's enums and records are those of `wit/strategy.wit`, in its order: the bindings fill them by position."""

import dataclasses
import re
from pathlib import Path

import pinion_strategy
import pytest
from pinion_strategy.strategy import CALLBACKS, Strategy

WIT = (Path(__file__).parents[3] / "wit" / "strategy.wit").read_text()
TEXT = re.sub(r"///.*", "", WIT)


def python_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def names(body: str) -> list[str]:
    return [name.strip().replace("-", "_") for name in body.split(",") if name.strip()]


ENUMS = {python_name(name): names(body) for name, body in re.findall(r"enum ([a-z-]+) \{([^}]*)\}", TEXT)}
RECORDS = {
    python_name(name): [field.strip().lstrip("%").replace("-", "_") for field in re.findall(r"([%a-z-]+): ", body)]
    for name, body in re.findall(r"record ([a-z-]+) \{([^}]*)\}", TEXT)
}


def in_python(field: str) -> set[str]:
    """What a field may be called in Python: exact numbers that have a unit end in `_raw`, a quote's prices are `bid` and `ask`."""
    short = re.sub(r"^(bid|ask)_price$", r"\1", field)
    return {field, f"{field}_raw", f"{short}_raw"}


@pytest.mark.parametrize("name", ENUMS)
def test_an_enum_has_the_contracts_cases_and_numbers(name):
    ours = getattr(pinion_strategy, name)
    assert [(case.name.lower(), case.value) for case in ours] == [(case, n) for n, case in enumerate(ENUMS[name])]


@pytest.mark.parametrize("name", sorted(set(RECORDS) - {"Wants"}))
def test_a_record_has_the_contracts_fields_in_its_order(name):
    ours = [field.name for field in dataclasses.fields(getattr(pinion_strategy, name))]
    theirs = RECORDS[name]
    assert len(ours) >= len(theirs)
    for our, their in zip(ours, theirs):
        assert our in in_python(their), f"{our} stands where the contract has {their}"
    # Position and Level know their instrument besides.
    assert ours[len(theirs) :] in ([], ["instrument_id"])


def test_every_callback_of_the_contract_is_a_method():
    handler = TEXT.partition("interface handler")[2].partition("world strategy")[0]
    callbacks = {name.replace("-", "_") for name in re.findall(r"(on-[a-z-]+): func", handler)}
    assert callbacks == {name for name in vars(Strategy) if name.startswith("on_")}
    flags = names(re.search(r"flags callbacks \{([^}]*)\}", TEXT)[1])
    assert list(CALLBACKS) == flags or set(CALLBACKS) == set(flags)
