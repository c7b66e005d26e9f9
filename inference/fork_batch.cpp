// Requests wait, are read, are written, are done. One round of the loop settles what was stopped, lets waiting requests
// in, runs one prefill pass over pieces of all that are being read and one decode pass over a token of each that is
// being written; so a long question that comes in late delays the answers of the others by one pass at a time.
//
// Memory: a request is let in when the pages that it can need at most are free, so that none runs out of them half-way;
// the first one may push kept readings out, as it would alone. States are allocated as forks come in and used again by
// the next ones.
//
// Requests are let in a few at a time: pieces of several questions fill a prefill pass better than one.
#include "inference/fork_batch.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>

#include "inference/answer_delivery.h"
#include "inference/answer_writer.h"
#include "inference/memory_plan.h"
#include "inference/prefill.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::int64_t pages_for(std::int64_t tokens) {
  return (tokens + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
}

/// Rows [first, first + count) of hidden rows.
kernels::ConstTensor rows_of(kernels::ConstTensor rows, std::int64_t first, std::int64_t count) {
  return kernels::f32_view(reinterpret_cast<const float*>(rows.data) + first * rows.columns(), {count, rows.columns()});
}

/// One request on its way.
struct Fork {
  explicit Fork(ForkRequest request) : asked(std::move(request)) {
    if (!asked.observer) asked.observer = std::make_shared<RequestObserver>();
    result.usage.prompt_tokens = asked.chain.tokens();
  }

  ForkRequest asked;
  GenerationResult result;
  Clock::time_point start = Clock::now();
  bool is_started = false;       // the observer knows
  bool carries_reading = false;  // of what all share
  // While it is being read or written:
  std::unique_ptr<Sequence> sequence;
  std::int64_t most_pages = 0;      // it may have in the end
  std::int64_t start_position = 0;  // what it shares
  std::optional<PromptReader> reader;
  double read_s = 0;  // its share of the passes
  GenerationSettings settings;
  std::optional<AnswerDelivery> delivery;
  std::optional<AnswerWriter> writer;
  double before_s = 0;
  std::vector<float> hidden;  // [H], of the last token read
  RowKind rows = RowKind::prefill;

  RequestObserver& observer() { return *asked.observer; }
  /// Pages that it may still take: before it writes, a page that it shares in part is to be copied.
  std::int64_t pages_to_come() const {
    const bool has_written = sequence->position() > start_position;
    return most_pages - (has_written ? std::ssize(sequence->kv.pages()) : start_position / kernels::kv_page_tokens);
  }
};
using ForkPtr = std::unique_ptr<Fork>;

/// Segments that all chains have in common, up to the last one whose end is worth a state.
std::size_t common_segments(const std::deque<ForkPtr>& forks) {
  const PromptChain& first = forks.front()->asked.chain;
  std::size_t common = first.segments.size();
  for (const ForkPtr& fork : forks) {
    const auto& segments = fork->asked.chain.segments;
    std::size_t same = 0;
    while (same < std::min(common, segments.size()) && segments[same].rows == first.segments[same].rows &&
           segments[same].tokens == first.segments[same].tokens)
      ++same;
    common = same;
  }
  while (common > 0 && !first.labels[common - 1].keep_state) --common;
  return common;
}

class Batch {
 public:
  Batch(const ForkBatchParts& parts, std::vector<ForkRequest> requests) : parts_(parts) {
    for (ForkRequest& request : requests) waiting_.push_back(std::make_unique<Fork>(std::move(request)));
    shape_ = parts.base.state.shape();
    width_ = width();
  }

  void run() {
    settle_stopped();
    if (!waiting_.empty()) read_common();
    while (!waiting_.empty() || !running_.empty()) {
      settle_stopped();
      admit();
      read_pass();
      write_pass();
    }
  }

