"""Packs and unpacks suites: what comes from outside is looked at whole before a byte of it is written.

A bundle is a tar archive, packed with gzip or not, of one suite's folder. Only plain files are taken, under the names
and sizes that a signed suite's files have; whatever else is in it (links, devices, sparse files, other names) is
refused by name. What an archive says of its sizes is compared with what comes out of it.
"""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from assay._util.atomic import make_folder, new_file
from assay.errors import InvalidInput, NotWritten
from assay.testbeds.layout import LIMITS, MANIFEST, Limits, files_within, wrong_with_all
from assay.testbeds.seal import verify_manifest

_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
_LONGEST_EXTENSION = 4 << 10  # bytes of what a tar archive says beside a file, of long names mostly
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_EXTENSIONS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)


def unpack(bundle: Path, root: Path, signer: str = "", limits: Limits = LIMITS) -> None:
    """Unpacks an archive's suite into a new folder.

    Names, kinds and sizes of everything in it are looked at first, then the manifest and its signature, then the rest
    is unpacked, and nothing but what the manifest lists.

    Args:
        bundle: the archive.
        root: the folder, whose parent is there.
        signer: verify key that must have signed it; the manifest's own if "".
        limits: of the whole.

    Raises:
        InvalidInput: it is no archive of one suite, or holds what a suite may not; names all of it, up to a dozen.
        CorruptArtifact: the manifest's signature does not hold.
        NotWritten: there is no room for it.
    """
    sizes, top = _contents(bundle, limits)
    refuse(bundle, wrong_with_all(sizes, signed=True, limits=limits))
    _require_room(root.parent, sum(sizes.values()))
    root.mkdir()
    _write(bundle, root, top, {MANIFEST: sizes[MANIFEST]}, limits)
    listed = verify_manifest(root, signer).files.keys() | {MANIFEST}
    refuse(bundle, [f"{name!r}: the manifest does not list it" for name in sorted(sizes.keys() - listed)])
    _write(bundle, root, top, {name: size for name, size in sizes.items() if name != MANIFEST}, limits)


def copy_folder(folder: Path, root: Path, signer: str = "", limits: Limits = LIMITS) -> None:
    """Copies a suite's folder to a new one, under the same conditions as an archive is unpacked.

    Raises:
        InvalidInput: it is no suite, or holds what a suite may not; names all of it, up to a dozen.
        CorruptArtifact: the manifest's signature does not hold.
        NotWritten: there is no room for it.
    """
    if not (folder / MANIFEST).is_file():
        raise InvalidInput(f"{folder}: no {MANIFEST}; a suite that is handed on is signed. See assay suites bundle.")
    sizes, odd = files_within(folder)
    refuse(folder, odd + wrong_with_all(sizes, signed=True, limits=limits))
    listed = verify_manifest(folder, signer).files.keys() | {MANIFEST}
    refuse(folder, [f"{name!r}: the manifest does not list it" for name in sorted(sizes.keys() - listed)])
    _require_room(root.parent, sum(sizes.values()))
    for name, size in sizes.items():
        with (folder / name).open("rb") as file:
            _write_file(root / name, file, size)


def pack(folder: Path, name: str, out: Path) -> None:
    """Packs a suite's folder, under its name; the archive says nothing of who packed it, or when."""
    sizes, _ = files_within(folder)
    with new_file(out) as scratch, tarfile.open(scratch, "w:gz") as archive:
        for path in sorted(sizes):
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mode = sizes[path], 0o644
            with (folder / path).open("rb") as file:
                archive.addfile(member, file)


def refuse(place: Path, wrong: list[str]) -> None:
    """Raises InvalidInput if something is wrong."""
    if wrong:
        more = f"\n  … ({len(wrong)} in all)" if len(wrong) > 12 else ""
        told = "".join(f"\n  {one}" for one in wrong[:12])
        raise InvalidInput(f"{place} is refused, and nothing of it was taken:{told}{more}")


def _require_room(folder: Path, wanted: int) -> None:
    """Raises NotWritten if there is no room; a full disk would be told of late, and in others' programs, too."""
    if (free := shutil.disk_usage(folder).free) < wanted:
        raise NotWritten(folder, OSError(28, f"no room: {wanted:,} bytes are wanted, {free:,} are free"))


