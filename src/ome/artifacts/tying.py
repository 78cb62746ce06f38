"""Whether the output layer of a model is its embedding, which configurations say in two places."""

from __future__ import annotations

from ome.artifacts import traits
from ome.artifacts.fields import Fields


def tied(whole: Fields, text: Fields) -> bool:
    """Since version 5 of transformers the outer configuration decides. Before, a "yes" was the
    default and not written, so that a "no" in either place counts."""
    own = text.flag("tie_word_embeddings", "tie_embedding", "share_input_output_layers")
    outer = whole.flag("tie_word_embeddings", "tie_embedding")
    version = whole.text("transformers_version").partition(".")[0]
    if version.isdigit() and int(version) >= 5:
        own, outer = (outer if outer is not None else own), None
    if own is False or outer is False:
        return False
    if own or outer:
        return True
    return bool({whole.model_type, text.model_type} & traits.TIED_BY_DEFAULT)
