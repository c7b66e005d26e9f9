// Whatever fails, wherever it fails: a miss or the right rows, never anything else, and the folder works afterwards.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <random>
#include <set>

#include "inference/disk/context_disk.h"
#include "tests/inference/disk/kept_samples.h"
#include "tests/support/memory_file_system.h"

namespace lectern::inference {
namespace {

using samples::Chain;
using samples::Memory;
using samples::segment;
using Step = test::MemoryFileSystem::Step;

constexpr std::int64_t large = std::int64_t{1} << 32;

class ContextFaults : public ::testing::TestWithParam<int> {
 protected:
  static KeptShape shape_of(int number) {
    switch (number) {
      case 0: return samples::hybrid_shape();
      case 1: return samples::attention_shape();
      default: return samples::odd_shape();
    }
  }
  std::unique_ptr<ContextDisk> open(FileSystem& files, std::int64_t budget = large) {
    return std::make_unique<ContextDisk>(ContextDiskOptions{"/kept", budget}, samples::identity(), shape, files);
  }
  /// A life of a disk in which everything happens: saving, thinning, evicting, reading, quarantine, clearing.
  void live(test::MemoryFileSystem& files) {
    auto disk = open(files, 400'000);
    samples::save(*disk, memory, stopped);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, stopped).wrong, 0);
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, chain).wrong, 0);
    samples::save(*disk, memory, other);
    disk->remember_reading("chat", std::vector<ReadPart>{{"book", 1}}, std::vector<std::uint64_t>{1, 2});
    disk->flush();
    for (const auto& file : files.files())
      if (file.filename().string().starts_with(last_of(other)) && !files.content(file).empty())
        files.content(file).back() ^= std::byte{1};
    EXPECT_EQ(samples::read_back(*disk, memory, other).wrong, 0);
    disk->clear_document("paper");
    samples::save(*disk, memory, other);
    disk->flush();
  }
  static std::string last_of(const Chain& chain) {
    const ChainKey key = chain.extents().back().key;
    char text[40];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(key.high),
                  static_cast<unsigned long long>(key.low));
    return text;
  }
  /// After whatever happened: no wrong rows, no files that nobody knows, and it can be written and read.
  void expect_working(test::MemoryFileSystem& files, const std::string& after, bool errors_were_told = false) {
    auto disk = open(files);
    EXPECT_EQ(disk->stats().problem, "") << after;
    // What the index knew was whole, whenever it happened; but for the file in which live() flips a bit.
    for (const std::string& damaged : verify_context_folder("/kept", files).damaged)
      EXPECT_TRUE(damaged.starts_with(last_of(other))) << damaged << " " << after;
    for (const Extent& extent : chain.extents())
      EXPECT_TRUE(errors_were_told || disk->forgotten(extent.key) != Forgotten::damaged) << after;
    for (const Chain* at : {&chain, &stopped, &other})
      EXPECT_EQ(samples::read_back(*disk, memory, *at).wrong, 0) << after;
    const VerifyReport report = verify_context_folder("/kept", files);
    EXPECT_TRUE(report.damaged.empty()) << after;
    EXPECT_EQ(report.orphans, 0) << after;
    for (const Chain* at : {&chain, &other}) samples::save(*disk, memory, *at);
    disk->flush();
    for (const Chain* at : {&chain, &other}) {
      const auto back = samples::read_back(*disk, memory, *at);
      EXPECT_EQ(back.position, at->length()) << after;
      EXPECT_EQ(back.wrong, 0) << after;
    }
  }

  KeptShape shape = shape_of(GetParam());
  Memory memory{shape};
  const Chain chain =
      Chain(samples::identity(), {segment("system", 40, 1), segment("book", 600, 2), segment("q", 9, 3)})
          .cut(300, StatePlace::progress)
          .cut(649, StatePlace::prompt_end);
  const Chain stopped{samples::identity(), {segment("system", 40, 1)}};
  const Chain other{samples::identity(), {segment("system", 40, 1), segment("paper", 256, 5)}};
};

INSTANTIATE_TEST_SUITE_P(Shapes, ContextFaults, ::testing::Values(0, 1, 2), [](const auto& shape) {
  return std::string(shape.param == 0 ? "Hybrid" : shape.param == 1 ? "Attention" : "Odd");
});

std::int64_t steps_of(auto&& life) {
  test::MemoryFileSystem files;
  life(files);
  return files.steps();
}

