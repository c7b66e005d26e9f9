// What it saves to ask several questions of one text together.
#pragma once

#include <cstdint>

#include "inference/model.h"

namespace lectern::inference {

struct ForkBenchRequest {
  std::int64_t questions = 0;
  std::int64_t depth = 0;    // tokens of the text that all share; its keys and values are numbers, not read
  std::int64_t prompt = 0;   // tokens of each question
  std::int64_t answer = 0;   // tokens of each answer, at most
  std::int64_t chunk = 512;  // tokens per pass
  int threads = 0;
};

struct ForkBenchResult {
  double alone_s = 0, alone_reading_s = 0;        // one question after another, from the same snapshot
  double together_s = 0, together_reading_s = 0;  // in one batch
  std::int64_t written = 0;                       // tokens of all answers
  std::int64_t different = 0;                     // answers that are not the same: 0
  double ratio() const { return alone_s > 0 ? together_s / alone_s : 0; }
};

/// Greedy answers.
ForkBenchResult bench_forks(const Model& model, const ForkBenchRequest& request);

}  // namespace lectern::inference
