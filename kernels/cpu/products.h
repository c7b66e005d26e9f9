// What the products share: weights as rows, and several of them cut into one row of tasks.
#pragma once

#include <span>
#include <vector>

#include "kernels/cpu/activations_q8.h"
#include "kernels/matmul.h"

namespace lectern::kernels::cpu {

inline WeightRows rows_of(const ConstTensor& w) {
  return {w.data, w.type, w.rows(), w.columns(), row_bytes(w.type, w.columns()), w.packed};
}
/// Rows [first, first + count); of packed rows whole packs.
inline WeightRows rows_of(const WeightRows& w, std::int64_t first, std::int64_t count) {
  return {w.data + first * w.row_bytes, w.type, count, w.columns, w.row_bytes, w.packed};
}

/// Products that take the same rounding of x (none: f32), and their tasks end to end.
struct ProductGroup {
  bool is_quantized = false;
  Rounding rounding;
  std::vector<const Product*> products;
  std::vector<std::int64_t> ends;  // of each product's tasks
};

/// `tasks(w)`: how many tasks a product is cut into; `rounding(type)`: panel_rounding or row_rounding.
template <class Tasks>
std::vector<ProductGroup> group_products(const InnerLoops& loops, std::span<const Product> products,
                                         Rounding (*rounding)(const InnerLoops&, DType), Tasks tasks) {
  std::vector<ProductGroup> groups;
  for (const Product& product : products) {
    ProductGroup wanted{is_quantized(product.w.type), {}, {}, {}};
    if (wanted.is_quantized) wanted.rounding = rounding(loops, product.w.type);
    auto group = groups.begin();
    while (group != groups.end() && (group->is_quantized != wanted.is_quantized || group->rounding != wanted.rounding))
      ++group;
    if (group == groups.end()) group = groups.insert(groups.end(), wanted);
    group->products.push_back(&product);
    group->ends.push_back((group->ends.empty() ? 0 : group->ends.back()) + tasks(product.w));
  }
  return groups;
}

/// Calls body(product, first, last) for each product that tasks [first, last) of the group touch.
template <class Body>
void for_each_product(const ProductGroup& group, std::int64_t first, std::int64_t last, Body body) {
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < group.products.size(); begin = group.ends[i++]) {
    const std::int64_t from = std::max(first, begin), to = std::min(last, group.ends[i]);
    if (from < to) body(*group.products[i], from - begin, to - begin);
  }
}

}  // namespace lectern::kernels::cpu