class _Member(tarfile.TarInfo):
    """Refuses a header of another kind than those of plain files and folders before what follows it is read."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        member = super().frombuf(buf, encoding, errors)
        kind = member.type
        if kind in _EXTENSIONS:
            if member.size > _LONGEST_EXTENSION:
                raise InvalidInput(f"{member.size:,} bytes are said beside a file; {_LONGEST_EXTENSION:,} are allowed")
        elif kind not in _FILES and kind != tarfile.DIRTYPE:
            raise InvalidInput(f"{member.name!r}: {_KINDS.get(kind, 'neither file nor folder')}")
        return member


_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.XGLTYPE: "a header for all files",
}


class _Bounded:
    """Reads an archive's unpacked bytes, and stops where there are more than its limits allow.

    Args:
        packed: the archive's file, at its beginning.
        limits: of the whole.
    """

    def __init__(self, packed: IO[bytes], limits: Limits) -> None:
        self._packed, self._limits, self._read = packed, limits, 0
        zipped = packed.read(len(_GZIP)) == _GZIP
        packed.seek(0)
        self._file: IO[bytes] = gzip.GzipFile(fileobj=packed) if zipped else packed  # type: ignore[assignment]  # it reads as one
        # headers and padding: each file takes a kilobyte more at most, and what is said beside it
        self._most = limits.total + limits.files * (_LONGEST_EXTENSION + 2 * tarfile.BLOCKSIZE)

    def read(self, size: int) -> bytes:
        """Reads so many bytes, fewer at the end.

        Raises:
            InvalidInput: it unpacks to more than is allowed, in all or for what it is packed in.
        """
        data = self._file.read(size)
        self._read += len(data)
        if self._read > self._most:
            raise InvalidInput(f"it unpacks to more than {self._limits.total:,} bytes")
        if self._read > max(self._limits.free, self._limits.ratio * self._packed.tell()):
            raise InvalidInput(f"it unpacks to more than {self._limits.ratio} times its size, as suites never do")
        return data


@contextmanager
def _reading(bundle: Path, limits: Limits) -> Iterator[tarfile.TarFile]:
    """Opens an archive to be read once from its beginning to its end; tells whatever is wrong with it as one error."""
    try:
        with bundle.open("rb") as packed:
            stream: Any = _Bounded(packed, limits)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member, errors="surrogateescape") as archive:
                yield archive
    except NotWritten:
        raise
    except InvalidInput as error:
        raise InvalidInput(f"{bundle} is refused, and nothing of it was taken: {error}.") from None
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, OverflowError) as error:
        raise InvalidInput(f"{bundle}: neither a folder nor a .tar or .tar.gz of one: {error}.") from None


def _files(archive: tarfile.TarFile, limits: Limits) -> Iterator[tarfile.TarInfo]:
    """Yields the files of an archive in their order.

    Raises:
        InvalidInput: there are more than allowed, or one is sparse.
    """
    for number, member in enumerate(archive, start=1):
        if number > 2 * limits.files:  # folders have headers, too
            raise InvalidInput(f"more than {limits.files:,} files")
        if member.size < 0:
            raise InvalidInput(f"{member.name!r}: {member.size:,} bytes")
        if member.issparse():
            raise InvalidInput(f"{member.name!r}: {_KINDS[tarfile.GNUTYPE_SPARSE]}")
        if member.isfile():
            yield member


def _contents(bundle: Path, limits: Limits) -> tuple[dict[str, int], str]:
    """Reads which files an archive holds, and writes none.

    Returns:
        Path within the suite → bytes; and the folder of the archive that the suite is, "" for the archive's top.

    Raises:
        InvalidInput: it is no archive, holds one name twice, or does not hold one suite.
    """
    found: dict[str, int] = {}
    with _reading(bundle, limits) as archive:
        for member in _files(archive, limits):
            name = member.name.removeprefix("./")  # as `tar -C folder .` writes it
            if name in found:
                raise InvalidInput(f"{name!r}: is there twice")
            found[name] = member.size
    manifests = [name for name in found if name.rpartition("/")[2] == MANIFEST]
    if len(manifests) != 1:
        raise InvalidInput(f"{bundle}: wants exactly one {MANIFEST}; it has {len(manifests)}.")
    top = manifests[0].removesuffix(MANIFEST)
    outside = [f"{name!r}: lies outside of the suite's folder {top!r}" for name in found if not name.startswith(top)]
    refuse(bundle, sorted(outside))
    return {name.removeprefix(top): size for name, size in found.items()}, top


def _write(bundle: Path, root: Path, top: str, wanted: dict[str, int], limits: Limits) -> None:
    """Writes some of an archive's files into a folder, each of the size that it was said to have."""
    left = dict(wanted)
    with _reading(bundle, limits) as archive:
        for member in _files(archive, limits):
            name = member.name.removeprefix("./").removeprefix(top)
            size = left.pop(name, None)
            if size is None:
                continue
            source = archive.extractfile(member)
            assert source is not None  # it is a file
            _write_file(root / name, source, size)
            if not left:
                break
    refuse(bundle, [f"{name!r}: is not there any more" for name in left])


def _write_file(path: Path, source: IO[bytes], size: int) -> None:
    """Writes a file of a known size, which nobody else may have made.

    Raises:
        InvalidInput: fewer bytes came.
        NotWritten: there is no room.
    """
    make_folder(path.parent)
    try:
        with path.open("xb") as file:
            while data := source.read(min(_CHUNK, size)):
                size -= len(data)
                file.write(data)
    except (gzip.BadGzipFile, EOFError):
        raise  # of the archive, and not of the disk
    except OSError as error:
        raise NotWritten(path, error) from None
    if size:
        raise InvalidInput(f"{path.name!r}: {size:,} bytes fewer than it was said to have")
