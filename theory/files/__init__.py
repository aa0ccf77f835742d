"""Files: arrays and sequences, read without trust, and files that are replaced in one step."""

from theory.files.arrays import ArrayFileError, Unread, read_arrays, write_archive
from theory.files.sequences import SequenceFileError, Sequences, as_list, load_sequences
from theory.files.stored import StoredSequences, open_sequences
from theory.files.writing import replacing

__all__ = [
    "ArrayFileError",
    "SequenceFileError",
    "Sequences",
    "StoredSequences",
    "Unread",
    "as_list",
    "load_sequences",
    "open_sequences",
    "read_arrays",
    "replacing",
    "write_archive",
]
