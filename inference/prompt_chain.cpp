// Each request segment and each piece of template text becomes a segment of the chain of its own, so that the cuts of a
// conversation stay where they are when it grows: what stood before is found again token for token.
#include "inference/prompt_chain.h"

#include <algorithm>

#include "inference/tool_call.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

const char* role_name(const Segment& segment) {
  if (segment.kind == Segment::Kind::system) return "system";
  switch (segment.role) {
    case Role::system: return "system";
    case Role::assistant: return "assistant";
    case Role::tool: return "tool";
    case Role::user: break;
  }
  return "user";
}

SegmentLabel label_of(const Segment& segment) {
  SegmentLabel label;
  switch (segment.kind) {
    case Segment::Kind::system: label.kind = SegmentLabel::Kind::system; break;
    case Segment::Kind::document: label.kind = SegmentLabel::Kind::document; break;
    case Segment::Kind::message: label.kind = SegmentLabel::Kind::message; break;
  }
  label.keep_state = label.kind != SegmentLabel::Kind::message || segment.role == Role::assistant;
  return label;
}

/// One chat message: which segments of the request it consists of, and where their texts lie in its content.
struct MessageParts {
  ChatMessage message;
  std::vector<const Segment*> segments;
  std::vector<std::size_t> starts;
};

std::vector<MessageParts> group(const GenerationRequest& request, const Tokenizer& tokenizer) {
  std::vector<MessageParts> messages;
  int last = -1;
  for (const Segment& segment : request.segments) {
    if (messages.empty() || segment.message != last) {
      if (!messages.empty() && segment.message < last)
        throw Error(ErrorKind::bad_request, "request: the segments' messages must be in ascending order");
      messages.emplace_back();
      messages.back().message.role = role_name(segment);
      if (!segment.thinking.empty()) messages.back().message.reasoning_content = segment.thinking;
      messages.back().message.tool_calls_json = tool_calls_json(segment.tool_calls);
      last = segment.message;
    } else if (messages.back().message.role != role_name(segment)) {
      throw Error(ErrorKind::bad_request, "request: message " + std::to_string(segment.message) + " has two roles");
    }
    MessageParts& parts = messages.back();
    parts.segments.push_back(&segment);
    parts.starts.push_back(parts.message.content.size());
    if (segment.text.empty() && !segment.token_ids.empty())
      parts.message.content += tokenizer.decode(segment.token_ids);
    else
      parts.message.content += segment.text;
  }
  return messages;
}

/// Whether the prompt, which ends with `text`, ends inside <think>.
bool thinking_is_open(std::string_view text) {
  const std::size_t open = text.rfind("<think>");
  return open != std::string_view::npos && text.find("</think>", open) == std::string_view::npos;
}

/// Whether all of `text` but white space lies in [begin, end).
bool is_whole(std::string_view text, std::size_t begin, std::size_t end) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t first = text.find_first_not_of(space);
  return first == std::string_view::npos || (begin <= first && text.find_last_not_of(space) < end);
}

}  // namespace

std::int64_t PromptChain::tokens() const {
  std::int64_t sum = 0;
  for (const ChainSegment& segment : segments) sum += static_cast<std::int64_t>(segment.tokens.size());
  return sum;
}

std::vector<TokenId> PromptChain::all_tokens() const {
  std::vector<TokenId> all;
  all.reserve(static_cast<std::size_t>(tokens()));
  for (const ChainSegment& segment : segments) all.insert(all.end(), segment.tokens.begin(), segment.tokens.end());
  return all;
}

PromptChain build_prompt(const GenerationRequest& request, const ChatTemplate& chat, const Tokenizer& tokenizer) {
  if (request.segments.empty()) throw Error(ErrorKind::bad_request, "request: it has no segments");
  const std::vector<MessageParts> messages = group(request, tokenizer);
  std::vector<ChatMessage> chat_messages;
  for (const MessageParts& parts : messages) chat_messages.push_back(parts.message);

  PromptChain chain;
  const auto append = [&](ChainSegment segment, SegmentLabel label) {
    if (segment.tokens.empty()) return;
    chain.segments.push_back(std::move(segment));
    chain.labels.push_back(std::move(label));
  };
  ChatOptions options;
  options.tools_json = request.tools_json;
  options.enable_thinking = request.thinking;
  chain.answer.tools_json = request.tools_json;
  chain.answer.knows_thinking = chat.knows_thinking();
  for (const ChatTemplate::Piece& piece : chat.render_pieces(chat_messages, options, &chain.warning)) {
    if (piece.is_template) chain.answer.thinking_is_open = thinking_is_open(piece.text);
    if (piece.is_template || piece.message < 0) {
      const auto mode = piece.is_template ? SpecialTokens::recognised : SpecialTokens::plain_text;
      append({tokenizer.encode(piece.text, mode), RowKind::prefill, {}}, {});
      continue;
    }
    if (piece.is_reasoning) {
      SegmentLabel label;
      label.kind = SegmentLabel::Kind::message;
      append({tokenizer.encode(piece.text, SpecialTokens::plain_text), RowKind::prefill, {}}, label);
      continue;
    }
    // The template may have trimmed the content at its ends: cut the segments' texts accordingly.
    const MessageParts& parts = messages.at(static_cast<std::size_t>(piece.message));
    const std::string& content = parts.message.content;
    const std::size_t begin = std::min(content.rfind(piece.text), content.size());
    const std::size_t end = begin + piece.text.size();
    for (std::size_t index = 0; index < parts.segments.size(); ++index) {
      const Segment& segment = *parts.segments[index];
      const std::size_t start = parts.starts[index];
      const std::size_t stop = index + 1 < parts.starts.size() ? parts.starts[index + 1] : content.size();
      const std::size_t first = std::clamp(start, begin, end), last = std::clamp(stop, begin, end);
      // Thinking in the text of an answer is given back by itself, or not at all: then its ids are not the answer's.
      if (!segment.token_ids.empty() &&
          is_whole(std::string_view(content).substr(start, stop - start), first - start, last - start)) {
        append({segment.token_ids, RowKind::decode, segment.id}, label_of(segment));
        continue;
      }
      append({tokenizer.encode(std::string_view(content).substr(first, last - first), SpecialTokens::plain_text),
              RowKind::prefill, segment.id},
             label_of(segment));
    }
  }
  if (tokenizer.add_bos() && tokenizer.bos() && !chain.segments.empty() &&
      chain.segments.front().tokens.front() != *tokenizer.bos()) {
    chain.segments.front().tokens.insert(chain.segments.front().tokens.begin(), *tokenizer.bos());
  }
  if (chain.segments.empty()) throw Error(ErrorKind::bad_request, "request: it has no text");
  chain.labels.back().keep_state = true;  // the end of the prompt: the answer can be made again from here
  return chain;
}

std::vector<TokenId> ids_of_answer(const Tokenizer& tokenizer, std::span<const TokenId> ids,
                                   const AnswerParser::Range& range, std::string_view answer) {
  std::vector<TokenId> inside;
  std::size_t position = 0;
  for (const TokenId id : ids) {
    const std::size_t begin = position;
    position += tokenizer.is_control(id) ? 0 : tokenizer.piece(id).size();
    if (begin >= range.begin && position <= range.end) inside.push_back(id);
  }
  if (range.contiguous && tokenizer.decode(inside) == answer) return inside;
  return tokenizer.encode(answer, SpecialTokens::plain_text);
}

}  // namespace lectern::inference
