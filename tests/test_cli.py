import gzip
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import io, linalg, sparse

import fsmf
from fsmf import cli
from fsmf.arguments import OPTIONS, SOLVERS
from fsmf.certificates.verification import Check
from fsmf.cli import main
from fsmf.files import WRITABLE, read_file
from fsmf.solvers.dispatch import TABLE

# A dense corner, which is easy, beside an LU, which is not: parts go to different rows of the table.
COLUMN, TRIANGLE = np.ones((3, 1)), np.tri(3)
MIXED = fsmf.as_supports([linalg.block_diag(COLUMN, TRIANGLE), linalg.block_diag(COLUMN.T, TRIANGLE.T)])
ROOT = Path(fsmf.__file__).parents[1]
HARD = ["random:30", "random_supports:components=8,density=0.4,rng=1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def saved(here):
    """A saved complex factorization, 6 × 4."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 4)) + 1j * rng.standard_normal((6, 4))
    F = fsmf.factorize(A, fsmf.hodlr(6, 4, rank=1))
    F.save("f.npz")
    return F


def run(*words):
    command = [sys.executable, "-m", "fsmf", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


class TestFactorize:
    def test_prints_the_receipt(self, capsys):
        assert main(["factorize", "hadamard:1024", "monarch:blocks=32"]) == 0
        out, err = capsys.readouterr()
        assert out.startswith("1024×1024 float64 ≈ product of 2 factors, by BlockSVD\n")
        assert ("global optimum" in out, err) == (True, "")

    @pytest.mark.parametrize(
        "name", ["A.npy", "A.npz", "A.npz:A", "A.mat", "A.mtx", "A.mtx.gz", "A.csv", "sparse.npz"]
    )
    @pytest.mark.parametrize("dtype", [float, complex, int])
    def test_reads_every_format_and_saves(self, here, name, dtype):
        A = (9 * np.random.default_rng(0).standard_normal((8, 8))).astype(dtype)
        np.save("A.npy", A)
        np.savez("A.npz", A=A)
        io.savemat("A.mat", {"A": A})
        io.mmwrite("A.mtx", A, symmetry="general")
        (here / "A.mtx.gz").write_bytes(gzip.compress((here / "A.mtx").read_bytes()))
        np.savetxt("A.csv", A, delimiter=",")
        sparse.save_npz("sparse.npz", sparse.csr_array(A))
        assert main(["factorize", name, "monarch:blocks=4", "-o", "f.npz", "--quiet", "--verify"]) == 0
        F = fsmf.load("f.npz")
        assert F.dtype == (complex if dtype is complex else float)
        assert F.verify(A)
        assert F.error == pytest.approx(fsmf.factorize(A, fsmf.monarch(8, blocks=4)).error, rel=1e-9)

    def test_json_is_one_object_with_the_facts(self, here, capsys):
        assert main(["factorize", "hilbert:16", "hodlr:rank=2", "--json", "--verify", "-o", "f.npz"]) == 0
        out, err = capsys.readouterr()
        report = json.loads(out)
        F = fsmf.load("f.npz")
        assert (out.count("\n"), err) == (1, "")
        assert [report[key] for key in ("shape", "dtype")] == [[16, 16], "float64"]
        assert [report[key] for key in ("supports", "solver")] == ["hodlr(16, 16, rank=2)", "BlockSVD"]
        assert report["factors"] == [{"shape": list(s.shape), "nonzeros": s.nnz} for s in F.supports]
        assert report["parameters"] == F.n_parameters
        assert (report["error"], report["norm"]) == (F.error, F.norm)
        assert (report["relative_error"], report["lower_bound"]) == (F.relative_error, F.lower_bound)
        assert (report["status"], report["verified"], report["warnings"]) == ("OPTIMAL", True, [])
        assert report["certificate"] == {"name": "GlobalOptimum", **F.certificate.scalars()}
        assert report["seconds"] > 0

    def test_json_repeats_the_warnings(self, here, capsys):
        np.save("swap.npy", np.eye(2)[::-1])
        assert main(["factorize", "swap.npy", "lu", "--json"]) == 1
        report = json.loads(capsys.readouterr().out)
        assert (report["status"], report["verified"]) == ("FACTORS_GROW", None)
        assert "infimum may not be attained" in " ".join(report["warnings"])

    def test_growing_factors_are_told_in_one_line_and_by_the_exit_code(self, here, capsys):
        np.savetxt("swap.csv", np.eye(2)[::-1], delimiter=",")
        assert main(["factorize", "swap.csv", "lu", "-o", "f.npz"]) == 1
        out, err = capsys.readouterr()
        assert "factors grow while the error falls" in out
        assert err.startswith("fsmf: warning: factors grow while the error falls")
        assert err.count("\n") == 1
        assert fsmf.load("f.npz").status is fsmf.Status.FACTORS_GROW
        assert main(["factorize", "swap.csv", "lu", "--ridge", "0.01"]) == 0

    def test_an_empty_budget_is_told_by_the_exit_code(self, capsys):
        assert main(["factorize", *HARD, "--max-steps", "2"]) == 1
        assert capsys.readouterr().err.startswith("fsmf: warning: QuasiNewton is out of budget")

    def test_quiet_says_nothing(self, here, capfd):
        assert main(["factorize", *HARD, "--max-steps", "2", "-q", "--verify", "-o", "f.npz"]) == 1
        assert tuple(capfd.readouterr()) == ("", "")

    def test_verify_prints_what_was_checked(self, capsys):
        assert main(["factorize", *HARD, "--verify"]) == 0
        out = capsys.readouterr().out
        assert "ok   factors keep to their supports" in out
        assert "FAIL" not in out

    def test_what_is_not_verified_is_not_written(self, here, capsys, monkeypatch):
        wrong = fsmf.Verification((Check("error", 1.0, 2.0, False),))
        monkeypatch.setattr(fsmf.Factorization, "verify", lambda F, A, **_: wrong)
        words = ["factorize", "hilbert:8", "hodlr", "--verify", "-o", "f.npz", "--plot", "f.png"]
        assert main(words) == 3
        out, err = capsys.readouterr()
        assert "FAIL error: recorded 1, found 2" in out
        assert err == "fsmf: error: verification failed; nothing was written\n"
        assert main([*words, "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["verified"] is False
        assert os.listdir(here) == []

    @pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
    def test_plot_saves_a_picture(self, here, capsys, suffix):
        assert main(["factorize", "dft:8", "monarch:blocks=2", "--plot", f"f.{suffix}"]) == 0
        assert os.listdir(here) == [f"f.{suffix}"]
        assert (here / f"f.{suffix}").stat().st_size > 1000

    def test_plot_without_matplotlib_says_how_to_get_it(self, here, capsys, monkeypatch):
        monkeypatch.setattr(cli.util, "find_spec", lambda name: None)
        assert main(["factorize", "dft:8", "monarch:blocks=2", "--plot", "f.png"]) == 2
        assert 'pip install "fsmf[plot]"' in capsys.readouterr().err

    def test_other_warnings_stay_warnings(self, monkeypatch):
        def solve(*arguments, real=fsmf.factorize, **options):
            warnings.warn("of another kind", RuntimeWarning, stacklevel=2)
            return real(*arguments, **options)

        monkeypatch.setattr(fsmf, "factorize", solve)
        with pytest.warns(RuntimeWarning, match="of another kind"):
            assert main(["factorize", "hilbert:4", "lu", "-q"]) == 0


class TestSolverOptions:
    @pytest.fixture
    def mixed(self, here):
        np.savez("S.npz", *(support.toarray() for support in MIXED))
        A = np.random.default_rng(0).standard_normal((6, 6))
        np.save("A.npy", A)
        return A

    @pytest.mark.parametrize("extra", [[], ["--progress"]])
    def test_auto_is_what_the_library_chooses(self, mixed, extra):
        expected = fsmf.factorize(mixed, MIXED)
        assert expected.solver == "VariableProjection + BlockSVD"
        assert main(["factorize", "A.npy", "S.npz", "-o", "f.npz", *extra]) == 0
        F = fsmf.load("f.npz")
        assert F.solver == expected.solver
        assert F.certificate == expected.certificate
        for found, factor in zip(F.factors, expected.factors, strict=True):
            np.testing.assert_array_equal(found.toarray(), factor.toarray())

    def test_options_reach_the_parts_that_take_them(self, here):
        sides = zip((COLUMN, COLUMN.T), fsmf.arrow(4), strict=True)
        np.savez("S.npz", *(linalg.block_diag(easy, hard.toarray()) for easy, hard in sides))
        mixed = np.random.default_rng(0).standard_normal((7, 7))
        np.save("A.npy", mixed)
        assert main(["factorize", "A.npy", "S.npz", "-q", "-o", "f.npz", "--max-steps", "1"]) == 1
        F = fsmf.load("f.npz")
        assert (F.solver, F.status) == ("VariableProjection + BlockSVD", fsmf.Status.OUT_OF_BUDGET)
        assert F.verify(mixed)

    def test_a_ridge_is_for_all_parts(self, mixed):
        assert main(["factorize", "A.npy", "S.npz", "-q", "-o", "f.npz", "--ridge", "0.5"]) == 0
        F = fsmf.load("f.npz")
        assert (F.solver, F.certificate.ridge) == ("VariableProjection", 0.5)
        assert F.verify(mixed)

    @pytest.mark.parametrize(
        ("solver", "budget", "kind"),
        [(None, "max_steps", fsmf.VariableProjection), ("als", "max_sweeps", fsmf.ALS)],
    )
    def test_every_option_is_handed_over(self, monkeypatch, solver, budget, kind):
        def look(A, supports, *, solver, weights, missing):
            seen.extend(solver)
            raise fsmf.errors.InputError("seen enough")

        seen = []
        monkeypatch.setattr(fsmf, "factorize", look)
        options = {"starts": 2, budget: 7, "max_seconds": 1.5, "rtol": 0.125, "ridge": 0.25, "rng": 3}
        assert options.keys() < OPTIONS.keys()
        words = [
            word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        main(["factorize", "hilbert:4", "lu", *words, *(["--solver", solver] if solver else [])])
        found = next(one for one in seen if isinstance(one, kind))
        assert all(getattr(found, name) == value for name, value in options.items())

    def test_every_option_of_a_chain_is_handed_over(self, monkeypatch):
        def look(A, supports, *, solver, weights, missing):
            seen.extend(solver)
            raise fsmf.errors.InputError("seen enough")

        seen = []
        monkeypatch.setattr(fsmf, "factorize", look)
        words = "--order 2,1 --permutation bit-reversal --refine 2 --residual-terms 3"
        main(["factorize", "hilbert:8", "butterfly", *words.split()])
        expected = fsmf.Hierarchical(order=(2, 1), permutation="bit-reversal", refine=2, residual_terms=3)
        assert expected in seen
        main(["factorize", "hilbert:8", "butterfly", "--order", "balanced", "--rtol", "0.5"])
        assert fsmf.Hierarchical(order="balanced", rtol=0.5) in seen

    def test_weights_and_missing_entries(self, here, capsys):
        A, W = np.random.default_rng(0).standard_normal((2, 4, 4))
        A[0, 1], W = np.nan, W**2
        np.save("A.npy", A)
        np.save("W.npy", W)
        words = ["factorize", "A.npy", "lu", "--weights", "W.npy", "--missing", "nan", "--verify"]
        assert main([*words, "-q", "-o", "f.npz"]) in (0, 1)
        assert fsmf.load("f.npz").verify(A, weights=W, missing="nan")
        assert main(words[:3]) == 2
        assert "A must be finite" in capsys.readouterr().err
        assert main([*words, "--solver", "block-svd"]) == 2
        assert "takes no weights" in capsys.readouterr().err

    def test_a_bound_that_is_met_is_no_warning_and_a_path_is_told(self, here, capsys):
        assert main(["factorize", "hilbert:3", "lu", "--max-norm", "1", "--json"]) == 0
        receipt = json.loads(capsys.readouterr().out)
        assert (receipt["status"], receipt["ridge_path"]) == ("BOUNDED", None)
        np.save("A.npy", np.eye(2)[::-1])
        assert main(["factorize", "A.npy", "lu", "--ridge", "path", "--json"]) == 1
        path = json.loads(capsys.readouterr().out)["ridge_path"]
        assert path["grows"] is True
        assert abs(path["rate"] + 2) < 0.01
        assert len(path["ridges"]) == len(path["errors"]) == len(path["norms"])

    def test_a_search_is_told(self, here, capsys):
        np.save("A.npy", np.random.default_rng(0).standard_normal((3, 3)))
        np.save("W.npy", 1 - np.eye(3))
        assert (
            main(["factorize", "A.npy", "completion:W.npy", "--solver", "global-search", "--rtol", "0.1"])
            == 0
        )
        assert "by exhaustive search" in capsys.readouterr().out

    def test_a_solver_can_be_asked_for(self, capsys):
        words = ["factorize", "hilbert:6", "monarch:blocks=2"]
        for name, solver in SOLVERS.items():
            assert main([*words, "--solver", name]) == 0
            assert f"by {type(solver).__name__}\n" in capsys.readouterr().out
        assert [*map(type, SOLVERS.values())] == [*map(type, TABLE), fsmf.GlobalSearch]
        names = {"block-svd", "hierarchical", "quasi-newton", "als", "variable-projection", "global-search"}
        assert SOLVERS.keys() == names

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["lu", "--solver", "block-svd"], "BlockSVD takes tractable pairs"),
            (
                ["hodlr", "--ridge", "1"],
                "--ridge is an option of variable-projection or quasi-newton or als; these supports go to",
            ),
            (["hodlr", "--solver", "block-svd", "--max-sweeps", "9"], "--max-sweeps is an option of als"),
            (["lu", "--ridge", "-1"], "ridge must be a finite number of at least 0"),
            (["lu", "--rtol", "nan", "--solver", "als"], "rtol must be"),
            (["lu", "--starts", "0"], "starts must be an integer of at least 1"),
        ],
    )
    def test_options_that_do_not_fit(self, capsys, words, said):
        assert main(["factorize", "hilbert:6", *words]) == 2
        err = capsys.readouterr().err
        assert err.startswith("fsmf: error: ")
        assert said in err


class TestProgress:
    def test_goes_to_stderr_only_and_is_gone_in_the_end(self, capsys):
        assert main(["factorize", *HARD, "--rng", "0"]) == 0
        plain = capsys.readouterr()
        assert main(["factorize", *HARD, "--rng", "0", "--progress"]) == 0
        shown = capsys.readouterr()
        assert plain.err == ""
        assert shown.out.splitlines()[:-1] == plain.out.splitlines()[:-1]  # the last tells the time
        assert shown.err.startswith("\rstart 1, sweep ")
        assert "\n" not in shown.err
        assert shown.err.endswith("\r")
        assert shown.err.split("\r")[-2].strip() == ""

    @pytest.mark.parametrize(("extra", "shown"), [([], True), (["--quiet"], False)])
    def test_a_terminal_shows_it_unasked(self, capsys, monkeypatch, extra, shown):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        assert main(["factorize", *HARD, *extra]) == 0
        assert ("start 1, sweep " in capsys.readouterr().err) is shown

    def test_is_throttled(self, capsys):
        progress = cli._Progress()
        for sweep in range(1000):
            progress(fsmf.Sweep(0, sweep, 1.0, 1.0, 0.0))
        assert capsys.readouterr().err.count("sweep") < 100


class TestInterruption:
    def test_leaves_no_file(self, here, capsys, monkeypatch):
        def interrupted(progress, sweep):
            raise KeyboardInterrupt

        monkeypatch.setattr(cli._Progress, "__call__", interrupted)
        assert main(["factorize", *HARD, "--progress", "-o", "f.npz", "--plot", "f.png"]) == 130
        assert capsys.readouterr().err == "fsmf: interrupted\n"
        assert os.listdir(here) == []

    def test_while_writing_leaves_what_was_there(self, here, capsys, monkeypatch):
        def save(F, path):
            with open(path, "w") as file:
                file.write("half")
            raise KeyboardInterrupt

        (here / "f.npz").write_text("before")
        monkeypatch.setattr(fsmf.Factorization, "save", save)
        assert main(["factorize", "hilbert:4", "lu", "-o", "f.npz"]) == 130
        assert os.listdir(here) == ["f.npz"]
        assert (here / "f.npz").read_text() == "before"


class TestApply:
    @pytest.mark.parametrize("side", ["", "--transpose", "--adjoint"])
    @pytest.mark.parametrize("columns", [(), (1,), (3,)])
    @pytest.mark.parametrize("suffix", WRITABLE)
    def test_is_the_product(self, saved, side, columns, suffix):
        F = {"": saved, "--transpose": saved.T, "--adjoint": saved.H}[side]
        x = np.random.default_rng(1).standard_normal((F.shape[1], *columns))
        np.save("x.npy", x)
        assert main(["apply", "f.npz", "x.npy", "-o", f"y{suffix}", *([side] if side else [])]) == 0
        (y,) = read_file(f"y{suffix}").values()
        expected = F @ x
        assert y.shape == expected.shape or y.shape == (*expected.shape, 1)
        np.testing.assert_array_equal(y.reshape(expected.shape), expected)

    def test_prints_numbers_by_default(self, saved, capsys):
        assert main(["apply", "f.npz", "identity:4"]) == 0
        rows = [[complex(one) for one in line.split(",")] for line in capsys.readouterr().out.splitlines()]
        np.testing.assert_array_equal(rows, saved.to_dense())

    def test_takes_sparse_and_integer_arrays(self, saved):
        x = np.array([[0], [1], [0], [2]])
        sparse.save_npz("x.npz", sparse.csr_array(x))
        np.savetxt("x.csv", x, fmt="%d")
        for name in ("x.npz", "x.csv"):
            assert main(["apply", "f.npz", name, "-o", "y.npy"]) == 0
            np.testing.assert_allclose(np.load("y.npy"), saved @ x)


class TestExplain:
    def test_prints_the_plan(self, capsys):
        assert main(["explain", "monarch:blocks=8", "--shape", "64", "32"]) == 0
        assert capsys.readouterr().out == f"{fsmf.explain(fsmf.monarch(64, 32, blocks=8))}\n"

    def test_json_is_one_object_with_the_plan(self, capsys):
        assert main(["explain", "lu:4", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["supports"] == "lu(4)"
        assert report["shape"] == [4, 4]
        assert "not tractable: classes 0 and 1 compete at row 1, column 1" in report["facts"]
        assert [one["name"] for one in report["solvers"]] == [type(solver).__name__ for solver in TABLE]
        assert [one["refusal"] is None for one in report["solvers"]] == [False, False, True, True, True]
        (step,) = report["steps"]
        assert (step["shape"], step["solver"]) == ([4, 4], "VariableProjection")
        assert min(step["seconds"], step["bytes"]) > 0


class TestCheck:
    @pytest.mark.parametrize(
        ("supports", "said"),
        [("lu:2", "ill-posed: "), ("monarch:8,blocks=2", "well-posed: "), ("butterfly:8", "well-posed: ")],
    )
    def test_prints_a_verdict_that_verifies(self, capsys, supports, said):
        assert main(["check", supports, "--verify"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(said)
        assert "FAIL" not in out

    def test_networks(self, capsys):
        assert main(["check", "lu", "--shape", "2", "2", "--relu", "--verify"]) == 0
        assert "9 points" in capsys.readouterr().out
        assert main(["check", "lu", "--shape", "2", "2", "--relu", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["verdict"] == "TrainingIllPosed"
        assert main(["check", "low_rank:rank=2", "--shape", "3", "3", "--relu"]) == 1

    def test_json_holds_the_proof(self, capsys):
        assert main(["check", "lu", "--shape", "3", "3", "--json", "--verify"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report.pop("verified") is True
        assert type(fsmf.verdict_from_dict(report)) is fsmf.IllPosed


class TestMistakes:
    @pytest.fixture(autouse=True)
    def folder(self, saved, here):
        np.save("A.npy", np.eye(4))
        np.save("vector.npy", np.ones(4))
        np.save("cube.npy", np.ones((4, 4, 4)))
        np.save("nan.npy", np.diag([1, np.nan]))
        np.save("pickled.npy", np.array([[{}]]))
        np.save("words.npy", np.array([["a"]]))
        np.save("empty.npy", np.ones((0, 4)))
        np.savez("several.npz", A=np.eye(2), B=np.eye(2))
        (here / "A.csv").write_text("1,2\n3\n")
        (here / "A.txt").write_text("1")
        (here / "empty.csv").write_text("")
        content = (here / "f.npz").read_bytes()
        (here / "short.npz").write_bytes(content[: len(content) // 2])
        (here / "flipped.npz").write_bytes(content.replace(b"header", b"hEader"))

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("factorize none.npy lu", "none.npy: No such file or directory"),
            ("factorize A.txt lu", "A.txt: the suffix tells what a file holds"),
            ("factorize A lu", "A is neither a file"),
            ("factorize vector.npy lu", "vector.npy must be a matrix; found 1-D"),
            ("factorize nan.npy lu", "A must be finite; found 1"),
            ("factorize empty.npy low_rank:4,rank=1", "found shape (0, 4)"),
            ("factorize empty.csv low_rank:4,rank=1", "found shape (0"),
            (
                "factorize pickled.npy lu",
                "pickled.npy cannot be read as .npy: Object arrays cannot be loaded",
            ),
            ("factorize words.npy lu", "must hold numbers; found dtype <U1"),
            ("factorize several.npz lu", "choose one, such as several.npz:A"),
            ("factorize A.csv lu", "A.csv cannot be read as .csv: the number of columns changed"),
            ("factorize short.npz lu", "short.npz cannot be read as .npz"),
            ("factorize hadamrd:8 lu", "nor a name (hadamard, dft"),
            ("factorize dft:100000000 lu", "not enough memory: a dense 100000000×100000000"),
            ("factorize A.npy none.npz", "none.npz: No such file or directory"),
            ("factorize A.npy lu:5", "A has shape (4, 4)"),
            ("factorize A.npy nan.npy", "a support must hold only 0 and 1"),
            ("factorize A.npy lu:rank=2", "unknown; write lu:n"),
            ("factorize A.npy mnarch:blocks=2", "nor a name (arrow, banded"),
            ("factorize A.npy monarch", "lacks blocks"),
            ("factorize A.npy monarch:blocks=3", "common divisors are 1, 2, 4"),
            ("factorize A.npy completion:none.npy", "none.npy: No such file or directory"),
            ("factorize A.npy lu -o none/f.npz", "none: No such file or directory"),
            ("factorize A.npy lu --plot f.doc", "f.doc: the suffix tells what to write"),
            ("explain monarch:blocks=4", "lacks m; write monarch:m,n,blocks=…,rank=1, or give --shape M N"),
            ("explain lu --shape 0 0", "n must be at least 1"),
            ("explain lu:4 --shape 5 5", "--shape asks for (5, 5)"),
            ("apply none.npz vector.npy", "none.npz: No such file or directory"),
            ("apply several.npz vector.npy", "is no factorization that fsmf saved"),
            ("apply A.npy vector.npy", "is no factorization that fsmf saved"),
            ("apply flipped.npz vector.npy", "flipped.npz"),
            ("apply f.npz none.npy", "none.npy: No such file or directory"),
            ("apply f.npz cube.npy", "cube.npy must have 4 rows; found shape (4, 4, 4)"),
            ("apply f.npz vector.npy --transpose", "vector.npy must have 6 rows; found shape (4,)"),
            ("apply f.npz vector.npy -o y.doc", "y.doc: the suffix tells what to write"),
        ],
    )
    def test_get_one_line_and_exit_code_2(self, here, capsys, words, said):
        before = sorted(os.listdir(here))
        assert main(words.split()) == 2
        out, err = capsys.readouterr()
        assert (out, err[:13], err.count("\n")) == ("", "fsmf: error: ", 1)
        assert said in err
        assert sorted(os.listdir(here)) == before

    @pytest.mark.parametrize(
        "words",
        [
            "frobnicate",
            "factorize A.npy",
            "factorize A.npy lu --solver magic",
            "factorize A.npy lu --rng -1",
            "factorize A.npy lu --json --quiet",
            "explain lu --shape 4",
            "apply f.npz",
            "apply f.npz vector.npy --transpose --adjoint",
        ],
    )
    def test_of_usage_are_told_with_the_usage(self, capsys, words):
        assert main(words.split()) == 2
        out, err = capsys.readouterr()
        assert (out, err[:11], "error: " in err) == ("", "usage: fsmf", True)


class TestCommand:
    def test_without_arguments_helps(self, capsys):
        assert main([]) == 2
        out, err = capsys.readouterr()
        assert (out, "explain" in err) == ("", True)

    def test_tells_its_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"fsmf {fsmf.__version__}\n"

    @pytest.mark.parametrize("command", [[], ["explain"], ["factorize"], ["apply"]])
    def test_helps(self, capsys, command):
        assert main([*command, "--help"]) == 0
        out = capsys.readouterr().out
        assert "exit codes:" in out
        assert max(map(len, out.splitlines())) <= 110

    def test_runs_as_a_module(self, tmp_path):
        done = run("factorize", "hilbert:16", "hodlr:rank=2", "-o", str(tmp_path / "f.npz"), "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["solver"] == "BlockSVD"
        failed = run("apply", str(tmp_path / "f.npz"), "identity:3")
        assert failed.returncode == 2
        assert failed.stderr == "fsmf: error: identity:3 must have 16 rows; found shape (3, 3)\n"

    def test_prints_what_the_terminal_knows(self, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        done = run("explain", "lu:4")
        assert done.returncode == 0
        assert "2 factors for a matrix 4?4" in done.stdout

    def test_a_reader_who_leaves_is_let_go(self):
        words = [sys.executable, "-m", "fsmf", "explain", "lu:4"]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 141


class TestSuggest:
    def test_ranks_supports_and_saves_the_first(self, here, capsys):
        np.save("A.npy", linalg.hadamard(16)[np.random.default_rng(0).permutation(16)])
        assert main(["suggest", "A.npy", "-o", "f.npz"]) == 0
        expected = fsmf.suggest_supports(np.load("A.npy"))
        assert capsys.readouterr().out == "".join(f"{one}\n" for one in expected)
        assert fsmf.load("f.npz").verify(np.load("A.npy"))
        assert main(["suggest", "A.npy", "--json", "--max-parameters", "70"]) == 0
        rows = json.loads(capsys.readouterr().out)["suggestions"]
        assert rows
        assert all(row["parameters"] <= 70 for row in rows)

    def test_says_so_where_nothing_is_smaller(self, here, capsys):
        np.save("A.npy", np.ones((1, 5)))
        assert main(["suggest", "A.npy"]) == 1
        assert capsys.readouterr().out == "no supports have fewer parameters than A has entries\n"
