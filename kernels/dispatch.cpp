// One function per operation: check the shapes, then call the backend. Kernels trust what they get, so every extent
// that an index is formed from is compared here; a mismatch names the operation and the shapes.
#include <string>

#include "kernels/attention_decode.h"
#include "kernels/attention_prefill.h"
#include "kernels/causal_conv1d.h"
#include "kernels/cpu/operations.h"
#include "kernels/delta_gates.h"
#include "kernels/delta_rule.h"
#include "kernels/elementwise.h"
#include "kernels/embed_rows.h"
#include "kernels/error.h"
#include "kernels/kv_write.h"
#include "kernels/matmul.h"
#include "kernels/matvec.h"
#include "kernels/moe_experts.h"
#include "kernels/moe_route.h"
#include "kernels/require.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"

namespace lectern::kernels {

namespace {

void check_snapshots(const char* operation, std::int64_t tokens, const ConstTensor& state,
                     std::span<const std::int64_t> offsets, std::span<const Tensor> snapshots) {
  require(offsets.size() == snapshots.size(), operation, {{"state", state}}, "as many snapshots as offsets are needed");
  std::int64_t before = 1;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    require(
        offsets[i] >= before && offsets[i] <= tokens, operation, {{"state", state}},
        "snapshot offset " + std::to_string(offsets[i]) + " is out of order or outside 1.." + std::to_string(tokens));
    require(snapshots[i].type == state.type && same_shape(snapshots[i], state), operation,
            {{"state", state}, {"snapshot", snapshots[i]}}, "snapshots have the shape of the state");
    before = offsets[i];
  }
}

void check_kv(const char* operation, const ConstTensor& q, const KvShape& shape, const KvStrips& strips,
              std::int64_t slots) {
  require(shape.heads > 0 && shape.head_dim > 0 && (shape.type == DType::f32 || shape.type == DType::bf16), operation,
          {{"x", q}}, "keys and values are F32 or BF16 with at least one head");
  const std::int64_t held = static_cast<std::int64_t>(strips.size()) * kv_page_tokens;
  require(slots >= 0 && slots <= held, operation, {{"x", q}},
          std::to_string(slots) + " slots do not fit the " + std::to_string(held) + " of the pages");
}

void check_product(const char* operation, const ConstTensor& x, const ConstTensor& w, const ConstTensor& out) {
  require(is_f32(x, 2) && is_f32(out, 2) && w.rank == 2 && w.type != DType::i32 && x.dim(1) == w.dim(1) &&
              out.dim(0) == x.dim(0) && out.dim(1) == w.dim(0) && w.dim(1) > 0,
          operation, {{"x", x}, {"w", w}, {"out", out}}, "expected x [T, K], w [N, K], out [T, N]");
  row_bytes(w.type, w.dim(1));  // throws if K is not a whole number of blocks
}

}  // namespace

void embed_rows(Stream& stream, ConstTensor table, std::span<const std::int32_t> ids, Tensor out) {
  require(table.rank == 2 && is_f32(out, 2) && out.dim(0) == static_cast<std::int64_t>(ids.size()) &&
              out.dim(1) == table.dim(1),
          "embed_rows", {{"table", table}, {"out", out}}, "expected table [V, H], out [T, H] for T ids");
  for (const std::int32_t id : ids)
    if (id < 0 || id >= table.dim(0))
      throw Error(ErrorKind::bad_request, "token id " + std::to_string(id) + " is outside the vocabulary of " +
                                              std::to_string(table.dim(0)) + " tokens");
  cpu::embed_rows(stream, table, ids, out);
}

void rms_norm(Stream& stream, ConstTensor x, ConstTensor w, float eps, Tensor out) {
  require(is_f32(x) && is_f32(w, 1) && is_f32(out) && same_shape(x, out) && w.dim(0) == x.columns(), "rms_norm",
          {{"x", x}, {"w", w}, {"out", out}}, "expected x and out [..., D], w [D]");
  cpu::rms_norm(stream, x, w, eps, out);
}

