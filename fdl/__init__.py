"""fdl: functional deep learning."""
