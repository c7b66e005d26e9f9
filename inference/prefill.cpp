// Passes run over segment boundaries: a request of many short segments is read in few passes. States at listed places
// are copied out by the kernels while the pass goes on; where it ends never depends on who is waiting or how much is
// kept.
#include "inference/prefill.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace lectern::inference {

namespace {

constexpr std::int64_t snapshot_spacing = 8192;  // inside a long segment, while it is read
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<TokenId> flatten(const PromptChain& chain) {
  std::vector<TokenId> tokens;
  tokens.reserve(static_cast<std::size_t>(chain.tokens()));
  for (const ChainSegment& segment : chain.segments)
    tokens.insert(tokens.end(), segment.tokens.begin(), segment.tokens.end());
  return tokens;
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

namespace {

/// Whether the end of the chain's first `position` tokens is the end of a segment, and what its state is for.
StatePlace place_of(const PromptChain& chain, std::int64_t position) {
  std::int64_t end = 0;
  for (std::size_t index = 0; index < chain.segments.size() && end < position; ++index) {
    end += static_cast<std::int64_t>(chain.segments[index].tokens.size());
    if (end != position) continue;
    if (index + 1 == chain.segments.size()) return StatePlace::prompt_end;
    switch (chain.labels[index].kind) {
      case SegmentLabel::Kind::system:
      case SegmentLabel::Kind::document: return StatePlace::document_end;
      case SegmentLabel::Kind::message: return StatePlace::turn_end;
      case SegmentLabel::Kind::template_text: break;
    }
  }
  return StatePlace::progress;
}

}  // namespace

ReadOutcome read_prompt(Forward& forward, ContextStore* store, KvPagePool& pool, Sequence& sequence, PromptChain& chain,
                        const ReadCallbacks& callbacks, StepTrace* trace) {
  const std::int64_t total = chain.tokens();
  const std::vector<TokenId> tokens = flatten(chain);
  while (true) {
    ReadOutcome outcome;
    const auto load_start = Clock::now();
    ResumePoint point;
    if (store)
      point = store->resume(chain.segments, sequence);
    else
      sequence.restart(pool);
    if (point.position == total && store && !store->settle(sequence, point)) continue;
    outcome.loaded = point.loaded;
    outcome.reused = point.position - point.loaded;
    outcome.load_s = seconds_since(load_start);
    if (callbacks.started) callbacks.started(sequence.position());

    // Answers that are read again from their beginning have rows of a prompt.
    std::int64_t start = 0;
    for (ChainSegment& segment : chain.segments) {
      if (start >= sequence.position()) segment.rows = RowKind::prefill;
      start += static_cast<std::int64_t>(segment.tokens.size());
    }

    const auto read_start = Clock::now();
    const std::int64_t first = sequence.position();
    std::vector<float> last_hidden;
    bool damaged = false;
    while (sequence.position() < total) {
      if (callbacks.stop && callbacks.stop()) {
        if (store && sequence.position() > first)
          store->publish(chain.segments, sequence.position(), sequence.kv.pages(),
                         snapshot_of(sequence, last_hidden, RowKind::prefill), place_of(chain, sequence.position()));
        sequence.restore.reset();
        outcome.prefill_s = seconds_since(read_start);
        return outcome;
      }
      const PrefillPass pass = plan_pass(chain, sequence.position(), forward.chunk());
      std::vector<std::unique_ptr<DeltaSnapshot>> snapshots;
      std::vector<DeltaSnapshot*> targets;
      if (store)
        for (std::size_t index = 0; index < pass.snapshot_offsets.size(); ++index) {
          snapshots.push_back(std::make_unique<DeltaSnapshot>(sequence.state.shape()));
          targets.push_back(snapshots.back().get());
        }
      const std::int64_t count = pass.end - pass.begin;
      const ForwardPiece piece{
          &sequence,
          {tokens.data() + pass.begin, static_cast<std::size_t>(count)},
          pass.segment_starts,
          store ? std::span<const std::int64_t>(pass.snapshot_offsets) : std::span<const std::int64_t>(),
          targets};
      const auto pass_start = Clock::now();
      kernels::ConstTensor hidden;
      try {
        hidden = forward.run({&piece, 1}, RowKind::prefill);
      } catch (const RestoreFailed&) {
        damaged = true;
      }
      if (damaged || (store && !store->settle(sequence, point))) {
        damaged = true;
        break;
      }
      if (trace) trace->add_prefill(count, sequence.position(), seconds_since(pass_start));
      const auto* row = reinterpret_cast<const float*>(hidden.data) + (count - 1) * hidden.columns();
      last_hidden.assign(row, row + hidden.columns());
      if (callbacks.rows) callbacks.rows(std::span(tokens).subspan(static_cast<std::size_t>(first)), hidden);
      for (auto& snapshot : snapshots) {
        const std::int64_t position = snapshot->position;
        store->publish(chain.segments, position, sequence.kv.pages(), std::move(snapshot), place_of(chain, position));
      }
      const double rate = static_cast<double>(sequence.position() - first) / std::max(seconds_since(read_start), 1e-9);
      if (callbacks.progress)
        callbacks.progress(sequence.position(), static_cast<double>(total - sequence.position()) / rate);
    }
    if (damaged) continue;
    outcome.prefill_s = first < total ? seconds_since(read_start) : 0;
    outcome.hidden = first < total ? std::move(last_hidden) : std::move(point.hidden);
    outcome.hidden_rows = first < total ? RowKind::prefill : point.hidden_rows;
    outcome.finished = true;
    return outcome;
  }
}

}  // namespace lectern::inference