void gated_rms_norm(Stream& stream, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out) {
  require(is_f32(o) && is_f32(z) && is_f32(w, 1) && is_f32(out) && same_shape(o, out) && o.columns() == z.columns() &&
              o.elements() == z.elements() && w.dim(0) == o.columns(),
          "gated_rms_norm", {{"o", o}, {"z", z}, {"w", w}, {"out", out}}, "expected o, z and out [..., D], w [D]");
  cpu::gated_rms_norm(stream, o, z, w, eps, out);
}

void l2_norm(Stream& stream, ConstTensor x, float eps, float scale, Tensor out) {
  require(is_f32(x) && is_f32(out) && same_shape(x, out), "l2_norm", {{"x", x}, {"out", out}},
          "expected one shape [..., D]");
  cpu::l2_norm(stream, x, eps, scale, out);
}

void rotary(Stream& stream, Tensor x, std::span<const std::int64_t> positions, std::span<const double> frequencies,
            float magnitude, RotaryPairs pairs) {
  require(is_f32(x, 3) && x.dim(0) == static_cast<std::int64_t>(positions.size()) &&
              2 * static_cast<std::int64_t>(frequencies.size()) <= x.dim(2),
          "rotary", {{"x", x}},
          "expected x [T, heads, D], T positions and at most D / 2 frequencies, got " +
              std::to_string(positions.size()) + " and " + std::to_string(frequencies.size()));
  cpu::rotary(stream, x, positions, frequencies, magnitude, pairs);
}

void matmul(Stream& stream, ConstTensor x, std::span<const Product> products) {
  for (const Product& product : products) check_product("matmul", x, product.w, product.out);
  cpu::matmul(stream, x, products);
}

void matvec(Stream& stream, ConstTensor x, std::span<const Product> products) {
  for (const Product& product : products) check_product("matvec", x, product.w, product.out);
  require(x.dim(0) <= matvec_rows, "matvec", {{"x", x}}, "at most 8 rows");
  cpu::matvec(stream, x, products);
}

void add(Stream& stream, ConstTensor a, ConstTensor b, Tensor out) {
  require(is_f32(a) && is_f32(b) && is_f32(out) && a.elements() == b.elements() && a.elements() == out.elements(),
          "add", {{"a", a}, {"b", b}, {"out", out}}, "expected as many values in each");
  cpu::add(stream, a, b, out);
}

void silu_multiply(Stream& stream, ConstTensor gate, ConstTensor up, Tensor out) {
  require(is_f32(gate) && is_f32(up) && is_f32(out) && gate.elements() == up.elements() &&
              gate.elements() == out.elements(),
          "silu_multiply", {{"gate", gate}, {"up", up}, {"out", out}}, "expected as many values in each");
  cpu::silu_multiply(stream, gate, up, out);
}

void sigmoid_multiply(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out) {
  require(is_f32(x) && is_f32(gate) && is_f32(out) && x.elements() == gate.elements() && x.elements() == out.elements(),
          "sigmoid_multiply", {{"x", x}, {"gate", gate}, {"out", out}}, "expected as many values in each");
  cpu::sigmoid_multiply(stream, x, gate, out);
}

void add_sigmoid_scaled(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out) {
  require(is_f32(x, 2) && is_f32(out, 2) && is_f32(gate) && same_shape(x, out) && gate.elements() == x.dim(0),
          "add_sigmoid_scaled", {{"x", x}, {"gate", gate}, {"out", out}}, "expected x and out [T, H], gate [T]");
  cpu::add_sigmoid_scaled(stream, x, gate, out);
}

void copy_columns(Stream& stream, ConstTensor x, std::int64_t column, Tensor out) {
  require(is_f32(x, 2) && is_f32(out, 2) && x.dim(0) == out.dim(0) && column >= 0 && column + out.dim(1) <= x.dim(1),
          "copy_columns", {{"x", x}, {"out", out}}, "expected x [R, S], out [R, D], column + D at most S");
  cpu::copy_columns(stream, x, column, out);
}

