// Passes run over segment boundaries: a request of many short segments is read in few passes. States at listed places
// are copied out by the kernels while the pass goes on; where it ends never depends on who is waiting or how much is
// kept.
#include "inference/prefill.h"

#include <algorithm>
#include <chrono>

namespace lectern::inference {

namespace {

constexpr std::int64_t snapshot_spacing = 8192;  // inside a long segment, while it is read
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What the state at the end of the chain's first `position` tokens is for.
StatePlace place_of(const PromptChain& chain, std::int64_t position) {
  std::int64_t end = 0;
  for (std::size_t index = 0; index < chain.segments.size() && end < position; ++index) {
    end += static_cast<std::int64_t>(chain.segments[index].tokens.size());
    if (end != position) continue;
    const SegmentLabel::Kind kind = chain.labels[index].kind;
    if (kind == SegmentLabel::Kind::system || kind == SegmentLabel::Kind::document) return StatePlace::document_end;
    if (index + 1 == chain.segments.size()) return StatePlace::prompt_end;
    if (kind == SegmentLabel::Kind::message) return StatePlace::turn_end;
  }
  return StatePlace::progress;
}

}  // namespace

PrefillPass plan_pass(const PromptChain& chain, std::int64_t position, std::int64_t chunk) {
  PrefillPass pass;
  pass.begin = pass.end = position;
  std::int64_t start = 0;
  for (std::size_t index = 0; index < chain.segments.size(); ++index) {
    const std::int64_t end = start + static_cast<std::int64_t>(chain.segments[index].tokens.size());
    if (end <= position) {
      start = end;
      continue;
    }
    if (start >= position) pass.segment_starts.push_back(start - position);
    const std::int64_t room = position + chunk;
    std::int64_t last = std::min(end, room);
    if (last < end) last = start + (last - start) / segment_grid * segment_grid;  // on the grid of this segment
    const std::int64_t from = std::max(start, position);
    for (std::int64_t place = start + ((from - start) / snapshot_spacing + 1) * snapshot_spacing;
         place <= last && place < end; place += snapshot_spacing)
      pass.snapshot_offsets.push_back(place - position);
    if (last <= from) {  // nothing of this segment fits any more
      if (start >= position) pass.segment_starts.pop_back();
      break;
    }
    pass.end = last;
    if (last == end && chain.labels[index].keep_state) pass.snapshot_offsets.push_back(end - position);
    if (last < end || last == room) break;
    start = end;
  }
  if (pass.end == position)
    pass.end = std::min(position + chunk, chain.tokens());  // off the grid, in an answer read on
  return pass;
}

std::unique_ptr<DeltaSnapshot> snapshot_of(const Sequence& sequence, std::span<const float> hidden, RowKind rows) {
  auto snapshot = std::make_unique<DeltaSnapshot>(sequence.state.shape());
  snapshot->position = sequence.position();
  snapshot->rows = rows;
  snapshot->state.copy_from(sequence.state);
  snapshot->hidden.assign(hidden.begin(), hidden.end());
  return snapshot;
}

PromptReader::PromptReader(ContextStore* store, KvPagePool& pool, Sequence& sequence, PromptChain& chain,
                           Restore restore, const ForkPoint* fork)
    : store_(store), pool_(pool), sequence_(sequence), chain_(chain), restore_(restore), tokens_(chain.all_tokens()) {
  begin(fork);
}

// What is kept must reach further, with the fork's own rows in memory: to load those again would cost as much as them.
bool PromptReader::prefers(const ForkPoint& fork) const {
  if (!store_) return true;
  const KeptPrefix kept = store_->kept_prefix(chain_.segments);
  return kept.position <= fork.sequence.position() || kept.in_memory < fork.sequence.position();
}

void PromptReader::begin(const ForkPoint* fork) {
  const auto start = Clock::now();
  hidden_.clear();
  rows_ = RowKind::prefill;
  while (true) {
    point_ = {};
    forked_ = fork && prefers(*fork);
    if (forked_) {
      sequence_.restart(pool_);
      sequence_.kv = KvSequence(pool_, fork->sequence.kv.pages(), fork->sequence.position());
      sequence_.state.copy_from(fork->sequence.state);
      point_.hidden.assign(fork->hidden.begin(), fork->hidden.end());
      point_.hidden_rows = fork->rows;
      break;
    }
    if (!store_) {
      sequence_.restart(pool_);
      break;
    }
    point_ = store_->resume(chain_.segments, sequence_);
    const bool wait = restore_ == Restore::at_once || sequence_.position() == total();
    if (!wait || store_->settle(sequence_, point_)) break;
  }
  first_ = sequence_.position();
  loaded_ = point_.loaded;
  if (!sequence_.restore) {
    hidden_ = point_.hidden;
    rows_ = point_.hidden_rows;
  }
  load_s_ += seconds_since(start);

  // Answers that are read again from their beginning have rows of a prompt.
  std::int64_t place = 0;
  for (ChainSegment& segment : chain_.segments) {
    if (place >= first_) segment.rows = RowKind::prefill;
    place += static_cast<std::int64_t>(segment.tokens.size());
  }
}

void PromptReader::begin_again() {
  if (sequence_.restore) store_->settle(sequence_, point_);  // it has failed, and is not tried again
  begin(nullptr);
}

std::optional<ForwardPiece> PromptReader::next(std::int64_t room) {
  const std::int64_t left = total() - position();
  if (left == 0 || (room < segment_grid && room < left)) return {};
  pass_ = plan_pass(chain_, position(), room);
  snapshots_.clear();
  targets_.clear();
  if (store_)
    for (std::size_t index = 0; index < pass_.snapshot_offsets.size(); ++index) {
      snapshots_.push_back(std::make_unique<DeltaSnapshot>(sequence_.state.shape()));
      targets_.push_back(snapshots_.back().get());
    }
  else
    pass_.snapshot_offsets.clear();
  return ForwardPiece{&sequence_,
                      std::span(tokens_).subspan(static_cast<std::size_t>(pass_.begin),
                                                 static_cast<std::size_t>(pass_.end - pass_.begin)),
                      pass_.segment_starts, pass_.snapshot_offsets, targets_};
}

bool PromptReader::take(kernels::ConstTensor rows) {
  if (sequence_.restore) {
    const auto start = Clock::now();
    if (!store_->settle(sequence_, point_)) return false;
    load_s_ += seconds_since(start);
  }
  const auto* last = reinterpret_cast<const float*>(rows.data) + (rows.dim(0) - 1) * rows.columns();
  hidden_.assign(last, last + rows.columns());
  rows_ = RowKind::prefill;
  for (auto& snapshot : snapshots_) {
    const std::int64_t position = snapshot->position;
    store_->publish(chain_.segments, position, sequence_.kv.pages(), std::move(snapshot), place_of(chain_, position));
  }
  snapshots_.clear();
  return true;
}

void PromptReader::keep() {
  if (store_ && position() > first_)
    store_->publish(chain_.segments, position(), sequence_.kv.pages(),
                    snapshot_of(sequence_, hidden_, RowKind::prefill), place_of(chain_, position()));
  sequence_.restore.reset();
}

ReadOutcome read_prompt(Forward& forward, ContextStore* store, KvPagePool& pool, Sequence& sequence, PromptChain& chain,
                        const ReadCallbacks& callbacks, StepTrace* trace) {
  PromptReader reader(store, pool, sequence, chain, PromptReader::Restore::behind_first_pass);
  ReadOutcome outcome;
  auto start = Clock::now();
  std::int64_t first = 0;
  const auto began = [&] {
    outcome.reused = reader.reused();
    outcome.loaded = reader.loaded();
    start = Clock::now();
    first = reader.position();
    if (callbacks.started) callbacks.started(first);
  };
  began();
  while (!reader.finished()) {
    if (callbacks.stop && callbacks.stop()) {
      reader.keep();
      outcome.load_s = reader.load_s();
      outcome.prefill_s = seconds_since(start);
      return outcome;
    }
    const auto pass_start = Clock::now();
    const std::optional<ForwardPiece> piece = reader.next(forward.chunk());
    kernels::ConstTensor hidden;
    try {
      hidden = forward.run({&*piece, 1}, RowKind::prefill);
    } catch (const RestoreFailed&) {
    }
    if (hidden.data == nullptr || !reader.take(hidden)) {
      reader.begin_again();
      began();
      continue;
    }
    if (trace) trace->add_prefill(hidden.dim(0), reader.position(), seconds_since(pass_start));
    if (callbacks.rows) callbacks.rows(reader.tokens_to_read(), hidden);
    const double rate = static_cast<double>(reader.position() - first) / std::max(seconds_since(start), 1e-9);
    if (callbacks.progress)
      callbacks.progress(reader.position(), static_cast<double>(reader.total() - reader.position()) / rate);
  }
  outcome.load_s = reader.load_s();
  outcome.prefill_s = reader.position() > first ? seconds_since(start) : 0;
  outcome.hidden.assign(reader.hidden().begin(), reader.hidden().end());
  outcome.hidden_rows = reader.hidden_rows();
  outcome.finished = true;
  return outcome;
}

}  // namespace lectern::inference
