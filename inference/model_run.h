// A model with one sequence and no store: for commands that read from an empty state.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>

#include "inference/forward.h"
#include "inference/model.h"

namespace lectern::inference {

class ModelRun {
 public:
  /// `window`: the longest sequence. Throws Error{out_of_memory} if it does not fit in memory.
  ModelRun(const Model& model, std::int64_t window, std::int64_t chunk, int threads);

  Forward& forward() { return forward_; }
  Sequence& sequence() { return sequence_; }
  KvPagePool& pool() { return pool_; }
  kernels::Stream& stream() { return stream_; }
  /// Back to an empty state.
  void restart();
  /// As restart, then `depth` tokens with keys and values that are numbers like any, the same in every run: for
  /// measuring at depths that would take long to read. Recurrent states stay empty; their cost does not grow with
  /// depth.
  void restart_at(std::int64_t depth);
  /// Reads tokens through the prefill kernels and gives their rows to `use`, pass by pass; `pieces`: sizes of the
  /// passes in order, the last one repeated; empty: as large as they may be.
  template <class Use>
  void read(std::span<const TokenId> tokens, std::span<const std::int64_t> pieces, Use use) {
    std::size_t piece = 0;
    for (std::size_t first = 0; first < tokens.size();) {
      auto count = static_cast<std::size_t>(forward_.chunk());
      if (!pieces.empty()) count = static_cast<std::size_t>(pieces[std::min(piece++, pieces.size() - 1)]);
      count = std::min(count, tokens.size() - first);
      // A piece larger than a pass takes several; the cut changes nothing.
      for (std::size_t done = 0; done < count;) {
        const std::size_t part = std::min(count - done, static_cast<std::size_t>(forward_.chunk()));
        use(pass(tokens.subspan(first + done, part)));
        done += part;
      }
      first += count;
    }
  }

 private:
  kernels::ConstTensor pass(std::span<const TokenId> tokens);

  kernels::Stream stream_;
  Forward forward_;
  KvPagePool pool_;
  Sequence sequence_;
};

/// Logits of rows of hidden values [R, H], a few rows at a time, in order: use(first row, rows, logits [rows, V]).
void each_row_of_logits(Forward& forward, kernels::ConstTensor hidden,
                        const std::function<void(std::int64_t first, std::int64_t count, const float* logits)>& use);

}  // namespace lectern::inference