void kv_write(Stream& stream, ConstTensor k, ConstTensor v, KvShape shape, KvStrips strips, std::int64_t first_slot) {
  require(is_f32(k, 3) && is_f32(v, 3) && same_shape(k, v) && k.dim(1) == shape.heads && k.dim(2) == shape.head_dim &&
              first_slot >= 0,
          "kv_write", {{"k", k}, {"v", v}},
          "expected [T, " + std::to_string(shape.heads) + ", " + std::to_string(shape.head_dim) + "]");
  check_kv("kv_write", k, shape, strips, first_slot + k.dim(0));
  cpu::kv_write(stream, k, v, shape, strips, first_slot);
}

void attention_prefill(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t first_slot,
                       float scale, Tensor out) {
  require(is_f32(q, 3) && is_f32(out, 3) && same_shape(q, out) && first_slot >= 0, "attention_prefill",
          {{"q", q}, {"out", out}}, "expected one shape [T, Hq, D]");
  check_kv("attention_prefill", q, shape, strips, first_slot + q.dim(0));
  require(q.dim(2) == shape.head_dim && q.dim(1) % shape.heads == 0, "attention_prefill", {{"q", q}},
          "does not fit " + std::to_string(shape.heads) + " KV heads of " + std::to_string(shape.head_dim));
  cpu::attention_prefill(stream, q, shape, strips, first_slot, scale, out);
}

void attention_decode(Stream& stream, ConstTensor q, KvShape shape, std::span<const AttentionSlots> rows, float scale,
                      Tensor out) {
  const auto count = static_cast<std::int64_t>(rows.size());
  require(
      is_f32(q) && is_f32(out) && q.rank >= 2 && q.elements() == out.elements() && count > 0 && q.rows() % count == 0,
      "attention_decode", {{"q", q}, {"out", out}}, "expected one shape [T, Hq, D]");
  for (const AttentionSlots& row : rows) {
    require(row.slots > 0, "attention_decode", {{"q", q}}, "expected at least one slot");
    check_kv("attention_decode", q, shape, row.strips, row.slots);
  }
  require(q.columns() == shape.head_dim && q.rows() / count % shape.heads == 0, "attention_decode", {{"q", q}},
          "does not fit " + std::to_string(shape.heads) + " KV heads of " + std::to_string(shape.head_dim));
  cpu::attention_decode(stream, q, shape, rows, scale, out);
}

void causal_conv1d(Stream& stream, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out) {
  require(is_f32(x, 2) && is_f32(w, 2) && is_f32(out, 2) && same_shape(x, out) && is_f32(state, 2) &&
              w.dim(0) == x.dim(1) && w.dim(1) >= 1 && w.dim(1) <= 16 && state.dim(0) == w.dim(1) - 1 &&
              state.dim(1) == x.dim(1),
          "causal_conv1d", {{"x", x}, {"w", w}, {"state", state}, {"out", out}},
          "expected x and out [T, C], w [C, K], state [K-1, C], K at most 16");
  check_snapshots("causal_conv1d", x.dim(0), state, snapshot_offsets, snapshots);
  cpu::causal_conv1d(stream, x, w, state, snapshot_offsets, snapshots, out);
}

void delta_gates(Stream& stream, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta) {
  require(is_f32(a, 2) && is_f32(b, 2) && is_f32(g, 2) && is_f32(beta, 2) && is_f32(decay, 1) && is_f32(dt_bias, 1) &&
              same_shape(a, b) && same_shape(a, g) && same_shape(a, beta) && decay.dim(0) == a.dim(1) &&
              dt_bias.dim(0) == a.dim(1),
          "delta_gates", {{"a", a}, {"b", b}, {"decay", decay}, {"dt_bias", dt_bias}, {"g", g}, {"beta", beta}},
          "expected a, b, g, beta [T, Hv], decay and dt_bias [Hv]");
  cpu::delta_gates(stream, a, b, decay, dt_bias, g, beta);
}

