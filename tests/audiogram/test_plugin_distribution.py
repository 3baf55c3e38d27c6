"""A third-party filter from end to end: built as a wheel, installed, listed, used; beside broken and rival ones.

Everything here is a real distribution, built and installed by pip without a network into folders of its own. The rules
of the registry, one by one, are in test_filter_registry.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet")


def run(*command, paths=(), check=True, cwd=None, **env):
    """Run a command in a process that has `paths` to import from, away from the sources."""
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **env}
    done = subprocess.run([sys.executable, *map(str, command)], env=known, cwd=cwd, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr[-4000:] + done.stdout[-4000:]
    return done


def distribution(folder, name, module, code, entry):
    """Sources of a small distribution with one module and one entry point."""
    folder.mkdir()
    (folder / f"{module}.py").write_text(code)
    (folder / "pyproject.toml").write_text(
        textwrap.dedent(f"""
            [project]
            name = "{name}"
            version = "2.0"
            [project.entry-points."audiogram.filters"]
            {entry}
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            [tool.hatch.build.targets.wheel]
            include = ["{module}.py"]
        """)
    )
    return folder


BROKEN = """
import os, pathlib
pathlib.Path(os.environ["MARKER"]).touch()  # whoever imports this leaves a trace
raise RuntimeError("no licence server")
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Folders to import from, by distribution: the worked plugin, a broken one, and a rival for the plugin's name."""
    root = tmp_path_factory.mktemp("distributions")
    sources = root / "sources"
    sources.mkdir()
    shutil.copytree(PLUGIN, sources / "plugin")  # building leaves things behind
    distribution(sources / "broken", "broken-cochlea", "broken_cochlea", BROKEN, 'broken = "broken_cochlea:Cochlea"')
    distribution(sources / "rival", "rival-regions", "rival_regions", BROKEN, 'dead_region = "rival_regions:Dead"')
    run("-m", "pip", "wheel", *OFFLINE, "--wheel-dir", root / "wheels", *sorted(sources.iterdir()))
    wheels = {wheel.name.split("-")[0]: wheel for wheel in (root / "wheels").iterdir()}
    assert set(wheels) == {"audiogram_dead_regions", "broken_cochlea", "rival_regions"}
    found = {}
    for name, wheel in wheels.items():
        found[name] = root / name
        run("-m", "pip", "install", *OFFLINE, "--target", found[name], wheel)
    return found


def listed(done):
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["name", "distribution", "version", "state"]
    return {(name, where): (version, state) for name, where, version, state in rows[1:]}


def test_it_is_listed_with_distribution_version_and_state_and_nothing_is_imported(sites, tmp_path):
    marker = tmp_path / "imported"
    paths = [sites["audiogram_dead_regions"], sites["broken_cochlea"]]
    found = listed(run("-m", "audiogram", "filters", paths=paths, MARKER=str(marker)))
    assert found["dead_region", "audiogram-dead-regions"] == ("0.3.1", "available")
    assert found["broken", "broken-cochlea"] == ("2.0", "available")  # that it cannot be imported nobody has tried
    assert found["attenuation", "audiogram"][1] == "available"
    assert not marker.exists()
    code = """
        import sys
        from audiogram.filters.registry import list_filters
        before = set(sys.modules)
        assert "dead_region" in {info.name for info in list_filters()}
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        assert not new & {"dead_regions", "broken_cochlea", "torch", "numba"}, new
        assert "audiogram.filters.attenuation" not in sys.modules
    """
    run("-c", textwrap.dedent(code), paths=paths, MARKER=str(marker))
    assert "dead_region" not in run("-m", "audiogram", "filters").stdout


