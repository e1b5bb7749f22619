"""Program files: raw words and hexadecimal listings read back, and what is ambiguous is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.engines.videocore4.listing import read_program, write_listing, write_raw
from codegen.errors import ListingError

WORDS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)
NOP, END = 0x100009E7_009E7000, 0x300009E7_009E7000


@given(WORDS)
def test_listings_of_either_form_read_back(words: list[int]) -> None:
    assert read_program(write_listing(words, "words32").encode(), "words32") == tuple(words)
    assert read_program(write_listing(words, "words64").encode()) == tuple(words)


@given(WORDS)
def test_raw_words_read_back(words: list[int]) -> None:
    assert read_program(write_raw(words), "raw") == tuple(words)


@pytest.mark.parametrize(
    "text",
    [
        "0x009e7000, 0x100009e7, 0x009e7000, 0x300009e7",
        "0x009e7000 0x100009e7\n0x009e7000 0x300009e7\n",
        "0x100009e7009e7000, 0x300009e7009e7000,",
        "0x100009E7009E7000ULL, 0x300009E7009E7000ull",
        "static const uint32_t code[] = { // 0xdead\n 0x009e7000u, 0x100009e7, /* nop\n 0x0 */\n"
        "0x009e7000, 0x300009e7 };\n",
        "\ufeff# a listing\n0x9e7000, 0x100009e7,\r\n0x9e7000, 0x300009e7\r\n",
    ],
)
def test_published_forms(text: str) -> None:
    assert read_program(text.encode()) == (NOP, END)


@pytest.mark.parametrize(
    ("data", "form", "message"),
    [
        (b"", "auto", "empty"),
        (b"\x00" * 12, "auto", "12 bytes are no whole number"),
        (b"0x009e7000, 0x100009e7009e7000", "auto", "ambiguous: 0x009e7000 could be half"),
        (b"0x009e7000, 0x100009e7, 0x009e7000", "auto", "3 items of 32 bits"),
        (b"0x100009e7009e7000", "words32", "does not fit 32 bits"),
        (b"fadd r0, r1, r2", "auto", "line 1: 'fadd' is no item"),
        (b"0x100009e7, 0x009e7000, 0x300009e7, 0x009e7000", "auto", "high half first"),
        (b"\n0x12345678901234567", "auto", "line 2: '0x12345678901234567' is no item"),
        (b"// nothing\n", "auto", "no items"),
        (b"a[] = {0x0, 0x0}; b[] = {0x0, 0x0};", "auto", "more than one pair of braces"),
        (b"} 0x0 {", "auto", "more than one pair of braces"),
        (b"\xff" * 8, "words64", "no text"),
    ],
)
def test_bad_files_are_named(data: bytes, form: str, message: str) -> None:
    with pytest.raises(ListingError, match=message):
        read_program(data, form)  # type: ignore[arg-type]


def test_the_form_settles_what_is_ambiguous() -> None:
    assert read_program(b"0x1, 0x100009e7009e7000", "words64") == (1, NOP)
    swapped = b"0x100009e7, 0x009e7000, 0x300009e7, 0x009e7000"
    assert read_program(swapped, "words32-high-first") == (NOP, END)
    assert read_program(b"12345678", "raw") == (0x3837363534333231,)


def check_any_bytes(data: bytes) -> None:
    try:
        words = read_program(data)
    except ListingError as error:
        assert str(error)
    else:
        assert words and all(0 <= word < 1 << 64 for word in words)


LISTING_LIKE = st.text("0123456789abcdefxX, \n{}/*#uUlL", max_size=80).map(str.encode)


@given(st.one_of(st.binary(max_size=64), LISTING_LIKE))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    check_any_bytes(data)


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=400), LISTING_LIKE))
@settings(max_examples=50_000, deadline=None)
def test_many_bytes_are_read_or_refused(data: bytes) -> None:
    check_any_bytes(data)
