#include "kernels/cuda/causal_conv1d.h"

#include "cuda_test.h"
#include "kernels/causal_conv1d.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaCausalConv1d : public CudaTest {};
class CudaCausalConv1dSmall : public CudaTest {};

using Offsets = std::vector<std::int64_t>;

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct Convolution {
  std::int64_t tokens, channels, width;
  std::vector<float> x, w, state;
  Convolution(std::int64_t t, std::int64_t c, std::int64_t k)
      : tokens(t),
        channels(c),
        width(k),
        x(Random(1).normals(t * c)),
        w(Random(2).normals(c * k)),
        state(Random(3).normals((k - 1) * c)) {}
  /// Row t of the input; those before it are of the state.
  float input(std::int64_t t, std::int64_t c) const {
    return t < 0 ? state[at((t + width - 1) * channels + c)] : x[at(t * channels + c)];
  }
  std::vector<float> state_after(std::int64_t offset) const {
    std::vector<float> rows;
    for (std::int64_t t = offset - (width - 1); t < offset; ++t)
      for (std::int64_t c = 0; c < channels; ++c) rows.push_back(input(t, c));
    return rows;
  }
  double result(std::int64_t t, std::int64_t c) const {
    double sum = 0;
    for (std::int64_t j = 0; j < width; ++j)
      sum += static_cast<double>(w[at(c * width + j)]) * static_cast<double>(input(t - width + 1 + j, c));
    return sum / (1 + std::exp(-sum));
  }
};

