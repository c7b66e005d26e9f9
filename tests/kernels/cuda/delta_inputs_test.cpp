#include "kernels/cuda/delta_inputs.h"

#include "cuda_test.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaDeltaInputs : public CudaTest {};
class CudaDeltaInputsSmall : public CudaTest {};

using Offsets = std::vector<std::int64_t>;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Layer {
  std::int64_t tokens, key_heads, value_heads, key_dim, value_dim, width;
  std::int64_t keys() const { return key_heads * key_dim; }
  std::int64_t values() const { return value_heads * value_dim; }
  std::int64_t channels() const { return 2 * keys() + values(); }
};

struct LayerValues {
  Layer layer;
  std::vector<float> m, a, b, conv, decay, bias, state;
  explicit LayerValues(const Layer& s)
      : layer(s),
        m(Random(1).normals(s.tokens * s.channels())),
        a(Random(2).normals(s.tokens * s.value_heads, 5)),
        b(Random(3).normals(s.tokens * s.value_heads, 2)),
        conv(Random(4).normals(s.channels() * s.width)),
        decay(Random(5).normals(s.value_heads)),
        bias(Random(6).normals(s.value_heads)),
        state(Random(7).normals((s.width - 1) * s.channels())) {
    for (float& x : decay) x = -std::abs(x);
  }
  float input(std::int64_t t, std::int64_t c) const {
    const Layer& s = layer;
    return t < 0 ? state[at((t + s.width - 1) * s.channels() + c)] : m[at(t * s.channels() + c)];
  }
  std::vector<float> state_after(std::int64_t offset) const {
    std::vector<float> rows;
    for (std::int64_t t = offset - (layer.width - 1); t < offset; ++t)
      for (std::int64_t c = 0; c < layer.channels(); ++c) rows.push_back(input(t, c));
    return rows;
  }
  double convolved(std::int64_t t, std::int64_t c) const {
    double sum = 0;
    for (std::int64_t j = 0; j < layer.width; ++j)
      sum +=
          static_cast<double>(conv[at(c * layer.width + j)]) * static_cast<double>(input(t - layer.width + 1 + j, c));
    return sum / (1 + std::exp(-sum));
  }
  /// Value i of q or k, whose channels begin at `first`: divided by the root of its head's squares.
  double normed(std::int64_t i, std::int64_t first, double scale) const {
    const std::int64_t t = i / layer.keys(), head = i % layer.keys() / layer.key_dim;
    double squares = 0;
    for (std::int64_t d = 0; d < layer.key_dim; ++d) {
      const double u = convolved(t, first + head * layer.key_dim + d);
      squares += u * u;
    }
    return scale * convolved(t, first + i % layer.keys()) / std::sqrt(squares + 1e-6);
  }
};

