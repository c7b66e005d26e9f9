// libFuzzer target: no bytes may make the reader of model files crash, leak or reserve memory that they do not justify.
// Build: clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz/gguf_file_fuzz.cpp
//        inference/{gguf_file,gguf_shards,mapped_file,model_config,model_config_gguf,rope_config,weight_layouts}.cpp
//        inference/{weight_loader,weights_gguf,memory_plan,model_inspect}.cpp kernels/{memory,tensor}.cpp
//        -o gguf_file_fuzz
// Run:   ./gguf_file_fuzz -max_len=65536 -rss_limit_mb=512 CORPUS tests/data/models
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "inference/gguf_file.h"
#include "inference/model_inspect.h"
#include "kernels/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lectern::inference;
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  try {
    const GgufFile file(std::move(bytes), "fuzz.gguf");
    static_cast<void>(inspect_json(file));
    for (const GgufTensor& tensor : file.tensors()) {
      if (!tensor.type) continue;
      const auto view = file.view(tensor);
      const volatile std::byte last = view.data[view.size_bytes() - 1];
      static_cast<void>(last);
    }
  } catch (const lectern::Error&) {
    // the one way to refuse a file
  }
  return 0;
}
