"""Data at an address and sets of the Hugging Face Hub: copied once, and read as local files are."""