// Every block of a write is a step: torn writes at every 4 KiB are among them.
TEST_P(ContextFaults, KilledAtEveryStep) {
  const std::int64_t steps = steps_of([&](test::MemoryFileSystem& files) { live(files); });
  ASSERT_GT(steps, 80);
  for (std::int64_t step = 1; step <= steps; ++step) {
    test::MemoryFileSystem files;
    files.kill_after(step);
    live(files);
    EXPECT_TRUE(files.is_dead() || step > steps - 3);
    files.revive();
    expect_working(files, "killed at step " + std::to_string(step));
    if (HasFailure()) return;
  }
}

TEST_P(ContextFaults, PowerCutAtEveryStep) {
  const std::int64_t steps = steps_of([&](test::MemoryFileSystem& files) { live(files); });
  std::mt19937 random(1);
  for (std::int64_t step = 1; step <= steps; ++step) {
    test::MemoryFileSystem files;
    files.kill_after(step);
    live(files);
    files.cut_power(random);
    expect_working(files, "power cut at step " + std::to_string(step));
    if (HasFailure()) return;
  }
}

// One step fails, the program goes on: with every kind of error at every step.
TEST_P(ContextFaults, AnErrorAtEveryStep) {
  const std::int64_t steps = steps_of([&](test::MemoryFileSystem& files) { live(files); });
  for (const auto kind : {FileError::Kind::full, FileError::Kind::unreadable, FileError::Kind::forbidden,
                          FileError::Kind::missing, FileError::Kind::shorter, FileError::Kind::other})
    for (std::int64_t step = 1; step <= steps; ++step) {
      test::MemoryFileSystem files;
      std::int64_t left = step;
      files.set_hook([&](Step, const auto& path) {
        if (--left == 0) throw FileError(kind, path.string() + ": does not work");
      });
      live(files);
      files.set_hook(nullptr);
      files.clock_s += 3600;
      expect_working(files, "error " + std::to_string(static_cast<int>(kind)) + " at step " + std::to_string(step),
                     true);
      if (HasFailure()) return;
    }
}

// A program that is told of an error in writing says so, and takes up again what it can.
TEST_P(ContextFaults, ErrorsInWritingAreTold) {
  for (const auto& [step, kind, words] : std::vector<std::tuple<Step, FileError::Kind, std::string>>{
           {Step::write, FileError::Kind::full, "is full"},
           {Step::write, FileError::Kind::unreadable, "is broken"},
           {Step::sync, FileError::Kind::unreadable, "is broken"},
           {Step::sync_folder, FileError::Kind::unreadable, "is broken"},
           {Step::create, FileError::Kind::forbidden, "is not yours"},
           {Step::commit, FileError::Kind::full, "is full"}}) {
    test::MemoryFileSystem files;
    auto disk = open(files);
    files.set_hook([&, wanted = step, what = kind, text = words](Step at, const auto& path) {
      if (at == wanted) throw FileError(what, path.string() + ": the disk " + text);
    });
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(disk->stats().extents, 0);
    EXPECT_NE(disk->stats().problem.find(words), std::string::npos) << disk->stats().problem;
    files.set_hook(nullptr);
    files.clock_s += 60;
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(disk->stats().problem, "");
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, chain.length());
    EXPECT_EQ(verify_context_folder("/kept", files).orphans, 0);
  }
}

TEST_P(ContextFaults, AReadErrorIsAMissAndGoesIntoQuarantine) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  samples::save(*disk, memory, chain);
  disk->flush();
  const std::int64_t reads = 30;
  for (std::int64_t read = 1; read <= reads; ++read) {
    std::int64_t left = read;
    files.set_hook([&](Step at, const auto& path) {
      if (at == Step::read && --left == 0) throw FileError(FileError::Kind::unreadable, path.string() + ": EIO");
    });
    const auto back = samples::read_back(*disk, memory, chain);
    files.set_hook(nullptr);
    EXPECT_EQ(back.wrong, 0);
    if (left > 0) break;
    EXPECT_EQ(back.position, 0);
    EXPECT_GT(disk->stats().quarantined, 0);
    EXPECT_LT(samples::read_back(*disk, memory, chain).position, chain.length());
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, chain.length());
    EXPECT_LE(disk->stats().quarantined, 8);
  }
}

