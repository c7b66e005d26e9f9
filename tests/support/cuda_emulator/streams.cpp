// Nothing runs when it is put into a stream: a missing synchronisation or event gives wrong data. Which stream goes on
// when several can is a seeded choice; so is the order of a graph's nodes, within what their edges allow.
#include "streams.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "device_memory.h"
#include "settings.h"

namespace emu {

Runtime& runtime() {
  static Runtime& instance = *new Runtime;
  return instance;
}

void Runtime::set_fault(cudaError_t error, std::string report) {
  if (fault_ != cudaSuccess) return;
  std::fprintf(stderr, "cuda emulator (order %s): %s\n", describe(settings()).c_str(), report.c_str());
  fault_ = error;
  report_ = std::move(report);
  for (auto& stream : streams_) stream->work.clear();
}

cudaError_t Runtime::refuse(cudaError_t error, std::string why) {
  std::fprintf(stderr, "cuda emulator: %s\n", why.c_str());
  report_ = std::move(why);
  return remember(error);
}

void Runtime::clear() {
  fault_ = last_error_ = cudaSuccess;
  report_.clear();
  for (auto& stream : streams_) {
    stream->work.clear();
    stream->capture.reset();
  }
  captures_.clear();
}

cudaError_t Runtime::take_last_error(bool reset) {
  const cudaError_t error = fault_ != cudaSuccess ? fault_ : last_error_;
  if (reset) last_error_ = cudaSuccess;
  return error;
}

CUstream_st* Runtime::create_stream(bool blocking) {
  streams_.push_back(std::make_unique<CUstream_st>());
  streams_.back()->blocking = blocking;
  return streams_.back().get();
}

void Runtime::destroy_stream(CUstream_st* stream) {
  stream->destroyed = true;  // its work still runs, at the latest when the device is waited for
  std::erase_if(streams_, [](const auto& s) { return s->destroyed && s->work.empty(); });
}

bool Runtime::is_stream(cudaStream_t stream) const {
  return stream == nullptr || std::any_of(streams_.begin(), streams_.end(),
                                          [&](const auto& s) { return s.get() == stream && !s->destroyed; });
}

cudaError_t Runtime::add(cudaStream_t stream, Work work, cudaGraphNodeType type) {
  if (fault_ != cudaSuccess) return fault_;
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  if (stream && stream->capture) {
    Capture& capture = *stream->capture;
    if (capture.invalid) return remember(cudaErrorStreamCaptureInvalidated);
    capture.nodes.push_back({std::move(work), type, stream->capture_tail});
    stream->capture_tail = {capture.nodes.size() - 1};
    return cudaSuccess;
  }
  if (stream) {
    stream->work.push_back(std::move(work));
    return cudaSuccess;
  }
  if (const cudaError_t error = refuse_during_capture()) return error;
  while (run_any(true)) {
  }
  if (fault_ == cudaSuccess) work.run();
  return fault_;
}

cudaError_t Runtime::record(cudaEvent_t event, cudaStream_t stream) {
  if (fault_ != cudaSuccess) return fault_;
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  if (stream && stream->capture) {
    event->capture = stream->capture;
    event->capture_tail = stream->capture_tail;
    return cudaSuccess;
  }
  event->capture.reset();
  event->last = std::make_shared<Recording>();
  return add(
      stream,
      {"event",
       [recording = event->last] {
         recording->time_ms =
             std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
         recording->done = true;
       },
       nullptr, event->last},
      cudaGraphNodeTypeEventRecord);
}

cudaError_t Runtime::wait(cudaStream_t stream, cudaEvent_t event) {
  if (fault_ != cudaSuccess) return fault_;
  if (!is_stream(stream)) return remember(cudaErrorInvalidResourceHandle);
  if (event->capture) {
    if (!stream) return remember(cudaErrorStreamCaptureImplicit);
    if (stream->capture && stream->capture != event->capture) return remember(cudaErrorStreamCaptureMerge);
    if (!stream->capture) stream->capture_tail.clear();
    stream->capture = event->capture;
    for (const std::size_t node : event->capture_tail)
      if (std::find(stream->capture_tail.begin(), stream->capture_tail.end(), node) == stream->capture_tail.end())
        stream->capture_tail.push_back(node);
    return cudaSuccess;
  }
  if (stream && stream->capture) return remember(cudaErrorStreamCaptureIsolation);
  if (!event->last) return cudaSuccess;  // never recorded: nothing to wait for
  return add(stream, {"wait for an event", [] {}, event->last, nullptr}, cudaGraphNodeTypeWaitEvent);
}

void Runtime::run_one(CUstream_st& stream) {
  Work work = std::move(stream.work.front());
  stream.work.pop_front();
  if (work.grid && settings().order != Order::natural)
    run_kernels(stream, work.grid);
  else
    work.run();
  if (stream.destroyed) destroy_stream(&stream);
}

/// A kernel launched by LAUNCH_DEPENDENT begins before the one in front of it: as far as its threads get without that
/// one's results. What it reads or writes before wait_for_previous_grid() is then wrong; and if it never waits, neither
/// is the kernel behind it held back, whose own wait is for this one alone.
void Runtime::run_kernels(CUstream_st& stream, std::shared_ptr<Grid> grid) {
  Machine *now = &machine_number(0), *ahead = &machine_number(1);
  bool has_begun = false;
  const auto ended_well = [&](Machine& machine) {
    if (machine.retire().empty()) return true;
    set_fault(cudaErrorLaunchFailure, machine.retire());
    return false;
  };
  for (;;) {
    std::shared_ptr<Grid> next;
    bool in_front_has_ended = false;
    while (!next && !stream.work.empty() && stream.work.front().grid && stream.work.front().grid->dependent) {
      std::shared_ptr<Grid> candidate = stream.work.front().grid;
      stream.work.pop_front();
      if (ahead->begin(*candidate, !in_front_has_ended) == Machine::Progress::waits) {
        next = candidate;
      } else if (!ended_well(*ahead)) {
        if (has_begun) now->abandon();
        return;
      }
      in_front_has_ended = true;
    }
    if (has_begun)
      now->go_on();
    else
      now->begin(*grid, false);
    if (!ended_well(*now)) {
      if (next) ahead->abandon();
      return;
    }
    if (!next) return;
    std::swap(now, ahead);
    grid = next;
    has_begun = true;
  }
}

bool Runtime::run_any(bool blocking_only) {
  std::vector<CUstream_st*> able;
  for (const auto& stream : streams_) {
    if (stream->work.empty() || (blocking_only && !stream->blocking)) continue;
    const auto& after = stream->work.front().after;
    if (!after || after->done) able.push_back(stream.get());
  }
  if (able.empty()) return false;
  std::size_t pick = settings().order == Order::reverse ? able.size() - 1 : 0;
  if (settings().order == Order::random) pick = Random(settings().seed * 7919 + steps_++).below(able.size());
  run_one(*able[pick]);
  return true;
}

cudaError_t Runtime::drain(cudaStream_t stream) {
  while (fault_ == cudaSuccess && !stream->work.empty())
    if (!run_any(false)) set_fault(cudaErrorLaunchFailure, "a stream waits for an event that nothing reaches");
  return fault_;
}

cudaError_t Runtime::drain_until(const Recording& recording) {
  while (fault_ == cudaSuccess && !recording.done)
    if (!run_any(false)) set_fault(cudaErrorLaunchFailure, "the host waits for an event that nothing reaches");
  return fault_;
}

cudaError_t Runtime::drain_all() {
  while (fault_ == cudaSuccess && run_any(false)) {
  }
  for (const auto& stream : streams_)
    if (fault_ == cudaSuccess && !stream->work.empty())
      set_fault(cudaErrorLaunchFailure, "streams wait for events that nothing reaches");
  if (fault_ == cudaSuccess)
    if (const std::string damage = memory().damage(); !damage.empty()) set_fault(cudaErrorLaunchFailure, damage);
  return fault_;
}

void Runtime::make_progress() {
  if (fault_ == cudaSuccess) run_any(false);
}

cudaError_t Runtime::begin_capture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (fault_ != cudaSuccess) return fault_;
  if (!stream || !is_stream(stream)) return remember(cudaErrorStreamCaptureUnsupported);
  if (stream->capture) return remember(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture_tail.clear();
  captures_.push_back(stream->capture);
  return cudaSuccess;
}

cudaError_t Runtime::end_capture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!stream || !stream->capture || stream->capture->origin != stream) return remember(cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream->capture;
  std::erase(captures_, capture);
  // What no other node follows must be what the origin has come to, else a branch was never joined.
  std::vector<bool> followed(capture->nodes.size(), false);
  for (const GraphNode& node : capture->nodes)
    for (const std::size_t before : node.after) followed[before] = true;
  bool joined = true;
  for (std::size_t i = 0; i < capture->nodes.size(); ++i)
    joined = joined && (followed[i] || std::find(stream->capture_tail.begin(), stream->capture_tail.end(), i) !=
                                           stream->capture_tail.end());
  for (auto& other : streams_)
    if (other->capture == capture) other->capture.reset();
  if (fault_ != cudaSuccess) return fault_;
  if (capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
  if (!joined) return remember(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{capture->nodes};
  return cudaSuccess;
}

cudaError_t Runtime::refuse_during_capture() {
  bool refused = false;
  for (const auto& capture : captures_) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    capture->invalid = true;
    refused = true;
  }
  return refused ? remember(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

}  // namespace emu
