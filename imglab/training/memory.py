"""Errors that mean that memory ran out."""

from __future__ import annotations


def is_out_of_memory(error: Exception) -> bool:
    """Say whether an error means that memory ran out, so that smaller batches may help."""
    from accelerate.utils.memory import should_reduce_batch_size

    is_memory: bool = should_reduce_batch_size(error)
    return is_memory
