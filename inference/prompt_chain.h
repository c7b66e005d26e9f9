// A request as token ids: template text, system text, documents, messages and answers, each a segment of the chain.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "inference/answer_parser.h"
#include "inference/chat_template.h"
#include "inference/context_store.h"
#include "inference/tokenizer.h"
#include "inference/types.h"

namespace lectern::inference {

/// What a segment of the chain is, beside its tokens.
struct SegmentLabel {
  enum class Kind { template_text, system, document, message };
  Kind kind = Kind::template_text;
  bool keep_state = false;  // a snapshot at its end is worth its bytes
};

struct PromptChain {
  std::vector<ChainSegment> segments;
  std::vector<SegmentLabel> labels;  // one per segment
  std::string warning;               // of the chat template, or empty
  AnswerFormat answer;               // what to expect after the prompt
  std::int64_t tokens() const;
  std::vector<TokenId> all_tokens() const;
};

/// Renders the conversation with its template and tokenises each piece by itself: control tokens are recognised in
/// template text alone; answers keep their ids where the template leaves them whole. Throws Error{bad_request} for
/// segments out of order or a role that the template refuses.
PromptChain build_prompt(const GenerationRequest& request, const ChatTemplate& chat, const Tokenizer& tokenizer);

/// The ids of `answer`, which lies in `range` of the text of `ids`: those ids themselves where they begin and end with
/// it, else the ids of the text.
std::vector<TokenId> ids_of_answer(const Tokenizer& tokenizer, std::span<const TokenId> ids,
                                   const AnswerParser::Range& range, std::string_view answer);

}  // namespace lectern::inference
