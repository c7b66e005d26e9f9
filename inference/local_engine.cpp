// Requests wait in one queue behind one mutex; the engine's thread takes them in order and alone touches model memory,
// pages and the store. Between passes and tokens it asks the request's own stop token, and settles waiting requests
// that were stopped, so that nobody waits for a request in front of a cancelled one. An error ends its request and
// becomes the future's exception; the store only ever holds states that were checked.
#include "inference/local_engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include "inference/answer_delivery.h"
#include "inference/fork_batch.h"
#include "inference/forward.h"
#include "inference/generation.h"
#include "inference/generation_defaults.h"
#include "inference/model.h"
#include "inference/mtp_layer.h"
#include "inference/prefill.h"
#include "inference/prompt_chain.h"
#include "inference/reading_history.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t least_chunk = 128;
constexpr std::int64_t least_measured = 128;  // tokens whose reading says something about speed
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Item {
  GenerationRequest request;
  std::shared_ptr<RequestObserver> observer;
  std::stop_token stop;
  std::promise<GenerationResult> promise;
};
struct PlanJob {
  GenerationRequest request;
  std::promise<ReadingPlan> promise;
};
/// One request, or several that are answered together.
using Job = std::vector<Item>;

GenerationResult cancelled_result() {
  GenerationResult result;
  result.finish_reason = FinishReason::cancelled;
  return result;
}

/// As the template makes a prompt by itself.
ChatVariant variant_of(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  ChatVariant variant{false, chat.calls_in_xml()};
  GenerationRequest request;
  request.segments.emplace_back().text = "Hi";
  try {
    variant.opens_thinking = build_prompt(request, chat, tokenizer).answer.thinking_is_open;
  } catch (const Error&) {  // a template that refuses so short a conversation; its requests will say so
  }
  return variant;
}

class Local final : public LocalEngine {
 public:
  explicit Local(const LocalEngineOptions& options)
      : options_(checked(options)),
        model_(options.file),
        window_(choose_window(model_, options.window, options.chunk, available_memory(), options.drafts)),
        stream_(options.threads),
        forward_(model_.config(), model_.weights(), stream_, options.chunk, window_),
        shape_(delta_shape(model_.config())),
        pool_(model_.config().attention_layers(), kv_shape(model_.config()), pool_bytes()),
        identity_(identity_of_readings()),
        disk_(open_disk()),
        sequence_(pool_, shape_),
        store_(pool_, shape_, identity_.text(), options.cache_budget_bytes),
        history_(identity_, disk_.get()),
        tokenizer_(model_.required_tokenizer()),
        chat_(model_.chat_template(), model_.bos_token(), model_.eos_token()),
        drafter_(options.drafts > 0 ? std::make_unique<MtpLayer>(model_.config(), model_.weights(), stream_,
                                                                 model_.usable_tokens(), options.chunk, window_)
                                    : nullptr),
        recommended_(recommended_sampling(model_.source(), model_.config(), variant_of(chat_, tokenizer_))) {
    store_.set_disk(disk_.get());
    thread_ = std::jthread([this](std::stop_token stop) { work(stop); });
  }

