// What keeping readings costs and saves, in ratios of one run (the targets of the context store):
//   kept_readings_bench MODEL FOLDER TEXT [TOKENS]
// TEXT is a file of real text, repeated if it is short; FOLDER is emptied and used. Every figure stands beside what it
// is held against. A reading with the store and one without take turns, pass by pass, so that both meet the same
// machine.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "inference/disk/context_disk.h"
#include "inference/model.h"
#include "inference/prefill.h"
#include "kernels/attention_prefill.h"

namespace lectern::inference {
namespace {

constexpr std::int64_t question_tokens = 30, chunk = 512;
constexpr int repetitions = 5;
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The middle one of several measurements.
template <class Function>
double median_of(Function function) {
  std::vector<double> seconds;
  for (int index = 0; index < repetitions; ++index) seconds.push_back(function());
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

void add(PromptChain& chain, std::vector<TokenId> tokens, SegmentLabel::Kind kind, const char* id) {
  chain.segments.push_back({std::move(tokens), RowKind::prefill, id});
  chain.labels.push_back({kind, true});
}

struct Kept {
  Kept(KvPagePool& pool, const DeltaShape& shape, const ReadingIdentity& identity, const char* folder)
      : disk({folder, std::int64_t{1} << 40, std::int64_t{1} << 40}, identity, {pool.layers(), pool.shape(), shape},
             system_files()),
        store(pool, shape, identity.text(), std::int64_t{1} << 33) {
    store.set_disk(&disk);
  }
  ContextDisk disk;
  ContextStore store;
};

/// Bytes a second of reading the kept files past the page cache.
double disk_rate(const std::filesystem::path& folder) {
  FileSystem& files = system_files();
  AlignedBuffer buffer(std::int64_t{8} << 20);
  std::int64_t bytes = 0;
  const auto start = Clock::now();
  for (const FileSystem::Entry& entry : files.list(folder / "extents")) {
    const auto file = files.open(folder / "extents" / entry.name);
    for (std::int64_t at = 0; at + buffer.bytes() <= entry.bytes; at += buffer.bytes()) {
      const std::span<std::byte> into[] = {buffer.span()};
      file->read(at, into);
      bytes += buffer.bytes();
    }
  }
  return static_cast<double>(bytes) / seconds_since(start);
}

int run(const char* model_file, const char* folder, const char* text_file, std::int64_t tokens) {
  const Model model(model_file);
  kernels::Stream stream(0);
  const std::int64_t window = tokens + 1024;
  Forward forward(model.config(), model.weights(), stream, chunk, window);
  const DeltaShape shape = delta_shape(model.config());
  KvPagePool pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 34);
  std::filesystem::remove_all(folder);
  const ReadingIdentity identity{"bench", "bench", "bench"};
  auto kept = std::make_unique<Kept>(pool, shape, identity, folder);

  std::ifstream in(text_file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::vector<TokenId> ids = model.required_tokenizer().encode(text, SpecialTokens::plain_text);
  if (ids.empty()) {
    std::fprintf(stderr, "%s: there is no text in it\n", text_file);
    return 1;
  }
  std::vector<TokenId> document;
  while (std::ssize(document) < tokens) document.push_back(ids[document.size() % ids.size()]);
  PromptChain chain;
  add(chain, document, SegmentLabel::Kind::document, "document");
  const auto asked = [&](unsigned number) {
    PromptChain with_question = chain;
    std::vector<TokenId> question;
    for (std::int64_t index = 0; index < question_tokens; ++index)
      question.push_back(ids[(static_cast<std::size_t>(index) * 7 + number * 131) % ids.size()]);
    add(with_question, question, SegmentLabel::Kind::message, "question");
    return with_question;
  };

  // Reading, with and without the store.
  Sequence with(pool, shape), without(pool, shape);
  PromptChain chain_with = chain, chain_without = chain;
  double seconds_with = 0, seconds_without = 0;
  {
    PromptReader first(&kept->store, pool, with, chain_with, PromptReader::Restore::at_once);
    PromptReader second(nullptr, pool, without, chain_without, PromptReader::Restore::at_once);
    const auto pass = [&](PromptReader& reader) {
      const auto start = Clock::now();
      const auto piece = reader.next(chunk);
      reader.take(forward.run({&*piece, 1}, RowKind::prefill));
      return seconds_since(start);
    };
    for (bool turn = false; !first.finished(); turn = !turn) {
      if (turn) seconds_with += pass(first);
      seconds_without += pass(second);
      if (!turn) seconds_with += pass(first);
    }
    const auto start = Clock::now();
    kept->disk.flush();
    std::printf("written to the end %.2f s after the reading\n", seconds_since(start));
  }
  std::printf("reading %lld tokens: %.1f s (%.1f tokens/s); with the store %.1f s: ratio %.3f (at most 1.03)\n",
              static_cast<long long>(tokens), seconds_without, static_cast<double>(tokens) / seconds_without,
              seconds_with, seconds_with / seconds_without);

  const std::int64_t kv_bytes = tokens * pool.page_bytes() / kernels::kv_page_tokens;
  std::printf("disk: %.1f MB for %.1f MB of keys and values: ratio %.3f (at most 1.2)\n",
              static_cast<double>(kept->disk.stats().bytes) / 1e6, static_cast<double>(kv_bytes) / 1e6,
              static_cast<double>(kept->disk.stats().bytes) / static_cast<double>(kv_bytes));

  // A question of 30 tokens: until the logits of its answer's first token.
  std::vector<float> logits(static_cast<std::size_t>(model.config().vocabulary));
  const auto first_token = [&](ContextStore* store, PromptChain question) {
    Sequence sequence(pool, shape);
    const auto start = Clock::now();
    const ReadOutcome read = read_prompt(forward, store, pool, sequence, question, {}, nullptr);
    forward.logits(kernels::f32_view(const_cast<float*>(read.hidden.data()), {1, std::ssize(read.hidden)}),
                   read.hidden_rows, kernels::f32_view(logits.data(), {1, std::ssize(logits)}));
    const double seconds = seconds_since(start);
    if (store && read.reused + read.loaded != tokens)
      std::printf("  (only %lld tokens were kept)\n", static_cast<long long>(read.reused + read.loaded));
    return seconds;
  };
  unsigned number = 0;
  const double warm = median_of([&] { return first_token(&kept->store, asked(++number)); });
  PromptChain alone = asked(0);
  alone.segments.erase(alone.segments.begin());
  alone.labels.erase(alone.labels.begin());
  const double short_one = median_of([&] { return first_token(nullptr, alone); });
  const AttentionConfig& a = model.config().attention;
  std::vector<float> q(static_cast<std::size_t>(question_tokens * a.heads * a.head_dim), 0.1F), out(q.size());
  std::vector<std::byte*> strips(without.kv.pages().size() + 1);
  const double attention = median_of([&] {
    const auto start = Clock::now();
    for (std::int64_t layer = 0; layer < pool.layers(); ++layer)
      kernels::attention_prefill(stream, kernels::f32_view(q.data(), {question_tokens, a.heads, a.head_dim}),
                                 kv_shape(model.config()), without.kv.strips(layer, strips), tokens - question_tokens,
                                 static_cast<float>(1 / std::sqrt(static_cast<double>(a.head_dim))),
                                 kernels::f32_view(out.data(), {question_tokens, a.heads, a.head_dim}));
    return seconds_since(start);
  });
  std::printf(
      "follow-up of %lld tokens: %.3f s; the same with nothing before it %.3f s and the attention over it %.3f s: "
      "ratio "
      "%.2f (at most 1.3)\n",
      static_cast<long long>(question_tokens), warm, short_one, attention, warm / (short_one + attention));

  // The same after a restart.
  double rate = 0;
  const double reopened = median_of([&] {
    with.restart(pool);
    kept.reset();
    kept = std::make_unique<Kept>(pool, shape, identity, folder);
    rate = std::max(rate, disk_rate(folder));
    return first_token(&kept->store, asked(++number));
  });
  const double bytes = static_cast<double>(kv_bytes + shape.bytes());
  std::printf(
      "reopened: %.3f s; %.1f MB at %.2f GB/s %.3f s, and warm %.3f s: %.2f of 1.3 times the loading and the warm "
      "figure (at most 1); %.0f times less than reading again (at least 20)\n",
      reopened, bytes / 1e6, rate / 1e9, bytes / rate, warm, reopened / (1.3 * bytes / rate + warm),
      seconds_without / reopened);
  return 0;
}

}  // namespace
}  // namespace lectern::inference

int main(int argc, char** argv) {
  if (argc < 4 || argc > 5) {
    std::fprintf(stderr, "kept_readings_bench MODEL FOLDER TEXT [TOKENS]\n");
    return 2;
  }
  try {
    return lectern::inference::run(argv[1], argv[2], argv[3], argc > 4 ? std::atoll(argv[4]) : 32768);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
