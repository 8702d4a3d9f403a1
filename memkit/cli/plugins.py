"""``memkit plugins``: the plugins that are installed."""

from __future__ import annotations

from memkit.base.plugins import Plugins
from memkit.cli.parser import Parser
from memkit.cli.printing import print_table
from memkit.cli.report_options import add_plugin_option, disabled_by

DESCRIPTION = "List the plugins: where each comes from, its hooks, and whether it works."


def command(name: str, words: list[str]) -> int:
    """List the plugins."""
    parser = Parser(name, DESCRIPTION)
    add_plugin_option(parser)
    options = parser.parse(words)
    disabled = disabled_by(options.plugins)
    plugins = Plugins(disabled, complain=lambda _: None)
    plugins.check_names(disabled)
    rows = [
        (plugin.name, f"{plugin.distribution} {plugin.version}", plugin.state, " ".join(plugin.hooks))
        for plugin in plugins.found
    ]
    print_table(("plugin", "distribution", "state", "hooks"), rows)
    return 0
