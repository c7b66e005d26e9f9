// What is kept, for how long, and what goes: on files in memory and in a real folder.
#include "inference/disk/context_disk.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/inference/disk/kept_samples.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/temporary_folder.h"

namespace lectern::inference {
namespace {

using samples::Chain;
using samples::Memory;
using samples::segment;

constexpr std::int64_t large = std::int64_t{1} << 32;

/// The real files, with as much free space as tests need.
class RealFiles : public FileSystem {
 public:
  std::unique_ptr<OpenFile> create(const std::filesystem::path& file) override { return system.create(file); }
  std::unique_ptr<OpenFile> open(const std::filesystem::path& file) override { return system.open(file); }
  std::unique_ptr<OpenFile> lock(const std::filesystem::path& file) override { return system.lock(file); }
  void make_folder(const std::filesystem::path& folder) override { system.make_folder(folder); }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override { system.rename(from, to); }
  void remove(const std::filesystem::path& file) override { system.remove(file); }
  void sync_folder(const std::filesystem::path& folder) override { system.sync_folder(folder); }
  std::vector<Entry> list(const std::filesystem::path& folder) override { return system.list(folder); }
  Space space(const std::filesystem::path&) override { return {large << 8, large << 9}; }
  std::int64_t now_s() override { return system.now_s() + clock_offset_s; }
  std::int64_t clock_offset_s = 0;

 private:
  FileSystem& system = system_files();
};

class ContextDiskTest : public ::testing::Test {
 protected:
  std::unique_ptr<ContextDisk> open(const ReadingIdentity& identity = samples::identity(),
                                    std::int64_t budget = large) {
    return std::make_unique<ContextDisk>(ContextDiskOptions{"/kept", budget}, identity, shape, files);
  }
  KeptShape shape = samples::hybrid_shape();
  test::MemoryFileSystem files;
  Memory memory{shape};
  const Chain chain{samples::identity(),
                    {segment("system", 40, 1), segment("book", 700, 2), segment("question", 33, 3)}};
};

class RealFolderTest : public ::testing::Test {
 protected:
  std::unique_ptr<ContextDisk> open(const ReadingIdentity& identity = samples::identity()) {
    return std::make_unique<ContextDisk>(ContextDiskOptions{place, large}, identity, shape, files);
  }
  std::vector<std::filesystem::path> kept_files() const {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(place / "extents")) found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
  }
  test::TemporaryFolder folder;
  std::filesystem::path place = std::filesystem::path(folder.path()) / "cache" / "kept";
  RealFiles files;
  KeptShape shape = samples::hybrid_shape();
  Memory memory{shape};
  const Chain chain{samples::identity(),
                    {segment("system", 40, 1), segment("book", 700, 2), segment("question", 33, 3)}};
};

TEST_F(RealFolderTest, KeepsReadingsOverARestart) {
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
    disk->remember_reading("chat", std::vector<ReadPart>{{"book", 17}}, std::vector<std::uint64_t>{16, 17});
  }
  auto disk = open();
  const auto back = samples::read_back(*disk, memory, chain);
  EXPECT_EQ(back.position, 773);
  EXPECT_EQ(back.wrong, 0);
  EXPECT_EQ(disk->last_reading("chat"), (std::vector<ReadPart>{{"book", 17}}));
  EXPECT_EQ(disk->reader_of(17), samples::identity());
  const ContextDiskStats stats = disk->stats();
  EXPECT_EQ(stats.extents, 3);
  EXPECT_EQ(stats.tokens, 773);
  EXPECT_EQ(stats.states, 3);
  EXPECT_EQ(stats.documents, 3);
  EXPECT_EQ(stats.written_bytes_today, stats.bytes);
  EXPECT_EQ(stats.problem, "");
  std::int64_t bytes = 0;
  for (const auto& file : kept_files()) bytes += static_cast<std::int64_t>(std::filesystem::file_size(file));
  EXPECT_EQ(stats.bytes, bytes);
}

