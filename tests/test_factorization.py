"""The answer as an operator, as a value, and as a file."""

import copy
import json
import pickle
import zipfile

import numpy as np
import pytest
from cases import BY_NAME, CASES, name_of, solve, solved
from sampling import in_turn
from scipy import linalg, sparse
from scipy.sparse import linalg as sparse_linalg

import fsmf
from fsmf.errors import FileFormatError, ShapeError
from fsmf.factorization import _checksum

every_row = pytest.mark.parametrize("case", CASES, ids=name_of)
every_row_and_some_dtype = pytest.mark.parametrize(
    ("case", "dtype"), in_turn(CASES, ["float32", "float64", "complex64", "complex128"])
)


def vectors(F, *shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.issubdtype(F.dtype, np.complexfloating):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(F.dtype)


def tolerance(F):
    """A hundred roundings of the product, whose terms may cancel."""
    terms = F.norm + np.linalg.norm(F.X.toarray()) * np.linalg.norm(F.Y.toarray())
    return float(100 * np.finfo(F.dtype).eps * terms)


def same(one, other):
    """Whether two answers agree in everything that they hold."""
    return (
        one.supports == other.supports
        and all(
            a.dtype == b.dtype and np.array_equal(a.data, b.data) and (a != b).nnz == 0
            for a, b in zip(one.factors, other.factors, strict=True)
        )
        and repr(one) == repr(other)
        and str(one) == str(other)
        and (one.norm, one.status, one.certificate, one.solver)
        == (other.norm, other.status, other.certificate, other.solver)
        and all(
            np.array_equal(getattr(one.history, name), getattr(other.history, name))
            for name in ("error", "factor_norm", "seconds")
        )
    )


@every_row_and_some_dtype
def test_products_are_those_of_the_dense_matrix(case, dtype):
    _, F = solved(case, dtype)
    D = F.X.toarray() @ F.Y.toarray()
    m, n = F.shape
    x, X, y, Y = vectors(F, n), vectors(F, n, 3), vectors(F, m), vectors(F, m, 3)
    for found, expected in [
        (F.to_dense(), D),
        (F @ x, D @ x),
        (F @ X, D @ X),
        (F.matmat(x[:, None]), D @ x[:, None]),
        (F.rmatvec(y), D.conj().T @ y),
        (F.rmatmat(Y), D.conj().T @ Y),
        (F.H @ y, D.conj().T @ y),
        (F.T @ Y, D.T @ Y),
        (y @ F, y @ D),
        (F.T.to_dense(), D.T),
        (F.H.to_dense(), D.conj().T),
        (F.T.H.to_dense(), D.conj()),
        ((2 * F - F) @ x, D @ x),
    ]:
        assert found.shape == expected.shape
        assert found.dtype == F.dtype
        assert np.allclose(found, expected, atol=tolerance(F))


@every_row_and_some_dtype
def test_the_adjoint_is_one(case, dtype):
    _, F = solved(case, dtype)
    x, y = vectors(F, F.shape[1]), vectors(F, F.shape[0], seed=1)
    assert np.vdot(y, F @ x) == pytest.approx(np.vdot(F.H @ y, x), abs=tolerance(F))


@every_row_and_some_dtype
def test_an_answer_has_the_numbers_of_its_factors(case, dtype):
    A, F = solved(case, dtype)
    assert F.dtype == A.dtype
    assert all(factor.dtype == A.dtype for factor in F.factors)
    assert F.shape == A.shape
    assert F.supports == fsmf.as_supports(case.supports)
    for factor, support in zip(F.factors, F.supports, strict=True):
        assert (
            fsmf.Support(sparse.csr_array((np.ones(factor.nnz), factor.indices, factor.indptr), factor.shape))
            == support
        )
    wide = np.result_type(A.dtype, np.float64)
    error = np.linalg.norm(A.astype(wide) - F.X.toarray().astype(wide) @ F.Y.toarray().astype(wide))
    assert F.error == pytest.approx(error, abs=tolerance(F))
    assert F.norm == pytest.approx(np.linalg.norm(A.astype(wide)))
    assert F.relative_error == F.error / F.norm
    assert F.lower_bound <= F.error
    assert F.n_parameters == sum(support.nnz for support in F.supports)
    assert F.nbytes == F.n_parameters * A.dtype.itemsize


@every_row
def test_the_receipt_says_what_matters(case):
    _, F = solved(case)
    receipt = str(F)
    for fact in (
        F.solver,
        F.status.value,
        str(F.certificate),
        f"{F.n_parameters} ",
        f"{F.relative_error:.6g}",
    ):
        assert fact in receipt
    assert ("sweeps" in receipt) == bool(len(F.history))
    assert "Factorization" in repr(F)


CLONES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda F: pickle.loads(pickle.dumps(F)),
    "pickle 2": lambda F: pickle.loads(pickle.dumps(F, protocol=2)),
}


