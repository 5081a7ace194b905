"""Where runs are kept is looked at before one is started."""

from loraforge.advice.check import _output
from loraforge.config.job import Job


def found(folder):
    """Return what check finds at a folder of runs."""
    return list(_output(Job.model_validate({"output": {"dir": str(folder), "name": "art"}})))


def test_a_folder_that_can_be_made_is_well(tmp_path):
    """It need not exist."""
    assert found(tmp_path) == found(tmp_path / "new" / "runs") == []


def test_a_file_in_the_way_is_an_error(tmp_path):
    """`train` would refuse it."""
    (tmp_path / "runs").touch()
    (finding,) = found(tmp_path / "runs" / "deep")
    assert (finding.code, finding.severity) == ("output-unusable", "error")
    assert finding.message == f"{tmp_path / 'runs'} is a file."


def test_a_name_that_no_disk_takes_is_an_error(tmp_path):
    """It is told, and no crash."""
    (finding,) = found(tmp_path / ("x" * 300))
    assert "can't be reached" in finding.message
