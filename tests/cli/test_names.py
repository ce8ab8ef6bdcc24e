"""Every input gets a name of its own, by its path alone, that file systems and WFDB take."""

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgpage.cli.names import as_posix, clean, name_page, name_results, split_suffix

SUFFIXES = (".jpg", ".pdf", ".png", ".tiff")

parts = st.one_of(
    st.sampled_from(
        [
            "a",
            "A",
            "a_p1",
            "a_p2",
            "a_png",
            "a_jpg",
            "ä",
            "a\u0308",
            "a b",
            "a_b",
            ".a",
            "con",
            "summary",
            "x" * 140,
        ]
    ),
    st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=12).filter(
        lambda t: t not in (".", "..")
    ),
)
"""Parts of paths, many of them alike in one way or another."""
paths = st.builds(
    lambda folders, stem, suffix: PurePosixPath(*folders, stem + suffix),
    st.lists(parts, max_size=2),
    parts,
    st.sampled_from(["", ".png", ".PNG", ".jpg", ".pdf", ".tiff", ".txt"]),
)


def names_of(*texts: str) -> dict[str, str]:
    """Path -> name, of files in one folder."""
    return name_results({text: PurePosixPath(text) for text in texts}, SUFFIXES)


@given(st.sets(paths, max_size=12))
def test_names_are_different_on_every_file_system(below: set[PurePosixPath]) -> None:
    names = name_results({str(path): path for path in below}, SUFFIXES)
    pages = [name_page(name, page, 3).casefold() for name in names.values() for page in (1, 2, 3)]
    assert len({name.casefold() for name in names.values()} | set(pages)) == len(names) + len(pages)


@given(st.sets(paths, max_size=12))
def test_names_hold_plain_characters_only(below: set[PurePosixPath]) -> None:
    for name in name_results({str(path): path for path in below}, SUFFIXES).values():
        for part in name.split("/"):
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", part)


@given(st.lists(paths, unique=True, max_size=12), st.randoms())
def test_names_do_not_depend_on_the_order_of_the_inputs(below: list[PurePosixPath], random: object) -> None:
    shuffled = list(below)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert name_results({str(p): p for p in below}, SUFFIXES) == name_results(
        {str(p): p for p in shuffled}, SUFFIXES
    )


@given(paths, st.text(max_size=30))
def test_a_name_alone_does_not_depend_on_where_the_folder_lies(path: PurePosixPath, place: str) -> None:
    assert [*name_results({place: path}, SUFFIXES).values()] == [*name_results({"": path}, SUFFIXES).values()]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.png"], ["a"]),
        (["ward/a.png"], ["ward/a"]),
        (["a.png", "a.jpg", "b.pdf"], ["a_png", "a_jpg", "b"]),
        (["a.PNG", "A.jpg"], ["a_png", "A_jpg"]),
        (["a.png", "a.jpg", "a_png.pdf"], [None, "a_jpg", "a_png_pdf"]),
        (["a.pdf", "a_p2.png"], ["a_pdf", "a_p2_png"]),
        (["a_p1.png", "a_p2.png"], ["a_p1", "a_p2"]),
        (["1.2.840.5", "1.2.840.6"], [None, None]),
        (["x.txt"], [None]),
    ],
)
def test_names_are_as_short_as_they_can_be(files: list[str], names: list[str | None]) -> None:
    found = list(names_of(*files).values())
    for name, wanted in zip(found, names, strict=True):
        assert name == wanted if wanted else re.search(r"_[0-9a-f]{6}$", name)


@pytest.mark.parametrize(
    ("part", "kept"),
    [
        ("my scan (1)", "my_scan_1_"), ("ümlaut", "_mlaut_"), ("a.b", "a_b_"), ("[x]", "_x_"), ("nul", "nul_"),
        ("…", "_"), ("x" * 300, "x" * 93 + "_"), ("summary", "summary_"),
    ],
)  # fmt: skip
def test_other_characters_give_way_to_a_hash(part: str, kept: str) -> None:
    assert re.fullmatch(re.escape(kept) + "[0-9a-f]{6}", clean(part))


def test_the_two_spellings_of_an_umlaut_get_one_hash() -> None:
    assert clean("\u00fc") == clean("u\u0308")


def test_files_of_two_folders_that_were_given_are_told_apart() -> None:
    names = name_results({"/x/a.png": PurePosixPath("a.png"), "/y/a.png": PurePosixPath("a.png")}, SUFFIXES)
    assert all(re.fullmatch("a_[0-9a-f]{6}", name) for name in names.values())
    assert len(set(names.values())) == 2


def test_only_suffixes_of_pictures_are_cut_off() -> None:
    assert split_suffix("a.b.PNG", SUFFIXES) == ("a.b", ".PNG")
    assert split_suffix("1.2.840.10008", SUFFIXES) == ("1.2.840.10008", "")
    assert split_suffix(".png", SUFFIXES) == (".png", "")


def test_a_path_loses_its_root() -> None:
    assert as_posix("/archive/../2020/a.png") == PurePosixPath("archive/2020/a.png")
