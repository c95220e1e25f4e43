"""What can be called: one file a family, one function a tool. Importing this package declares them all."""

from importlib import import_module
from pkgutil import iter_modules

# In the order of their names, so that every process lists the tools alike.
__all__ = sorted(module.name for module in iter_modules(__path__))

for _name in __all__:
    import_module(f"{__name__}.{_name}")
