// Plan.
//   x becomes bf16 once; weights become bf16 by runs of 8,192 rows (33.6 MB at K = 2048: they stay in the second-level
//   cache of a data-centre card), each followed by its product. A thread dequantizes a part of 32 columns.
//   Bytes at Qwen3-Next-80B, qkvz [12288, 2048], 2,048 tokens: beside the product 14 MB read, 50 MB written and read
//   again: 30 us at the H100's 3.35 TB/s, next to 103 GFLOP: 150 us at 85 % of 798 TFLOP/s. Limit: the product,
//   cuBLAS's own.
#include "kernels/cuda/matmul_cublas.h"

#include <cublas_v2.h>

#include <algorithm>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/dequantize.cuh"
#include "kernels/cuda/matmul.h"
#include "kernels/error.h"
#include "kernels/require.h"

namespace lectern::kernels::cuda {

namespace {

constexpr int block_threads = 256;

void check_blas(cublasStatus_t status, const char* operation) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(status == CUBLAS_STATUS_ALLOC_FAILED ? ErrorKind::out_of_memory : ErrorKind::device,
              std::string("cuBLAS: ") + operation + ": " + cublasGetStatusString(status));
}

template <class Stored>
__global__ void __launch_bounds__(block_threads)
    rows_to_bf16(const std::byte* from, std::int64_t row_size, std::int64_t rows, int columns, gpu::bf16* to) {
  const std::int64_t index = static_cast<std::int64_t>(blockIdx.x) * block_threads + threadIdx.x;
  const std::int64_t row = index / (columns / 32);
  const int part = static_cast<int>(index % (columns / 32));
  if (row >= rows) return;
  gpu::bf16* out = to + row * columns + 32 * part;
  const auto put = [&](int i, uint4 eight) { *reinterpret_cast<uint4*>(out + 8 * i) = eight; };
  if constexpr (is_block<Stored>)
    dequantize_in_order<Stored>(from + row * row_size, part, put);
  else
    convert_in_order<Stored>(from + row * row_size, part, put);
}

void to_bf16(Queue& queue, const ConstTensor& from, std::int64_t first_row, std::int64_t rows, gpu::bf16* to) {
  const std::int64_t columns = from.dim(1), size = row_bytes(from.type, columns);
  const auto blocks = static_cast<unsigned>((rows * (columns / 32) + block_threads - 1) / block_threads);
  with_stored_type(from.type, [&]<class Stored>() {
    check(LAUNCH((rows_to_bf16<Stored>), blocks, block_threads, 0, queue.stream(), from.data + first_row * size, size,
                 rows, static_cast<int>(columns), to),
          "matmul_by_cublas");
  });
}

bool is_for_cublas(const ConstTensor& w) {
  return w.dim(0) > 0 && w.dim(1) % 32 == 0 && (w.type == DType::bf16 || is_quantized(w.type));
}

}  // namespace

Cublas::Cublas(Queue& queue)
    : queue_(queue),
      workspace_(queue.device().computes_at_least(9, 0) ? std::int64_t{32} << 20 : std::int64_t{4} << 20) {
  check_blas(cublasCreate(&handle_), "begin");
  try {
    check_blas(cublasSetStream(handle_, queue.stream()), "use the queue");
    check_blas(cublasSetWorkspace(handle_, workspace_.data(), static_cast<std::size_t>(workspace_.size_bytes())),
               "use a workspace");
  } catch (...) {
    cublasDestroy(handle_);
    throw;
  }
}

Cublas::~Cublas() {
  cudaStreamSynchronize(queue_.stream());
  cublasDestroy(handle_);
}

void matmul_by_cublas(Cublas& cublas, ConstTensor x, std::span<const Product> products) {
  Queue& queue = cublas.queue();
  require_products("matmul_by_cublas", x, products);
  std::vector<Product> others;
  for (const Product& product : products)
    if (!is_for_cublas(product.w)) others.push_back(product);
  matmul(queue, x, others);  // which also looks at the type of x
  const std::int64_t tokens = x.dim(0), columns = x.dim(1);
  if (tokens == 0) return;

  const gpu::bf16* activations = nullptr;
  gpu::bf16* memory = nullptr;
  for (const Product& product : products) {
    const ConstTensor& w = product.w;
    if (!is_for_cublas(w)) continue;
    if (activations == nullptr) {
      memory = reinterpret_cast<gpu::bf16*>(queue.workspace(matmul_by_cublas_workspace_bytes(tokens, columns)));
      activations = x.type == DType::bf16 ? reinterpret_cast<const gpu::bf16*>(x.data) : memory;
      if (x.type != DType::bf16) to_bf16(queue, x, 0, tokens, memory);
    }
    auto* out = reinterpret_cast<float*>(product.out.data);
    if (product.residual && product.residual.data != product.out.data)
      copy_on_device(queue, product.out.data, product.residual.data, product.out.size_bytes());
    const float one = 1.0f, kept = product.residual ? 1.0f : 0.0f;
    for (std::int64_t first = 0; first < w.dim(0); first += cublas_weight_rows) {
      const std::int64_t rows = std::min(cublas_weight_rows, w.dim(0) - first);
      const gpu::bf16* weights = reinterpret_cast<const gpu::bf16*>(w.data) + first * columns;
      if (w.type != DType::bf16) {
        gpu::bf16* const tile = memory + tokens * columns;
        to_bf16(queue, w, first, rows, tile);
        weights = tile;
      }
      // By columns, as cuBLAS counts: out^T [rows, T] = (w^T)^T x^T.
      check_blas(
          cublasGemmEx(cublas.handle(), CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(rows), static_cast<int>(tokens),
                       static_cast<int>(columns), &one, weights, CUDA_R_16BF, static_cast<int>(columns), activations,
                       CUDA_R_16BF, static_cast<int>(columns), &kept, out + first, CUDA_R_32F,
                       static_cast<int>(w.dim(0)), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
          "multiply");
    }
  }
}

std::int64_t matmul_by_cublas_workspace_bytes(std::int64_t tokens, std::int64_t columns) {
  return std::max(matmul_workspace_bytes(tokens, columns), 2 * (tokens + cublas_weight_rows) * columns);
}

}  // namespace lectern::kernels::cuda
