"""The tokenizer of a checkpoint, and how many tokens the checkpoint takes at once."""

from functools import cache
from operator import itemgetter

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
"""Files of a checkpoint that determine its tokenizer."""

_NO_LIMIT = 1_000_000
"""A tokenizer without a limit states a number above this."""


def read_tokenizer(checkpoint: Checkpoint, inputs: str) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a checkpoint. It is cached until one of its files changes.

    Args:
        inputs: what it tokenizes ("texts"), for error messages.

    Raises:
        CheckpointNotFound: if the checkpoint is neither local nor on the hub.
        InvalidCheckpoint: if it has no tokenizer, or the tokenizer cannot be read.
    """
    folder = checkpoint.folder()
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise InvalidCheckpoint(
            checkpoint.name, f"it has no vocabulary ({', '.join(VOCABULARY_FILES)}), so {inputs} cannot be read"
        )
    stats = {name: (folder / name).stat() for name in TOKENIZER_FILES if (folder / name).is_file()}
    key = (folder, checkpoint.remote_code, *((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats.items()))
    if key not in _CACHE:
        with translate_errors(checkpoint.name, "its tokenizer"), quiet():
            _CACHE[key] = AutoTokenizer.from_pretrained(folder, trust_remote_code=checkpoint.remote_code)
    return _CACHE[key]


_CACHE: dict[tuple[object, ...], PreTrainedTokenizerBase] = {}


def check_vocabulary(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase, embeddings: int | None) -> None:
    """Compare the tokens that a tokenizer can give with those that the model has an embedding for.

    Args:
        embeddings: the rows of the model's table of embeddings; None skips the comparison.

    Raises:
        InvalidCheckpoint: if a token has no embedding, so that a text with it could not be read.
    """
    if embeddings is None or (last := _last_token(tokenizer))[1] < embeddings:
        return
    text, number = last
    raise InvalidCheckpoint(
        checkpoint.name,
        f"its tokenizer gives token numbers up to {number:,} ('{text}'), but its embedding has only {embeddings:,} rows "
        f"(vocab_size in config.json); use the tokenizer that the weights were trained with, or enlarge the embedding with "
        f"model.resize_token_embeddings({number + 1}) of transformers and save model and tokenizer together",
    )


@cache
def _last_token(tokenizer: PreTrainedTokenizerBase) -> tuple[str, int]:
    """Find the token with the highest number, added ones included."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return max(vocabulary.items(), key=itemgetter(1), default=("", -1))


def max_tokens(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The number of tokens, special ones included, that the checkpoint says it takes.

    Returns:
        None if it states no limit, as for a model with relative positions (T5).
    """
    limits = [tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
    return min((int(limit) for limit in limits if limit is not None and 0 < limit < _NO_LIMIT), default=None)
