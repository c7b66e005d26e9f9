// The text is not read but put into the store as read, so that only the questions are measured, at any depth.
#include "inference/fork_bench.h"

#include <chrono>

#include "inference/answer_delivery.h"
#include "inference/fork_batch.h"
#include "inference/model_run.h"
#include "inference/prefill.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t store_bytes = std::int64_t{256} << 20;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Ids that look like nothing in particular, the same in every run.
std::vector<TokenId> some_tokens(std::int64_t count, std::int64_t vocabulary, std::uint64_t seed) {
  std::vector<TokenId> ids(static_cast<std::size_t>(count));
  std::uint64_t state = seed;
  for (TokenId& id : ids) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    id = static_cast<TokenId>((state >> 33) % static_cast<std::uint64_t>(vocabulary));
  }
  return ids;
}

}  // namespace

ForkBenchResult bench_forks(const Model& model, const ForkBenchRequest& asked) {
  const std::int64_t own = asked.prompt + asked.answer + 2 * kernels::kv_page_tokens;
  ModelRun run(model, asked.depth + asked.questions * own, asked.chunk, asked.threads);
  KvPagePool& pool = run.pool();
  const DeltaShape shape = delta_shape(model.config());
  ContextStore store(pool, shape, "bench", store_bytes);
  ReadingHistory history;
  Sequence sequence(pool, shape);
  const Tokenizer& tokenizer = model.required_tokenizer();

  PromptChain text;
  if (asked.depth > 0) {
    text.segments.push_back({some_tokens(asked.depth, model.usable_tokens(), 1), RowKind::prefill, "text"});
    text.labels.push_back({SegmentLabel::Kind::document, true});
    run.restart_at(asked.depth);
  }
  const std::vector<float> hidden(static_cast<std::size_t>(model.config().hidden), 0.5F);
  const auto keep_text = [&] {
    store.clear();
    sequence.restart(pool);
    if (asked.depth > 0)
      store.publish(text.segments, asked.depth, run.sequence().kv.pages(),
                    snapshot_of(run.sequence(), hidden, RowKind::prefill), StatePlace::document_end);
  };
  const auto chain_of = [&](std::int64_t question) {
    PromptChain chain = text;
    chain.segments.push_back(
        {some_tokens(asked.prompt, model.usable_tokens(), static_cast<std::uint64_t>(question) + 2), RowKind::prefill,
         "question"});
    chain.labels.push_back({SegmentLabel::Kind::message, true});
    return chain;
  };
  const auto request_of = [&] {
    GenerationRequest request;
    request.conversation = "bench";
    request.max_tokens = asked.answer;
    return request;
  };

  ForkBenchResult result;
  std::vector<std::vector<TokenId>> alone(static_cast<std::size_t>(asked.questions)), together(alone);
  keep_text();
  auto start = Clock::now();
  for (std::int64_t question = 0; question < asked.questions; ++question) {
    PromptChain chain = chain_of(question);
    const ReadOutcome read = read_prompt(run.forward(), &store, pool, sequence, chain, {}, nullptr);
    const GenerationSettings settings = settings_of(request_of(), model.usable_tokens(), 0);
    Generated generated = generate(run.forward(), sequence, tokenizer, chain.all_tokens(), read.hidden,
                                   read.hidden_rows, settings, {}, nullptr);
    keep_answer(store, sequence, chain, generated);
    result.alone_reading_s += read.prefill_s;
    result.written += std::ssize(generated.token_ids);
    alone[static_cast<std::size_t>(question)] = std::move(generated.token_ids);
  }
  result.alone_s = seconds_since(start);

  keep_text();
  std::exception_ptr failure;
  start = Clock::now();
  std::vector<ForkRequest> requests;
  for (std::int64_t question = 0; question < asked.questions; ++question)
    requests.push_back(
        {request_of(), chain_of(question), nullptr, {}, [&, question](GenerationResult* answer, auto error) {
           if (error) {
             failure = error;
             return;
           }
           result.together_reading_s += answer->timing.prefill_s;
           together[static_cast<std::size_t>(question)] = std::move(answer->token_ids);
         }});
  answer_together(
      {run.forward(), pool, &store, history, sequence, tokenizer, model.usable_tokens(), [] { return false; }},
      std::move(requests));
  result.together_s = seconds_since(start);
  if (failure) std::rethrow_exception(failure);
  for (std::size_t question = 0; question < alone.size(); ++question)
    if (alone[question] != together[question]) ++result.different;
  return result;
}

}  // namespace lectern::inference