// One bit in every byte of the header and in places of every strip, and of its filling.
TEST_P(ContextFaults, EveryFlippedBitIsAMiss) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  const Chain small(samples::identity(), {segment("a", 260, 7)});
  samples::save(*disk, memory, small);
  disk->flush();
  const std::vector<std::byte> sound = files.content(files.files()[0]);
  std::int64_t flips = 0, misses = 0;
  for (std::size_t byte = 0; byte < sound.size(); byte += byte < 1400 ? 1 : 61) {
    const auto file = files.files()[0];
    files.content(file) = sound;
    files.content(file)[byte] ^= std::byte{1} << (byte * 5 % 8);
    const auto back = samples::read_back(*disk, memory, small);
    ++flips;
    misses += back.position == 0 ? 1 : 0;
    ASSERT_EQ(back.position, 0) << "bit of byte " << byte;
    ASSERT_EQ(disk->forgotten(small.extents()[0].key), Forgotten::damaged) << byte;
    samples::save(*disk, memory, small);
    disk->flush();
  }
  EXPECT_EQ(flips, misses);
  EXPECT_EQ(samples::read_back(*disk, memory, small).position, 260);
}

TEST_P(ContextFaults, AShortOrMissingFileIsAMiss) {
  for (bool restart : {false, true}) {
    test::MemoryFileSystem files;
    auto disk = open(files);
    samples::save(*disk, memory, chain);
    disk->flush();
    for (std::int64_t bytes = -1;; bytes = bytes < 0 ? 0 : bytes + 4096) {
      const std::string key = last_of(other);
      samples::save(*disk, memory, other);
      disk->flush();
      std::filesystem::path file;
      for (const auto& at : files.files())
        if (at.filename().string().starts_with(key)) file = at;
      if (bytes >= static_cast<std::int64_t>(files.content(file).size())) break;
      if (bytes < 0)
        files.remove(file);
      else
        files.content(file).resize(static_cast<std::size_t>(bytes));
      if (restart) {
        disk.reset();
        disk = open(files);
      }
      const auto back = samples::read_back(*disk, memory, other);
      EXPECT_LE(back.position, 40) << bytes;
      EXPECT_EQ(back.wrong, 0);
      EXPECT_LE(samples::read_back(*disk, memory, other).position, 40);
      EXPECT_EQ(samples::read_back(*disk, memory, chain).position, chain.length());
    }
  }
}

TEST_P(ContextFaults, DescendantsOfADamagedExtentGoToo) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  samples::save(*disk, memory, chain);
  disk->flush();
  const auto extents = chain.extents();
  const auto first = disk->following(chain.root());
  ASSERT_EQ(first.size(), 1U);
  int flipped = 0;
  for (const auto& file : files.files()) {
    if (file.parent_path() != "/kept/extents") continue;
    const ReadHeader read = read_extent_header(*files.open(file));
    if (read.result != ReadHeader::Result::sound || read.header.extent.key != first[0].key) continue;
    files.content(file)[static_cast<std::size_t>(read.layout->header_bytes)] ^= std::byte{4};  // in its first strip
    ++flipped;
  }
  ASSERT_EQ(flipped, 1);
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 0);
  EXPECT_EQ(disk->stats().extents, 0);
  EXPECT_EQ(disk->stats().quarantined, 1);
  for (const Extent& extent : extents) EXPECT_EQ(disk->forgotten(extent.key), Forgotten::damaged);
  EXPECT_TRUE(files.files("/kept/extents/x").empty());
  disk->clear();
  EXPECT_EQ(disk->stats().quarantined, 0) << "quarantine is the document's content too";
}

// A file of another format, whose checksum holds: neither read nor deleted.
TEST_P(ContextFaults, AFileOfAnotherVersionIsNotRead) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  samples::save(*disk, memory, stopped);
  disk->flush();
  const auto file = files.files()[0];
  std::vector<std::byte> bytes = files.content(file);
  std::int64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 16, 8);
  bytes[8] = std::byte{2};
  std::memset(bytes.data() + 24, 0, 16);
  const ChainKey sum = checksum(std::span(bytes).first(static_cast<std::size_t>(header_bytes)));
  std::memcpy(bytes.data() + 24, &sum, 16);
  files.content(file) = bytes;
  EXPECT_EQ(samples::read_back(*disk, memory, stopped).position, 0);
  const auto newer = std::filesystem::path("/kept/extents/newer.extent");
  files.create(newer);
  files.content(newer) = bytes;
  disk = open(files);
  EXPECT_TRUE(files.is_there(newer));
  EXPECT_EQ(disk->stats().extents, 0);
}

