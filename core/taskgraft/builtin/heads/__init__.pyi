from .classification import Classification as Classification
from .element_classification import ElementClassification as ElementClassification
from .masked_elements import MaskedElements as MaskedElements
from .multi_label import MultiLabel as MultiLabel
from .regression import Regression as Regression
