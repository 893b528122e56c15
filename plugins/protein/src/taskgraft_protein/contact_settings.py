"""Settings and description of the head of contacts, known without torch."""

from pydantic import Field

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind


class ContactMapConfig(Config):
    """Which residues touch. A row's target is a list with [x, y, z] per residue, in Ångström, or nothing where it is not known.

    Of pair features a logistic regression is learned over the maps, made symmetric and corrected for the mean of their rows and
    columns; of sequence features, products of what two residues are projected to.
    """

    distance: float = Field(
        default=8.0, gt=0, description="residues touch when their positions are less apart, in Ångström"
    )
    separation: int = Field(
        default=6, ge=1, description="least distance along the sequence of pairs that are learned and predicted"
    )
    rank: int = Field(default=32, ge=1, description="length of the projections, for sequence features")


def describe_contact_map(config: ContactMapConfig) -> HeadDescription:
    """Describe a contact-map head."""
    return HeadDescription((Layout.PAIR, Layout.SEQUENCE), TargetKind.PAIR_CATEGORIES, metrics=("contacts",))
