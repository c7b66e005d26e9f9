#include "kernels/cuda/delta_step.h"

#include "delta_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaDeltaStep : public CudaTest {};
class CudaDeltaStepSmall : public CudaTest {};

constexpr std::int64_t ring_rows = 16;

/// The values of DeltaValues on the device, and calls on runs of their tokens.
template <class T>
struct DeltaOnDevice {
  Queue& queue;
  const DeltaShape shape;
  const OnDevice<T> q, k, v;
  const OnDevice<float> g, beta;
  const GuardedOnDevice<float> state, out;

  static std::vector<T> as(const std::vector<float>& values) {
    if constexpr (std::is_same_v<T, float>)
      return values;
    else
      return bf16_of(values);
  }
  DeltaOnDevice(Queue& on, const DeltaValues& in)
      : queue(on),
        shape(in.shape),
        q(on, as(in.q)),
        k(on, as(in.k)),
        v(on, as(in.v)),
        g(on, in.g),
        beta(on, in.beta),
        state(on, in.shape.state()),
        out(on, in.shape.tokens * in.shape.values()) {
    copy_to_device(on, state.data(), in.state.data(), in.shape.state() * 4);
  }
  Tensor state_tensor() const { return state.tensor({shape.value_heads, shape.key_dim, shape.value_dim}); }
  template <class Call>
  void call(std::int64_t first, std::int64_t n, Call operation) const {
    const auto part = [&](std::byte* data, std::int64_t size, std::int64_t row) { return data + first * row * size; };
    const DType type = dtype_of<T>();
    const auto size = static_cast<std::int64_t>(sizeof(T));
    const auto rows = [&](std::byte* data) {
      return Tensor(part(data, size, shape.keys()), type, {n, shape.key_heads, shape.key_dim});
    };
    const auto gates = [&](std::byte* data) {
      return Tensor(part(data, 4, shape.value_heads), DType::f32, {n, shape.value_heads});
    };
    operation(rows(q.data()), rows(k.data()),
              Tensor(part(v.data(), size, shape.values()), type, {n, shape.value_heads, shape.value_dim}),
              gates(g.data()), gates(beta.data()),
              Tensor(part(out.data(), 4, shape.values()), DType::f32, {n, shape.value_heads, shape.value_dim}));
  }
  void step(std::int64_t first, std::int64_t n) const {
    call(first, n, [&](Tensor rows_q, Tensor rows_k, Tensor rows_v, Tensor rows_g, Tensor rows_beta, Tensor rows_out) {
      delta_step(queue, rows_q, rows_k, rows_v, rows_g, rows_beta, shape.heads, state_tensor(), rows_out);
    });
  }
};

struct Ring {
  const GuardedOnDevice<float> k, d, decay;
  const OnDevice<std::int32_t> positions;
  Ring(Queue& queue, const DeltaShape& s)
      : k(queue, ring_rows * s.keys()),
        d(queue, ring_rows * s.values()),
        decay(queue, ring_rows * s.value_heads),
        positions(queue, {0, 0}) {}
  DeltaRing tensors(const DeltaShape& s) const {
    return {k.tensor({ring_rows, s.key_heads, s.key_dim}), d.tensor({ring_rows, s.value_heads, s.value_dim}),
            decay.tensor({ring_rows, s.value_heads}), positions.tensor({2})};
  }
  void set(Queue& queue, std::int64_t base, std::int64_t position) const {
    const std::int32_t values[2] = {static_cast<std::int32_t>(base), static_cast<std::int32_t>(position)};
    copy_to_device(queue, positions.data(), values, 8);
  }
};

template <class T>
void expect_step(Queue& queue, const DeltaShape& shape) {
  SCOPED_TRACE(std::to_string(shape.tokens) + " tokens of " + std::to_string(shape.key_dim) + " x " +
               std::to_string(shape.value_dim));
  const DeltaValues in(shape);
  const DeltaOnDevice<T> device(queue, in);
  device.step(0, shape.tokens);
  const DeltaReference reference(in);
  expect_close(device.out.values(), reference.out, f32_tolerance);
  expect_close(device.state.values(), reference.state, f32_tolerance);
}

TEST_F(CudaDeltaStepSmall, EqualsTheReference) {
  expect_step<float>(queue(), {1, 1, 1, 1, 1});
  expect_step<float>(queue(), {9, 1, 2, 8, 12, DeltaHeads::tiled});
  expect_step<std::uint16_t>(queue(), {2, 2, 4, 16, 16, DeltaHeads::grouped});
}

