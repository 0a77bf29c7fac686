"""A device is measured by a clock, here one that the tests set, and kept; whatever fails leaves estimates."""

import json
import math

import pytest
from cupy_on_host import cupy  # noqa: F401
from devices import ON_GPU

import fsmf
from fsmf.errors import OptionError
from fsmf.kernels import calibration, device_rates
from fsmf.kernels.calibration import Scale, measure, timed
from fsmf.kernels.device_rates import ESTIMATES, Rates, device_key, keep, rates_of
from fsmf.kernels.kronecker_blocks import Blocks
from fsmf.kernels.kronecker_plan import Numbers, plan_steps
from fsmf.kernels.kronecker_split_cuda import split_by_kernel
from fsmf.kernels.namespace import HOST, space_named

SMALL = Scale(64, 16, 16, 8, 1, (2, 3, 4, 5), (1, 2))
SINGLE, DOUBLE, HALF = Numbers(4, 4, False), Numbers(8, 8, False), Numbers(2, 4, False)


def dyadic(n):
    L = n.bit_length() - 1
    return tuple((2**i, 2, 2, 2 ** (L - 1 - i)) for i in range(L))


def kinds(chain, numbers, rates, columns=25088):
    return [step.kind for step in plan_steps(chain, numbers, columns, by_columns=False, rates=rates)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where rates of this test are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    device_rates.forget()
    yield tmp_path / "fsmf"
    device_rates.forget()


@pytest.fixture
def clock():
    """Everything takes as long as its work by some rates, and as set; nothing is run."""

    def make(rates=ESTIMATES, **seconds):
        def tell(probe):
            if probe.name in seconds:
                return seconds[probe.name]
            if probe.name not in Rates._fields:
                return 1.0 if probe.name.startswith("i") else 2.0
            rate = getattr(rates, probe.name)
            launch = 0 if probe.name == "bandwidth" else rates.launch
            return probe.work * rate if probe.name == "launch" else probe.work / rate + launch

        return tell

    return make


def test_rates_are_those_of_the_clock(clock, cupy):  # noqa: F811
    own = Rates(*(3.0 * rate for rate in ESTIMATES))._replace(launch=1e-12)
    found = measure(space_named("gpu"), SMALL._replace(side=64), clock(own))
    for name in set(Rates._fields) - {"processors", "least_side", "most_rank"}:
        assert getattr(found, name) == pytest.approx(getattr(own, name), rel=1e-6), name
    assert (found.least_side, found.most_rank) == (2, 2)


@pytest.mark.parametrize(
    ("slow", "crossover"),
    [
        ([], (2, 2)),
        (["i 2 1", "i 3 1"], (4, 2)),
        (["i 3 1"], (4, 2)),
        (["i 4 2"], (2, 1)),
        (["i 5 1"], (10, 2)),
    ],
)
def test_where_iteration_overtakes(slow, crossover, clock, cupy):  # noqa: F811
    found = measure(space_named("gpu"), SMALL, clock(**dict.fromkeys(slow, 3.0)))
    assert (found.least_side, found.most_rank) == crossover


def test_what_does_not_run_keeps_its_estimate(clock, cupy):  # noqa: F811
    found = measure(space_named("gpu"), SMALL, clock(matmul_half=math.inf, bandwidth=0.0))
    assert (found.matmul_half, found.bandwidth) == (ESTIMATES.matmul_half, ESTIMATES.bandwidth)


def test_probes_run(monkeypatch, cupy):  # noqa: F811
    """On the clock of the device, or of what stands in for it: all of them, and each is positive."""
    monkeypatch.setattr(calibration, "_ROUNDS", 1)
    space = space_named("gpu")
    seconds = {}
    measure(space, SMALL, lambda probe: seconds.setdefault(probe.name, timed(space, probe)))
    assert all(0 < one < math.inf for one in seconds.values())
    assert {"launch", "chain", "factor_double", "i 4 2", "r 5 1"} <= set(seconds)


def test_a_device_that_differs_is_planned_differently():
    wide = ((16, 64, 64, 16),)
    assert kinds(wide, SINGLE, ESTIMATES) != ["matmul"]
    quick = ESTIMATES._replace(matmul=1e16, bandwidth=1e16, matmul_double=1e12)
    assert kinds(wide, SINGLE, quick) == ["matmul"]
    assert kinds(wide, DOUBLE, quick) != ["matmul"]
    assert kinds(wide, DOUBLE, quick._replace(matmul_double=1e16)) == ["matmul"]
    assert kinds(((4, 256, 256, 1),), HALF, ESTIMATES) == ["matmul"]
    assert kinds(((4, 256, 256, 1),), HALF, ESTIMATES._replace(matmul_half=1e12)) == ["factor"]


def test_how_many_factors_are_fused():
    """As many as fit where memory is slow, or a launch; none where kernels are, and cuBLAS is not."""
    chain = dyadic(4096)
    for rates in (ESTIMATES._replace(bandwidth=1e10), ESTIMATES._replace(launch=1.0)):
        assert kinds(chain, SINGLE, rates) == ["chain"] * 2
    slow = ESTIMATES._replace(chain=1e9, factor=1e9)
    assert set(kinds(chain, SINGLE, slow)) == {"matmul"}


def test_columns_that_lie_as_a_whole_have_a_rate_of_their_own():
    chain = dyadic(1024)
    slow = ESTIMATES._replace(chain_columns=1e9, factor=1e9)
    (step,) = plan_steps(chain, SINGLE, 25088, by_columns=True)
    assert step.kind == "chain"
    steps = plan_steps(chain, SINGLE, 25088, by_columns=True, rates=slow)
    assert {step.kind for step in steps} == {"matmul"}
    assert kinds(chain, SINGLE, slow) == kinds(chain, SINGLE, ESTIMATES)


def test_blocks_go_where_they_are_measured_to(clock, folder, cupy):  # noqa: F811
    space = space_named("gpu")
    V = cupy.ones((1, 16, 1, 16))
    cut = Blocks(1, 16, 16, 1, 1, 1, 1)
    assert split_by_kernel(V, cut) is not None
    keep(device_key(0), ESTIMATES._replace(least_side=32))
    assert rates_of(space).least_side == 32
    assert split_by_kernel(V, cut) is None


def test_measured_once_and_kept(clock, folder, monkeypatch, cupy):  # noqa: F811
    own = ESTIMATES._replace(bandwidth=1e12)
    monkeypatch.setattr(calibration, "Scale", lambda: SMALL)
    monkeypatch.setattr(calibration, "timed", lambda space, probe: clock(own)(probe))
    space = space_named("gpu")
    assert rates_of(space) == ESTIMATES
    found = fsmf.calibrate()
    assert found.bandwidth == pytest.approx(1e12)
    assert rates_of(space) == found
    device_rates.forget()  # as another process
    assert rates_of(space) == found
    assert rates_of(HOST) == ESTIMATES
    # Of another device, or driver, nothing is known.
    text = (folder / "devices.json").read_text()
    assert "driver" in text
    (folder / "devices.json").write_text(text.replace("driver ", "driver 9"))
    device_rates.forget()
    assert rates_of(space) == ESTIMATES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "\x00",
        json.dumps({"KEY": 1}),
        json.dumps({"KEY": ESTIMATES._asdict() | {"launch": -1}}),
        json.dumps({"KEY": ESTIMATES._asdict() | {"launch": "x"}}),
        json.dumps({"KEY": ESTIMATES._asdict() | {"chain": math.nan}}),
        json.dumps({"KEY": {"bandwidth": 1.0}}),
    ],
)
def test_a_damaged_file_leaves_estimates_and_a_word(text, folder, caplog, cupy):  # noqa: F811
    folder.mkdir()
    (folder / "devices.json").write_text(text.replace("KEY", device_key(0)))
    assert rates_of(space_named("gpu")) == ESTIMATES
    assert "estimates take the place" in caplog.text
    assert keep(device_key(0), ESTIMATES._replace(launch=1.0)) is not None
    assert rates_of(space_named("gpu")).launch == 1.0


def test_where_nothing_can_be_kept_nothing_fails(folder, caplog, cupy):  # noqa: F811
    folder.parent.joinpath("fsmf").write_text("a file where the folder should be")
    assert keep(device_key(0), ESTIMATES) is None
    assert "cannot be kept" in caplog.text
    assert rates_of(space_named("gpu")) == ESTIMATES


def test_only_a_gpu_is_measured(monkeypatch):
    with pytest.raises(OptionError, match="only a GPU"):
        fsmf.calibrate("cpu")


@pytest.mark.skipif(ON_GPU, reason="there is a GPU")
def test_the_command(folder, monkeypatch, capsys, clock, cupy):  # noqa: F811
    from fsmf.cli import main

    monkeypatch.setattr(calibration, "Scale", lambda: SMALL)
    monkeypatch.setattr(calibration, "timed", lambda space, probe: clock()(probe))
    assert main(["calibrate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bandwidth"] == pytest.approx(3.5e12)
    assert main(["calibrate", "gpu"]) == 0
    assert "bandwidth" in capsys.readouterr().out
    assert main(["calibrate", "cpu"]) == 2
    assert "only a GPU" in capsys.readouterr().err