  ~Local() override {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

  ModelDescription describe() const override {
    const ModelConfig& config = model_.config();
    ModelDescription description;
    description.name = config.name;
    description.architecture = config.architecture;
    description.quantization = config.quantization;
    description.device = "CPU, " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
                         kernels::name(stream_.cpu_path());
    description.file = options_.file.string();
    description.window = window_;
    description.parameters = config.parameters;
    description.memory_bytes =
        plan_memory(model_.weights().bytes(), config, window_, options_.chunk, options_.drafts).total();
    description.recommended = recommended_;
    description.warning = chat_.warning();
    return description;
  }

  std::int64_t count_tokens(std::string_view text) const override {
    return static_cast<std::int64_t>(tokenizer_.encode(text, SpecialTokens::plain_text).size());
  }

  std::int64_t count_prompt(const GenerationRequest& request) const override {
    return build_prompt(request, chat_, tokenizer_).tokens();
  }

  std::future<GenerationResult> submit(GenerationRequest request, std::shared_ptr<RequestObserver> observer,
                                       std::stop_token stop) override {
    std::vector<BatchItem> one;
    one.push_back({std::move(request), std::move(observer), std::move(stop)});
    return std::move(submit_batch(std::move(one)).front());
  }

  std::vector<std::future<GenerationResult>> submit_batch(std::vector<BatchItem> items) override {
    Job job;
    std::vector<std::future<GenerationResult>> futures;
    for (BatchItem& item : items) {
      job.push_back({std::move(item.request), std::move(item.observer), std::move(item.stop), {}});
      futures.push_back(job.back().promise.get_future());
    }
    if (job.empty()) return futures;
    {
      const std::scoped_lock lock(mutex_);
      queue_.push_back(std::move(job));
    }
    wake_.notify_one();
    return futures;
  }

  std::future<ReadingPlan> plan(GenerationRequest request) override {
    PlanJob job{std::move(request), {}};
    std::future<ReadingPlan> future = job.promise.get_future();
    {
      const std::scoped_lock lock(mutex_);
      plans_.push_back(std::move(job));
    }
    wake_.notify_one();
    return future;
  }

  void forget_document(std::string id) override {
    {
      const std::scoped_lock lock(mutex_);
      to_forget_.push_back(std::move(id));
    }
    wake_.notify_one();
  }

  std::optional<ContextDiskStats> disk_stats() const override {
    if (!disk_) return std::nullopt;
    return disk_->stats();
  }

  std::string finish_keeping() override {
    if (!disk_) return {};
    disk_->flush();
    return disk_->stats().problem;
  }

  ContextStoreStats cache_stats() const override {
    const std::scoped_lock lock(mutex_);
    return stats_;
  }

  void clear_cache() override {
    {
      const std::scoped_lock lock(mutex_);
      clear_asked_ = true;
    }
    wake_.notify_one();
  }

 private:
  static LocalEngineOptions checked(const LocalEngineOptions& options) {
    if (options.chunk < least_chunk)
      throw Error(ErrorKind::bad_request, "chunk: it must be at least " + std::to_string(least_chunk) + " tokens");
    if (options.drafts < 0 || options.drafts > most_drafts)
      throw Error(ErrorKind::bad_request, "drafts: 0 to " + std::to_string(most_drafts) + " at a time are possible");
    if (options.cache_budget_bytes < 0) throw Error(ErrorKind::bad_request, "cache budget: it must not be negative");
    return options;
  }

  /// Kept pages and those of a full window beside them; two more for copies at forks, and some for those of a batch.
  std::int64_t pool_bytes() const {
    const std::int64_t page = model_.config().attention_layers() * kv_shape(model_.config()).strip_bytes();
    const std::int64_t window_pages = (window_ + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
    return options_.cache_budget_bytes + (window_pages + 2 + fork_pages) * page;
  }

  bool keeps_on_disk() const { return options_.cache_budget_bytes > 0 && !options_.kept_folder.empty(); }

  /// Memory alone needs none: it is of this engine.
  ReadingIdentity identity_of_readings() const {
    if (!keeps_on_disk()) return {};
    try {
      system_files().make_folder(options_.kept_folder);
    } catch (const FileError&) {  // ContextDisk says so
    }
    return model_.identity(options_.kept_folder / "models");
  }

  std::unique_ptr<ContextDisk> open_disk() const {
    if (!keeps_on_disk()) return nullptr;
    ContextDiskOptions options;
    options.folder = options_.kept_folder;
    options.budget_bytes = options_.kept_budget_bytes;
    const KeptShape shape{pool_.layers(), pool_.shape(), shape_};
    return std::make_unique<ContextDisk>(options, identity_, shape, system_files());
  }

  void work(const std::stop_token& stop) {
    while (true) {
      std::optional<Job> job;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, stop,
                   [&] { return !queue_.empty() || clear_asked_ || !plans_.empty() || !to_forget_.empty(); });
      }
      forget_what_is_asked();
      if (stop.stop_requested()) break;
      make_plans();
      {
        const std::scoped_lock lock(mutex_);
        if (queue_.empty()) continue;
        job = std::move(queue_.front());
        queue_.pop_front();
      }
      store_.forget_what_was_cleared();
      if (job->size() == 1)
        answer_one(job->front(), stop);
      else
        answer_batch(*job, stop);
    }
    const std::scoped_lock lock(mutex_);
    for (Job& job : queue_)
      for (Item& item : job) item.promise.set_value(cancelled_result());
    queue_.clear();
    for (PlanJob& job : plans_) job.promise.set_value({});
    plans_.clear();
  }

  void forget_what_is_asked() {
    std::vector<std::string> documents;
    bool everything = false;
    {
      const std::scoped_lock lock(mutex_);
      std::swap(documents, to_forget_);
      std::swap(everything, clear_asked_);
    }
    if (!everything && documents.empty()) return;
    sequence_.restart(pool_);
    if (everything) {
      store_.clear();
      if (disk_) disk_->clear();
    }
    for (const std::string& id : documents) {
      store_.clear_document(id);
      if (disk_) disk_->clear_document(id);
    }
    const std::scoped_lock lock(mutex_);
    stats_ = store_.stats();
  }

