// libFuzzer target: no bytes may make the reader of safetensors files crash, leak or reserve memory that they do not
// justify.
// Build: clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz/safetensors_file_fuzz.cpp
//        inference/{gguf_file,gguf_shards,json_file,mapped_file,safetensors_file}.cpp kernels/tensor.cpp
//        -o safetensors_file_fuzz
// Run:   ./safetensors_file_fuzz -max_len=65536 -rss_limit_mb=512 CORPUS tests/data/models/qwen3next-base
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "inference/safetensors_file.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lectern::inference;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try {
    const SafetensorsFile file(std::move(bytes), "fuzz.safetensors");
    for (const StoredTensor& tensor : file.tensors()) {
      if (tensor.size_bytes == 0) continue;
      const volatile std::byte last = tensor.data[tensor.size_bytes - 1];
      static_cast<void>(last);
    }
  } catch (const lectern::Error&) {
    // the one way to refuse a file
  }
  return 0;
}
