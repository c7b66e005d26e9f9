// The PTX instructions of gpu.h: shared memory by address, ldmatrix, mma, cp.async, number formats.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "intrinsics.h"
#include "warp.h"

namespace emu {

/// The variable of one declaration; ends the kernel if shared memory is exhausted.
void* shared_variable(const void* key, std::size_t size, Place place = Place::here());
unsigned char* dynamic_shared();

void load_matrices(std::uint32_t* registers, const void* row, int count, bool transposed, Place place);
enum class Product { bf16, f16, tf32, s8, u8_s8 };
void multiply(Product kind, void* accumulators, const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1,
              Place place);
void copy_async(void* shared, const void* global, int bytes, int valid_bytes, Place place);
void commit_copies();
void wait_for_copies(std::size_t groups_left_pending);

/// a rounded to tf32: 10 bits of mantissa, to nearest, halves away from zero.
std::uint32_t tf32_bits(float a);

}  // namespace emu

namespace gpu {

/// Lane l gives the address of one row of 8 16-bit values in shared memory (lanes 8i to 8i + 7: matrix i) and gets of
/// matrix i, in register i, row l / 4, columns 2 (l % 4) and + 1; transposed: the same of the transpose.
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, emu::Place place = emu::Place::here()) {
  emu::load_matrices(r, row, 4, false, place);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row, emu::Place place = emu::Place::here()) {
  emu::load_matrices(r, row, 4, true, place);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row, emu::Place place = emu::Place::here()) {
  emu::load_matrices(r, row, 2, false, place);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row, emu::Place place = emu::Place::here()) {
  emu::load_matrices(r, row, 2, true, place);
}

inline void mma_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                     emu::Place place = emu::Place::here()) {
  emu::multiply(emu::Product::bf16, c, a, b0, b1, place);
}
inline void mma_f16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                    emu::Place place = emu::Place::here()) {
  emu::multiply(emu::Product::f16, c, a, b0, b1, place);
}
inline void mma_tf32(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                     emu::Place place = emu::Place::here()) {
  emu::multiply(emu::Product::tf32, c, a, b0, b1, place);
}
inline void mma_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                   emu::Place place = emu::Place::here()) {
  emu::multiply(emu::Product::s8, c, a, b0, b1, place);
}
inline void mma_u8_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                      emu::Place place = emu::Place::here()) {
  emu::multiply(emu::Product::u8_s8, c, a, b0, b1, place);
}

inline void cp_async16(void* shared, const void* global, emu::Place place = emu::Place::here()) {
  emu::copy_async(shared, global, 16, 16, place);
}
inline void cp_async16_zfill(void* shared, const void* global, int valid_bytes, emu::Place place = emu::Place::here()) {
  emu::copy_async(shared, global, 16, valid_bytes, place);
}
inline void cp_async8(void* shared, const void* global, emu::Place place = emu::Place::here()) {
  emu::copy_async(shared, global, 8, 8, place);
}
inline void cp_async4(void* shared, const void* global, emu::Place place = emu::Place::here()) {
  emu::copy_async(shared, global, 4, 4, place);
}
inline void cp_async_commit() {
  emu::commit_copies();
}
template <int N>
inline void cp_async_wait() {
  emu::wait_for_copies(N);
}

inline float ex2(float x) {
  return static_cast<float>(std::exp2(static_cast<double>(x)));
}
inline float lg2(float x) {
  return static_cast<float>(std::log2(static_cast<double>(x)));
}
inline float rcp(float x) {
  return 1.0f / x;
}
inline float rsqrt(float x) {
  return rsqrtf(x);
}
inline float tanh_fast(float x) {
  return std::tanh(x);
}
inline std::uint32_t to_tf32(float x) {
  return emu::tf32_bits(x);
}
inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair(__float2bfloat16_rn(low), __float2bfloat16_rn(high));
  return emu::bits_as<std::uint32_t>(pair);
}
inline std::uint32_t pack_f16(float low, float high) {
  const __half2 pair(__float2half_rn(low), __float2half_rn(high));
  return emu::bits_as<std::uint32_t>(pair);
}

// Hints to the caches: plain loads and stores here.
template <class T>
inline T load_streaming(const T* address) {
  return *address;
}
template <class T>
inline T load_evict_first(const T* address) {
  return *address;
}
template <class T>
inline T load_read_only(const T* address) {
  return *address;
}
template <class T>
inline void store_streaming(T* address, const T& value) {
  *address = value;
}
inline void prefetch_l2(const void*) {}

}  // namespace gpu
