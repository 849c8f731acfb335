"""The shipped checkpoint answers right after installation."""

import json

from structnet import cli

ROWS = "9\t[MAX 2 9 [MIN 4 7 ] 0 ]\n4\t( ( ( ( [MIN 7 ) 4 ) 5 ) ] )\n3\t[MED 1 9 3 ]\n5\t[SM 3 2 ]\n"


def test_evaluate_a_file(tmp_path, capsys):
    """`label<TAB>expression` rows, with and without the round brackets of the original."""
    path = tmp_path / "rows.tsv"
    path.write_text(ROWS)
    assert cli.main(["evaluate", "bt-cell-listops", "--data", str(path), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["splits"].values()
    assert result["count"] == 4 and result["accuracy"] == 1.0


def test_evaluate_by_operator_and_arguments(tmp_path, capsys):
    path = tmp_path / "rows.tsv"
    path.write_text(ROWS.replace("5\t[SM 3 2 ]", "6\t[SM 3 2 ]"))  # the last label is wrong
    assert cli.main(["evaluate", "bt-cell-listops", "--data", str(path), "--by", "operator,arguments"]) == 0
    out = capsys.readouterr().out
    assert "by operator  0: 100.0 % of 1   1: 100.0 % of 1   2: 100.0 % of 1   3: 0.0 % of 1" in out
    assert "by arguments  2: 0.0 % of 1   3: 100.0 % of 2   4: 100.0 % of 1" in out
    assert cli.main(["evaluate", "bt-cell-listops", "--data", str(path), "--by", "colour"]) == 2


def test_parse_writes_a_page(tmp_path, capsys):
    page = tmp_path / "parse.html"
    assert cli.main(["parse", "[MAX 2 9 [MIN 4 7 ] 0 ]", "--out", str(page)]) == 0
    assert "value 9; true value 9; 2 of 2 brackets found; 0 of 8 merges across a bracket" in capsys.readouterr().out
    assert page.read_text().count("<svg") == 3
    assert cli.main(["parse", "[MAX 2 9 [MIN 4 7 ] 0 ]", "--out", str(tmp_path / "tree.svg")]) == 0
    assert (tmp_path / "tree.svg").read_text().startswith("<svg")


def test_parse_wants_a_beam_tree(capsys):
    assert cli.main(["parse", "[MAX 2", "--run", "bt-cell-listops"]) == 2
    assert "expected" in capsys.readouterr().err
