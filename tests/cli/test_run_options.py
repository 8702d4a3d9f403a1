"""What the options say of other modules, which they do not import for it, is true."""

from memkit.cli import run_options
from memkit.record import limit_guard


def test_the_actions_at_a_limit_are_those_of_the_guard():
    assert run_options.ON_LIMIT == limit_guard.ACTIONS
    assert run_options.STOPPED == limit_guard.Bound.EXIT_CODE