 private:
  /// How many states and pages the free memory of this machine holds, with as much left over.
  std::int64_t width() const {
    std::int64_t forks = most_forks;
    if (const auto available = available_memory()) {
      const std::int64_t bytes =
          std::max<std::int64_t>(1, shape_.bytes() + fork_pages / most_forks * parts_.pool.page_bytes());
      forks = std::min(forks, *available / 2 / bytes);
    }
    return std::max<std::int64_t>(forks, 1);
  }

  // ---- ends ----

  void give(Fork& fork) {
    fork.asked.observer.reset();
    fork.asked.done(&fork.result, nullptr);
    free_sequence(fork);
  }
  void fail(Fork& fork, std::exception_ptr error) {
    fork.asked.observer.reset();
    fork.asked.done(nullptr, std::move(error));
    free_sequence(fork);
  }
  /// A fork without a sequence is done.
  void free_sequence(Fork& fork) {
    if (!fork.sequence) return;
    fork.sequence->restart(parts_.pool);
    free_sequences_.push_back(std::move(fork.sequence));
  }
  void cancel(Fork& fork) {
    fork.result.finish_reason = FinishReason::cancelled;
    give(fork);
  }
  bool is_stopped(const Fork& fork) const { return all_stopped_ || fork.asked.stop.stop_requested(); }

  /// Requests that wait or are being read; those that are written ask between tokens.
  void settle_stopped() {
    all_stopped_ = all_stopped_ || parts_.stopped();
    std::erase_if(waiting_, [&](ForkPtr& fork) {
      if (!is_stopped(*fork)) return false;
      if (!fork->is_started) fork->result.usage = {};
      cancel(*fork);
      return true;
    });
    std::erase_if(running_, [&](ForkPtr& fork) {
      if (!fork->reader || !is_stopped(*fork)) return false;
      fork->reader->keep();
      take_counts(*fork);
      cancel(*fork);
      return true;
    });
  }

  // ---- reading ----

  /// What all share, into the base sequence.
  void read_common() {
    const std::size_t common = common_segments(waiting_);
    PromptChain chain;
    const PromptChain& first = waiting_.front()->asked.chain;
    chain.segments.assign(first.segments.begin(), first.segments.begin() + static_cast<std::ptrdiff_t>(common));
    chain.labels.assign(first.labels.begin(), first.labels.begin() + static_cast<std::ptrdiff_t>(common));
    PromptReader reader(common > 0 ? parts_.store : nullptr, parts_.pool, parts_.base, chain,
                        PromptReader::Restore::at_once);
    base_kept_ = reader.position();
    base_loaded_ = reader.loaded();
    base_load_s_ = reader.load_s();
    const auto start = Clock::now();
    const std::int64_t begin = reader.position();
    while (!reader.finished()) {
      settle_stopped();
      if (waiting_.empty()) {
        reader.keep();
        return;
      }
      Fork& carrier = *waiting_.front();
      if (!carrier.is_started) begin_carrying(carrier);
      try {
        const std::optional<ForwardPiece> piece = reader.next(parts_.forward.chunk());
        reader.take(parts_.forward.run({&*piece, 1}, RowKind::prefill));
      } catch (...) {  // nobody can be answered
        const std::exception_ptr error = current_failure();
        for (ForkPtr& fork : waiting_) fail(*fork, error);
        waiting_.clear();
        return;
      }
      base_read_s_ = seconds_since(start);
      carrier.result.usage.computed_tokens = reader.position() - begin;
      carrier.result.timing.prefill_s = base_read_s_;
      const double rate = static_cast<double>(reader.position() - begin) / std::max(base_read_s_, 1e-9);
      carrier.observer().on_reading(reader.position(), carrier.result.usage.prompt_tokens,
                                    static_cast<double>(carrier.result.usage.prompt_tokens - reader.position()) / rate);
    }
    base_hidden_.assign(reader.hidden().begin(), reader.hidden().end());
    base_rows_ = reader.hidden_rows();
    has_base_ = common > 0;
    waiting_.front()->carries_reading = true;
  }

