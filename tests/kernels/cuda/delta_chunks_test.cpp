#include "kernels/cuda/delta_chunks.h"

#include "delta_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaDeltaChunks : public CudaTest {};
class CudaDeltaChunksSmall : public CudaTest {};

constexpr std::int64_t chunk = delta_chunk_tokens;
/// Two bf16 carry 16 bits; the exponentials of the device are right to 2e-6 and sums in f32 to less.
constexpr double split_tolerance = 2e-5;

/// Value (row, column) of a lower triangular matrix as delta_chunks.h lays it out.
double triangle_value(const std::uint16_t* blocks, std::int64_t row, std::int64_t column) {
  const std::int64_t block = row / 16 * (row / 16 + 1) / 2 + column / 16, r = row % 16, j = column % 16;
  const std::int64_t place = block * 512 + 8 * (4 * (r % 8) + j % 8 / 2) + 4 * (r / 8) + 2 * (j / 8) + j % 2;
  return static_cast<double>(from_bf16(blocks[place])) + static_cast<double>(from_bf16(blocks[place + 256]));
}

/// One chunk of one head in double; decays as products, so nothing cancels.
struct ChunkReference {
  double decay[64][64] = {};  // exp(G_r - G_i), i <= r
  double start[64] = {};      // exp(G_r)
  double inverse[64][64] = {}, scores[64][64] = {};
  ChunkReference(const DeltaValues& in, std::int64_t first, std::int64_t count, std::int64_t head) {
    const DeltaShape& s = in.shape;
    const auto key = [&](const std::vector<float>& rows, std::int64_t t, std::int64_t i) {
      return t < count ? static_cast<double>(rows[at((first + t) * s.keys() + s.key_head(head) * s.key_dim + i)]) : 0.0;
    };
    const auto gate = [&](const std::vector<float>& rows, std::int64_t t) {
      return t < count ? static_cast<double>(rows[at((first + t) * s.value_heads + head)]) : 0.0;
    };
    double system[64][64] = {};
    for (std::int64_t r = 0; r < chunk; ++r) {
      const double now = std::exp(gate(in.g, r));
      start[r] = now * (r > 0 ? start[r - 1] : 1);
      for (std::int64_t i = 0; i <= r; ++i) {
        decay[r][i] = i == r ? 1 : now * decay[r - 1][i];
        double keys = 0, query = 0;
        for (std::int64_t d = 0; d < s.key_dim; ++d) {
          keys += key(in.k, r, d) * key(in.k, i, d);
          query += key(in.q, r, d) * key(in.k, i, d);
        }
        scores[r][i] = decay[r][i] * query;
        if (i < r) system[r][i] = gate(in.beta, r) * decay[r][i] * keys;
      }
    }
    for (std::int64_t j = 0; j < chunk; ++j)
      for (std::int64_t r = j; r < chunk; ++r) {
        inverse[r][j] = r == j ? 1 : 0;
        for (std::int64_t l = j; l < r; ++l) inverse[r][j] -= system[r][l] * inverse[l][j];
      }
    for (std::int64_t j = 0; j < chunk; ++j)
      for (std::int64_t r = j; r < chunk; ++r) inverse[r][j] *= gate(in.beta, j);
  }
};

using Grid = std::vector<std::pair<std::int32_t, std::int32_t>>;

struct Tiles {
  std::int64_t count, heads;
  const GuardedOnDevice<std::uint16_t> inverse, scores;
  const GuardedOnDevice<float> decays;
  Tiles(Queue& queue, const DeltaValues& in, const Grid& grid)
      : count(std::ssize(grid)),
        heads(in.shape.value_heads),
        inverse(queue, count * heads * 5120),
        scores(queue, count * heads * 5120),
        decays(queue, count * heads * 2 * chunk) {
    const DeltaShape& s = in.shape;
    const OnDevice<std::uint16_t> q(queue, bf16_of(in.q)), k(queue, bf16_of(in.k));
    const OnDevice<float> g(queue, in.g), beta(queue, in.beta);
    std::vector<std::int32_t> table;
    for (const auto& [first, tokens] : grid) table.insert(table.end(), {first, tokens, -1, -1});
    const OnDevice<std::int32_t> chunks(queue, table);
    delta_chunks(queue, q.tensor({s.tokens, s.key_heads, s.key_dim}), k.tensor({s.tokens, s.key_heads, s.key_dim}),
                 g.tensor({s.tokens, s.value_heads}), beta.tensor({s.tokens, s.value_heads}), s.heads,
                 chunks.tensor({count, 4}),
                 {inverse.tensor({count, heads, 10, 512}), scores.tensor({count, heads, 10, 512}),
                  decays.tensor({count, heads, 2, chunk})});
    queue.synchronize();
  }
};

