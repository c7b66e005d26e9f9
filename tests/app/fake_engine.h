// An engine that computes nothing: it counts a word or sign as a token, and answers what the test says, piece by piece.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "inference/engine.h"
#include "kernels/error.h"

namespace lectern::test {

class FakeEngine : public inference::Engine {
 public:
  std::int64_t window = 4096;
  std::string answer = "An answer.";
  std::string fails_with;              // not empty: the request ends with this error after the first half of the answer
  std::chrono::milliseconds pause{0};  // before each word
  std::chrono::milliseconds read_pause{0};  // before each `read_step` tokens of a prompt; 0: it is read at once
  std::int64_t read_step = 16;
  double seconds_per_token = -1;                      // what plans say
  std::int64_t on_disk = 0;                           // of what is kept, what plans say must be loaded
  std::vector<inference::MissReason> miss_reasons{};  // what plans say
  mutable std::mutex mutex;
  std::vector<inference::GenerationRequest> requests;  // under `mutex`
  std::vector<std::string> forgotten;                  // under `mutex`

  ~FakeEngine() override {
    for (std::thread& thread : threads_) thread.join();
  }
  inference::ModelDescription describe() const override {
    inference::ModelDescription model;
    model.name = "Fake";
    model.architecture = "fake";
    model.file = "/models/fake.gguf";
    model.window = window;
    return model;
  }
  std::int64_t count_tokens(std::string_view text) const override {
    std::int64_t tokens = 0;
    bool inside = false;
    for (const char c : text) {
      const bool space = c == ' ' || c == '\n' || c == '\t';
      if (!space && !inside) ++tokens;
      inside = !space;
    }
    return tokens;
  }
  std::int64_t count_prompt(const inference::GenerationRequest& request) const override {
    std::int64_t tokens = 0;
    int message = -1;
    for (const inference::Segment& segment : request.segments) {
      if (segment.message != message) tokens += 3;  // the template around a message
      message = segment.message;
      tokens +=
          segment.token_ids.empty() ? count_tokens(segment.text) : static_cast<std::int64_t>(segment.token_ids.size());
    }
    return tokens;
  }
  std::future<inference::ReadingPlan> plan(inference::GenerationRequest request) override {
    inference::ReadingPlan plan;
    plan.prompt_tokens = count_prompt(request);
    const std::int64_t kept = kept_of(request);
    plan.on_disk = std::min(on_disk, kept);
    plan.in_memory = kept - plan.on_disk;
    plan.to_read = plan.prompt_tokens - kept;
    if (seconds_per_token >= 0) plan.seconds = seconds_per_token * static_cast<double>(plan.to_read);
    if (plan.to_read > 0) plan.miss_reasons = miss_reasons;
    std::promise<inference::ReadingPlan> promise;
    promise.set_value(plan);
    return promise.get_future();
  }
  void forget_document(std::string id) override {
    const std::scoped_lock lock(mutex);
    forgotten.push_back(id);
  }
  std::future<inference::GenerationResult> submit(inference::GenerationRequest request,
                                                  std::shared_ptr<inference::RequestObserver> observer,
                                                  std::stop_token stop) override {
    std::promise<inference::GenerationResult> promise;
    auto future = promise.get_future();
    const std::int64_t prompt_tokens = count_prompt(request);
    {
      const std::scoped_lock lock(mutex);
      requests.push_back(request);
    }
    if (prompt_tokens > window) {
      promise.set_exception(std::make_exception_ptr(Error(ErrorKind::bad_request, "prompt: too long for the window")));
      return future;
    }
    threads_.emplace_back([this, promise = std::move(promise), observer, stop, prompt_tokens, request,
                           generates = request.max_tokens > 0]() mutable {
      inference::GenerationResult result;
      const std::int64_t kept = kept_of(request);
      std::int64_t read = kept;
      if (observer) observer->on_started(prompt_tokens, kept);
      while (read < prompt_tokens && !stop.stop_requested()) {
        std::this_thread::sleep_for(read_pause);
        read = read_pause.count() == 0 ? prompt_tokens : std::min(prompt_tokens, read + read_step);
        if (observer) observer->on_reading(read, prompt_tokens, static_cast<double>(prompt_tokens - read));
      }
      keep(request, read);
      result.usage.prompt_tokens = prompt_tokens;
      result.usage.reused_tokens = kept;
      result.usage.computed_tokens = read - kept;
      result.timing.prefill_s = static_cast<double>(read - kept) / 1000;
      if (read < prompt_tokens) {
        result.finish_reason = inference::FinishReason::cancelled;
        promise.set_value(std::move(result));
        return;
      }
      if (!generates) result.finish_reason = inference::FinishReason::length;
      for (std::size_t at = 0; generates && at < answer.size();) {
        if (stop.stop_requested()) {
          result.finish_reason = inference::FinishReason::cancelled;
          break;
        }
        if (!fails_with.empty() && at > answer.size() / 2) {
          promise.set_exception(std::make_exception_ptr(Error(ErrorKind::device, fails_with)));
          return;
        }
        std::this_thread::sleep_for(pause);
        std::size_t end = answer.find(' ', at);
        end = end == std::string::npos ? answer.size() : end + 1;
        result.text += answer.substr(at, end - at);
        result.token_ids.push_back(static_cast<inference::TokenId>(at));
        if (observer) observer->on_text(std::string_view(answer).substr(at, end - at));
        at = end;
      }
      result.usage.generated_tokens = static_cast<std::int64_t>(result.token_ids.size());
      if (generates) {
        inference::Segment written;
        written.role = inference::Role::assistant;
        written.message = request.segments.back().message + 1;
        written.text = result.text;
        written.token_ids = result.token_ids;
        request.segments.push_back(written);
        keep(request, count_prompt(request));
      }
      promise.set_value(std::move(result));
    });
    return future;
  }

 private:
  struct Kept {
    std::vector<inference::Segment> segments;
    std::int64_t tokens = 0;
  };
  /// As a store keeps prefixes: the longest one that some request has in common with this one, as far as it was read.
  std::int64_t kept_of(const inference::GenerationRequest& request) const {
    const std::scoped_lock lock(mutex);
    std::int64_t longest = 0;
    for (const Kept& kept : kept_) {
      inference::GenerationRequest common;
      for (std::size_t at = 0; at < std::min(kept.segments.size(), request.segments.size()); ++at) {
        const inference::Segment &one = kept.segments[at], &other = request.segments[at];
        if (one.text != other.text || one.role != other.role || one.kind != other.kind) break;
        common.segments.push_back(one);
      }
      longest = std::max(longest, std::min(kept.tokens, count_prompt(common)));
    }
    return longest;
  }
  void keep(const inference::GenerationRequest& request, std::int64_t tokens) {
    const std::scoped_lock lock(mutex);
    kept_.push_back({request.segments, tokens});
  }

  std::vector<Kept> kept_;  // under `mutex`
  std::vector<std::thread> threads_;
};

}  // namespace lectern::test
