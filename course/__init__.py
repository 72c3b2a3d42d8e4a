"""The course: chapters in `docs/course/` whose commands, outputs and pictures are checked by running them."""
