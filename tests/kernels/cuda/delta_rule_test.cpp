#include "kernels/cuda/delta_rule.h"

#include "delta_reference.h"

namespace lectern::kernels::cuda::test {
namespace {

class CudaDeltaRule : public CudaTest {};
class CudaDeltaRuleSmall : public CudaTest {};

using Offsets = std::vector<std::int64_t>;

/// Of the largest value. Factors of products are split in two bf16 (16 bits), and a chunk's products follow each other
/// three deep; tensor cores cut off more bits of sums than the emulator does.
constexpr double chunked_tolerance = 1e-4;

struct DeltaRun {
  std::vector<float> state, out, snapshots;
};

/// Tokens first .. first + n of `in` from `state`.
DeltaRun run(Queue& queue, const DeltaValues& in, std::int64_t first, std::int64_t n, const Offsets& starts,
             const std::vector<float>& state, const Offsets& offsets) {
  const DeltaShape& s = in.shape;
  const OnDevice<std::uint16_t> q(queue, bf16_of(in.q)), k(queue, bf16_of(in.k)), v(queue, bf16_of(in.v));
  const OnDevice<float> g(queue, in.g), beta(queue, in.beta);
  const GuardedOnDevice<float> device_state(queue, s.state()), out(queue, n * s.values()),
      kept(queue, std::ssize(offsets) * s.state());
  copy_to_device(queue, device_state.data(), state.data(), s.state() * 4);
  std::vector<Tensor> snapshots;
  for (std::int64_t i = 0; i < std::ssize(offsets); ++i)
    snapshots.emplace_back(kept.data() + i * s.state() * 4, DType::f32,
                           std::initializer_list<std::int64_t>{s.value_heads, s.key_dim, s.value_dim});
  const auto keys = [&](std::byte* data) {
    return Tensor(data + first * s.keys() * 2, DType::bf16, {n, s.key_heads, s.key_dim});
  };
  const auto gates = [&](std::byte* data) {
    return Tensor(data + first * s.value_heads * 4, DType::f32, {n, s.value_heads});
  };
  delta_rule(queue, keys(q.data()), keys(k.data()),
             Tensor(v.data() + first * s.values() * 2, DType::bf16, {n, s.value_heads, s.value_dim}), gates(g.data()),
             gates(beta.data()), s.heads, starts, device_state.tensor({s.value_heads, s.key_dim, s.value_dim}), offsets,
             snapshots, out.tensor({n, s.value_heads, s.value_dim}));
  return {device_state.values(), out.values(), kept.values()};
}

/// State of the reference after `offset` tokens.
std::vector<double> state_after(const DeltaValues& in, std::int64_t offset) {
  DeltaValues part = in;
  part.shape.tokens = offset;
  return DeltaReference(part).state;
}

void expect_rule(Queue& queue, const DeltaValues& in, const Offsets& starts, const Offsets& offsets,
                 double tolerance = chunked_tolerance) {
  SCOPED_TRACE(std::to_string(in.shape.tokens) + " tokens");
  const DeltaRun result = run(queue, in, 0, in.shape.tokens, starts, in.state, offsets);
  const DeltaReference reference(in);
  expect_close(result.out, reference.out, tolerance);
  expect_close(result.state, reference.state, tolerance);
  std::vector<double> expected;
  for (const std::int64_t offset : offsets) {
    const std::vector<double> one = state_after(in, offset);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  expect_close(result.snapshots, expected, tolerance);
}

TEST_F(CudaDeltaRuleSmall, EqualsTheReference) {
  expect_rule(queue(), DeltaValues({70, 1, 1, 128, 32}), {0}, {64, 70});
}

TEST_F(CudaDeltaRule, EqualsTheReference) {
  for (const std::int64_t tokens : {1, 2, 63, 64, 65, 130})
    expect_rule(queue(), DeltaValues({tokens, 1, 2, 128, 32}), {0}, {tokens});
  expect_rule(queue(), DeltaValues({200, 2, 4, 128, 128, DeltaHeads::grouped}), {0}, {128, 200});
  expect_rule(queue(), DeltaValues({100, 2, 6, 128, 64, DeltaHeads::tiled}), {}, {});
}

TEST_F(CudaDeltaRule, RestartsItsChunksWhereSegmentsStart) {
  const DeltaValues in({210, 1, 1, 128, 32});
  expect_rule(queue(), in, {0, 70, 71, 199}, {64, 70, 71, 71, 135, 199, 210});
  // The first piece is the rest of a segment that began earlier.
  expect_rule(queue(), in, {128}, {64, 128, 192});
}

TEST_F(CudaDeltaRule, KeepsToTheReferenceForAnyGates) {
  for (const auto& [name, in] : adversarial_values({150, 1, 2, 128, 32})) {
    SCOPED_TRACE(name);
    expect_rule(queue(), in, {0}, {128});
  }
}

TEST_F(CudaDeltaRule, EqualsTheCpu) {
  const DeltaShape s{150, 1, 2, 128, 64};
  const DeltaValues in(s);
  const DeltaRun result = run(queue(), in, 0, s.tokens, Offsets{0}, in.state, {});
  std::vector<float> state = in.state, out(at(s.tokens * s.values()));
  Stream cpu(1);
  kernels::delta_rule(cpu, f32_view(in.q.data(), {150, 1, 128}), f32_view(in.k.data(), {150, 1, 128}),
                      f32_view(in.v.data(), {150, 2, 64}), f32_view(in.g.data(), {150, 2}),
                      f32_view(in.beta.data(), {150, 2}), s.heads, Offsets{0}, f32_view(state.data(), {2, 128, 64}), {},
                      {}, f32_view(out.data(), {150, 2, 64}));
  expect_close(result.out, {out.begin(), out.end()}, chunked_tolerance);
  expect_close(result.state, {state.begin(), state.end()}, chunked_tolerance);
}

/// One pass over all tokens, and passes that end at `cuts`, all with a segment start at `start`.
void expect_same_wherever_cut(Queue& queue, const DeltaValues& in, std::int64_t start, const Offsets& cuts) {
  const std::int64_t tokens = in.shape.tokens, row = in.shape.values();
  const DeltaRun whole = run(queue, in, 0, tokens, Offsets{0, start}, in.state, cuts);
  std::vector<float> state = in.state;
  std::int64_t first = 0;
  Offsets ends = cuts;
  ends.push_back(tokens);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::int64_t end = ends[i];
    Offsets starts;
    if (start >= first && start < end) starts.push_back(start - first);
    const DeltaRun part = run(queue, in, first, end - first, starts, state, {});
    EXPECT_EQ(std::memcmp(part.out.data(), whole.out.data() + first * row, part.out.size() * 4), 0)
        << "tokens " << first << " to " << end;
    state = part.state;
    if (i < cuts.size()) {
      EXPECT_EQ(std::memcmp(state.data(), whole.snapshots.data() + static_cast<std::int64_t>(i) * in.shape.state(),
                            state.size() * 4),
                0)
          << "state after " << end;
    }
    first = end;
  }
  expect_same_bits(state, whole.state);
}

TEST_F(CudaDeltaRule, GivesTheSameBitsWhereverItWasCutOnTheGrid) {
  const DeltaValues in({230, 1, 2, 128, 32});
  expect_same_wherever_cut(queue(), in, 70, {64, 70, 134, 198});
  expect_same_wherever_cut(queue(), in, 70, {64, 198});
  expect_same_wherever_cut(queue(), in, 70, {134});
  const DeltaValues recurrent({40, 1, 2, 16, 12});
  expect_same_wherever_cut(queue(), recurrent, 7, {7});
}

TEST_F(CudaDeltaRule, GivesAHeadTheSameBitsAmongOthers) {
  const DeltaShape s{80, 1, 1, 128, 32};
  const DeltaValues one(s);
  DeltaValues many({80, 1, 3, 128, 32});
  many.q = one.q;
  many.k = one.k;
  const auto spread = [&](const std::vector<float>& from, std::vector<float>& to, std::int64_t row) {
    for (std::int64_t i = 0; i < std::ssize(from); ++i) to[at(i / row * 3 * row + 2 * row + i % row)] = from[at(i)];
  };
  spread(one.v, many.v, 32);
  spread(one.g, many.g, 1);
  spread(one.beta, many.beta, 1);
  std::copy(one.state.begin(), one.state.end(), many.state.begin() + 2 * s.state());
  const DeltaRun alone = run(queue(), one, 0, 80, {}, one.state, {}),
                 among = run(queue(), many, 0, 80, {}, many.state, {});
  for (std::int64_t i = 0; i < 80 * 32; ++i)
    ASSERT_EQ(alone.out[at(i)], among.out[at(i / 32 * 96 + 64 + i % 32)]) << "value " << i;
  EXPECT_EQ(std::memcmp(alone.state.data(), among.state.data() + 2 * s.state(), alone.state.size() * 4), 0);
}

TEST_F(CudaDeltaRuleSmall, TakesOtherShapesTokenByToken) {
  expect_rule(queue(), DeltaValues({9, 1, 2, 8, 12, DeltaHeads::tiled}), {0, 4}, {4, 4, 9}, f32_tolerance);
}

TEST_F(CudaDeltaRule, TakesMoreChunksThanAreComputedAtOnce) {
  // 66 chunks of one or two tokens: a group of 64, whose state the next takes over.
  DeltaValues in({100, 1, 1, 128, 32});
  Offsets starts;
  for (std::int64_t i = 0; i < 66; ++i) starts.push_back(i < 34 ? 2 * i : 34 + i);
  expect_rule(queue(), in, starts, {2, 98, 99, 100});
}

TEST_F(CudaDeltaRuleSmall, RefusesWhatDoesNotFit) {
  const DeviceBuffer memory(1 << 20);
  const auto of = [&](DType type, std::initializer_list<std::int64_t> shape) { return memory.tensor(type, shape); };
  const Tensor q = of(DType::bf16, {70, 1, 128}), v = of(DType::bf16, {70, 2, 32}), g = of(DType::f32, {70, 2}),
               state = of(DType::f32, {2, 128, 32}), out = of(DType::f32, {70, 2, 32});
  const auto rule = [&](Tensor rows_q, Tensor rows_v, Tensor rows_g, Tensor to, const Offsets& starts,
                        const Offsets& offsets, const std::vector<Tensor>& snapshots) {
    delta_rule(queue(), rows_q, rows_q, rows_v, rows_g, rows_g, DeltaHeads::grouped, starts, state, offsets, snapshots,
               to);
  };
  EXPECT_THROW(rule(of(DType::f32, {70, 1, 128}), v, g, out, {}, {}, {}), Error);
  EXPECT_THROW(rule(q, of(DType::bf16, {70, 3, 32}), of(DType::f32, {70, 3}), out, {}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, of(DType::f32, {69, 2}), out, {}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, g, of(DType::bf16, {70, 2, 32}), {}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, g, out, {70}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, g, out, {-1}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, g, out, {5, 4}, {}, {}), Error);
  EXPECT_THROW(rule(q, v, g, out, {}, {63}, {state}), Error);  // not at the end of a chunk
  EXPECT_THROW(rule(q, v, g, out, {10}, {64}, {state}), Error);
  EXPECT_THROW(rule(q, v, g, out, {}, {71}, {state}), Error);
  EXPECT_THROW(rule(q, v, g, out, {}, {64}, {}), Error);
  EXPECT_THROW(rule(q, v, g, out, {}, {64}, {out}), Error);
  EXPECT_THROW(rule(Tensor(memory.data() + 2, DType::bf16, {70, 1, 128}), v, g, out, {}, {}, {}), Error);
  rule(of(DType::bf16, {0, 1, 128}), of(DType::bf16, {0, 2, 32}), of(DType::f32, {0, 2}), of(DType::f32, {0, 2, 32}),
       {}, {}, {});  // no tokens: nothing to do
  EXPECT_GE(delta_rule_workspace(2048, 32), 32 * 32 * 20992);
}

}  // namespace
}  // namespace lectern::kernels::cuda::test
