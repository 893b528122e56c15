"""Tiny checkpoints, saved as their families save them: random weights without zero gates, and a real tokenizer."""

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
    T5Config,
    T5EncoderModel,
    XLMConfig,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'"
WORDS = ("the", "card", "lost", "my", "is", "where", "parcel", "late", "money", "help", "please")
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
PAD = 0

SIZES = {"vocab_size": len(VOCABULARY), "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 2}
ENCODER = {**SIZES, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
DECODER = {**ENCODER, "num_key_value_heads": 1, "max_position_embeddings": 64}

FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": lambda: BertConfig(**ENCODER, max_position_embeddings=40),
    "roberta": lambda: RobertaConfig(**ENCODER | {"pad_token_id": 0}, max_position_embeddings=42, type_vocab_size=1),
    "distilbert": lambda: DistilBertConfig(
        vocab_size=len(VOCABULARY), dim=16, n_layers=3, n_heads=2, hidden_dim=32, pad_token_id=PAD
    ),
    "electra": lambda: ElectraConfig(**ENCODER, embedding_size=8),
    "mpnet": lambda: MPNetConfig(**ENCODER),
    "deberta-v3": lambda: DebertaV2Config(
        **ENCODER,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
    ),
    "deberta-v2-convolution": lambda: DebertaV2Config(
        **ENCODER,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        conv_kernel_size=3,
        conv_act="gelu",
    ),
    "modernbert": lambda: ModernBertConfig(
        **ENCODER, cls_token_id=1, sep_token_id=2, global_attn_every_n_layers=2, local_attention=8
    ),
    "gpt2": lambda: GPT2Config(
        vocab_size=len(VOCABULARY), n_embd=16, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=2
    ),
    "qwen2": lambda: Qwen2Config(**DECODER),
    "llama": lambda: LlamaConfig(**DECODER),
    "albert": lambda: AlbertConfig(**ENCODER, embedding_size=8),
    "xlm": lambda: XLMConfig(vocab_size=len(VOCABULARY), emb_dim=16, n_layers=3, n_heads=2, pad_index=PAD, n_langs=1),
    "t5": lambda: T5Config(
        vocab_size=len(VOCABULARY), d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, pad_token_id=PAD
    ),
}
"""Family → a tiny configuration of it."""


def save(family: str, folder: Path, *, special: bool | None = None) -> Path:
    """Write a tiny checkpoint of a family.

    Args:
        special: whether the tokenizer adds a first and a last token; by default that of decoders does not.
    """
    torch.manual_seed(7)
    config = FAMILIES[family]()
    model = T5EncoderModel(config) if family == "t5" else AutoModel.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3).add_(0.5 if parameter.dim() == 1 else 0.0)
    model.save_pretrained(folder)
    if special is None:
        special = family not in ("gpt2", "qwen2", "llama")
    tokenizer(special=special).save_pretrained(folder)
    return folder


def tokenizer(*, special: bool) -> PreTrainedTokenizerFast:
    """Make a real WordPiece tokenizer over a small vocabulary."""
    fast = Tokenizer(models.WordPiece({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.decoder = decoders.WordPiece()
    if special:
        fast.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
