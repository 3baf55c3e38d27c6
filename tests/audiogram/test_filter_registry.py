"""Filters by entry points: every rule of the registry, through fake distributions on sys.path."""

import importlib
import itertools
import sys
import textwrap

import numpy as np
import pytest

from audiogram import Audiogram, get_filter, list_filters, preset
from audiogram.errors import FilterPluginError, InputError
from audiogram.filters.registry import filter_info, resolve_options
from audiogram.listening import Condition, apply_conditions

FILTER = """
class Quiet:
    linear, level_dependent, adds_noise = True, False, False
    def __init__(self, audiogram, *, sample_rate, gain: float = 0.5, mode: str = "a", steps: "int | None" = None):
        self.gain = gain
    def __call__(self, x):
        return x * self.gain
"""
_serial = itertools.count()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on sys.path: its dist-info and one module of a name that no other test uses."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(entry_points, code=FILTER, name="fake-plugin", version="1.2.3", metadata=True):
        module = f"fake_plugin_{next(_serial)}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        if metadata:
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        text = entry_points.format(module=module)
        if not text.startswith("["):
            text = "[audiogram.filters]\n" + text
        (info / "entry_points.txt").write_text(text)
        importlib.invalidate_caches()
        return module

    return put


def state_of(name):
    return [info.state for info in list_filters() if info.name == name]


def test_the_built_in_filter_comes_through_the_same_door():
    info = filter_info("attenuation")
    assert (info.name, info.distribution, info.state) == ("attenuation", "audiogram", "available")
    assert info.target == "audiogram.filters.attenuation:Attenuation"
    import audiogram

    assert info.version == audiogram.__version__


def test_a_plugin_is_listed_without_being_imported_and_loaded_when_asked_for(install):
    module = install("quiet = {module}:Quiet")
    assert [(i.distribution, i.version, i.state) for i in list_filters() if i.name == "quiet"] == [
        ("fake-plugin", "1.2.3", "available")
    ]
    assert module not in sys.modules
    assert get_filter("quiet").__module__ == module
    heard = Condition("q", preset("normal"), "quiet", {"gain": 0.25})
    assert heard.versions() == {"distribution": "fake-plugin", "version": "1.2.3"}
    assert heard.options == {"gain": 0.25, "mode": "a", "steps": None}
    assert Condition.from_dict(heard.to_dict()) == heard


@pytest.mark.parametrize(
    ("code", "target", "cause"),
    [
        ("import no_such_module_at_all", "Quiet", "no_such_module_at_all"),
        ("raise RuntimeError('no licence')", "Quiet", "RuntimeError: no licence"),
        ("import sys; sys.exit(3)", "Quiet", "SystemExit: 3"),
        ("def f(:", "Quiet", "SyntaxError"),
        ("", "Quiet", "has no attribute 'Quiet'"),
    ],
    ids=["missing module", "raises", "exits", "syntax", "no class"],
)
def test_a_broken_plugin_disturbs_no_other_and_says_why(install, code, target, cause):
    module = install(f"broken = {{module}}:{target}", code)
    assert get_filter("attenuation")(preset("normal"), sample_rate=16_000)
    assert state_of("broken") == ["available"]
    with pytest.raises(FilterPluginError) as caught:
        get_filter("broken")
    for part in ("'broken'", "fake-plugin 1.2.3", f"{module}:{target}", cause):
        assert part in str(caught.value)
    assert caught.value.__cause__ is not None
    assert state_of("broken")[0].startswith("broken: ")
    assert state_of("attenuation") == ["available"]


def test_a_plugin_that_cuts_the_sound_is_caught(install):
    install("short = {module}:Quiet", FILTER.replace("return x * self.gain", "return x[..., :10]"))
    heard = Condition("s", preset("normal"), "short")
    with pytest.raises(FilterPluginError, match=r"\(10,\) from \(160,\)"):
        heard(np.zeros(160), 16_000)


@pytest.mark.parametrize(
    ("result", "words"),
    [("None", "NoneType of a NumPy array"), ("x.tolist()", "list of a"), ("x.astype('f4')", "float32 of float64")],
)
def test_a_plugin_that_makes_no_sound_is_named(install, result, words):
    install("odd = {module}:Quiet", FILTER.replace("x * self.gain", result))
    one = Condition(words.split()[0], preset("normal"), "odd")  # filters are kept for equal conditions
    with pytest.raises(FilterPluginError, match=rf"'odd' of fake-plugin 1\.2\.3 made .*{words}"):
        one(np.zeros(160), 16_000)


