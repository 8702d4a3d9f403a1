"""``memkit NAME``, of a plugin: it is listed, run, and named in a line where it fails."""

import sys

import pytest

from memkit.cli import main

HELLO = """
class Hello:
    description = "Say hello.\\n\\nThen say no more."
    def add_options(self, parser):
        parser.add_argument("name")
        parser.add_argument("--loud", action="store_true")
    def run(self, options):
        if options.name == "broken":
            raise ValueError("out of words\\nsecond line")
        if options.name == "refused":
            raise memkit.UsageError("not this name")
        print(options.name.upper() if options.loud else options.name)
        return 7

@memkit.hookimpl
def memkit_register_commands(commands):
    commands.add("hello", Hello())
"""


@pytest.fixture
def hello(install_plugin):
    install_plugin(HELLO, "greeter")


def test_a_command_of_a_plugin_is_run_with_its_options_and_exit_code(hello, capsys):
    assert main.main(["hello", "ada", "--loud"]) == 7
    assert capsys.readouterr() == ("ADA\n", "")


def test_the_help_of_memkit_lists_the_commands_of_plugins(hello, capsys):
    with pytest.raises(SystemExit):
        main.main(["--help"])
    rows = [" ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert "info what can be measured on this machine" in rows
    assert "hello Say hello." in rows


def test_a_command_of_a_plugin_has_a_help_of_its_own(hello, capsys):
    with pytest.raises(SystemExit):
        main.main(["hello", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: memkit hello [-h] [--loud] name\n\nSay hello.\n\nThen say no more.\n")


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["hello", "broken"], 1, "memkit hello: plugin 'greeter' failed: ValueError: out of words"),
        (["hello", "refused"], 2, "memkit: not this name"),
        (["hello"], 2, "memkit: the following arguments are required: name; see memkit hello --help"),
        (["hello", "ada", "--lout"], 2, "memkit: unknown option '--lout' (did you mean '--loud'?); see memkit hello --help"),
    ],
)
def test_a_command_of_a_plugin_that_fails_is_one_line(hello, capsys, words, code, line):
    assert main.main(words) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_misspelled_command_is_compared_with_those_of_plugins(hello, capsys):
    assert main.main(["helo"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("memkit: unknown command 'helo' (did you mean 'hello'?); there are run, attach, ")
    assert line.endswith(", info, doctor, hello\n")


@pytest.mark.parametrize(
    ("name", "owner"), [("list", "memkit"), ("hello", "plugin 'greeter'")], ids=["of memkit", "of a plugin"]
)
def test_a_name_that_is_taken_is_refused_with_the_names_of_both(hello, install_plugin, capsys, name, owner):
    install_plugin(HELLO.replace('"hello"', repr(name)), "zealot")
    assert main.main(["hello", "ada"]) == 7
    out, line = capsys.readouterr()
    assert out == "ada\n"
    assert line == (
        f"memkit: plugin 'zealot' failed: there is already a command {name!r}, of {owner}; its command is missing\n"
    )


def test_a_command_of_memkit_loads_no_plugin(install_plugin, tmp_path, capsys):
    install_plugin("", "idle")
    assert main.main(["list", str(tmp_path)]) == 0
    assert "idle_module" not in sys.modules
    assert capsys.readouterr().err == "there are no recordings here\n"


def test_a_plugin_is_left_out_before_the_name_of_a_command(hello, capsys):
    assert main.main(["-p", "no:greeter", "hello", "ada"]) == 2
    assert "unknown command 'hello'" in capsys.readouterr().err
    assert main.main(["-p", "no:console", "hello", "ada"]) == 7
    assert main.main(["-p", "no:greeter", "plugins"]) == 0
    [row] = [row for row in capsys.readouterr().out.splitlines() if row.startswith("greeter ")]
    assert "disabled" in row


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["-p", "no:greater", "hello"], "memkit: -p no:greater: there is no plugin 'greater' (did you mean 'greeter'?)"),
        (["-p", "greeter", "hello"], "memkit: -p 'greeter': write -p no:NAME"),
        (["-p"], "memkit: unknown option '-p'"),
    ],
)
def test_a_wrong_option_before_the_name_is_refused_in_a_line(hello, capsys, words, line):
    assert main.main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(line)
