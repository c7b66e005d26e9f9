// One process of the test that a kept reading gives the bits of an uninterrupted one (contract C1 of the context
// store):
//   keep MODEL FOLDER ANSWER           reads a prompt and writes an answer, keeps both, and kills itself while it reads
//   on resume MODEL FOLDER ANSWER OUT [SEQUEL]  goes on from what is kept; with SEQUEL: drafts, most of them right
//   straight MODEL ANSWER OUT SEQUEL   the same without anything kept
// ANSWER: ids of the kept answer. OUT: a hash of the logits of every token after it. SEQUEL: the tokens after it.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "inference/answer_reader.h"
#include "inference/disk/context_disk.h"
#include "inference/model.h"
#include "inference/prefill.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {
namespace {

constexpr std::int64_t window = 12288, kept_tokens = 100, sequel_tokens = 512;

/// The known sequel, each seventh token wrong.
class Oracle final : public Drafter {
 public:
  Oracle(std::vector<TokenId> sequel, TokenId usable) : sequel_(std::move(sequel)), usable_(usable) {}
  void read(std::span<const TokenId> next, kernels::ConstTensor, RowKind) override { at_ += next.size(); }
  std::vector<TokenId> propose(TokenId, kernels::ConstTensor, std::int64_t count) override {
    ++at_;
    std::vector<TokenId> drafts;
    for (std::size_t index = at_; std::ssize(drafts) < count && index < sequel_.size(); ++index)
      drafts.push_back(index % 7 == 3 ? (sequel_[index] + 1) % usable_ : sequel_[index]);
    return drafts;
  }

 private:
  const std::vector<TokenId> sequel_;
  const TokenId usable_;
  std::size_t at_ = 0;
};

struct Process {
  explicit Process(const char* path)
      : model(path),
        stream(0),
        forward(model.config(), model.weights(), stream, 512, window),
        shape(delta_shape(model.config())),
        pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 30),
        usable(static_cast<TokenId>(model.usable_tokens())),
        sequence(pool, shape) {}

  void open(const char* folder) {
    const ReadingIdentity identity = model.identity({});
    ContextDiskOptions options;
    options.folder = folder;
    disk =
        std::make_unique<ContextDisk>(options, identity, KeptShape{pool.layers(), pool.shape(), shape}, system_files());
    store = std::make_unique<ContextStore>(pool, shape, identity.text(), std::int64_t{1} << 29);
    store->set_disk(disk.get());
  }

  void add(PromptChain& chain, std::int64_t tokens, SegmentLabel::Kind kind, unsigned seed) const {
    ChainSegment segment;
    for (std::int64_t index = 0; index < tokens; ++index) {
      seed = seed * 1664525U + 1013904223U;
      segment.tokens.push_back(static_cast<TokenId>((seed >> 8) % static_cast<unsigned>(usable)));
    }
    segment.id = std::to_string(seed);
    chain.segments.push_back(std::move(segment));
    chain.labels.push_back({kind, true});
  }
  PromptChain prompt() const {
    PromptChain chain;
    add(chain, 21, SegmentLabel::Kind::system, 1);
    add(chain, 700, SegmentLabel::Kind::document, 2);
    add(chain, 33, SegmentLabel::Kind::message, 3);
    return chain;
  }

  void read(PromptChain& chain) {
    const ReadOutcome read = read_prompt(forward, store.get(), pool, sequence, chain, {}, nullptr);
    hidden = read.hidden;
    rows = read.hidden_rows;
    std::printf("reused %lld loaded %lld of %lld\n", static_cast<long long>(read.reused),
                static_cast<long long>(read.loaded), static_cast<long long>(chain.tokens()));
  }

