"""Tables in CSV of too many columns, for which pandas takes minutes, and as programs write them."""

import pytest

from camloc.core.errors import UserError
from camloc.core.tables import COLUMNS, read_csv


@pytest.mark.parametrize(
    "text",
    [
        "a" + ",b" * 1000 + "\n1\n",
        "\n\r\n  a" + ",b" * 1000 + "\n1\n",
        "a" + ",b" * 1000 + "\r1\r",
        '"a\nb"' + ",b" * 1000 + "\n1\n",
        'a, "b\n"' + ",b" * 999 + "\n1\n",
        "\ufeffa" + ",b" * 1000,
        "a" + ",b" * 1_000_000,
    ],
)
def test_header_of_too_many_columns_is_refused(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    with pytest.raises(UserError, match=r"a\.csv is not a CSV \(its header has (1,001|50,001) col"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_as_many_columns_as_a_table_may_have_are_read(tmp_path, end):
    names = [f"c{i}" for i in range(COLUMNS)]
    text = end.join([",".join(names), ",".join("1" * COLUMNS), ""])
    (tmp_path / "a.csv").write_text(text, encoding="utf-8", newline="")
    table = read_csv(tmp_path / "a.csv")
    assert list(table) == names and table.to_numpy().tolist() == [[1] * COLUMNS]


def test_rows_that_are_longer_than_the_header_are_refused_or_cut(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2,\n")
    with pytest.raises(UserError, match=r"a\.csv is not a CSV"):
        read_csv(tmp_path / "a.csv")
    assert read_csv(tmp_path / "a.csv", "ignore").to_numpy().tolist() == [[1, 2]]