// A file in the place of another one: every key, position and identity is compared.
TEST_P(ContextFaults, FilesThatChangedPlacesAreMisses) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  samples::save(*disk, memory, other);
  samples::save(*disk, memory, Chain(samples::identity(), {segment("system", 40, 1), segment("paper", 256, 6)}));
  const ReadingIdentity foreign = samples::identity("other build");
  auto another = std::make_unique<ContextDisk>(ContextDiskOptions{"/kept", large}, foreign, shape, files);
  samples::save(*another, memory, Chain(foreign, {segment("system", 40, 1), segment("paper", 256, 5)}));
  disk->flush();
  another->flush();
  std::vector<std::filesystem::path> same_size;
  std::vector<std::vector<std::byte>> contents;
  for (const auto& file : files.files()) {
    same_size.push_back(file);
    contents.push_back(files.content(file));
  }
  for (std::size_t index = 0; index < same_size.size(); ++index)
    files.content(same_size[index]) = contents[(index + 1) % contents.size()];
  EXPECT_EQ(samples::read_back(*disk, memory, other).position, 0);
  EXPECT_EQ(samples::read_back(*another, memory, Chain(foreign, {segment("system", 40, 1)})).position, 0);
}

// The same tokens, the same sizes, another build's numbers.
TEST_P(ContextFaults, AnotherIdentitysFileIsAMiss) {
  test::MemoryFileSystem files;
  auto disk = open(files);
  const ReadingIdentity foreign = samples::identity("other");  // as long as "build"
  auto another = std::make_unique<ContextDisk>(ContextDiskOptions{"/kept", large}, foreign, shape, files);
  samples::save(*disk, memory, stopped);
  disk->flush();
  const auto own_file = files.files()[0];
  samples::save(*another, memory, Chain(foreign, {segment("system", 40, 1)}));
  another->flush();
  for (const auto& file : files.files())
    if (file != own_file) files.content(own_file) = files.content(file);
  EXPECT_EQ(samples::read_back(*disk, memory, stopped).position, 0);
  EXPECT_EQ(disk->forgotten(stopped.extents()[0].key), Forgotten::damaged);
}

