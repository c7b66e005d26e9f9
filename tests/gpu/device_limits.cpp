#include "tests/gpu/device_limits.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <library_types.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "kernels/cuda/check.h"
#include "kernels/cuda/device_buffer.h"
#include "kernels/error.h"
#include "tests/gpu/device_timer.h"

namespace lectern::gpu_tests {

namespace {

using kernels::cuda::check;
using kernels::cuda::DeviceBuffer;
using kernels::cuda::Queue;

/// Median of five times of `rounds` runs each, after one that is not counted.
template <class Run>
double median_seconds(Queue& queue, int rounds, Run run) {
  DeviceTimer timer(queue);
  run();
  std::array<double, 5> times;
  for (double& time : times) {
    timer.start();
    for (int round = 0; round < rounds; ++round) run();
    time = timer.stop_seconds() / rounds;
  }
  std::sort(times.begin(), times.end());
  return times[2];
}

/// cuBLAS by its documented C interface. Its numbers: cublas_api.h.
struct Cublas {
  using Handle = void*;
  int (*create)(Handle*) = nullptr;
  int (*destroy)(Handle) = nullptr;
  int (*set_stream)(Handle, cudaStream_t) = nullptr;
  int (*gemm)(Handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
              cudaDataType a_type, int a_stride, const void* b, cudaDataType b_type, int b_stride, const void* beta,
              void* c, cudaDataType c_type, int c_stride, int compute_type, int algorithm) = nullptr;
  static constexpr int not_transposed = 0, transposed = 1, compute_f32 = 68, default_algorithm = -1;

  bool load() {
    void* library = nullptr;
    if (const char* file = std::getenv("LECTERN_CUBLAS"); file && *file) library = dlopen(file, RTLD_NOW);
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
      if (!library) library = dlopen(name, RTLD_NOW);
    if (!library) return false;
    create = reinterpret_cast<decltype(create)>(dlsym(library, "cublasCreate_v2"));
    destroy = reinterpret_cast<decltype(destroy)>(dlsym(library, "cublasDestroy_v2"));
    set_stream = reinterpret_cast<decltype(set_stream)>(dlsym(library, "cublasSetStream_v2"));
    gemm = reinterpret_cast<decltype(gemm)>(dlsym(library, "cublasGemmEx"));
    return create && destroy && set_stream && gemm;
  }
};

void require_success(int status, const char* what) {
  if (status != 0)
    throw Error(ErrorKind::device, std::string("cuBLAS: ") + what + " failed with " + std::to_string(status));
}

}  // namespace

double measure_copy_bytes_per_s(Queue& queue, std::int64_t size_bytes) {
  const DeviceBuffer from(size_bytes), to(size_bytes);
  kernels::cuda::fill(queue, from.data(), 0x5A, size_bytes);
  const double seconds =
      median_seconds(queue, 10, [&] { kernels::cuda::copy_on_device(queue, to.data(), from.data(), size_bytes); });
  return 2.0 * static_cast<double>(size_bytes) / seconds;
}

double measure_matrix_flops_per_s(Queue& queue, std::int64_t size) {
  Cublas cublas;
  if (!cublas.load()) return 0;
  const std::int64_t values = size * size, bytes = 2 * values;
  std::vector<std::uint16_t> random(static_cast<std::size_t>(values));
  std::uint64_t state = 1;
  for (std::uint16_t& value : random) {  // between 1/2 and 1, of both signs
    state = state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<std::uint16_t>(0x3F00u | (state >> 40 & 0x807Fu));
  }
  const DeviceBuffer a(bytes), b(bytes), c(bytes);
  copy_to_device(queue, a.data(), random.data(), bytes);
  std::reverse(random.begin(), random.end());
  copy_to_device(queue, b.data(), random.data(), bytes);
  Cublas::Handle handle = nullptr;
  require_success(cublas.create(&handle), "start");
  require_success(cublas.set_stream(handle, queue.stream()), "stream");
  const float one = 1, zero = 0;
  const int n = static_cast<int>(size);
  const double seconds = median_seconds(queue, 10, [&] {
    require_success(cublas.gemm(handle, Cublas::transposed, Cublas::not_transposed, n, n, n, &one, a.data(),
                                CUDA_R_16BF, n, b.data(), CUDA_R_16BF, n, &zero, c.data(), CUDA_R_16BF, n,
                                Cublas::compute_f32, Cublas::default_algorithm),
                    "product");
  });
  queue.synchronize();
  cublas.destroy(handle);
  return 2.0 * static_cast<double>(size) * static_cast<double>(values) / seconds;
}

std::string cuda_versions() {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "version of the driver");
  check(cudaRuntimeGetVersion(&runtime), "version of the runtime");
  const auto text = [](int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  };
  return "driver " + text(driver) + ", runtime " + text(runtime);
}

}  // namespace lectern::gpu_tests
