"""The ReFrame test of the fleet: ``amx-suite qualify`` on a node, its results kept by node.

ReFrame loads this file, the package never does. Its settings are the variables of the test, set by
``-S``, such as ``-S level=3``; docs/fleet.md has them all.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import reframe
from reframe.core.builtins import run_after, run_before, sanity_function, variable
from reframe.core.exceptions import SanityError
from reframe.core.logging import getlogger
from reframe.utility.sanity import make_performance_function

from amx_suite.fleet.node_result import EXIT_LINE, NODE_LINE, judge_node, node_name

#: In the folder of a node, where ``amx-suite fleet report`` finds them.
_RESULTS, _OUTPUT = "results.json", "qualify.txt"
#: Where the job leaves its results: below its stage folder, which every backend brings back.
_LEFT = "amx-results"


@reframe.simple_test
class AmxQualify(reframe.RunOnlyRegressionTest):
    """Runs ``amx-suite qualify`` on one node."""

    #: The level of qualify.
    level = variable(int, value=2)
    #: More arguments for qualify, such as ``--engine ipex``.
    arguments = variable(str, value="")
    #: The folder that gets a folder for each node.
    results = variable(str, value="amx-fleet")
    #: The suite's command on the nodes.
    command = variable(str, value=f"{shlex.quote(sys.executable)} -m amx_suite")

    descr = "Is Intel AMX present, exact, used, accurate and fast on this node?"
    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    # Left to the site: a job of one task has one core on PBS.
    num_tasks = None
    # Beside another job nothing can be measured.
    exclusive_access = True

    @run_after("init")
    def _find_folder(self) -> None:
        # Later, and while it loads this file, ReFrame may be in another folder.
        self._folder = Path(self.results).absolute()

    @run_before("run")
    def _say_what_to_run(self) -> None:
        self.executable = self.command
        options = f"qualify --level {self.level} --output {_LEFT} {self.arguments} 2>&1"
        self.executable_opts = [options]
        self.prerun_cmds = [f'echo "{NODE_LINE}${{SLURMD_NODENAME:-$(hostname -s)}}"']
        # The job itself ends well: of one that does not, ssh brings nothing back.
        self.postrun_cmds = [f'echo "{EXIT_LINE}$?"']

    @run_before("run")
    def _expect_the_node(self) -> None:
        if self._pinned and not self.is_dry_run():
            said = "nothing came back: the job never ran, or ReFrame did not see its end"
            (self._renewed(self._pinned) / _OUTPUT).write_text(f"{said}\n")

    @run_after("run")
    def _keep_results(self) -> None:
        stage = Path(self.stagedir)
        printed = stage / str(self.job.stdout)
        if not printed.is_file():
            # Cancelled while it waited; the node's folder says so already.
            self._result = judge_node("", printed)
            return
        output = printed.read_text(errors="replace")
        folder = self._renewed(self._pinned or node_name(output) or self.unique_name)
        if (stage / _LEFT).is_dir():
            # Moved: a copy left here would be a second result of the node.
            for path in (stage / _LEFT).iterdir():
                shutil.move(path, folder / path.name)
        (folder / _OUTPUT).write_text(output)
        self._result = judge_node(output, folder / _RESULTS)
        for message in self._result.messages:
            getlogger().warning(f"{folder.name}: {message}")

    @sanity_function
    def _counts(self) -> bool:
        if self._result.fault:
            raise SanityError(self._result.fault)
        return True

    @run_before("performance")
    def _compare_with_gates(self) -> None:
        speedups = self._result.speedups
        self.perf_variables = {
            name: make_performance_function(lambda ratio=ratio: ratio, "x")
            for name, (ratio, _) in speedups.items()
        }
        lowest = {name: (minimum, 0, None, "x") for name, (_, minimum) in speedups.items()}
        self.reference = {"*": lowest}

    @property
    def _pinned(self) -> str:
        """The node that ``--distribute`` chose, empty without it."""
        return next(iter(getattr(self, ".nid", [])), "")

    def _renewed(self, name: str) -> Path:
        """The node's folder, without what an earlier run left there."""
        folder: Path = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for each in (_RESULTS, _OUTPUT):
            (folder / each).unlink(missing_ok=True)
        return folder