TEST_F(CudaDeltaStep, EqualsTheReference) {
  expect_step<float>(queue(), {1, 2, 4, 128, 128, DeltaHeads::grouped});
  expect_step<float>(queue(), {8, 2, 6, 128, 128, DeltaHeads::tiled});
  expect_step<std::uint16_t>(queue(), {20, 2, 2, 128, 64});
  expect_step<float>(queue(), {5, 2, 6, 33, 35, DeltaHeads::grouped});
  expect_step<float>(queue(), {3, 1, 2, 200, 20, DeltaHeads::tiled});
  expect_step<std::uint16_t>(queue(), {3, 1, 1, 256, 16});
}

TEST_F(CudaDeltaStep, EqualsTheCpu) {
  const DeltaShape s{8, 2, 4, 128, 128, DeltaHeads::grouped};
  const DeltaValues in(s);
  const DeltaOnDevice<float> device(queue(), in);
  device.step(0, s.tokens);
  std::vector<float> state = in.state, out(at(s.tokens * s.values()));
  Stream cpu(1);
  kernels::delta_rule(cpu, f32_view(in.q.data(), {8, 2, 128}), f32_view(in.k.data(), {8, 2, 128}),
                      f32_view(in.v.data(), {8, 4, 128}), f32_view(in.g.data(), {8, 4}),
                      f32_view(in.beta.data(), {8, 4}), s.heads, {}, f32_view(state.data(), {4, 128, 128}), {}, {},
                      f32_view(out.data(), {8, 4, 128}));
  expect_close(device.out.values(), {out.begin(), out.end()}, f32_tolerance);
  expect_close(device.state.values(), {state.begin(), state.end()}, f32_tolerance);
}

TEST_F(CudaDeltaStep, KeepsToTheReferenceForAnyGates) {
  for (const auto& [name, in] : adversarial_values({12, 1, 2, 32, 32, DeltaHeads::tiled})) {
    SCOPED_TRACE(name);
    const DeltaOnDevice<float> device(queue(), in);
    device.step(0, in.shape.tokens);
    const DeltaReference reference(in);
    expect_close(device.out.values(), reference.out, f32_tolerance);
    expect_close(device.state.values(), reference.state, f32_tolerance);
  }
}

TEST_F(CudaDeltaStepSmall, GivesTheSameBitsWhereverItWasCut) {
  const DeltaShape s{10, 1, 2, 16, 20, DeltaHeads::grouped};
  const DeltaValues in(s);
  const DeltaOnDevice<float> whole(queue(), in);
  whole.step(0, 10);
  for (const std::int64_t piece : {1, 2, 5}) {
    const DeltaOnDevice<float> parts(queue(), in);
    for (std::int64_t t = 0; t < 10; t += piece) parts.step(t, piece);
    expect_same_bits(parts.out.values(), whole.out.values());
    expect_same_bits(parts.state.values(), whole.state.values());
  }
}

/// Passes over drafts: of `drafted` tokens each, the first `accepted` are kept and the next pass starts behind them.
/// The tokens of the reference are those accepted, one after the other; rejected ones are other tokens.
void expect_drafts(Queue& queue, const DeltaShape& shape, const std::vector<std::pair<int, int>>& passes) {
  std::int64_t kept = 0;
  for (const auto& pass : passes) kept += pass.second;
  DeltaShape whole_shape = shape;
  whole_shape.tokens = kept;
  const DeltaValues in(whole_shape);
  const DeltaOnDevice<float> never_drafted(queue, in);
  for (std::int64_t t = 0; t < kept; ++t) never_drafted.step(t, 1);

  const DeltaOnDevice<float> device(queue, in);
  const Ring ring(queue, shape);
  std::int64_t base = 0, position = 0;
  std::vector<float> expected = never_drafted.out.values();
  for (const auto& [drafted, accepted] : passes) {
    DeltaShape pass_shape = shape;
    pass_shape.tokens = drafted;
    DeltaValues pass(pass_shape, static_cast<unsigned>(100 + position));
    const auto take = [&](std::vector<float>& to, const std::vector<float>& from, std::int64_t row) {
      std::copy(from.begin() + position * row, from.begin() + (position + accepted) * row, to.begin());
    };
    take(pass.q, in.q, shape.keys());
    take(pass.k, in.k, shape.keys());
    take(pass.v, in.v, shape.values());
    take(pass.g, in.g, shape.value_heads);
    take(pass.beta, in.beta, shape.value_heads);
    const DeltaOnDevice<float> rows(queue, pass);
    ring.set(queue, base, position);
    rows.call(0, drafted, [&](Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, Tensor out) {
      delta_verify(queue, q, k, v, g, beta, shape.heads, ring.tensors(shape), device.state_tensor(), out);
    });
    const std::vector<float> out = rows.out.values();
    EXPECT_EQ(std::memcmp(out.data(), expected.data() + position * shape.values(),
                          static_cast<std::size_t>(accepted * shape.values()) * 4),
              0)
        << "pass at " << position;
    base = position;
    position += accepted;
  }
  ring.set(queue, base, position);
  delta_replay(queue, ring.tensors(shape), shape.heads, device.state_tensor());
  expect_same_bits(device.state.values(), never_drafted.state.values());
}

