// The interface of the local and of a remote engine.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "inference/types.h"

namespace lectern::inference {

/// Told of a request's progress, on the engine's own thread, between its chunks and tokens: return quickly, never
/// throw.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  /// The request left the queue: its prompt holds `prompt_tokens`, of which `kept_tokens` need no reading.
  virtual void on_started(std::int64_t prompt_tokens, std::int64_t kept_tokens) {
    (void)prompt_tokens, (void)kept_tokens;
  }
  /// `read` of `prompt_tokens` are in the context; `seconds_left` is measured, negative while unknown.
  virtual void on_reading(std::int64_t read, std::int64_t prompt_tokens, double seconds_left) {
    (void)read, (void)prompt_tokens, (void)seconds_left;
  }
  /// More of the answer: whole UTF-8 characters, never part of a stop string.
  virtual void on_text(std::string_view text) { (void)text; }
  /// More of what the model thinks before it answers: whole characters, without the tags.
  virtual void on_thinking(std::string_view text) { (void)text; }
  /// A tool call is complete, or the answer ended inside it: then it has a problem.
  virtual void on_tool_call(const ToolCall& call) { (void)call; }
};

/// One request of a batch, with what submit() takes.
struct BatchItem {
  GenerationRequest request;
  std::shared_ptr<RequestObserver> observer;
  std::stop_token stop;
};

/// Thread-safe. Requests and batches run one at a time, in order.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual ModelDescription describe() const = 0;
  /// Tokens of a text as a user's text (no control token is recognised in it). Any thread; does not wait for requests.
  virtual std::int64_t count_tokens(std::string_view text) const = 0;
  /// Tokens of a whole request with the chat template around it. Any thread. Throws Error{bad_request}.
  virtual std::int64_t count_prompt(const GenerationRequest& request) const = 0;
  /// What a request would cost if it came now, beside what runs (between its passes and tokens). Never reads or writes
  /// kept rows. The future holds lectern::Error{bad_request} for a request that submit() would refuse.
  /// An engine that keeps nothing reads everything.
  virtual std::future<ReadingPlan> plan(GenerationRequest request) {
    std::promise<ReadingPlan> promise;
    ReadingPlan plan;
    plan.prompt_tokens = plan.to_read = count_prompt(request);
    promise.set_value(plan);
    return promise.get_future();
  }
  /// Forgets all that was computed with this document (Segment::id) in the context, after the request that runs now.
  virtual void forget_document(std::string id) { (void)id; }
  /// Waits until what has been read is kept for other processes too. What keeps it from that, in one line, or empty.
  virtual std::string finish_keeping() { return {}; }
  /// Queues a request. The future holds the result, or lectern::Error. Stopping is no error: finish_reason cancelled,
  /// with what was generated so far; the reading done is kept. A prompt longer than the window: Error{bad_request}.
  virtual std::future<GenerationResult> submit(GenerationRequest request, std::shared_ptr<RequestObserver> observer,
                                               std::stop_token stop) = 0;
  /// Queues requests that are answered together: the questions of a review, asked of the same documents. Each has a
  /// future, an observer and a stop token of its own, as with submit(), and gets the answer that submit() would give:
  /// the same tokens, sampled ones too. What all of them begin with is read once; the usage of the first one says so,
  /// the others reuse it. Drafts are not used in a batch. An engine that cannot do this asks one after another.
  virtual std::vector<std::future<GenerationResult>> submit_batch(std::vector<BatchItem> items) {
    std::vector<std::future<GenerationResult>> results;
    for (BatchItem& item : items)
      results.push_back(submit(std::move(item.request), std::move(item.observer), std::move(item.stop)));
    return results;
  }
};

}  // namespace lectern::inference
