"""mprof: its command, ``python -m memkit.compat.mprof``, and its functions, ``from memkit.compat import mprof``."""

from memkit.compat.mprof.commands import (
    ALL_ACTIONS,
    attach_action,
    clean_action,
    get_action,
    help_msg,
    list_action,
    main,
    peak_action,
    plot_action,
    print_usage,
    rm_action,
    run_action,
)
from memkit.compat.mprof.flame import FLAME_PLOTTER_VARS, add_timestamp_rectangle, flame_plotter
from memkit.compat.mprof.plot import add_brackets, function_labels, plot_file
from memkit.compat.mprof.profiles import (
    filter_mprofile_mem_usage_by_function,
    get_profile_filenames,
    get_profiles,
    read_mprofile_file,
)
from memkit.compat.mprof.run_command import find_first_process, get_cmd_line

__all__ = [
    "ALL_ACTIONS",
    "FLAME_PLOTTER_VARS",
    "add_brackets",
    "add_timestamp_rectangle",
    "attach_action",
    "clean_action",
    "filter_mprofile_mem_usage_by_function",
    "find_first_process",
    "flame_plotter",
    "function_labels",
    "get_action",
    "get_cmd_line",
    "get_profile_filenames",
    "get_profiles",
    "help_msg",
    "list_action",
    "main",
    "peak_action",
    "plot_action",
    "plot_file",
    "print_usage",
    "read_mprofile_file",
    "rm_action",
    "run_action",
]