TEST_F(CudaDeltaStepSmall, TakesRejectedDraftsBack) {
  expect_drafts(queue(), {0, 1, 2, 4, 4, DeltaHeads::grouped}, {{2, 1}, {1, 1}, {8, 0}, {3, 3}, {8, 8}, {8, 5}});
}

TEST_F(CudaDeltaStep, TakesRejectedDraftsBack) {
  const std::vector<std::pair<int, int>> passes = {{3, 1}, {3, 2}, {5, 5}, {1, 1}, {4, 0},
                                                   {4, 0}, {8, 8}, {8, 8}, {6, 3}, {2, 1}};
  expect_drafts(queue(), {0, 2, 6, 33, 35, DeltaHeads::tiled}, passes);
  expect_drafts(queue(), {0, 2, 4, 128, 128, DeltaHeads::grouped}, passes);
}

TEST_F(CudaDeltaStepSmall, VerifiesInAReplayedGraph) {
  const DeltaShape s{2, 1, 1, 8, 16};
  const DeltaValues in(s);
  const DeltaOnDevice<float> device(queue(), in), twin(queue(), in);
  const Ring ring(queue(), s);
  const Graph graph = queue().capture([&] {
    device.call(0, 2, [&](Tensor q, Tensor k, Tensor v, Tensor g, Tensor beta, Tensor out) {
      delta_verify(queue(), q, k, v, g, beta, s.heads, ring.tensors(s), device.state_tensor(), out);
    });
  });
  EXPECT_EQ(graph.nodes(), 1);
  // The same two tokens in each pass; one is accepted the first time, both the second time.
  for (const auto& [base, position] : std::vector<std::pair<int, int>>{{0, 0}, {0, 1}, {1, 3}}) {
    ring.set(queue(), base, position);
    queue().launch(graph);
  }
  twin.step(0, 1);
  twin.step(0, 2);
  expect_same_bits(device.state.values(), twin.state.values());
  twin.step(0, 2);
  expect_same_bits(device.out.values(), twin.out.values());
}

TEST_F(CudaDeltaStepSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 16);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto step = [&](Tensor q, Tensor k, Tensor v, Tensor g, Tensor state) {
    delta_step(queue(), q, k, v, g, g, DeltaHeads::grouped, state, v);
  };
  const Tensor q = f32({3, 2, 4}), v = f32({3, 4, 8}), g = f32({3, 4}), state = f32({4, 4, 8});
  EXPECT_THROW(step(q, f32({3, 2, 5}), v, g, state), Error);
  EXPECT_THROW(step(q, memory.tensor(DType::bf16, {3, 2, 4}), v, g, state), Error);
  EXPECT_THROW(step(q, q, f32({3, 3, 8}), f32({3, 3}), f32({3, 4, 8})), Error);
  EXPECT_THROW(step(q, q, v, f32({2, 4}), state), Error);
  EXPECT_THROW(step(q, q, v, g, f32({4, 8, 4})), Error);
  EXPECT_THROW(step(f32({1, 1, 257}), f32({1, 1, 257}), f32({1, 1, 4}), f32({1, 1}), f32({1, 257, 4})), Error);
  step(f32({0, 2, 4}), f32({0, 2, 4}), f32({0, 4, 8}), f32({0, 4}), state);  // no tokens: nothing to do

  const auto verify = [&](std::int64_t tokens, std::int64_t rows, Tensor positions) {
    const Tensor rows_q = f32({tokens, 2, 4}), rows_v = f32({tokens, 4, 8}), rows_g = f32({tokens, 4});
    const DeltaRing ring{f32({rows, 2, 4}), f32({rows, 4, 8}), f32({rows, 4}), positions};
    delta_verify(queue(), rows_q, rows_q, rows_v, rows_g, rows_g, DeltaHeads::grouped, ring, state, rows_v);
  };
  const Tensor positions = memory.tensor(DType::i32, {2});
  EXPECT_THROW(verify(9, 32, positions), Error);
  EXPECT_THROW(verify(2, 15, positions), Error);
  EXPECT_THROW(verify(2, 16, f32({2})), Error);
  EXPECT_THROW(verify(2, 16, memory.tensor(DType::i32, {1})), Error);
  const DeltaRing ring{f32({16, 3, 4}), f32({16, 4, 8}), f32({16, 4}), positions};
  EXPECT_THROW(delta_replay(queue(), ring, DeltaHeads::grouped, state), Error);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
