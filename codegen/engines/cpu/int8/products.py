"""C text of products of integers of 8 bits, four at a time for each lane, by what a core has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codegen.engines.cpu.int8.vectors import types_text
from codegen.engines.cpu.machine import ProductForm
from codegen.engines.cpu.source import fill
from codegen.operators.quantized_conv2d import BYTES

QUAD = 4  # products that are summed at a time


@dataclass(frozen=True)
class Products:
    """`lanes` sums of products of quads of input elements and quads of weights, a quad of these for each lane.

    `dtype` is the input's. `is_wide`: a weight is -128, whose products with two inputs fill no 16 bits.
    """

    lanes: int
    form: ProductForm
    dtype: str
    is_wide: bool = False

    @property
    def tag(self) -> str:
        """What the C names of the functions end with."""
        return f"{self.lanes}_{self.form}_{self.dtype}{'_wide' if self.is_wide else ''}"

    @property
    def offset(self) -> int:
        """What is added to every input before it is multiplied."""
        if self.form == "bytes":
            return 128 if self.dtype == "int8" else 0
        return -128 if (self.form, self.dtype) == ("signed", "uint8") else 0

    @property
    def is_flipped(self) -> bool:
        """Whether that is an exchange of the highest bit."""
        return self.offset != 0

    @property
    def is_signed(self) -> bool:
        """Whether inputs are signed where they are multiplied."""
        return self.form == "signed" or (self.form == "words" and self.dtype == "int8")

    def packed(self, quads: NDArray[np.int8]) -> NDArray[np.int8]:
        """Weights (..., lanes, 4) in the order in which `weights_<tag>` reads them."""
        if self.form != "signed":
            return quads
        pairs = quads.reshape(*quads.shape[:-1], 2, 2)
        return np.ascontiguousarray(np.swapaxes(pairs, -3, -2)).reshape(quads.shape)

    def updates(self, places: Mapping[int, int | None], pads: str, blocks: int) -> list[str]:
        """Statements that add to the sums `a<pixel>_<block>` the products of the weights `w<block>` and of pixels'
        quads: so many bytes behind `row`, or None: `pads`.
        """
        lines = []
        for pixel, place in places.items():
            source = pads if place is None else f"row + {place}"
            sums = [f"a{pixel}_{b} = dot_{self.tag}(a{pixel}_{b}, v, w{b});" for b in range(blocks)]
            lines.append(f"{{ const x_{self.tag} v = spread_{self.tag}({source}); {' '.join(sums)} }}")
        return lines

    @property
    def prologue(self) -> str:
        """The types `sum<lanes>`, `real<lanes>`, `x_<tag>` and `w_<tag>` with `spread_<tag>` (of the four bytes at an
        address to all lanes), `taps_<tag>` (of each lane its bytes of four neighbouring pixels, for
        `dot_taps_<tag>`), `weights_<tag>` and `dot_<tag>`; may stand in a file
        several times.
        """
        assert self.dtype in BYTES
        words: dict[str, int | str] = {
            "lanes": self.lanes,
            "bytes": 4 * self.lanes,
            "tag": self.tag,
            "guard": self.tag.upper(),
            "flip": "0x80808080u" if self.is_flipped else "0u",
            "byte": "int8_t" if self.is_signed else "uint8_t",
        }
        return types_text(self.lanes) + fill(
            _PRODUCTS,
            **words,
            native=fill(_NATIVE[self.form], **self._native_words(words)),
            order="2 * l + j % 2 + (j / 2) * 2 * $lanes" if self.form == "signed" else "4 * l + j",
        ).replace("$lanes", str(self.lanes))

    def _native_words(self, words: dict[str, int | str]) -> dict[str, int | str]:
        width = 32 * self.lanes
        vector = {512: "_mm512", 256: "_mm256"}.get(width, "_mm")
        flip = "_mm512_xor_si512(v, _mm512_set1_epi8(-128))" if self.is_flipped else "v"
        signs = self.dtype == "int8"
        product = "vpadalq_s16(s, vmlal_s8(vmull_s8(x.even, w.even), x.odd, w.odd))"
        if self.is_wide:
            product = "vpadalq_s16(vpadalq_s16(s, vmull_s8(x.even, w.even)), vmull_s8(x.odd, w.odd))"
        return {
            **words,
            "width": width,
            "v": vector,
            "si": f"si{width}",
            "macro": {512: "__AVX512BW__", 256: "__AVX2__"}.get(width, "__SSE2__"),
            "flipped": flip,
            "neon_flip": "veor_s8(v, vdup_n_s8(-128))" if self.is_flipped else "v",
            "even": f"{vector}_srai_epi16({vector}_slli_epi16(v, 8), 8)"
            if signs
            else f"{vector}_and_si{width}(v, {vector}_set1_epi16(255))",
            "odd": f"{vector}_sra{'i' if signs else ''}_epi16(v, 8)".replace("_sra_", "_srli_"),
            "gathered": fill(_GATHERED[width], lanes=self.lanes).rstrip() if width in _GATHERED else "",
            "extended": "sxtb16" if signs else "uxtb16",
            "product": product,
        }


_PIXELS_OF_GROUPS = ", ".join(str(4 * p + g) for g in range(4) for p in range(4))
_BYTES_OF_GROUPS = ", ".join(str(4 * p + c) for c in range(4) for p in range(4))
_GATHERED = {
    512: f"""
        const __m512i groups = _mm512_permutexvar_epi32(_mm512_setr_epi32({_PIXELS_OF_GROUPS}), _mm512_loadu_si512(p));
        const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8({_BYTES_OF_GROUPS}));
        const __m512i v = _mm512_shuffle_epi8(groups, order);
    """,
    256: f"""
        const __m256i groups = _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const void *)p),
                                                           _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
        const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8({_BYTES_OF_GROUPS}));
        const __m256i v = _mm256_shuffle_epi8(groups, order);
    """,
}
"""The bytes of four neighbouring pixels by lanes: pixels of a group of four lanes together, then their bytes."""

_PRODUCTS = """
    #ifndef EXPLORE_INT8_$guard
    #define EXPLORE_INT8_$guard
    $native
    #else
    typedef struct {
        sum$lanes of[4];
    } x_$tag, w_$tag;

    INT8_INLINE x_$tag spread_$tag(const void *p)
    {
        uint32_t quad;
        memcpy(&quad, p, 4);
        quad ^= $flip;
        x_$tag x;
        for (int j = 0; j < 4; ++j)
            x.of[j] = (sum$lanes){0} + ($byte)(quad >> 8 * j);
        return x;
    }

    INT8_INLINE w_$tag weights_$tag(const int8_t *p)
    {
        w_$tag w;
        for (int l = 0; l < $lanes; ++l)
            for (int j = 0; j < 4; ++j)
                w.of[j][l] = p[$order];
        return w;
    }

    INT8_INLINE sum$lanes dot_$tag(sum$lanes s, x_$tag x, w_$tag w)
    {
        for (int j = 0; j < 4; ++j)
            s += x.of[j] * w.of[j];
        return s;
    }

    typedef x_$tag t_$tag;

    INT8_INLINE t_$tag taps_$tag(const uint8_t *p)
    {
        t_$tag t;
        for (int j = 0; j < 4; ++j)
            for (int l = 0; l < $lanes; ++l)
                t.of[j][l] = ($byte)(p[$lanes * j + l] ^ (uint8_t)$flip);
        return t;
    }

    INT8_INLINE sum$lanes dot_taps_$tag(sum$lanes s, t_$tag t, w_$tag w)
    {
        return dot_$tag(s, t, w);
    }
    #endif
    #endif
