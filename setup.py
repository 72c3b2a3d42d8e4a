"""What pyproject.toml cannot say: the pages of experiments/ are installed inside the package."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["fdl", "fdl.*"]), "fdl.experiments"],
    package_dir={"fdl.experiments": "experiments"},
)
