from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from benchmark_folders import MMBENCH_COLUMNS, MMBENCH_ROWS, mmbench_row, write_mmbench

from mobilevlm_export.errors import EvaluateError
from mobilevlm_host.evaluate.benchmark import first_pictures
from mobilevlm_host.evaluate.known_benchmarks import load_benchmark
from mobilevlm_host.evaluate.mmbench import TABLE, chosen_letter

END = "\nAnswer with the option's letter from the given choices directly."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_mmbench(tmp_path, MMBENCH_ROWS)
    return tmp_path


def test_items_use_the_authors_prompts(folder: Path) -> None:
    mmbench = load_benchmark("mmbench", folder)
    assert [item.id for item in mmbench.items] == ["1", "2", "3", "1000001", "1000003"]
    assert mmbench.items[0].prompt == f"Which\tone\nis 1?\nA. cat\nB. dog{END}"
    # pandas reads "None" as no value, at which the authors' script ends the choices.
    assert mmbench.items[1].prompt == f"Look, here.\nWhich\tone\nis 2?\nA. 1\nB. 2{END}"
    assert mmbench.items[2].prompt == f"Which\tone\nis 3?\nA. up\nB. down{END}"
    assert (mmbench.name, mmbench.max_new_tokens) == ("mmbench", 1024)


def test_pictures_are_in_the_table(folder: Path) -> None:
    mmbench = load_benchmark("mmbench", folder)
    assert mmbench.missing() == []
    assert [item.picture for item in mmbench.items] == ["1", "2", "1", "1", "1"]  # the same bytes are the same picture
    assert mmbench.image("1").getpixel((0, 0)) == (255, 0, 0)
    assert mmbench.image("2").size == (3, 2)


def test_score_by_hand(folder: Path) -> None:
    answers = {"1": "A", "2": " b", "3": "B. down", "1000001": "B", "1000003": "B"}
    scores = load_benchmark("mmbench", folder).score(answers)
    # 1: right in both rotations. 2: "b" names no choice. 3: right, then wrong: wrong. Circular: 1 of 3; coarse 1 of 1, logic 0 of 2.
    assert scores.metrics == pytest.approx({"accuracy": 100 / 3, "coarse": 100, "logic": 0, "unmatched": 1})
    assert next(iter(scores.metrics)) == "accuracy"
    assert scores.by_item == {"1": 1, "2": 0, "3": 1, "1000001": 1, "1000003": 0}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("B.", "B"),
        ("(C)", "C"),
        ("(C).", "C"),
        ("D)", "D"),
        ("Answer: B", "B"),
        ("Answer :B.", "B"),
        ("B dog", "B"),
        ("A dog is running", None),  # a lone A in more than three words may be the article; and then no choice's text
        ("A teddy bear sits", "C"),  # but here a choice's text is told
        ("A. dog", "A"),
        ("A or B", None),
        ("A or B: fish", "B"),  # two lone letters, of which one has a mark
        ("the cat", "A"),
        ("CAT", "A"),
        ("a cat or a fish", None),  # two texts
        ("E", "E"),  # none of them: never right
        ("", None),
        ("cats", "A"),
    ],
)
def test_which_option_an_answer_names(answer: str, letter: str | None) -> None:
    assert chosen_letter(answer, {"A": "Cat", "B": "fish", "C": "teddy bear"}) == letter


@pytest.mark.parametrize("answer", ["None", "N/A", "null", "", "#N/A", "none", "None of them"])
def test_an_answer_that_a_workbook_reads_as_no_value(answer: str, tmp_path: Path) -> None:
    """As the official scorer sees it: written to a workbook and read by pandas, then spelled as text."""
    pandas.DataFrame({"index": [1], "prediction": [answer]}).to_excel(tmp_path / "answers.xlsx", index=False)
    read = str(pandas.read_excel(tmp_path / "answers.xlsx")["prediction"][0])
    for options in ({"A": "No", "B": "na"}, {"A": "one", "B": "Yes"}, {"A": "n", "B": "ll"}):
        assert chosen_letter(answer, options) == chosen_letter(read, options)
    assert chosen_letter("None", {"A": "No", "B": "Yes"}) is None
    assert chosen_letter("None", {"A": "na", "B": "Yes"}) == "A"


def test_limited_to_its_first_images(folder: Path) -> None:
    mmbench = load_benchmark("mmbench", folder).about(first_pictures(load_benchmark("mmbench", folder).items, 1))
    assert [item.id for item in mmbench.items] == ["1", "3", "1000001", "1000003"]
    scores = mmbench.score({"1": "A", "3": "B", "1000001": "B", "1000003": "A"})
    assert scores.metrics == {"accuracy": 100, "coarse": 100, "logic": 100, "unmatched": 0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "got no row"),
        ([mmbench_row(1, ["a"], "B", "red", "x")], "line 3: answer: got 'B', expected the letter of a choice"),
        ([MMBENCH_ROWS[0], MMBENCH_ROWS[0]], "line 5: index: got '1', expected an integer that no other row has"),
        ([["one", *MMBENCH_ROWS[0][1:]]], "index: got 'one'"),
        ([MMBENCH_ROWS[3]], "got index 1000001, a rotation, expected index 1 too"),
        ([MMBENCH_ROWS[0][:9]], "line 3: got 9 of 14 fields"),
        ([[*MMBENCH_ROWS[0], "more"]], "line 3: got more of 14 fields"),
        ([[*MMBENCH_ROWS[0][:9], "", *MMBENCH_ROWS[0][10:]]], "line 3: image: got nothing"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[list[str]], message: str) -> None:
    write_mmbench(tmp_path, rows)
    with pytest.raises(EvaluateError, match=message):
        load_benchmark("mmbench", tmp_path)


def test_bad_tables_are_named(folder: Path) -> None:
    table = folder / TABLE
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"is 2") + 2])  # inside a quoted question
    with pytest.raises(EvaluateError, match=r"\.tsv, line 5: got unexpected end of data"):
        load_benchmark("mmbench", folder)
    table.write_bytes(b"\xff" + whole)
    with pytest.raises(EvaluateError, match="expected MMBench's table in UTF-8"):
        load_benchmark("mmbench", folder)
    write_mmbench(folder, [], [column for column in MMBENCH_COLUMNS if column not in ("hint", "D")])
    with pytest.raises(EvaluateError, match="got no column hint, D"):
        load_benchmark("mmbench", folder)
    table.write_bytes(b"")
    with pytest.raises(EvaluateError, match="got no column index"):
        load_benchmark("mmbench", folder)
    table.unlink()
    with pytest.raises(EvaluateError, match="No such file or directory, expected MMBench's table"):
        load_benchmark("mmbench", folder)


@pytest.mark.parametrize(("image", "message"), [("@", "base64|image"), ("aGVsbG8=", "expected JPEG, PNG or the like")])
def test_a_bad_picture_is_named(tmp_path: Path, image: str, message: str) -> None:
    write_mmbench(tmp_path, [[*MMBENCH_ROWS[0][:9], image, *MMBENCH_ROWS[0][10:]]])
    with pytest.raises(EvaluateError, match=rf"index 1: image: got .*({message})"):
        load_benchmark("mmbench", tmp_path).image("1")