def test_a_plugin_that_shares_badly_or_cannot_be_made_is_named(install):
    together = "    @staticmethod\n    def together(filters, x):\n        return [x, x]\n"
    install("more = {module}:Quiet", FILTER + together)
    with pytest.raises(FilterPluginError, match=r"'more' of fake-plugin 1\.2\.3 made 2 sounds of 1"):
        Condition("c", preset("normal"), "more")(np.zeros(160), 16_000)
    install("never = {module}:Quiet", FILTER.replace("self.gain = gain", "raise KeyError('table')"), "other")
    with pytest.raises(FilterPluginError, match=r"'never' of other .* cannot be made for 16000 Hz: KeyError: 'table'"):
        Condition("c", preset("normal"), "never")(np.zeros(160), 16_000)


def test_numpy_numbers_are_options_and_records_have_plain_ones(install):
    install("quiet = {module}:Quiet")
    one = Condition("c", preset("normal"), "quiet", {"gain": np.float32(0.5), "steps": np.int64(3)})
    assert one == Condition("c", preset("normal"), "quiet", {"gain": 0.5, "steps": 3})
    assert [type(value) for value in one.options.values()] == [float, str, int]


def test_a_plugin_that_fails_on_sound_is_named_with_the_cause(install):
    install("fails = {module}:Quiet", FILTER.replace("return x * self.gain", "return {}['spectrum']"))
    heard = Condition("f", preset("normal"), "fails")
    with pytest.raises(FilterPluginError, match=r"'fails' of fake-plugin 1.2.3 failed.*KeyError: 'spectrum'") as caught:
        heard(np.zeros(160), 16_000)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(FilterPluginError, match="'fails' of fake-plugin"):
        apply_conditions(np.zeros(160), 16_000, ["hfloss", heard])


def test_what_a_plugin_refuses_on_purpose_is_its_own_error(install):
    refuses = "from audiogram.errors import InputError\n        raise InputError('too short for me')"
    install("refuses = {module}:Quiet", FILTER.replace("return x * self.gain", refuses))
    with pytest.raises(InputError, match=r"^too short for me$"):
        Condition("r", preset("normal"), "refuses")(np.zeros(160), 16_000)


NOT_FILTERS = {
    "a function": ("def Quiet(audiogram, *, sample_rate): ...", "is a function, not a class"),
    "not callable": (FILTER.replace("__call__", "process"), "cannot be called"),
    "no flags": (FILTER.replace("linear, level_dependent, adds_noise = True, False, False", ""), "declare linear"),
    "**kwargs": (FILTER.replace('mode: str = "a"', "**kwargs").replace(', steps: "int | None" = None', ""), "kwargs"),
    "*args": (FILTER.replace("audiogram, *,", "audiogram, *args,"), r"\*args"),
    "no audiogram": (FILTER.replace("self, audiogram, *,", "self, *,"), "audiogram first"),
    "no rate": (FILTER.replace("sample_rate", "fs"), "does not take sample_rate"),
    "no keys": (
        FILTER.replace("True, False, False", "False, False, True").replace("steps:", "seed: int = 0, steps:"),
        "calling it takes no keys",
    ),
    "no seed": (FILTER.replace("True, False, False", "False, True, True"), "does not take level, seed"),
}


@pytest.mark.parametrize(("code", "words"), NOT_FILTERS.values(), ids=NOT_FILTERS)
def test_what_is_not_a_filter_is_refused(install, code, words):
    install("quiet = {module}:Quiet", code)
    with pytest.raises(FilterPluginError, match=words) as caught:
        get_filter("quiet")
    assert "fake-plugin 1.2.3" in str(caught.value)


def test_a_name_claimed_twice_is_refused_naming_both(install):
    install("quiet = {module}:Quiet", name="first")
    install("quiet = {module}:Quiet", name="second", version="2.0")
    assert sorted(state_of("quiet")) == [
        "conflict: also claimed by first 1.2.3",
        "conflict: also claimed by second 2.0",
    ]
    with pytest.raises(FilterPluginError, match=r"'quiet' is claimed by first 1.2.3 .* and second 2.0 .*uninstall"):
        get_filter("quiet")


def test_a_plugin_cannot_take_the_place_of_a_built_in_filter(install):
    install("attenuation = {module}:Quiet")
    with pytest.raises(FilterPluginError, match=r"audiogram .* and fake-plugin"):
        Condition("c", preset("hfloss"))


def test_the_same_distribution_twice_on_the_path_is_one(install, tmp_path):
    install("quiet = {module}:Quiet", name="same", version="1.0")
    install("quiet = {module}:Quiet", name="Same", version="2.0")
    assert state_of("quiet") == ["available"]


def test_an_unknown_name_lists_close_matches(install):
    install("quiet = {module}:Quiet")
    with pytest.raises(InputError, match=r"unknown filter 'atenuation'. Did you mean 'attenuation'\?.*quiet"):
        get_filter("atenuation")