  /// Greedy tokens; `seen` gets the logits of each.
  template <class Seen>
  std::vector<TokenId> write(std::int64_t tokens, Drafter* drafter, Seen seen) {
    AnswerReader reader(forward, sequence, hidden, rows, drafter, drafter ? 3 : 0);
    std::vector<TokenId> ids;
    for (std::int64_t index = 0; index < tokens; ++index) {
      const std::span<const float> logits = reader.logits();
      seen(logits);
      ids.push_back(static_cast<TokenId>(std::max_element(logits.begin(), logits.begin() + usable) - logits.begin()));
      reader.feed(ids.back(), tokens - index - 1);
    }
    reader.settle();
    hidden.assign(reader.hidden().begin(), reader.hidden().end());
    rows = RowKind::decode;
    accepted = reader.accepted();
    return ids;
  }

  Model model;
  kernels::Stream stream;
  Forward forward;
  DeltaShape shape;
  KvPagePool pool;
  TokenId usable;
  std::unique_ptr<ContextDisk> disk;
  Sequence sequence;
  std::unique_ptr<ContextStore> store;
  std::vector<float> hidden;
  RowKind rows = RowKind::prefill;
  std::int64_t accepted = 0;
};

void save(const char* file, const std::vector<TokenId>& ids) {
  std::ofstream out(file);
  for (const TokenId id : ids) out << id << ' ';
}
std::vector<TokenId> load(const char* file) {
  std::ifstream in(file);
  return {std::istream_iterator<TokenId>(in), {}};
}

int keep(char** argv) {
  Process process(argv[2]);
  process.open(argv[3]);
  PromptChain chain = process.prompt();
  process.read(chain);
  const std::vector<TokenId> answer = process.write(kept_tokens, nullptr, [](std::span<const float>) {});
  save(argv[4], answer);
  chain.segments.push_back({answer, RowKind::decode, "answer"});
  chain.labels.push_back({SegmentLabel::Kind::message, true});
  process.store->publish(chain.segments, process.sequence.position(), process.sequence.kv.pages(),
                         snapshot_of(process.sequence, process.hidden, RowKind::decode), StatePlace::turn_end);
  process.disk->flush();
  process.add(chain, 9000, SegmentLabel::Kind::document, 4);
  ReadCallbacks callbacks;
  callbacks.progress = [&](std::int64_t read, double) {
    if (read > chain.tokens() - 4000) std::raise(SIGKILL);
  };
  read_prompt(process.forward, process.store.get(), process.pool, process.sequence, chain, callbacks, nullptr);
  return 1;  // it should be dead
}

int go_on(char** argv, int argc, bool is_straight) {
  Process process(argv[2]);
  if (!is_straight) process.open(argv[3]);
  char** files = argv + (is_straight ? 3 : 4);
  const std::vector<TokenId> answer = load(files[0]);
  PromptChain chain = process.prompt();
  if (!is_straight) {
    chain.segments.push_back({answer, RowKind::decode, "answer"});
    chain.labels.push_back({SegmentLabel::Kind::message, true});
  }
  process.read(chain);
  std::ofstream out(files[1], std::ios::binary);
  const auto dump = [&](std::span<const float> logits) {
    const std::uint64_t hash = XXH3_64bits(logits.data(), logits.size_bytes());
    out.write(reinterpret_cast<const char*>(&hash), sizeof hash);
  };
  if (is_straight) {
    if (process.write(kept_tokens, nullptr, [](std::span<const float>) {}) != answer) return 1;
    save(files[2], process.write(sequel_tokens, nullptr, dump));
  } else {
    std::unique_ptr<Oracle> oracle;
    if (argc > 6) oracle = std::make_unique<Oracle>(load(argv[6]), process.usable);
    process.write(sequel_tokens, oracle.get(), dump);
    std::printf("accepted %lld\n", static_cast<long long>(process.accepted));
  }
  return out.flush() ? 0 : 1;
}

}  // namespace
}  // namespace lectern::inference

int main(int argc, char** argv) {
  using namespace lectern::inference;
  try {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "keep" && argc == 5) return keep(argv);
    if (mode == "resume" && (argc == 6 || argc == 7)) return go_on(argv, argc, false);
    if (mode == "straight" && argc == 6) return go_on(argv, argc, true);
    std::fprintf(stderr, "see the top of the source\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
