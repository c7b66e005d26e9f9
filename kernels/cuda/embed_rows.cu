// Plan.
//   Block: 128 threads along the columns of one token. Thread: one part of 32 neighbouring columns (dequantize.cuh, in
//   order); of plain rows whose width is no multiple of 32, or that are not aligned, a single column in steps of 128.
//   Bytes at Qwen3-Next-80B: 2,048 tokens of a Q4_K table: 2.4 MB read (a row is 1,152 bytes), 16.8 MB written as f32:
//   5.7 us at the H100's 3.35 TB/s. One token: 9 KB, so a launch's latency.
//   Limit: memory, for prefill alone; once in a pass over 48 layers, so it is written for brevity: a thread's stores of
//   16 bytes stand 128 apart and meet in the second-level cache.
#include "kernels/cuda/embed_rows.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/dequantize.cuh"
#include "kernels/error.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 128;

/// True in all threads if the token's id is in the table; else sets *bad_ids.
__device__ bool has_row(std::int32_t id, std::int64_t table_rows, std::int32_t* bad_ids) {
  if (id >= 0 && id < table_rows) return true;
  if (blockIdx.y == 0 && threadIdx.x == 0) atomicExch(bad_ids, 1);
  return false;
}

/// Grid: tokens, runs of 128 parts.
template <class Stored, class Out>
__global__ void __launch_bounds__(block_threads)
    embed_parts(const std::byte* table, std::int64_t table_rows, std::int64_t row_size, const std::int32_t* ids,
                int columns, Out* out, std::int32_t* bad_ids) {
  const std::int64_t token = blockIdx.x;
  const std::int32_t id = ids[token];
  const int part = static_cast<int>(blockIdx.y * block_threads + threadIdx.x);
  const bool known = has_row(id, table_rows, bad_ids);
  if (part >= columns / 32) return;
  Out* to = out + token * columns + part * 32;
  using Run = gpu::Vector<Out, 16 / sizeof(Out)>;
  constexpr int run = static_cast<int>(sizeof(Run) / sizeof(Out));
  const auto store_all = [&](auto value) {
#pragma unroll
    for (int first = 0; first < 32; first += run) {
      Run values;
#pragma unroll
      for (int i = 0; i < run; ++i) values.values[i] = gpu::from_float<Out>(value(first + i));
      values.store(to + first);
    }
  };
  if (!known) {
    store_all([](int) { return __int_as_float(0x7FC00000); });
  } else if constexpr (is_block<Stored>) {
    using Format = BlockFormat<Stored>;
    const WeightPart values = Format::unpack_in_order(Format::load_in_order(table + id * row_size, part), part);
    store_all([&](int i) { return weight_value(values, i / 16, i % 16); });
  } else {
    constexpr int loaded = 16 / static_cast<int>(sizeof(Stored));
    gpu::Vector<Stored, loaded> values[32 / loaded];
    const Stored* from = reinterpret_cast<const Stored*>(table + id * row_size) + part * 32;
#pragma unroll
    for (int i = 0; i < 32 / loaded; ++i) values[i] = gpu::Vector<Stored, loaded>::load(from + i * loaded);
    store_all([&](int i) { return gpu::to_float(values[i / loaded].values[i % loaded]); });
  }
}

template <class Stored, class Out>
__global__ void __launch_bounds__(block_threads)
    embed_columns(const Stored* table, std::int64_t table_rows, const std::int32_t* ids, int columns, Out* out,
                  std::int32_t* bad_ids) {
  const std::int64_t token = blockIdx.x;
  const std::int32_t id = ids[token];
  const bool known = has_row(id, table_rows, bad_ids);
  for (int column = static_cast<int>(threadIdx.x); column < columns; column += block_threads)
    out[token * columns + column] = gpu::from_float<Out>(
        known ? gpu::to_float(table[id * static_cast<std::int64_t>(columns) + column]) : __int_as_float(0x7FC00000));
}

template <class Out>
void launch(Queue& queue, const ConstTensor& table, const ConstTensor& ids, Out* out, const Tensor& bad_ids) {
  const auto tokens = static_cast<unsigned>(ids.dim(0));
  const auto columns = static_cast<int>(table.columns());
  const auto* device_ids = reinterpret_cast<const std::int32_t*>(ids.data);
  auto* bad = reinterpret_cast<std::int32_t*>(bad_ids.data);
  const bool parts = columns % 32 == 0 && reinterpret_cast<std::uintptr_t>(out) % 16 == 0;
  with_stored_type(table.type, [&]<class Stored>() {
    if (parts) {
      const auto blocks = static_cast<unsigned>((columns / 32 + block_threads - 1) / block_threads);
      check(LAUNCH((embed_parts<Stored, Out>), dim3(tokens, blocks), block_threads, 0, queue.stream(), table.data,
                   table.dim(0), row_bytes(table.type, columns), device_ids, columns, out, bad),
            "embed_rows");
    } else if constexpr (!is_block<Stored>) {
      check(LAUNCH((embed_columns<Stored, Out>), tokens, block_threads, 0, queue.stream(),
                   reinterpret_cast<const Stored*>(table.data), table.dim(0), device_ids, columns, out, bad),
            "embed_rows");
    }
  });
}

}  // namespace

void embed_rows(Queue& queue, ConstTensor table, ConstTensor ids, Tensor out, Tensor bad_ids) {
  require(table.rank == 2 && table.type != DType::i32 && !table.packed && ids.rank == 1 && ids.type == DType::i32 &&
              out.rank == 2 && (out.type == DType::f32 || out.type == DType::bf16) && out.dim(0) == ids.dim(0) &&
              out.dim(1) == table.dim(1) && bad_ids.type == DType::i32 && bad_ids.elements() == 1,
          "embed_rows", {{"table", table}, {"ids", ids}, {"out", out}, {"bad_ids", bad_ids}},
          "expected table [V, H], ids [T] I32, out [T, H] F32 or BF16, bad_ids [1] I32");
  const auto aligned = [](const std::byte* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; };
  require(aligned(table.data) && table.columns() % block_values(table.type) == 0 &&
              (aligned(out.data) || !is_quantized(table.type)),
          "embed_rows", {{"table", table}, {"out", out}},
          "rows must be whole blocks, the table and what a quantized one becomes aligned to 16 bytes");
  if (out.elements() == 0) return;
  if (out.type == DType::f32)
    launch(queue, table, ids, reinterpret_cast<float*>(out.data), bad_ids);
  else
    launch(queue, table, ids, reinterpret_cast<gpu::bf16*>(out.data), bad_ids);
}

void check_ids(std::span<const std::int32_t> ids, std::int64_t rows) {
  for (const std::int32_t id : ids)
    if (id < 0 || id >= rows)
      throw Error(ErrorKind::bad_request,
                  "embed_rows: token " + std::to_string(id) + " is not in a table of " + std::to_string(rows));
}

}  // namespace lectern::kernels::cuda
