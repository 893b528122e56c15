"""Mistakes that the catalog finds."""

from author_mistakes import Catcher, Mistake

CATALOG_MISTAKES = (
    Mistake(
        "A library is not installed.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "import acme_core\nfrom pydantic import Field"},
        "acme 1.0 (ModuleNotFoundError: No module named 'acme_core')",
    ),
    Mistake(
        "A module of the core is imported that is not public, or no longer there.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.spec import HeadSpec\nfrom pydantic import Field"},
        "acme 1.0 (it imports taskgraft.spec, which is not public: plugins import from taskgraft.plugin)",
    ),
    Mistake(
        "A name is imported that taskgraft.plugin does not have.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "from taskgraft.plugin import BackboneSpecs\nfrom pydantic import Field"},
        "acme 1.0 (it imports 'BackboneSpecs' from taskgraft.plugin, which does not have it; did it mean 'BackboneSpec'?)",
    ),
    Mistake(
        "torch is imported at module level. The plugin works, with a remark.",
        Catcher.CATALOG,
        "__init__",
        {"from pydantic import Field": "import torch\nfrom pydantic import Field"},
        "imports torch during discovery; move that import into the spec's build function",
    ),
    Mistake(
        "The module states no contract.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': ""},
        'acme 1.0 (states no contract: add TASKGRAFT_CONTRACT = "1.1" to its module)',
    ),
    Mistake(
        "The contract is a number, which would read 1.10 as 1.1.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': "TASKGRAFT_CONTRACT = 1.0"},
        "acme 1.0 (states the contract 1.0, which is not a version like '1.1')",
    ),
    Mistake(
        "The plugin was built for a newer contract.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "1.2"'},
        "acme 1.0 (was built for contract 1.2, newer than the installed 1.1: update taskgraft)",
    ),
    Mistake(
        "The plugin was built for an older contract, which is no longer supported.",
        Catcher.CATALOG,
        "__init__",
        {'TASKGRAFT_CONTRACT = "1.0"': 'TASKGRAFT_CONTRACT = "0.9"'},
        "acme 1.0 (was built for contract 0.9, older than the installed 1.1: update the plugin)",
    ),
    Mistake(
        "A hook is misspelt.",
        Catcher.CATALOG,
        "__init__",
        {"def taskgraft_heads": "def taskgraft_head"},
        "acme 1.0 (has a hook 'taskgraft_head', which does not exist; did it mean 'taskgraft_heads'?)",
    ),
    Mistake(
        "A hook lacks its decorator.",
        Catcher.CATALOG,
        "__init__",
        {"@hookimpl\ndef taskgraft_heads": "def taskgraft_heads"},
        "acme 1.0 (has taskgraft_heads without @hookimpl, so it would never be called)",
    ),
    Mistake(
        "A hook creates its specs but returns nothing.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec": "spec = HeadSpec"},
        "acme 1.0 (taskgraft_heads returned None, not an iterable of HeadSpec)",
    ),
    Mistake(
        "A hook raises after its first spec.",
        Catcher.CATALOG,
        "__init__",
        {"\n\ndef describe_kinds": "    raise KeyError('ACME_LICENCE')\n\n\ndef describe_kinds"},
        "acme 1.0 (KeyError: 'ACME_LICENCE')",
    ),
    Mistake(
        "A hook returns something that is not a spec.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec(": "yield dict("},
        "acme 1.0 (taskgraft_heads returned dict {'name': 'kinds', 'summary': 'one label per row', "
        "'config': , not HeadSpec)",
    ),
    Mistake(
        "A hook modifies a spec.",
        Catcher.CATALOG,
        "__init__",
        {
            "yield HeadSpec(": "spec = HeadSpec(",
            "\n\ndef describe_kinds": '    spec.name = "sorts"\n    yield spec\n\n\ndef describe_kinds',
        },
        "acme 1.0 (FrozenInstanceError: cannot assign to field 'name')",
    ),
    Mistake(
        "A config is a plain pydantic model, a dataclass or a dict.",
        Catcher.CATALOG,
        "__init__",
        {"class StringsConfig(Config)": "from pydantic import BaseModel\nclass StringsConfig(BaseModel)"},
        "acme 1.0 (taskgraft_backbones: the config of 'strings' is <class 'acme_strings.StringsConfig'>, not "
        "a subclass of Config)",
    ),
    Mistake(
        "A name contains capitals or an underscore.",
        Catcher.CATALOG,
        "__init__",
        {'name="kinds"': 'name="Kinds_Head"'},
        "acme 1.0 (taskgraft_heads: 'Kinds_Head' is not a valid name (lower-case words joined by hyphens))",
    ),
    Mistake(
        "A hook takes an argument that the contract does not have.",
        Catcher.CATALOG,
        "__init__",
        {"def taskgraft_heads()": "def taskgraft_heads(settings)"},
        "acme 1.0 (PluginValidationError: Plugin 'acme_strings' for hook 'taskgraft_heads' hookimpl "
        "definition: taskgraft_heads(settings) -> collections.abc.Iterable[taskgraft.contract.specs.HeadSpec] "
        "Argument(s) {'settings'} are declared in the hookimpl but can not be found in the hookspec)",
    ),
    Mistake(
        "A hook never ends.",
        Catcher.CATALOG,
        "__init__",
        {"    yield HeadSpec(": "    while True:\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads returned more than 1,000 specs; it seems endless)",
    ),
    Mistake(
        "A hook returns one name twice.",
        Catcher.CATALOG,
        "__init__",
        {"yield HeadSpec(": "for _ in range(2):\n      yield HeadSpec("},
        "acme 1.0 (taskgraft_heads names kinds more than once)",
    ),
    Mistake(
        "Aliases are a string instead of a tuple.",
        Catcher.CATALOG,
        "__init__",
        {'name="kinds",': 'name="kinds", aliases=("sorts"),'},
        "acme 1.0 (taskgraft_heads: the aliases of 'kinds' are 'sorts', not a tuple of names)",
    ),
    Mistake(
        "Another distribution provides the same name.",
        Catcher.USE,
        "__init__",
        {'name="kinds"': 'name="healthy"'},
        "The head 'healthy' is provided by acme 1.0 and by health 1.0. Choose one with "
        "'acme/healthy' or 'health/healthy'.",
    ),
)