  void begin_carrying(Fork& fork) {
    fork.carries_reading = true;
    fork.result.usage.reused_tokens = base_kept_ - base_loaded_;
    fork.result.usage.loaded_tokens = base_loaded_;
    fork.result.timing.load_s = base_load_s_;
    tell_started(fork, base_kept_);
  }
  void tell_started(Fork& fork, std::int64_t kept) {
    fork.result.usage.miss_reasons =
        parts_.history.explain(fork.asked.request.conversation, fork.asked.chain, kept, parts_.store);
    fork.is_started = true;
    fork.observer().on_started(fork.result.usage.prompt_tokens, kept);
  }

  void admit() {
    const auto free = width_ - static_cast<std::int64_t>(running_.size());
    const auto wanted = std::min(std::max<std::int64_t>(width_ / 4, 1), static_cast<std::int64_t>(waiting_.size()));
    if (!running_.empty() && free < wanted) return;
    for (std::int64_t count = 0; count < free && !waiting_.empty(); ++count) {
      if (!has_room(*waiting_.front()) || !take_sequence(*waiting_.front())) break;
      ForkPtr fork = std::move(waiting_.front());
      waiting_.pop_front();
      try {
        begin_reading(*fork);
        running_.push_back(std::move(fork));
      } catch (...) {
        fail(*fork, current_failure());
      }
    }
  }

  /// False if there is no memory for one more and others are running: then they are all there will be at a time.
  bool take_sequence(Fork& fork) {
    if (!free_sequences_.empty()) {
      fork.sequence = std::move(free_sequences_.back());
      free_sequences_.pop_back();
      return true;
    }
    try {
      fork.sequence = std::make_unique<Sequence>(parts_.pool, shape_);
      return true;
    } catch (const std::bad_alloc&) {
      if (running_.empty()) throw;
      width_ = std::ssize(running_);
      return false;
    }
  }

  /// Whether the pages that `fork` may need are free.
  bool has_room(Fork& fork) {
    const std::int64_t end = std::min(
        fork.result.usage.prompt_tokens + std::max<std::int64_t>(0, std::min(fork.asked.request.max_tokens, window())),
        window());
    fork.most_pages = pages_for(end);
    std::int64_t needed = fork.most_pages - parts_.base.position() / kernels::kv_page_tokens;
    for (const ForkPtr& other : running_) needed += other->pages_to_come();
    while (parts_.pool.budget_pages() - parts_.pool.pages_in_use() < needed) {
      if (!running_.empty()) return false;
      if (!parts_.store || !parts_.store->evict_one()) break;  // it will say so itself
    }
    return true;
  }

  void begin_reading(Fork& fork) {
    const ForkPoint base{parts_.base, base_hidden_, base_rows_};
    fork.reader.emplace(parts_.store, parts_.pool, *fork.sequence, fork.asked.chain, PromptReader::Restore::at_once,
                        has_base_ ? &base : nullptr);
    fork.start_position = fork.reader->position();
    fork.settings = settings_of(fork.asked.request, parts_.usable_tokens, 0);
    if (!fork.is_started) {
      fork.start = Clock::now();
      tell_started(fork, fork.reader->position());
    }
    if (fork.reader->finished()) begin_writing(fork);
  }

  /// Usage and times of reading: what all share is computed by the request that carries it and kept for the others.
  void take_counts(Fork& fork) const {
    const PromptReader& reader = *fork.reader;
    Usage& usage = fork.result.usage;
    const std::int64_t shared = fork.carries_reading ? parts_.base.position() - base_kept_ : 0;
    usage.loaded_tokens = reader.loaded() + (fork.carries_reading ? base_loaded_ : 0);
    usage.reused_tokens = reader.reused() + reader.loaded() - usage.loaded_tokens - shared;
    usage.computed_tokens = reader.position() - usage.reused_tokens - usage.loaded_tokens;
    fork.result.timing.load_s = reader.load_s() + (fork.carries_reading ? base_load_s_ : 0);
    fork.result.timing.prefill_s = fork.read_s + (fork.carries_reading ? base_read_s_ : 0);
  }

