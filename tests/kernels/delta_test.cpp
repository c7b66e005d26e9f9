// causal_conv1d, delta_gates and delta_rule: the recurrent half of Gated DeltaNet.
#include "kernel_test.h"
#include "kernels/causal_conv1d.h"
#include "kernels/delta_gates.h"
#include "kernels/delta_rule.h"
#include "kernels/error.h"

namespace lectern::kernels::test {
namespace {

std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}
using Offsets = std::vector<std::int64_t>;

TEST(CausalConv1d, EqualsTheReferenceAndKeepsItsState) {
  on_every_path([](Stream& stream) {
    struct Size {
      std::int64_t tokens, channels, width;
    };
    for (const Size size : {Size{1, 1, 1}, Size{1, 5, 4}, Size{2, 130, 4}, Size{9, 8192, 4}, Size{7, 33, 16}}) {
      const std::int64_t rows = size.width - 1, channels = size.channels;
      const std::vector<float> x = Random(1).normals(size.tokens * channels),
                               w = Random(2).normals(channels * size.width);
      const std::vector<float> before = Random(3).normals(rows * channels);
      std::vector<float> state = before, snapshot(state.size());
      Guarded out(size.tokens * channels);
      const std::int64_t cut = (size.tokens + 1) / 2;
      causal_conv1d(stream, f32_view(x.data(), {size.tokens, channels}), f32_view(w.data(), {channels, size.width}),
                    f32_view(state.data(), {rows, channels}), Offsets{cut},
                    std::vector<Tensor>{f32_view(snapshot.data(), {rows, channels})},
                    f32_view(out.data(), {size.tokens, channels}));
      // Row t of the input, with the state before it.
      const auto input = [&](std::int64_t t, std::int64_t c) {
        return t < 0 ? before[at((t + rows) * channels + c)] : x[at(t * channels + c)];
      };
      for (std::int64_t t = 0; t < size.tokens; ++t) {
        for (std::int64_t c = 0; c < channels; ++c) {
          double sum = 0;
          for (std::int64_t j = 0; j < size.width; ++j)
            sum +=
                static_cast<double>(w[at(c * size.width + j)]) * static_cast<double>(input(t - size.width + 1 + j, c));
          expect_near(out[t * channels + c], sum / (1 + std::exp(-sum)), 8, elementwise_tolerance, t * channels + c);
        }
      }
      for (std::int64_t i = 0; i < rows * channels; ++i) {
        EXPECT_EQ(state[at(i)], input(size.tokens - rows + i / channels, i % channels));
        EXPECT_EQ(snapshot[at(i)], input(cut - rows + i / channels, i % channels));
      }
    }
  });
}

TEST(CausalConv1d, GivesTheSameBitsWhereverItWasCut) {
  on_every_path([](Stream& stream) {
    const std::int64_t tokens = 12, channels = 100, width = 4;
    const std::vector<float> x = Random(1).normals(tokens * channels), w = Random(2).normals(channels * width);
    const auto run = [&](std::int64_t piece, std::vector<float>& state) {
      Guarded out(tokens * channels);
      state.assign(at(3 * channels), 0.0f);
      for (std::int64_t t = 0; t < tokens; t += piece)
        causal_conv1d(stream, f32_view(x.data() + t * channels, {piece, channels}),
                      f32_view(w.data(), {channels, width}), f32_view(state.data(), {3, channels}), {}, {},
                      f32_view(out.data() + t * channels, {piece, channels}));
      return out.values();
    };
    std::vector<float> whole_state, state;
    const std::vector<float> whole = run(tokens, whole_state);
    for (const std::int64_t piece : {1, 2, 3, 4, 6}) {
      expect_same_bits(run(piece, state), whole);
      expect_same_bits(state, whole_state);
    }
  });
}

TEST(DeltaGates, EqualsTheReferenceInPlace) {
  on_every_path([](Stream& stream) {
    const std::int64_t tokens = 9, heads = 5;
    std::vector<float> a = Random(1).normals(tokens * heads, 15), b = Random(2).normals(tokens * heads, 5);
    const std::vector<float> a_before = a, b_before = b, bias = Random(3).normals(heads),
                             decay = {-1, -0.5f, -2, -16, -0.01f};
    delta_gates(stream, f32_view(a.data(), {tokens, heads}), f32_view(b.data(), {tokens, heads}),
                f32_view(decay.data(), {heads}), f32_view(bias.data(), {heads}), f32_view(a.data(), {tokens, heads}),
                f32_view(b.data(), {tokens, heads}));
    for (std::int64_t i = 0; i < tokens * heads; ++i) {
      const double x = static_cast<double>(a_before[at(i)]) + static_cast<double>(bias[at(i % heads)]);
      const double expected = static_cast<double>(decay[at(i % heads)]) * (x > 20 ? x : std::log1p(std::exp(x)));
      expect_near(a[at(i)], expected, std::abs(expected) + 1e-9, 3e-6, i);
      expect_near(b[at(i)], 1 / (1 + std::exp(-static_cast<double>(b_before[at(i)]))), 1, elementwise_tolerance, i);
    }
  });
}

struct Rule {
  std::int64_t tokens, key_heads, value_heads, key_dim, value_dim;
  DeltaHeads heads;
};

struct RuleInputs {
  std::vector<float> q, k, v, g, beta, state;
  explicit RuleInputs(const Rule& r)
      : q(Random(1).normals(r.tokens * r.key_heads * r.key_dim, 0.1f)),
        k(Random(2).normals(r.tokens * r.key_heads * r.key_dim)),
        v(Random(3).normals(r.tokens * r.value_heads * r.value_dim)),
        g(Random(4).normals(r.tokens * r.value_heads)),
        beta(Random(5).normals(r.tokens * r.value_heads)),
        state(Random(6).normals(r.value_heads * r.key_dim * r.value_dim)) {
    for (float& x : g) x = -0.2f * std::abs(x);
    for (float& x : beta) x = 1 / (1 + std::exp(-x));
    for (std::int64_t row = 0; row < r.tokens * r.key_heads; ++row) {  // unit keys, as in the model
      float square = 0;
      for (std::int64_t i = 0; i < r.key_dim; ++i) square += k[at(row * r.key_dim + i)] * k[at(row * r.key_dim + i)];
      for (std::int64_t i = 0; i < r.key_dim; ++i) k[at(row * r.key_dim + i)] /= std::sqrt(square);
    }
  }
};

void run_rule(Stream& stream, const Rule& r, const RuleInputs& in, std::int64_t first, std::int64_t n,
              std::vector<float>& state, const Offsets& offsets, const std::vector<Tensor>& snapshots, float* out) {
  const std::int64_t keys = r.key_heads * r.key_dim, values = r.value_heads * r.value_dim;
  delta_rule(stream, f32_view(in.q.data() + first * keys, {n, r.key_heads, r.key_dim}),
             f32_view(in.k.data() + first * keys, {n, r.key_heads, r.key_dim}),
             f32_view(in.v.data() + first * values, {n, r.value_heads, r.value_dim}),
             f32_view(in.g.data() + first * r.value_heads, {n, r.value_heads}),
             f32_view(in.beta.data() + first * r.value_heads, {n, r.value_heads}), r.heads, Offsets{0},
             f32_view(state.data(), {r.value_heads, r.key_dim, r.value_dim}), offsets, snapshots,
             f32_view(out, {n, r.value_heads, r.value_dim}));
}

const std::vector<Rule> rules = {{1, 1, 1, 1, 1, DeltaHeads::grouped},
                                 {5, 2, 4, 8, 20, DeltaHeads::tiled},
                                 {7, 2, 6, 33, 35, DeltaHeads::grouped},
                                 {70, 2, 4, 128, 128, DeltaHeads::grouped}};

TEST(DeltaRule, EqualsTheReferenceAndItsSnapshots) {
  on_every_path([](Stream& stream) {
    for (const Rule& r : rules) {
      const RuleInputs in(r);
      std::vector<float> state = in.state, snapshot(state.size());
      Guarded out(r.tokens * r.value_heads * r.value_dim);
      const std::int64_t cut = (r.tokens + 1) / 2;
      run_rule(stream, r, in, 0, r.tokens, state, {cut},
               {f32_view(snapshot.data(), {r.value_heads, r.key_dim, r.value_dim})}, out.data());
      for (std::int64_t head = 0; head < r.value_heads; ++head) {
        const std::int64_t key_head =
            r.heads == DeltaHeads::tiled ? head % r.key_heads : head / (r.value_heads / r.key_heads);
        std::vector<double> s(in.state.begin() + head * r.key_dim * r.value_dim,
                              in.state.begin() + (head + 1) * r.key_dim * r.value_dim);
        const auto expect_state = [&](const std::vector<float>& actual) {
          for (std::int64_t i = 0; i < r.key_dim * r.value_dim; ++i)
            expect_near(actual[at(head * r.key_dim * r.value_dim + i)], s[at(i)], 4, f32_tolerance, i);
        };
        for (std::int64_t t = 0; t < r.tokens; ++t) {
          const float* k = in.k.data() + (t * r.key_heads + key_head) * r.key_dim;
          const float* q = in.q.data() + (t * r.key_heads + key_head) * r.key_dim;
          const double decay = std::exp(static_cast<double>(in.g[at(t * r.value_heads + head)]));
          const double beta = static_cast<double>(in.beta[at(t * r.value_heads + head)]);
          for (double& x : s) x *= decay;
          for (std::int64_t j = 0; j < r.value_dim; ++j) {
            double recalled = 0, result = 0;
            for (std::int64_t i = 0; i < r.key_dim; ++i)
              recalled += s[at(i * r.value_dim + j)] * static_cast<double>(k[i]);
            const double d =
                beta * (static_cast<double>(in.v[at((t * r.value_heads + head) * r.value_dim + j)]) - recalled);
            for (std::int64_t i = 0; i < r.key_dim; ++i) {
              s[at(i * r.value_dim + j)] += static_cast<double>(k[i]) * d;
              result += s[at(i * r.value_dim + j)] * static_cast<double>(q[i]);
            }
            expect_near(out[(t * r.value_heads + head) * r.value_dim + j], result, 4, f32_tolerance, j);
          }
          if (t + 1 == cut) expect_state(snapshot);
        }
        expect_state(state);
      }
    }
  });
}

TEST(DeltaRule, GivesTheSameBitsWhereverItWasCutAndFromASnapshot) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const Rule& r : rules) {
      const RuleInputs in(r);
      const std::int64_t values = r.value_heads * r.value_dim, cut = (r.tokens + 1) / 2;
      Guarded whole(r.tokens * values), parts(r.tokens * values);
      std::vector<float> whole_state = in.state, state = in.state, snapshot(state.size());
      run_rule(three, r, in, 0, r.tokens, whole_state, {cut},
               {f32_view(snapshot.data(), {r.value_heads, r.key_dim, r.value_dim})}, whole.data());
      run_rule(one, r, in, 0, cut, state, {}, {}, parts.data());
      expect_same_bits(state, snapshot);
      for (std::int64_t t = cut; t < r.tokens; ++t)
        run_rule(one, r, in, t, 1, state, {}, {}, parts.data() + t * values);
      expect_same_bits(parts.values(), whole.values());
      expect_same_bits(state, whole_state);
    }
  }
}

TEST(DeltaRule, RefusesSnapshotsOutOfOrder) {
  Stream stream(1);
  const Rule r{3, 1, 1, 2, 2, DeltaHeads::grouped};
  const RuleInputs in(r);
  std::vector<float> state = in.state, a(4), b(4), out(6);
  const std::vector<Tensor> snapshots = {f32_view(a.data(), {1, 2, 2}), f32_view(b.data(), {1, 2, 2})};
  EXPECT_THROW(run_rule(stream, r, in, 0, 3, state, {2, 1}, snapshots, out.data()), Error);
  EXPECT_THROW(run_rule(stream, r, in, 0, 3, state, {1, 4}, snapshots, out.data()), Error);
  EXPECT_THROW(run_rule(stream, r, in, 0, 3, state, {1}, snapshots, out.data()), Error);
}

}  // namespace
}  // namespace lectern::kernels::test
