from taskgraft.contract.hooks import ENTRY_POINT_GROUP
from taskgraft.discovery.distributions import PluginSource, iter_entry_points


def found(distribution="acme"):
    return [source for source, _ in iter_entry_points(ENTRY_POINT_GROUP) if source.distribution == distribution]


def test_the_core_provides_its_own_as_any_stranger_does(garden):
    core = [source for source, _ in iter_entry_points(ENTRY_POINT_GROUP)]
    assert [(source.distribution, source.entry_point, source.module) for source in core] == [
        ("taskgraft", "core", "taskgraft.builtin.plugin")
    ]


def test_a_plugin_is_known_by_distribution_version_and_entry_point(garden):
    garden.plant(None, version="2.1", entry_points="main = acme_plugin")
    assert found() == [PluginSource("acme", "2.1", "main", "acme_plugin")]
    assert str(found()[0]) == "acme 2.1"


def test_plugins_come_in_the_order_of_their_distributions(garden):
    for distribution in ("zoo", "Bakery", "acme"):
        garden.plant(None, distribution=distribution)
    assert [source.distribution for source, _ in iter_entry_points(ENTRY_POINT_GROUP)] == [
        "acme",
        "Bakery",
        "taskgraft",
        "zoo",
    ]


def test_of_two_folders_with_one_distribution_the_first_on_the_path_counts(garden):
    garden.plant(None, distribution="Acme_Text", version="1.0")
    garden.before().plant(None, distribution="acme-text", version="2.0")
    assert found("acme-text") == [PluginSource("acme-text", "2.0", "main", "acme_plugin")]
    assert found("Acme_Text") == []


def test_an_exact_duplicate_is_one_entry_point(garden):
    garden.plant(None, entry_points="main = acme_plugin\nmain=acme_plugin")
    assert found() == [PluginSource("acme", "1.0", "main", "acme_plugin")]


def test_two_entry_points_of_one_name_are_both_found(garden):
    garden.plant(None, entry_points="main = acme_one\nmain = acme_two")
    assert [source.module for source in found()] == ["acme_one", "acme_two"]


def test_other_groups_comments_and_empty_lines_are_passed_over(garden):
    garden.plant(None, entry_points="# main = a\n\n  main = acme_plugin\n[console_scripts]\nacme = acme:main")
    assert found() == [PluginSource("acme", "1.0", "main", "acme_plugin")]


def test_a_damaged_line_is_an_entry_point_without_value(garden):
    garden.plant(None, entry_points="damaged\nmain = acme_plugin")
    assert found() == [PluginSource("acme", "1.0", "damaged", ""), PluginSource("acme", "1.0", "main", "acme_plugin")]


def test_a_distribution_with_unreadable_metadata_is_skipped(garden):
    garden.plant(None, distribution="damaged").joinpath("METADATA").write_bytes(b"\xff\xfe")
    garden.plant(None, distribution="nameless").joinpath("METADATA").write_text("Version: 1.0\n")
    garden.plant(None, distribution="acme")
    assert [source.distribution for source, _ in iter_entry_points(ENTRY_POINT_GROUP)] == ["acme", "taskgraft"]
