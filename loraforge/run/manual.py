"""Scripts for a manual run of a plan: plain sd-scripts, without loraforge."""

import shlex
from pathlib import Path

from loraforge.run.plan import RunPlan


def shell_script(plan: RunPlan) -> str:
    """Return run.sh."""
    lines = [
        "#!/usr/bin/env bash",
        f"# {plan.job.output.name}: {plan.steps} steps on {len(plan.ready.set_)} pictures. {_needs(plan)}",
        "set -euo pipefail",
        f"cd {shlex.quote(str(plan.cwd))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in plan.env.items()),
        f"python={shlex.quote(plan.argv[0])}",
        f'exec "${{PYTHON:-$python}}" {shlex.join(plan.argv[1:])} "$@"',
    ]
    return "\n".join(lines) + "\n"


def powershell_script(plan: RunPlan) -> str:
    """Return run.ps1."""
    lines = [
        f"# {plan.job.output.name}: {plan.steps} steps on {len(plan.ready.set_)} pictures. {_needs(plan)}",
        '$ErrorActionPreference = "Stop"',
        f"Set-Location -LiteralPath {_quoted(str(plan.cwd))}",
        *(f"$env:{name} = {_quoted(value)}" for name, value in plan.env.items()),
        f"& {' '.join(_quoted(part) for part in plan.argv)} @args",
        "exit $LASTEXITCODE",
    ]
    return "\r\n".join(lines) + "\r\n"


def write_scripts(plan: RunPlan) -> list[Path]:
    """Write run.sh and run.ps1 into the plan's folder and return their paths."""
    shell = plan.folder.path / "run.sh"
    shell.write_text(shell_script(plan), encoding="utf-8", newline="\n")
    shell.chmod(0o755)
    powershell = plan.folder.path / "run.ps1"
    # PowerShell 5 takes a script without a byte-order mark for the system's code page.
    powershell.write_text(powershell_script(plan), encoding="utf-8-sig", newline="")
    return [shell, powershell]


def _needs(plan: RunPlan) -> str:
    if plan.ready.home is None:
        return "Runs the embedded engine."
    if not plan.ready.full_size:
        return "These weights are smaller than FLUX.1's, so it goes through loraforge's shim."
    return "Needs sd-scripts only."


def _quoted(text: str) -> str:
    """Quote for PowerShell, where single quotes are doubled (and curly ones count as quotes too)."""
    for quote in "'\u2018\u2019\u201a\u201b":
        text = text.replace(quote, quote * 2)
    return f"'{text}'"
