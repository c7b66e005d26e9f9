// One answer, read as it is chosen, token by token or with drafts.
#include "inference/generation.h"

#include <chrono>

#include "inference/answer_reader.h"
#include "inference/answer_writer.h"

namespace lectern::inference {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

Generated generate(Forward& forward, Sequence& sequence, const Tokenizer& tokenizer, std::span<const TokenId> history,
                   std::span<const float> hidden, RowKind hidden_rows, const GenerationSettings& settings,
                   const GenerationCallbacks& callbacks, StepTrace* trace, Drafter* drafter) {
  AnswerWriter writer(tokenizer, history, settings, callbacks, forward.window());
  AnswerReader reader(forward, sequence, hidden, hidden_rows, drafter, settings.drafts);
  const auto read = [&](TokenId id) {
    reader.feed(id, writer.room());
    writer.was_read();
  };
  while (writer.goes_on(reader.position())) {
    const auto step_start = Clock::now();
    const std::int64_t passes = reader.passes();
    if (const auto id = writer.unread()) read(*id);
    writer.take(writer.choose(reader.logits()));
    if (trace && writer.chosen() > 1)
      trace->add_decode(reader.position(), seconds_since(step_start), reader.passes() - passes);
  }
  if (const auto id = writer.last_unread(reader.position())) read(*id);
  reader.settle();
  Generated result = writer.finish(reader.hidden());
  result.drafted = reader.drafted();
  result.accepted = reader.accepted();
  if (trace) trace->add_drafts(result.drafted, result.accepted);
  return result;
}

}  // namespace lectern::inference
