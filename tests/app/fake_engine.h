// An engine that computes nothing: it counts a word or sign as a token, and answers what the test says, piece by piece.
#pragma once

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
  mutable std::mutex mutex;
  std::vector<inference::GenerationRequest> requests;  // under `mutex`

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
    threads_.emplace_back([this, promise = std::move(promise), observer, stop, prompt_tokens,
                           generates = request.max_tokens > 0]() mutable {
      inference::GenerationResult result;
      if (observer) {
        observer->on_started(prompt_tokens, 0);
        observer->on_reading(prompt_tokens, prompt_tokens, 0);
      }
      result.usage.prompt_tokens = result.usage.computed_tokens = prompt_tokens;
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
      promise.set_value(std::move(result));
    });
    return future;
  }

 private:
  std::vector<std::thread> threads_;
};

}  // namespace lectern::test
