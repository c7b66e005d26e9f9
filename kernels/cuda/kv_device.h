// KV pages as kernels see them.
#pragma once

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kv_page.h"

namespace lectern::kernels::cuda {

/// The type of a stored value.
using Kv16 = gpu::bf16;
using Kv8 = signed char;

/// KvPages without its shapes, passed to kernels by value.
struct KvView {
  std::byte* strips = nullptr;
  const std::int32_t* tables = nullptr;
  std::int32_t* faults = nullptr;
  std::int64_t page_stride = 0;
  std::int64_t scales_offset = 0;
  int page_count = 0, table_pages = 0, heads = 0;

  KvView() = default;
  explicit KvView(const KvPages& pages)
      : strips(pages.strips),
        tables(reinterpret_cast<const std::int32_t*>(pages.tables.data)),
        faults(reinterpret_cast<std::int32_t*>(pages.faults.data)),
        page_stride(pages.page_stride),
        scales_offset(pages.layout.scales_offset()),
        page_count(static_cast<int>(pages.page_count)),
        table_pages(static_cast<int>(pages.table_pages())),
        heads(static_cast<int>(pages.layout.heads)) {}

  __device__ __forceinline__ void report(std::int32_t fault) const { atomicOr(faults, fault); }

  /// The pool's number of page `page` (not negative) of a sequence; -1, and a fault, if there is none.
  __device__ __forceinline__ int number(int sequence, int page) const {
    if (page >= table_pages) return report(kv_fault_beyond_table), -1;
    const std::int32_t found = tables[static_cast<std::int64_t>(sequence) * table_pages + page];
    if (found < 0) return report(kv_fault_hole), -1;
    if (found >= page_count) return report(kv_fault_beyond_pool), -1;
    return found;
  }
  __device__ __forceinline__ std::byte* strip_of(int page_number) const { return strips + page_number * page_stride; }
  /// Its strip; null, and a fault, if there is none.
  __device__ __forceinline__ std::byte* strip(int sequence, int page) const {
    const int found = number(sequence, page);
    return found < 0 ? nullptr : strip_of(found);
  }

  /// Row [part][head][token] of a strip: part 0 keys, 1 values.
  __device__ __forceinline__ std::int64_t row(int part, int head, int token) const {
    return static_cast<std::int64_t>((part * heads + head) * static_cast<int>(kv_page_tokens) + token);
  }
  __device__ __forceinline__ float* scale(std::byte* strip, std::int64_t row) const {
    return reinterpret_cast<float*>(strip + scales_offset) + row;
  }
  __device__ __forceinline__ const float* scale(const std::byte* strip, std::int64_t row) const {
    return reinterpret_cast<const float*>(strip + scales_offset) + row;
  }
};

/// Two of the four signed bytes of `word` as bf16 (exact: 7 bits and a sign): bytes LOW and HIGH.
/// 2^23 + 128 + value has the byte, its sign bit turned, as its last 8 bits.
template <int LOW, int HIGH>
__device__ __forceinline__ std::uint32_t bf16_of_bytes(std::uint32_t word) {
  const std::uint32_t turned = word ^ 0x80808080u;
  const float low = __uint_as_float(__byte_perm(turned, 0x4B000000u, 0x7440u | LOW)) - 8388736.0f;
  const float high = __uint_as_float(__byte_perm(turned, 0x4B000000u, 0x7440u | HIGH)) - 8388736.0f;
  return gpu::pack_bf16(low, high);
}

/// Stores one head of one token: `dim` values (a multiple of 4, in memory that all lanes of this warp see) as row
/// `row` of a strip.
__device__ __forceinline__ void store_row(const KvView& view, std::byte* strip, std::int64_t row, const float* values,
                                          int dim, Kv16) {
  Kv16* to = reinterpret_cast<Kv16*>(strip) + row * dim;
  for (int d = 4 * static_cast<int>(threadIdx.x % 32); d < dim; d += 128) {
    float four[4];
    gpu::to_floats(gpu::Vector<float, 4>::load(values + d), four);
    gpu::from_floats<Kv16>(four).store(to + d);
  }
  (void)view;
}
__device__ __forceinline__ void store_row(const KvView& view, std::byte* strip, std::int64_t row, const float* values,
                                          int dim, Kv8) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  float largest = 0.0f;
  bool finite = true;
  for (int d = lane; d < dim; d += 32) {
    const float magnitude = fabsf(values[d]);
    largest = fmaxf(largest, magnitude);
    finite = finite && magnitude <= 3.4028234e38f;  // false for NaN as well
  }
  largest = gpu::warp_max(largest);
  const bool all_finite = __all_sync(0xFFFFFFFFu, finite);
  const float parts = all_finite && largest > 0.0f ? 127.0f / largest : 0.0f;
  Kv8* to = reinterpret_cast<Kv8*>(strip) + row * dim;
  for (int d = 4 * lane; d < dim; d += 128) {
    gpu::Vector<Kv8, 4> four;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int whole = all_finite ? __float2int_rn(values[d + i] * parts) : 0;
      four.values[i] = static_cast<Kv8>(max(-127, min(127, whole)));
    }
    four.store(to + d);
  }
  if (lane == 0) *view.scale(strip, row) = all_finite ? largest / 127.0f : __uint_as_float(0x7FC00000u);
}

}  // namespace lectern::kernels::cuda
