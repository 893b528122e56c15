"""The conformance kit over the four table backbones."""

import pytest
import torch
from small_tables import SMALL, SPECS, TABLE, fitted

from taskgraft.testing import BackboneLaws

pytestmark = pytest.mark.slow

PLAIN = {"amount": [3.5, 80.0, 1.0, 12.25], "visits": [1, 0, 4, 2]}
WORDS = {"shop": ["books", "food", "food", "books"], "town": ["Ulm", "Ulm", "Jena", "Jena"]}


class TableLaws(BackboneLaws):
    @pytest.fixture
    def config(self, name, inputs):
        return fitted(SMALL[name], inputs)

    @pytest.fixture
    def backbone(self, name, config):
        torch.manual_seed(0)
        return SPECS[name].build(config)

    @pytest.fixture
    def spec(self, name):
        return SPECS[name]

    @pytest.fixture
    def inputs(self):
        return TABLE


@pytest.mark.parametrize("name", SMALL)
class TestEveryKindOfColumn(TableLaws):
    pass


@pytest.mark.parametrize("name", SMALL)
class TestNumbersAlone(TableLaws):
    @pytest.fixture
    def inputs(self):
        return PLAIN


@pytest.mark.parametrize("name", SMALL)
class TestCategoriesAlone(TableLaws):
    @pytest.fixture
    def inputs(self):
        return WORDS


class TestOneBlockAndOneHeadOfAttention(TableLaws):
    @pytest.fixture
    def name(self):
        return "ft-transformer"

    @pytest.fixture
    def config(self):
        return fitted(SMALL["ft-transformer"].model_copy(update={"blocks": 1, "attention_heads": 1}))


class TestMasking(TableLaws):
    @pytest.fixture
    def name(self):
        return "ft-transformer"

    @pytest.fixture
    def config(self):
        return fitted(SMALL["ft-transformer"].model_copy(update={"hides": True}))
