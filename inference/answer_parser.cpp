// A small automaton over the text that is not told yet. Tags are text, not tokens: a model may write one over several
// tokens, and what may be the beginning of a tag waits for its end. The end of a call is not looked for inside a JSON
// string or the value of a parameter, where the tag is data; a line break ends a JSON string that the model forgot to
// close.
#include "inference/answer_parser.h"

#include <algorithm>
#include <utility>

#include "inference/tool_call.h"

namespace lectern::inference {

namespace {

constexpr std::string_view think = "<think>", think_end = "</think>";
constexpr std::string_view call_tag = "<tool_call>", call_end = "</tool_call>";
constexpr std::string_view parameter_tag = "<parameter=", parameter_end = "</parameter>";
constexpr std::string_view white_space = " \t\r\n";

/// Whether `rest`, up to its end, may be the beginning of `tag`.
bool may_become(std::string_view rest, std::string_view tag) {
  return rest.size() < tag.size() && tag.starts_with(rest);
}

/// Bytes before the longest end of `text` that may become `tag`.
std::size_t before_partial(std::string_view text, std::string_view tag) {
  for (std::size_t begin = text.size() - std::min(text.size(), tag.size() - 1); begin < text.size(); ++begin)
    if (may_become(text.substr(begin), tag)) return begin;
  return text.size();
}

std::size_t without_trailing(std::string_view text, std::string_view characters) {
  const std::size_t last = text.find_last_not_of(characters);
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace

AnswerParser::AnswerParser(AnswerFormat format) : format_(std::move(format)) {
  if (format_.thinking_is_open)
    state_ = State::thinking;
  else if (!format_.knows_thinking)
    state_ = State::answer;
}

AnswerParser::Parts AnswerParser::feed(std::string_view text) {
  held_ += text;
  Parts parts;
  while (step(parts, false)) {
  }
  return parts;
}

AnswerParser::Parts AnswerParser::finish() {
  Parts parts;
  while (step(parts, true)) {
  }
  return parts;
}

void AnswerParser::drop(std::size_t size) {
  held_.erase(0, size);
  position_ += size;
}

void AnswerParser::emit_answer(std::size_t size, Parts& parts) {
  if (size == 0) return;
  if (range_.begin == range_.end) range_.begin = range_.end = position_;
  range_.contiguous = range_.contiguous && range_.end == position_;
  range_.end = position_ + size;
  parts.answer.append(held_, 0, size);
  drop(size);
}

/// True if there may be more to do.
bool AnswerParser::step(Parts& parts, bool at_end) {
  switch (state_) {
    case State::start: return step_start(at_end);
    case State::thinking: return step_thinking(parts, at_end);
    case State::thought: {
      const std::size_t begin = std::min(held_.find_first_not_of('\n'), held_.size());
      drop(begin);
      if (held_.empty()) return false;
      state_ = State::answer;
      return true;
    }
    case State::answer: return step_answer(parts, at_end);
    case State::call: return step_call(parts, at_end);
  }
  return false;
}

bool AnswerParser::step_start(bool at_end) {
  const std::size_t begin = held_.find_first_not_of(white_space);
  const std::string_view rest = begin == std::string::npos ? std::string_view() : std::string_view(held_).substr(begin);
  if (!at_end && (rest.empty() || may_become(rest, think))) return false;
  if (rest.starts_with(think)) {
    drop(begin + think.size());
    state_ = State::thinking;
  } else {
    state_ = State::answer;
  }
  return true;
}

bool AnswerParser::step_thinking(Parts& parts, bool at_end) {
  if (!thought_begun_) {
    drop(std::min(held_.find_first_not_of('\n'), held_.size()));
    thought_begun_ = !held_.empty();
  }
  const std::size_t end = held_.find(think_end);
  const bool closed = end != std::string::npos;
  const std::size_t told = closed ? end : at_end ? held_.size() : before_partial(held_, think_end);
  const std::size_t size = without_trailing(std::string_view(held_).substr(0, told), "\n");
  parts.thinking.append(held_, 0, size);
  if (closed) {
    drop(end + think_end.size());
    state_ = State::thought;
    return true;
  }
  drop(at_end ? held_.size() : size);
  return false;
}

bool AnswerParser::step_answer(Parts& parts, bool at_end) {
  if (format_.tools_json.empty()) {
    emit_answer(held_.size(), parts);
    return false;
  }
  const std::size_t begin = held_.find(call_tag);
  const bool found = begin != std::string::npos;
  const std::size_t told = found ? begin : at_end ? held_.size() : before_partial(held_, call_tag);
  const std::size_t text = without_trailing(std::string_view(held_).substr(0, told), white_space);
  if (text > 0) after_call_ = false;
  const bool keep_space = at_end && !found && !after_call_;
  if (found) {
    emit_answer(text, parts);
    drop(begin - text + call_tag.size());
    state_ = State::call;
    scanned_ = 0;
    is_xml_ = in_text_ = false;
    return true;
  }
  emit_answer(keep_space ? told : text, parts);
  if (at_end) drop(held_.size());
  return false;
}

AnswerParser::CallEnd AnswerParser::find_call_end() {
  const std::string_view body = held_;
  const std::size_t begin = body.find_first_not_of(white_space);
  if (begin == std::string_view::npos) return CallEnd::none;
  is_xml_ = body[begin] == '<' && !body.substr(begin).starts_with(call_end);
  for (; scanned_ < body.size(); ++scanned_) {
    const std::string_view rest = body.substr(scanned_);
    if (in_text_ && !is_xml_) {
      if (rest[0] == '\\' && rest.size() == 1) return CallEnd::none;  // what it escapes comes later
      if (rest[0] == '\\' && rest[1] != '\n')
        ++scanned_;
      else if (rest[0] == '"' || rest[0] == '\n')
        in_text_ = false;
      continue;
    }
    if (!is_xml_ && rest[0] == '"') in_text_ = true;
    if (rest[0] != '<') continue;
    if (in_text_) {
      if (rest.starts_with(parameter_end)) in_text_ = false;
      if (may_become(rest, parameter_end)) return CallEnd::none;
      continue;
    }
    if (rest.starts_with(call_end)) return CallEnd::closed;
    if (rest.starts_with(call_tag)) return CallEnd::next_call;
    if (is_xml_ && rest.starts_with(parameter_tag)) in_text_ = true;
    if (may_become(rest, call_end) || may_become(rest, call_tag) || may_become(rest, parameter_tag))
      return CallEnd::none;
  }
  return CallEnd::none;
}

bool AnswerParser::step_call(Parts& parts, bool at_end) {
  const CallEnd end = find_call_end();
  if (end == CallEnd::none && !at_end) return false;
  if (end == CallEnd::none) {
    ToolCall call;
    call.source = held_;
    call.problem = "the answer ended inside the call";
    parts.calls.push_back(std::move(call));
    drop(held_.size());
    state_ = State::answer;
    after_call_ = true;
    return false;
  }
  parts.calls.push_back(parse_tool_call(std::string_view(held_).substr(0, scanned_), format_.tools_json));
  drop(scanned_ + (end == CallEnd::closed ? call_end.size() : 0));
  state_ = State::answer;
  after_call_ = true;
  return true;
}

}  // namespace lectern::inference
