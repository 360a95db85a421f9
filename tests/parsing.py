"""Python source as a tree, for tests that look through the program's own code."""

from __future__ import annotations

import ast
import gc


def parsed(source: str) -> ast.Module:
    """As `ast.parse`. No garbage is looked for in the middle of it: what that runs may let another thread parse, and
    CPython 3.11 then raises SystemError, "AST constructor recursion depth mismatch" (gh-106905)."""
    looked = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if looked:
            gc.enable()
