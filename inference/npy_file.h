// NumPy files (.npy) of float32, C order: what `logits` writes and what the goldens are kept in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

namespace lectern::inference {

struct NpyArray {
  std::vector<std::int64_t> shape;  // slowest axis first; product = values.size()
  std::vector<float> values;
};

/// Reads a file of '<f4', C order, format versions 1 to 3. Error{bad_file} or Error{io} naming the file.
NpyArray read_npy(const std::filesystem::path& path);
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape, std::span<const float> values);

/// Writes a matrix row by row, so that logits need not be held together. The file is whole after close().
class NpyWriter {
 public:
  /// `rows` must be the number of rows that will be written.
  NpyWriter(const std::filesystem::path& path, std::int64_t rows, std::int64_t columns);
  void write(std::span<const float> values);  // any number of whole rows
  /// Throws Error{io} if the disk did not take all, Error{bad_request} if rows are missing.
  void close();

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
  std::int64_t left_;  // values still to come
};

}  // namespace lectern::inference