TEST_F(RealFolderTest, FilesAreForTheirOwnerAlone) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
    struct stat status = {};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, entry.is_directory() ? 0700U : 0600U) << entry.path();
  }
}

TEST_F(RealFolderTest, TwoProcessesKeepTheSameAtOnce) {
  const Chain other(samples::identity(), {segment("system", 40, 1), segment("paper", 300, 9)});
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    {
      Memory own(shape);
      auto disk = open();
      for (int round = 0; round < 20; ++round) {
        samples::save(*disk, own, chain);
        samples::save(*disk, own, other);
        disk->flush();
        if (samples::read_back(*disk, own, chain).wrong != 0) ::_exit(1);
        if (round % 5 == 4) disk->clear_document("paper");
      }
      samples::save(*disk, own, chain);
    }
    ::_exit(0);
  }
  auto disk = open();
  for (int round = 0; round < 20; ++round) {
    samples::save(*disk, memory, chain);
    samples::save(*disk, memory, other);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, other).wrong, 0);
    EXPECT_EQ(samples::read_back(*disk, memory, chain).wrong, 0);
    if (round % 7 == 6) disk->clear();
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  samples::save(*disk, memory, chain);
  disk->flush();
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
  EXPECT_EQ(disk->stats().quarantined, 0);
  EXPECT_EQ(disk->stats().problem, "");
  EXPECT_TRUE(verify_context_folder(place, files).damaged.empty());
  EXPECT_EQ(verify_context_folder(place, files).orphans, 0);
}

TEST_F(RealFolderTest, AProcessThatIsKilledLeavesAFolderThatWorks) {
  for (int round = 0; round < 12; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Memory own(shape);
      auto disk = open();
      for (int book = 0;; ++book)
        samples::save(*disk, own, Chain(samples::identity(), {segment("system", 40, 1), segment("b", 700, book % 50)}));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(15 + 7 * round));
    ::kill(child, SIGKILL);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    auto disk = open();
    EXPECT_EQ(disk->stats().problem, "");
    for (int book = 0; book < 50; book += 7)
      EXPECT_EQ(samples::read_back(*disk, memory,
                                   Chain(samples::identity(), {segment("system", 40, 1), segment("b", 700, book)}))
                    .wrong,
                0);
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
    EXPECT_EQ(disk->stats().quarantined, 0);
    EXPECT_EQ(verify_context_folder(place, files).orphans, 0) << "the start removed what was abandoned";
    if (round % 3 == 2) disk->clear();
  }
}

TEST_F(RealFolderTest, ALostIndexIsMadeAgain) {
  open()->remember_reading("chat", std::vector<ReadPart>{{"book", 17}}, {});
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
  }
  for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"})
    std::filesystem::remove(place / name);
  auto disk = open();
  const auto back = samples::read_back(*disk, memory, chain);
  EXPECT_EQ(back.position, 773);
  EXPECT_EQ(back.wrong, 0);
  EXPECT_EQ(disk->stats().documents, 3);
  EXPECT_TRUE(disk->last_reading("chat").empty());
}

TEST_F(RealFolderTest, ADamagedIndexIsSetAsideAndMadeAgain) {
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
  }
  const auto size = std::filesystem::file_size(place / "index.sqlite");
  for (std::uintmax_t offset : {std::uintmax_t{0}, std::uintmax_t{40}, size / 2, size}) {
    std::filesystem::remove(place / "index.sqlite-wal");
    {
      std::fstream file(place / "index.sqlite", std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(offset == size ? 4096 : offset));
      file << std::string(offset == size ? static_cast<std::size_t>(size) - 4096 : 4000, '\x5A');
    }
    auto disk = open();
    const auto back = samples::read_back(*disk, memory, chain);
    EXPECT_EQ(back.position, 773) << offset;
    EXPECT_EQ(back.wrong, 0);
    EXPECT_EQ(disk->stats().problem, "");
    EXPECT_TRUE(std::filesystem::exists(place / "quarantine" / "index.sqlite"));
  }
}

