#include "app/settings.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "app/atomic_file.h"
#include "kernels/error.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

TEST(Settings, ComeBackAsTheyWereSaved) {
  const TemporaryFolder folder;
  Settings settings;
  settings.model = "a \"b\".gguf";
  settings.threads = 3;
  settings.window_tokens = 4096;
  settings.theme = Theme::dark;
  settings.language = "zh_CN";
  settings.max_tokens = 77;
  settings.sampling.temperature = 0.7F;
  settings.sampling.top_k = 40;
  settings.sampling.top_p = 0.95F;
  settings.sampling.min_p = 1.0F / 3.0F;
  settings.sampling.repetition_penalty = 1.1F;
  settings.sampling.presence_penalty = -0.5F;
  settings.sampling.frequency_penalty = 0.25F;
  settings.sampling.penalty_window = 32;
  settings.sampling.seed = 123456789012;
  const std::string path = folder.file("settings.json");
  save_settings(path, settings);
  const LoadedSettings loaded = load_settings(path);
  EXPECT_EQ(loaded.warning, "");
  EXPECT_EQ(loaded.settings.model, settings.model);
  EXPECT_EQ(loaded.settings.threads, 3);
  EXPECT_EQ(loaded.settings.window_tokens, 4096);
  EXPECT_EQ(loaded.settings.theme, Theme::dark);
  EXPECT_EQ(loaded.settings.language, "zh_CN");
  EXPECT_EQ(loaded.settings.max_tokens, 77);
  EXPECT_EQ(loaded.settings.sampling.temperature, 0.7F);
  EXPECT_EQ(loaded.settings.sampling.top_k, 40);
  EXPECT_EQ(loaded.settings.sampling.top_p, 0.95F);
  EXPECT_EQ(loaded.settings.sampling.min_p, 1.0F / 3.0F);
  EXPECT_EQ(loaded.settings.sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(loaded.settings.sampling.presence_penalty, -0.5F);
  EXPECT_EQ(loaded.settings.sampling.frequency_penalty, 0.25F);
  EXPECT_EQ(loaded.settings.sampling.penalty_window, 32);
  EXPECT_EQ(loaded.settings.sampling.seed, 123456789012U);
  EXPECT_NE(testing::read_file(path).find("\"temperature\": 0.7,"), std::string::npos) << testing::read_file(path);
}

TEST(Settings, AreTheDefaultsWithoutAFile) {
  const TemporaryFolder folder;
  const LoadedSettings loaded = load_settings(folder.file("settings.json"));
  EXPECT_EQ(loaded.warning, "");
  EXPECT_EQ(loaded.settings.model, "");
  EXPECT_EQ(loaded.settings.max_tokens, 512);
}

TEST(Settings, KeepADamagedFileAsideAndUseTheDefaults) {
  const TemporaryFolder folder;
  for (const char* damaged : {"", "{\"threads\": 4", "[1, 2]", "\xFF\x00\x01", "null"}) {
    const std::string path = folder.write("settings.json", damaged);
    const LoadedSettings loaded = load_settings(path);
    EXPECT_EQ(loaded.settings.threads, 0);
    EXPECT_NE(loaded.warning.find(path + ".damaged"), std::string::npos) << loaded.warning;
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(testing::read_file(path + ".damaged"), damaged);
  }
}

TEST(Settings, UseTheDefaultForAValueThatCannotBeUsedAndKeepTheOthers) {
  const TemporaryFolder folder;
  const std::string path = folder.write(
      "settings.json",
      R"({"threads": -1, "theme": "pink", "temperature": "hot", "model": 7, "top_k": 1e300, "seed": 18446744073709551615,
          "window_tokens": 2048, "top_p": null})");
  const LoadedSettings loaded = load_settings(path);
  EXPECT_EQ(loaded.settings.threads, 0);
  EXPECT_EQ(loaded.settings.theme, Theme::system);
  EXPECT_EQ(loaded.settings.window_tokens, 2048);
  for (const char* key : {"threads", "theme", "temperature", "model", "top_k", "seed", "top_p"})
    EXPECT_NE(loaded.warning.find(key), std::string::npos) << key << " in " << loaded.warning;
  EXPECT_EQ(loaded.warning.find("window_tokens"), std::string::npos) << loaded.warning;
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Settings, KeepWhetherDocumentsAreReadAhead) {
  const TemporaryFolder folder;
  const std::string path = folder.file("settings.json");
  EXPECT_TRUE(load_settings(path).settings.read_ahead);
  Settings settings;
  settings.read_ahead = false;
  save_settings(path, settings);
  EXPECT_FALSE(load_settings(path).settings.read_ahead);
  const LoadedSettings loaded = load_settings(folder.write("settings.json", R"({"read_ahead": "no"})"));
  EXPECT_TRUE(loaded.settings.read_ahead);
  EXPECT_NE(loaded.warning.find("read_ahead"), std::string::npos) << loaded.warning;
}

TEST(Settings, LeaveWhatANewerVersionAdded) {
  const TemporaryFolder folder;
  const std::string path = folder.write("settings.json", R"({"threads": 2, "hologram": {"depth": 3}})");
  save_settings(path, load_settings(path).settings);
  EXPECT_NE(testing::read_file(path).find("hologram"), std::string::npos);
}

TEST(AtomicFile, LeavesTheOldContentAndNoLitterWhenItCannotWrite) {
  const TemporaryFolder folder;
  write_atomically(folder.file("a"), "one");
  write_atomically(folder.file("a"), "two");
  EXPECT_EQ(testing::read_file(folder.file("a")), "two");
  std::filesystem::create_directory(folder.file("in the way"));
  EXPECT_THROW(write_atomically(folder.file("in the way"), "x"), Error);
  EXPECT_THROW(write_atomically(folder.file("missing/a"), "x"), Error);
  std::size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++entries;
  EXPECT_EQ(entries, 2U);
}

}  // namespace
}  // namespace lectern::app
