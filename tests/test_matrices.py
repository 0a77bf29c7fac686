import numpy as np
import pytest
from scipy import fft, io, linalg, sparse

import fsmf
from fsmf.errors import FileFormatError, FsmfError, OptionError, ShapeError, SupportError
from fsmf.matrices import FAMILIES, MATRICES, listing, read_array, read_supports

CLOSED_FORMS = {
    "hadamard": linalg.hadamard,
    "dft": lambda n: np.fft.fft(np.eye(n), axis=0),
    "dct": lambda n: fft.dct(np.eye(n), axis=0, norm="ortho"),
    "hilbert": linalg.hilbert,
    "identity": np.eye,
    "random": lambda n: np.random.default_rng(0).standard_normal((n, n)),
}

# Arguments of each family besides the sizes; completion and deformable have tests of their own.
SPELLED = {
    "arrow": {"width": 2},
    "banded": {"lower": 1, "upper": 2},
    "block_diagonal": {"blocks": 4, "rank": 2},
    "butterfly": {"rank": 2},
    "hodlr": {"rank": 2},
    "kaleidoscope": {},
    "low_rank": {"rank": 3},
    "lu": {},
    "monarch": {"blocks": 4},
    "random_supports": {"components": 5, "density": 0.25, "rng": 0},
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("n", [1, 2, 16])
def test_named_matrices_are_their_closed_forms(name, n):
    found = read_array(f"{name}:{n}")
    expected = CLOSED_FORMS[name](n)
    assert found.dtype == (np.complex128 if name == "dft" else np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_entries_that_are_exact_are_exact():
    np.testing.assert_array_equal(read_array("hadamard:64"), linalg.hadamard(64))
    np.testing.assert_array_equal(read_array("hilbert:9"), 1 / (np.arange(9)[:, None] + np.arange(9) + 1))


@pytest.mark.parametrize("source", ["random:3x5", "random:3,5", "random:m=3,n=5", "random:3,n=5,rng=0"])
def test_sizes_are_written_in_several_ways(source):
    np.testing.assert_array_equal(read_array(source), np.random.default_rng(0).standard_normal((3, 5)))


def test_random_has_a_seed():
    assert (read_array("random:4,rng=1") != read_array("random:4")).all()


def test_every_family_has_a_spelling():
    assert SPELLED.keys() | {"completion", "deformable"} == FAMILIES.keys()
    assert set(fsmf.__all__) >= FAMILIES.keys()


@pytest.mark.parametrize("name", SPELLED)
def test_families_take_sizes_from_the_name_or_from_the_matrix(name):
    options = SPELLED[name]
    text = ",".join(f"{key}={value}" for key, value in options.items())
    expected = FAMILIES[name](16, **options)
    assert read_supports(f"{name}:{text}", (16, 16)) == expected
    assert read_supports(f"{name}:16{',' * bool(text)}{text}") == expected
    assert read_supports(f"{name}:16,{text}", (8, 8)) == expected
    if name not in ("lu", "kaleidoscope"):
        expected = FAMILIES[name](16, 24, **options)
        assert read_supports(f"{name}:16x24,{text}") == expected
        assert read_supports(f"{name}:{text}", (16, 24)) == expected


def test_options_that_are_lists_are_spelled_with_crosses():
    expected = fsmf.deformable(12, 24, row_radices=(2, 3, 2), column_radices=(4, 2, 3), rank=(1, 2))
    text = "row_radices=2x3x2,column_radices=4x2x3,rank=1x2"
    assert read_supports(f"deformable:{text}", (12, 24)) == expected
    assert read_supports(f"deformable:12x24,{text}") == expected
    assert read_supports("butterfly:22,radices=2x11") == fsmf.butterfly(22, radices=(2, 11))
    assert read_supports("butterfly:radices=11", (11, 11)) == fsmf.butterfly(11, radices=[11])


def test_a_family_without_arguments_needs_no_colon():
    assert read_supports("lu", (3, 3)) == fsmf.lu(3)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".mtx"])
def test_completion_reads_its_mask(tmp_path, suffix):
    W = np.array([[1, 0, 1], [1, 1, 0]])
    path = tmp_path / f"W{suffix}"
    if suffix == ".npy":
        np.save(path, W)
    elif suffix == ".mtx":
        io.mmwrite(path, sparse.coo_array(W))
    else:
        np.savetxt(path, W, delimiter=",")
    assert read_supports(f"completion:{path}", (2, 3)) == fsmf.completion(W)


SUPPORTS = fsmf.hodlr(8, rank=2)
S1, S2 = (support.toarray() for support in SUPPORTS)


def test_one_file_with_all_supports(tmp_path):
    square = fsmf.lu(4)
    np.save(tmp_path / "stack.npy", np.array([support.toarray() for support in square]))
    assert read_supports(str(tmp_path / "stack.npy")) == square
    np.savez(tmp_path / "plain.npz", S1, S2)
    np.savez(tmp_path / "named.npz", S2=S2, S1=S1.astype(float))
    io.savemat(tmp_path / "f.mat", {"S2": S2, "S1": sparse.csc_array(S1)})
    for name in ("plain.npz", "named.npz", "f.mat"):
        assert read_supports(str(tmp_path / name)) == SUPPORTS


def test_names_are_sorted_as_numbers(tmp_path):
    chain = [np.ones((k, k + 1)) for k in range(1, 13)]
    np.savez(tmp_path / "chain.npz", *chain)
    assert read_supports(str(tmp_path / "chain.npz")).shape == (1, 13)


