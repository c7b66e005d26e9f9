// What stands under an answer on a terminal.
#pragma once

#include <string>

#include "app/records.h"

namespace lectern::app {

/// Numbered sources with their signs (✓ verified, ↪ found elsewhere, ✕ not in the document), the sentences that nothing
/// supports, the passages that bear on the question, the coverage and what was read. Ends with a line break. Control
/// characters of documents and models are taken out (plain_for_terminal).
std::string answer_footer(const Message& answer);

/// Text that cannot command a terminal: control characters except line break and tab become U+FFFD.
std::string plain_for_terminal(std::string_view text);

}  // namespace lectern::app