TEST_F(RealFolderTest, AnIndexWhoseDamageShowsOnlyInUseIsMadeAgain) {
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
  }
  {
    std::fstream file(place / "index.sqlite", std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const std::size_t at = bytes.find("reason INTEGER");
    ASSERT_NE(at, std::string::npos);
    file.clear();
    file.seekp(static_cast<std::streamoff>(at));
    file << "reasom";
  }
  auto disk = open();
  for (int round = 0; round < 2; ++round) {  // the first may find it out
    disk->forgotten(chain.extents()[0].key);
    disk->clear_document("nothing");
  }
  EXPECT_TRUE(disk->clear_document("nothing").has_value());
  EXPECT_EQ(disk->stats().problem, "");
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
}

TEST_F(RealFolderTest, AFolderBehindALinkIsNotTouched) {
  std::filesystem::create_directories(place);
  const std::filesystem::path victim = place.parent_path() / "victim";
  std::filesystem::create_directories(victim);
  std::ofstream(victim / "thesis.doc") << "mine";
  std::filesystem::create_symlink(victim, place / "quarantine");
  std::filesystem::create_symlink(victim, place / "extents");
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  disk->clear();
  EXPECT_TRUE(std::filesystem::exists(victim / "thesis.doc"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(victim), std::filesystem::directory_iterator()), 1);
  EXPECT_NE(disk->stats().problem, "");
}

TEST_F(RealFolderTest, AnOlderCopyOfTheIndexIsNoDanger) {
  const Chain second(samples::identity(), {segment("system", 40, 1), segment("paper", 500, 8)});
  const Chain third(samples::identity(), {segment("system", 40, 1), segment("letter", 90, 7)});
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
    samples::save(*disk, memory, third);
  }
  const auto copy = std::filesystem::path(folder.path()) / "older";
  std::filesystem::copy_file(place / "index.sqlite", copy);
  {
    auto disk = open();
    samples::save(*disk, memory, second);
    disk->flush();
    disk->clear_document("letter");
  }
  ASSERT_FALSE(std::filesystem::exists(place / "index.sqlite-wal"));
  std::filesystem::copy_file(copy, place / "index.sqlite", std::filesystem::copy_options::overwrite_existing);
  auto disk = open();
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
  EXPECT_EQ(samples::read_back(*disk, memory, second).position, 40) << "its row is not in the copy";
  EXPECT_EQ(samples::read_back(*disk, memory, third).position, 40) << "its file is gone";
  EXPECT_EQ(disk->forgotten(third.extents()[1].key), Forgotten::damaged);
  EXPECT_EQ(disk->stats().extents, 3);
  EXPECT_EQ(kept_files().size(), 3U);
}

TEST_F(RealFolderTest, AFolderOfANewerVersionIsLeftAlone) {
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
  }
  {
    Connection connection((place / "index.sqlite").string(), "index", Connection::Mode::read_write);
    connection.execute("PRAGMA user_version = 99");
  }
  const auto before = kept_files();
  auto disk = open();
  EXPECT_NE(disk->stats().problem.find("newer version"), std::string::npos) << disk->stats().problem;
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 0);
  samples::save(*disk, memory, Chain(samples::identity(), {segment("x", 50, 5)}));
  disk->flush();
  EXPECT_EQ(disk->clear(), std::nullopt);
  EXPECT_EQ(kept_files(), before);
}

