from io import StringIO

from rich.console import Console, Group

from taskgraft.evaluation.per_class import Confusion
from taskgraft.evaluation.tables import class_tables, metric_label, metrics_table


def printed(*parts, width: int = 80) -> str:
    out = StringIO()
    Console(file=out, width=width, markup=False).print(Group(*parts))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def many(count: int = 25) -> tuple[dict, Confusion]:
    """Classes of ten rows; class n loses n rows to the class before it, up to nine."""
    names = [f"a_class_with_a_rather_long_name_number_{number:02}" for number in range(count)]
    wrong = [min(number, 9) for number in range(count)]
    rows = [[0] * count for _ in names]
    for number, lost in enumerate(wrong):
        rows[number][number] = 10 - lost
        if lost:
            rows[number][number - 1] = lost
    scores = {
        name: {"precision": 0.5, "recall": (10 - lost) / 10, "f1": (10 - lost) / 10, "support": 10}
        for name, lost in zip(names, wrong, strict=True)
    }
    return scores, Confusion(tuple(names), tuple(map(tuple, rows)))


def test_of_many_classes_the_worst_and_the_largest_confusions_are_printed():
    shown = printed(*class_tables(*many())).splitlines()
    assert shown[1] == "the 10 of 25 classes with the lowest F1"
    assert [line.split()[0][-2:] for line in shown[4:14]] == ["09", *map(str, range(10, 19))]
    assert shown[15] == "the 10 largest of 24 confusions, with the share of the true class"
    assert shown[16].split("  ")[0] == "true class"
    assert shown[18] == "a_class_with_a_…name_number_09   a_class_with_a_…_name_number_08      9   90.0 %"
    assert len(shown) == 28


def test_a_class_without_rows_is_not_among_the_worst():
    scores, _ = many()
    scores["absent"] = {"precision": 0.0, "f1": 0.0, "support": 0}
    assert "absent" not in printed(*class_tables(scores, None))
    assert printed(*class_tables(scores, None)).splitlines()[1] == "the 10 of 26 classes with the lowest F1"


def test_a_confusion_matrix_that_does_not_fit_becomes_the_list_of_confusions():
    names = ("requests_a_replacement_card", "asks_for_the_opening_hours", "reports_an_unknown_payment")
    matrix = Confusion(names, ((8, 2, 0), (0, 10, 0), (1, 3, 6)))
    scores = {name: {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 10} for name in names}
    assert printed(*class_tables(scores, matrix), width=120).splitlines()[-5].split() == list(names)
    assert printed(*class_tables(scores, matrix)).splitlines()[-6:] == [
        "3 confusions, with the share of the true class",
        "true class                    predicted class               rows    share",
        "─────────────────────────────────────────────────────────────────────────",
        "reports_an_unknown_payment    asks_for_the_opening_hours       3   30.0 %",
        "requests_a_replacement_card   asks_for_the_opening_hours       2   20.0 %",
        "reports_an_unknown_payment    requests_a_replacement_card      1   10.0 %",
    ]


def test_no_confusion_is_said():
    names = tuple(f"class-{number}" for number in range(21))
    matrix = Confusion(names, tuple(tuple(int(one == other) for one in range(21)) for other in range(21)))
    scores = {name: {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1} for name in names}
    assert printed(*class_tables(scores, matrix)).endswith("\nno class is confused with another")


def test_a_metric_of_one_class_is_labelled_with_it():
    assert metric_label("auroc", {"auroc": "fraud"}) == "auroc (fraud)"
    assert metric_label("auroc", {"auroc": 1.0}) == "auroc (1)"
    assert metric_label("f1_macro", {"auroc": "fraud"}) == "f1_macro"
    assert "auroc (True)" in printed(metrics_table({"auroc": 0.5}, {}, {}, {"auroc": True}))
