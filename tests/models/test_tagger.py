"""The tagger reads its sentence alone."""

import jax
import numpy as np

from fdl.models import Tagger


def test_padding_of_words_and_letters_changes_no_tag():
    model = Tagger(3, words=20, letters=9, width=8, embedding=4, spelling=4)
    random = np.random.default_rng(0)
    words, letters = random.integers(1, 20, (2, 5)), random.integers(1, 9, (2, 5, 4))
    lengths = np.array([5, 3])
    words[1, 3:], letters[1, 3:] = 0, 0
    variables = model.init(jax.random.key(0), words, letters, lengths)
    whole = model.apply(variables, words, letters, lengths)
    assert whole.shape == (2, 5, 3)
    alone = model.apply(variables, words[1:, :3], letters[1:, :3], lengths[1:])
    np.testing.assert_allclose(whole[1, :3], alone[0], atol=1e-6)
    wider = np.pad(letters, ((0, 0), (0, 0), (0, 3)))
    np.testing.assert_allclose(model.apply(variables, words, wider, lengths)[0], whole[0], atol=1e-6)
    # Both the letters of a word and the words on both sides of it matter.
    for changed in ((words, letters.copy()), (words.copy(), letters)):
        changed[0][0, 4] = changed[0][0, 4] % 8 + 1
        changed[1][0, 4] = changed[1][0, 4] % 8 + 1
        assert np.abs(model.apply(variables, *changed, lengths)[0, 0] - whole[0, 0]).max() > 1e-6
