"""The conformance kit: the promises of the contract as tests that a plugin's own tests inherit.

Inherit a class and define its fixtures; pytest does the rest::

    from taskgraft.testing import BackboneLaws

    class TestMyBackbone(BackboneLaws):
        @pytest.fixture
        def backbone(self):
            return MyBackbone(MyConfig(seed=0))

        @pytest.fixture
        def inputs(self):
            return {"text": ["one word", "three more words", "short", "a much longer text than the others"]}

Each test calls one function ``check_…``. Such a function needs no pytest, and raises :class:`ContractViolation`, which reports
the law, what was found and what to do. Give a backbone random weights without zero gates (scales away from 0, no matrix of
zeros): a layer behind a closed gate has no effect, so no check could see it.

A name is imported when it is first used. The names and the modules that define them are listed in ``__init__.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
