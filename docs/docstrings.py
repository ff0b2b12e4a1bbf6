"""Sphinx extension: the docstrings of the package, written in the house form, as definition lists.

mu, logvar : (B, Z)      encoder output; logvar is the natural log of the variance
returns    : (B,)        nats per image
taught in  : notebooks/05_variational_autoencoder.ipynb
"""

import inspect
import re

FIELD = re.compile(r"^(taught in|\w+(?:, \w+)*) *: +(\S.*)$")  # as tests/test_layout.py reads it
ERROR = re.compile(r"((?:[A-Z]\w+(?:, | or )?)+) +(?=if |where |whatever )")


def house_form(lines: list[str]) -> list[str]:
    """reStructuredText for a docstring's lines: its paragraphs, then one definition for each field."""
    prose, fields = [markup(line) for line in lines[:1]], []  # a field is never first: "Losses: one number per image"
    for line in lines[1:]:
        if found := FIELD.match(line):
            fields.append([found[1], found[2]])
        elif fields and line.startswith(" "):
            fields[-1][1] += f"  {line.strip()}" if "  " not in fields[-1][1] else f" {line.strip()}"
        else:
            prose.append(markup(line))
    out = [*prose, ""]
    for name, text in fields:
        kind, meaning = _parted(name, text)
        names = ", ".join(f"**{part}**" for part in name.split(", "))
        out += [f"{names} : {kind}" if kind else names, f"    {meaning}", ""]
    return out


def _parted(name: str, text: str) -> tuple[str, str]:
    """A field's shape or type, as a literal, and its meaning."""
    if name == "taught in":
        return "", f":doc:`/{text.rsplit('.', 1)[0]}`"
    if name == "source":
        return "", linked(markup(re.sub(r"\s+", " ", text)))
    kind, _, meaning = text.partition("  ")
    if name == "raises" and (found := ERROR.match(text)):
        kind, meaning = found[1], text[found.end() :]
    meaning = re.sub(r"\s+", " ", meaning.strip())
    if not meaning:
        return "", markup(kind)
    return f"``{kind}``", markup(meaning)


def markup(text: str) -> str:
    """Text with its `code` as literals, in which nothing else is markup."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone backtick
        return re.sub(r"([\\*_|`])", r"\\\1", text)
    plain = [re.sub(r"([\\*_|])", r"\\\1", part) for part in parts]
    # The escaped space lets a letter follow a literal: `z`s.
    return "".join(f"\\ ``{parts[i]}``\\ " if i % 2 and parts[i] else plain[i] for i in range(len(parts)))


def linked(text: str) -> str:
    """Text in which arXiv numbers and DOIs are links."""
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", text)
    return re.sub(r"doi:(10\.[\w./()-]*\w)", r"`doi:\1 <https://doi.org/\1>`__", text)


def setup(app) -> dict:
    def process(app, what, name, obj, options, lines):
        lines[:] = house_form(inspect.cleandoc("\n".join(lines)).splitlines())

    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
