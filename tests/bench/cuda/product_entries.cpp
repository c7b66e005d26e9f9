#include "kernels/cuda/embed_rows.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/matvec.h"
#include "tests/bench/cuda/entries.h"

namespace lectern::bench {

namespace {

struct Matrix {
  const char* what;
  DType type;
  std::int64_t rows, columns;
  std::int64_t bytes() const { return rows * kernels::row_bytes(type, columns); }
  std::string text() const { return std::string(what) + " " + times(rows, columns) + " " + kernels::name(type); }
};

Entry matvec_entry(Bench& bench, Matrix w, std::int64_t tokens) {
  return {"matvec", std::to_string(tokens) + " token(s), " + w.text(), [=, &bench] {
            const std::int64_t copies = bench.copies(w.bytes());
            const auto x = bench.floats(tokens * w.columns),
                       weights = bench.weights(w.type, copies * w.rows, w.columns),
                       out = bench.memory(4 * tokens * w.rows);
            return Timed{[=, &bench](std::int64_t round) {
                           cuda::matvec(bench.queue(), view(x, DType::f32, {tokens, w.columns}),
                                        view(weights, round % copies, w.type, {w.rows, w.columns}),
                                        view(out, DType::f32, {tokens, w.rows}));
                         },
                         d(w.bytes() + 4 * tokens * (w.rows + w.columns))};
          }};
}

Entry matmul_entry(Bench& bench, Matrix w, std::int64_t tokens) {
  return {"matmul", std::to_string(tokens) + " tokens, " + w.text(), [=, &bench] {
            const auto x = bench.halves(tokens * w.columns), weights = bench.weights(w.type, w.rows, w.columns),
                       out = bench.memory(4 * tokens * w.rows);
            return Timed{[=, &bench](std::int64_t) {
                           cuda::matmul(bench.queue(), view(x, DType::bf16, {tokens, w.columns}),
                                        view(weights, w.type, {w.rows, w.columns}),
                                        view(out, DType::f32, {tokens, w.rows}));
                         },
                         d(w.bytes() + tokens * (2 * w.columns + 4 * w.rows)), 2 * d(tokens) * d(w.rows * w.columns)};
          }};
}

Entry embed_entry(Bench& bench, std::int64_t tokens) {
  return {"embed_rows", times(tokens, bench.model().hidden) + " of Q8_0", [=, &bench] {
            const std::int64_t v = bench.model().vocabulary, h = bench.model().hidden;
            std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens));
            for (std::size_t i = 0; i < ids.size(); ++i)
              ids[i] = static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(v));
            const auto table = bench.weights(DType::q8_0, v, h), list = bench.integers(ids),
                       out = bench.memory(4 * tokens * h), bad = bench.integers({0});
            return Timed{[=, &bench](std::int64_t) {
                           cuda::embed_rows(bench.queue(), view(table, DType::q8_0, {v, h}),
                                            view(list, DType::i32, {tokens}), view(out, DType::f32, {tokens, h}),
                                            view(bad, DType::i32, {1}));
                         },
                         d(tokens * (kernels::row_bytes(DType::q8_0, h) + 4 * h))};
          }};
}

}  // namespace

void add_product_entries(Bench& bench, std::vector<Entry>& entries) {
  const Model& m = bench.model();
  const std::int64_t delta_in = m.delta_channels() + m.value_heads * m.delta_dim;
  const std::int64_t values = m.value_heads * m.delta_dim;
  for (const std::int64_t tokens : m.decode) {
    for (const DType type : {DType::q4_k, DType::q5_k, DType::q6_k, DType::q8_0, DType::bf16})
      entries.push_back(matvec_entry(bench, {"delta in", type, delta_in, m.hidden}, tokens));
    entries.push_back(matvec_entry(bench, {"delta out", DType::q4_k, m.hidden, values}, tokens));
    entries.push_back(matvec_entry(bench, {"head", DType::q6_k, m.vocabulary, m.hidden}, tokens));
  }
  for (const std::int64_t tokens : m.prefill) {
    for (const DType type : {DType::q4_k, DType::q6_k, DType::q8_0, DType::bf16})
      entries.push_back(matmul_entry(bench, {"delta in", type, delta_in, m.hidden}, tokens));
    entries.push_back(matmul_entry(bench, {"delta out", DType::q4_k, m.hidden, values}, tokens));
    entries.push_back(matmul_entry(bench, {"router", DType::f32, m.experts, m.hidden}, tokens));
    entries.push_back(embed_entry(bench, tokens));
  }
  entries.push_back(embed_entry(bench, 1));
}

}  // namespace lectern::bench
