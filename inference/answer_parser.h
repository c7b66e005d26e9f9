// What a model writes, told apart while it streams: thinking, answer, tool calls.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "inference/types.h"

namespace lectern::inference {

/// What to expect of an answer: from the chat template, the end of the prompt, and the request.
struct AnswerFormat {
  bool knows_thinking = false;    // <think> at the beginning opens thinking
  bool thinking_is_open = false;  // the prompt ended inside <think>
  std::string tools_json;         // signatures given to the model; empty: nothing is taken for a call
};

/// Thinking is what stands before </think>, without the line breaks at its ends; the answer begins after it and the
/// line breaks that follow. White space before a call belongs to neither. All that is told does not depend on how the
/// text is cut into pieces. Where nothing is to be expected, the answer is the text, at once.
class AnswerParser {
 public:
  explicit AnswerParser(AnswerFormat format);

  struct Parts {
    std::string thinking, answer;  // more of each
    std::vector<ToolCall> calls;   // each as soon as it is complete
  };
  Parts feed(std::string_view text);
  /// The end of the output: what was withheld. A call that is not complete has a `problem`.
  Parts finish();

  /// Where the answer lies in the text so far, in bytes. Not contiguous when text follows a call.
  struct Range {
    std::size_t begin = 0, end = 0;
    bool contiguous = true;
  };
  const Range& answer_range() const { return range_; }

 private:
  enum class State { start, thinking, thought, answer, call };
  enum class CallEnd { none, closed, next_call };

  bool step(Parts& parts, bool at_end);
  bool step_start(bool at_end);
  bool step_thinking(Parts& parts, bool at_end);
  bool step_answer(Parts& parts, bool at_end);
  bool step_call(Parts& parts, bool at_end);
  CallEnd find_call_end();
  void emit_answer(std::size_t size, Parts& parts);
  void drop(std::size_t size);

  AnswerFormat format_;
  State state_ = State::start;
  std::string held_;          // not told yet
  std::size_t position_ = 0;  // of held_ in the text
  bool thought_begun_ = false;
  bool after_call_ = false;
  // Of the call in held_: how far its end has been looked for, and inside what that is.
  std::size_t scanned_ = 0;
  bool is_xml_ = false, in_text_ = false;  // in_text_: inside a JSON string or the value of a parameter
  Range range_;
};

}  // namespace lectern::inference