@pytest.mark.parametrize(("case", "how"), in_turn(CASES, list(CLONES)))
def test_a_copy_is_the_same_answer(case, how):
    A, F = solved(case)
    twin = CLONES[how](F)
    assert same(twin, F)
    assert twin.verify(A)


@every_row_and_some_dtype
def test_a_file_gives_back_the_same_answer(case, dtype, tmp_path):
    A, F = solved(case, dtype)
    F.save(tmp_path / "answer")
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]
    G = fsmf.load(tmp_path / "answer")
    assert same(G, F)
    assert G.verify(A)


def square_answer():
    """An exact answer for a well-conditioned symmetric positive definite matrix."""
    rng = np.random.default_rng(0)
    blocks = [
        q @ np.diag([1.0, 2, 3, 4]) @ q.T
        for q in (np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in "abc")
    ]
    A = linalg.block_diag(*blocks)
    return A, solve(A, fsmf.block_diagonal(12, blocks=3, rank=4))


def test_scipy_takes_an_answer_for_an_operator():
    A, F = square_answer()
    b = np.random.default_rng(1).standard_normal(12)
    x = np.linalg.solve(A, b)
    assert np.allclose(sparse_linalg.lsqr(F, b, atol=1e-13, btol=1e-13)[0], x)
    solution, info = sparse_linalg.cg(F, b, rtol=1e-12)
    assert info == 0
    assert np.allclose(solution, x)
    assert np.allclose(sparse_linalg.gmres(F, b, rtol=1e-12)[0], x)
    top = sparse_linalg.svds(F, k=3, return_singular_vectors=False, rng=np.random.default_rng(0))
    assert np.allclose(np.sort(top), [4, 4, 4])
    assert np.allclose(sparse_linalg.aslinearoperator(F) @ b, A @ b)
    assert sparse_linalg.onenormest(F) == pytest.approx(np.abs(A).sum(axis=0).max(), rel=0.5)


def test_wrong_vectors_are_refused():
    F = square_answer()[1]
    with pytest.raises(ValueError, match=r"array of shape \(5,\)"):
        F @ np.ones(5)


def test_only_a_pair_has_x_and_y():
    twin = copy.copy(square_answer()[1])
    twin.factors = twin.factors[:1]
    with pytest.raises(ShapeError, match="found 1 factors"):
        _ = twin.X


# Files.


@pytest.fixture
def written(tmp_path):
    _, F = solved(BY_NAME["mixed"])
    path = tmp_path / "answer.npz"
    F.save(path)
    return F, path