void expect_convolution(Queue& queue, const Convolution& in, const Offsets& offsets) {
  SCOPED_TRACE(std::to_string(in.tokens) + " tokens, " + std::to_string(in.channels) + " channels, width " +
               std::to_string(in.width));
  const std::int64_t rows = in.width - 1;
  const OnDevice<float> x(queue, in.x), w(queue, in.w);
  const GuardedOnDevice<float> out(queue, in.tokens * in.channels), state(queue, rows * in.channels);
  copy_to_device(queue, state.data(), in.state.data(), rows * in.channels * 4);
  const GuardedOnDevice<float> kept(queue, std::ssize(offsets) * rows * in.channels);
  std::vector<Tensor> snapshots;
  for (std::int64_t i = 0; i < std::ssize(offsets); ++i)
    snapshots.emplace_back(kept.data() + i * rows * in.channels * 4, DType::f32,
                           std::initializer_list<std::int64_t>{rows, in.channels});
  causal_conv1d(queue, x.tensor({in.tokens, in.channels}), w.tensor({in.channels, in.width}),
                state.tensor({rows, in.channels}), offsets, snapshots, out.tensor({in.tokens, in.channels}));
  expect_all_near(
      out.values(),
      [&](std::size_t i) {
        return in.result(static_cast<std::int64_t>(i) / in.channels, static_cast<std::int64_t>(i) % in.channels);
      },
      [](std::size_t) { return 8.0; }, elementwise_tolerance);
  expect_same_bits(state.values(), in.state_after(in.tokens));
  std::vector<float> expected;
  for (const std::int64_t offset : offsets) {
    const std::vector<float> one = in.state_after(offset);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  expect_same_bits(kept.values(), expected);
}

TEST_F(CudaCausalConv1dSmall, EqualsTheReferenceAndKeepsItsState) {
  expect_convolution(queue(), {1, 4, 4}, {});
  expect_convolution(queue(), {2, 5, 4}, {1});
  expect_convolution(queue(), {33, 8, 3}, {2, 32});    // a tile of tokens and one more
  expect_convolution(queue(), {3, 7, 16}, {1, 2, 3});  // wider than the pass is long
}

TEST_F(CudaCausalConv1d, EqualsTheReferenceAndKeepsItsState) {
  expect_convolution(queue(), {1, 1, 1}, {});
  expect_convolution(queue(), {1, 8192, 4}, {});
  expect_convolution(queue(), {8, 8192, 4}, {});
  expect_convolution(queue(), {100, 516, 4}, {1, 3, 64, 64, 100});
  expect_convolution(queue(), {65, 130, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 65});  // more than one launch's
  // Later launches still need the old state.
  expect_convolution(queue(), {20, 7, 16}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  expect_convolution(queue(), {64, 40, 4}, {64});
}

TEST_F(CudaCausalConv1d, EqualsTheCpu) {
  const Convolution in(40, 260, 4);
  const OnDevice<float> x(queue(), in.x), w(queue(), in.w), state(queue(), in.state);
  const GuardedOnDevice<float> out(queue(), in.tokens * in.channels);
  causal_conv1d(queue(), x.tensor({40, 260}), w.tensor({260, 4}), state.tensor({3, 260}), {}, {},
                out.tensor({40, 260}));
  std::vector<float> twin(in.x.size()), twin_state = in.state;
  Stream cpu(1);
  kernels::causal_conv1d(cpu, f32_view(in.x.data(), {40, 260}), f32_view(in.w.data(), {260, 4}),
                         f32_view(twin_state.data(), {3, 260}), {}, {}, f32_view(twin.data(), {40, 260}));
  expect_all_near(
      out.values(), [&](std::size_t i) { return static_cast<double>(twin[i]); }, [](std::size_t) { return 8.0; },
      elementwise_tolerance);
  expect_same_bits(state.values(), twin_state);
}

TEST_F(CudaCausalConv1dSmall, GivesTheSameBitsWhereverItWasCut) {
  const Convolution in(36, 12, 4);
  const OnDevice<float> x(queue(), in.x), w(queue(), in.w);
  const auto run = [&](std::int64_t piece, std::vector<float>& end) {
    const OnDevice<float> state(queue(), in.state);
    const GuardedOnDevice<float> out(queue(), 36 * 12);
    for (std::int64_t t = 0; t < 36; t += piece)
      causal_conv1d(queue(), Tensor(x.data() + t * 48, DType::f32, {piece, 12}), w.tensor({12, 4}),
                    state.tensor({3, 12}), {}, {}, Tensor(out.data() + t * 48, DType::f32, {piece, 12}));
    end = state.values();
    return out.values();
  };
  std::vector<float> whole_state, state;
  const std::vector<float> whole = run(36, whole_state);
  for (const std::int64_t piece : {1, 2, 3, 9, 18}) {
    expect_same_bits(run(piece, state), whole);
    expect_same_bits(state, whole_state);
  }
}

TEST_F(CudaCausalConv1dSmall, TakesRowsThatAreNotAligned) {
  const Convolution in(3, 8, 4);
  std::vector<float> shifted = in.x;
  shifted.insert(shifted.begin(), 0.0f);
  const OnDevice<float> x(queue(), in.x), moved(queue(), shifted), w(queue(), in.w), state(queue(), in.state),
      other(queue(), in.state);
  const GuardedOnDevice<float> out(queue(), 24), again(queue(), 24);
  causal_conv1d(queue(), x.tensor({3, 8}), w.tensor({8, 4}), state.tensor({3, 8}), {}, {}, out.tensor({3, 8}));
  causal_conv1d(queue(), Tensor(moved.data() + 4, DType::f32, {3, 8}), w.tensor({8, 4}), other.tensor({3, 8}), {}, {},
                again.tensor({3, 8}));
  expect_same_bits(again.values(), out.values());
}

TEST_F(CudaCausalConv1dSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(4096);
  const auto f32 = [&](std::initializer_list<std::int64_t> shape) { return memory.tensor(DType::f32, shape); };
  const auto run = [&](Tensor x, Tensor w, Tensor state, const Offsets& offsets, const std::vector<Tensor>& snapshots,
                       Tensor out) { causal_conv1d(queue(), x, w, state, offsets, snapshots, out); };
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({3, 4}), {}, {}, f32({3, 5})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({5, 4}), f32({3, 4}), {}, {}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 17}), f32({16, 4}), {}, {}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({4, 4}), {}, {}, f32({3, 4})), Error);
  EXPECT_THROW(run(memory.tensor(DType::i32, {3, 4}), f32({4, 4}), f32({3, 4}), {}, {}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({3, 4}), {1}, {}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({3, 4}), {4}, {f32({3, 4})}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({3, 4}), {2, 1}, {f32({3, 4}), f32({3, 4})}, f32({3, 4})), Error);
  EXPECT_THROW(run(f32({3, 4}), f32({4, 4}), f32({3, 4}), {1}, {f32({2, 4})}, f32({3, 4})), Error);
  EXPECT_THROW(convolution_states(queue(), f32({3, 4}), f32({3, 5}), {}, {}), Error);
  run(f32({0, 4}), f32({4, 4}), f32({3, 4}), {}, {}, f32({0, 4}));  // no tokens: nothing to do
}

TEST_F(CudaCausalConv1dSmall, IsOneNodeForAStepAndCanBeReplayed) {
  const Convolution in(2, 8, 4);
  const OnDevice<float> x(queue(), in.x), w(queue(), in.w), state(queue(), in.state);
  const GuardedOnDevice<float> out(queue(), 16);
  const Graph graph = queue().capture([&] {
    causal_conv1d(queue(), x.tensor({2, 8}), w.tensor({8, 4}), state.tensor({3, 8}), {}, {}, out.tensor({2, 8}));
  });
  EXPECT_EQ(graph.nodes(), 1);
  Convolution twice(4, 8, 4);
  std::copy(in.x.begin(), in.x.end(), twice.x.begin());
  std::copy(in.x.begin(), in.x.end(), twice.x.begin() + 16);
  twice.w = in.w;
  twice.state = in.state;
  queue().launch(graph);
  queue().launch(graph);
  expect_same_bits(state.values(), twice.state_after(4));
  expect_all_near(
      out.values(),
      [&](std::size_t i) {
        return twice.result(2 + static_cast<std::int64_t>(i) / 8, static_cast<std::int64_t>(i) % 8);
      },
      [](std::size_t) { return 8.0; }, elementwise_tolerance);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