  /// One pass over pieces of all that are being read, as far as they fit.
  void read_pass() {
    std::vector<Fork*> forks;
    std::vector<ForwardPiece> pieces;
    std::int64_t room = parts_.forward.chunk();
    for (const ForkPtr& fork : running_) {
      if (!fork->reader || room == 0) continue;
      const std::optional<ForwardPiece> piece = fork->reader->next(room);
      if (!piece) continue;
      room -= static_cast<std::int64_t>(piece->tokens.size());
      forks.push_back(fork.get());
      pieces.push_back(*piece);
    }
    if (pieces.empty()) return;
    const auto start = Clock::now();
    kernels::ConstTensor rows;
    try {
      rows = parts_.forward.run(pieces, RowKind::prefill);
    } catch (...) {
      fail_those(forks, current_failure());
      remove_done();
      return;
    }
    const double seconds = seconds_since(start);
    // Publishing changes the store alone, not the rows.
    std::int64_t first = 0;
    for (std::size_t index = 0; index < forks.size(); ++index) {
      Fork& fork = *forks[index];
      const auto count = static_cast<std::int64_t>(pieces[index].tokens.size());
      fork.reader->take(rows_of(rows, first, count));
      fork.read_s += seconds * static_cast<double>(count) / static_cast<double>(rows.dim(0));
      const PromptReader& reader = *fork.reader;
      fork.observer().on_reading(
          reader.position(), reader.total(),
          static_cast<double>(reader.total() - reader.position()) * seconds / static_cast<double>(rows.dim(0)));
      first += count;
    }
    for (Fork* fork : forks) {
      if (!fork->reader->finished()) continue;
      try {
        begin_writing(*fork);
      } catch (...) {
        fail_those(std::span(&fork, 1), current_failure());
      }
    }
    remove_done();
  }

  // ---- writing ----

  void begin_writing(Fork& fork) {
    take_counts(fork);
    parts_.history.remember(fork.asked.request.conversation, fork.asked.chain);
    fork.hidden.assign(fork.reader->hidden().begin(), fork.reader->hidden().end());
    fork.rows = fork.reader->hidden_rows();
    fork.reader.reset();
    fork.delivery.emplace(fork.asked.chain.answer, fork.observer(), fork.result);
    GenerationCallbacks callbacks;
    callbacks.stop = [this, &fork] { return is_stopped(fork); };
    callbacks.text = [&fork](std::string_view text) { fork.delivery->text(text); };
    fork.before_s = seconds_since(fork.start);
    fork.writer.emplace(parts_.tokenizer, fork.asked.chain.all_tokens(), fork.settings, std::move(callbacks), window());
  }

  /// The next token of every answer.
  void write_pass() {
    std::vector<Fork*> choosing, reading;
    std::vector<TokenId> tokens;
    tokens.reserve(running_.size());  // pieces point into it
    std::vector<ForwardPiece> pieces;
    for (const ForkPtr& fork : running_) {
      if (!fork->writer) continue;
      if (static_cast<std::int64_t>(pieces.size()) == parts_.forward.chunk()) break;
      const std::int64_t position = fork->sequence->position();
      const bool goes_on = fork->settings.max_tokens > 0 && fork->writer->goes_on(position);
      const std::optional<TokenId> id = goes_on ? fork->writer->unread() : fork->writer->last_unread(position);
      if (goes_on) choosing.push_back(fork.get());
      if (!id) continue;
      tokens.push_back(*id);
      pieces.push_back({fork->sequence.get(), {&tokens.back(), 1}, {}, {}, {}});
      reading.push_back(fork.get());
    }
    if (!pieces.empty()) {
      try {
        const kernels::ConstTensor rows = parts_.forward.run(pieces, RowKind::decode);
        for (std::size_t index = 0; index < reading.size(); ++index) {
          Fork& fork = *reading[index];
          const auto* row =
              reinterpret_cast<const float*>(rows.data) + static_cast<std::ptrdiff_t>(index) * rows.columns();
          std::copy_n(row, fork.hidden.size(), fork.hidden.begin());
          fork.rows = RowKind::decode;
          fork.writer->was_read();
        }
      } catch (...) {
        fail_those(reading, current_failure());
        std::erase_if(choosing, [](const Fork* fork) { return !fork->sequence; });
      }
    }
    choose(choosing);
    for (const ForkPtr& fork : running_)
      if (fork->writer && std::ranges::find(choosing, fork.get()) == choosing.end() && fork->sequence) finish(*fork);
    remove_done();
  }