  /// On the engine's thread, between passes and tokens.
  void make_plans() {
    std::vector<PlanJob> jobs;
    {
      const std::scoped_lock lock(mutex_);
      std::swap(jobs, plans_);
    }
    for (PlanJob& job : jobs) {
      try {
        const PromptChain chain = checked_prompt(job.request);
        const ContextStore* store = options_.cache_budget_bytes > 0 ? &store_ : nullptr;
        ReadingPlan plan;
        plan.prompt_tokens = chain.tokens();
        const KeptPrefix kept = store ? store->kept_prefix(chain.segments) : KeptPrefix{};
        plan.in_memory = kept.in_memory;
        plan.on_disk = kept.on_disk();
        plan.to_read = plan.prompt_tokens - kept.position;
        if (seconds_per_token_ > 0) plan.seconds = static_cast<double>(plan.to_read) * seconds_per_token_;
        plan.miss_reasons = history_.explain(job.request.conversation, chain, kept.position, store);
        job.promise.set_value(std::move(plan));
      } catch (...) {
        job.promise.set_exception(current_failure());
      }
    }
  }

  /// Whoever waits for the result finds the statistics up to date.
  void settle(Item& item, GenerationResult* result, std::exception_ptr failure) {
    {
      const std::scoped_lock lock(mutex_);
      stats_ = store_.stats();
    }
    item.observer.reset();
    if (failure)
      item.promise.set_exception(std::move(failure));
    else
      item.promise.set_value(std::move(*result));
  }

  void answer_one(Item& item, const std::stop_token& stop) {
    std::optional<GenerationResult> result;
    std::exception_ptr failure;
    try {
      result = answer(item, stop);
    } catch (...) {
      failure = current_failure();
    }
    settle(item, result ? &*result : nullptr, std::move(failure));
  }

  void answer_batch(Job& job, const std::stop_token& stop) {
    std::vector<ForkRequest> forks;
    std::vector<bool> is_settled(job.size());
    for (std::size_t index = 0; index < job.size(); ++index) {
      Item& item = job[index];
      const auto done = [&, index](GenerationResult* result, std::exception_ptr failure) {
        is_settled[index] = true;
        settle(job[index], result, std::move(failure));
      };
      try {
        PromptChain chain = checked_prompt(item.request);
        forks.push_back(
            {std::move(item.request), std::move(chain), std::exchange(item.observer, nullptr), item.stop, done});
      } catch (...) {
        done(nullptr, current_failure());
      }
    }
    if (drafter_) drafter_->restart();  // it does not see what a batch reads
    const auto stopped = [&] {
      settle_stopped();
      return stop.stop_requested();
    };
    try {
      answer_together({forward_, pool_, options_.cache_budget_bytes > 0 ? &store_ : nullptr, history_, sequence_,
                       tokenizer_, model_.usable_tokens(), stopped},
                      std::move(forks));
    } catch (...) {
      const std::exception_ptr failure = current_failure();
      for (std::size_t index = 0; index < job.size(); ++index)
        if (!is_settled[index]) settle(job[index], nullptr, failure);
    }
  }

  /// Requests that were stopped while they waited need not wait any longer, nor those who ask for a price.
  void settle_stopped() {
    make_plans();
    std::vector<Item> settled;
    {
      const std::scoped_lock lock(mutex_);
      for (Job& job : queue_) {
        const auto kept =
            std::stable_partition(job.begin(), job.end(), [](const Item& item) { return !item.stop.stop_requested(); });
        settled.insert(settled.end(), std::move_iterator(kept), std::move_iterator(job.end()));
        job.erase(kept, job.end());
      }
      std::erase_if(queue_, [](const Job& job) { return job.empty(); });
    }
    for (Item& item : settled) item.promise.set_value(cancelled_result());
  }

