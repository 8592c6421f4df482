"""Messages for people: printable, of a length that can be read, and naming their file."""

import pytest

from camloc import cli
from camloc.core.errors import UserError, printable, reason, refusing


def test_long_quotation_loses_its_middle_and_control_characters_are_escaped():
    line = printable("a" * 600 + "\x1b[31m\ufeff" + "b" * 1_000_000)
    assert len(line) < 1_100 and line.startswith("aaa") and line.endswith("bbb")
    assert printable("x\x1b[31m\0\ufeffé") == "x\\x1b[31m\\x00\\ufeffé"


def test_reason_is_the_first_line_or_the_type():
    assert reason(ValueError("one\ntwo")) == "one"
    assert reason(KeyError()) == "KeyError"


@pytest.mark.parametrize("kind", [SyntaxError, MemoryError, RecursionError, NotImplementedError])
def test_whatever_a_parser_raises_becomes_one_message(kind):
    with (
        pytest.raises(UserError, match=r"^a\.png is broken \(why\); replace it$"),
        refusing("a.png is broken", "replace it"),
    ):
        raise kind("why")


def test_refusal_inside_stays_as_it_is_and_a_person_can_still_stop():
    with pytest.raises(UserError, match=r"^inner$"), refusing("outer", "advice"):
        raise UserError("inner")
    with pytest.raises(KeyboardInterrupt), refusing("outer", "advice"):
        raise KeyboardInterrupt


def test_command_prints_a_message_that_a_terminal_can_show(tmp_path, capsys):
    truth = tmp_path / "t.csv"
    truth.write_text("image,label,xmin,ymin,xmax,ymax\na,x,1,1,2,2\n")
    predictions = tmp_path / "p.csv"
    predictions.write_text(f"image,rank,label,xmin,ymin,xmax,ymax\n{'b' * 9000}\x1b,1,x,1,1,2,2\n")
    files = ["--truth", str(truth), "--predictions", str(predictions)]
    assert cli.main(["score", *files]) == 2
    said = capsys.readouterr().err
    assert len(said) < 1_200 and "\x1b" not in said and "p.csv holds images" in said
