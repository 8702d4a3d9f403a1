"""``memkit plugins``: the plugins that are installed."""

from __future__ import annotations

from memkit.base.plugins import Plugins
from memkit.cli.parser import Parser
from memkit.cli.printing import print_table

DESCRIPTION = "List the plugins: where each comes from, its hooks, and whether it works."


def command(name: str, words: list[str]) -> int:
    """List the plugins."""
    Parser(name, DESCRIPTION).parse(words)
    plugins = Plugins(complain=lambda _: None)
    rows = [
        (plugin.name, f"{plugin.distribution} {plugin.version}", plugin.state, " ".join(plugin.hooks))
        for plugin in plugins.found
    ]
    print_table(("plugin", "distribution", "state", "hooks"), rows)
    return 0