  GenerationResult answer(Item& item, const std::stop_token& engine_stop) {
    const auto start = Clock::now();
    const GenerationRequest& request = item.request;
    RequestObserver silent;
    RequestObserver& observer = item.observer ? *item.observer : silent;
    const auto stopped = [&] {
      settle_stopped();
      return item.stop.stop_requested() || engine_stop.stop_requested();
    };
    if (stopped()) return cancelled_result();

    PromptChain chain = checked_prompt(request);
    GenerationResult result;
    result.usage.prompt_tokens = chain.tokens();

    ContextStore* store = options_.cache_budget_bytes > 0 ? &store_ : nullptr;
    const std::int64_t total = result.usage.prompt_tokens;
    ReadCallbacks reading;
    reading.stop = stopped;
    reading.started = [&](std::int64_t kept) {
      if (drafter_) drafter_->restart();
      result.usage.miss_reasons = history_.explain(request.conversation, chain, kept, store);
      observer.on_started(total, kept);
    };
    reading.progress = [&](std::int64_t read, double seconds_left) { observer.on_reading(read, total, seconds_left); };
    // Of a kept prefix there are no hidden rows: the layer sees what is read now, which costs drafts and nothing else.
    if (drafter_) {
      reading.rows = [&](std::span<const TokenId> tokens, kernels::ConstTensor hidden) {
        drafter_->read_prompt(tokens, hidden);
      };
    }
    const ReadOutcome read = read_prompt(forward_, store, pool_, sequence_, chain, reading, nullptr);
    result.usage.reused_tokens = read.reused;
    result.usage.loaded_tokens = read.loaded;
    result.usage.computed_tokens = sequence_.position() - read.reused - read.loaded;
    result.timing.load_s = read.load_s;
    result.timing.prefill_s = read.prefill_s;
    if (result.usage.computed_tokens >= least_measured)
      seconds_per_token_ = read.prefill_s / static_cast<double>(result.usage.computed_tokens);
    if (!read.finished) {
      result.finish_reason = FinishReason::cancelled;
      return result;
    }
    history_.remember(request.conversation, chain);
    if (request.max_tokens <= 0) {
      result.finish_reason = FinishReason::length;
      return result;
    }
    write(request, chain, read, observer, stopped, start, result);
    return result;
  }

  void write(const GenerationRequest& request, PromptChain& chain, const ReadOutcome& read, RequestObserver& observer,
             const std::function<bool()>& stopped, Clock::time_point start, GenerationResult& result) {
    const GenerationSettings settings = settings_of(request, model_.usable_tokens(), options_.drafts);
    AnswerDelivery delivery(chain.answer, observer, result);
    GenerationCallbacks writing;
    writing.stop = stopped;
    writing.text = [&](std::string_view text) { delivery.text(text); };
    const double before = seconds_since(start);
    Generated generated = generate(forward_, sequence_, tokenizer_, chain.all_tokens(), read.hidden, read.hidden_rows,
                                   settings, writing, nullptr, drafter_.get());
    if (options_.cache_budget_bytes > 0) keep_answer(store_, sequence_, chain, generated);
    delivery.finish(std::move(generated), tokenizer_, before);
  }

  PromptChain checked_prompt(const GenerationRequest& request) const {
    PromptChain chain = build_prompt(request, chat_, tokenizer_);
    if (chain.tokens() > window_)
      throw Error(ErrorKind::bad_request, "prompt: its " + std::to_string(chain.tokens()) +
                                              " tokens do not fit in the window of " + std::to_string(window_) +
                                              " tokens; leave something out or open the model with a larger window");
    for (const ChainSegment& segment : chain.segments)
      for (TokenId id : segment.tokens)
        if (id < 0 || id >= model_.config().vocabulary)
          throw Error(ErrorKind::bad_request,
                      "prompt: token " + std::to_string(id) + " is not in the model's vocabulary");
    return chain;
  }

  const LocalEngineOptions options_;
  const Model model_;
  const std::int64_t window_;
  kernels::Stream stream_;
  const int threads_ = stream_.pool().size();
  Forward forward_;
  const DeltaShape shape_;
  KvPagePool pool_;
  const ReadingIdentity identity_;
  const std::unique_ptr<ContextDisk> disk_;  // null: kept in memory alone
  Sequence sequence_;
  ContextStore store_;
  ReadingHistory history_;
  double seconds_per_token_ = -1;  // of the last long reading
  const Tokenizer& tokenizer_;
  const ChatTemplate chat_;
  const std::unique_ptr<MtpLayer> drafter_;  // null without drafts
  const SamplingOptions recommended_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable_any wake_;
  std::deque<Job> queue_;
  ContextStoreStats stats_ = store_.stats();
  bool clear_asked_ = false;
  std::vector<std::string> to_forget_;  // documents
  std::vector<PlanJob> plans_;

  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace

std::unique_ptr<LocalEngine> open_local_engine(const LocalEngineOptions& options) {
  return std::make_unique<Local>(options);
}

}  // namespace lectern::inference
