"""Sphinx configuration: everything that can be asked of the code is asked when the pages are built."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from numpydoc.docscrape import NumpyDocString
from sphinx.util import logging

os.environ["MPLBACKEND"] = "Agg"
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import make_pictures

import fsmf
from fsmf import drawing, nn, training, transforms
from fsmf.solvers.dispatch import TABLE, choose

DOCS = Path(__file__).parent
GENERATED = DOCS / "generated"
ROOMS = (drawing, nn, training, transforms)  # whose names are public, too

project = "fsmf"
author = copyright = "the fsmf developers"  # the name is Sphinx's
release = version = fsmf.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"
add_module_names = False
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "alabaster"
html_theme_options = {
    "description": "Sparse factors on given supports, and what they are worth",
    "fixed_sidebar": True,
    "page_width": "1080px",
}
html_static_path = ["_static"]
html_copy_source = False
html_math_renderer = "mathml"

doctest_global_setup = """
import warnings
import numpy as np
import fsmf

def show(message, category, *_):
    print(f"{category.__name__}: {message}")

warnings.simplefilter("always")
warnings.showwarning = show  # examples show their warnings among their output
"""
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# Supports that the page on choosing asks every solver about.
EXAMPLES = {
    "monarch(16, blocks=4)": fsmf.monarch(16, blocks=4),
    "hodlr(16, rank=2)": fsmf.hodlr(16, rank=2),
    "arrow(8)": fsmf.arrow(8),
    "butterfly(16)": fsmf.butterfly(16),
    "kaleidoscope(4)": fsmf.kaleidoscope(4),
    "lu(4)": fsmf.lu(4),
    "completion(1 - np.eye(4))": fsmf.completion(1 - np.eye(4)),
    "[S, S, S]": fsmf.as_supports([np.ones((4, 4))] * 3),
}


def choosing() -> str:
    """The table of solvers, in reStructuredText, from what the solvers say of themselves."""
    structures = {name: fsmf.analyze(supports) for name, supports in EXAMPLES.items()}
    names = [type(solver).__name__ for solver in TABLE]
    lines = [".. list-table::", "   :header-rows: 1", "", "   * - supports"]
    lines += [f"     - `{name}`" for name in names] + ["     - taken"]
    for name, structure in structures.items():
        answers = [solver.refuses(structure) for solver in TABLE]
        lines.append(f"   * - ``{name}``")
        lines += ["     - refuses" if answer else "     - accepts" for answer in answers]
        lines.append(f"     - {'none' if all(answers) else f'`{type(choose(structure)).__name__}`'}")
    for row, (name, solver) in enumerate(zip(names, TABLE, strict=True), start=1):
        title = f"{row}. {name}, promises {solver.promise.name}"
        notes = "\n".join(NumpyDocString(type(solver).__doc__)["Notes"])
        lines += ["", title, "^" * len(title), "", f"`{name}`. {_summary(solver)}", "", notes, ""]
        for example, structure in structures.items():
            if refusal := solver.refuses(structure):
                lines.append(f"* Refuses ``{example}``: *{refusal}.*")
    return "\n".join(lines) + "\n"


def _summary(thing: object) -> str:
    doc = NumpyDocString(type(thing).__doc__)
    return " ".join([*doc["Summary"], *doc["Extended Summary"]])


def generate(app: object) -> None:
    """Write what the pages include."""
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "choosing.inc").write_text(choosing(), encoding="utf-8")
    for command in ("", "explain", "factorize", "suggest", "apply", "calibrate"):
        text = _help(*command.split())
        (GENERATED / f"help{'-' * bool(command)}{command}.txt").write_text(text, encoding="utf-8")
    make_pictures.lu(GENERATED / "lu.png")
    make_pictures.classes(GENERATED / "classes.png")
    make_pictures.chain(GENERATED / "chain.png")
    make_pictures.bracket(GENERATED / "bracket.png")
    make_pictures.witness(GENERATED / "witness.png")
    listed = re.findall(r"^   ([\w.]+)$", (DOCS / "api.rst").read_text(encoding="utf-8"), re.M)
    public = {*fsmf.__all__, *(f"{room.__name__[5:]}.{name}" for room in ROOMS for name in room.__all__)}
    if missing := public - set(fsmf._PACKAGES) - set(listed):
        logging.getLogger(__name__).warning("api.rst lacks %s", ", ".join(sorted(missing)))


def _help(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent), "COLUMNS": "90", "NO_COLOR": "1"}
    program = [sys.executable, "-m", "fsmf", *command, "--help"]
    return subprocess.run(
        program, check=True, capture_output=True, text=True, encoding="utf-8", env=environment
    ).stdout


def visit_math(self: object, node: object) -> None:
    """Formulas as MathML, which browsers draw themselves: nothing is fetched."""
    _mathml(self, node, as_block=False)


def visit_math_block(self: object, node: object) -> None:
    _mathml(self, node, as_block=True)


def _mathml(translator: object, node: object, *, as_block: bool) -> None:
    try:
        translator.body.append(latex2mathml.tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logging.getLogger(__name__).warning("%s in %s", error, node.astext(), location=node)
    raise nodes.SkipNode


def setup(app: object) -> None:
    """Register the hooks."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("builder-inited", generate, priority=100)