"""

_NATIVE = {
    "bytes": """
        #if defined(__AVX512VNNI__) && $lanes == 16
        typedef __m512i x_$tag, w_$tag;

        INT8_INLINE x_$tag spread_$tag(const void *p)
        {
            int32_t quad;
            memcpy(&quad, p, 4);
            const __m512i v = _mm512_set1_epi32(quad);
            return $flipped;
        }

        INT8_INLINE w_$tag weights_$tag(const int8_t *p)
        {
            return _mm512_loadu_si512(p);
        }

        INT8_INLINE sum$lanes dot_$tag(sum$lanes s, x_$tag x, w_$tag w)
        {
            return (sum$lanes)_mm512_dpbusd_epi32((__m512i)s, x, w);
        }

        typedef __m512i t_$tag;

        INT8_INLINE t_$tag taps_$tag(const uint8_t *p)
        {
            $gathered
            return $flipped;
        }

        INT8_INLINE sum$lanes dot_taps_$tag(sum$lanes s, t_$tag t, w_$tag w)
        {
            return dot_$tag(s, t, w);
        }
    """,
    "words": """
        #if defined($macro) && defined(__AVX2__) && $lanes >= 8
        typedef struct {
            __m${width}i even, odd;
        } x_$tag, w_$tag;

        INT8_INLINE x_$tag spread_$tag(const void *p)
        {
            int32_t quad;
            memcpy(&quad, p, 4);
            const __m${width}i v = ${v}_set1_epi32(quad);
            return (x_$tag){$even, $odd};
        }

        INT8_INLINE w_$tag weights_$tag(const int8_t *p)
        {
            const __m${width}i v = ${v}_loadu_$si((const void *)p);
            return (w_$tag){${v}_srai_epi16(${v}_slli_epi16(v, 8), 8), ${v}_srai_epi16(v, 8)};
        }

        INT8_INLINE sum$lanes dot_$tag(sum$lanes s, x_$tag x, w_$tag w)
        {
            s += (sum$lanes)${v}_madd_epi16(x.even, w.even);
            return s + (sum$lanes)${v}_madd_epi16(x.odd, w.odd);
        }

        typedef x_$tag t_$tag;

        INT8_INLINE t_$tag taps_$tag(const uint8_t *p)
        {
            $gathered
            return (t_$tag){$even, $odd};
        }

        INT8_INLINE sum$lanes dot_taps_$tag(sum$lanes s, t_$tag t, w_$tag w)
        {
            return dot_$tag(s, t, w);
        }
        #elif defined(__ARM_FEATURE_SIMD32) && !defined(__ARM_NEON) && $lanes == 4
        typedef struct {
            int32_t even, odd;
        } x_$tag;

        typedef struct {
            int32_t even[4], odd[4];
        } w_$tag;

        INT8_INLINE x_$tag spread_$tag(const void *p)
        {
            int32_t quad;
            memcpy(&quad, p, 4);
            x_$tag x;
            __asm__("$extended %0, %1" : "=r"(x.even) : "r"(quad));
            __asm__("$extended %0, %1, ror #8" : "=r"(x.odd) : "r"(quad));
            return x;
        }

        INT8_INLINE w_$tag weights_$tag(const int8_t *p)
        {
            w_$tag w;
            for (int l = 0; l < 4; ++l) {
                int32_t quad;
                memcpy(&quad, p + 4 * l, 4);
                __asm__("sxtb16 %0, %1" : "=r"(w.even[l]) : "r"(quad));
                __asm__("sxtb16 %0, %1, ror #8" : "=r"(w.odd[l]) : "r"(quad));
            }
            return w;
        }

        INT8_INLINE sum4 dot_$tag(sum4 s, x_$tag x, w_$tag w)
        {
            for (int l = 0; l < 4; ++l) {
                int32_t sum = s[l];
                __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(x.even), "r"(w.even[l]));
                __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(x.odd), "r"(w.odd[l]));
                s[l] = sum;
            }
            return s;
        }

        typedef w_$tag t_$tag;

        INT8_INLINE t_$tag taps_$tag(const uint8_t *p)
        {
            t_$tag t;
            for (int l = 0; l < 4; ++l) {
                t.even[l] = ($byte)p[l] & 0xffff;
                t.even[l] |= (int32_t)((uint32_t)($byte)p[8 + l] << 16);
                t.odd[l] = ($byte)p[4 + l] & 0xffff;
                t.odd[l] |= (int32_t)((uint32_t)($byte)p[12 + l] << 16);
            }
            return t;
        }

        INT8_INLINE sum4 dot_taps_$tag(sum4 s, t_$tag t, w_$tag w)
        {
            for (int l = 0; l < 4; ++l) {
                int32_t sum = s[l];
                __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(t.even[l]), "r"(w.even[l]));
                __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(t.odd[l]), "r"(w.odd[l]));
                s[l] = sum;
            }
            return s;
        }
    """,
    "signed": """
        #if defined(__ARM_NEON) && $lanes == 4
        typedef struct {
            int8x8_t even, odd;
        } x_$tag, w_$tag;

        INT8_INLINE int8x8_t flipped_$tag(int8x8_t v)
        {
            return $neon_flip;
        }

        INT8_INLINE x_$tag spread_$tag(const void *p)
        {
            return (x_$tag){flipped_$tag(vreinterpret_s8_s16(vld1_dup_s16((const int16_t *)p))),
                            flipped_$tag(vreinterpret_s8_s16(vld1_dup_s16((const int16_t *)p + 1)))};
        }

        INT8_INLINE w_$tag weights_$tag(const int8_t *p)
        {
            return (w_$tag){vld1_s8(p), vld1_s8(p + 8)};
        }

        INT8_INLINE sum4 dot_$tag(sum4 total, x_$tag x, w_$tag w)
        {
            const int32x4_t s = (int32x4_t)total;
            return (sum4)$product;
        }

        typedef x_$tag t_$tag;

        INT8_INLINE t_$tag taps_$tag(const uint8_t *p)
        {
            const int8x8x2_t pixels = {{vld1_s8((const int8_t *)p), vld1_s8((const int8_t *)p + 8)}};
            const int8x8_t first = {0, 4, 1, 5, 2, 6, 3, 7}, last = {8, 12, 9, 13, 10, 14, 11, 15};
            return (t_$tag){flipped_$tag(vtbl2_s8(pixels, first)), flipped_$tag(vtbl2_s8(pixels, last))};
        }

        INT8_INLINE sum4 dot_taps_$tag(sum4 total, t_$tag t, w_$tag w)
        {
            return dot_$tag(total, t, w);
        }
    """,
}
