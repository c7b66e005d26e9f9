// Many rows: they are sorted by expert, and all chosen experts are one row of tasks: an expert's rows meet a panel of
// its gate and the same panel of its up matrix, which leaves a piece of the activated rows; these, rounded again, meet
// the panels of the down matrices, expert after expert, and are added to the tokens they belong to. Three loops for a
// layer however many experts there are, and nothing but the activated rows is kept in between. Few rows: the matrices
// of the chosen experts stand end to end, and the threads take long pieces of that row: memory needs a run of half a
// megabyte to reach its speed, and gave a third of it where a task took some rows of all ten experts. Several answers
// that are written together and choose the same expert meet its weights together. A token's experts are added up in the
// order of their numbers, so its bits do not depend on who shares them.
#include "kernels/moe_experts.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/operations.h"
#include "kernels/cpu/packed_rows.h"
#include "kernels/cpu/products.h"

namespace lectern::kernels::cpu {

namespace {

constexpr std::int64_t decode_rows = 2 * pack_rows;  // weight rows of a task

WeightRows matrix_of(const ConstTensor& experts, std::int64_t expert) {
  const std::int64_t bytes = row_bytes(experts.type, experts.dim(2));
  return {experts.data + expert * experts.dim(1) * bytes,
          experts.type,
          experts.dim(1),
          experts.dim(2),
          bytes,
          experts.packed};
}

/// The choices (token, i) by expert, then by token.
struct SortedChoices {
  struct Expert {
    std::int64_t id, first, count;  // choices [first, first + count)
  };
  std::vector<Expert> experts;       // those that were chosen
  std::vector<std::int32_t> tokens;  // of each choice
  std::vector<float> weights;
  std::int64_t most = 0;  // choices of one expert

  SortedChoices(const std::int32_t* ids, const float* shares, std::int64_t rows, std::int64_t chosen,
                std::int64_t count)
      : tokens(static_cast<std::size_t>(rows)), weights(static_cast<std::size_t>(rows)) {
    std::vector<std::int64_t> starts(static_cast<std::size_t>(count) + 1, 0);
    for (std::int64_t i = 0; i < rows; ++i) ++starts[static_cast<std::size_t>(ids[i]) + 1];
    for (std::int64_t e = 0; e < count; ++e) {
      const std::int64_t n = starts[static_cast<std::size_t>(e) + 1], first = starts[static_cast<std::size_t>(e)];
      if (n > 0) experts.push_back({e, first, n});
      most = std::max(most, n);
      starts[static_cast<std::size_t>(e) + 1] += first;
    }
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto place = static_cast<std::size_t>(starts[static_cast<std::size_t>(ids[i])]++);
      tokens[place] = static_cast<std::int32_t>(i / chosen);
      weights[place] = shares[i];
    }
  }
};

/// Rows of activations as the products want them.
struct Activations {
  const float* values;
  std::int64_t columns;
  ActivationsQ8 rounded{};

