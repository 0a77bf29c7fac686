import gzip
import os
import zipfile

import numpy as np
import pytest
from scipy import io, sparse

from fsmf.errors import FileFormatError, InputTypeError
from fsmf.files import READABLE, WRITABLE, check_output, csv_lines, read_file, replaced, write_array

REAL = np.array([[1.0, -2.5, 1e-300], [0.0, 1 / 3, 7e200]])
ARRAYS = {
    "real": REAL,
    "complex": REAL + 1j * REAL[::-1],
    "single": REAL[:, :2].astype(np.float32),
    "column": REAL[:, :1],
    "row": REAL[:1],
    "integer": np.arange(6).reshape(2, 3),
}


def only(contents):
    (array,) = contents.values()
    return array


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_what_is_written_is_read(tmp_path, suffix, array):
    path = str(tmp_path / f"x{suffix}")
    write_array(path, array)
    np.testing.assert_array_equal(only(read_file(path)).astype(array.dtype), array)
    assert os.listdir(tmp_path) == [f"x{suffix}"]


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_vector_is_a_column_where_there_are_only_matrices(tmp_path, suffix):
    path = str(tmp_path / f"x{suffix}")
    write_array(path, np.arange(3.0))
    found = only(read_file(path))
    assert found.shape == ((3,) if suffix in (".npy", ".npz") else (3, 1))
    np.testing.assert_array_equal(found.ravel(), np.arange(3.0))


def test_single_precision_is_written_with_its_own_digits():
    assert list(csv_lines(np.array([0.1], np.float32))) == ["0.1\n"]


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_files_stay_sparse(tmp_path, layout):
    A = sparse.random_array((5, 4), density=0.4, rng=0)
    sparse.save_npz(tmp_path / "A.npz", A.asformat(layout))
    io.savemat(tmp_path / "A.mat", {"A": A.tocsc()})
    io.mmwrite(tmp_path / "A.mtx", A)
    (tmp_path / "A.mtx.gz").write_bytes(gzip.compress((tmp_path / "A.mtx").read_bytes()))
    for suffix in (".npz", ".mat", ".mtx", ".mtx.gz"):
        found = only(read_file(str(tmp_path / f"A{suffix}")))
        assert isinstance(found, sparse.csr_array)
        np.testing.assert_array_equal(found.toarray(), A.toarray())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("\ufeff1, -2.5e3", [[1, -2500]]),
        ("# words\n1+2j,3\n(0-1j),4", [[1 + 2j, 3], [-1j, 4]]),
        ("5", [[5]]),
    ],
)
def test_csv(tmp_path, text, values):
    (tmp_path / "A.csv").write_text(text, encoding="utf-8")
    np.testing.assert_array_equal(only(read_file(str(tmp_path / "A.csv"))), values)


def test_one_of_several_is_read_alone(tmp_path):
    contents = {"A": np.eye(2), "B": np.array([object()])}
    np.savez(tmp_path / "f.npz", **contents)
    io.savemat(tmp_path / "f.mat", {"A": np.eye(2), "B": "words"})
    for name in ("f.npz", "f.mat"):
        path = str(tmp_path / name)
        assert list(read_file(f"{path}:A")) == ["A"]
        with pytest.raises(FileFormatError, match=r"holds no array 'C'; it holds A, B"):
            read_file(f"{path}:C")
        with pytest.raises((FileFormatError, InputTypeError)):
            read_file(path)


def test_a_file_may_have_a_colon_in_its_name(tmp_path):
    np.save(tmp_path / "f.npy:A.npy", np.eye(2))
    assert read_file(str(tmp_path / "f.npy:A.npy")).keys() == {""}


def test_without_a_name_there_is_no_name(tmp_path):
    np.save(tmp_path / "x.npy", np.eye(2))
    with pytest.raises(FileFormatError, match="it holds one without a name"):
        read_file(str(tmp_path / "x.npy:A"))


