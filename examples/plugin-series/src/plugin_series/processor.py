"""Lists of numbers → the last values of each channel, standardized. Invalid series are reported by row."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from taskgraft.plugin import Batch, Columns, ProcessedBatch, Processor

from plugin_series.settings import PatchTSTSettings

VALUES, OBSERVED = "values", "observed"
"""The tensors of a processed batch."""

MINIMUM_VARIANCE = 1e-5
"""Added to the variance of a row, as PatchTST's scaler does."""

LARGEST = 1e15
"""Numbers above overflow when squared in single precision after standardization."""

Series = NDArray[np.float64]
"""``(time, channel)``; NaN where a value is missing."""


class InvalidSeries(Exception):
    """A series that cannot be used. Its text is a clause."""


class SeriesProcessor(Processor):
    """Series → ``values`` ``(batch, time, channel)`` float32 and ``observed``, the same shape, bool.

    Time is the context length: the last values of a longer series are used; a shorter one is filled at its beginning. Missing
    values (null or NaN) and filled ones are not observed, and are 0, the mean.
    """

    def __init__(
        self, settings: PatchTSTSettings, context_length: int, means: Sequence[float], deviations: Sequence[float]
    ):
        self._channels, self._length = settings.channels, context_length
        self._scaling, self._means, self._deviations = settings.scaling, tuple(means), tuple(deviations)

    def settings(self) -> Mapping[str, Any]:
        return {
            "channels": list(self._channels),
            "context_length": self._length,
            "scaling": self._scaling,
            "means": list(self._means),
            "deviations": list(self._deviations),
        }

    def prepare(self, inputs: Columns) -> ProcessedBatch:
        columns = [inputs[channel] for channel in self._channels]
        count = len(columns[0])
        values = np.zeros((count, self._length, len(columns)))
        observed = np.zeros(values.shape, dtype=bool)
        invalid, notes = dict[int, str](), Counter[str]()
        for row, cells in enumerate(zip(*columns, strict=True)):
            try:
                series = parse_series(self._channels, cells)
            except InvalidSeries as error:
                invalid[row] = str(error)
                continue
            if len(series) > self._length:
                notes[f"cut to the last {self._length:,} values"] += 1
            elif len(series) < self._length:
                notes[f"filled at the beginning to {self._length:,} values"] += 1
            series = series[-self._length :]
            values[row, -len(series) :] = np.nan_to_num(self._standardize(series))
            observed[row, -len(series) :] = ~np.isnan(series)
        tensors = {VALUES: torch.from_numpy(values).float(), OBSERVED: torch.from_numpy(observed)}
        return ProcessedBatch(Batch(tensors), invalid, notes)

    def raw_values(self, role: str, value: Any) -> Sequence[Any]:
        if isinstance(value, np.ndarray):
            if value.ndim != 1:
                raise ValueError(f"pass a channel as an array (time,), not of shape {value.shape}")
            return [value.tolist()]
        return [value]

    def _standardize(self, series: Series) -> Series:
        if self._scaling == "training":
            result: Series = (series - np.array(self._means)) / np.array(self._deviations)
            return result
        observed = ~np.isnan(series)
        count = observed.sum(0).clip(min=1)
        mean = np.nansum(series, 0) / count
        variance = np.where(observed, (series - mean) ** 2, 0).sum(0) / count
        scaled: Series = (series - mean) / np.sqrt(variance + MINIMUM_VARIANCE)
        return scaled


def fit_config(settings: PatchTSTSettings, inputs: Columns) -> PatchTSTSettings:
    """Add the mean and the deviation of each channel over the training rows, where the scaling needs them.

    Rows that are invalid are left out; the processor reports them.
    """
    if settings.scaling == "row" or settings.means:
        return settings
    rows = []
    for cells in zip(*(inputs[channel] for channel in settings.channels), strict=True):
        try:
            rows.append(parse_series(settings.channels, cells))
        except InvalidSeries:
            continue
    if not rows:
        return settings
    values = np.concatenate(rows)
    observed = ~np.isnan(values)
    count = observed.sum(0).clip(min=1)
    means = np.nansum(values, 0) / count
    deviations = np.sqrt(np.where(observed, (values - means) ** 2, 0).sum(0) / count)
    deviations = np.where(deviations > 0, deviations, 1.0)
    return settings.model_copy(update={"means": tuple(means.tolist()), "deviations": tuple(deviations.tolist())})


def parse_series(channels: Sequence[str], cells: Sequence[Any]) -> Series:
    """Parse the cells of one row: a list of numbers per channel, or its text as JSON. Raises InvalidSeries."""
    lists = [_parse_cell(channel, cell) for channel, cell in zip(channels, cells, strict=True)]
    if len({len(one) for one in lists}) > 1:
        sizes = ", ".join(f"{channel} {len(one):,}" for channel, one in zip(channels, lists, strict=True))
        raise InvalidSeries(f"its channels have different lengths: {sizes}")
    return np.stack(lists, axis=1)


def _parse_cell(channel: str, cell: Any) -> Series:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise InvalidSeries(f"the series '{channel}' is empty")
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            raise InvalidSeries(f"the series '{channel}' is {cell!r:.40}, not a list of numbers") from None
    if not isinstance(cell, list | tuple):
        raise InvalidSeries(f"the series '{channel}' is {cell!r:.40}, not a list of numbers")
    if not cell:
        raise InvalidSeries(f"the series '{channel}' is empty")
    for place, value in enumerate(cell):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InvalidSeries(f"value {place + 1:,} of the series '{channel}' is {value!r:.40}, not a number")
        if value is not None and not math.isnan(value) and not abs(value) <= LARGEST:
            raise InvalidSeries(f"value {place + 1:,} of the series '{channel}' is {value!r:.40}, too large")
    numbers = np.array([math.nan if value is None else value for value in cell], dtype=np.float64)
    if np.isnan(numbers).all():
        raise InvalidSeries(f"the series '{channel}' has missing values only")
    return numbers