def rewrite(path, change, *, seal=True):
    """Write the file again, changed, with the checksum that the writer would have made, or the old one."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    old = arrays.pop("checksum")
    change(header, arrays)
    text = json.dumps(header)
    np.savez(
        path, header=np.array(text), checksum=np.array(_checksum(text, arrays)) if seal else old, **arrays
    )


def test_a_file_cut_anywhere_is_refused(written):
    _, path = written
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"answer\.npz"):
            fsmf.load(path)


@pytest.mark.parametrize("phase", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))])
def test_a_byte_changed_anywhere_is_refused_or_harmless(written, phase):
    """Some bytes of a zip archive mean nothing: then the answer must be the same."""
    F, path = written
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = tried = 0
    for place in range(phase, len(whole), 4):
        # All of the records of the archive, and some of what they hold.
        if place % 17 and b"PK" not in whole[max(0, place - 60) : place]:
            continue
        tried += 1
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            assert same(fsmf.load(path), F), place
        except FileFormatError:
            refused += 1
    assert refused > 0.3 * tried


def test_regions_overwritten_are_refused_or_harmless(written):
    F, path = written
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for start in range(0, len(whole), 61):
        for filling in (bytes(64), b"\xff" * 64, rng.bytes(64), b""):
            path.write_bytes(whole[:start] + filling + whole[start + 64 :])
            try:
                assert same(fsmf.load(path), F), (start, filling)
            except FileFormatError:
                continue


def with_header(**fields):
    return lambda header, arrays: header.update(fields)


def without(name):
    return lambda header, arrays: (arrays.pop(name, None), header.pop(name, None))


def with_array(name, array):
    return lambda header, arrays: arrays.update({name: np.asarray(array)})


WRONG_CONTENT = {
    "newer version": with_header(version=10**6),
    "version is text": with_header(version="two"),
    "version is none": with_header(version=None),
    "other format": with_header(format="something else"),
    "no shapes": with_header(shapes=[]),
    "wrong shapes": with_header(shapes=[[1, 1], [1, 1]]),
    "shapes do not chain": with_header(shapes=[[7, 4], [5, 8]]),
    "shapes are text": with_header(shapes="7×4"),
    "unknown status": with_header(status="DONE"),
    "unknown certificate": with_header(certificate="Trust"),
    "numbers missing": with_header(numbers={}),
    "numbers are text": with_header(numbers="many"),
    "unknown number": with_header(numbers={"error": 1.0, "luck": 1.0}),
    "norm is text": with_header(norm="large"),
    "norm is none": with_header(norm=None),
    "no status": without("status"),
    "no numbers": without("numbers"),
    "no data": without("data0"),
    "no indices": without("indices1"),
    "no blocks": without("blocks2"),
    "no history": without("error"),
    "data too short": with_array("data0", np.ones(2)),
    "data are text": with_array("data0", ["a"] * 9),
    "data two-dimensional": with_array("data0", np.ones((3, 3))),
    "index out of range": lambda header, arrays: arrays["indices0"].__setitem__(0, 99),
    "index negative": lambda header, arrays: arrays["indices0"].__setitem__(0, -1),
    "row starts fall": lambda header, arrays: arrays["indptr0"].__setitem__(1, 99),
    "blocks are text": with_array("blocks0", ["a"]),
    "history is text": with_array("error", ["a"]),
}


@pytest.mark.parametrize("change", WRONG_CONTENT.values(), ids=WRONG_CONTENT)
def test_a_file_with_wrong_content_is_refused(written, change):
    _, path = written
    rewrite(path, change)
    with pytest.raises(FileFormatError, match=r"answer\.npz"):
        fsmf.load(path)


def test_a_file_rewritten_unchanged_is_read(written):
    F, path = written
    for seal in (True, False):
        rewrite(path, lambda header, arrays: None, seal=seal)
        assert same(fsmf.load(path), F)


def test_the_seal_covers_every_array_and_the_header(written):
    _, path = written
    whole = path.read_bytes()
    with np.load(path) as file:
        names = [name for name in file.files if name not in ("header", "checksum")]

    def changed(name):
        def change(header, arrays):
            header["norm"] *= 1 + (name == "norm")
            if name in arrays:
                arrays[name].reshape(-1)[-1:] += 1

        return change

    for name in ("norm", *names):
        path.write_bytes(whole)
        rewrite(path, changed(name), seal=False)
        with pytest.raises(FileFormatError, match="checksum"):
            fsmf.load(path)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a file was executed')",))


def write_member(path, name, content):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)


def write_npy(path, array):
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("header"),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "npy": lambda path: write_npy(path, np.eye(2)),
    "npy of objects": lambda path: write_npy(path, np.array([Bomb()])),
    "npz": lambda path: np.savez(path, a=np.eye(2)),
    "npz of objects": lambda path: np.savez(path, header=np.array([Bomb()]), checksum=np.array("0")),
    "npz with a header": lambda path: np.savez(path, header=np.array("{}"), checksum=np.array("0")),
    "npz with a list": lambda path: np.savez(path, header=np.array("[1]"), checksum=np.array("0")),
    "npz with no checksum": lambda path: np.savez(path, header=np.array("{}")),
    "sparse matrix": lambda path: sparse.save_npz(path, sparse.eye_array(3)),
    "zip": lambda path: write_member(path, "readme.txt", "hello"),
    "zip with a false array": lambda path: write_member(path, "header.npy", "hello"),
    "zip with a pickle": lambda path: write_member(path, "header.npy", pickle.dumps(Bomb())),
    "empty zip": lambda path: zipfile.ZipFile(path, "w").close(),
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_and_nothing_in_it_runs(write, tmp_path):
    path = tmp_path / "answer.npz"
    write(path)
    with pytest.raises(FileFormatError, match=r"answer\.npz"):
        fsmf.load(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        fsmf.load(tmp_path / "nothing.npz")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises((FileFormatError, OSError)):
        fsmf.load(tmp_path)


def test_a_saved_answer_still_cannot_be_spoiled(written):
    """A forger who also forges the checksum meets the verification."""
    path = written[1]
    rewrite(path, lambda header, arrays: header["numbers"].update(error=0.0, lower_bound=0.0))
    assert not fsmf.load(path).verify(BY_NAME["mixed"].matrix())
