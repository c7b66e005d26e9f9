// The sequence only ever keeps tokens that belong to the answer, read through the decode kernels. A stop string
// may end inside a token: then the ids of the answer are those of the tokens wholly before it and the ids of what is
// left.
#include "inference/generation.h"

#include <chrono>

#include "inference/answer_reader.h"
#include "inference/repetition.h"
#include "inference/sampler.h"
#include "inference/text_stream.h"

namespace lectern::inference {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Ids of `text`, which is what came before a stop string in the bytes of `ids`.
std::vector<TokenId> cut_ids(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, const std::string& text) {
  std::vector<TokenId> kept;
  std::size_t length = 0;
  for (TokenId id : ids) {
    const std::size_t bytes = tokenizer.is_control(id) ? 0 : tokenizer.piece(id).size();
    if (length + bytes > text.size()) break;
    length += bytes;
    kept.push_back(id);
  }
  const std::vector<TokenId> rest = tokenizer.encode(std::string_view(text).substr(length), SpecialTokens::plain_text);
  kept.insert(kept.end(), rest.begin(), rest.end());
  return kept;
}

}  // namespace

Generated generate(Forward& forward, Sequence& sequence, const Tokenizer& tokenizer, std::span<const TokenId> history,
                   std::span<const float> hidden, RowKind hidden_rows, const GenerationSettings& settings,
                   const GenerationCallbacks& callbacks, StepTrace* trace, Drafter* drafter) {
  const auto start = Clock::now();
  Sampler sampler(settings.sampling, settings.usable_tokens);
  TextStream stream(settings.stop);
  Generated result;
  std::vector<TokenId> chain(history.begin(), history.end());
  std::vector<TokenId> ids;
  AnswerReader reader(forward, sequence, hidden, hidden_rows, drafter, settings.drafts);

  const auto show = [&](const std::string& text) {
    result.text += text;
    if (!text.empty() && callbacks.text) callbacks.text(text);
  };
  const auto feed = [&](TokenId id) {
    reader.feed(id, settings.max_tokens - static_cast<std::int64_t>(ids.size()));
    result.fed.push_back(id);
  };

  result.reason = FinishReason::length;
  while (static_cast<std::int64_t>(ids.size()) < settings.max_tokens) {
    if (callbacks.stop && callbacks.stop()) {
      result.reason = FinishReason::cancelled;
      break;
    }
    const auto step_start = Clock::now();
    const std::int64_t passes = reader.passes();
    if (static_cast<std::size_t>(ids.size()) > result.fed.size()) {
      if (reader.position() + 1 > forward.window()) {
        result.reason = FinishReason::window;
        break;
      }
      feed(ids.back());
    }
    const TokenId id = sampler.choose(reader.logits(), chain);
    ++result.sampled;
    if (result.sampled == 1)
      result.first_token_s = seconds_since(start);
    else {
      result.decode_s += seconds_since(step_start);
      if (trace) trace->add_decode(reader.position(), seconds_since(step_start), reader.passes() - passes);
    }
    if (tokenizer.is_end_of_turn(id)) {
      result.reason = FinishReason::stop;
      break;
    }
    ids.push_back(id);
    chain.push_back(id);
    if (!tokenizer.is_control(id)) show(stream.feed(tokenizer.piece(id)));
    if (stream.stopped()) {
      result.reason = FinishReason::stop;
      break;
    }
    if (settings.stop_repetition && goes_round(ids)) {
      result.reason = FinishReason::repetition;
      break;
    }
  }
  // The last token is not read yet: after it, too, the conversation may go on.
  if (!stream.stopped() && ids.size() > result.fed.size() && reader.position() + 1 <= forward.window())
    feed(ids.back());
  reader.settle();
  show(stream.finish());
  result.token_ids = stream.stopped() ? cut_ids(tokenizer, ids, result.text) : ids;
  if (!result.fed.empty()) result.hidden.assign(reader.hidden().begin(), reader.hidden().end());
  result.drafted = reader.drafted();
  result.accepted = reader.accepted();
  if (trace) trace->add_drafts(result.drafted, result.accepted);
  return result;
}

}  // namespace lectern::inference