def test_conditions_use_it_and_record_where_it_came_from(sites):
    code = """
        import json, numpy as np
        from audiogram import Condition, get_filter, preset
        from dead_regions.removal import DeadRegion
        assert get_filter("dead_region") is DeadRegion
        one = Condition("dead", preset("hfloss"), "dead_region", {"limit": 50})
        assert Condition.from_dict(json.loads(json.dumps(one.to_dict()))) == one
        x = np.random.default_rng(0).standard_normal((2, 4000))
        heard = one(x, 16_000)
        np.testing.assert_allclose(heard, DeadRegion(preset("hfloss"), sample_rate=16_000, limit=50.0)(x))
        print(json.dumps({"versions": one.versions(), "options": one.to_dict()["options"]}))
    """
    done = run("-c", textwrap.dedent(code), paths=[sites["audiogram_dead_regions"]])
    assert json.loads(done.stdout) == {
        "versions": {"distribution": "audiogram-dead-regions", "version": "0.3.1"},
        "options": {"limit": 50.0},
    }


def test_a_mixed_loss_with_its_cochlea_records_it_too(sites):
    code = """
        from audiogram import Audiogram, Condition
        ear = Audiogram([500, 4000], [60, 90], bone=Audiogram([500, 4000], [20, 75]))
        one = Condition("mixed", ear, "conductive", {"cochlear": "dead_region"})
        assert one.options["cochlear_options"] == {"limit": 70.0}
        assert one.versions()["parts"] == {
            "dead_region": {"distribution": "audiogram-dead-regions", "version": "0.3.1"}
        }
    """
    run("-c", textwrap.dedent(code), paths=[sites["audiogram_dead_regions"]])


def test_its_own_tests_run_the_conformance_suite(sites, tmp_path):
    tests = shutil.copytree(PLUGIN / "tests", tmp_path / "tests")
    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, paths=[sites["audiogram_dead_regions"]], cwd=tmp_path
    )
    from audiogram.filters import conformance

    assert f"{len(conformance.CHECKS) + 5} passed" in done.stdout
    assert "skipped" not in done.stdout


def test_a_broken_distribution_disturbs_nothing_and_says_why_when_asked(sites, tmp_path):
    paths = [sites["audiogram_dead_regions"], sites["broken_cochlea"]]
    marker = tmp_path / "imported"
    code = """
        import numpy as np
        from audiogram import apply_conditions, Condition, get_filter, list_filters, preset
        from audiogram.errors import FilterPluginError
        for _ in range(2):
            try:
                get_filter("broken")
            except FilterPluginError as error:
                for part in ("'broken'", "broken-cochlea 2.0", "broken_cochlea:Cochlea", "no licence server"):
                    assert part in str(error), error
            else:
                raise AssertionError("it was loaded")
        dead = Condition("dead", preset("hfloss"), "dead_region")
        assert apply_conditions(np.ones(2000), 16_000, ["hfloss", dead]).shape == (2, 2000)
        states = {info.name: info.state for info in list_filters()}
        assert states["broken"] == "broken: no licence server", states
        assert states["dead_region"] == states["attenuation"] == "available", states
    """
    run("-c", textwrap.dedent(code), paths=paths, MARKER=str(marker))
    assert marker.exists()


def test_two_distributions_with_one_name_are_refused_naming_both(sites, tmp_path):
    paths = [sites["audiogram_dead_regions"], sites["rival_regions"]]
    marker = tmp_path / "imported"
    found = listed(run("-m", "audiogram", "filters", paths=paths, MARKER=str(marker)))
    assert found["dead_region", "audiogram-dead-regions"] == ("0.3.1", "conflict: also claimed by rival-regions 2.0")
    assert found["dead_region", "rival-regions"] == ("2.0", "conflict: also claimed by audiogram-dead-regions 0.3.1")
    code = "from audiogram import Condition, preset; Condition('dead', preset('hfloss'), 'dead_region')"
    done = run("-c", code, paths=paths, check=False, MARKER=str(marker))
    assert done.returncode != 0
    for part in ("audiogram-dead-regions 0.3.1", "rival-regions 2.0", "uninstall all but one"):
        assert part in done.stderr
    assert not marker.exists()
