// Text and questions as SQLite's full-text index takes them. Nothing a person types can become query syntax: a query is
// built from quoted runs of letters and digits only.
#pragma once

#include <string>
#include <string_view>

namespace lectern::app {

/// The text with spaces around every Chinese, Japanese or Korean character, so that the index finds characters inside a
/// clause.
std::string index_text(std::string_view text);

/// OR of the question's words, stop words dropped (unless nothing else is left); CJK runs as pairs of neighbours.
/// Empty if the question has no word.
std::string any_word_query(std::string_view question);

/// AND of all words, the last one by its beginning: for a search box. Empty if there is no word.
std::string all_words_query(std::string_view text);

}  // namespace lectern::app
