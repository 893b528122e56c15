# ruff: noqa: I001 - one statement per module
from .csv import read_csv as read_csv
from .dataset_folder import read_dataset_folder as read_dataset_folder
from .hf_datasets import read_hub as read_hub
from .json_lines import read_json_lines as read_json_lines
from .lines import read_line_columns as read_line_columns, read_lines as read_lines
from .parquet import read_parquet as read_parquet