@pytest.mark.parametrize("line", ["quiet", "quiet = no colon", "= {module}:Quiet", "quiet = {module}:a b"])
def test_damaged_metadata_is_listed_as_broken_and_hurts_nobody(install, line):
    install(line + "\nfine = {module}:Quiet")
    assert get_filter("fine")
    assert get_filter("attenuation")
    broken = [info for info in list_filters() if info.state.startswith("broken")]
    assert [info.distribution for info in broken] == ["fake-plugin"]
    if broken[0].name:
        with pytest.raises(FilterPluginError, match="not of the form name = module:Class"):
            get_filter(broken[0].name)


def test_a_distribution_without_metadata_and_one_that_is_not_text(install, tmp_path):
    install("quiet = {module}:Quiet", metadata=False)
    binary = tmp_path / "binary-1.0.dist-info"
    binary.mkdir()
    (binary / "entry_points.txt").write_bytes(b"[audiogram.filters]\n\xff\xfe = a:B")
    assert filter_info("quiet").distribution == "fake_plugin"
    assert get_filter("quiet")


def test_comments_extras_and_other_groups(install):
    install("[console_scripts]\nquiet = a:b\n[audiogram.filters]\n# no\nquiet = {module}:Quiet [extra]\n")
    assert get_filter("quiet").__name__ == "Quiet"
    assert state_of("quiet") == ["available"]


def test_options_are_checked_against_the_signature(install):
    install("quiet = {module}:Quiet")
    assert resolve_options("quiet", {"gain": 1, "steps": 3}) == {"gain": 1.0, "mode": "a", "steps": 3}
    for options, words in (
        ({"gian": 1}, r"no option 'gian'. Did you mean 'gain'\? Its options: gain, mode, steps"),
        ({"gain": "loud"}, r"option 'gain' of filter 'quiet' is float, got 'loud' \(str\)"),
        ({"gain": True}, "is float, got True"),
        ({"mode": 1}, "is str, got 1"),
        ({"steps": 1.5}, "is int or nothing, got 1.5"),
        ({"sample_rate": 8000}, "given beside the options"),
    ):
        with pytest.raises(InputError, match=words):
            resolve_options("quiet", options)


def test_a_required_option_is_asked_for(install):
    install("quiet = {module}:Quiet", FILTER.replace("gain: float = 0.5", "gain: float"))
    with pytest.raises(InputError, match="'quiet' needs the option 'gain'"):
        resolve_options("quiet", {})


def test_literals_and_values_are_checked_by_the_built_in_filter():
    with pytest.raises(InputError, match=r"unknown interpolation of filter 'attenuation' 'log'"):
        resolve_options("attenuation", {"interpolation": "log"})
    with pytest.raises(InputError, match="even number"):
        Condition("c", Audiogram([1000], [10]), options={"n_fft": 1001})


LIMITER = """
import numpy as np
class Limiter:
    '''Sound above 80 dB SPL (RMS of the clip) is heard at a tenth.'''
    linear, level_dependent, adds_noise = False, True, False
    def __init__(self, audiogram, *, sample_rate, level):
        self.level = level
    def __call__(self, x):
        level = self.level + 20 * np.log10(np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True)))
        return np.where(level > 80, 0.1 * x, x)
"""


def test_level_dependent_filters_hear_the_level_of_the_condition(install):
    install("limiter = {module}:Limiter", LIMITER)
    with pytest.raises(InputError, match=r"depends on level; give level"):
        Condition("c", preset("normal"), "limiter")
    tone = np.sin(np.arange(16_000.0))
    batch = np.stack([tone, 1e-4 * tone])
    # every clip's speech is presented at the level, whatever its digital scale, and that scale comes back
    soft = Condition("soft", preset("normal"), "limiter", level={"speech_dbspl": 65})
    loud = Condition("loud", preset("normal"), "limiter", level={"speech_dbspl": 85})
    np.testing.assert_allclose(soft(batch, 16_000), batch, rtol=1e-12)
    np.testing.assert_allclose(loud(batch, 16_000), 0.1 * batch, rtol=1e-12)
    # full scale fixed: the digital scale decides; the tone lies 3 dB below it
    fixed = Condition("fixed", preset("normal"), "limiter", level={"full_scale_dbspl": 100})
    np.testing.assert_allclose(fixed(batch, 16_000), [0.1 * tone, 1e-4 * tone], rtol=1e-12)
    both = Condition("both", preset("normal"), "limiter", level={"full_scale_dbspl": 100, "speech_dbspl": 65})
    rms = np.sqrt(np.mean(np.square(both(batch, 16_000)), axis=-1))
    np.testing.assert_allclose(100 + 20 * np.log10(rms), 65, atol=1e-6)


def test_conformance_checks_level_dependent_plugins(install):
    from audiogram.filters import conformance

    install("limiter = {module}:Limiter", LIMITER)
    conformance.declares_itself("limiter")
    with pytest.raises(AssertionError, match="50 and 100 dB SPL give the same"):
        conformance.depends_on_level_as_declared("limiter")  # its sound lies below 80 dB SPL either way
