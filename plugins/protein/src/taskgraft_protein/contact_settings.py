"""Settings and description of the contact-map head, without torch."""

from pydantic import Field

from taskgraft.plugin import Config, HeadDescription, Layout, TargetKind


class ContactMapConfig(Config):
    """Which residues touch. A row's target is a list with [x, y, z] per residue, in Ångström, or None if it is unknown.

    On pair features, logistic regression over the maps, made symmetric and corrected for the means of their rows and columns;
    on sequence features, products of low-rank projections of two residues.
    """

    distance: float = Field(
        default=8.0, gt=0, description="residues less than this far apart are in contact, in Ångström"
    )
    separation: int = Field(
        default=6, ge=1, description="least distance along the sequence of the pairs that are trained on and predicted"
    )
    rank: int = Field(default=32, ge=1, description="length of the projections, for sequence features")


def describe_contact_map(config: ContactMapConfig) -> HeadDescription:
    """Describe a contact-map head."""
    return HeadDescription((Layout.PAIR, Layout.SEQUENCE), TargetKind.PAIR_CATEGORIES, metrics=("contacts",))
