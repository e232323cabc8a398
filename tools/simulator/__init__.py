"""Runs the firmware on the virtual board through a scenario: what happens to a vacuum in a household.

    from tools.simulator import Scenario, Simulator

    scenario = Scenario.load("week")
    result = Simulator(scenario, seed=1, out_dir=Path("build/demo"), broker_port=1883).run()

The scenario format is described key by key in README.md beside this file.
"""

from tools.simulator.scenario import Scenario, ScenarioError
from tools.simulator.vacuum import Result, Simulator

__all__ = ["Result", "Scenario", "ScenarioError", "Simulator"]
