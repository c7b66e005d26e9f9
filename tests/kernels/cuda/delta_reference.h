// Inputs of the gated delta rule and its recurrent definition in double, for the tests of its forms.
#pragma once

#include "cuda_test.h"
#include "kernels/delta_rule.h"

namespace lectern::kernels::cuda::test {

inline std::size_t at(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

struct DeltaShape {
  std::int64_t tokens, key_heads, value_heads, key_dim, value_dim;
  DeltaHeads heads = DeltaHeads::grouped;
  std::int64_t keys() const { return key_heads * key_dim; }
  std::int64_t values() const { return value_heads * value_dim; }
  std::int64_t state() const { return value_heads * key_dim * value_dim; }
  std::int64_t key_head(std::int64_t head) const {
    return heads == DeltaHeads::tiled ? head % key_heads : head / (value_heads / key_heads);
  }
};

/// Values that are bf16 already, so that every form has the same inputs; unit keys, queries of the models' size.
struct DeltaValues {
  DeltaShape shape;
  std::vector<float> q, k, v, g, beta, state;

  explicit DeltaValues(const DeltaShape& s, unsigned seed = 1)
      : shape(s),
        q(Random(seed).normals(s.tokens * s.keys())),
        k(Random(seed + 1).normals(s.tokens * s.keys())),
        v(Random(seed + 2).normals(s.tokens * s.values())),
        g(Random(seed + 3).normals(s.tokens * s.value_heads)),
        beta(Random(seed + 4).normals(s.tokens * s.value_heads)),
        state(Random(seed + 5).normals(s.state())) {
    for (float& x : g) x = -0.2f * std::abs(x);
    for (float& x : beta) x = 1 / (1 + std::exp(-x));
    normalize(q, 1 / std::sqrt(static_cast<float>(s.key_dim)));
    normalize(k, 1);
    round(v);
  }
  void normalize(std::vector<float>& rows, float scale) {
    for (std::int64_t row = 0; row < std::ssize(rows) / shape.key_dim; ++row) {
      float square = 1e-12f;
      for (std::int64_t i = 0; i < shape.key_dim; ++i) {
        const float x = rows[at(row * shape.key_dim + i)];
        square += x * x;
      }
      for (std::int64_t i = 0; i < shape.key_dim; ++i) rows[at(row * shape.key_dim + i)] *= scale / std::sqrt(square);
    }
    round(rows);
  }
  static void round(std::vector<float>& values) {
    for (float& x : values) x = from_bf16(to_bf16(x));
  }
};

inline std::vector<std::uint16_t> bf16_of(const std::vector<float>& values) {
  std::vector<std::uint16_t> result;
  for (const float x : values) result.push_back(to_bf16(x));
  return result;
}

/// The definition (kernels/delta_rule.h), token by token.
struct DeltaReference {
  std::vector<double> state, out;  // [Hv, Dk, Dv], [T, Hv, Dv]

  explicit DeltaReference(const DeltaValues& in)
      : state(in.state.begin(), in.state.end()), out(at(in.shape.tokens * in.shape.values())) {
    for (std::int64_t t = 0; t < in.shape.tokens; ++t)
      for (std::int64_t head = 0; head < in.shape.value_heads; ++head) step(in, t, head);
  }
  void step(const DeltaValues& in, std::int64_t t, std::int64_t head) {
    const DeltaShape& s = in.shape;
    const float* k = in.k.data() + t * s.keys() + s.key_head(head) * s.key_dim;
    const float* q = in.q.data() + t * s.keys() + s.key_head(head) * s.key_dim;
    const double decay = std::exp(static_cast<double>(in.g[at(t * s.value_heads + head)]));
    const double beta = static_cast<double>(in.beta[at(t * s.value_heads + head)]);
    double* matrix = state.data() + head * s.key_dim * s.value_dim;
    for (std::int64_t j = 0; j < s.value_dim; ++j) {
      double recalled = 0, result = 0;
      for (std::int64_t i = 0; i < s.key_dim; ++i) {
        matrix[i * s.value_dim + j] *= decay;
        recalled += matrix[i * s.value_dim + j] * static_cast<double>(k[i]);
      }
      const double d = beta * (static_cast<double>(in.v[at(t * s.values() + head * s.value_dim + j)]) - recalled);
      for (std::int64_t i = 0; i < s.key_dim; ++i) {
        matrix[i * s.value_dim + j] += static_cast<double>(k[i]) * d;
        result += matrix[i * s.value_dim + j] * static_cast<double>(q[i]);
      }
      out[at(t * s.values() + head * s.value_dim + j)] = result;
    }
  }
};

/// Like expect_all_near for a whole result whose size is that of its largest value (a tenth where all are smaller: what
/// was summed is of the size 1).
inline void expect_close(const std::vector<float>& actual, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  double size = 0.1;
  for (const double x : expected) size = std::max(size, std::abs(x));
  expect_all_near(
      actual, [&](std::size_t i) { return expected[i]; }, [&](std::size_t) { return size; }, tolerance);
}

/// Gates that break a careless implementation: chunks' decays that overflow, cancel or vanish, writes that are off or
/// complete, keys that repeat.
inline std::vector<std::pair<std::string, DeltaValues>> adversarial_values(const DeltaShape& shape) {
  std::vector<std::pair<std::string, DeltaValues>> result;
  const auto add = [&](const char* name, auto change) {
    DeltaValues values(shape, 11);
    change(values);
    result.emplace_back(name, std::move(values));
  };
  const auto all = [](std::vector<float>& values, float value) { std::fill(values.begin(), values.end(), value); };
  add("no decay", [&](DeltaValues& x) { all(x.g, 0); });
  add("decays of 1e-4", [&](DeltaValues& x) { all(x.g, -1e-4f); });
  add("decays that leave nothing", [&](DeltaValues& x) { all(x.g, -60); });
  add("single decays of -200 among mild ones", [&](DeltaValues& x) {
    for (std::size_t i = 0; i < x.g.size(); ++i) x.g[i] = i % 7 == 3 ? -200.0f : -0.001f;
  });
  add("infinite decays", [&](DeltaValues& x) {
    for (std::size_t i = 0; i < x.g.size(); ++i) x.g[i] = i % 11 == 5 ? -INFINITY : -1e-3f;
  });
  add("nothing written", [&](DeltaValues& x) { all(x.beta, 0); });
  add("everything written", [&](DeltaValues& x) { all(x.beta, 1); });
  add("one key for all tokens", [&](DeltaValues& x) {
    for (std::int64_t i = x.shape.keys(); i < std::ssize(x.k); ++i) x.k[at(i)] = x.k[at(i % x.shape.keys())];
    all(x.beta, 0.999f);
    all(x.g, -1e-3f);
  });
  add("keys and queries of zeros", [&](DeltaValues& x) {
    for (std::int64_t i = 0; i < std::ssize(x.k); ++i)
      if (i / x.shape.keys() % 3 == 1) x.k[at(i)] = x.q[at(i)] = 0;
  });
  return result;
}

}  // namespace lectern::kernels::cuda::test
