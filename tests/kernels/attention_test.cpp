// kv_write, attention_prefill and attention_decode over pages whose unwritten slots hold NaN: reading one shows at
// once.
#include <algorithm>
#include <memory>

#include "kernel_test.h"
#include "kernels/attention_decode.h"
#include "kernels/attention_prefill.h"
#include "kernels/error.h"
#include "kernels/kv_write.h"

namespace lectern::kernels::test {
namespace {

struct Case {
  std::int64_t query_heads, kv_heads, dim, tokens;
  DType type;
  float scale() const { return 1 / std::sqrt(static_cast<float>(dim)); }
};

class Pages {
 public:
  Pages(KvShape shape, std::int64_t slots) {
    for (std::int64_t page = 0; page * kv_page_tokens < slots; ++page) {
      memory_.push_back(
          std::make_unique<std::vector<std::byte>>(static_cast<std::size_t>(shape.strip_bytes()), std::byte{0xff}));
      strips_.push_back(memory_.back()->data());
    }
  }
  KvStrips strips() const { return strips_; }

 private:
  std::vector<std::unique_ptr<std::vector<std::byte>>> memory_;
  std::vector<std::byte*> strips_;
};

struct Inputs {
  std::vector<float> q, k, v;
  explicit Inputs(const Case& c)
      : q(Random(1).normals(c.tokens * c.query_heads * c.dim, 2)),
        k(Random(2).normals(c.tokens * c.kv_heads * c.dim)),
        v(Random(3).normals(c.tokens * c.kv_heads * c.dim)) {}
};

float stored(float x, DType type) {
  return type == DType::bf16 ? cpu::bf16_to_float(to_bf16(x)) : x;
}

/// `count` values from `at` on as prefill computes with them: integers, parts of the largest (attention_tile_i16.h).
void round_to_integers(std::vector<float>& x, std::int64_t at, std::int64_t count, float limit) {
  float largest = 0;
  for (std::int64_t i = at; i < at + count; ++i) largest = std::max(largest, std::abs(x[static_cast<std::size_t>(i)]));
  for (std::int64_t i = at; i < at + count; ++i) {
    float& value = x[static_cast<std::size_t>(i)];
    value = std::nearbyint(value * (limit / largest)) * (largest / limit);
  }
}

/// Prefill multiplies 16-bit keys and values as integers.
bool takes_integers(const Case& c) {
  return c.type == DType::bf16 && c.dim % 32 == 0;
}

/// What prefill computes with.
Inputs as_integers(const Case& c, Inputs in) {
  if (!takes_integers(c)) return in;
  for (float& x : in.k) x = stored(x, c.type);
  for (float& x : in.v) x = stored(x, c.type);
  for (std::int64_t row = 0; row < c.tokens * c.query_heads; ++row) round_to_integers(in.q, row * c.dim, c.dim, 4095);
  for (std::int64_t row = 0; row < c.tokens * c.kv_heads; ++row) {
    round_to_integers(in.k, row * c.dim, c.dim, 2047);
    round_to_integers(in.v, row * c.dim, c.dim, 2047);
  }
  return in;
}

/// One row of the result in double: token t, query head h.
std::vector<double> reference(const Case& c, const Inputs& in, std::int64_t t, std::int64_t head,
                              bool integers = false) {
  const std::int64_t kv_head = head / (c.query_heads / c.kv_heads);
  const auto element = [&](const std::vector<float>& x, std::int64_t slot, std::int64_t d) {
    const float value = x[static_cast<std::size_t>((slot * c.kv_heads + kv_head) * c.dim + d)];
    return static_cast<double>(integers ? value : stored(value, c.type));
  };
  std::vector<double> weights;
  for (std::int64_t slot = 0; slot <= t; ++slot) {
    double score = 0;
    for (std::int64_t d = 0; d < c.dim; ++d)
      score += static_cast<double>(in.q[static_cast<std::size_t>((t * c.query_heads + head) * c.dim + d)]) *
               element(in.k, slot, d);
    weights.push_back(static_cast<double>(c.scale()) * score);
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp(weight - largest);
  std::vector<double> out(static_cast<std::size_t>(c.dim), 0.0);
  for (std::int64_t slot = 0; slot <= t; ++slot)
    for (std::int64_t d = 0; d < c.dim; ++d)
      out[static_cast<std::size_t>(d)] += weights[static_cast<std::size_t>(slot)] / total * element(in.v, slot, d);
  return out;
}

std::vector<float> prefill(Stream& stream, const Case& c, const Inputs& in, const std::vector<std::int64_t>& pieces) {
  const KvShape shape{c.kv_heads, c.dim, c.type};
  const Pages pages(shape, c.tokens);
  Guarded out(c.tokens * c.query_heads * c.dim);
  std::int64_t t = 0;
  for (std::size_t i = 0; t < c.tokens; ++i) {
    const std::int64_t n = std::min(pieces[std::min(i, pieces.size() - 1)], c.tokens - t);
    kv_write(stream, f32_view(in.k.data() + t * c.kv_heads * c.dim, {n, c.kv_heads, c.dim}),
             f32_view(in.v.data() + t * c.kv_heads * c.dim, {n, c.kv_heads, c.dim}), shape, pages.strips(), t);
    const std::int64_t at = t * c.query_heads * c.dim;
    attention_prefill(stream, f32_view(in.q.data() + at, {n, c.query_heads, c.dim}), shape, pages.strips(), t,
                      c.scale(), f32_view(out.data() + at, {n, c.query_heads, c.dim}));
    t += n;
  }
  return out.values();
}

std::vector<float> decode(Stream& stream, const Case& c, const Inputs& in, std::int64_t token) {
  const KvShape shape{c.kv_heads, c.dim, c.type};
  const Pages pages(shape, c.tokens);
  kv_write(stream, f32_view(in.k.data(), {c.tokens, c.kv_heads, c.dim}),
           f32_view(in.v.data(), {c.tokens, c.kv_heads, c.dim}), shape, pages.strips(), 0);
  Guarded out(c.query_heads * c.dim);
  attention_decode(stream, f32_view(in.q.data() + token * c.query_heads * c.dim, {c.query_heads, c.dim}), shape,
                   pages.strips(), token + 1, c.scale(), f32_view(out.data(), {c.query_heads, c.dim}));
  return out.values();
}

const std::vector<Case> cases = {
    {1, 1, 1, 1, DType::f32},      {2, 1, 7, 3, DType::bf16},
    {6, 2, 20, 130, DType::f32},   {9, 3, 64, 300, DType::bf16},  // SmolLM2-135M
    {16, 2, 256, 70, DType::bf16},                                // Qwen3-Next
    {4, 4, 48, 65, DType::f32},    {5, 1, 36, 257, DType::bf16},
};

void expect_row(const std::vector<float>& actual, std::int64_t at, const std::vector<double>& expected,
                double tolerance = 3e-6) {
  for (std::size_t d = 0; d < expected.size(); ++d)
    expect_near(actual[static_cast<std::size_t>(at) + d], expected[d], 1, tolerance, static_cast<std::int64_t>(d));
}

/// The weights of the softmax are integers too, 14 bits of the largest of 64 slots.
double prefill_tolerance(const Case& c) {
  return takes_integers(c) ? 5e-4 : 3e-6;
}

TEST(AttentionPrefill, EqualsTheReference) {
  on_every_path([](Stream& stream) {
    for (const Case& c : cases) {
      const Inputs given(c), in = as_integers(c, given);
      const std::vector<float> out = prefill(stream, c, given, {c.tokens});
      for (std::int64_t t = 0; t < c.tokens; t += std::max<std::int64_t>(1, c.tokens / 9))
        for (std::int64_t head = 0; head < c.query_heads; ++head)
          expect_row(out, (t * c.query_heads + head) * c.dim, reference(c, in, t, head, takes_integers(c)),
                     prefill_tolerance(c));
      const std::int64_t last = c.tokens - 1;
      expect_row(out, last * c.query_heads * c.dim, reference(c, in, last, 0, takes_integers(c)), prefill_tolerance(c));
    }
  });
}

TEST(AttentionPrefill, ShowsWhatIsNotFinite) {
  on_every_path([](Stream& stream) {
    for (const DType type : {DType::f32, DType::bf16}) {
      const Case c{4, 2, 64, 70, type};
      for (const int part : {0, 1, 2}) {
        Inputs in(c);
        (part == 0 ? in.q : part == 1 ? in.k : in.v)[5] = part == 1 ? std::nanf("") : INFINITY;
        const std::vector<float> out = prefill(stream, c, in, {c.tokens});
        EXPECT_FALSE(std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); })) << part;
      }
    }
  });
}

