// Fragment layouts of ldmatrix and mma against plain matrix products, and cp.async. On a GPU these are the first tests
// to run: every kernel with tensor cores stands on them.
#include <cstring>

#include "device_values.h"

namespace lectern::kernels::cuda::test {
namespace {

class TensorCoreSmall : public DeviceTest {};

std::uint16_t bf16_bits(float x) {  // for values that bf16 holds exactly
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return static_cast<std::uint16_t>(bits >> 16);
}

std::uint16_t f16_bits(float x) {
  const gpu::f16 half = __float2half_rn(x);
  std::uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}

// Small integers: products and sums are exact in every format.
int a_value(int row, int k) {
  return (row * 7 + k * 3) % 11 - 5;
}
int b_value(int k, int column) {
  return (k * 5 + column * 2) % 9 - 4;
}

template <bool TRANSPOSED, int COUNT>
__global__ void load_matrices(const std::uint16_t* from, std::uint32_t* to) {
  SHARED_ARRAY(std::uint16_t, rows, [8 * COUNT][8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 64 * COUNT; i += 32) rows[i / 8][i % 8] = from[i];
  __syncwarp();
  const std::uint16_t* row = rows[lane % (8 * COUNT)];
  if constexpr (COUNT == 4) {
    std::uint32_t r[4];
    if constexpr (TRANSPOSED)
      gpu::ldmatrix_x4_trans(r, row);
    else
      gpu::ldmatrix_x4(r, row);
    for (int i = 0; i < 4; ++i) to[4 * lane + i] = r[i];
  } else {
    std::uint32_t r[2];
    if constexpr (TRANSPOSED)
      gpu::ldmatrix_x2_trans(r, row);
    else
      gpu::ldmatrix_x2(r, row);
    for (int i = 0; i < 2; ++i) to[2 * lane + i] = r[i];
  }
}

template <bool TRANSPOSED, int COUNT>
void expect_matrices() {
  const Values<std::uint16_t> from(made<std::uint16_t>(64 * COUNT, [](int i) { return 1000 + i; }));
  const Values<std::uint32_t> to(32 * COUNT);
  EXPECT_CUDA(LAUNCH((load_matrices<TRANSPOSED, COUNT>), 1, 32, 0, nullptr, from.data(), to.data()));
  const std::vector<std::uint32_t> registers = to.get();
  for (int lane = 0; lane < 32; ++lane)
    for (int matrix = 0; matrix < COUNT; ++matrix)
      for (int half = 0; half < 2; ++half) {
        const int row = lane / 4, column = 2 * (lane % 4) + half;
        const int place = 64 * matrix + (TRANSPOSED ? 8 * column + row : 8 * row + column);
        const std::uint32_t pair = registers[static_cast<std::size_t>(COUNT * lane + matrix)];
        EXPECT_EQ(half ? pair >> 16 : pair & 0xFFFFu, static_cast<std::uint32_t>(1000 + place))
            << "lane " << lane << " matrix " << matrix;
      }
}

TEST_F(TensorCoreSmall, LdmatrixDistributesRows) {
  expect_matrices<false, 4>();
  expect_matrices<true, 4>();
  expect_matrices<false, 2>();
  expect_matrices<true, 2>();
}

enum class Kind { bf16, f16, tf32, s8, u8_s8 };

/// d = c + a b for whole matrices in global memory: A [16, K], B [8, K] (a column a row), C and D [16, 8].
template <Kind KIND, class Element, int K, class Sum>
__global__ void multiply(const Element* a, const Element* b, const Sum* c, Sum* d) {
  constexpr int per_register = 4 / static_cast<int>(sizeof(Element));
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  std::uint32_t fragment_a[4], fragment_b[2];
  // Registers 0 and 1 (rows g and g + 8) hold the first half of K, registers 2 and 3 the second.
  for (int i = 0; i < 4; ++i)
    fragment_a[i] =
        *reinterpret_cast<const std::uint32_t*>(a + (g + 8 * (i & 1)) * K + per_register * t + K / 2 * (i >> 1));
  for (int i = 0; i < 2; ++i)
    fragment_b[i] = *reinterpret_cast<const std::uint32_t*>(b + g * K + per_register * t + K / 2 * i);
  Sum sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = c[(g + 8 * (i >> 1)) * 8 + 2 * t + (i & 1)];
  if constexpr (KIND == Kind::bf16) gpu::mma_bf16(sum, fragment_a, fragment_b[0], fragment_b[1]);
  if constexpr (KIND == Kind::f16) gpu::mma_f16(sum, fragment_a, fragment_b[0], fragment_b[1]);
  if constexpr (KIND == Kind::tf32) gpu::mma_tf32(sum, fragment_a, fragment_b[0], fragment_b[1]);
  if constexpr (KIND == Kind::s8) gpu::mma_s8(sum, fragment_a, fragment_b[0], fragment_b[1]);
  if constexpr (KIND == Kind::u8_s8) gpu::mma_u8_s8(sum, fragment_a, fragment_b[0], fragment_b[1]);
  for (int i = 0; i < 4; ++i) d[(g + 8 * (i >> 1)) * 8 + 2 * t + (i & 1)] = sum[i];
}

template <Kind KIND, class Element, int K, class Sum, class Encode>
void expect_product(Encode encode, int a_shift = 0) {
  const Values<Element> a(made<Element>(16 * K, [&](int i) { return encode(a_value(i / K, i % K) + a_shift); }));
  const Values<Element> b(made<Element>(8 * K, [&](int i) { return encode(b_value(i % K, i / K)); }));
  const Values<Sum> c(made<Sum>(128, [](int i) { return i - 60; })), d(128);
  EXPECT_CUDA(LAUNCH((multiply<KIND, Element, K, Sum>), 1, 32, 0, nullptr, a.data(), b.data(), c.data(), d.data()));
  const std::vector<Sum> result = d.get();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      int sum = row * 8 + column - 60;
      for (int k = 0; k < K; ++k) sum += (a_value(row, k) + a_shift) * b_value(k, column);
      EXPECT_EQ(result[static_cast<std::size_t>(row * 8 + column)], static_cast<Sum>(sum)) << row << ", " << column;
    }
}

TEST_F(TensorCoreSmall, MmaMultipliesMatrices) {
  expect_product<Kind::bf16, std::uint16_t, 16, float>([](int x) { return bf16_bits(static_cast<float>(x)); });
  expect_product<Kind::f16, std::uint16_t, 16, float>([](int x) { return f16_bits(static_cast<float>(x)); });
  expect_product<Kind::tf32, float, 8, float>([](int x) { return static_cast<float>(x); });
  expect_product<Kind::s8, std::int8_t, 32, std::int32_t>([](int x) { return x; });
  expect_product<Kind::u8_s8, std::uint8_t, 32, std::int32_t>([](int x) { return static_cast<std::uint8_t>(x); }, 205);
}

/// D [16, 8] = P [16, 16] V [16, 8], both row by row in shared memory: what attention does with probabilities and
/// values. V is transposed on its way into the registers.
__global__ void multiply_rows(const gpu::bf16* p, const gpu::bf16* v, float* d) {
  SHARED_ARRAY(gpu::bf16, shared_p, [16][24]);  // 24: rows begin in different banks
  SHARED_ARRAY(gpu::bf16, shared_v, [16][8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) shared_p[i / 16][i % 16] = p[i];
  for (int i = lane; i < 128; i += 32) shared_v[i / 8][i % 8] = v[i];
  __syncwarp();
  std::uint32_t a[4], b[2];
  gpu::ldmatrix_x4(a, &shared_p[lane % 16][lane / 16 * 8]);
  gpu::ldmatrix_x2_trans(b, &shared_v[lane % 16][0]);
  float sum[4] = {0, 0, 0, 0};
  gpu::mma_bf16(sum, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) d[(lane / 4 + 8 * (i >> 1)) * 8 + 2 * (lane % 4) + (i & 1)] = sum[i];
}

TEST_F(TensorCoreSmall, LdmatrixAndMmaFitTogether) {
  std::vector<gpu::bf16> p(256), v(128);
  for (int i = 0; i < 256; ++i)
    p[static_cast<std::size_t>(i)] = __float2bfloat16_rn(static_cast<float>(a_value(i / 16, i % 16)));
  for (int i = 0; i < 128; ++i)
    v[static_cast<std::size_t>(i)] = __float2bfloat16_rn(static_cast<float>(b_value(i / 8, i % 8)));
  const Values<gpu::bf16> dp(p), dv(v);
  const Values<float> d(128);
  EXPECT_CUDA(LAUNCH(multiply_rows, 1, 32, 0, nullptr, dp.data(), dv.data(), d.data()));
  const std::vector<float> result = d.get();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      int sum = 0;
      for (int k = 0; k < 16; ++k) sum += a_value(row, k) * b_value(k, column);
      EXPECT_EQ(result[static_cast<std::size_t>(row * 8 + column)], static_cast<float>(sum)) << row << ", " << column;
    }
}

/// The lowest 13 bits of a tf32 register do not count.
__global__ void multiply_tails(float* d) {
  const std::uint32_t one_and_a_tail = 0x3F801FFFu;
  const std::uint32_t a[4] = {one_and_a_tail, one_and_a_tail, one_and_a_tail, one_and_a_tail};
  float sum[4] = {0, 0, 0, 0};
  gpu::mma_tf32(sum, a, one_and_a_tail, one_and_a_tail);
  d[threadIdx.x] = sum[0];
}

TEST_F(TensorCoreSmall, Tf32LeavesOutTheLowBits) {
  const Values<float> d(32);
  EXPECT_CUDA(LAUNCH(multiply_tails, 1, 32, 0, nullptr, d.data()));
  EXPECT_EQ(d.get(), std::vector<float>(32, 8.0f));
}

/// Doubles each of `tiles` tiles of 128 values, which travel through three stages of shared memory.
__global__ void double_tiles(const int* from, int tiles, int* to) {
  SHARED_ARRAY(int, stage, [3][128]);
  const int thread = static_cast<int>(threadIdx.x);  // 64
  const auto request = [&](int tile) {
    if (tile < tiles && thread < 32) gpu::cp_async16(&stage[tile % 3][4 * thread], from + 128 * tile + 4 * thread);
    gpu::cp_async_commit();
  };
  request(0);
  request(1);
  for (int tile = 0; tile < tiles; ++tile) {
    gpu::cp_async_wait<1>();
    __syncthreads();
    request(tile + 2);  // into the stage that was read before the barrier
    for (int i = thread; i < 128; i += 64) to[128 * tile + i] = 2 * stage[tile % 3][i];
  }
}

TEST_F(TensorCoreSmall, CopiesGoThroughStages) {
  for (const int tiles : {1, 2, 7}) {
    const auto count = static_cast<std::size_t>(128 * tiles);
    const Values<int> from(made<int>(count, [](int i) { return i; })), to(count);
    EXPECT_CUDA(LAUNCH(double_tiles, 1, 64, 0, nullptr, from.data(), tiles, to.data()));
    EXPECT_EQ(to.get(), made<int>(count, [](int i) { return 2 * i; }));
  }
}

__global__ void copy_some(const int* from, int* to) {
  SHARED_ARRAY(int, part, [32][4]);
  SHARED_ARRAY(int, small, [32][4]);
  const int lane = static_cast<int>(threadIdx.x);
  gpu::cp_async16_zfill(part[lane], from + 4 * lane, 4 * (lane % 5));
  gpu::cp_async8(&small[lane][0], from + 4 * lane);
  gpu::cp_async4(&small[lane][2], from + 4 * lane + 2);
  gpu::cp_async4(&small[lane][3], from + 4 * lane + 3);
  gpu::cp_async_commit();
  gpu::cp_async_wait<0>();
  for (int i = 0; i < 4; ++i) {
    to[8 * lane + i] = part[lane][i];
    to[8 * lane + 4 + i] = small[lane][i];
  }
}

TEST_F(TensorCoreSmall, CopiesFillWithZeros) {
  const Values<int> from(made<int>(128, [](int i) { return i + 1; })), to(256);
  EXPECT_CUDA(LAUNCH(copy_some, 1, 32, 0, nullptr, from.data(), to.data()));
  EXPECT_EQ(to.get(), made<int>(256, [](int i) {
              const int lane = i / 8, k = i % 8;
              if (k >= 4) return 4 * lane + k - 4 + 1;
              return k < lane % 5 ? 4 * lane + k + 1 : 0;
            }));
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
