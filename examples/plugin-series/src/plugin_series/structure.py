"""The configuration of a PatchTST, and the description that follows from it. No weights are created or read."""

from taskgraft.plugin import (
    BackboneDescription,
    Checkpoint,
    InputField,
    InvalidCheckpoint,
    LayerRole,
    Part,
    translate_errors,
    vector,
)
from transformers import PatchTSTConfig

from plugin_series.settings import PatchTSTSettings


def model_config(settings: PatchTSTSettings) -> PatchTSTConfig:
    """Return the configuration of transformers: the checkpoint's, or what the settings say.

    Raises:
        CheckpointNotFound: if the checkpoint is neither local nor on the hub.
        InvalidCheckpoint: if it is not a PatchTST, or has another number of channels.
    """
    if settings.checkpoint is None:
        return PatchTSTConfig(
            num_input_channels=len(settings.channels),
            context_length=settings.context_length,
            patch_length=settings.patch_length,
            patch_stride=settings.stride or max(settings.patch_length // 2, 1),
            num_hidden_layers=settings.blocks,
            d_model=settings.feature_size,
            num_attention_heads=settings.heads,
            ffn_dim=2 * settings.feature_size,
            ff_dropout=settings.dropout,
            path_dropout=settings.dropout,
            norm_type=settings.norm,
            do_mask_input=False,
            positional_encoding_type="sincos",
            use_cls_token=False,
        )
    checkpoint = Checkpoint(settings.checkpoint)
    with translate_errors(checkpoint.name, "its configuration"):
        config = PatchTSTConfig.from_pretrained(checkpoint.folder())
    if config.model_type != "patchtst" or "PatchTST" not in str(config.architectures):
        raise InvalidCheckpoint(checkpoint.name, f"it contains {config.architectures}, not a PatchTST")
    if config.num_input_channels != len(settings.channels):
        problem = f"it has {config.num_input_channels} channels, but channels = {list(settings.channels)}"
        raise InvalidCheckpoint(checkpoint.name, problem)
    config.do_mask_input = False
    return config


def describe(settings: PatchTSTSettings) -> BackboneDescription:
    """Describe a PatchTST: its parts are the embedding and the blocks, with a cut before each."""
    config = model_config(settings)
    output = vector(config.d_model * config.num_input_channels)
    blocks = tuple(
        Part(
            name=f"block-{number}",
            owns=(f"encoder.layers.{number}",),
            output=output,
            roles={
                f"encoder.layers.{number}.self_attn.q_proj": LayerRole.QUERY,
                f"encoder.layers.{number}.self_attn.k_proj": LayerRole.KEY,
                f"encoder.layers.{number}.self_attn.v_proj": LayerRole.VALUE,
                f"encoder.layers.{number}.self_attn.out_proj": LayerRole.ATTENTION_OUTPUT,
                f"encoder.layers.{number}.ff.0": LayerRole.FEED_FORWARD_IN,
                f"encoder.layers.{number}.ff.3": LayerRole.FEED_FORWARD_OUT,
            },
        )
        for number in range(config.num_hidden_layers)
    )
    return BackboneDescription(
        inputs=tuple(InputField(channel) for channel in settings.channels),
        features=(output,),
        parts=(Part("embedding", ("encoder.embedder", "encoder.positional_encoder"), output), *blocks),
        cuts=tuple(range(len(blocks) + 1)),
    )
