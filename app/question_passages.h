// The passages that bear on a question best: what stands under every answer, so that the reader holds the proof.
#pragma once

#include <string_view>
#include <vector>

#include "app/evidence.h"

namespace lectern::app {

/// At most `count` places in the order of their score, never two of one sentence. Nothing if no word of the question is
/// in the text.
std::vector<EvidencePlace> best_places(const Evidence& evidence, std::string_view question, std::size_t count);

}  // namespace lectern::app
