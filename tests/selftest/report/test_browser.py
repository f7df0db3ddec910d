"""``report.html`` and ``fleet.html`` in a browser: nothing overflows, no complaint is logged."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import fleet_runs
import pytest
import sample_runs as runs

from amx_suite.fleet.machines import NoResult, machine_of_run
from amx_suite.fleet.report import judge_fleet
from amx_suite.fleet.report_page import render_page
from amx_suite.report.html import render_html

pytestmark = pytest.mark.selftest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--enable-logging=stderr", "--hide-scrollbars"),
    "--virtual-time-budget=5000",
)

#: Frames of both widths; of each, what sticks out of it, and labels of charts that are cut or lie
#: on one another. The page itself allows no script.
HARNESS = """<!doctype html><body><div id="found"></div>FRAMES<script>
function faults(frame) {
  const page = frame.contentDocument, width = frame.clientWidth, found = new Set();
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  for (const one of page.body.querySelectorAll("*"))
    if (one.getBoundingClientRect().right > width + 1 && !one.closest("thead"))
      found.add(one.tagName);
  for (const chart of page.querySelectorAll("svg")) {
    const edge = chart.getBoundingClientRect(), labels = [...chart.querySelectorAll("text")];
    const places = labels.map((one) => one.getBoundingClientRect());
    places.forEach((a, i) => {
      if (a.left < edge.left - 1 || a.right > edge.right + 1) found.add(labels[i].textContent);
      places.slice(i + 1).forEach((b, j) => {
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
          found.add(labels[i].textContent + " on " + labels[i + 1 + j].textContent);
      });
    });
  }
  return `width ${width}, page ${page.documentElement.scrollWidth}: [${[...found].join("; ")}]`;
}
window.onload = () => {
  document.getElementById("found").textContent =
    [...document.querySelectorAll("iframe")].map(faults).join(", ");
};
</script>"""


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(runs.WHOLE, sha256="0" * 64)


@pytest.fixture(scope="module")
def fleet_page() -> str:
    """A page with something in each part."""
    machines = {
        **{f"node{number:02}.rack1": fleet_runs.run_of(f"n{number}") for number in range(9)},
        "slow": fleet_runs.run_of("slow", slower=2.5),
        "failed": fleet_runs.run_of("failed", base=runs.WHOLE, microcode="0x1"),
        "other": fleet_runs.run_of("other", torch="2.7.0"),
    }
    found = [machine_of_run(name, name, run) for name, run in machines.items()]
    lost = NoResult("gone", "no results.json of this node in /shared/results/of/this/night")
    return render_page(judge_fleet(found, [lost], expected=13))


def look(folder: Path, page: str) -> tuple[str, str]:
    """What sticks out at 400 and 1280 pixels, and what the browser logged."""
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine; install one to run this test")
    content = html.escape(page)
    frames = "".join(
        f'<iframe style="border:0;height:900px;width:{width}px" srcdoc="{content}"></iframe>'
        for width in (400, 1280)
    )
    harness = folder / "harness.html"
    harness.write_text(HARNESS.replace("FRAMES", frames), encoding="utf-8")
    done = subprocess.run(
        [
            BROWSER,
            *OPTIONS,
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            harness.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<div id="found">(.*?)</div>', done.stdout)
    assert found is not None
    return found[1], "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("name", ["page", "fleet_page"])
def test_report_fits_phone_and_desk(
    tmp_path: Path, request: pytest.FixtureRequest, name: str
) -> None:
    found, logged = look(tmp_path, request.getfixturevalue(name))
    assert found == "width 400, page 400: [], width 1280, page 1280: []"
    assert logged == ""


def test_overflow_and_errors_are_seen(tmp_path: Path, page: str) -> None:
    wide = '<p style="width:700px">wide</p><script>1</script>'
    long = page.replace(">over fp32@no_amx<", f">over {'fp32@no_amx' * 5}<")
    found, logged = look(tmp_path, long.replace("<main>", f"<main>{wide}"))
    assert "width 400, page 7" in found
    assert "[P; " in found
    assert "bf16@amx on over fp32@no_amxfp32" in found
    assert "Content Security Policy" in logged