  Activations(Stream& stream, ConstTensor x, DType weights, Rounding (*rounding)(const InnerLoops&, DType),
              ScratchUse use)
      : values(floats(x)), columns(x.columns()) {
    if (is_quantized(weights)) rounded = round_activations(stream, x, rounding(stream.loops(), weights), use);
  }
};

/// totals = rows order[0..count) of x · panel `first` of w.
void panel_product(const InnerLoops& loops, const WeightRows& w, const Activations& x, const std::int32_t* order,
                   std::int64_t count, std::int64_t first, std::byte* scratch, float* totals) {
  if (!is_quantized(w.type)) return loops.panel_float(w, x.values, order, count, first, scratch, totals);
  ActivationsQ8 rows = x.rounded;
  rows.order = order;
  rows.rows = count;
  loops.panel_quantized(w, rows, first, scratch, totals);
}

void many_rows(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
               ConstTensor weights, Tensor out) {
  const std::int64_t tokens = x.rows(), hidden = x.columns(), inner = gate.dim(1), chosen = experts.columns();
  const std::int64_t rows = tokens * chosen;
  const InnerLoops& loops = stream.loops();
  const std::int64_t width = loops.panel_rows;
  const SortedChoices choices(reinterpret_cast<const std::int32_t*>(experts.data), floats(weights), rows, chosen,
                              gate.dim(0));
  const std::int64_t scratch_bytes = loops.panel_scratch_bytes(choices.most);
  const auto totals_of_worker = [&](int worker, std::int64_t panels) {
    return stream.scratch().of_worker(worker, scratch_bytes + panels * choices.most * width * 4);
  };

  float* activated = reinterpret_cast<float*>(stream.scratch().shared(ScratchUse::experts_hidden, rows * inner * 4));
  {
    const Activations for_gate(stream, x, gate.type, panel_rounding, ScratchUse::activations);
    const Activations for_up(stream, x, up.type, panel_rounding, ScratchUse::experts_input);
    const std::int64_t panels = (inner + width - 1) / width;
    const auto tasks = static_cast<std::int64_t>(choices.experts.size()) * panels;
    stream.pool().parallel_for(tasks, 1, [&](std::int64_t first, std::int64_t last, int worker) {
      std::byte* scratch = totals_of_worker(worker, 2);
      for (std::int64_t task = first; task < last; ++task) {
        const SortedChoices::Expert& expert = choices.experts[static_cast<std::size_t>(task / panels)];
        const std::int64_t row = task % panels * width, count = std::min(width, inner - row);
        const std::int32_t* order = choices.tokens.data() + expert.first;
        float* gates = reinterpret_cast<float*>(scratch + scratch_bytes);
        float* ups = gates + expert.count * width;
        panel_product(loops, matrix_of(gate, expert.id), for_gate, order, expert.count, row, scratch, gates);
        panel_product(loops, matrix_of(up, expert.id), for_up, order, expert.count, row, scratch, ups);
        for (std::int64_t i = 0; i < expert.count; ++i)
          loops.silu_multiply(gates + i * width, ups + i * width, count, activated + (expert.first + i) * inner + row);
      }
    });
  }

  const Activations hidden_rows(stream, f32_view(activated, {rows, inner}), down.type, panel_rounding,
                                ScratchUse::activations);
  std::vector<std::int32_t> in_order(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < in_order.size(); ++i) in_order[i] = static_cast<std::int32_t>(i);
  stream.pool().parallel_for((hidden + width - 1) / width, 1, [&](std::int64_t first, std::int64_t last, int worker) {
    std::byte* scratch = totals_of_worker(worker, 1);
    float* totals = reinterpret_cast<float*>(scratch + scratch_bytes);
    for (std::int64_t row = first * width; row < std::min(last * width, hidden); row += width) {
      const std::int64_t count = std::min(width, hidden - row);
      for (std::int64_t t = 0; t < tokens; ++t)
        std::memset(floats(out) + t * hidden + row, 0, static_cast<std::size_t>(count) * sizeof(float));
      for (const SortedChoices::Expert& expert : choices.experts) {
        panel_product(loops, matrix_of(down, expert.id), hidden_rows, in_order.data() + expert.first, expert.count, row,
                      scratch, totals);
        for (std::int64_t i = 0; i < expert.count; ++i) {
          const auto choice = static_cast<std::size_t>(expert.first + i);
          loops.add_scaled(totals + i * width, choices.weights[choice], count,
                           floats(out) + choices.tokens[choice] * hidden + row);
        }
      }
    }
  });
}

/// Rows order[0..count) of x · rows [first, last) of w, in the arithmetic of matvec, to columns [first, last) of rows
/// of `width` values. `scratch`: [count, last - first], used for more than one row.
void row_products(const InnerLoops& loops, const WeightRows& w, const Activations& x, const std::int32_t* order,
                  std::int64_t count, std::int64_t first, std::int64_t last, float* scratch, float* out,
                  std::int64_t width) {
  const WeightRows part = rows_of(w, first, last - first);
  const std::int64_t n = last - first;
  float* products = count == 1 ? out + first : scratch;
  if (is_quantized(w.type)) {
    ActivationsQ8 rows = x.rounded;
    rows.order = order;
    rows.rows = count;
    loops.matvec_quantized(part, rows, 0, n, products);
  } else {
    for (std::int64_t i = 0; i < count; ++i)
      loops.matvec_float(part, x.values + order[i] * x.columns, 1, 0, n, products + i * n);
  }
  if (count == 1) return;
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(out + i * width + first, products + i * n, static_cast<std::size_t>(n) * sizeof(float));
}

/// Matrices of `rows` rows end to end, cut into tasks of decode_rows: body(matrix, first, last, worker) for the rows of
/// each.
template <class Body>
void for_matrix_rows(Stream& stream, std::int64_t matrices, std::int64_t rows, Body body) {
  const std::int64_t runs = (rows + decode_rows - 1) / decode_rows;
  stream.pool().parallel_for(matrices * runs, 1, [&](std::int64_t first, std::int64_t last, int worker) {
    while (first < last) {
      const std::int64_t matrix = first / runs, end = std::min(last, (matrix + 1) * runs);
      body(matrix, first % runs * decode_rows, std::min((end - matrix * runs) * decode_rows, rows), worker);
      first = end;
    }
  });
}

void few_rows(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
              ConstTensor weights, Tensor out) {
  const std::int64_t tokens = x.rows(), hidden = x.columns(), inner = gate.dim(1), chosen = experts.columns();
  const std::int64_t rows = tokens * chosen;
  const InnerLoops& loops = stream.loops();
  const SortedChoices choices(reinterpret_cast<const std::int32_t*>(experts.data), floats(weights), rows, chosen,
                              gate.dim(0));
  const auto matrices = static_cast<std::int64_t>(choices.experts.size());
  const auto scratch = [&](int worker, std::int64_t n) {
    if (choices.most == 1) return static_cast<float*>(nullptr);
    return reinterpret_cast<float*>(stream.scratch().of_worker(worker, choices.most * n * 4));
  };

  float* gates = reinterpret_cast<float*>(
      stream.scratch().shared(ScratchUse::experts_hidden, rows * (2 * inner + hidden) * 4));  // [rows, inner]
  float *ups = gates + rows * inner, *products = ups + rows * inner;                          // [rows, hidden]
  {
    const Activations for_gate(stream, x, gate.type, row_rounding, ScratchUse::activations);
    const Activations for_up(stream, x, up.type, row_rounding, ScratchUse::experts_input);
    for_matrix_rows(
        stream, 2 * matrices, inner, [&](std::int64_t matrix, std::int64_t first, std::int64_t last, int worker) {
          const SortedChoices::Expert& expert = choices.experts[static_cast<std::size_t>(matrix / 2)];
          const bool is_gate = matrix % 2 == 0;
          row_products(loops, matrix_of(is_gate ? gate : up, expert.id), is_gate ? for_gate : for_up,
                       choices.tokens.data() + expert.first, expert.count, first, last, scratch(worker, last - first),
                       (is_gate ? gates : ups) + expert.first * inner, inner);
        });
  }
  loops.silu_multiply(gates, ups, rows * inner, gates);
  const Activations hidden_rows(stream, f32_view(gates, {rows, inner}), down.type, row_rounding,
                                ScratchUse::activations);
  std::vector<std::int32_t> in_order(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < in_order.size(); ++i) in_order[i] = static_cast<std::int32_t>(i);
  for_matrix_rows(
      stream, matrices, hidden, [&](std::int64_t matrix, std::int64_t first, std::int64_t last, int worker) {
        const SortedChoices::Expert& expert = choices.experts[static_cast<std::size_t>(matrix)];
        row_products(loops, matrix_of(down, expert.id), hidden_rows, in_order.data() + expert.first, expert.count,
                     first, last, scratch(worker, last - first), products + expert.first * hidden, hidden);
      });
  std::memset(floats(out), 0, static_cast<std::size_t>(tokens * hidden) * sizeof(float));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto choice = static_cast<std::size_t>(i);
    loops.add_scaled(products + i * hidden, choices.weights[choice], hidden,
                     floats(out) + choices.tokens[choice] * hidden);
  }
}

}  // namespace

void moe_experts(Stream& stream, ConstTensor x, ConstTensor gate, ConstTensor up, ConstTensor down, ConstTensor experts,
                 ConstTensor weights, RowKind kind, Tensor out) {
  (kind == RowKind::decode ? few_rows : many_rows)(stream, x, gate, up, down, experts, weights, out);
}

}  // namespace lectern::kernels::cpu
