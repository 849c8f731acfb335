"""Files of expressions in the three forms in use, and what is said of damaged ones."""

import pytest

from structnet.datasets.listops import decode, read_file
from structnet.errors import StructureError


def test_files_of_all_three_kinds(tmp_path):
    plain, round_, lra = (tmp_path / name for name in "abc")
    plain.write_text("9\t[MAX 2 9 [MIN 4 7 ] 0 ]\n4\t4\n\n")
    round_.write_text("9\t( ( ( ( ( [MAX 2 ) 9 ) ( ( ( [MIN 4 ) 7 ) ] ) ) 0 ) ] )\n4\t4\n")
    lra.write_text("Source\tTarget\n( ( ( [MAX 2 ) 9 ) ] )\t9\n")
    for path in (plain, round_):
        tokens, ptr, labels = read_file(path)
        assert decode(tokens[: ptr[1]]) == "[MAX 2 9 [MIN 4 7 ] 0 ]" and labels.tolist() == [9, 4]
    assert decode(read_file(lra)[0]) == "[MAX 2 9 ]"


@pytest.mark.parametrize(
    "line, words",
    [
        ("[MAX 1 2 ]", "1 columns"),
        ("12\t[MAX 1 2 ]", "a label 0 .. 9"),
        ("[MAX\t[MAX 1 2 ]", "a label 0 .. 9"),
        ("1\t[MOX 1 2 ]", "'[MOX'"),
        ("1\t[MAX 1 2", "one complete expression"),
        ("1\t[MAX ]", "arguments for each operator"),
        ("1\t1 2", "one complete expression"),
        ("1\t", "one complete expression"),
    ],
)
def test_a_damaged_row_is_named_by_line(tmp_path, line, words):
    path = tmp_path / "bad.tsv"
    path.write_text(f"1\t1\n{line}\n")
    with pytest.raises(StructureError) as error:
        read_file(path)
    assert words in str(error.value) and "line 2" in str(error.value)


def test_an_empty_file(tmp_path):
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(StructureError, match="at least one row"):
        read_file(tmp_path / "empty")
