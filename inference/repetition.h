// Small models that always take the likeliest token may go round in circles until their limit.
#pragma once

#include <span>

#include "inference/types.h"

namespace lectern::inference {

/// Whether the end of `answer` is one run of at most 64 tokens, said again at least four times in a row and over at
/// least 64 tokens. Tables and code repeat less often than that, or not to the letter.
bool goes_round(std::span<const TokenId> answer);

}  // namespace lectern::inference
