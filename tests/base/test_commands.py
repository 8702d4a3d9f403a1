"""Plugins add commands, each under a name of its own."""

from types import SimpleNamespace

import pytest

import memkit
from memkit.base.commands import Commands

COMMAND = SimpleNamespace(description="Say it.", add_options=lambda parser: None, run=lambda options: 0)


@pytest.fixture
def commands():
    return Commands(["list"], lambda: "fit")


def test_a_command_is_found_by_its_name_with_its_owner(commands):
    commands.add("say", COMMAND)
    assert commands.found == {"say": COMMAND}
    assert commands.owner("say") == "plugin 'fit'"


@pytest.mark.parametrize(
    ("name", "command", "reason"),
    [
        ("list", COMMAND, "there is already a command 'list', of memkit"),
        ("say", COMMAND, "there is already a command 'say', of plugin 'fit'"),
        ("", COMMAND, "'' cannot be the name of a command: give a word that does not begin with a dash"),
        ("-x", COMMAND, "'-x' cannot be the name of a command: give a word that does not begin with a dash"),
        ("a b", COMMAND, "'a b' cannot be the name of a command: give a word that does not begin with a dash"),
        (5, COMMAND, "5 cannot be the name of a command: give a word that does not begin with a dash"),
        ("more", len, "the command 'more' has no description and no add_options and no run"),
    ],
)
def test_a_command_that_cannot_be_added_is_refused(commands, name, command, reason):
    commands.add("say", COMMAND)
    with pytest.raises(memkit.UsageError) as refused:
        commands.add(name, command)
    assert str(refused.value) == reason
    assert list(commands.found) == ["say"]
