"""D09: the doctor knows the bundled model by both of its names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api import doctor_machine
from api.finding import Patient
from ltmc_jobs.llm import minilm


def test_the_front_ends_names_are_the_models() -> None:
    """The front end imports no model, so it has a copy of the names."""
    assert {minilm.canonical(name) for name in doctor_machine.BUNDLED} == {minilm.MODEL}
    assert len(doctor_machine.BUNDLED) == 2


@pytest.mark.parametrize("name", doctor_machine.BUNDLED)
def test_both_names_are_looked_up_in_the_package(name: str, make_settings: Callable[..., object]) -> None:
    """M04: neither asks for sentence-transformers."""
    patient = Patient(make_settings(EMBEDDING_MODEL=name))  # type: ignore[arg-type]
    (found,) = doctor_machine.look_at_model(patient)
    assert doctor_machine.MODEL_PACKAGE in str(found)
