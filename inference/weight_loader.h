// Takes tensors by name and shape out of a model's files and remembers which it took.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "inference/stored_tensor.h"
#include "inference/weights.h"

namespace lectern::inference {

/// Every tensor that is missing, misshapen, of a type without kernels, or left over at the end is one Error that names
/// file and tensor. Block-FP8 matrices (E4M3 with a `_scale_inv` beside them) are widened to bf16.
class WeightLoader {
 public:
  using Shape = std::vector<std::int64_t>;
  /// check: nothing is copied, tensors that would be are views of nothing; bytes are counted all the same.
  enum class Mode { load, check };
  /// What becomes of each value of a small tensor: itself, 1 + w (zero-centred norms), or -exp(w) (A_log).
  enum class Change { none, add_one, negative_exponential };

  /// `model` names the model in messages. `tensors`, and what they point to, must outlive the weights.
  WeightLoader(std::string_view model, std::span<const StoredTensor> tensors, Weights& weights, Mode mode);
  /// Rows and columns that share a scale in block-FP8 matrices.
  void set_scale_block(std::int64_t rows, std::int64_t columns);

  bool has(const std::string& name) const { return index_.contains(name); }

  /// A matrix or stack of matrices of exactly this shape (axes of 1 aside), in place where its bytes can be read there.
  kernels::ConstTensor matrix(const std::string& name, const Shape& shape);
  /// A small tensor as f32, every value finite.
  kernels::ConstTensor small(const std::string& name, const Shape& shape, Change change = Change::none);
  /// Some rows of a tensor copied in the order `source_row(i)`, i < rows, as [rows, columns]; the tensor has the given
  /// shape.
  kernels::ConstTensor reordered(const std::string& name, const Shape& shape, std::int64_t rows,
                                 const std::function<std::int64_t(std::int64_t)>& source_row);
  /// Matrices of one shape and type copied one after the other, [names, rows, columns].
  kernels::ConstTensor stacked(std::span<const std::string> names, const Shape& shape);

  /// Every value of a plain matrix must be finite: for gates, whose sigmoid would hide an infinity from the check of
  /// the activations.
  void require_finite(const std::string& name) const;
  void ignore(const std::string& name) { taken_.insert(name); }
  void require_all_taken() const;

  [[noreturn]] void fail(const std::string& name, const std::string& what) const;

 private:
  /// A tensor that was found and has the shape that was asked for.
  struct Taken {
    const StoredTensor* tensor = nullptr;
    const StoredTensor* scales = nullptr;  // of a block-FP8 matrix
    kernels::ConstTensor view;             // type and shape as computed with; data as stored
  };

  Taken take(const std::string& name, const Shape& shape);
  const StoredTensor* take_scales(const StoredTensor& tensor, const Shape& shape);
  /// Rows [first, first + count) of the tensor, all its matrices counted through.
  void copy_rows(const Taken& taken, std::int64_t first, std::int64_t count, std::byte* to) const;
  void widen_row(const Taken& taken, std::int64_t row, std::byte* to) const;
  std::byte* own(std::int64_t bytes);  // null in mode check

  std::string model_;
  std::span<const StoredTensor> tensors_;
  Weights& weights_;
  Mode mode_;
  std::int64_t scale_rows_ = 128, scale_columns_ = 128;
  std::unordered_map<std::string_view, const StoredTensor*> index_;
  std::unordered_set<std::string> taken_;
};

}  // namespace lectern::inference
