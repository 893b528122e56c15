"""Tokenizers of checkpoints, and how much a checkpoint takes at once."""

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from taskgraft.plugin import Checkpoint, InvalidCheckpoint, translate_errors
from taskgraft_transformers.weights import quiet

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""Files that hold a vocabulary. A checkpoint needs one of them."""

TOKENIZER_FILES = (
    *VOCABULARY_FILES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
)
"""Files of a checkpoint that decide what its tokenizer does."""

_NO_LIMIT = 1_000_000
"""A tokenizer that knows no limit states a number beyond this."""


def read_tokenizer(checkpoint: Checkpoint, reads: str) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a checkpoint. It is remembered as long as its files stay as they are.

    Args:
        reads: what it reads, for messages ("texts").

    Raises:
        CheckpointNotFound, InvalidCheckpoint: when there is none, or it cannot be read.
    """
    folder = checkpoint.folder()
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise InvalidCheckpoint(
            checkpoint.name, f"it has no vocabulary ({', '.join(VOCABULARY_FILES)}), so {reads} cannot be read"
        )
    stats = {name: (folder / name).stat() for name in TOKENIZER_FILES if (folder / name).is_file()}
    key = (folder, checkpoint.remote_code, *((name, one.st_mtime_ns, one.st_size) for name, one in stats.items()))
    if key not in _CACHE:
        with translate_errors(checkpoint.name, "its tokenizer"), quiet():
            _CACHE[key] = AutoTokenizer.from_pretrained(folder, trust_remote_code=checkpoint.remote_code)
    return _CACHE[key]


_CACHE: dict[tuple[object, ...], PreTrainedTokenizerBase] = {}


def max_tokens(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Find how many pieces a checkpoint says that it takes, special ones counted.

    Returns:
        None when it says nothing, as a model with relative positions may (T5).
    """
    stated = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    return min((int(length) for length in stated if length is not None and 0 < length < _NO_LIMIT), default=None)