TEST_F(RealFolderTest, AFolderThatCannotBeWrittenIsAProblemAndNoError) {
  if (::geteuid() == 0) {
    // Root may write everywhere: a file in the folder's place stands for it.
    std::filesystem::create_directories(place.parent_path());
    std::ofstream(place) << "a file";
  } else {
    std::filesystem::create_directories(place.parent_path());
    std::filesystem::permissions(place.parent_path(), std::filesystem::perms::owner_read);
  }
  {
    auto disk = open();
    EXPECT_NE(disk->stats().problem.find("kept"), std::string::npos) << disk->stats().problem;
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 0);
    EXPECT_EQ(disk->clear(), std::nullopt);
    EXPECT_TRUE(disk->last_reading("chat").empty());
    std::filesystem::permissions(place.parent_path(), std::filesystem::perms::owner_all);
    std::filesystem::remove(place);
    samples::save(*disk, memory, chain);
    EXPECT_EQ(disk->stats().extents, 0) << "not tried again at once";
    files.clock_offset_s += 60;
    samples::save(*disk, memory, chain);
    disk->flush();
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
    EXPECT_EQ(disk->stats().problem, "");
  }
}

TEST_F(RealFolderTest, NothingOfAClearedDocumentRemains) {
  const std::string name = "a-name-that-stands-nowhere-else";
  const Chain secret(samples::identity(), {segment("system", 40, 1), segment(name, 300, 4), segment("q", 20, 5)});
  {
    auto disk = open();
    samples::save(*disk, memory, secret);
    samples::save(*disk, memory, chain);
    disk->remember_reading("chat", std::vector<ReadPart>{{name, 77}}, std::vector<std::uint64_t>{77});
    disk->flush();
    EXPECT_GT(disk->clear_document(name).value_or(0), 0);
    EXPECT_EQ(samples::read_back(*disk, memory, secret).position, 40);
    EXPECT_EQ(disk->forgotten(secret.extents()[1].key), Forgotten::cleared);
    EXPECT_EQ(disk->forgotten(secret.extents()[2].key), Forgotten::cleared) << "what was read behind it";
    EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string bytes((std::istreambuf_iterator<char>(file)), {});
      EXPECT_EQ(bytes.find(name), std::string::npos) << entry.path();
    }
  }
}

TEST_F(RealFolderTest, WhatHoldsTheSameTextAsAClearedDocumentIsClearedToo) {
  const Chain kept(samples::identity(), {segment("system", 40, 1), segment("a copy", 300, 4)});
  auto disk = open();
  samples::save(*disk, memory, kept);
  samples::save(*disk, memory, chain);
  disk->remember_reading("chat", std::vector<ReadPart>{{"a copy", 77}, {"paper", 5}}, std::vector<std::uint64_t>{77});
  disk->remember_reading("chat", std::vector<ReadPart>{{"the contract", 77}}, std::vector<std::uint64_t>{77});
  disk->flush();
  EXPECT_GT(disk->clear_document("the contract").value_or(0), 0);
  EXPECT_EQ(samples::read_back(*disk, memory, kept).position, 40);
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
}

TEST_F(RealFolderTest, ClearingRemovesFilesThatDoNotSayWhatTheyHold) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  std::ofstream(place / "extents" / "stranger.extent") << std::string(5000, '?');
  const auto before = kept_files().size();
  ASSERT_TRUE(disk->clear_document("nothing").has_value());
  EXPECT_EQ(kept_files().size(), before - 1);
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
}

TEST_F(RealFolderTest, LookingDoesNotMakeAFolder) {
  const std::filesystem::path nowhere = place / "nowhere";
  EXPECT_EQ(context_folder_stats(nowhere, files).problem, "");
  EXPECT_FALSE(std::filesystem::exists(nowhere));
}

