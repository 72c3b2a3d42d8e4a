"""The contenders, one file per library: `build` makes what proves its losses and then runs steps."""
