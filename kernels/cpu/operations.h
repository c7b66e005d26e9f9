// The CPU side of every operation: same contracts as kernels/<op>.h, shapes already checked by dispatch.cpp.
#pragma once

#include <span>

#include "kernels/attention_decode.h"
#include "kernels/cpu/inner_loops.h"
#include "kernels/delta_rule.h"
#include "kernels/device.h"
#include "kernels/kv_page.h"
#include "kernels/matmul.h"
#include "kernels/moe_experts.h"
#include "kernels/rotary.h"
#include "kernels/tensor.h"

namespace lectern::kernels::cpu {

inline float* floats(const Tensor& x) {
  return reinterpret_cast<float*>(x.data);
}
inline const float* floats(const ConstTensor& x) {
  return reinterpret_cast<const float*>(x.data);
}

void embed_rows(Stream& stream, ConstTensor table, std::span<const std::int32_t> ids, Tensor out);
void rms_norm(Stream& stream, ConstTensor x, ConstTensor w, float eps, Tensor out);
void gated_rms_norm(Stream& stream, ConstTensor o, ConstTensor z, ConstTensor w, float eps, Tensor out);
void l2_norm(Stream& stream, ConstTensor x, float eps, float scale, Tensor out);
void rotary(Stream& stream, Tensor x, std::span<const std::int64_t> positions, std::span<const double> frequencies,
            float magnitude, RotaryPairs pairs);
void matmul(Stream& stream, ConstTensor x, std::span<const Product> products);
void matvec(Stream& stream, ConstTensor x, std::span<const Product> products);
void add(Stream& stream, ConstTensor a, ConstTensor b, Tensor out);
void silu_multiply(Stream& stream, ConstTensor gate, ConstTensor up, Tensor out);
void sigmoid_multiply(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out);
void add_sigmoid_scaled(Stream& stream, ConstTensor x, ConstTensor gate, Tensor out);
void copy_columns(Stream& stream, ConstTensor x, std::int64_t column, Tensor out);
void kv_write(Stream& stream, ConstTensor k, ConstTensor v, KvShape shape, KvStrips strips, std::int64_t first_slot);
void attention_prefill(Stream& stream, ConstTensor q, KvShape shape, KvStrips strips, std::int64_t first_slot,
                       float scale, Tensor out);
void attention_decode(Stream& stream, ConstTensor q, KvShape shape, std::span<const AttentionSlots> rows, float scale,
                      Tensor out);
void causal_conv1d(Stream& stream, ConstTensor x, ConstTensor w, Tensor state,
                   std::span<const std::int64_t> snapshot_offsets, std::span<const Tensor> snapshots, Tensor out);
void delta_gates(Stream& stream, ConstTensor a, ConstTensor b, ConstTensor decay, ConstTensor dt_bias, Tensor g,
                 Tensor beta);
void delta_rule(Stream& stream, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor g, ConstTensor beta,
                DeltaHeads heads, Tensor state, std::span<const std::int64_t> snapshot_offsets,
                std::span<const Tensor> snapshots, Tensor out);
void moe_route(Stream& stream, ConstTensor logits, bool normalize, Tensor experts, Tensor weights);
void moe_experts(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
                 ConstTensor weights, RowKind kind, Tensor out);

}  // namespace lectern::kernels::cpu
