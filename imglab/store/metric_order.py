"""The metrics of every modality in the order of tables and figures. No torch."""

from __future__ import annotations

FIRST = (
    "fid",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "variance_ratio",
    "fid_shape",
    "precision_shape",
    "recall_shape",
    "precision_bounded",
    "recall_bounded",
    "precision_bounded_shape",
    "recall_bounded_shape",
    "precision_probabilistic",
    "recall_probabilistic",
    "kid_standard",
    "fid_mean",
    "fid_variance",
    "fid_rest",
    "two_sample_auc",
    "vendi",
    "nearest_distance",
    "memorization",
    "duplicate_share",
)
"""Metrics of every modality, in the order of the table; those of one kind of data follow."""

UNSIZED = ("variance_ratio", "memorization")
"""Metrics that have a floor, but the same expectation whatever the number of samples."""

DETAILS = {
    "kid",
    "kid_standard",
    "fid_mean",
    "fid_variance",
    "fid_rest",
    "precision_bounded_shape",
    "recall_bounded_shape",
    "precision_probabilistic",
    "recall_probabilistic",
    "further_training",
    "share_disparity",
    "recall_disparity",
    "group_share_disparity",
    "group_recall_disparity",
    "group_accuracy",
    "group_rejected_share",
    "class_accuracy",
    "class_agreement",
    "class_rejected_share",
}
"""Metrics of the table that have no panel in the figures, so that these show what matters."""