TEST_F(RealFolderTest, ClearingAndVerifyingNeedNoModel) {
  {
    auto disk = open();
    samples::save(*disk, memory, chain);
    auto other = open(samples::identity("other build"));
    samples::save(*other, memory, Chain(samples::identity("other build"), {segment("book", 300, 2)}));
  }
  EXPECT_EQ(context_folder_stats(place, files).extents, 4);
  const VerifyReport sound = verify_context_folder(place, files);
  EXPECT_EQ(sound.extents, 4);
  EXPECT_EQ(sound.bytes, context_folder_stats(place, files).bytes);
  EXPECT_TRUE(sound.damaged.empty());
  EXPECT_EQ(sound.orphans, 0);
  EXPECT_EQ(sound.problem, "");
  EXPECT_GT(ContextFolder(place, files).clear_document("question").value_or(0), 0);
  EXPECT_EQ(context_folder_stats(place, files).extents, 3);
  {
    std::fstream file(kept_files()[1], std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5000);
    file << "x";
  }
  std::ofstream(place / "extents" / "stranger.extent") << "?";
  const VerifyReport damaged = verify_context_folder(place, files);
  ASSERT_EQ(damaged.damaged.size(), 1U);
  EXPECT_NE(damaged.damaged[0].find(kept_files()[1].filename().string()), std::string::npos);
  EXPECT_EQ(damaged.orphans, 1);
  EXPECT_GT(ContextFolder(place, files).clear().value_or(0), 0);
  EXPECT_EQ(context_folder_stats(place, files).extents, 0);
  EXPECT_TRUE(kept_files().empty());
  EXPECT_EQ(verify_context_folder(place / "nowhere", files).problem, "");
  EXPECT_FALSE(std::filesystem::exists(place / "nowhere"));
}

TEST_F(ContextDiskTest, ChainsOfOtherIdentitiesNeverMeet) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  auto other = open(samples::identity("other build"));
  EXPECT_TRUE(other->following(chain.root()).empty());
  const Chain same(samples::identity("other build"), {segment("system", 40, 1), segment("book", 700, 2)});
  EXPECT_EQ(samples::read_back(*other, memory, same).position, 0);
  // Even if somebody asks for the other one's keys.
  EXPECT_EQ(samples::read_back(*other, memory, chain).position, 0);
  disk->remember_reading("chat", {}, std::vector<std::uint64_t>{5});
  EXPECT_EQ(other->reader_of(5), samples::identity()) << "the build changed";
  other->remember_reading("chat", {}, std::vector<std::uint64_t>{5});
  EXPECT_EQ(disk->reader_of(5), samples::identity()) << "the present one goes first";
  EXPECT_EQ(other->reader_of(6), std::nullopt);
}

TEST_F(ContextDiskTest, AnExtentWithoutItsParentIsNotKept) {
  auto disk = open();
  const KvSequence rows = memory.rows(chain);
  const Extent extent = chain.extents()[1];
  const auto tokens = std::span(chain.tokens()).subspan(40, 700);
  disk->save(extent, tokens, rows.pages(), memory.state(chain, 740));
  disk->flush();
  EXPECT_EQ(disk->stats().extents, 0);
  EXPECT_FALSE(disk->holds(extent.key));
  samples::save(*disk, memory, chain);
  EXPECT_TRUE(disk->holds(extent.key));
  disk->flush();
  EXPECT_TRUE(disk->holds(extent.key));
  EXPECT_EQ(disk->stats().extents, 3);
}

TEST_F(ContextDiskTest, WhatIsKeptIsNotWrittenAgain) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  const std::int64_t steps = files.steps();
  samples::save(*disk, memory, chain);
  disk->flush();
  EXPECT_EQ(files.steps(), steps);
}