  /// The head is the largest matrix: its rows meet all answers at once.
  void choose(const std::vector<Fork*>& forks) {
    const std::int64_t width = parts_.forward.config().hidden, vocabulary = parts_.forward.config().vocabulary;
    for (const RowKind kind : {RowKind::prefill, RowKind::decode}) {
      std::vector<Fork*> some;
      rows_.clear();
      for (Fork* fork : forks) {
        if (fork->rows != kind) continue;
        some.push_back(fork);
        rows_.insert(rows_.end(), fork->hidden.begin(), fork->hidden.end());
      }
      if (some.empty()) continue;
      const auto count = std::ssize(some);
      logits_.resize(static_cast<std::size_t>(count * vocabulary));
      try {
        parts_.forward.logits(kernels::f32_view(rows_.data(), {count, width}), kind,
                              kernels::f32_view(logits_.data(), {count, vocabulary}));
      } catch (...) {
        fail_those(some, current_failure());
        continue;
      }
      // Drawing one of 150,000 tokens takes a good part of a pass.
      std::vector<TokenId> ids(some.size());
      std::vector<std::exception_ptr> errors(some.size());
      parts_.forward.stream().pool().parallel_for(count, 1, [&](std::int64_t first, std::int64_t last, int) {
        for (auto at = static_cast<std::size_t>(first); at < static_cast<std::size_t>(last); ++at) {
          const auto row = static_cast<std::size_t>(vocabulary);
          try {
            ids[at] = some[at]->writer->choose(std::span(logits_).subspan(at * row, row));
          } catch (...) {
            errors[at] = current_failure();
          }
        }
      });
      for (std::size_t at = 0; at < some.size(); ++at) {
        if (errors[at])
          fail(*some[at], errors[at]);
        else
          some[at]->writer->take(ids[at]);
      }
    }
  }

  void finish(Fork& fork) {
    if (fork.settings.max_tokens <= 0) {
      fork.result.finish_reason = FinishReason::length;
    } else {
      Generated generated = fork.writer->finish(fork.hidden);
      if (parts_.store) keep_answer(*parts_.store, *fork.sequence, fork.asked.chain, generated);
      fork.delivery->finish(std::move(generated), parts_.tokenizer, fork.before_s);
    }
    give(fork);
  }

  void fail_those(std::span<Fork* const> forks, const std::exception_ptr& error) {
    for (Fork* fork : forks) fail(*fork, error);
  }
  void remove_done() {
    std::erase_if(running_, [](const ForkPtr& fork) { return !fork->sequence; });
  }

  std::int64_t window() const { return parts_.forward.window(); }

  const ForkBatchParts parts_;
  DeltaShape shape_;
  std::int64_t width_ = 1;
  bool all_stopped_ = false;
  std::deque<ForkPtr> waiting_;
  std::vector<ForkPtr> running_;
  std::vector<std::unique_ptr<Sequence>> free_sequences_;
  // What all share.
  bool has_base_ = false;
  std::int64_t base_kept_ = 0, base_loaded_ = 0;
  double base_load_s_ = 0, base_read_s_ = 0;
  std::vector<float> base_hidden_;
  RowKind base_rows_ = RowKind::prefill;
  std::vector<float> rows_, logits_;  // of one step: [forks, H], [forks, V]
};

}  // namespace

void answer_together(const ForkBatchParts& parts, std::vector<ForkRequest> requests) {
  Batch(parts, std::move(requests)).run();
}

}  // namespace lectern::inference