TEST(AttentionPrefill, GivesATokenTheSameBitsWhereverThePrefillWasCut) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const Case& c : cases) {
      const Inputs in(c);
      const std::vector<float> whole = prefill(three, c, in, {c.tokens});
      expect_same_bits(prefill(one, c, in, {c.tokens}), whole);
      expect_same_bits(prefill(three, c, in, {1, 2, 61, 5}), whole);
      expect_same_bits(prefill(three, c, in, {64}), whole);
      expect_same_bits(prefill(one, c, in, {37}), whole);
    }
  }
}

TEST(AttentionDecode, EqualsTheReferenceAndTheBitsOfAnyNumberOfThreads) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const Case& c : cases) {
      const Inputs in(c);
      for (const std::int64_t token : {std::int64_t{0}, c.tokens / 2, c.tokens - 1}) {
        const std::vector<float> out = decode(three, c, in, token);
        expect_same_bits(decode(one, c, in, token), out);
        for (std::int64_t head = 0; head < c.query_heads; ++head)
          expect_row(out, head * c.dim, reference(c, in, token, head));
      }
    }
  }
}

TEST(AttentionDecode, GivesARowTheSameBitsInAnyCompany) {
  for (const CpuPath path : paths()) {
    SCOPED_TRACE(name(path));
    Stream one(1, path), three(3, path);
    for (const Case& c : cases) {
      const Inputs in(c);
      const KvShape shape{c.kv_heads, c.dim, c.type};
      const Pages pages(shape, c.tokens);
      kv_write(one, f32_view(in.k.data(), {c.tokens, c.kv_heads, c.dim}),
               f32_view(in.v.data(), {c.tokens, c.kv_heads, c.dim}), shape, pages.strips(), 0);
      std::vector<AttentionSlots> rows;
      for (std::int64_t t = 0; t < c.tokens; ++t) rows.push_back({pages.strips(), (t * 37 + 11) % c.tokens + 1});
      const std::int64_t row = c.query_heads * c.dim;
      Guarded together(c.tokens * row), alone(c.tokens * row);
      attention_decode(three, f32_view(in.q.data(), {c.tokens, c.query_heads, c.dim}), shape, rows, c.scale(),
                       f32_view(together.data(), {c.tokens, c.query_heads, c.dim}));
      for (std::int64_t t = 0; t < c.tokens; ++t)
        attention_decode(one, f32_view(in.q.data() + t * row, {c.query_heads, c.dim}), shape, pages.strips(),
                         rows[static_cast<std::size_t>(t)].slots, c.scale(),
                         f32_view(alone.data() + t * row, {c.query_heads, c.dim}));
      expect_same_bits(alone.values(), together.values());
    }
  }
}

TEST(Attention, RefusesSlotsBeyondThePages) {
  Stream stream(1);
  const KvShape shape{1, 4, DType::f32};
  const Pages pages(shape, 256);
  std::vector<float> x(8);
  EXPECT_THROW(
      kv_write(stream, f32_view(x.data(), {2, 1, 4}), f32_view(x.data(), {2, 1, 4}), shape, pages.strips(), 255),
      Error);
  EXPECT_THROW(attention_decode(stream, f32_view(x.data(), {1, 4}), shape, pages.strips(), 257, 1,
                                f32_view(x.data() + 4, {1, 4})),
               Error);
  EXPECT_THROW(attention_prefill(stream, f32_view(x.data(), {1, 2, 2}), shape, pages.strips(), 0, 1,
                                 f32_view(x.data() + 4, {1, 2, 2})),
               Error);
}

}  // namespace
}  // namespace lectern::kernels::test
