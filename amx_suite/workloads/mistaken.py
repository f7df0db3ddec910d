"""What a file is, by its first bytes, that stands where a model's file should be."""

from __future__ import annotations

__all__ = ["mistaken"]

from amx_suite.documents import in_one_line

#: github.com/git-lfs/git-lfs, docs/spec.md.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml")
_WORDS_SHOWN = 60


def mistaken(start: bytes, ending: str) -> str | None:
    """What a file that begins so is instead, and what to do; None if it may be what it should be.

    ``ending`` says what it should be: ``.safetensors``, ``.pt`` or ``.json``.
    """
    if not start:
        return "is empty: copy or download it again"
    if start.startswith(_LFS_POINTER):
        return (
            "is a Git LFS pointer that stands for the real file: run `git lfs pull` in the clone "
            "that it is from"
        )
    if start.lstrip(b"\xef\xbb\xbf\t\r\n ").lower().startswith(_WEB_PAGE):
        return "is a web page: download the file itself, and not the page about it"
    found, what = _recognized(start)
    return None if found == ending else what


def _recognized(start: bytes) -> tuple[str, str | None]:
    """The ending that suits the first bytes, and what to do where another was expected."""
    # Eight bytes with the length of a header in JSON (safetensors' README, Format).
    if start[8:9] == b"{" and not any(start[4:8]):
        return ".safetensors", "is a safetensors file: let its name end in .safetensors"
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return ".pt", "is an archive or pickle, as torch.save writes it: let its name end in .pt"
    if start.startswith(b"\x1f\x8b"):
        return ".gz", "is compressed by gzip: unpack it"
    if start.startswith(b"\x89HDF"):
        return ".h5", "is an HDF5 file, as Keras writes it: save the model's weights with PyTorch"
    # The last character may be cut.
    text = start.decode(errors="ignore")
    if "\0" not in text and len(text.encode()) > len(start) - 4:
        words = in_one_line(text)[:_WORDS_SHOWN]
        return ".json", f"is text that begins with '{words}': copy or download the file again"
    return "", None