template <class T>
struct LayerOnDevice {
  Queue& queue;
  Layer layer;
  const OnDevice<float> m, a, b, conv, decay, bias;
  const GuardedOnDevice<float> state;
  const GuardedOnDevice<T> q, k, v;
  const GuardedOnDevice<float> g, beta;
  LayerOnDevice(Queue& on, const LayerValues& in)
      : queue(on),
        layer(in.layer),
        m(on, in.m),
        a(on, in.a),
        b(on, in.b),
        conv(on, in.conv),
        decay(on, in.decay),
        bias(on, in.bias),
        state(on, (layer.width - 1) * layer.channels()),
        q(on, layer.tokens * layer.keys()),
        k(on, layer.tokens * layer.keys()),
        v(on, layer.tokens * layer.values()),
        g(on, layer.tokens * layer.value_heads),
        beta(on, layer.tokens * layer.value_heads) {
    copy_to_device(on, state.data(), in.state.data(), (layer.width - 1) * layer.channels() * 4);
  }
  static constexpr DeltaInputScales scales{1e-6f, 0.25f};
  Tensor state_tensor() const { return state.tensor({layer.width - 1, layer.channels()}); }
  DeltaInputWeights weights() const {
    return {conv.tensor({layer.channels(), layer.width}), decay.tensor({layer.value_heads}),
            bias.tensor({layer.value_heads})};
  }
  static Tensor part(std::byte* data, DType type, std::int64_t first, std::initializer_list<std::int64_t> shape) {
    Tensor rows(data, type, shape);
    const std::int64_t row = rows.rank == 3 ? rows.dim(1) * rows.dim(2) : rows.dim(1);
    rows.data += first * row_bytes(type, row);
    return rows;
  }
  DeltaProjections projections(std::int64_t first, std::int64_t n) const {
    return {part(m.data(), DType::f32, first, {n, layer.channels()}),
            part(a.data(), DType::f32, first, {n, layer.value_heads}),
            part(b.data(), DType::f32, first, {n, layer.value_heads})};
  }
  DeltaInputs results(std::int64_t first, std::int64_t n) const {
    const DType type = dtype_of<T>();
    return {part(q.data(), type, first, {n, layer.key_heads, layer.key_dim}),
            part(k.data(), type, first, {n, layer.key_heads, layer.key_dim}),
            part(v.data(), type, first, {n, layer.value_heads, layer.value_dim}),
            part(g.data(), DType::f32, first, {n, layer.value_heads}),
            part(beta.data(), DType::f32, first, {n, layer.value_heads})};
  }
  void run(std::int64_t first, std::int64_t n, const Offsets& offsets = {},
           const std::vector<Tensor>& snapshots = {}) const {
    delta_inputs(queue, projections(first, n), weights(), scales, state_tensor(), offsets, snapshots,
                 results(first, n));
  }
  std::vector<float> everything() const {
    std::vector<float> all;
    for (const std::vector<float>& part : {q.values(), k.values(), v.values(), g.values(), beta.values()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }
};

template <class T>
void expect_inputs(Queue& queue, const Layer& layer, const Offsets& offsets) {
  SCOPED_TRACE(std::to_string(layer.tokens) + " tokens, heads of " + std::to_string(layer.key_dim) + " and " +
               std::to_string(layer.value_dim));
  const LayerValues in(layer);
  const LayerOnDevice<T> device(queue, in);
  const std::int64_t state_size = (layer.width - 1) * layer.channels();
  const GuardedOnDevice<float> kept(queue, std::ssize(offsets) * state_size);
  std::vector<Tensor> snapshots;
  for (std::int64_t i = 0; i < std::ssize(offsets); ++i)
    snapshots.emplace_back(kept.data() + i * state_size * 4, DType::f32,
                           std::initializer_list<std::int64_t>{layer.width - 1, layer.channels()});
  device.run(0, layer.tokens, offsets, snapshots);

  // f32: relative to the largest value; bf16: to the value itself.
  const bool is_bf16 = std::is_same_v<T, std::uint16_t>;
  const auto expect = [&](const std::vector<float>& actual, auto expected, double size) {
    expect_all_near(
        actual, expected, [&](std::size_t i) { return is_bf16 ? std::abs(expected(i)) + 1e-4 : size; },
        is_bf16 ? bf16_tolerance : elementwise_tolerance);
  };
  expect(
      device.q.values(), [&](std::size_t i) { return in.normed(static_cast<std::int64_t>(i), 0, 0.25); }, 1);
  expect(
      device.k.values(), [&](std::size_t i) { return in.normed(static_cast<std::int64_t>(i), layer.keys(), 1); }, 1);
  expect(
      device.v.values(),
      [&](std::size_t i) {
        const auto value = static_cast<std::int64_t>(i);
        return in.convolved(value / layer.values(), 2 * layer.keys() + value % layer.values());
      },
      8);
  const auto wide = static_cast<std::size_t>(layer.value_heads);
  const auto gate = [&](std::size_t i) {
    const double x = static_cast<double>(in.a[i]) + static_cast<double>(in.bias[i % wide]);
    return static_cast<double>(in.decay[i % wide]) * (x > 20 ? x : std::log1p(std::exp(x)));
  };
  expect_all_near(
      device.g.values(), gate, [&](std::size_t i) { return std::abs(gate(i)) + 1e-9; }, 5e-6);
  expect_all_near(
      device.beta.values(), [&](std::size_t i) { return 1 / (1 + std::exp(-static_cast<double>(in.b[i]))); },
      [](std::size_t) { return 1.0; }, elementwise_tolerance);
  expect_same_bits(device.state.values(), in.state_after(layer.tokens));
  std::vector<float> expected;
  for (const std::int64_t offset : offsets) {
    const std::vector<float> one = in.state_after(offset);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  expect_same_bits(kept.values(), expected);
}

TEST_F(CudaDeltaInputsSmall, EqualTheReference) {
  expect_inputs<float>(queue(), {1, 1, 2, 4, 8, 4}, {});
  expect_inputs<std::uint16_t>(queue(), {33, 1, 1, 8, 4, 4}, {2, 33});
  expect_inputs<float>(queue(), {3, 2, 2, 5, 34, 3}, {});
}

TEST_F(CudaDeltaInputs, EqualTheReference) {
  expect_inputs<float>(queue(), {1, 16, 32, 128, 128, 4}, {});
  expect_inputs<std::uint16_t>(queue(), {40, 2, 4, 128, 128, 4}, {1, 32, 40});
  expect_inputs<float>(queue(), {5, 1, 3, 256, 200, 4}, {});
  expect_inputs<float>(queue(), {4, 1, 1, 1, 1, 1}, {});
  expect_inputs<std::uint16_t>(queue(), {3, 3, 3, 8, 12, 2}, {});
}

TEST_F(CudaDeltaInputsSmall, GiveTheSameBitsWhereverTheyWereCut) {
  const LayerValues in({36, 1, 2, 8, 4, 4});
  const LayerOnDevice<float> whole(queue(), in);
  whole.run(0, 36);
  for (const std::int64_t piece : {1, 3, 18}) {
    const LayerOnDevice<float> parts(queue(), in);
    for (std::int64_t t = 0; t < 36; t += piece) parts.run(t, piece);
    expect_same_bits(parts.everything(), whole.everything());
    expect_same_bits(parts.state.values(), whole.state.values());
  }
}

/// Passes by a ring: tokens first, first + 1 .. of the sequence, of which some are rejected (so they come again).
void expect_ring(Queue& queue, const Layer& layer, const std::vector<std::pair<int, int>>& passes) {
  const LayerValues in(layer);
  const LayerOnDevice<float> whole(queue, in), device(queue, in);
  whole.run(0, layer.tokens);
  const GuardedOnDevice<float> rows(queue, ring_rows * layer.channels());
  const OnDevice<std::int32_t> positions(queue, {-1, 0});
  const ConvolutionRing ring{rows.tensor({ring_rows, layer.channels()}), positions.tensor({2})};
  const auto set = [&](std::int32_t position) { copy_to_device(queue, positions.data() + 4, &position, 4); };
  convolution_ring_load(queue, device.state_tensor(), ring);
  std::int32_t position = 0;
  for (const auto& [drafted, accepted] : passes) {
    set(position);
    delta_inputs(queue, device.projections(position, drafted), device.weights(), device.scales, ring,
                 device.results(position, drafted));
    position += accepted;
  }
  set(position);
  const std::vector<float> k = device.k.values(), v = device.v.values(), all_k = whole.k.values(),
                           all_v = whole.v.values();
  EXPECT_EQ(std::memcmp(k.data(), all_k.data(), at(position * layer.keys()) * 4), 0);
  EXPECT_EQ(std::memcmp(v.data(), all_v.data(), at(position * layer.values()) * 4), 0);
  convolution_ring_store(queue, ring, device.state_tensor());
  expect_same_bits(device.state.values(), in.state_after(position));
}

TEST_F(CudaDeltaInputsSmall, TakeRejectedDraftsBackByTheirRing) {
  expect_ring(queue(), {30, 1, 2, 4, 8, 4}, {{1, 1}, {3, 1}, {8, 0}, {8, 8}, {2, 2}, {8, 7}, {5, 1}});
  expect_ring(queue(), {8, 1, 1, 5, 3, 2}, {{2, 1}, {1, 1}});
}

TEST_F(CudaDeltaInputsSmall, AreOneNodeForAStep) {
  const LayerValues in({2, 1, 2, 4, 8, 4});
  const LayerOnDevice<float> device(queue(), in);
  EXPECT_EQ(queue().capture([&] { device.run(0, 2); }).nodes(), 1);
}

TEST_F(CudaDeltaInputsSmall, RefuseWhatDoesNotFit) {
  const LayerValues in({9, 1, 2, 4, 8, 4});
  const LayerOnDevice<float> device(queue(), in);
  const auto run = [&](auto change) {
    DeltaProjections from = device.projections(0, 9);
    DeltaInputWeights weights = device.weights();
    DeltaInputs to = device.results(0, 9);
    Tensor state = device.state_tensor();
    change(from, weights, to, state);
    delta_inputs(queue(), from, weights, device.scales, state, {}, {}, to);
  };
  EXPECT_THROW(run([](auto& from, auto&, auto&, auto&) { from.m.shape[1] = 23; }), Error);
  EXPECT_THROW(run([](auto& from, auto&, auto&, auto&) { from.a.shape[1] = 1; }), Error);
  EXPECT_THROW(run([](auto&, auto& weights, auto&, auto&) { weights.conv.shape[1] = 5; }), Error);
  EXPECT_THROW(run([](auto&, auto& weights, auto&, auto&) { weights.decay.shape[0] = 3; }), Error);
  EXPECT_THROW(run([](auto&, auto&, auto& to, auto&) { to.k.type = DType::bf16; }), Error);
  EXPECT_THROW(run([](auto&, auto&, auto& to, auto&) { to.v.shape[0] = 8; }), Error);
  EXPECT_THROW(run([](auto&, auto&, auto&, auto& state) { state.shape[0] = 2; }), Error);
  EXPECT_THROW(device.run(0, 9, {10}, {device.state_tensor()}), Error);
  const DeviceBuffer memory(1 << 14);
  const ConvolutionRing ring{memory.tensor(DType::f32, {16, 24}), memory.tensor(DType::i32, {2})};
  const auto ring_run = [&](const ConvolutionRing& with, std::int64_t tokens) {
    delta_inputs(queue(), device.projections(0, tokens), device.weights(), device.scales, with,
                 device.results(0, tokens));
  };
  EXPECT_THROW(ring_run(ring, 9), Error);
  EXPECT_THROW(ring_run({memory.tensor(DType::f32, {15, 24}), ring.positions}, 2), Error);
  EXPECT_THROW(ring_run({ring.rows, memory.tensor(DType::f32, {2})}, 2), Error);
  EXPECT_THROW(convolution_ring_load(queue(), memory.tensor(DType::f32, {3, 20}), ring), Error);
  device.run(0, 0);  // no tokens: nothing to do
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
