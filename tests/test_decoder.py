import numpy as np
import pytest

from fdl.decoder import Decoder
from fdl.types import Batch


def test_another_process_reads_the_same_rows_and_its_end_is_not_noticed():
    many = 7

    def read(indices):
        print("what a library says does not come between")
        if indices.max() >= many:
            raise ValueError(f"made split 'train' example {indices.max()}: there are {many}")
        return Batch({"a": indices * 2.0}, np.arange(len(indices)), np.ones(len(indices), np.float32))

    decoder, rows = Decoder(read), np.array([3, 1])
    for _ in range(2):
        np.testing.assert_equal(decoder(rows), read(rows))
        with pytest.raises(ValueError, match="example 9: there are 7"):
            decoder(np.array([9]))
    decoder.process.kill()
    np.testing.assert_equal(decoder(rows), read(rows))