def test_one_file_per_support(tmp_path):
    np.save(tmp_path / "S1.npy", S1)
    io.mmwrite(tmp_path / "S2.mtx", SUPPORTS[1].to_sparse().astype(int))
    sparse.save_npz(tmp_path / "S2.npz", SUPPORTS[1].to_sparse())
    np.savez(tmp_path / "both.npz", left=S1, right=S2)
    for right in ("S2.mtx", "S2.npz", "both.npz:right"):
        assert read_supports(f"{tmp_path}/S1.npy,{tmp_path}/{right}") == SUPPORTS


def test_supports_of_a_saved_factorization(tmp_path):
    F = fsmf.factorize(np.eye(8), SUPPORTS)
    F.save(tmp_path / "f.npz")
    found = read_supports(str(tmp_path / "f.npz"))
    assert (found, found.name) == (SUPPORTS, SUPPORTS.name)


def test_a_single_support_is_a_product_of_one(tmp_path):
    np.save(tmp_path / "S.npy", S1)
    assert read_supports(str(tmp_path / "S.npy")) == fsmf.as_supports([S1])


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("hadamrd:8", OptionError, r"neither a file \(.npy.* nor a name \(hadamard"),
        ("hadamard", OptionError, "lacks n; write hadamard:n"),
        ("hadamard:12", OptionError, "power of 2"),
        ("hadamard:eight", OptionError, "n must be a number; found 'eight'"),
        ("hadamard:8,8", OptionError, "one too many"),
        ("hadamard:8x8", OptionError, "one too many"),
        ("hadamard:8,n=8", OptionError, "given twice"),
        ("hadamard:m=8", OptionError, "unknown; write hadamard:n"),
        ("dft:0", OptionError, "positive integer; found 0"),
        ("dft:-4", OptionError, "positive integer"),
        ("dft:2.5", OptionError, "positive integer"),
        ("random:3,rng=-1", OptionError, "cannot be made"),
        ("random:3,rng=0.5", OptionError, "cannot be made"),
        ("dft:1000000000", MemoryError, "takes 14901161193 GiB"),
        ("hilbert:1" + "0" * 100, MemoryError, "GiB"),
        ("none.npy", FileNotFoundError, "none.npy"),
    ],
)
def test_what_is_no_matrix(source, error, said):
    with pytest.raises(error, match=said):
        read_array(source)


@pytest.mark.parametrize(
    ("source", "shape", "error", "said"),
    [
        ("monarhc:blocks=4", (8, 8), OptionError, "nor a name .*monarch"),
        ("random_suports:components=4,density=0.5", (8, 8), OptionError, "nor a name"),
        ("monarch", (8, 8), OptionError, "lacks blocks; write monarch:m,n,blocks=…,rank=1$"),
        ("monarch:blocks=4", None, OptionError, "lacks m; .* or give --shape M N"),
        ("monarch:block=4", (8, 8), OptionError, "unknown; write monarch:m,n,blocks=…,rank=1"),
        ("monarch:blocks=3", (8, 8), OptionError, "blocks must divide"),
        ("monarch:blocks=four", (8, 8), OptionError, "blocks must be a number"),
        ("monarch:8,8,8,blocks=4", None, OptionError, "one too many"),
        ("low_rank:rank=1.5", (8, 8), OptionError, "rank must be an integer"),
        ("low_rank:rank=2x", (8, 8), OptionError, "rank must be a number"),
        ("monarch:blocks=2x2", (8, 8), OptionError, r"blocks must be an integer; found \(2, 2\)"),
        ("butterfly", (11, 8), OptionError, r"radices=\(11,\)"),
        ("butterfly:radices=2x3", (8, 8), OptionError, r"must multiply to 8; found \(2, 3\)"),
        ("kaleidoscope", (8, 6), ShapeError, "kaleidoscope is for square matrices; found 8×6"),
        ("lu", (8, 6), ShapeError, "lu is for square matrices; found 8×6"),
        ("completion", (8, 8), OptionError, "lacks W; write completion:W$"),
        ("low_rank:1" + "0" * 30 + ",rank=1", None, OptionError, "below 2³¹"),
    ],
)
def test_what_are_no_supports(source, shape, error, said):
    with pytest.raises(error, match=said):
        read_supports(source, shape)


def test_files_that_are_no_supports(tmp_path):
    np.savez(tmp_path / "empty.npz")
    np.save(tmp_path / "numbers.npy", np.array([[1.0, 3.0]]))
    np.savez(tmp_path / "apart.npz", np.ones((2, 3)), np.ones((2, 3)))
    for name, error in {
        "empty.npz": SupportError,
        "numbers.npy": SupportError,
        "apart.npz": ShapeError,
    }.items():
        with pytest.raises(error):
            read_supports(str(tmp_path / name))


def test_a_damaged_factorization_is_no_supports(tmp_path):
    fsmf.factorize(np.eye(8), SUPPORTS).save(tmp_path / "f.npz")
    content = bytearray((tmp_path / "f.npz").read_bytes())
    content[content.index(b"\x93NUMPY") + 150] ^= 255  # in the first array, which has a checksum
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(FsmfError):
        read_supports(str(tmp_path / "f.npz"))


def test_several_arrays_are_no_matrix(tmp_path):
    np.savez(tmp_path / "f.npz", A=np.eye(2), B=np.eye(2))
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(FileFormatError, match=r"holds 2 arrays: A, B; choose one, such as .*f.npz:A"):
        read_array(str(tmp_path / "f.npz"))
    with pytest.raises(FileFormatError, match="holds 0 arrays; choose one"):
        read_array(str(tmp_path / "empty.npz"))


@pytest.mark.parametrize("table", [MATRICES, FAMILIES])
def test_the_list_names_all(table):
    for name in table:
        assert f"  {name}:" in listing(table)
