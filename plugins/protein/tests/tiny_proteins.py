"""Tiny checkpoints, saved as their families save them: random weights, and a real tokenizer over residues."""

import io
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
    EsmConfig,
    EsmForMaskedLM,
    EsmTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

BLOCKS, HEADS, SIZE = 3, 2, 16
SIZES = {
    "hidden_size": SIZE,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": 32,
}

ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
"""The vocabulary of ESM-1b and ESM-2."""

PROTBERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWXUBZO"]
"""The vocabulary of ProtBERT."""

ANKH = ["<pad>", "</s>", "<unk>", *"AGLVSREDTIPKFQNYMHWCXBOUZ"]
"""The vocabulary of Ankh without its sentinels."""

SENTINELS = [f"<extra_id_{number}>" for number in range(4)]


def save(family: str, folder: Path) -> Path:
    """Write a tiny checkpoint of a family."""
    torch.manual_seed(7)
    model = FAMILIES[family](folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3).add_(0.5 if parameter.dim() == 1 else 0.0)
    model.save_pretrained(folder)
    return folder


def _esm(folder: Path, **settings) -> PreTrainedModel:
    (folder / "vocab.txt").write_text("\n".join(ESM))
    EsmTokenizer(str(folder / "vocab.txt"), model_max_length=1024).save_pretrained(folder)
    tokens = {"pad_token_id": 1, "mask_token_id": 32, "vocab_size": 33, "max_position_embeddings": 1026}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return EsmForMaskedLM(EsmConfig(**SIZES, **tokens, **dropout, **settings))


def _esm2(folder: Path) -> PreTrainedModel:
    return _esm(folder, position_embedding_type="rotary", emb_layer_norm_before=False, token_dropout=True)


def _esm1b(folder: Path) -> PreTrainedModel:
    return _esm(folder, position_embedding_type="absolute", emb_layer_norm_before=True, token_dropout=True)


def _protbert(folder: Path) -> PreTrainedModel:
    (folder / "vocab.txt").write_text("\n".join(PROTBERT))
    BertTokenizer.from_pretrained(folder, do_lower_case=False).save_pretrained(folder)
    return BertForMaskedLM(BertConfig(**SIZES, vocab_size=len(PROTBERT), max_position_embeddings=60))


def _t5(**settings) -> T5Config:
    return T5Config(
        vocab_size=40, d_model=SIZE, d_kv=8, d_ff=32, num_layers=BLOCKS, num_heads=HEADS, pad_token_id=0, **settings
    )


def _prott5(folder: Path) -> PreTrainedModel:
    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join("ALGVSREDTIPKFQNYMHWCXBOUZ")] * 4),
        model_writer=pieces,
        model_type="word",
        vocab_size=28,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(pieces.getvalue())
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer", "extra_ids": 4}')
    return T5ForConditionalGeneration(_t5())


def _ankh(folder: Path) -> PreTrainedModel:
    letters = Tokenizer(models.WordLevel({token: number for number, token in enumerate(ANKH)}, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=letters,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=SENTINELS,
    ).save_pretrained(folder)
    return T5EncoderModel(_t5(feed_forward_proj="gated-gelu"))


FAMILIES: dict[str, Callable[[Path], PreTrainedModel]] = {
    "esm2": _esm2,
    "esm1b": _esm1b,
    "protbert": _protbert,
    "prott5": _prott5,
    "ankh": _ankh,
}
"""Family → a model as its authors save it: with pretraining heads, or a decoder, that features do not use."""