TEST_F(ContextDiskTest, AThinnedStateIsGoneFromFileAndIndexAndCanBeKeptAgain) {
  Chain book(samples::identity(), {segment("book", 40'000, 2), segment("q", 50, 3)});
  for (std::int64_t end = 8192; end < 40'000; end += 8192) book.cut(end, StatePlace::progress);
  auto disk = open();
  samples::save(*disk, memory, book);
  disk->flush();
  EXPECT_EQ(disk->stats().states, 3) << "one progress state, the book's end, the question's end";
  std::int64_t bytes = 0;
  for (const auto& file : files.files()) bytes += static_cast<std::int64_t>(files.content(file).size());
  EXPECT_EQ(disk->stats().bytes, bytes);
  EXPECT_EQ(samples::read_back(*disk, memory, book).position, 40'050);
  EXPECT_EQ(samples::read_back(*disk, memory, book).wrong, 0);
  EXPECT_TRUE(verify_context_folder("/kept", files).damaged.empty());
  samples::save(*disk, memory, book);
  disk->flush();
  EXPECT_EQ(samples::read_back(*disk, memory, book).wrong, 0);
  EXPECT_EQ(files.files().size(), 6U);
  disk = open();
  EXPECT_EQ(samples::read_back(*disk, memory, book).position, 40'050);
}

TEST_F(ContextDiskTest, AFileThatWasNotCutInTimeIsCutAtTheNextStart) {
  Chain book(samples::identity(), {segment("book", 500, 2)});
  book.cut(256, StatePlace::progress);
  auto disk = open();
  files.set_hook([](test::MemoryFileSystem::Step step, const auto& path) {
    if (step == test::MemoryFileSystem::Step::truncate)
      throw FileError(FileError::Kind::unreadable, path.string() + ": cannot be cut");
  });
  samples::save(*disk, memory, book);
  disk.reset();
  files.set_hook(nullptr);
  const auto bytes = [&] {
    std::int64_t sum = 0;
    for (const auto& file : files.files()) sum += static_cast<std::int64_t>(files.content(file).size());
    return sum;
  };
  const std::int64_t before = bytes();
  disk = open();
  EXPECT_LT(bytes(), before);
  EXPECT_EQ(disk->stats().bytes, bytes());
  EXPECT_EQ(samples::read_back(*disk, memory, book).position, 500);
}

TEST_F(ContextDiskTest, LeavesGoFirstWhenThereIsNoRoomAndTheNewestStays) {
  auto disk = open();
  samples::save(*disk, memory, Chain(samples::identity(), {segment("system", 40, 1), segment("old", 400, 2)}));
  disk->flush();
  const std::int64_t bytes = disk->stats().bytes;
  disk = open(samples::identity(), 2 * bytes);
  const Chain old(samples::identity(), {segment("system", 40, 1), segment("old", 400, 2)});
  for (int book = 0; book < 6; ++book) {
    files.clock_s += 3600;
    const Chain fresh(samples::identity(), {segment("system", 40, 1), segment("b", 400, 10 + book)});
    samples::save(*disk, memory, fresh);
    disk->flush();
    EXPECT_LE(disk->stats().bytes, 2 * bytes);
    EXPECT_EQ(samples::read_back(*disk, memory, fresh).position, 440);
  }
  EXPECT_EQ(samples::read_back(*disk, memory, old).position, 40) << "the instructions are needed by the others";
  EXPECT_EQ(disk->forgotten(old.extents()[1].key), Forgotten::evicted);
  samples::save(*disk, memory, old);
  disk->flush();
  EXPECT_EQ(disk->forgotten(old.extents()[1].key), std::nullopt);
}

TEST_F(ContextDiskTest, WhatWasUsedLatelyStays) {
  auto disk = open();
  const Chain first(samples::identity(), {segment("a", 400, 1)});
  const Chain second(samples::identity(), {segment("b", 400, 2)});
  const Chain third(samples::identity(), {segment("c", 400, 3)});
  samples::save(*disk, memory, first);
  disk->flush();
  const std::int64_t bytes = disk->stats().bytes;
  files.clock_s += 100;
  samples::save(*disk, memory, second);
  disk.reset();
  disk = open(samples::identity(), 2 * bytes + 100);
  files.clock_s += 100;
  EXPECT_EQ(samples::read_back(*disk, memory, first).position, 400);
  files.clock_s += 100;
  samples::save(*disk, memory, third);
  disk->flush();
  EXPECT_EQ(samples::read_back(*disk, memory, first).position, 400);
  EXPECT_EQ(samples::read_back(*disk, memory, second).position, 0);
}

TEST_F(ContextDiskTest, ALeafThatLosesItsChildrenAndHasNoStateGoesToo) {
  Chain book(samples::identity(), {segment("book", 500, 2), segment("q", 50, 3)});
  book.cut(256, StatePlace::progress);
  auto disk = open();
  samples::save(*disk, memory, book);
  disk->flush();
  ASSERT_EQ(disk->stats().states, 2);
  disk->clear_document("q");
  EXPECT_EQ(disk->stats().extents, 2);
  EXPECT_EQ(samples::read_back(*disk, memory, book).position, 500);
  // The end of the book cannot be read: its beginning has no state of its own.
  for (const auto& file : files.files()) files.content(file).back() ^= std::byte{1};
  EXPECT_EQ(samples::read_back(*disk, memory, book).position, 0);
  EXPECT_EQ(disk->stats().extents, 0);
}

TEST_F(ContextDiskTest, ClockThatGoesBackHarmsNothing) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk.reset();
  files.clock_s -= 10'000'000;
  disk = open();
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 773);
  samples::save(*disk, memory, Chain(samples::identity(), {segment("b", 100, 4)}));
  disk->flush();
  EXPECT_EQ(disk->stats().extents, 4);
  EXPECT_EQ(disk->stats().problem, "");
}

TEST_F(ContextDiskTest, WritesNoMoreThanItMayInADay) {
  ContextDisk disk({"/kept", large, 60'000}, samples::identity(), shape, files);
  for (int book = 0; book < 5; ++book) {
    samples::save(disk, memory, Chain(samples::identity(), {segment("b", 400, book)}));
    disk.flush();
  }
  EXPECT_LE(disk.stats().written_bytes_today, 60'000);
  EXPECT_NE(disk.stats().problem.find("today's limit"), std::string::npos);
  const std::int64_t kept = disk.stats().extents;
  files.clock_s += 24 * 3600;
  samples::save(disk, memory, Chain(samples::identity(), {segment("b", 400, 9)}));
  disk.flush();
  EXPECT_EQ(disk.stats().extents, kept + 1);
  EXPECT_EQ(disk.stats().problem, "");
}

TEST_F(ContextDiskTest, LeavesATenthOfTheDiskFree) {
  files.free_space = {1000 << 12, 10'000 << 12};
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  EXPECT_EQ(disk->stats().extents, 0);
  EXPECT_NE(disk->stats().problem.find("stay free"), std::string::npos);
  ContextDisk unlimited({"/kept", std::nullopt}, samples::identity(), shape, files);
  EXPECT_EQ(unlimited.stats().budget_bytes, (1000 << 12) / 10);
}

TEST_F(ContextDiskTest, ClearingReachesWhatAnotherProcessKept) {
  auto disk = open();
  auto other = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  EXPECT_GT(other->clear(), 0);
  EXPECT_EQ(disk->stats().extents, 0);
  EXPECT_EQ(samples::read_back(*disk, memory, chain).position, 0);
  EXPECT_TRUE(files.files().empty());
  samples::save(*disk, memory, chain);
  disk->flush();
  EXPECT_EQ(samples::read_back(*other, memory, chain).position, 773);
}

TEST_F(ContextDiskTest, WhatWasSavedBeforeAClearingIsNotKeptAfterIt) {
  ContextFolder folder("/kept", files);
  const auto generation = folder.generation();
  ASSERT_TRUE(generation);
  ExtentRow row;
  row.extent = chain.extents()[0];
  row.has_state = true;
  row.file = "x.extent";
  row.row_bytes = 4096;
  row.file_bytes = 8192;
  const auto commit = [&](std::int64_t since) {
    return folder.commit(samples::identity(), chain.root(), row, since, large);
  };
  folder.clear_document(row.extent.parts[0].id);
  EXPECT_EQ(commit(*generation), ContextFolder::Committed::unwanted);
  const std::int64_t later = *folder.generation();
  folder.clear_document("somebody else's");
  EXPECT_EQ(commit(later), ContextFolder::Committed::kept) << "it is no business of this one";
  folder.clear();
  EXPECT_EQ(commit(later), ContextFolder::Committed::unwanted);
  EXPECT_EQ(commit(1), ContextFolder::Committed::unwanted) << "of another index";
  EXPECT_EQ(commit(*folder.generation()), ContextFolder::Committed::kept);
}

TEST_F(ContextDiskTest, ClearingsReachDocumentsAndPassagesOfThem) {
  const Clearings clearings{false, {document_hash("paper"), document_hash("letter#2")}};
  EXPECT_TRUE(clearings.reaches("paper"));
  EXPECT_TRUE(clearings.reaches("paper#7"));
  EXPECT_TRUE(clearings.reaches("letter#2"));
  for (const char* other : {"letter", "letter#3", "papers", ""}) EXPECT_FALSE(clearings.reaches(other)) << other;
}

TEST_F(ContextDiskTest, NewClearingsAreToldOnce) {
  auto disk = open();
  EXPECT_TRUE(disk->new_clearings().empty());
  ContextFolder folder("/kept", files);
  folder.clear_document("paper");
  const Clearings clearings = disk->new_clearings();
  EXPECT_FALSE(clearings.everything);
  EXPECT_TRUE(clearings.reaches("paper"));
  EXPECT_TRUE(disk->new_clearings().empty());
  folder.clear();
  EXPECT_TRUE(disk->new_clearings().everything);
}

TEST_F(ContextDiskTest, WhatLostItsParentMeanwhileIsNotKept) {
  auto disk = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  ContextFolder folder("/kept", files);
  ExtentRow row;
  row.extent.parent = chain.extents()[0].key;
  row.extent.key = {1, 2};
  row.extent.begin = 41;
  row.extent.end = 50;
  row.has_state = true;
  row.file = "x.extent";
  row.row_bytes = 4096;
  row.file_bytes = 8192;
  const auto commit = [&] {
    return folder.commit(samples::identity(), chain.root(), row, *folder.generation(), large);
  };
  EXPECT_EQ(commit(), ContextFolder::Committed::unwanted) << "does not begin where its parent ends";
  row.extent.begin = 40;
  row.extent.parent = {3, 4};
  EXPECT_EQ(commit(), ContextFolder::Committed::unwanted) << "has no parent";
  row.extent.parent = chain.extents()[0].key;
  EXPECT_EQ(commit(), ContextFolder::Committed::kept);
}

TEST_F(ContextDiskTest, AQueueThatIsFullWaitsForTheWriterAndKeepsAll) {
  ContextDisk disk({"/kept", large, large, 1}, samples::identity(), shape, files);
  for (int book = 0; book < 5; ++book)
    samples::save(disk, memory, Chain(samples::identity(), {segment("b", 400, book), segment("q", 3, book)}));
  disk.flush();
  EXPECT_EQ(disk.stats().extents, 10);
}

TEST_F(ContextDiskTest, AReaderWhoseFileIsDeletedOrCutMeanwhileMisses) {
  auto disk = open();
  auto other = open();
  samples::save(*disk, memory, chain);
  disk->flush();
  const auto path = samples::kept_path(*disk, chain);
  ASSERT_EQ(path.size(), 3U);
  KvSequence sequence(memory.pool());
  sequence.reserve(773);
  DeltaSnapshot snapshot(shape.delta);
  other->clear();
  EXPECT_EQ(disk->restore(path, chain.tokens(), {&sequence, 0, &snapshot}), nullptr);
  EXPECT_EQ(disk->stats().quarantined, 0);
  EXPECT_EQ(disk->forgotten(path[0].key), Forgotten::cleared) << "not damaged";
}

}  // namespace
}  // namespace lectern::inference
