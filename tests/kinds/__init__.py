"""Small files of the kinds that people have, each made by a function; `tests.data.test_kinds_of_files` walks them."""