void expect_chunks(Queue& queue, const DeltaValues& in, const Grid& grid) {
  const Tiles tiles(queue, in, grid);
  const std::vector<std::uint16_t> inverse = tiles.inverse.raw(), scores = tiles.scores.raw();
  const std::vector<float> decays = tiles.decays.values();
  int reported = 0;
  const auto expect = [&](const char* what, double actual, double expected, double size, std::int64_t row,
                          std::int64_t column) {
    if (std::abs(actual - expected) <= split_tolerance * size || reported++ > 5) return;  // false for NaN
    ADD_FAILURE() << what << " (" << row << ", " << column << "): " << actual << " for " << expected;
  };
  for (std::int64_t c = 0; c < tiles.count; ++c)
    for (std::int64_t head = 0; head < tiles.heads; ++head) {
      const ChunkReference want(in, grid[at(c)].first, grid[at(c)].second, head);
      const std::int64_t tile = c * tiles.heads + head;
      double largest = 1;
      for (const auto& row : want.inverse)
        for (const double x : row) largest = std::max(largest, std::abs(x));
      for (std::int64_t r = 0; r < chunk; ++r) {
        expect("decay from the start", static_cast<double>(decays[at(tile * 128 + r)]), want.start[r], 1, r, 0);
        expect("decay to the end", static_cast<double>(decays[at(tile * 128 + 64 + r)]), want.decay[63][r], 1, r, 0);
        for (std::int64_t i = 0; i < (r / 16 + 1) * 16; ++i) {
          expect("inverse", triangle_value(inverse.data() + tile * 5120, r, i), want.inverse[r][i], largest, r, i);
          expect("scores", triangle_value(scores.data() + tile * 5120, r, i), want.scores[r][i], 0.1, r, i);
        }
      }
    }
}

TEST_F(CudaDeltaChunksSmall, EqualTheReference) {
  expect_chunks(queue(), DeltaValues({70, 1, 2, 128, 1}), {{0, 64}, {64, 6}});
}

TEST_F(CudaDeltaChunks, EqualTheReference) {
  const Grid grid = {{0, 64}, {64, 1}, {65, 47}, {112, 64}};
  expect_chunks(queue(), DeltaValues({176, 2, 2, 128, 1}), grid);
  expect_chunks(queue(), DeltaValues({176, 2, 6, 128, 1, DeltaHeads::tiled}), grid);
  expect_chunks(queue(), DeltaValues({176, 2, 6, 128, 1, DeltaHeads::grouped}), grid);
}

TEST_F(CudaDeltaChunks, KeepToTheReferenceForAnyGates) {
  for (const auto& [name, in] : adversarial_values({80, 1, 2, 128, 1})) {
    SCOPED_TRACE(name);
    expect_chunks(queue(), in, {{0, 64}, {64, 16}});
  }
}

TEST_F(CudaDeltaChunksSmall, RefuseWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto of = [&](DType type, std::initializer_list<std::int64_t> shape) { return memory.tensor(type, shape); };
  const auto run = [&](Tensor q, Tensor g, Tensor chunks, Tensor inverse) {
    delta_chunks(queue(), q, q, g, g, DeltaHeads::grouped, chunks,
                 {inverse, of(DType::bf16, {2, 4, 10, 512}), of(DType::f32, {2, 4, 2, 64})});
  };
  const Tensor q = of(DType::bf16, {9, 2, 128}), g = of(DType::f32, {9, 4}), chunks = of(DType::i32, {2, 4}),
               inverse = of(DType::bf16, {2, 4, 10, 512});
  EXPECT_THROW(run(of(DType::f32, {9, 2, 128}), g, chunks, inverse), Error);
  EXPECT_THROW(run(of(DType::bf16, {9, 2, 64}), g, chunks, inverse), Error);
  EXPECT_THROW(run(q, of(DType::f32, {8, 4}), chunks, inverse), Error);
  EXPECT_THROW(run(q, of(DType::f32, {9, 3}), chunks, inverse), Error);
  EXPECT_THROW(run(q, g, of(DType::i32, {2, 2}), inverse), Error);
  EXPECT_THROW(run(q, g, of(DType::i32, {3, 4}), inverse), Error);
  EXPECT_THROW(run(q, g, chunks, of(DType::bf16, {2, 4, 16, 512})), Error);
  EXPECT_THROW(run(Tensor(memory.data() + 2, DType::bf16, {9, 2, 128}), g, chunks, inverse), Error);
  run(q, g, of(DType::i32, {0, 4}), inverse);  // no chunks: nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
