// Each request segment and each piece of template text becomes a segment of the chain of its own, so that the cuts of a
// conversation stay where they are when it grows: what stood before is found again token for token.
#include "inference/prompt_chain.h"

#include <algorithm>

#include "kernels/error.h"

namespace lectern::inference {

namespace {

const char* role_name(const Segment& segment) {
  if (segment.kind == Segment::Kind::system || segment.role == Role::system) return "system";
  return segment.role == Role::assistant ? "assistant" : "user";
}

SegmentLabel label_of(const Segment& segment) {
  SegmentLabel label;
  label.id = segment.id;
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

}  // namespace

std::int64_t PromptChain::tokens() const {
  std::int64_t sum = 0;
  for (const ChainSegment& segment : segments) sum += static_cast<std::int64_t>(segment.tokens.size());
  return sum;
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
  for (const ChatTemplate::Piece& piece : chat.render_pieces(chat_messages, {}, &chain.warning)) {
    if (piece.is_template || piece.message < 0) {
      append({tokenizer.encode(piece.text, SpecialTokens::recognised), RowKind::prefill}, {});
      continue;
    }
    // The template may have trimmed the content at its ends: cut the segments' texts accordingly.
    const MessageParts& parts = messages.at(static_cast<std::size_t>(piece.message));
    const std::string& content = parts.message.content;
    const std::size_t begin = std::min(content.find(piece.text), content.size());
    const std::size_t end = begin + piece.text.size();
    for (std::size_t index = 0; index < parts.segments.size(); ++index) {
      const Segment& segment = *parts.segments[index];
      if (!segment.token_ids.empty()) {
        append({segment.token_ids, RowKind::decode}, label_of(segment));
        continue;
      }
      const std::size_t first = std::clamp(parts.starts[index], begin, end);
      const std::size_t last = std::clamp(parts.starts[index] + segment.text.size(), begin, end);
      append({tokenizer.encode(std::string_view(content).substr(first, last - first), SpecialTokens::plain_text),
              RowKind::prefill},
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

}  // namespace lectern::inference
