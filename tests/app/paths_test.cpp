#include "app/paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "kernels/error.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

class Paths : public ::testing::Test {
 protected:
  void set(const char* variable, const std::string& value) { setenv(variable, value.c_str(), 1); }
  void TearDown() override {
    for (const char* variable : {"XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"}) unsetenv(variable);
    setenv("HOME", home_.c_str(), 1);
  }
  std::string home_ = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "/";
};

TEST_F(Paths, FollowTheXdgVariablesAndMakePrivateFolders) {
  const TemporaryFolder folder;
  set("XDG_DATA_HOME", folder.file("data"));
  set("XDG_CONFIG_HOME", folder.file("config"));
  set("XDG_CACHE_HOME", folder.file("cache"));
  EXPECT_EQ(library_file(), folder.file("data/lectern/library.sqlite"));
  EXPECT_EQ(models_folder(), folder.file("data/lectern/models"));
  EXPECT_EQ(config_folder(), folder.file("config/lectern"));
  EXPECT_EQ(cache_folder(), folder.file("cache/lectern"));
  struct stat status {};
  ASSERT_EQ(stat(folder.file("data/lectern").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

TEST_F(Paths, UseTheHomeFolderWhereAVariableIsMissingOrRelative) {
  const TemporaryFolder folder;
  set("HOME", folder.path());
  set("XDG_DATA_HOME", "relative/folder");
  EXPECT_EQ(data_folder(), folder.file(".local/share/lectern"));
  EXPECT_EQ(config_folder(), folder.file(".config/lectern"));
}

TEST_F(Paths, SayWhichFolderCannotBeMade) {
  const TemporaryFolder folder;
  set("XDG_DATA_HOME", folder.write("file", "in the way"));
  try {
    data_folder();
    FAIL() << "a folder was made inside a file";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("XDG_DATA_HOME"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace lectern::app
