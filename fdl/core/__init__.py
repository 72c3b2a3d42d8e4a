"""The core: types, steps, the data axis and errors. Pure: no device, no file, no clock."""
