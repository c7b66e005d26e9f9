// The words of a text as the program compares them: folded, stemmed, numbers as digits, with their places.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lectern::app {

struct Term {
  enum class Mode : std::uint8_t { none, may, should, must };
  enum class Kind {
    word,
    number,  // "35" for "35", "thirty-five" and "thirty-five (35)"; "0.75"; "1000" for "1,000"
    cjk,     // two characters that stand side by side (one, where a run has only one)
  };
  std::string text;  // folded and stemmed
  std::string unit;  // of a number: "day", "percent" ...; empty if none follows
  Kind kind = Kind::word;
  std::int64_t start = 0, end = 0;  // code points in the text
  bool capital = false;             // begins with a capital letter
  bool sentence_start = false;      // the first word of a line, of a sentence or of a quotation
  bool stop = false;                // says nothing by itself: "the", "of"
  bool negated = false;             // stands in the reach of "not", "never", "without" ...
  bool denied = false;              // the first word in such a reach that says something: mostly the verb
  Mode mode = Mode::none;           // what stands before it: "may", "is allowed to"; "should"; "shall", "has to"
  bool passive_by = false;          // stands after "by"
};

/// Terms in the order of the text. English words are stemmed lightly and words of one meaning ("notify", "inform") get
/// one stem.
std::vector<Term> terms_of(std::string_view text);

}  // namespace lectern::app
