"""Readers: files, folders and TFDS sets become records with named columns."""
