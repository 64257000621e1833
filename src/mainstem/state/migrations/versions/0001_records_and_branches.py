"""Records by kind and id, and one head per branch."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "id", name="records_kind_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "branches",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("release", sa.String, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("branches")
    op.drop_table("records")