void delta_rule(Stream& stream, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, std::span<const std::int64_t> segment_starts, Tensor state,
                std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out) {
  const bool fits = is_f32(q, 3) && is_f32(k, 3) && is_f32(v, 3) && is_f32(out, 3) && is_f32(g, 2) && is_f32(beta, 2) &&
                    is_f32(state, 3) && same_shape(q, k) && same_shape(v, out) && same_shape(g, beta) &&
                    q.dim(0) == v.dim(0) && g.dim(0) == v.dim(0) && g.dim(1) == v.dim(1) && q.dim(1) > 0 &&
                    v.dim(1) % q.dim(1) == 0 && state.dim(0) == v.dim(1) && state.dim(1) == q.dim(2) &&
                    state.dim(2) == v.dim(2);
  require(fits, "delta_rule", {{"q", q}, {"k", k}, {"v", v}, {"g", g}, {"beta", beta}, {"state", state}, {"out", out}},
          "expected q, k [T, Hk, Dk], v, out [T, Hv, Dv], g, beta [T, Hv], state [Hv, Dk, Dv], Hv a multiple of Hk");
  for (const std::int64_t start : segment_starts)
    require(start >= 0 && start < q.dim(0), "delta_rule", {{"q", q}},
            "segment start " + std::to_string(start) + " is outside the tokens");
  check_snapshots("delta_rule", q.dim(0), state, snapshot_offsets, snapshots);
  cpu::delta_rule(stream, q, k, v, g, beta, heads, state, snapshot_offsets, snapshots, out);
}

void moe_route(Stream& stream, ConstTensor logits, bool normalize, Tensor experts, Tensor weights) {
  require(is_f32(logits, 2) && experts.type == DType::i32 && experts.rank == 2 && is_f32(weights, 2) &&
              same_shape(experts, weights) && experts.dim(0) == logits.dim(0) && experts.dim(1) <= logits.dim(1),
          "moe_route", {{"logits", logits}, {"experts", experts}, {"weights", weights}},
          "expected logits [T, E], experts I32 and weights F32 [T, k], k at most E");
  cpu::moe_route(stream, logits, normalize, experts, weights);
}

void moe_experts(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
                 ConstTensor weights, RowKind kind, Tensor out) {
  const bool fits = is_f32(x, 2) && is_f32(out, 2) && same_shape(x, out) && gate.rank == 3 && up.rank == 3 &&
                    down.rank == 3 && same_shape(gate, up) && down.dim(0) == gate.dim(0) && gate.dim(2) == x.dim(1) &&
                    down.dim(1) == x.dim(1) && down.dim(2) == gate.dim(1) && experts.type == DType::i32 &&
                    experts.rank == 2 && is_f32(weights, 2) && same_shape(experts, weights) &&
                    experts.dim(0) == x.dim(0);
  require(
      fits, "moe_experts",
      {{"x", x}, {"gate", gate}, {"up", up}, {"down", down}, {"experts", experts}, {"weights", weights}, {"out", out}},
      "expected x, out [T, H], gate, up [E, I, H], down [E, H, I], experts I32 and weights F32 [T, k]");
  for (const ConstTensor& w : {gate, up, down}) row_bytes(w.type, w.dim(2));
  const std::int32_t* ids = reinterpret_cast<const std::int32_t*>(experts.data);
  for (std::int64_t i = 0; i < experts.elements(); ++i)
    require(ids[i] >= 0 && ids[i] < gate.dim(0), "moe_experts", {{"gate", gate}},
            "there is no expert " + std::to_string(ids[i]));
  cpu::moe_experts(stream, x, gate, up, down, experts, weights, kind, out);
}

}  // namespace lectern::kernels
