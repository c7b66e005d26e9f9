#include "inference/answer_delivery.h"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "inference/prefill.h"
#include "kernels/error.h"

namespace lectern::inference {

std::exception_ptr current_failure() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(Error(ErrorKind::out_of_memory, "engine: the system has no more memory"));
  } catch (...) {
    return std::current_exception();
  }
}

GenerationSettings settings_of(const GenerationRequest& request, std::int64_t usable_tokens, std::int64_t drafts) {
  GenerationSettings settings;
  settings.sampling = request.sampling;
  settings.max_tokens = request.max_tokens;
  settings.stop = request.stop;
  settings.stop_repetition = request.stop_repetition;
  settings.usable_tokens = usable_tokens;
  settings.drafts = drafts;
  return settings;
}

void AnswerDelivery::tell(AnswerParser::Parts parts) {
  if (!parts.thinking.empty()) observer_.on_thinking(parts.thinking);
  if (!parts.answer.empty()) observer_.on_text(parts.answer);
  for (const ToolCall& call : parts.calls) observer_.on_tool_call(call);
  result_.thinking += parts.thinking;
  result_.text += parts.answer;
  std::ranges::move(parts.calls, std::back_inserter(result_.tool_calls));
}

void AnswerDelivery::finish(Generated generated, const Tokenizer& tokenizer, double before_s) {
  tell(parser_.finish());
  result_.usage.generated_tokens = static_cast<std::int64_t>(generated.token_ids.size());
  result_.usage.drafted_tokens = generated.drafted;
  result_.usage.accepted_tokens = generated.accepted;
  result_.token_ids = result_.text == generated.text
                          ? std::move(generated.token_ids)
                          : ids_of_answer(tokenizer, generated.token_ids, parser_.answer_range(), result_.text);
  result_.finish_reason = generated.reason;
  result_.timing.first_token_s = before_s + generated.first_token_s;
  if (generated.decode_s > 0)
    result_.timing.decode_tokens_per_s = static_cast<double>(generated.sampled - 1) / generated.decode_s;
}

void keep_answer(ContextStore& store, const Sequence& sequence, PromptChain& chain, const Generated& generated) {
  if (generated.fed.empty()) return;
  const auto [fed, ids] =
      std::mismatch(generated.fed.begin(), generated.fed.end(), generated.token_ids.begin(), generated.token_ids.end());
  const auto common = fed - generated.fed.begin();
  const bool whole = fed == generated.fed.end();
  if (common == 0 || (!whole && sequence.state.shape().layers > 0)) return;
  const std::int64_t position = sequence.position() - (generated.fed.end() - fed);
  auto snapshot = snapshot_of(sequence, generated.hidden, RowKind::decode);
  snapshot->position = position;
  if (!whole) snapshot->hidden.clear();
  chain.segments.push_back({{generated.fed.begin(), fed}, RowKind::decode, {}});
  store.publish(chain.segments, position, sequence.kv.pages(), std::move(snapshot), StatePlace::turn_end);
}

}  // namespace lectern::inference