@pytest.mark.parametrize("suffix", READABLE)
@pytest.mark.parametrize("content", [b"", b"hello", bytes(300), b"\x93NUMPY\x01\x00", b"PK\x03\x04broken"])
def test_garbage_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    if (suffix, content) == (".csv", b""):  # is an array without entries
        assert only(read_file(str(path))).size == 0
    else:
        with pytest.raises(FileFormatError, match=f"x{suffix} cannot be read as {suffix}"):
            read_file(str(path))


@pytest.mark.parametrize("value", ["x", "7.1\0009", "9.320596866133782E\x1b1", "0x1", "é"])
@pytest.mark.parametrize("name", ["x.mtx", "x.mtx.gz"])
def test_matrix_market_holds_numbers(tmp_path, name, value):
    text = f"%%MatrixMarket matrix array real general\n% né\n2 1\n1\n{value}".encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    with pytest.raises(FileFormatError, match="other things than numbers"):
        read_file(str(tmp_path / name))


def test_matrix_market_may_end_without_a_newline(tmp_path):
    for value in ("2.5", "2.5E-", "2.5E "):
        (tmp_path / "x.mtx").write_text(f"%%MatrixMarket matrix array real general\n2 1\n1\n{value}")
        np.testing.assert_array_equal(only(read_file(str(tmp_path / "x.mtx"))), [[1], [2.5]])


def test_files_cut_short_are_refused(tmp_path):
    write_array(str(tmp_path / "x.npy"), np.arange(100.0))
    np.savez_compressed(tmp_path / "x.npz", A=np.arange(100.0))
    io.savemat(tmp_path / "x.mat", {"A": np.arange(100.0)})
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(FileFormatError):
            read_file(str(path))


def test_objects_strings_and_records_are_no_numbers(tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{}]))
    np.savez(tmp_path / "pickled.npz", np.array([{}]))
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    io.savemat(tmp_path / "struct.mat", {"A": {"field": 1.0}})
    for path in tmp_path.iterdir():
        with pytest.raises((FileFormatError, InputTypeError), match=r"must hold numbers|allow_pickle=False"):
            read_file(str(path))


def test_sparse_indices_out_of_range_are_refused(tmp_path):
    A = sparse.csr_array(np.eye(3))
    A.indices[0] = 1000
    np.savez(
        tmp_path / "A.npz", format=b"csr", shape=A.shape, data=A.data, indices=A.indices, indptr=A.indptr
    )
    with pytest.raises(FileFormatError):
        read_file(str(tmp_path / "A.npz"))


def test_a_file_that_is_another_kind_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", np.eye(2))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    with pytest.raises(FileFormatError):
        read_file(str(tmp_path / "x.npy"))
    assert not zipfile.is_zipfile(__file__)


def test_missing_files_and_folders_speak_for_themselves(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_file(str(tmp_path / "x.npy"))
    with pytest.raises(IsADirectoryError):
        read_file(str(tmp_path))
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(FileFormatError, match="suffix"):
        read_file(str(tmp_path / "x.txt"))


def test_outputs_are_checked_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for path, error in {
        tmp_path: IsADirectoryError,
        tmp_path / "none" / "y.npy": FileNotFoundError,
        tmp_path / "file" / "y.npy": NotADirectoryError,
        tmp_path / "y.doc": FileFormatError,
    }.items():
        with pytest.raises(error):
            check_output(str(path), WRITABLE)
    check_output(str(tmp_path / "y.NPY"), WRITABLE)
    check_output(str(tmp_path / "y.doc"))


def test_an_interrupted_write_leaves_what_was_there(tmp_path):
    (tmp_path / "y").write_text("before")

    def spoil():
        with replaced(str(tmp_path / "y")) as place, open(place, "w") as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoil()
    assert os.listdir(tmp_path) == ["y"]
    assert (tmp_path / "y").read_text() == "before"


def test_links_are_followed_and_devices_written_directly(tmp_path):
    (tmp_path / "link.npy").symlink_to(tmp_path / "target.npy")
    write_array(str(tmp_path / "link.npy"), np.eye(2))
    assert (tmp_path / "link.npy").is_symlink()
    assert read_file(str(tmp_path / "target.npy"))[""].shape == (2, 2)
    with replaced(os.devnull) as place:
        assert place == os.devnull
