"""Tags the wheel: a library of one platform, for every Python."""

import os

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel


class WithLibrary(Distribution):
    """A package that belongs where those with compiled code are."""

    def has_ext_modules(self) -> bool:
        """Say that there is compiled code."""
        return True


class PlatformWheel(bdist_wheel):
    """A wheel whose compiled code is not for one version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return the tag of the file's name."""
        return "py3", "none", os.environ["KEYSTEAD_WHEEL_PLATFORM"]


setup(distclass=WithLibrary, cmdclass={"bdist_wheel": PlatformWheel})