// The campaign: many lives, many faults in each, everything that is served compared.
TEST(ContextCampaign, AHundredThousandFaultsAndNoWrongRead) {
  constexpr std::int64_t wanted = 100'000;
  std::mt19937 random(20240601);
  const auto pick = [&](std::uint64_t most) { return static_cast<std::int64_t>(random() % most); };
  KeptShape shape = samples::hybrid_shape();
  shape.layers = 1;
  shape.delta = {1, 1, 2, 2, 1, 4, 2};
  Memory memory(shape);
  std::vector<Chain> chains;
  for (int number = 0; number < 12; ++number) {
    std::vector<samples::SampleSegment> segments{segment("system", 20, number % 2)};
    segments.push_back(segment(samples::document(number), 30 + number * 29, number));
    if (number % 3 == 0) segments.push_back(segment("q", 5, number));
    chains.emplace_back(samples::identity(), segments);
    if (number % 4 == 1) chains.back().cut(33, StatePlace::progress);
    if (number % 3 == 0) chains.back().cut(chains.back().length(), StatePlace::prompt_end);
  }
  std::array<std::int64_t, 8> faults{};  // by kind
  const auto total = [&] {
    std::int64_t sum = 0;
    for (std::int64_t count : faults) sum += count;
    return sum;
  };
  std::int64_t reads = 0, hits = 0, misses = 0, wrong = 0, lives = 0;
  const auto start = std::chrono::steady_clock::now();
  while (total() < wanted) {
    ++lives;
    test::MemoryFileSystem files;
    std::mt19937 hook_random(static_cast<std::uint32_t>(random()));
    std::atomic<std::int64_t> step_errors = 0, read_flips = 0;
    bool may_fail = false;
    std::unique_ptr<ContextDisk> disk;
    const auto open = [&] {
      disk = std::make_unique<ContextDisk>(ContextDiskOptions{"/kept", 120'000 + pick(200'000)}, samples::identity(),
                                           shape, files);
    };
    open();
    files.set_hook([&](Step, const auto& path) {
      if (!may_fail || hook_random() % 8 != 0) return;
      ++step_errors;
      constexpr std::array kinds{FileError::Kind::full,    FileError::Kind::unreadable, FileError::Kind::forbidden,
                                 FileError::Kind::missing, FileError::Kind::shorter,    FileError::Kind::other};
      throw FileError(kinds[hook_random() % kinds.size()], path.string() + ": does not work");
    });
    files.set_read_hook([&](const auto&, std::span<std::byte> bytes) {
      if (!may_fail || hook_random() % 8 != 0) return;
      ++read_flips;
      bytes[hook_random() % bytes.size()] ^= std::byte{1} << (hook_random() % 8);
    });
    for (int action = 0; action < 300; ++action) {
      const Chain& chain = chains[static_cast<std::size_t>(pick(chains.size()))];
      switch (pick(9)) {
        case 0:
        case 1:  // keep it
          files.clock_s += pick(200) - 20;
          samples::save(*disk, memory, chain);
          disk->flush();
          break;
        case 2:  // keep it while steps fail
          may_fail = true;
          files.clock_s += 60;
          samples::save(*disk, memory, chain);
          disk->flush();
          may_fail = false;
          break;
        case 3: {  // the process is killed, or the power is cut, while it keeps, reads or clears
          files.clock_s += 60;
          files.kill_after(1 + pick(60));
          samples::save(*disk, memory, chain);
          disk->flush();
          if (pick(3) == 0) disk->clear_document(samples::document(pick(12)));
          wrong += samples::read_back(*disk, memory, chain).wrong;
          disk.reset();
          if (pick(2) == 0) {
            files.revive();
            ++faults[0];
          } else {
            files.cut_power(random);
            ++faults[1];
          }
          open();
          break;
        }
        case 4:
        case 5: {  // bits flip in files
          auto kept = files.files();
          std::erase_if(kept, [](const auto& file) { return file.parent_path() != "/kept/extents"; });
          for (std::int64_t flips = kept.empty() ? 0 : 1 + pick(25); flips > 0; --flips) {
            auto& content = files.content(kept[static_cast<std::size_t>(pick(kept.size()))]);
            if (content.empty()) continue;
            // Headers are small: half of the flips go there.
            const std::uint64_t range = pick(2) == 0 ? std::min<std::size_t>(content.size(), 900) : content.size();
            content[static_cast<std::size_t>(pick(range))] ^= std::byte{1} << pick(8);
            ++faults[2];
          }
          break;
        }
        case 6: {  // a file is cut, goes, or gets another one's content
          auto kept = files.files();
          std::erase_if(kept, [](const auto& file) { return file.parent_path() != "/kept/extents"; });
          if (kept.empty()) break;
          const auto& file = kept[static_cast<std::size_t>(pick(kept.size()))];
          ++faults[3];
          if (pick(3) == 0)
            files.content(file) = files.content(kept[static_cast<std::size_t>(pick(kept.size()))]);
          else if (pick(4) == 0)
            files.remove(file);
          else
            files.content(file).resize(static_cast<std::size_t>(pick(files.content(file).size() / 4096 + 1)) * 4096);
          break;
        }
        case 7:  // restart
          disk.reset();
          open();
          break;
        default: may_fail = true;  // read while reads fail or give wrong bits
      }
      for (int read = 0; read < 2; ++read) {
        const Chain& wanted_chain = read == 0 ? chain : chains[static_cast<std::size_t>(pick(chains.size()))];
        const auto back = samples::read_back(*disk, memory, wanted_chain, pick(4) == 0 ? pick(300) : 0);
        ++reads;
        back.position > 0 ? ++hits : ++misses;
        wrong += back.wrong;
      }
      may_fail = false;
      ASSERT_EQ(wrong, 0) << "life " << lives << ", action " << action;
    }
    faults[4] += step_errors;
    faults[5] += read_flips;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "faults %lld (kills %lld, power cuts %lld, bits in files %lld, files cut, gone or changed %lld, failed steps "
      "%lld, "
      "bits in reads %lld) in %lld lives\nreads %lld: hits %lld, misses %lld, wrong reads %lld, crashes 0; %.1f s\n",
      static_cast<long long>(total()), static_cast<long long>(faults[0]), static_cast<long long>(faults[1]),
      static_cast<long long>(faults[2]), static_cast<long long>(faults[3]), static_cast<long long>(faults[4]),
      static_cast<long long>(faults[5]), static_cast<long long>(lives), static_cast<long long>(reads),
      static_cast<long long>(hits), static_cast<long long>(misses), static_cast<long long>(wrong), seconds);
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(hits, misses / 20) << "a campaign that only misses proves nothing";
}

}  // namespace
}  // namespace lectern::inference
